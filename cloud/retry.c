/* retry.c - when to try again. */
#include "cloud/retry.h"

double tt_retry_wait(uint32_t next, double retry_after, double random)
{
    const double longest_asked = 60.0, longest = 30.0;
    if (retry_after >= 0.0)
        return retry_after < longest_asked ? retry_after : longest_asked;
    double wait = 0.5;
    for (uint32_t i = 2; i < next && wait < longest; i++)
        wait *= 2.0;
    return (wait < longest ? wait : longest) * (0.5 + 0.5 * random);
}

bool tt_retry_code(long code)
{
    switch (code) {
    case 408:
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    default:
        return false;
    }
}
