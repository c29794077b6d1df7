/* key.c - See key.h. */
#include "gateway/key.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "net/digest.h"

struct slot {
    struct gw_key *key;
    int n_refs;
    bool is_live; /* in the table; else kept for those who hold it */
    bool is_new;  /* made by the load that is under way */
};

/* Counters belong to an id, not to a record: a request that began under an old record settles
 * where the new one looks.  Kept as long as the table. */
struct counters {
    struct counters *next;
    char id[KEY_ID_BYTES];
    struct limit_state limit;
};

struct key_table {
    struct counters *counters;
    pthread_mutex_t lock;
    struct slot *slots; /* unordered; looked up through `index` */
    int n, cap;
    uint32_t *index; /* open addressing by the first bytes of the hash: slot + 1 */
    uint32_t index_cap;
};

void key_hash(struct str text, uint8_t hash[KEY_HASH_BYTES])
{
    digest_sha256(text.p, text.n, hash);
}

void key_make(char text[KEY_TEXT_BYTES], uint8_t hash[KEY_HASH_BYTES], char id[KEY_ID_BYTES])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t n = sizeof KEY_PREFIX - 1;
    memcpy(text, KEY_PREFIX, n);
    for (int i = 0; i < 43; i++) { /* 43 x log2(62) = 256 bits */
        uint8_t byte;
        do
            rand_secure(&byte, 1);
        while (byte >= 248);
        text[n++] = letters[byte % 62];
    }
    text[n] = 0;
    key_hash(str_of(text, n), hash);
    uint64_t x;
    rand_secure(&x, sizeof x);
    snprintf(id, KEY_ID_BYTES, "key_%016llx", (unsigned long long)x);
}

struct key_table *key_table_create(void)
{
    struct key_table *t = calloc(1, sizeof *t);
    if (t)
        pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void free_key(struct gw_key *k)
{
    free(k->texts);
    free(k);
}

void key_table_free(struct key_table *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n; i++)
        free_key(t->slots[i].key);
    for (struct counters *c = t->counters, *next; c; c = next) {
        next = c->next;
        limit_deinit(&c->limit);
        free(c);
    }
    free(t->slots);
    free(t->index);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static uint32_t place_of(const uint8_t hash[KEY_HASH_BYTES], uint32_t cap)
{
    uint32_t h;
    memcpy(&h, hash, sizeof h); /* SHA-256: any bytes of it are a good hash */
    return h & (cap - 1);
}

/* Rebuild the index for the live slots.  cap is a power of two above 2n. */
static uint32_t *make_index(const struct slot *slots, int n, uint32_t *cap)
{
    uint32_t c = 16;
    while (c < (uint32_t)n * 2 + 2)
        c *= 2;
    uint32_t *index = calloc(c, sizeof *index);
    for (int i = 0; index && i < n; i++) {
        if (!slots[i].is_live)
            continue;
        uint32_t at = place_of(slots[i].key->def.hash, c);
        while (index[at])
            at = (at + 1) & (c - 1);
        index[at] = (uint32_t)i + 1;
    }
    *cap = c;
    return index;
}

static struct str put_text(char **at, struct str s)
{
    struct str copy = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

static struct limit_state *counters_of(struct key_table *t, const char *id)
{
    for (struct counters *c = t->counters; c; c = c->next)
        if (strcmp(c->id, id) == 0)
            return &c->limit;
    struct counters *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    snprintf(c->id, sizeof c->id, "%s", id);
    limit_init(&c->limit);
    c->next = t->counters;
    t->counters = c;
    return &c->limit;
}

static struct gw_key *new_key(struct key_table *t, const struct key_def *d)
{
    struct gw_key *k = calloc(1, sizeof *k);
    size_t n = d->name.n + d->user.n + d->group.n + d->models.n + d->regions.n + d->metadata_json.n + 1;
    char *at = k ? malloc(n) : NULL;
    if (!at || !(k->limit = counters_of(t, d->id))) {
        free(at);
        free(k);
        return NULL;
    }
    k->def = *d;
    k->texts = at;
    k->def.name = put_text(&at, d->name);
    k->def.user = put_text(&at, d->user);
    k->def.group = put_text(&at, d->group);
    k->def.models = put_text(&at, d->models);
    k->def.regions = put_text(&at, d->regions);
    k->def.metadata_json = put_text(&at, d->metadata_json);
    return k;
}

static bool same_def(const struct key_def *a, const struct key_def *b)
{
    return strcmp(a->id, b->id) == 0 && memcmp(a->hash, b->hash, KEY_HASH_BYTES) == 0 &&
           str_eq(a->name, b->name) && str_eq(a->user, b->user) && str_eq(a->group, b->group) &&
           str_eq(a->models, b->models) && str_eq(a->regions, b->regions) &&
           str_eq(a->metadata_json, b->metadata_json) && a->priority == b->priority &&
           a->expires_s == b->expires_s && a->is_revoked == b->is_revoked &&
           memcmp(&a->limits, &b->limits, sizeof a->limits) == 0;
}

static struct slot *find_slot(struct key_table *t, const char *id)
{
    for (int i = 0; i < t->n; i++)
        if (t->slots[i].is_live && strcmp(t->slots[i].key->def.id, id) == 0)
            return &t->slots[i];
    return NULL;
}

/* The live slots of the new table: unchanged records are carried over, others made anew.  Returns
 * how many, or -1 without memory (then what was made here is freed again). */
static int make_slots(struct key_table *t, const struct key_def *defs, int n, struct slot *slots)
{
    for (int i = 0; i < n; i++) {
        struct slot *old = find_slot(t, defs[i].id);
        if (old && same_def(&old->key->def, &defs[i])) {
            slots[i] = *old;
            continue;
        }
        slots[i] = (struct slot){.key = new_key(t, &defs[i]), .is_live = true, .is_new = true};
        if (!slots[i].key) {
            while (i-- > 0)
                if (slots[i].is_new)
                    free_key(slots[i].key);
            return -1;
        }
    }
    return n;
}

static bool is_carried_over(const struct slot *slots, int n, const struct gw_key *k)
{
    for (int i = 0; i < n; i++)
        if (slots[i].key == k)
            return true;
    return false;
}

static int replace_slots(struct key_table *t, struct slot *slots, int n)
{
    int n_live = n;
    for (int s = 0; s < t->n; s++) /* dropped records that a request still holds stay until it lets go */
        if (!is_carried_over(slots, n_live, t->slots[s].key) && t->slots[s].n_refs > 0)
            slots[n++] = (struct slot){.key = t->slots[s].key, .n_refs = t->slots[s].n_refs};
    uint32_t cap = 0;
    uint32_t *index = make_index(slots, n, &cap);
    if (!index)
        return ERR_NOMEM;
    for (int s = 0; s < t->n; s++)
        if (!is_carried_over(slots, n, t->slots[s].key))
            free_key(t->slots[s].key);
    free(t->slots);
    free(t->index);
    for (int s = 0; s < n; s++)
        slots[s].is_new = false;
    t->slots = slots;
    t->n = n;
    t->index = index;
    t->index_cap = cap;
    return OK;
}

int key_table_load(struct key_table *t, const struct key_def *defs, int n)
{
    pthread_mutex_lock(&t->lock);
    struct slot *slots = calloc((size_t)(t->n + n) + 1, sizeof *slots);
    int n_live = slots ? make_slots(t, defs, n, slots) : -1;
    int rc = n_live < 0 ? ERR_NOMEM : replace_slots(t, slots, n_live);
    if (rc != OK) {
        for (int i = 0; i < n_live; i++)
            if (slots[i].is_new)
                free_key(slots[i].key);
        free(slots);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

struct gw_key *key_find(struct key_table *t, struct str presented)
{
    uint8_t hash[KEY_HASH_BYTES];
    key_hash(presented, hash);
    struct gw_key *found = NULL;
    pthread_mutex_lock(&t->lock);
    for (uint32_t at = t->index_cap ? place_of(hash, t->index_cap) : 0; t->index_cap && t->index[at];
         at = (at + 1) & (t->index_cap - 1)) {
        struct slot *s = &t->slots[t->index[at] - 1];
        if (memcmp(s->key->def.hash, hash, KEY_HASH_BYTES) != 0)
            continue;
        s->n_refs++;
        found = s->key;
        break;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

struct gw_key *key_find_id(struct key_table *t, struct str id)
{
    struct gw_key *found = NULL;
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->n && !found; i++)
        if (t->slots[i].is_live && str_eq(str_c(t->slots[i].key->def.id), id)) {
            t->slots[i].n_refs++;
            found = t->slots[i].key;
        }
    pthread_mutex_unlock(&t->lock);
    return found;
}

void key_release(struct key_table *t, struct gw_key *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->n; i++) {
        if (t->slots[i].key != k)
            continue;
        assert(t->slots[i].n_refs > 0);
        t->slots[i].n_refs--;
        break; /* one that is no longer live goes with the next load */
    }
    pthread_mutex_unlock(&t->lock);
}

bool key_list_has(struct str list, struct str item)
{
    if (str_trim(list).n == 0)
        return true;
    struct str entry;
    while (str_split(&list, ',', &entry)) {
        entry = str_trim(entry);
        bool any_rest = str_ends(entry, S("*"));
        if (any_rest ? str_starts(item, str_sub(entry, 0, entry.n - 1)) : str_eq(entry, item))
            return true;
    }
    return false;
}

struct config_limits key_limits(const struct gw_key *k, const struct config *c)
{
    struct config_limits l = c->limits;
    const struct config_limits *own = &k->def.limits;
    if (own->rpm)
        l.rpm = own->rpm;
    if (own->tpm)
        l.tpm = own->tpm;
    if (own->concurrency)
        l.concurrency = own->concurrency;
    if (own->budget_nano >= 0 || own->token_budget > 0) {
        l.budget_nano = own->budget_nano;
        l.budget_per = own->budget_per;
        l.token_budget = own->token_budget;
    }
    if (own->max_output_tokens)
        l.max_output_tokens = own->max_output_tokens;
    const struct config_user_limits *u = &own->per_user;
    if (u->rpm)
        l.per_user.rpm = u->rpm;
    if (u->tpm)
        l.per_user.tpm = u->tpm;
    if (u->concurrency)
        l.per_user.concurrency = u->concurrency;
    if (u->budget_nano > 0 || u->token_budget > 0) {
        l.per_user.budget_nano = u->budget_nano;
        l.per_user.budget_per = u->budget_per;
        l.per_user.token_budget = u->token_budget;
    }
    return l;
}
