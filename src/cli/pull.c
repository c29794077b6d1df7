/* pull.c - From the hub's list of files to verified files on disk.  See pull.h; start at pull_model().
 *
 * What the hub is asked:
 *   GET  /api/models/OWNER/REPO/revision/REV?blobs=true   files, sizes, SHA-256, commit
 *   HEAD /OWNER/REPO/resolve/COMMIT/FILE                  only if that list had no SHA-256: X-Linked-Etag
 *   GET  /OWNER/REPO/resolve/COMMIT/FILE                  redirects to a file store, with Range
 * Everything after the list names the commit, so that a change of the repository in between cannot mix two
 * versions. */
#include "cli/pull.h"

#include <stdio.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/sys.h"
#include "cli/part.h"
#include "net/fetch.h"

#define HUB_DEFAULT     "https://huggingface.co"
#define LIST_BYTES_MAX  ((size_t)64 << 20)
#define TRIES_MAX       6 /* in a row without one new byte */
#define PAUSE_MAX_S     30
#define RETRY_AFTER_MAX 300

struct pull {
    const struct pull_options *o;
    struct hub_name name;
    struct str endpoint, token, authorization;
    struct str revision; /* encoded for a path */
    struct arena arena;
    struct fetch *fetch;
    struct proxy_rules *proxies;
    struct hub_list list;
    struct err err; /* what to tell if it fails */
    int first, n;   /* the chosen files */
    /* the running transfer */
    int status;
    int64_t retry_after_s; /* -1: not said */
    struct buf body;       /* of the list */
    struct str problem;    /* in the hub's words; may be empty */
    struct part *part;
    struct str linked; /* SHA-256 by X-Linked-Etag */
};

/* What a path may not have in a URL is encoded. */
static void add_encoded(struct buf *out, struct str path, bool keeps_slash)
{
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~' || (c == '/' && keeps_slash);
        buf_printf(out, plain ? "%c" : "%%%02X", plain ? c : (unsigned char)c);
    }
}

/* ---- what the hub says ---- */

static bool is_transient(int status)
{
    return status == 408 || status == 429 || status >= 500;
}

/* One sentence for a status that is no success. */
static int explain(struct pull *p, const char *what)
{
    struct url u = {0};
    url_parse(p->endpoint, &u, NULL);
    const struct hub_name *n = &p->name;
    const char *repo = "";
    int code = ERR_NOT_FOUND;
    struct str said = p->problem;
    struct buf words;
    buf_init(&words, 1024);
    if (said.n)
        buf_printf(&words, " (the hub says: %.*s)", STR(str_sub(said, 0, 200)));
    repo = buf_z(&words);
    switch (p->status) {
    case 401:
        fail(&p->err, code,
             p->token.n
                 ? "%.*s does not accept HF_TOKEN for %.*s/%.*s%s"
                 : "%.*s does not show %.*s/%.*s to everybody: it does not exist, or is private or gated; "
                   "set HF_TOKEN%s",
             STR(u.host), STR(n->owner), STR(n->repo), repo);
        break;
    case 403:
        fail(&p->err, code,
             "%.*s/%.*s is gated: accept its terms at %.*s/%.*s/%.*s and set HF_TOKEN to a token that may "
             "read it%s",
             STR(n->owner), STR(n->repo), STR(p->endpoint), STR(n->owner), STR(n->repo), repo);
        break;
    case 404:
        fail(&p->err, code, "%.*s has no %s of %.*s/%.*s at revision '%.*s'%s", STR(u.host), what,
             STR(n->owner), STR(n->repo), STR(p->o->revision), repo);
        break;
    default:
        code = is_transient(p->status) ? ERR_CLOSED : ERR_FORMAT;
        fail(&p->err, code, "%.*s answered with status %d%s", STR(u.host), p->status, repo);
    }
    buf_deinit(&words);
    return code;
}

/* A stranger's words, for a terminal. */
static struct str printable(struct pull *p, struct str s)
{
    struct str copy = arena_str(&p->arena, str_sub(s, 0, 200));
    for (size_t i = 0; copy.p && i < copy.n; i++)
        if ((unsigned char)copy.p[i] < 0x20 || copy.p[i] == 0x7f)
            ((char *)copy.p)[i] = '?';
    return copy.p ? copy : S("");
}

/* "\"<64 hex>\"", perhaps with W/ before it. */
static struct str etag_sha256(struct pull *p, struct str etag)
{
    if (str_starts(etag, S("W/")))
        etag = str_sub(etag, 2, etag.n);
    if (etag.n == 66 && etag.p[0] == '"' && etag.p[65] == '"')
        etag = str_sub(etag, 1, 65);
    for (size_t i = 0; i < etag.n; i++)
        if (!((etag.p[i] >= '0' && etag.p[i] <= '9') || (etag.p[i] >= 'a' && etag.p[i] <= 'f')))
            return S("");
    return etag.n == 64 ? arena_str(&p->arena, etag) : S("");
}

/* What every answer on the way says; only the hub itself is believed about the file. */
static void note_head(struct pull *p, const struct fetch_hop *hop)
{
    const struct http_head *h = hop->head;
    p->status = h->status;
    p->retry_after_s = -1;
    str_to_i64(http_value(h, S("retry-after")), &p->retry_after_s);
    if (!hop->is_same_origin)
        return;
    p->problem = printable(p, http_value(h, S("x-error-message")));
    struct str sha = etag_sha256(p, http_value(h, S("x-linked-etag")));
    p->linked = sha.n ? sha : p->linked;
}

/* Tries again what a broken network or a busy server did not give, as long as that brings something. */
static int with_patience(struct pull *p, int (*once)(struct pull *p),
                         uint64_t (*progress)(const struct pull *p))
{
    struct rng rng;
    uint64_t seed;
    rand_secure(&seed, sizeof seed);
    rng = rng_seeded(seed);
    uint64_t before = progress(p);
    for (int tries = 1;; tries++) {
        int rc = once(p);
        if (rc != ERR_CLOSED)
            return rc;
        if (progress(p) > before)
            tries = 1;
        before = progress(p);
        if (tries >= TRIES_MAX)
            return rc;
        int64_t most = INT64_C(500) << (tries - 1), pause_ms;
        most = most > PAUSE_MAX_S * 1000 ? PAUSE_MAX_S * 1000 : most;
        pause_ms = most / 2 + (int64_t)rng_below(&rng, (uint64_t)most / 2 + 1);
        if (p->retry_after_s > RETRY_AFTER_MAX)
            return rc;
        if (p->retry_after_s * 1000 > pause_ms)
            pause_ms = p->retry_after_s * 1000;
        fprintf(stderr, "%s%s; trying again in %.1f s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "",
                p->err.text, (double)pause_ms / 1000);
        usleep((useconds_t)pause_ms * 1000);
    }
}

/* ---- the list ---- */

static int on_list_head(void *user, const struct fetch_hop *hop, struct err *err)
{
    (void)err;
    struct pull *p = user;
    note_head(p, hop);
    buf_clear(&p->body);
    return OK;
}

static int on_list_data(void *user, struct str data, struct err *err)
{
    struct pull *p = user;
    return buf_str_add(&p->body, data) ? OK : fail(err, ERR_LIMIT, "the hub's list is too large");
}

static int ask_list(struct pull *p)
{
    struct str url = arena_printf(&p->arena, "%.*s/api/models/%.*s/%.*s/revision/%.*s?blobs=true",
                                  STR(p->endpoint), STR(p->name.owner), STR(p->name.repo), STR(p->revision));
    struct fetch_request rq = {.url = url,
                               .authorization = p->authorization,
                               .on_head = on_list_head,
                               .on_data = on_list_data,
                               .user = p};
    if (!url.p)
        return fail(&p->err, ERR_NOMEM, "no memory for an address");
    int rc = fetch_get(p->fetch, &rq, &p->err);
    return rc == OK && p->status != 200 ? explain(p, "list of files") : rc;
}

static uint64_t no_progress(const struct pull *p)
{
    (void)p;
    return 0;
}

static void print_choices(const struct pull *p, int chosen)
{
    for (int i = 0; i < p->list.n; i++) {
        int n_parts;
        int64_t bytes;
        char text[32] = "size unknown";
        if (!hub_is_first(&p->list, i, &n_parts, &bytes))
            continue;
        if (bytes >= 0)
            cli_print_bytes(text, sizeof text, (uint64_t)bytes);
        fprintf(stderr, "%s %-52.*s %12s", i == chosen ? "*" : " ", STR(p->list.files[i].path), text);
        fprintf(stderr, n_parts > 1 ? "  %d parts\n" : "\n", n_parts);
    }
}

static int choose(struct pull *p)
{
    int rc = with_patience(p, ask_list, no_progress);
    struct str text = arena_str(&p->arena, buf_str(&p->body));
    if (rc == OK && !text.p)
        rc = fail(&p->err, ERR_NOMEM, "no memory for the hub's list");
    if (rc == OK)
        rc = hub_read_list(text, &p->arena, &p->list, &p->err);
    if (rc != OK)
        return rc;
    rc = hub_choose(&p->list, p->name.file, &p->first, &p->n, &p->err);
    if (rc != OK || (p->name.file.n == 0 && p->list.n > p->n))
        print_choices(p, rc == OK ? p->first : -1);
    return rc == OK ? OK : err_prefix(&p->err, "%.*s/%.*s", STR(p->name.owner), STR(p->name.repo));
}

/* ---- one file ---- */

static struct str file_url(struct pull *p, const struct hub_file *f)
{
    struct buf b;
    buf_init(&b, 16384);
    buf_printf(&b, "%.*s/%.*s/%.*s/resolve/%.*s/", STR(p->endpoint), STR(p->name.owner), STR(p->name.repo),
               STR(p->list.commit.n ? p->list.commit : p->revision));
    add_encoded(&b, f->path, true);
    struct str url = buf_ok(&b) ? arena_str(&p->arena, buf_str(&b)) : (struct str){0};
    buf_deinit(&b);
    return url;
}

/* The redirect itself says it: nobody needs to follow. */
static int on_linked_head(void *user, const struct fetch_hop *hop, struct err *err)
{
    struct pull *p = user;
    note_head(p, hop);
    if (hop->is_redirect && !p->linked.n)
        return OK;
    if (!p->linked.n && hop->is_same_origin)
        p->linked = etag_sha256(p, http_value(hop->head, S("etag")));
    return fail(err, ERR_CANCELLED, "said");
}

static int ask_linked(struct pull *p)
{
    struct fetch_request rq = {.url = file_url(p, p->part->file),
                               .authorization = p->authorization,
                               .is_head = true,
                               .on_head = on_linked_head,
                               .user = p};
    p->linked = S("");
    if (!rq.url.p)
        return fail(&p->err, ERR_NOMEM, "no memory for an address");
    int rc = fetch_get(p->fetch, &rq, &p->err);
    if (rc != OK && rc != ERR_CANCELLED)
        return rc;
    if (p->status >= 400)
        return explain(p, "such file");
    return p->linked.n
               ? OK
               : fail(&p->err, ERR_FORMAT, "the hub tells no SHA-256 of '%.*s', so it could not be verified",
                      STR(p->part->file->path));
}

static bool range_fits(const struct part *t, struct str range)
{
    char want[64];
    snprintf(want, sizeof want, "bytes %llu-", (unsigned long long)t->have);
    size_t slash = str_find_char(range, '/', 0);
    uint64_t total = 0;
    return str_starts(range, str_c(want)) && slash != STR_NONE &&
           (str_eq(str_sub(range, slash + 1, range.n), S("*")) ||
            (str_to_u64(str_sub(range, slash + 1, range.n), &total) && (!t->total || total == t->total)));
}

static int on_file_head(void *user, const struct fetch_hop *hop, struct err *err)
{
    struct pull *p = user;
    struct part *t = p->part;
    const struct http_head *h = hop->head;
    note_head(p, hop);
    if (p->linked.n && !str_eq(p->linked, t->sha256))
        return fail(err, ERR_FORMAT, "the hub tells two different checksums of '%.*s'", STR(t->file->path));
    if (hop->is_redirect)
        return OK;
    if (h->status == 206 && t->have > 0)
        return range_fits(t, http_value(h, S("content-range")))
                   ? OK
                   : fail(err, ERR_FORMAT, "'%.*s' came with another range than was asked for",
                          STR(t->file->path));
    if (h->status == 416) { /* what is there does not belong to it */
        int rc = part_begin_again(t, err);
        return rc ? rc : fail(err, ERR_CLOSED, "the rest of '%.*s' cannot be had alone", STR(t->file->path));
    }
    if (h->status != 200)
        return explain(p, "such file");
    if (t->total && h->framing == HTTP_LENGTH && h->content_length != t->total)
        return fail(err, ERR_FORMAT, "'%.*s' has %llu bytes, the hub says %llu", STR(t->file->path),
                    (unsigned long long)h->content_length, (unsigned long long)t->total);
    if (!t->total && h->framing == HTTP_LENGTH)
        t->total = h->content_length;
    return t->have > 0 ? part_begin_again(t, err) : OK;
}

static int on_file_data(void *user, struct str data, struct err *err)
{
    struct pull *p = user;
    struct part *t = p->part;
    if (t->total && data.n > t->total - t->have)
        return fail(err, ERR_FORMAT, "'%.*s' is longer than the %llu bytes that the hub says",
                    STR(t->file->path), (unsigned long long)t->total);
    int rc = part_write(t, data, err);
    progress_bytes(&t->progress, t->have, t->total);
    return rc;
}

static int ask_file(struct pull *p)
{
    struct part *t = p->part;
    struct fetch_request rq = {.url = file_url(p, t->file),
                               .authorization = p->authorization,
                               .from = t->have,
                               .on_head = on_file_head,
                               .on_data = on_file_data,
                               .user = p};
    if (t->total && t->have == t->total)
        return OK;
    p->linked = S("");
    if (!rq.url.p)
        return fail(&p->err, ERR_NOMEM, "no memory for an address");
    int rc = fetch_get(p->fetch, &rq, &p->err);
    if (rc == OK && t->total && t->have < t->total)
        rc = fail(&p->err, ERR_CLOSED, "'%.*s' ended %llu bytes early", STR(t->file->path),
                  (unsigned long long)(t->total - t->have));
    return rc;
}

static uint64_t file_progress(const struct pull *p)
{
    return p->part->have;
}

static int make_paths(struct pull *p, struct part *t)
{
    struct str base = arena_printf(&p->arena, "%.*s/%.*s/%.*s/%.*s", STR(p->o->models_dir),
                                   STR(p->name.owner), STR(p->name.repo), STR(t->file->path));
    t->final_path = base.p ? arena_str_z(&p->arena, base) : NULL;
    t->path = base.p ? arena_str_z(&p->arena, arena_printf(&p->arena, "%.*s.%.*s.part", STR(base),
                                                           STR(str_sub(t->sha256, 0, 12))))
                     : NULL;
    if (!t->final_path || !t->path || !t->path[0])
        return fail(&p->err, ERR_NOMEM, "no memory for a path");
    char *folder = arena_str_z(&p->arena, base);
    if (!folder)
        return fail(&p->err, ERR_NOMEM, "no memory for a path");
    *strrchr(folder, '/') = 0;
    return sys_make_folders(folder, &p->err);
}

static int pull_file(struct pull *p, const struct hub_file *f)
{
    struct part t = {
        .file = f, .sha256 = f->sha256, .fd = -1, .total = f->bytes > 0 ? (uint64_t)f->bytes : 0};
    char *label = arena_str_z(&p->arena, f->path);
    p->part = &t;
    int rc = label ? OK : fail(&p->err, ERR_NOMEM, "no memory for a name");
    if (rc == OK && !t.sha256.n) {
        rc = with_patience(p, ask_linked, file_progress);
        t.sha256 = p->linked;
    }
    rc = rc ? rc : make_paths(p, &t);
    if (rc == OK && part_is_pulled(&t)) {
        fprintf(stderr, "%s: there already, and right\n", label);
        p->part = NULL;
        return OK;
    }
    rc = rc ? rc : part_open(&t, &p->err);
    if (rc == OK) {
        progress_begin(&t.progress, label);
        rc = with_patience(p, ask_file, file_progress);
        progress_end(&t.progress);
    }
    rc = rc ? rc : part_put_in_place(&t, &p->err);
    part_close(&t);
    p->part = NULL;
    return rc;
}

/* ---- all of it ---- */

static int prepare(struct pull *p)
{
    struct str endpoint = str_c(config_env("HF_ENDPOINT"));
    struct url u;
    p->endpoint = endpoint.n ? endpoint : S(HUB_DEFAULT);
    while (str_ends(p->endpoint, S("/")))
        p->endpoint.n--;
    p->token = str_trim(str_c(config_env("HF_TOKEN")));
    if (url_parse(p->endpoint, &u, NULL) != OK || u.query.n || u.userinfo.n)
        return fail(&p->err, ERR_ARG, "HF_ENDPOINT is not an address like " HUB_DEFAULT);
    int rc = hub_parse_name(p->o->name, &p->name, &p->err);
    rc = rc ? rc : config_proxies(config_env, &p->proxies, &p->err);
    if (rc != OK)
        return rc;
    p->authorization = p->token.n ? arena_printf(&p->arena, "Bearer %.*s", STR(p->token)) : S("");
    p->fetch = fetch_create(p->proxies, &p->err);
    struct buf revision;
    buf_init(&revision, 4096);
    add_encoded(&revision, p->o->revision, false);
    p->revision = buf_ok(&revision) ? arena_str(&p->arena, buf_str(&revision)) : (struct str){0};
    buf_deinit(&revision);
    if (!p->revision.p || !p->authorization.p)
        return fail(&p->err, ERR_NOMEM, "no memory for an address");
    return p->fetch ? OK : p->err.code;
}

int pull_model(const struct pull_options *o, struct buf *path)
{
    struct pull p = {.o = o};
    arena_init(&p.arena, LIST_BYTES_MAX * 4);
    buf_init(&p.body, LIST_BYTES_MAX);
    int rc = prepare(&p);
    rc = rc ? rc : choose(&p);
    for (int i = 0; rc == OK && i < p.n; i++)
        rc = pull_file(&p, &p.list.files[p.first + i]);
    if (rc == OK && !buf_printf(path, "%.*s/%.*s/%.*s/%.*s", STR(o->models_dir), STR(p.name.owner),
                                STR(p.name.repo), STR(p.list.files[p.first].path)))
        rc = fail(&p.err, ERR_LIMIT, "the path is too long");
    fetch_free(p.fetch);
    proxy_rules_free(p.proxies);
    buf_deinit(&p.body);
    arena_deinit(&p.arena);
    return rc == OK ? EXIT_OK : cli_fail(rc == ERR_ARG ? EXIT_USAGE : EXIT_FAIL, "%s", p.err.text);
}
