/* llhttp_oracle_int.h - llhttp behind a function, because its header and ours use the same names. */
#ifndef NET_LLHTTP_ORACLE_INT_H
#define NET_LLHTTP_ORACLE_INT_H

#include <stdbool.h>

#include "base/str.h"

/* A message as one text: "METHOD target\nname: value\n...\n\nbody". */
struct reading {
    struct buf text;
    bool is_complete, is_upgrade;
    size_t used;
    size_t value_at;     /* where the present field's value begins in text */
    const char *verdict; /* llhttp's word for how it ended */
};

bool llhttp_is_here(void);
/* Reads one message and fills *r, whose text the caller frees.  True if it was read to its end. */
bool llhttp_read(struct str in, bool is_response, struct reading *r);

#endif
