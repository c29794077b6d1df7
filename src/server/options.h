/* options.h - The one table of all options.
 *
 * A section is a mapping of the configuration file; it has rows, each with a name, a type, a
 * default, bounds, and the line that explains it.  The loader (config_load.c) reads a file by
 * this table, `sluice help config` and docs/configuration.md and the example file are printed
 * from it, and command-line flags of `serve` are its rows that have `flag` set.  A new option is
 * a new row and a field in gateway/config.h. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum option_type {
    OPT_INT,      /* int64_t */
    OPT_BYTES,    /* int64_t: 256MB, 1GiB, 4096 */
    OPT_DURATION, /* int64_t nanoseconds: 50ms, 2s, 1h, 30d */
    OPT_BOOL,     /* bool */
    OPT_TEXT,     /* struct str */
    OPT_SECRET,   /* struct str, never printed */
    OPT_TEXTS,    /* struct config_list; one text counts as a list of one */
    OPT_SECRETS,  /* struct config_list, never printed */
    OPT_MAP,      /* struct config_map: name: value */
    OPT_ENUM,     /* int64_t: position in `choices` */
    OPT_PRICE,    /* int64_t pico-dollars per token, given in dollars per million tokens */
    OPT_USD,      /* int64_t nano-dollars */
    OPT_SHARE,    /* int64_t billionths, given as a number from 0 to 1 */
    OPT_SECTION,  /* fields of the same struct, under a mapping of their own */
    OPT_LIST      /* list of mappings: pointer at `offset`, int count at `count_offset` */
};

/* A choice whose text begins with '!' is part of the contract but not of this version. */
struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *initial; /* default as text, read like a value of the file; NULL: empty or 0 */
    int64_t min, max;    /* OPT_INT, OPT_BYTES, OPT_DURATION; both 0: any that is not negative */
    const char *const *choices;
    const struct option *section; /* OPT_SECTION, OPT_LIST; ended by a row without a name */
    size_t item_bytes, count_offset;
    const char *flag; /* command-line name without the dashes */
    const char *doc;
    const char *sample; /* for the example file, where there is no default */
    bool is_required;
    bool is_later; /* not in this version */
};

/* The top-level section; offsets are into struct config. */
extern const struct option options_top[];

/* The reference page (Markdown) and a commented example file, made from the table. */
void options_write_docs(struct buf *out);
void options_write_example(struct buf *out);

/* The row of `section` with this name, or NULL. */
const struct option *options_find(const struct option *section, struct str name);
/* The row whose name is nearest to a wrong one, if near enough to be meant. */
const struct option *options_nearest(const struct option *section, struct str name);
/* The top-level or engine row whose command-line flag this is; *base gets the offset to add. */
const struct option *options_find_flag(struct str flag);

#endif
