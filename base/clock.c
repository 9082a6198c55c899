/* clock.c - the system's monotonic clock. */
#include "base/clock.h"

#include <time.h>

double tt_clock_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double tt_clock_ms(void)
{
    return tt_clock_seconds() * 1e3;
}
