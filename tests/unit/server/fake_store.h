/* What provisioning asks of an S3 server, on loopback: buckets with their tag and settings, no objects. It can fail at
 * the nth request, before or after having done it, and knows what was done. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_way { FAKE_FINE, FAKE_BEFORE, FAKE_AFTER };

struct fake_bucket {
    struct fake_bucket *next;
    char name[80], tag[80];
    bool foreign;   /* another account of the provider has it: BucketAlreadyExists */
    bool holds_key; /* list_versions is not empty */
    bool is_public; /* strangers can list it */
    unsigned puts;  /* how often it was created */
    bool blocked, owned, encrypted, versioned, lifecycled;
};

struct fake_store {
    struct http_server *server;
    char endpoint[40];
    pthread_mutex_t lock;
    struct fake_bucket *buckets; /* under lock, as all below */
    unsigned requests;
    unsigned fail_at; /* the number of the request, from 1 on; 0: none */
    enum fake_way way;
    unsigned unknown; /* bits: settings that this store does not know: 1 block, 2 owner, 4 encryption, 8 lifecycle, 16
                         tagging */
    bool answers_200_for_own; /* as us-east-1 and Ceph do; else BucketAlreadyOwnedByYou */
};
void fake_store_start(struct fake_store *store);
void fake_store_stop(struct fake_store *store);
struct fake_bucket *fake_store_find(struct fake_store *store, const char *name);
struct fake_bucket *fake_store_add(struct fake_store *store, const char *name);
size_t fake_store_count(struct fake_store *store); /* buckets of our own */
