/* ensure.c - Assertions of the engine thread that poison the engine instead of ending the host. */
#include "engine/ensure.h"

#include <stdlib.h>

#include "base/log.h"

static _Thread_local jmp_buf *catcher;

jmp_buf *ensure_catch(jmp_buf *where)
{
    jmp_buf *before = catcher;
    catcher = where;
    return before;
}

void ensure_failed(const char *fact, const char *file, int line)
{
    log_error("engine", "%s:%d: this should hold and does not: %s", file, line, fact);
    if (!catcher)
        abort();
    jmp_buf *where = catcher;
    catcher = NULL;
    longjmp(*where, 1);
}
