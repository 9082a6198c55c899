/* encode-run.h - a run of values that share a scale: value = scale * code + shift, codes whole numbers in a range.
 * Inside of the encoders. All arithmetic is float with explicit lanes, so that every compiler and processor makes the
 * same codes. */
#ifndef TT_QUANTIZE_ENCODE_RUN_H
#define TT_QUANTIZE_ENCODE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tt_run {
    const float *values;
    const float *weights; /* of the squared errors; NULL: all 1 */
    size_t n;
    float lowest, highest; /* codes */
} tt_run;

/* The grid of scales (or of both ends of ranges) that a search tries around the plain ones, in codes. */
typedef struct tt_run_grid {
    float first, step; /* the extreme value lies `first` codes beyond the last code, then `step` more ... */
    int n;             /* ... until n are tried */
} tt_run_grid;

/* Shifts that can be stored: those of a block of 256 all have one sign. */
typedef enum tt_run_shift { TT_SHIFT_NONE, TT_SHIFT_ANY, TT_SHIFT_NEGATIVE, TT_SHIFT_POSITIVE } tt_run_shift;

typedef struct tt_run_fit {
    float scale, shift;
} tt_run_fit;

/* The least and the largest value; NaN is passed over. */
void tt_run_extremes(const tt_run *run, float *least, float *largest);

/* The fit whose range just holds all values: without a shift the value of largest size becomes the code of largest
 * size (the scale may be negative); with one the ends of the range become the end codes. */
tt_run_fit tt_run_plain(const tt_run *run, tt_run_shift shift);

/* Weighted squared error when every code is the nearest one. */
float tt_run_error(const tt_run *run, tt_run_fit fit);

/* Keeps the codes that are nearest under `fit` and returns the scale and shift of least weighted squared error for
 * them; `fit` itself where the codes do not determine them. */
tt_run_fit tt_run_solve(const tt_run *run, tt_run_fit fit, tt_run_shift shift);

/* Rounds a fit to what can be stored. */
typedef tt_run_fit (*tt_run_store)(tt_run_fit fit);

/* Searches: the grid first (under weights also far smaller ranges), then tt_run_solve from the best as long as that
 * helps. */
tt_run_fit tt_run_search(const tt_run *run, tt_run_shift shift, const tt_run_grid *grid, tt_run_store store);

/* The nearest codes, plus `zero`, as bytes. */
void tt_run_codes(const tt_run *run, tt_run_fit fit, int zero, uint8_t *codes);

#endif
