/* encode-super.c - the search for blocks of 256: every sub-block's best scale and offset, then the block's own scales
 * that hold those best, then whole scales and offsets of sub-blocks and the block's scales in turn. */
#include "quantize/encode-super.h"

#include "quantize/encode-run.h"
#include "quantize/encode-small.h"

#include <math.h>

enum { SUPER = 256, MAX_ROUNDS = 4 };

typedef struct super_form {
    int n_subs;
    int lowest, highest;             /* codes */
    int lowest_scale, highest_scale; /* of sub-blocks */
    int highest_offset;              /* 0: the type has none */
    int reach;                       /* how far from a whole scale its neighbours are tried */
    tt_run_grid grid;
} super_form;

static super_form form_of(tt_dtype dtype)
{
    switch (dtype) {
    case TT_Q2_K:
        return (super_form){16, 0, 3, 0, 15, 15, 1, {-0.25f, 0.2f, 5}};
    case TT_Q3_K:
        return (super_form){16, -4, 3, -32, 31, 0, 2, {-0.8f, 0.25f, 10}};
    case TT_Q4_K:
        return (super_form){8, 0, 15, 0, 63, 63, 1, {-0.5f, 0.35f, 5}};
    case TT_Q5_K:
        return (super_form){8, 0, 31, 0, 63, 63, 1, {-0.5f, 0.35f, 5}};
    default:
        return (super_form){16, -32, 31, -128, 127, 0, 2, {-2.0f, 0.5f, 10}};
    }
}

/* A block that is being encoded. */
typedef struct super_work {
    super_form form;
    tt_run_shift shift;
    tt_run subs[TT_MAX_SUBS];
    tt_run_fit ideal[TT_MAX_SUBS]; /* not yet rounded to whole scales */
    tt_super block;
} super_work;

/* Offsets are whole numbers from 0 on, so one block's shifts have one sign: negative, unless all values are above 0. */
static void start_work(tt_dtype dtype, const float *values, const float *weights, super_work *work)
{
    work->form = form_of(dtype);
    work->shift = TT_SHIFT_NONE;
    size_t n = SUPER / (size_t)work->form.n_subs;
    for (size_t sub = 0; sub < (size_t)work->form.n_subs; sub++)
        work->subs[sub] = (tt_run){values + sub * n, weights == NULL ? NULL : weights + sub * n, n,
                                   (float)work->form.lowest, (float)work->form.highest};
    if (work->form.highest_offset > 0) {
        float least, largest;
        tt_run whole = {values, weights, SUPER, 0, 0};
        tt_run_extremes(&whole, &least, &largest);
        work->shift = least > 0 ? TT_SHIFT_POSITIVE : TT_SHIFT_NEGATIVE;
    }
}

/* What a reader makes of a sub-block's scale and offset. */
static tt_run_fit decoded_fit(const tt_super *block, int sub)
{
    return (tt_run_fit){block->d * (float)block->scales[sub], -(block->dmin * (float)block->offsets[sub])};
}

static float total_error(const super_work *work, const tt_super *block)
{
    float error = 0;
    for (int sub = 0; sub < work->form.n_subs; sub++)
        error += tt_run_error(&work->subs[sub], decoded_fit(block, sub));
    return error;
}

static int whole(float value, float unit, int lowest, int highest)
{
    float position = unit == 0 ? 0 : rintf(value / unit);
    position = position > (float)lowest ? position : (float)lowest;
    return (int)(position < (float)highest ? position : (float)highest);
}

/* Whole scales and offsets nearest to the ideal ones. */
static void round_scales(const super_work *work, float d, float dmin, tt_super *block)
{
    const super_form *form = &work->form;
    block->d = tt_stored_half(d);
    block->dmin = tt_stored_half(dmin);
    for (int sub = 0; sub < form->n_subs; sub++) {
        block->scales[sub] = whole(work->ideal[sub].scale, block->d, form->lowest_scale, form->highest_scale);
        block->offsets[sub] = whole(-work->ideal[sub].shift, block->dmin, 0, form->highest_offset);
    }
}

/* d and dmin that just hold all ideal scales and shifts. */
static void reach_of_ideal(const super_work *work, float *d, float *dmin)
{
    float scale = 0, shift = 0;
    for (int sub = 0; sub < work->form.n_subs; sub++) {
        scale = fabsf(work->ideal[sub].scale) > fabsf(scale) ? work->ideal[sub].scale : scale;
        shift = fabsf(work->ideal[sub].shift) > fabsf(shift) ? work->ideal[sub].shift : shift;
    }
    *d = scale / (float)(work->form.lowest_scale < 0 ? work->form.lowest_scale : work->form.highest_scale);
    *dmin = work->form.highest_offset > 0 ? -shift / (float)work->form.highest_offset : 0;
}

static void fit_plain(super_work *work)
{
    float d, dmin;
    for (int sub = 0; sub < work->form.n_subs; sub++)
        work->ideal[sub] = tt_run_plain(&work->subs[sub], work->shift);
    reach_of_ideal(work, &d, &dmin);
    round_scales(work, d, dmin, &work->block);
}

/* The largest scale becomes a few codes more or less than the largest whole number; so do offsets. */
static float try_block_scales(super_work *work)
{
    static const float stretch[] = {1.0f, 0.97f, 1.03f, 0.94f, 1.06f};
    const int n = sizeof(stretch) / sizeof(stretch[0]);
    float d, dmin, least = INFINITY;
    reach_of_ideal(work, &d, &dmin);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < (dmin == 0 ? 1 : n); j++) {
            tt_super block = work->block;
            round_scales(work, d * stretch[i], dmin * stretch[j], &block);
            float error = total_error(work, &block);
            if (error < least) {
                least = error;
                work->block = block;
            }
        }
    return least;
}

/* The best of a sub-block's whole scale and offset and their neighbours. */
static void improve_sub(super_work *work, int sub)
{
    const super_form *form = &work->form;
    tt_super *block = &work->block;
    int scale = block->scales[sub], offset = block->offsets[sub], reach = form->highest_offset > 0 ? 1 : 0;
    float least = tt_run_error(&work->subs[sub], decoded_fit(block, sub));
    for (int s = scale - form->reach; s <= scale + form->reach; s++)
        for (int o = offset - reach; o <= offset + reach; o++) {
            bool allowed = s >= form->lowest_scale && s <= form->highest_scale && o >= 0 && o <= form->highest_offset;
            if (!allowed || (s == scale && o == offset))
                continue;
            tt_run_fit fit = {block->d * (float)s, -(block->dmin * (float)o)};
            float error = tt_run_error(&work->subs[sub], fit);
            if (error < least) {
                least = error;
                block->scales[sub] = s;
                block->offsets[sub] = o;
            }
        }
}

/* Least squares for d and dmin with all codes, scales and offsets kept: values = d * (scale * code) - dmin * offset. */
static void solve_block_scales(const super_work *work, tt_super *block)
{
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int sub = 0; sub < work->form.n_subs; sub++) {
        const tt_run *run = &work->subs[sub];
        uint8_t codes[SUPER];
        tt_run_codes(run, decoded_fit(block, sub), -work->form.lowest, codes);
        for (size_t i = 0; i < run->n; i++) {
            double w = run->weights == NULL ? 1 : run->weights[i], x = run->values[i];
            double a = block->scales[sub] * (codes[i] + work->form.lowest), b = -block->offsets[sub];
            aa += w * a * a;
            ab += w * a * b;
            bb += w * b * b;
            ax += w * a * x;
            bx += w * b * x;
        }
    }
    double determinant = aa * bb - ab * ab;
    if (determinant > 1e-9 * aa * bb) {
        block->d = tt_stored_half((float)((bb * ax - ab * bx) / determinant));
        block->dmin = tt_stored_half((float)((aa * bx - ab * ax) / determinant));
    } else if (aa > 0) {
        block->d = tt_stored_half((float)((ax - block->dmin * ab) / aa));
    }
}

static tt_run_fit as_it_is(tt_run_fit fit)
{
    return fit;
}

static void fit_search(super_work *work)
{
    for (int sub = 0; sub < work->form.n_subs; sub++)
        work->ideal[sub] = tt_run_search(&work->subs[sub], work->shift, &work->form.grid, as_it_is);
    float least = try_block_scales(work);
    for (int round = 0; round < MAX_ROUNDS; round++) {
        float before = least;
        for (int sub = 0; sub < work->form.n_subs; sub++)
            improve_sub(work, sub);
        tt_super solved = work->block;
        solve_block_scales(work, &solved);
        least = total_error(work, &work->block);
        float error = total_error(work, &solved);
        if (error < least) {
            least = error;
            work->block = solved;
        }
        if (!(least < before))
            break;
    }
}

void tt_encode_super(tt_dtype dtype, tt_fit fit, const float values[256], const float *weights, uint8_t *dst)
{
    super_work work;
    start_work(dtype, values, weights, &work);
    if (fit == TT_FIT_SEARCH)
        fit_search(&work);
    else
        fit_plain(&work);
    for (int sub = 0; sub < work.form.n_subs; sub++) {
        const tt_run *run = &work.subs[sub];
        tt_run_codes(run, decoded_fit(&work.block, sub), -work.form.lowest, work.block.codes + sub * (int)run->n);
    }
    tt_super_pack(dtype, &work.block, dst);
}
