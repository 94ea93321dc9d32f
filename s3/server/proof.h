/* What the store is proven to do: each condition and checksum that clients rely on, tried with a wrong and a right
 * value on a probe bucket; and whether an x-amz-* header that was added to a grant is refused. Kept in the database. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"
#include "s3/server/role.h"
#include "s3/server/users.h"
#include "s3/store.h"

#include <stdbool.h>
#include <stdint.h>

/* Whose keys sign a kind of grant, where the role signs the usual ones. Ceph 16 lets keys with a session policy neither
 * delete many nor copy parts; the server's own may then do it, if nothing that a client adds can turn it to another
 * account. */
enum proof_signer { PROOF_ROLE, PROOF_OWN, PROOF_NOBODY };

/* Whether keys of the role, narrowed to an account, reach nothing else when a client has them. */
enum proof_lending { PROOF_LENDING_UNTRIED, PROOF_LENDING_SAFE, PROOF_LENDING_REFUSED };

struct proof {
    struct store_features features; /* without versions and versioned_at_s */
    bool block_public_acls;         /* plain puts work with that flag */
    bool refuses_added;             /* a grant with an added x-amz-* header is refused; else grants need a role */
    enum proof_signer delete_many, part_copy; /* without refuses_added only */
    enum proof_lending lending;
    bool lent_delete_many, lent_part_copy; /* with PROOF_LENDING_SAFE: what such keys may do */
    char lending_why[200];                 /* with PROOF_LENDING_REFUSED: for the operator */
    int64_t proven_s;                      /* Unix */
};

/* Proves everything for one versioning state, which takes about a hundred requests. role may be NULL; if the store
 * obeys added headers, what the role signs is proven to be refused, or PAIL_DENIED with a fault that says what to set.
 * lending NULL: not tried. PAIL_OFFLINE: the store does not answer. Not thread-safe for the same users and state. */
int proof_run(struct remote *remote, struct users *users, struct role *role, struct role *lending, bool versioned,
              struct proof *out, struct fault *fault);
/* One small request about the probe bucket: what comes of it is counted. 0 when there was an answer. */
int proof_ask(struct remote *remote, struct users *users, bool versioned, struct fault *fault);
/* The last one: 0 or -ENOENT. */
int proof_load(struct users *users, const struct config *config, bool versioned, struct proof *out);
int proof_save(struct users *users, const struct config *config, bool versioned, const struct proof *proof,
               struct fault *fault);
/* Each condition by its name on the wire, and whether it holds. */
struct proof_feature {
    const char *name;
    size_t place; /* of the bool in struct store_features */
};
extern const struct proof_feature proof_features[];
extern const size_t proof_feature_count;
bool proof_holds(const struct store_features *features, const struct proof_feature *feature);
/* Whether all that stands for a condition is there: without, keep_versions_d = 0 is refused. */
bool proof_has_all_conditions(const struct store_features *features);
