/* sandbox.h - a child process that decodes what strangers sent, with nothing it could reach.
 *
 * Each picture is decoded in a process of its own: rlimits on memory, time, files and processes, no new privileges, and
 * a seccomp filter (libseccomp) that leaves memory and exit. The child gets the body through memory that it shares with
 * the parent and puts pixels there; whatever else happens in it, the parent only sees how it ended (jail.h). */
#ifndef TT_SERVICE_SANDBOX_H
#define TT_SERVICE_SANDBOX_H

#include "base/error.h"

typedef struct tt_sandbox_limits {
    uint64_t max_memory;  /* bytes of address space beyond the shared block: default 512 MiB */
    double seconds;       /* of processor time, and twice that by the clock: default 10 */
    uint64_t max_bytes;   /* of a body: default 8 MiB */
    uint64_t max_pixels;  /* of a picture: default 4,194,304 */
    bool without_seccomp; /* rlimits alone */
} tt_sandbox_limits;

tt_sandbox_limits tt_sandbox_limits_default(void);

typedef struct tt_sandbox tt_sandbox;

/* Starts the process whose children decode: to be called before there are threads, and before anything that is secret
 * is in memory, for the children have a copy of what is there now. Refused where the kernel takes no filter. */
tt_status tt_sandbox_open(const tt_sandbox_limits *limits, tt_sandbox **sandbox, tt_error *err);
void tt_sandbox_close(tt_sandbox *sandbox);

/* Decodes a PNG or JPEG of exactly width x height (the header's) to RGB or RGBA. TT_ERROR_FORMAT: the picture is at
 * fault (it does not decode, is of another size, needs too much, or the child was stopped by the filter).
 * TT_ERROR_INTERNAL: the sandbox itself is broken. */
tt_status tt_sandbox_decode(tt_sandbox *sandbox, const uint8_t *bytes, size_t n_bytes, uint32_t width, uint32_t height,
                            tt_image *image, tt_error *err);

#endif
