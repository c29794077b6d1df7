/* report.h - Keys and usage for operators, the same on the command line and over HTTP.
 *
 * Everything here reads or writes the state and blocks: on the store thread or in a command. */
#ifndef GATEWAY_REPORT_H
#define GATEWAY_REPORT_H

#include "base/err.h"
#include "gateway/key.h"
#include "store/store.h"

#define REPORT_NAME_MAX 128

/* Check what is asked for and make the key: `wanted` without id, hash and times; its lifetime in
 * expires_s is seconds from now (0: for ever).  `text` gets the key, which is not kept anywhere,
 * and `id` its id.  ERR_ARG for a fault of the wish, with the field's name. */
int report_make_key(struct store *s, const struct store_key *wanted, char text[KEY_TEXT_BYTES],
                    char id[KEY_ID_BYTES], struct err *err);

/* {"key": TEXT, ...} of the key with this id; `text` empty: without it. */
int report_write_key(struct store *s, struct str id, struct str text, struct buf *out, struct err *err);
/* {"keys": [...]}: all that were ever made. */
int report_write_keys(struct store *s, struct buf *out, struct err *err);

enum report_form { REPORT_JSON, REPORT_CSV, REPORT_TABLE };
int report_write_usage(struct store *s, unsigned by, int64_t from_s, int64_t to_s, enum report_form form,
                       struct buf *out, struct err *err);

/* Dollars with nine decimals at most, without trailing zeros. */
void report_write_usd(int64_t nano, struct buf *out);

#endif
