/* pull.h - Brings a model from a hub into the folder of models, verified.
 *
 * A file is downloaded beside its place (FILE.<12 digits of its SHA-256>.part), checked against the
 * SHA-256 that the hub tells, synced and renamed: under its own name a file is always whole.  A
 * download that breaks goes on where it stopped, in this run and in the next one. */
#ifndef CLI_PULL_H
#define CLI_PULL_H

#include "base/str.h"

struct pull_options {
    struct str name;     /* hf:OWNER/REPO[:FILE] */
    struct str revision; /* branch, tag or commit */
    struct str models_dir;
};

/* The path of the (first) file into *path.  Progress goes to stderr.  Returns an exit status; on failure
 * the reason was said. */
int pull_model(const struct pull_options *o, struct buf *path);

#endif
