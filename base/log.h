/* log.h - where the library's log lines go; nothing is ever printed. */
#ifndef TT_BASE_LOG_H
#define TT_BASE_LOG_H

#include "tintype/tintype.h"

typedef struct tt_log {
    tt_log_fn fn; /* NULL: dropped */
    void *user;
} tt_log;

/* Formats one line and hands it to the receiver. log may be NULL. */
void tt_log_write(const tt_log *log, tt_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
