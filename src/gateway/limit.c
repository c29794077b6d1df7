/* limit.c - See limit.h. */
#include "gateway/limit_user.h"

#include <string.h>

#include "base/clock.h"

void limit_init(struct limit_state *s)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
}

void limit_deinit(struct limit_state *s)
{
    limit_users_free(s->users);
    pthread_mutex_destroy(&s->lock);
}

/* ---- calendar ---- */

int64_t limit_window_start(enum config_period per, int64_t wall_ns)
{
    struct clock_date d = clock_date_utc(wall_ns);
    d.minute = d.second = d.ms = 0;
    if (per != PERIOD_HOUR)
        d.hour = 0;
    if (per == PERIOD_MONTH)
        d.day = 1;
    return clock_from_date_utc(&d) / NS_PER_S;
}

int64_t limit_window_end(enum config_period per, int64_t wall_ns)
{
    int64_t start = limit_window_start(per, wall_ns);
    if (per == PERIOD_HOUR)
        return start + 3600;
    if (per == PERIOD_DAY)
        return start + 86400;
    /* 32 days behind the first of a month lies in the next one. */
    return limit_window_start(PERIOD_MONTH, (start + 32 * INT64_C(86400)) * NS_PER_S);
}

/* ---- sliding windows ---- */

static void slide(struct limit_counts *s, int64_t second)
{
    if (second - s->second >= LIMIT_SECONDS) {
        memset(s->requests, 0, sizeof s->requests);
        memset(s->tokens, 0, sizeof s->tokens);
        s->sum_requests = s->sum_tokens = 0;
        s->second = second;
    }
    while (s->second < second) {
        s->second++;
        int i = (int)(s->second % LIMIT_SECONDS);
        s->sum_requests -= s->requests[i];
        s->sum_tokens -= s->tokens[i];
        s->requests[i] = s->tokens[i] = 0;
    }
}

/* How long until `need` of the window's sum has left it. */
static int64_t until_free_ms(const struct limit_counts *s, const int64_t buckets[LIMIT_SECONDS], int64_t need,
                             int64_t now_ns)
{
    int64_t gone = 0;
    for (int64_t age = LIMIT_SECONDS - 1; age >= 0; age--) {
        int64_t second = s->second - age;
        if (second < 0)
            continue;
        gone += buckets[second % LIMIT_SECONDS];
        if (gone >= need)
            return (second + LIMIT_SECONDS) * 1000 - now_ns / NS_PER_MS;
    }
    return LIMIT_SECONDS * 1000;
}

/* How long until nothing of the window is left: until its newest bucket leaves. */
static int64_t until_empty_ms(const struct limit_counts *s, const int64_t buckets[LIMIT_SECONDS],
                              int64_t now_ns)
{
    int64_t second = s->second;
    while (second > s->second - LIMIT_SECONDS && second >= 0 && buckets[second % LIMIT_SECONDS] <= 0)
        second--;
    return (second + LIMIT_SECONDS) * 1000 - now_ns / NS_PER_MS;
}

static void enter_window(struct limit_counts *s, const struct config_limits *l, int64_t wall_ns)
{
    int64_t start = limit_window_start((enum config_period)l->budget_per, wall_ns);
    if (start == s->window_start_s)
        return;
    s->window_start_s = start;
    s->spent_nano = s->reserved_nano = 0;
    s->spent_tokens = s->reserved_tokens = 0;
}

/* ---- admission ---- */

static enum limit_refusal check(const struct limit_counts *s, const struct config_limits *l, int64_t tokens,
                                int64_t nano, int64_t now_ns, int64_t wall_ns, int64_t *retry_ms)
{
    if (l->budget_nano >= 0 && s->spent_nano + s->reserved_nano + nano > l->budget_nano) {
        *retry_ms = limit_window_end((enum config_period)l->budget_per, wall_ns) * 1000 - wall_ns / NS_PER_MS;
        return LIMIT_BUDGET;
    }
    if (l->token_budget > 0 && s->spent_tokens + s->reserved_tokens + tokens > l->token_budget) {
        *retry_ms = limit_window_end((enum config_period)l->budget_per, wall_ns) * 1000 - wall_ns / NS_PER_MS;
        return LIMIT_TOKEN_BUDGET;
    }
    if (l->concurrency > 0 && s->n_running >= l->concurrency) {
        *retry_ms = 1000;
        return LIMIT_CONCURRENCY;
    }
    if (l->rpm > 0 && s->sum_requests + 1 > l->rpm) {
        *retry_ms = until_free_ms(s, s->requests, s->sum_requests + 1 - l->rpm, now_ns);
        return LIMIT_RPM;
    }
    if (l->tpm > 0 && s->sum_tokens + tokens > l->tpm) {
        *retry_ms = until_free_ms(s, s->tokens, s->sum_tokens + tokens - l->tpm, now_ns);
        return LIMIT_TPM;
    }
    return LIMIT_NONE;
}

/* The tighter one of what is left to the key and to its user. */
static void tell(const struct limit_counts *s, const struct config_limits *l, int64_t now_ns,
                 struct limit_answer *a)
{
    int64_t requests = l->rpm - s->sum_requests, tokens = l->tpm - s->sum_tokens;
    requests = requests > 0 ? requests : 0;
    tokens = tokens > 0 ? tokens : 0;
    if (l->rpm > 0 && (a->requests_left < 0 || requests < a->requests_left)) {
        a->requests_limit = l->rpm;
        a->requests_left = requests;
        a->requests_reset_ms = s->sum_requests > 0 ? until_empty_ms(s, s->requests, now_ns) : 0;
    }
    if (l->tpm > 0 && (a->tokens_left < 0 || tokens < a->tokens_left)) {
        a->tokens_limit = l->tpm;
        a->tokens_left = tokens;
        a->tokens_reset_ms = s->sum_tokens > 0 ? until_empty_ms(s, s->tokens, now_ns) : 0;
    }
}

static void take(struct limit_counts *s, int64_t tokens, int64_t nano)
{
    int i = (int)(s->second % LIMIT_SECONDS);
    s->requests[i]++;
    s->sum_requests++;
    s->tokens[i] += tokens;
    s->sum_tokens += tokens;
    s->n_running++;
    s->reserved_nano += nano;
    s->reserved_tokens += tokens;
}

static void give_back(struct limit_counts *s, const struct reservation *r, int64_t window_start_s,
                      int64_t tokens, int64_t nano)
{
    s->n_running--;
    if (s->second - r->second < LIMIT_SECONDS) { /* still in the window: correct its bucket */
        s->tokens[r->second % LIMIT_SECONDS] += tokens - r->tokens;
        s->sum_tokens += tokens - r->tokens;
    }
    if (window_start_s == s->window_start_s) {
        s->reserved_nano -= r->nano;
        s->reserved_tokens -= r->tokens;
    }
    /* What was spent counts in the window in which it ended. */
    s->spent_nano += nano;
    s->spent_tokens += tokens;
}

/* ---- users ---- */

bool limit_has_users(const struct config_limits *l)
{
    const struct config_user_limits *u = &l->per_user;
    return u->rpm > 0 || u->tpm > 0 || u->concurrency > 0 || u->budget_nano > 0 || u->token_budget > 0;
}

static struct config_limits limits_of_user(const struct config_limits *l)
{
    const struct config_user_limits *u = &l->per_user;
    return (struct config_limits){.rpm = u->rpm,
                                  .tpm = u->tpm,
                                  .concurrency = u->concurrency,
                                  .budget_nano = u->budget_nano > 0 ? u->budget_nano : -1,
                                  .budget_per = u->budget_per,
                                  .token_budget = u->token_budget};
}

static void move_to(struct limit_counts *s, const struct config_limits *l, int64_t now_ns, int64_t wall_ns)
{
    slide(s, now_ns / NS_PER_S);
    enter_window(s, l, wall_ns);
}

/* ---- reserve, settle ---- */

struct limit_answer limit_reserve(struct limit_state *s, const struct config_limits *l, struct str user,
                                  int64_t tokens, int64_t nano, int64_t now_ns, int64_t wall_ns,
                                  struct reservation *r)
{
    struct limit_answer a = {
        .requests_limit = -1, .tokens_limit = -1, .requests_left = -1, .tokens_left = -1};
    bool has_user = limit_has_users(l);
    uint64_t hash = has_user ? str_hash(user) : 0;
    struct config_limits ul = limits_of_user(l);
    struct limit_counts *own = NULL;
    *r = (struct reservation){0};
    pthread_mutex_lock(&s->lock);
    move_to(&s->counts, l, now_ns, wall_ns);
    a.refusal = check(&s->counts, l, tokens, nano, now_ns, wall_ns, &a.retry_after_ms);
    struct limit_user *u = has_user ? limit_user_take(&s->users, hash) : NULL;
    if (u) {
        own = &u->counts;
        move_to(own, &ul, now_ns, wall_ns);
    }
    if (a.refusal == LIMIT_NONE && has_user) {
        a.refusal =
            own ? check(own, &ul, tokens, nano, now_ns, wall_ns, &a.retry_after_ms) : LIMIT_CONCURRENCY;
        a.retry_after_ms = own ? a.retry_after_ms : 1000;
        a.is_user = a.refusal != LIMIT_NONE;
    }
    if (a.refusal == LIMIT_NONE) {
        take(&s->counts, tokens, nano);
        *r = (struct reservation){.second = s->counts.second,
                                  .tokens = tokens,
                                  .nano = nano,
                                  .window_start_s = s->counts.window_start_s,
                                  .is_held = true};
        if (own) {
            take(own, tokens, nano);
            r->has_user = true;
            r->user = hash;
            r->user_window_start_s = own->window_start_s;
        }
    }
    tell(&s->counts, l, now_ns, &a);
    if (own)
        tell(own, &ul, now_ns, &a);
    pthread_mutex_unlock(&s->lock);
    return a;
}

static bool has_budget_for(const struct limit_counts *s, const struct config_limits *l, int64_t tokens,
                           int64_t nano)
{
    return (l->budget_nano < 0 || s->spent_nano + s->reserved_nano + nano <= l->budget_nano) &&
           (l->token_budget == 0 || s->spent_tokens + s->reserved_tokens + tokens <= l->token_budget);
}

static void take_more(struct limit_counts *s, const struct reservation *r, int64_t window_start_s,
                      int64_t tokens, int64_t nano)
{
    if (s->second - r->second < LIMIT_SECONDS) {
        s->tokens[r->second % LIMIT_SECONDS] += tokens;
        s->sum_tokens += tokens;
    }
    if (window_start_s == s->window_start_s) {
        s->reserved_nano += nano;
        s->reserved_tokens += tokens;
    }
}

bool limit_extend(struct limit_state *s, const struct config_limits *l, int64_t tokens, int64_t nano,
                  int64_t now_ns, int64_t wall_ns, struct reservation *r)
{
    if (!r->is_held)
        return true;
    struct config_limits ul = limits_of_user(l);
    pthread_mutex_lock(&s->lock);
    struct limit_user *u = r->has_user ? limit_user_find(s->users, r->user) : NULL;
    move_to(&s->counts, l, now_ns, wall_ns);
    if (u)
        move_to(&u->counts, &ul, now_ns, wall_ns);
    bool ok =
        has_budget_for(&s->counts, l, tokens, nano) && (!u || has_budget_for(&u->counts, &ul, tokens, nano));
    if (ok) {
        take_more(&s->counts, r, r->window_start_s, tokens, nano);
        if (u)
            take_more(&u->counts, r, r->user_window_start_s, tokens, nano);
        r->tokens += tokens;
        r->nano += nano;
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void limit_settle(struct limit_state *s, const struct config_limits *l, struct reservation *r, int64_t tokens,
                  int64_t nano, int64_t now_ns, int64_t wall_ns)
{
    if (!r->is_held)
        return;
    r->is_held = false;
    struct config_limits ul = limits_of_user(l);
    pthread_mutex_lock(&s->lock);
    move_to(&s->counts, l, now_ns, wall_ns);
    give_back(&s->counts, r, r->window_start_s, tokens, nano);
    struct limit_user *u = r->has_user ? limit_user_find(s->users, r->user) : NULL;
    if (u) { /* it has a request running, so it was not forgotten */
        move_to(&u->counts, &ul, now_ns, wall_ns);
        give_back(&u->counts, r, r->user_window_start_s, tokens, nano);
    }
    pthread_mutex_unlock(&s->lock);
}

static void restore(struct limit_counts *c, int64_t window_start_s, int64_t nano, int64_t tokens)
{
    c->window_start_s = window_start_s;
    c->spent_nano = nano;
    c->spent_tokens = tokens;
}

void limit_restore(struct limit_state *s, int64_t window_start_s, int64_t nano, int64_t tokens)
{
    pthread_mutex_lock(&s->lock);
    restore(&s->counts, window_start_s, nano, tokens);
    pthread_mutex_unlock(&s->lock);
}

void limit_restore_user(struct limit_state *s, struct str user, int64_t window_start_s, int64_t nano,
                        int64_t tokens)
{
    pthread_mutex_lock(&s->lock);
    struct limit_user *u = limit_user_take(&s->users, str_hash(user));
    if (u)
        restore(&u->counts, window_start_s, nano, tokens);
    pthread_mutex_unlock(&s->lock);
}
