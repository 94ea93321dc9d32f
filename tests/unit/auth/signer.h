/* An issuer's key for tests: signs tokens, and shows its public part as a JWK set. */
#pragma once

struct signer;

struct signer *signer_create(void); /* RSA of 2,048 bits */
void signer_destroy(struct signer *signer);
/* {"keys":[...]}; borrowed. */
const char *signer_keys(const struct signer *signer);
/* header NULL: {"alg":"RS256","kid":"k1","typ":"JWT"}. The caller frees. */
char *signer_sign(const struct signer *signer, const char *header, const char *claims);
