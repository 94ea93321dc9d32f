/* Where storage keys can come from, one function each: 0; -ENOENT when that source has none; -EINVAL, PAIL_OFFLINE,
 * PAIL_DENIED, PAIL_DAMAGED with a fault. */
#pragma once

#include "s3/server/credentials.h"

#include <stdint.h>

struct config;
typedef int credentials_source(const struct config *config, struct transfer *transfer, struct lease *out,
                               struct fault *fault);
credentials_source credentials_from_settings, credentials_from_environment, credentials_from_profile;

/* Of the profile's file: all 0 if it is not there. Another one means that it may hold other keys. */
struct credentials_stamp {
    int64_t inode, size, modified_s, modified_ns;
};
void credentials_profile_stamp(struct credentials_stamp *out);

credentials_source credentials_from_container, credentials_from_instance;
