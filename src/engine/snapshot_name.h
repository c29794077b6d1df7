/* snapshot_name.h - How files of KV pages are called: snapshot_dir.c writes names, snapshot_trim.c reads
 * them. */
#ifndef ENGINE_SNAPSHOT_NAME_H
#define ENGINE_SNAPSHOT_NAME_H

#define SNAPSHOT_NAME_KEY 16 /* bytes of a key that its name tells */
#define SNAPSHOT_ENDING   ".kv"
#define SNAPSHOT_PART     ".part-" /* begins the names of files that are being written */
#define SNAPSHOT_NAME_BYTES                                                                                  \
    (4 * SNAPSHOT_NAME_KEY + 1 + sizeof SNAPSHOT_ENDING) /* without folder; the NUL counted */
#define SNAPSHOT_PATH_BYTES (SNAPSHOT_NAME_BYTES + 3)

#endif
