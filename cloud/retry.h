/* retry.h - when to try again, as pure arithmetic; used inside this room. */
#ifndef TT_CLOUD_RETRY_H
#define TT_CLOUD_RETRY_H

#include "base/error.h"

/* Seconds to wait before try number `next` (2, 3, ...): Retry-After when it was said (at most 60), else 0.5 doubled at
 * each try, at most 30, multiplied by 0.5 .. 1 by `random` in [0, 1) (full jitter would let some come back at once). */
double tt_retry_wait(uint32_t next, double retry_after, double random);

/* True for answers that another try may change: 408, 425, 429, 500, 502, 503, 504. */
bool tt_retry_code(long code);

#endif
