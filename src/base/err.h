/* err.h - How a function says what went wrong.
 *
 * A function that can fail returns int: OK, or one of the negative codes below.  Near the
 * outside it takes `struct err *err` last and puts one clear sentence there for the person
 * who will read it.  `err` may be NULL: then only the code is returned. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum {
    OK = 0,
    ERR_NOMEM = -1,       /* memory or an arena's maximum is exhausted */
    ERR_FORMAT = -2,      /* bytes that do not follow their format */
    ERR_IO = -3,          /* the operating system refused; the text has errno's words */
    ERR_ARG = -4,         /* a value given by somebody outside is not possible */
    ERR_LIMIT = -5,       /* more than a named limit */
    ERR_UNSUPPORTED = -6, /* understood, but not possible here */
    ERR_NOT_FOUND = -7,
    ERR_BUSY = -8, /* try again later: a queue is full, a lock is held */
    ERR_CANCELLED = -9,
    ERR_TIMEOUT = -10,
    ERR_STATE = -11, /* not possible in this state, for example after a poisoned context */
    ERR_CLOSED = -12 /* the other side is gone */
};

#define ERR_TEXT_MAX 512

struct err {
    int code;
    char text[ERR_TEXT_MAX]; /* NUL-terminated, cut at the end if longer */
};

/* Set *err (if not NULL) and return `code`. */
int fail(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As fail, with ": " and the words for `errnum` appended; code is ERR_IO. */
int fail_errno(struct err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "context: " before the text that is there already.  Returns err->code (ERR_STATE for NULL). */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A short name of the code ("format", "limit", ...), for logs and tests. */
const char *err_name(int code);

#endif
