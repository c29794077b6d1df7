/* err.c - Error codes with one sentence for a person.  See err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int set(struct err *err, int code, const char *fmt, va_list args)
{
    if (err) {
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, args);
    }
    return code;
}

int fail(struct err *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(err, code, fmt, args);
    va_end(args);
    return code;
}

int fail_errno(struct err *err, int errnum, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(err, ERR_IO, fmt, args);
    va_end(args);
    if (err) {
        char words[128];
        size_t n = strlen(err->text);
        /* The GNU form: returns the text, which need not be in the buffer. */
        const char *what = strerror_r(errnum, words, sizeof words);
        snprintf(err->text + n, sizeof err->text - n, ": %s", what);
    }
    return ERR_IO;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err)
        return ERR_STATE;
    char old[ERR_TEXT_MAX];
    memcpy(old, err->text, sizeof old);
    old[sizeof old - 1] = 0;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
    return err->code;
}

const char *err_name(int code)
{
    switch (code) {
    case OK: return "ok";
    case ERR_NOMEM: return "nomem";
    case ERR_FORMAT: return "format";
    case ERR_IO: return "io";
    case ERR_ARG: return "arg";
    case ERR_LIMIT: return "limit";
    case ERR_UNSUPPORTED: return "unsupported";
    case ERR_NOT_FOUND: return "not found";
    case ERR_BUSY: return "busy";
    case ERR_CANCELLED: return "cancelled";
    case ERR_TIMEOUT: return "timeout";
    case ERR_STATE: return "state";
    case ERR_CLOSED: return "closed";
    default: return "unknown";
    }
}
