/* error.h - one status and one sentence per failure. */
#ifndef TT_BASE_ERROR_H
#define TT_BASE_ERROR_H

#include "tintype/tintype.h"

/* The sentence of the last failure. Owned by the caller, usually inside a tt_context. */
typedef struct tt_error {
    char text[1024];
} tt_error;

/* Writes the printf-formatted sentence into err (NULL is allowed) and returns status, so that a failing function can
 * end with `return tt_fail(err, TT_ERROR_FORMAT, "...")`. Control characters and broken UTF-8 that come from files are
 * shown as '?', so that a hostile name cannot drive a terminal. */
tt_status tt_fail(tt_error *err, tt_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence that err already holds; used where an outer layer knows the file or tensor. */
void tt_error_prefix(tt_error *err, const char *prefix);

/* The sentence for "memory is out": names what was wanted and how many bytes. */
tt_status tt_fail_memory(tt_error *err, const char *what, size_t n_bytes);

#endif
