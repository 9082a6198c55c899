/* checked.h - size arithmetic that notices overflow. Every size that comes from a file or a caller goes through it. */
#ifndef TT_BASE_CHECKED_H
#define TT_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b; false (and *out untouched) when it does not fit. */
static inline bool tt_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* *out = a + b; false when it does not fit. */
static inline bool tt_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

/* *out = a * b; false when it does not fit. */
static inline bool tt_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* *out = a + b; false when it does not fit. */
static inline bool tt_add_size(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

/* Smallest multiple of `step` that is >= value; the caller knows that it fits. */
static inline size_t tt_round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

#endif
