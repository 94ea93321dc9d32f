/* The parts that a proof is made of. Private to proof*.c. */
#pragma once

#include "s3/server/probing.h"
#include "s3/server/proof.h"

static const struct sign_pair no_header; /* for requests without one */

bool *proof_place(struct store_features *features, const struct proof_feature *feature);
/* Every condition and checksum. 0 or what kept the store from answering. */
int proof_trials_run(struct probing *probing, struct store_features *features);
/* Added headers, and who signs what. other is a second bucket, which no grant may reach; role may be NULL. Errors as
 * proof_run. */
int proof_added_run(struct probing *probing, const char *other, struct role *role, struct proof *out);
/* What clients could do with keys that are lent to them. 0 whatever it comes to; or PAIL_OFFLINE, -errno. */
int proof_lending_run(struct probing *probing, const char *other, struct role *lending, struct proof *out);
/* Whether a key's deletion in a delete_many, and a part copy, work with these keys. */
int proof_deletes_many(struct probing *probing, const struct lease *keys, bool *works);
int proof_copies_parts(struct probing *probing, const char *other, const struct lease *keys, bool *works);
