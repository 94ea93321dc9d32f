// An OpenID provider with the shape of an Auth0 tenant, for tests: npm `oidc-provider` configured so that paths, issuer,
// tokens and refusals look like Auth0's.    node auth0-shaped-issuer.mjs PORT AUDIENCE CLAIM_NAMESPACE CLIENT_ID
// A login is any address; one that starts with "unverified" is not verified. From the environment: ACCESS_TTL_S, the
// access token's life; LOOPBACK_PORTS, where a client may listen (47831,47832,47833).
// Each answer of /oauth/token is a line of the output: "token GRANT_TYPE" or "refused GRANT_TYPE WHY".
import * as oidc from 'oidc-provider';
import { generateKeyPairSync } from 'node:crypto';

const [port = '3998', audience = 'https://pail.example/api', namespace = 'https://pail.example', clientId = 'pail'] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}/`;
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'RS256' };
const email = id => (id.includes('@') ? id : `${id}@example.com`);
const verified = id => !id.startsWith('unverified');
const accessTtl = Number(process.env.ACCESS_TTL_S ?? 300);
const ports = (process.env.LOOPBACK_PORTS ?? '47831,47832,47833').split(',').map(Number);

const provider = new oidc.Provider(issuer, {
  clients: [{
    client_id: clientId, application_type: 'web', token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'], redirect_uris: ports.map(p => `http://127.0.0.1:${p}/callback`),   // exact, as Auth0 matches
  }],
  jwks: { keys: [key] },
  cookies: { keys: ['test'] },
  conformIdTokenClaims: false,
  scopes: ['openid', 'offline_access', 'email', 'profile'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  findAccount: async (ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: email(id), email_verified: verified(id), name: id }),
  }),
  extraParams: { audience: async (ctx, value) => { if (value) ctx.oidc.params.resource ??= value; } },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async ctx => ctx.oidc?.params?.audience || audience,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (ctx, resource) => {
        if (resource !== audience) throw new oidc.errors.InvalidTarget();
        return { scope: 'files', audience, accessTokenFormat: 'jwt', accessTokenTTL: accessTtl, jwt: { sign: { alg: 'RS256' } } };
      },
    },
  },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  extraTokenClaims: async (ctx, token) => ({
    [`${namespace}/email`]: email(token.accountId), [`${namespace}/email_verified`]: verified(token.accountId),
  }),
  formats: {
    customizers: {
      jwt: async (ctx, token, jwt) => {
        jwt.header = { ...jwt.header, typ: 'JWT' };
        jwt.payload.aud = [audience, `${issuer}userinfo`];
        jwt.payload.azp = jwt.payload.client_id;
        delete jwt.payload.client_id;
      },
    },
  },
  routes: {
    authorization: '/authorize', token: '/oauth/token', device_authorization: '/oauth/device/code', code_verification: '/activate',
    jwks: '/.well-known/jwks.json', userinfo: '/userinfo', revocation: '/oauth/revoke', end_session: '/oidc/logout',
  },
  ttl: { AccessToken: accessTtl, AuthorizationCode: 60, IdToken: 300, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, DeviceCode: 600 },
});
provider.on('grant.success', ctx => console.log(`token ${ctx.oidc.params.grant_type}`));
provider.on('grant.error', (ctx, error) => console.log(`refused ${ctx.oidc.params?.grant_type} ${error.message} ${error.error_detail ?? ''}`));
provider.on('grant.revoked', () => console.log('revoked'));
provider.on('server_error', (ctx, error) => console.error(error));
provider.listen(Number(port), '127.0.0.1', () => console.log(`issuer ${issuer}`));
