/* One section of ~/.aws/credentials. */
#pragma once

struct profile {
    const char *name;                              /* of the section; borrowed */
    char *access_key, *secret_key, *session_token; /* owned; NULL without */
};
/* 0 or -ENOMEM; lines that are no settings are passed over, as AWS's tools do. */
int profile_parse(const char *text, struct profile *profile);
void profile_finish(struct profile *profile); /* wipes */
