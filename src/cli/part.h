/* part.h - A file that is being downloaded: FILE.part with its checksum, until it stands under its own name.
 *
 * Owner: the thread of the command.  An advisory lock keeps a second pull away. */
#ifndef CLI_PART_H
#define CLI_PART_H

#include "cli/cli.h"
#include "net/digest.h"
#include "server/hub.h"

struct part {
    const struct hub_file *file;
    struct str sha256;
    char *path, *final_path;
    int fd;
    uint64_t have, total; /* total 0: not known yet */
    struct digest *digest;
    struct progress progress;
};

/* True if the file is there already under its own name, whole and right (it is read for that). */
bool part_is_pulled(struct part *t);
/* Opens path, takes what an earlier pull left there, and looks whether the rest has room on the disk. */
int part_open(struct part *t, struct err *err);
/* Forgets what came so far. */
int part_begin_again(struct part *t, struct err *err);
int part_write(struct part *t, struct str data, struct err *err);
/* Checks the SHA-256, syncs, renames.  A wrong one discards what came: ERR_FORMAT. */
int part_put_in_place(struct part *t, struct err *err);
void part_close(struct part *t); /* what is there stays; also after any failure */

#endif
