/* The folder of precious bytes: one sparse file for each written file, named by its number, and beside it `N.map` as
 * long as part of its bytes are still the origin's. Also watches how full that disk is. Thread-safe; what is done to
 * one spool number at the same time is the caller's to order. 0 or -errno. */
#pragma once

#include "fs/content/ranges.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool;

int spool_create(struct spool **out, const char *folder, uint64_t reserve);
void spool_destroy(struct spool *spool);

/* An empty file with a number that was never used, marked. The caller closes fd. */
int spool_new(struct spool *spool, uint64_t *number, int *fd);
/* A spool file that is there already. */
struct spool_file {
    int fd; /* the caller closes it */
    uint64_t size, counted /* for spool_count */;
    bool marked;
};
/* -ENOENT. */
int spool_open(struct spool *spool, uint64_t number, struct spool_file *out);
/* The mark on the disk that the file was written since somebody recorded it; it outlives this process. */
void spool_mark(int fd, bool written);
/* 1: marked; size and mtime_ns as they are. 0: not. -ENOENT. */
int spool_marked(struct spool *spool, uint64_t number, uint64_t *size, int64_t *mtime_ns);
void spool_unmark(struct spool *spool, uint64_t number);
/* With its map. counts: its bytes are still counted, and not any more. */
void spool_remove(struct spool *spool, uint64_t number, bool counts);
/* Removes all files but these and those made since spool_create. */
int spool_sweep(struct spool *spool, const uint64_t *numbers, size_t count);
/* Moves the file away under another name on the same file system, and removes its map. -EXDEV: not possible. */
int spool_give(struct spool *spool, uint64_t number, const char *path);

/* What of [0, limit) is in the spool file; the rest of that is the origin's. Beyond, everything is in the spool. */
struct spool_map {
    struct ranges ranges;
    uint64_t limit;
};
/* Whole again, or the one before; durable: also after a power cut. */
int spool_map_write(struct spool *spool, uint64_t number, const struct spool_map *map, bool durable);
int spool_map_remove(struct spool *spool, uint64_t number);
/* -ENOENT: there is none, all bytes are in the spool. -EBADMSG: damaged. The caller finishes map->ranges. */
int spool_map_read(struct spool *spool, uint64_t number, struct spool_map *map);
/* Makes new and removed names durable. */
int spool_sync_folder(struct spool *spool);

/* Before size bytes are written: -ENOSPC when that would leave less than the reserve. *delay_ms: for how long the
 * writer is to be slowed, because what is not sent yet has passed half of the free disk. The disk is looked at now and
 * then. */
int spool_admit(struct spool *spool, uint64_t size, int64_t *delay_ms);
void spool_look(struct spool *spool); /* the next spool_admit looks anew: room was made */
/* For size bytes of the cache on the same disk: false when that would leave less than `spare` above the reserve. */
bool spool_spare(struct spool *spool, uint64_t size, uint64_t spare);
/* The bytes that one spool file takes changed from *counted to what fstat says; updates *counted. fd < 0: to 0. */
void spool_count(struct spool *spool, int fd, uint64_t *counted);
uint64_t spool_bytes(struct spool *spool);
