/* key.h - Virtual keys: who may ask for what, and how much of it.
 *
 * A key is shown once, when it is made; what is kept is its SHA-256.  All live keys are in one
 * table in memory, found by that hash; the state file is the truth, and whoever notices that it
 * changed gives the table new records (key_table_load).  A record keeps its counters across
 * that: it is found again by its id.
 *
 * Threads: any.  Records live as long as the table. */
#ifndef GATEWAY_KEY_H
#define GATEWAY_KEY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "gateway/config.h"
#include "gateway/limit.h"

#define KEY_PREFIX     "sk-sluice-"
#define KEY_TEXT_BYTES 64 /* of a whole key with its NUL */
#define KEY_HASH_BYTES 32
#define KEY_ID_BYTES   24

enum key_priority { KEY_HIGH, KEY_NORMAL, KEY_LOW };

/* What the state file says of a key: plain data, texts owned by whoever filled it. */
struct key_def {
    char id[KEY_ID_BYTES];
    uint8_t hash[KEY_HASH_BYTES];
    struct str name, user, group;
    struct str models, regions; /* comma-separated; empty: all */
    struct str metadata_json;
    enum key_priority priority;
    struct config_limits limits;  /* 0 / -1: not its own: the configuration's default holds */
    int64_t created_s, expires_s; /* 0: never */
    bool is_revoked;
};

/* A key in memory. */
struct gw_key {
    struct key_def def;        /* texts are this record's own */
    char *texts;               /* their memory */
    struct limit_state *limit; /* counters of this id, the same for all its records */
};

struct key_table;
struct key_table *key_table_create(void); /* NULL without memory */
void key_table_free(struct key_table *t); /* no request runs any more */

/* Replace all records by these (copied).  Counters of ids that were there before go on.
 * Returns OK or ERR_NOMEM: then nothing has changed. */
int key_table_load(struct key_table *t, const struct key_def *defs, int n);

/* The record of a presented key, or NULL.  Expired and revoked ones are found too: look at the
 * record.  Takes a reference: key_release it. */
struct gw_key *key_find(struct key_table *t, struct str presented);
struct gw_key *key_find_id(struct key_table *t, struct str id);
void key_release(struct key_table *t, struct gw_key *k); /* NULL is fine */

/* Make a new random key: its text and its hash. */
void key_make(char text[KEY_TEXT_BYTES], uint8_t hash[KEY_HASH_BYTES], char id[KEY_ID_BYTES]);
void key_hash(struct str text, uint8_t hash[KEY_HASH_BYTES]);

/* Is `item` in a comma-separated list?  An empty list has everything; "openai/" + "*" at an
 * entry's end stands for any rest. */
bool key_list_has(struct str list, struct str item);

/* The limits in force: the key's own, else the configuration's. */
struct config_limits key_limits(const struct gw_key *k, const struct config *c);

#endif
