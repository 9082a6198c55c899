/* compare-pictures.c - paints every prompt with the loaded model and scores pictures, latents and text embeddings. */
#include "pipeline/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the watcher sees */

/* The pass that call `call` of n_calls is probed as, or n_passes: passes are spread evenly over the run. */
static size_t pass_of_call(const tt_comparison *r, uint32_t call, uint32_t n_calls)
{
    for (size_t i = 0; i < r->n_passes; i++) {
        double at = r->n_passes > 1 ? (double)i * (n_calls - 1) / (double)(r->n_passes - 1) : (n_calls - 1) / 2.0;
        if ((uint32_t)lround(at) == call)
            return i;
    }
    return r->n_passes;
}

/* Keeps what the UNet saw at the passes that are probed later. Memory that is out shows as a missing input. */
static void keep_input(tt_comparing *c, const tt_watched_call *w)
{
    tt_comparison *r = c->result;
    tt_reference_run *run = &c->runs[c->prompt];
    if (w->call == 0 && r->n_passes > w->n_calls)
        r->n_passes = w->n_calls;
    size_t pass = pass_of_call(r, w->call, w->n_calls);
    if (pass >= r->n_passes || !run->inputs || run->inputs[pass])
        return;
    r->timesteps[pass] = w->timestep;
    run->inputs[pass] = malloc(c->n_latent * sizeof(float));
    if (run->inputs[pass])
        memcpy(run->inputs[pass], w->input, c->n_latent * sizeof(float));
}

static void on_call(void *user, const tt_watched_call *w)
{
    tt_comparing *c = user;
    c->n_calls = w->n_calls;
    if (w->call == 0)
        (void)tt_condition_copy_row(c->model, w->condition, &c->condition, NULL);
    if (tt_comparing_reference(c) && c->prompt < c->result->n_probed)
        keep_input(c, w);
    if (w->call + 1 == w->n_calls)
        memcpy(c->latent, w->latent, c->n_latent * sizeof(float));
}

/* The first pass of a picture uploads and builds; it counts when there is no other. Decoding stands for one step more.
 */
static bool on_progress(void *user, const tt_progress *progress)
{
    tt_comparing *c = user;
    uint32_t step = progress->step, n_steps = progress->n_steps;
    if (progress->phase != TT_PHASE_DENOISE) {
        n_steps = c->n_calls;
        step = progress->phase == TT_PHASE_TEXT ? 0 : progress->phase == TT_PHASE_DONE ? n_steps + 1 : n_steps;
    } else if (step > 1 || (step == 1 && n_steps == 1)) {
        c->passes_ms += progress->step_ms;
        c->n_timed++;
    }
    return tt_comparing_report(c, step, n_steps + 1, NULL) == TT_OK;
}

/* ---- scores of one prompt */

/* [w, b, context and pooled rows] of the candidate against the reference's. */
static tt_status score_text(const tt_comparing *c, tt_error_sums *sums, tt_error *err)
{
    const tt_condition *got = &c->condition, *want = &c->runs[c->prompt].condition;
    const tt_unet_config *u = &c->model->unet_config;
    if (got->n_tokens != want->n_tokens)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "the models split \"%.60s\" into %u and %u tokens",
                       c->result->prompts[c->prompt], want->n_tokens, got->n_tokens);
    tt_error_sums_add(sums, got->context, want->context, (size_t)got->n_tokens * u->cross_attention_dim);
    if (got->text_embeds && want->text_embeds)
        tt_error_sums_add(sums, got->text_embeds, want->text_embeds, u->addition_input_dim - 6 * u->addition_time_dim);
    return TT_OK;
}

static tt_status score_picture(const tt_comparing *c, tt_comparison_picture *picture, tt_error *err)
{
    const tt_comparison *r = c->result;
    const tt_image *reference = &r->models[0].pictures[c->prompt].image;
    const float *latent = c->runs[c->prompt].latent;
    double range = tt_value_range(latent, c->n_latent);
    picture->psnr = tt_psnr_bytes(picture->image.pixels, reference->pixels, c->n_image);
    picture->latent_psnr = tt_psnr(c->latent, latent, c->n_latent, range);
    picture->latent_error = tt_relative_error(c->latent, latent, c->n_latent);
    tt_status status = tt_ssim_images(&picture->image, reference, &picture->ssim, err);
    if (status == TT_OK)
        status = tt_ssim(c->latent, latent, c->latent_channels, r->height / c->vae_factor, r->width / c->vae_factor,
                         range, &picture->latent_ssim, err);
    return status;
}

/* The reference hands over what the others are measured against. */
static void keep_reference(tt_comparing *c)
{
    tt_reference_run *run = &c->runs[c->prompt];
    run->condition = c->condition;
    run->latent = c->latent;
    c->condition = (tt_condition){0};
    c->latent = NULL;
}

/* ---- painting */

static tt_generate_params request_of(tt_comparing *c)
{
    const tt_comparison *r = c->result;
    return (tt_generate_params){.prompt = r->prompts[c->prompt],
                                .negative_prompt = r->negative_prompt,
                                .width = r->width,
                                .height = r->height,
                                .n_steps = r->n_steps,
                                .cfg_scale = r->cfg_scale,
                                .seed = (int64_t)((uint64_t)r->seed + c->prompt),
                                .n_images = 1,
                                .strength = 1.0f,
                                .memory_budget_bytes = c->params->memory_budget_bytes,
                                .progress = on_progress,
                                .progress_user = c};
}

static tt_status make_room(tt_comparing *c, tt_error *err)
{
    tt_reference_run *run = &c->runs[c->prompt];
    c->latent = malloc(c->n_latent * sizeof *c->latent);
    if (tt_comparing_reference(c) && c->prompt < c->result->n_probed) {
        run->inputs = calloc(c->params->n_passes, sizeof *run->inputs);
        run->outputs = calloc(c->params->n_passes, sizeof *run->outputs);
        if (!run->inputs || !run->outputs)
            return tt_fail_memory(err, "the comparison", c->params->n_passes * sizeof *run->inputs);
    }
    return c->latent ? TT_OK : tt_fail_memory(err, "latents", c->n_latent * sizeof *c->latent);
}

/* Whether the watcher, which cannot fail, got the memory that it needed. */
static tt_status check_kept(const tt_comparing *c, tt_error *err)
{
    const tt_reference_run *run = &c->runs[c->prompt];
    bool is_kept = c->condition.context != NULL;
    if (tt_comparing_reference(c) && c->prompt < c->result->n_probed)
        for (size_t i = 0; i < c->result->n_passes; i++)
            is_kept = is_kept && run->inputs[i];
    return is_kept ? TT_OK : tt_fail_memory(err, "latents of the comparison", c->n_latent * sizeof(float));
}

static tt_status paint(tt_comparing *c, tt_comparison_picture *picture, tt_generate_stats *stats, tt_error *err)
{
    tt_generate_params request = request_of(c);
    c->model->watcher = (tt_watcher){on_call, c};
    tt_status status = make_room(c, err);
    if (status == TT_OK)
        status = tt_generate(c->model, &request, &picture->image, stats);
    c->model->watcher = (tt_watcher){0};
    if (status != TT_OK)
        return status;
    return check_kept(c, err);
}

static tt_status compare_prompt(tt_comparing *c, tt_error_sums *text, tt_generate_stats *stats, tt_error *err)
{
    tt_comparison_picture *picture = &tt_comparing_model(c)->pictures[c->prompt];
    tt_status status = paint(c, picture, stats, err);
    if (status == TT_OK && tt_comparing_reference(c)) {
        keep_reference(c);
        *picture = (tt_comparison_picture){picture->image, INFINITY, 1.0, INFINITY, 1.0, 0.0};
    } else if (status == TT_OK) {
        status = score_picture(c, picture, err);
        if (status == TT_OK)
            status = score_text(c, text, err);
    }
    tt_condition_free(&c->condition);
    free(c->latent);
    c->condition = (tt_condition){0};
    c->latent = NULL;
    return status;
}

/* ---- times */

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of n values, which are sorted. */
static double median(double *values, size_t n)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof *values, order);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Medians; the first picture is left out where there are others. times [3][n]: whole picture, prompt, decoder. */
static void sum_up_times(const tt_comparing *c, double *times, size_t n)
{
    tt_comparison_model *m = tt_comparing_model(c);
    size_t skip = n > 1;
    m->first_picture_ms = times[0];
    m->picture_ms = median(times + skip, n - skip);
    m->text_ms = median(times + n + skip, n - skip);
    m->decode_ms = median(times + 2 * n + skip, n - skip);
    m->pass_ms = c->n_timed ? c->passes_ms / c->n_timed : 0;
    m->n_unet_calls = c->n_calls;
}

static void take_memory(tt_comparison_model *m, const tt_generate_stats *stats)
{
    m->device_peak_bytes = stats->device_bytes > m->device_peak_bytes ? stats->device_bytes : m->device_peak_bytes;
    m->peak_bytes = stats->peak_bytes > m->peak_bytes ? stats->peak_bytes : m->peak_bytes;
    m->memory_mode = stats->memory_mode;
}

tt_status tt_compare_pictures(tt_comparing *c, tt_error *err)
{
    tt_comparison_model *m = tt_comparing_model(c);
    size_t n = c->result->n_prompts;
    tt_error_sums text = {0};
    double *times = calloc(n, 3 * sizeof *times);
    tt_status status = times ? TT_OK : tt_fail_memory(err, "times", 3 * n * sizeof *times);
    c->passes_ms = 0;
    c->n_timed = 0;
    for (c->prompt = 0; c->prompt < n && status == TT_OK; c->prompt++) {
        tt_generate_stats stats;
        status = compare_prompt(c, &text, &stats, err);
        if (status != TT_OK)
            break;
        take_memory(m, &stats);
        times[c->prompt] = stats.total_ms;
        times[n + c->prompt] = stats.text_ms;
        times[2 * n + c->prompt] = stats.decode_ms;
    }
    if (status == TT_OK)
        sum_up_times(c, times, n);
    m->text.error = tt_error_sums_relative(&text);
    free(times);
    return status;
}
