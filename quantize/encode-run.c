/* encode-run.c - errors, least squares and searches over runs of values with a common scale. */
#include "quantize/encode-run.h"

#include <math.h>

enum { LANES = 8, CHUNK = 64, MAX_SOLVES = 6 };

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

static float sum_lanes(const float lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static inline void widen(const float *restrict x, size_t n, float *restrict low, float *restrict high)
{
    for (size_t i = 0; i < n; i++) {
        low[i] = x[i] < low[i] ? x[i] : low[i];
        high[i] = x[i] > high[i] ? x[i] : high[i];
    }
}

void tt_run_extremes(const tt_run *run, float *least, float *largest)
{
    float low[LANES], high[LANES];
    for (size_t lane = 0; lane < LANES; lane++) {
        low[lane] = INFINITY;
        high[lane] = -INFINITY;
    }
    size_t i = 0;
    for (; i + LANES <= run->n; i += LANES)
        widen(run->values + i, LANES, low, high);
    widen(run->values + i, run->n - i, low, high);
    for (size_t lane = 1; lane < LANES; lane++) {
        low[0] = low[lane] < low[0] ? low[lane] : low[0];
        high[0] = high[lane] > high[0] ? high[lane] : high[0];
    }
    *least = low[0] <= high[0] ? low[0] : 0;
    *largest = low[0] <= high[0] ? high[0] : 0;
}

/* The values' range; where shifts are negative it starts at 0 or below. */
static void range_of(const tt_run *run, tt_run_shift shift, float *least, float *largest)
{
    tt_run_extremes(run, least, largest);
    if (shift == TT_SHIFT_NEGATIVE && *least > 0)
        *least = 0;
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

static inline void squares_of(const float *restrict x, size_t n, float lowest, float highest, float scale, float shift,
                              float *restrict squares)
{
    float inverse = inverse_of(scale);
    for (size_t i = 0; i < n; i++) {
        float code = nearest((x[i] - shift) * inverse, lowest, highest);
        float product = scale * code;
        float decoded = product + shift;
        float miss = decoded - x[i];
        squares[i] = miss * miss;
    }
}

static inline void weigh(const float *restrict w, size_t n, float *restrict squares)
{
    for (size_t i = 0; i < n; i++)
        squares[i] *= w[i];
}

static inline void add_lanes(const float *restrict squares, size_t n, float *restrict lanes)
{
    for (size_t i = 0; i < n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += squares[i + lane];
}

float tt_run_error(const tt_run *run, tt_run_fit fit)
{
    float lanes[LANES] = {0}, squares[CHUNK];
    for (size_t i = 0; i < run->n; i += CHUNK) {
        size_t n = run->n - i < CHUNK ? run->n - i : CHUNK;
        squares_of(run->values + i, n, run->lowest, run->highest, fit.scale, fit.shift, squares);
        if (run->weights != NULL)
            weigh(run->weights + i, n, squares);
        for (; n % LANES != 0; n++)
            squares[n] = 0;
        add_lanes(squares, n, lanes);
    }
    return sum_lanes(lanes);
}

/* sums += what least squares needs of n <= LANES values. */
static inline void add_to_sums(const float *restrict x, const float *restrict w, size_t n, bool weighted,
                               const tt_run *run, tt_run_fit fit, float inverse, lane_sums *restrict sums)
{
    for (size_t i = 0; i < n; i++) {
        float y = x[i] - fit.shift, weight = weighted ? w[i] : 1.0f;
        float q = nearest(y * inverse, run->lowest, run->highest), wq = weight * q;
        sums->w[i] += weight;
        sums->wq[i] += wq;
        sums->wqq[i] += wq * q;
        sums->wx[i] += weight * y;
        sums->wqx[i] += wq * y;
    }
}

static inline void sums_of(const tt_run *run, tt_run_fit fit, bool weighted, lane_sums *sums)
{
    float inverse = inverse_of(fit.scale);
    size_t i = 0;
    for (; i + LANES <= run->n; i += LANES)
        add_to_sums(run->values + i, weighted ? run->weights + i : NULL, LANES, weighted, run, fit, inverse, sums);
    if (i < run->n)
        add_to_sums(run->values + i, weighted ? run->weights + i : NULL, run->n - i, weighted, run, fit, inverse, sums);
}

static bool shift_allowed(float shift, tt_run_shift rule)
{
    return rule == TT_SHIFT_ANY || (rule == TT_SHIFT_NEGATIVE && shift <= 0) ||
           (rule == TT_SHIFT_POSITIVE && shift >= 0);
}

tt_run_fit tt_run_solve(const tt_run *run, tt_run_fit fit, tt_run_shift shift)
{
    lane_sums sums = {0};
    if (run->weights == NULL)
        sums_of(run, fit, false, &sums);
    else
        sums_of(run, fit, true, &sums);
    double w = sum_lanes(sums.w), wq = sum_lanes(sums.wq), wqq = sum_lanes(sums.wqq);
    double wx = sum_lanes(sums.wx), wqx = sum_lanes(sums.wqx), determinant = w * wqq - wq * wq;
    if (shift != TT_SHIFT_NONE && determinant > 1e-9 * w * wqq) {
        tt_run_fit both = {(float)((w * wqx - wq * wx) / determinant),
                           fit.shift + (float)((wqq * wx - wq * wqx) / determinant)};
        if (shift_allowed(both.shift, shift))
            return both;
    }
    if (shift == TT_SHIFT_ANY || !(wqq > 0))
        return fit;
    return (tt_run_fit){(float)((wqx + fit.shift * wq) / wqq), 0};
}

/* Where weights differ the extremes may hardly count: then much smaller ranges are tried too. */
static const float far_factor = 1.35f;

static int far_steps(const tt_run *run)
{
    return run->weights == NULL ? 0 : 7;
}

static void try_fit(const tt_run *run, tt_run_fit fit, tt_run_fit *best, float *least)
{
    float error = tt_run_error(run, fit);
    if (error < *least) {
        *least = error;
        *best = fit;
    }
}

/* The extreme value becomes `codes` codes; both signs of the scale where the range of codes is not symmetric. */
static void try_scale(const tt_run *run, float extreme, float codes, tt_run_store store, tt_run_fit *best, float *least)
{
    try_fit(run, store((tt_run_fit){extreme / codes, 0}), best, least);
    if (run->lowest + run->highest != 0)
        try_fit(run, store((tt_run_fit){-extreme / codes, 0}), best, least);
}

static void try_scales(const tt_run *run, const tt_run_grid *grid, tt_run_store store, tt_run_fit *best, float *least)
{
    float extreme = tt_run_plain(run, TT_SHIFT_NONE).scale * run->lowest;
    for (int k = 0; k < grid->n; k++)
        try_scale(run, extreme, run->lowest - grid->first - grid->step * (float)k, store, best, least);
    float far = run->lowest;
    for (int k = 0; k < far_steps(run); k++)
        try_scale(run, extreme, far *= far_factor, store, best, least);
}

/* The codes cover low .. high. */
static void try_range(const tt_run *run, float low, float high, tt_run_shift shift, tt_run_store store,
                      tt_run_fit *best, float *least)
{
    tt_run_fit fit = {(high - low) / (run->highest - run->lowest), 0};
    float start = low - fit.scale * run->lowest;
    if (shift_allowed(start, shift))
        fit.shift = start;
    try_fit(run, store(fit), best, least);
}

/* Both ends of the range move by the grid's steps, each on its own. */
static void try_ranges(const tt_run *run, tt_run_shift shift, const tt_run_grid *grid, tt_run_store store,
                       tt_run_fit *best, float *least)
{
    float low, high;
    range_of(run, shift, &low, &high);
    float unit = (high - low) / (run->highest - run->lowest);
    for (int i = 0; i < grid->n; i++)
        for (int j = 0; j < grid->n; j++) {
            float below = (grid->first + grid->step * (float)i) * unit;
            float above = (grid->first + grid->step * (float)j) * unit;
            try_range(run, low + below, high - above, shift, store, best, least);
        }
    float factor = 1;
    for (int k = 0; k < far_steps(run); k++) {
        factor *= far_factor;
        try_range(run, low / factor, high, shift, store, best, least);
        try_range(run, low, high / factor, shift, store, best, least);
        try_range(run, low / factor, high / factor, shift, store, best, least);
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
        codes[i] = (uint8_t)((int)nearest((run->values[i] - fit.shift) * inverse, run->lowest, run->highest) + zero);
}
