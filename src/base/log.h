/* log.h - One line per event, to a file descriptor, as text or as JSON.
 *
 * The library never prints: until log_open is called, everything here is a no-op.  Lines are
 * built in memory and written with one write each; a line is cut at LOG_LINE_MAX.  Secrets are
 * the caller's duty: log names and ids, never keys or bodies.  Thread-safe. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

#define LOG_LINE_MAX 4096

void log_open(int fd, enum log_level level, bool as_json);
enum log_level log_level(void);
static inline bool log_wants(enum log_level level)
{
    return level >= log_level();
}
/* `area` is the module that speaks ("engine", "net", ...). */
void log_write(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A line that is already in its final form; a newline is added. */
void log_raw(enum log_level level, struct str line);
/* For those who gather the lines of a moment and write them at once: append a whole line to `out`,
 * and write what was gathered.  False without memory: then nothing was appended. */
bool log_line(struct buf *out, enum log_level level, const char *area, struct str message);
void log_lines(struct str lines);
bool log_is_json(void);

#define log_debug(area, ...)                                                                                 \
    do {                                                                                                     \
        if (log_wants(LOG_DEBUG))                                                                            \
            log_write(LOG_DEBUG, area, __VA_ARGS__);                                                         \
    } while (0)
#define log_info(area, ...)                                                                                  \
    do {                                                                                                     \
        if (log_wants(LOG_INFO))                                                                             \
            log_write(LOG_INFO, area, __VA_ARGS__);                                                          \
    } while (0)
#define log_warn(area, ...)                                                                                  \
    do {                                                                                                     \
        if (log_wants(LOG_WARN))                                                                             \
            log_write(LOG_WARN, area, __VA_ARGS__);                                                          \
    } while (0)
#define log_error(area, ...)                                                                                 \
    do {                                                                                                     \
        if (log_wants(LOG_ERROR))                                                                            \
            log_write(LOG_ERROR, area, __VA_ARGS__);                                                         \
    } while (0)

#endif
