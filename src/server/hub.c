/* hub.c - Which file a name on a hub means.  See hub.h; start reading at hub_choose(). */
#include "server/hub.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/json.h"

#define PATH_BYTES_MAX  1024
#define FOLDERS_DEEP    8 /* below a repository, when pulled files are looked for */
#define PART_NAME_BYTES (sizeof "-00001-of-00002.gguf" - 1)

const char *const hub_preferred[] = {"Q4_K_M", "Q5_K_M", "Q4_K_S", "Q4_0", "Q6_K",
                                     "Q8_0",   "BF16",   "F16",    NULL};
static const char *const companions[] = {"mmproj", "imatrix", NULL};

/* ---- names ---- */

bool hub_is_name(struct str text)
{
    return str_starts(text, S("hf:"));
}

static bool is_label(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '.';
        if (!fine)
            return false;
    }
    return s.n > 0 && s.n <= 96 && s.p[0] != '.';
}

/* A hub is a stranger: its names must stay below our folder. */
static bool is_safe_path(struct str path)
{
    struct str rest = path, part;
    if (path.n == 0 || path.n > PATH_BYTES_MAX || !str_is_utf8(path))
        return false;
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f || path.p[i] == '\\')
            return false;
    while (str_split(&rest, '/', &part))
        if (part.n == 0 || part.p[0] == '.')
            return false;
    return true;
}

int hub_parse_name(struct str text, struct hub_name *name, struct err *err)
{
    struct str rest = str_sub(text, 3, text.n);
    size_t colon = str_find_char(rest, ':', 0);
    struct str repo = str_sub(rest, 0, colon);
    size_t slash = str_find_char(repo, '/', 0);
    *name = (struct hub_name){.file = colon == STR_NONE ? S("") : str_sub(rest, colon + 1, rest.n)};
    name->owner = str_sub(repo, 0, slash);
    name->repo = slash == STR_NONE ? S("") : str_sub(repo, slash + 1, repo.n);
    if (!hub_is_name(text) || !is_label(name->owner) || !is_label(name->repo) ||
        (colon != STR_NONE && !is_safe_path(name->file)))
        return fail(err, ERR_ARG,
                    "a model on the hub is written hf:OWNER/REPO or hf:OWNER/REPO:FILE, not '%.*s'",
                    STR(text));
    return OK;
}

/* ---- lists ---- */

static int by_path(const void *a, const void *b)
{
    return str_cmp(((const struct hub_file *)a)->path, ((const struct hub_file *)b)->path);
}

static bool is_sha256(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == 64;
}

int hub_read_list(struct str json, struct arena *arena, struct hub_list *list, struct err *err)
{
    struct json_doc doc;
    int rc = json_parse(&doc, arena, json, err);
    if (rc != OK) {
        err_prefix(err, "the hub's list of files");
        return rc;
    }
    struct json root = json_root(&doc), files = json_get(root, "siblings");
    if (!json_is(files, JSON_ARRAY))
        return fail(err, ERR_FORMAT, "the hub's answer has no list of files");
    uint32_t n = json_count(files);
    if (n > HUB_FILES_MAX)
        return fail(err, ERR_LIMIT, "the repository has more than %d files", HUB_FILES_MAX);
    *list = (struct hub_list){.files = arena_new_array(arena, struct hub_file, n + 1),
                              .commit = json_text(json_get(root, "sha"), arena)};
    if (!list->files)
        return fail(err, ERR_NOMEM, "no memory for the hub's list of files");
    if (!list->commit.p || !is_label(list->commit))
        list->commit = S("");
    struct json_iter it = json_iter(files);
    while (json_next(&it)) {
        struct json lfs = json_get(it.value, "lfs");
        struct hub_file f = {.path = json_text(json_get(it.value, "rfilename"), arena), .bytes = -1};
        if (!f.path.p || !str_ends(f.path, S(".gguf")))
            continue;
        if (!is_safe_path(f.path))
            return fail(err, ERR_FORMAT, "the hub lists a file whose name cannot be used here");
        if (!json_i64(json_get(lfs, "size"), &f.bytes) && !json_i64(json_get(it.value, "size"), &f.bytes))
            f.bytes = -1;
        struct str sha = json_text(json_get(lfs, "sha256"), arena);
        f.sha256 = sha.p && is_sha256(sha) ? sha : S("");
        list->files[list->n++] = f;
    }
    qsort(list->files, (size_t)list->n, sizeof *list->files, by_path);
    return OK;
}

/* ---- sets of parts ---- */

/* "x-00002-of-00003.gguf": prefix "x", 2 of 3. */
static bool is_part(struct str path, struct str *prefix, uint64_t *no, uint64_t *count)
{
    if (path.n <= PART_NAME_BYTES)
        return false;
    struct str end = str_sub(path, path.n - PART_NAME_BYTES, path.n);
    *prefix = str_sub(path, 0, path.n - PART_NAME_BYTES);
    return end.p[0] == '-' && str_eq(str_sub(end, 6, 10), S("-of-")) && str_to_u64(str_sub(end, 1, 6), no) &&
           str_to_u64(str_sub(end, 10, 15), count) && *no >= 1 && *no <= *count && *count <= HUB_PARTS_MAX;
}

/* How many of the set that begins at `first` are there, in a row. */
static int n_present(const struct hub_list *list, int first, int *n_all)
{
    struct str prefix, other;
    uint64_t no, count, k, m;
    *n_all = 1;
    if (!is_part(list->files[first].path, &prefix, &no, &count))
        return 1;
    *n_all = (int)count;
    int n = 1;
    while (first + n < list->n && (uint64_t)n < count &&
           is_part(list->files[first + n].path, &other, &k, &m) && str_eq(prefix, other) && m == count &&
           k == (uint64_t)n + 1)
        n++;
    return n;
}

bool hub_is_first(const struct hub_list *list, int i, int *n_parts, int64_t *bytes)
{
    struct str prefix;
    uint64_t no, count;
    if (is_part(list->files[i].path, &prefix, &no, &count) && no != 1)
        return false;
    int n_all;
    int n = n_present(list, i, &n_all);
    *n_parts = n_all;
    *bytes = 0;
    for (int k = 0; k < n && *bytes >= 0; k++)
        *bytes = list->files[i + k].bytes < 0 ? -1 : *bytes + list->files[i + k].bytes;
    return true;
}

/* ---- the choice ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool is_word_char(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* `word` in `text`, any case, with no letter or digit beside it; an underscore behind it would
 * begin another quantisation's name (Q4_K and Q4_K_M). */
static bool has_word(struct str text, struct str word)
{
    for (size_t i = 0; word.n && i + word.n <= text.n; i++) {
        size_t behind = i + word.n;
        if (!str_eq_nocase(str_sub(text, i, behind), word) || (i > 0 && is_word_char(text.p[i - 1])) ||
            (behind < text.n && (is_word_char(text.p[behind]) || text.p[behind] == '_')))
            continue;
        return true;
    }
    return false;
}

static bool is_companion(struct str path, struct str wanted)
{
    for (int i = 0; companions[i]; i++)
        if (has_word(path, str_c(companions[i])) && !has_word(wanted, str_c(companions[i])))
            return true;
    return false;
}

/* How many models have the word (all, if it is empty); the first of them in *first. */
static int count_with(const struct hub_list *list, struct str word, int *first)
{
    int n = 0, n_parts;
    int64_t bytes;
    for (int i = 0; i < list->n; i++) {
        if (!hub_is_first(list, i, &n_parts, &bytes) || is_companion(list->files[i].path, word) ||
            (word.n && !has_word(list->files[i].path, word)))
            continue;
        if (n++ == 0)
            *first = i;
    }
    return n;
}

static int take_set(const struct hub_list *list, int first, int *n, struct err *err)
{
    int n_all;
    *n = n_present(list, first, &n_all);
    if (*n < n_all)
        return fail(err, ERR_NOT_FOUND, "of '%.*s' only %d of %d parts are there",
                    STR(list->files[first].path), *n, n_all);
    return OK;
}

/* The set that file i belongs to. */
static int first_of_set(const struct hub_list *list, int i)
{
    struct str prefix, other;
    uint64_t no, count, k, m;
    if (is_part(list->files[i].path, &prefix, &no, &count))
        while (i > 0 && no > 1 && is_part(list->files[i - 1].path, &other, &k, &m) && str_eq(prefix, other) &&
               m == count && k == no - 1) {
            i--;
            no--;
        }
    return i;
}

int hub_choose(const struct hub_list *list, struct str wanted, int *first, int *n, struct err *err)
{
    for (int i = 0; i < list->n; i++)
        if (str_eq(list->files[i].path, wanted)) {
            *first = first_of_set(list, i);
            return take_set(list, *first, n, err);
        }
    int have = count_with(list, wanted, first);
    if (have == 0)
        return wanted.n ? fail(err, ERR_NOT_FOUND, "no GGUF file is named '%.*s'", STR(wanted))
                        : fail(err, ERR_NOT_FOUND, "there is no GGUF file");
    if (have == 1)
        return take_set(list, *first, n, err);
    if (wanted.n)
        return fail(err, ERR_ARG, "'%.*s' fits %d models: name the whole file", STR(wanted), have);
    for (int i = 0; hub_preferred[i]; i++)
        if (count_with(list, str_c(hub_preferred[i]), first) == 1)
            return take_set(list, *first, n, err);
    return fail(err, ERR_ARG, "there are %d models: say which one, as OWNER/REPO:FILE", have);
}

/* ---- what was pulled ---- */

struct scan {
    struct arena *arena;
    struct hub_list *list;
    int depth;
};

static bool scan_folder(struct scan *s, const char *folder, struct str below)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return true;
    bool ok = true;
    struct dirent *e;
    while (ok && (e = readdir(dir))) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        struct str path = below.n ? arena_printf(s->arena, "%.*s/%s", STR(below), e->d_name)
                                  : arena_str(s->arena, str_c(e->d_name));
        struct str full = arena_printf(s->arena, "%s/%s", folder, e->d_name);
        char *full_z = full.p ? arena_str_z(s->arena, full) : NULL;
        ok = path.p && full_z;
        if (!ok || stat(full_z, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode) && s->depth < FOLDERS_DEEP) {
            s->depth++;
            ok = scan_folder(s, full_z, path);
            s->depth--;
        } else if (S_ISREG(st.st_mode) && str_ends(path, S(".gguf")) && s->list->n < HUB_FILES_MAX) {
            s->list->files[s->list->n++] = (struct hub_file){path, st.st_size, S("")};
        }
    }
    closedir(dir);
    return ok;
}

int hub_find_pulled(struct str models_dir, struct str text, struct buf *path, struct err *err)
{
    struct hub_name name;
    struct arena arena;
    struct hub_list list = {0};
    int first = 0, n = 0, rc = hub_parse_name(text, &name, err);
    if (rc != OK)
        return rc;
    arena_init(&arena, (size_t)64 << 20);
    struct scan s = {&arena, &list, 0};
    char *folder = arena_str_z(
        &arena, arena_printf(&arena, "%.*s/%.*s/%.*s", STR(models_dir), STR(name.owner), STR(name.repo)));
    list.files = arena_new_array(&arena, struct hub_file, HUB_FILES_MAX);
    if (!folder || !list.files || !scan_folder(&s, folder, S("")))
        rc = fail(err, ERR_NOMEM, "no memory for a list of files");
    if (rc == OK) {
        qsort(list.files, (size_t)list.n, sizeof *list.files, by_path);
        rc = hub_choose(&list, name.file, &first, &n, err);
        if (rc == ERR_NOT_FOUND)
            fail(err, rc, "'%.*s' is not in %.*s: get it with `sluice pull %.*s`", STR(text), STR(models_dir),
                 STR(text));
    }
    if (rc == OK && !buf_printf(path, "%s/%.*s", folder, STR(list.files[first].path)))
        rc = fail(err, ERR_LIMIT, "the path of '%.*s' is too long", STR(text));
    arena_deinit(&arena);
    return rc;
}
