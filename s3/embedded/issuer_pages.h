/* What the issuer shows in the browser: documents without anything from elsewhere, every text escaped. The caller
 * frees; NULL without memory. */
#pragma once

/* Who is it? handle: of the login under way; email: filled in already; trouble: what was wrong with the last answer.
 * Both may be NULL. */
char *issuer_pages_login(const char *handle, const char *email, const char *trouble);
/* A login that cannot be: why, and what to do. */
char *issuer_pages_refusal(const char *title, const char *text);
