/* hub.h - Names of models on a hub of model files: hf:OWNER/REPO[:FILE], and which file they mean.
 *
 * FILE is a path inside the repository, or a part of one file's name that stands between other
 * characters than letters and digits: "Q4_K_M" means the one file (or set of parts) that has it.
 * Without FILE: the only model of the repository, else the first of hub_preferred that exactly one
 * model has.  Files that are no language model of their own (mmproj, imatrix) are not looked at unless they
 * are named.
 *
 * Pulled files lie under MODELS_DIR/OWNER/REPO/, at their path in the repository, so the same rule finds them
 * again without asking anybody. */
#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define HUB_FILES_MAX 20000
#define HUB_PARTS_MAX 1000

/* Parts of one model's name; they borrow from the text. */
struct hub_name {
    struct str owner, repo, file; /* file: empty if not given */
};

bool hub_is_name(struct str text); /* begins with "hf:" */
int hub_parse_name(struct str text, struct hub_name *name, struct err *err);

struct hub_file {
    struct str path;   /* in the repository, checked: relative, no "..", no control characters */
    int64_t bytes;     /* -1: not known */
    struct str sha256; /* 64 lower-case hex digits; empty: not known */
};

struct hub_list {
    struct hub_file *files; /* GGUF files only, sorted by path */
    int n;
    struct str commit; /* of the repository; empty: not known */
};

/* Reads what the hub says about a repository (GET /api/models/OWNER/REPO/revision/R?blobs=true).
 * Everything lives in `arena`, `json` must too. */
int hub_read_list(struct str json, struct arena *arena, struct hub_list *list, struct err *err);

/* The file that `wanted` means, or the whole set of its parts: list->files[first .. first + n).
 * ERR_NOT_FOUND: none; ERR_ARG: more than one and no rule decides.  *err says which. */
int hub_choose(const struct hub_list *list, struct str wanted, int *first, int *n, struct err *err);
extern const char *const hub_preferred[]; /* ended by NULL */

/* The path of a model that was pulled (of a set: its first part).  ERR_NOT_FOUND: it was not, or not all of
 * it. */
int hub_find_pulled(struct str models_dir, struct str text, struct buf *path, struct err *err);

/* For the list of what there is: true if files[i] begins a model, whose files are n_parts and whose bytes are
 * *bytes (-1: not known). */
bool hub_is_first(const struct hub_list *list, int i, int *n_parts, int64_t *bytes);

#endif
