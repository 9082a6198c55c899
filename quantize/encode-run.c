/* encode-run.c - errors, least squares and searches over runs of values with a common scale. */
#include "quantize/encode-run.h"

#include <math.h>

enum { LANES = 8, MAX_SOLVES = 6 };

/* Sums that least squares needs, over values less the shift. */
typedef struct lane_sums {
    float w[LANES], wq[LANES], wqq[LANES], wx[LANES], wqx[LANES];
} lane_sums;

static inline float inverse_of(float scale)
{
    return scale == 0 ? 0 : 1 / scale;
}

/* The nearest whole number in the range; NaN gives the lowest. Adding 1.5 * 2^23 leaves no bits for a fraction. */
static inline float nearest(float position, float lowest, float highest)
{
    const float whole = 12582912.0f;
    float clipped = position > lowest ? position : lowest;
    clipped = clipped < highest ? clipped : highest;
    float shifted = clipped + whole;
    return shifted - whole;
}

static inline float weight_at(const float *weights, size_t i)
{
    return weights == NULL ? 1.0f : weights[i];
}

static float sum_lanes(const float lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

void tt_run_extremes(const tt_run *run, float *least, float *largest)
{
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < run->n; i++) {
        low = run->values[i] < low ? run->values[i] : low;
        high = run->values[i] > high ? run->values[i] : high;
    }
    *least = low <= high ? low : 0;
    *largest = low <= high ? high : 0;
}

/* The range [least, largest], widened to touch 0 where shifts have a sign. */
static void range_of(const tt_run *run, tt_run_shift shift, float *least, float *largest)
{
    tt_run_extremes(run, least, largest);
    if (shift == TT_SHIFT_NEGATIVE) {
        *least = *least < 0 ? *least : 0;
        *largest = *largest > 0 ? *largest : 0;
    } else if (shift == TT_SHIFT_POSITIVE) {
        *least = *least > 0 ? *least : 0;
    }
}

tt_run_fit tt_run_plain(const tt_run *run, tt_run_shift shift)
{
    float least, largest;
    range_of(run, shift, &least, &largest);
    if (shift != TT_SHIFT_NONE) {
        float scale = (largest - least) / (run->highest - run->lowest);
        return (tt_run_fit){scale, least - scale * run->lowest};
    }
    float extreme = -least > largest ? least : largest;
    return (tt_run_fit){extreme / run->lowest, 0};
}

static inline float error_at(const tt_run *run, size_t i, tt_run_fit fit, float inverse)
{
    float code = nearest((run->values[i] - fit.shift) * inverse, run->lowest, run->highest);
    float product = fit.scale * code;
    float decoded = product + fit.shift;
    float miss = decoded - run->values[i];
    return weight_at(run->weights, i) * (miss * miss);
}

float tt_run_error(const tt_run *run, tt_run_fit fit)
{
    float lanes[LANES] = {0}, inverse = inverse_of(fit.scale);
    size_t i = 0;
    for (; i + LANES <= run->n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += error_at(run, i + lane, fit, inverse);
    for (; i < run->n; i++)
        lanes[i % LANES] += error_at(run, i, fit, inverse);
    return sum_lanes(lanes);
}

static inline void add_to_sums(const tt_run *run, size_t i, tt_run_fit fit, float inverse, lane_sums *sums, size_t lane)
{
    float x = run->values[i] - fit.shift, w = weight_at(run->weights, i);
    float q = nearest(x * inverse, run->lowest, run->highest), wq = w * q;
    sums->w[lane] += w;
    sums->wq[lane] += wq;
    sums->wqq[lane] += wq * q;
    sums->wx[lane] += w * x;
    sums->wqx[lane] += wq * x;
}

static bool shift_allowed(float shift, tt_run_shift rule)
{
    return rule == TT_SHIFT_ANY || (rule == TT_SHIFT_NEGATIVE && shift <= 0) ||
           (rule == TT_SHIFT_POSITIVE && shift >= 0);
}

tt_run_fit tt_run_solve(const tt_run *run, tt_run_fit fit, tt_run_shift shift)
{
    lane_sums sums = {0};
    float inverse = inverse_of(fit.scale);
    size_t i = 0;
    for (; i + LANES <= run->n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            add_to_sums(run, i + lane, fit, inverse, &sums, lane);
    for (; i < run->n; i++)
        add_to_sums(run, i, fit, inverse, &sums, i % LANES);
    double w = sum_lanes(sums.w), wq = sum_lanes(sums.wq), wqq = sum_lanes(sums.wqq);
    double wx = sum_lanes(sums.wx), wqx = sum_lanes(sums.wqx), determinant = w * wqq - wq * wq;
    if (shift != TT_SHIFT_NONE && determinant > 1e-9 * w * wqq) {
        tt_run_fit both = {(float)((w * wqx - wq * wx) / determinant),
                           fit.shift + (float)((wqq * wx - wq * wqx) / determinant)};
        if (shift_allowed(both.shift, shift))
            return both;
    }
    bool at_zero = shift == TT_SHIFT_NONE || shift == TT_SHIFT_NEGATIVE || shift == TT_SHIFT_POSITIVE;
    if (!at_zero || !(wqq > 0))
        return fit;
    return (tt_run_fit){(float)((wqx + fit.shift * wq) / wqq), 0};
}

static void try_fit(const tt_run *run, tt_run_fit fit, tt_run_fit *best, float *least)
{
    float error = tt_run_error(run, fit);
    if (error < *least) {
        *least = error;
        *best = fit;
    }
}

/* Scales of both signs where the range of codes is not symmetric. */
static void try_scales(const tt_run *run, const tt_run_grid *grid, tt_run_store store, tt_run_fit *best, float *least)
{
    tt_run_fit plain = tt_run_plain(run, TT_SHIFT_NONE);
    float extreme = plain.scale * run->lowest;
    for (int k = 0; k < grid->n; k++) {
        float codes = run->lowest - grid->first - grid->step * (float)k;
        try_fit(run, store((tt_run_fit){extreme / codes, 0}), best, least);
        if (run->lowest + run->highest != 0)
            try_fit(run, store((tt_run_fit){-extreme / codes, 0}), best, least);
    }
}

/* Both ends of the range move by the grid's steps, each on its own. */
static void try_ranges(const tt_run *run, tt_run_shift shift, const tt_run_grid *grid, tt_run_store store,
                       tt_run_fit *best, float *least)
{
    tt_run_fit plain = tt_run_plain(run, shift);
    float range = run->highest - run->lowest;
    for (int low = 0; low < grid->n; low++)
        for (int high = 0; high < grid->n; high++) {
            float below = grid->first + grid->step * (float)low, above = grid->first + grid->step * (float)high;
            tt_run_fit fit = {plain.scale * range / (range + below + above), 0};
            fit.shift = plain.scale * run->lowest + plain.shift + fit.scale * (below - run->lowest);
            if (!shift_allowed(fit.shift, shift))
                fit.shift = 0;
            try_fit(run, store(fit), best, least);
        }
}

tt_run_fit tt_run_search(const tt_run *run, tt_run_shift shift, const tt_run_grid *grid, tt_run_store store)
{
    tt_run_fit best = store(tt_run_plain(run, shift));
    float least = tt_run_error(run, best);
    if (shift == TT_SHIFT_NONE)
        try_scales(run, grid, store, &best, &least);
    else
        try_ranges(run, shift, grid, store, &best, &least);
    for (int i = 0; i < MAX_SOLVES; i++) {
        float before = least;
        try_fit(run, store(tt_run_solve(run, best, shift)), &best, &least);
        if (!(least < before))
            break;
    }
    return best;
}

void tt_run_codes(const tt_run *run, tt_run_fit fit, int zero, uint8_t *codes)
{
    float inverse = inverse_of(fit.scale);
    for (size_t i = 0; i < run->n; i++)
        codes[i] =
            (uint8_t)((int)nearest((run->values[i] - fit.shift) * inverse, run->lowest, run->highest) + zero);
}
