/* sandbox.h - a child process that decodes what strangers sent, with nothing it could reach.
 *
 * The worker forks a decoder for each job: rlimits on memory, time, files and processes, no new privileges, and a
 * seccomp filter (libseccomp) that leaves read, write, memory and exit. The child gets the body through memory that it
 * shares with the parent and puts pixels there; whatever else happens in it, the parent only sees how it ended. */
#ifndef TT_SERVICE_SANDBOX_H
#define TT_SERVICE_SANDBOX_H

#include "base/error.h"

typedef struct tt_sandbox_limits {
    uint64_t max_memory; /* bytes of address space beyond the shared block: default 512 MiB */
    double seconds;      /* of processor time, and twice that by the clock: default 10 */
} tt_sandbox_limits;

tt_sandbox_limits tt_sandbox_limits_default(void);

/* Decodes a PNG or JPEG of exactly width x height (the header's) to RGB or RGBA. TT_ERROR_FORMAT: the picture is at
 * fault (it does not decode, is of another size, needs too much, or the child was stopped by the filter). */
tt_status tt_sandbox_decode(const uint8_t *bytes, size_t n_bytes, uint32_t width, uint32_t height,
                            const tt_sandbox_limits *limits, tt_image *image, tt_error *err);

/* True when this kernel takes the filter; a worker refuses to start without it unless it is told --no-seccomp. */
bool tt_sandbox_available(void);

#endif
