// Auth0, Actions, Library, "Login / Post Login": puts the email into the access token, where the mapping server reads it.
exports.onExecutePostLogin = async (event, api) => {
  api.accessToken.setCustomClaim('https://drive.example.com/email', event.user.email);
  api.accessToken.setCustomClaim('https://drive.example.com/email_verified', event.user.email_verified);
};
