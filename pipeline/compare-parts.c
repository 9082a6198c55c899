/* compare-parts.c - the parts alone on the reference's inputs: UNet passes with their blocks, and the decoder. */
#include "base/text.h"
#include "pipeline/compare.h"
#include "pipeline/denoise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Errors of the loaded model while its passes are made; owned. */
typedef struct tt_probe {
    tt_error_sums *passes; /* [n_passes] */
    tt_error_sums *blocks; /* [n_layers][n_passes] */
    bool *has_block;       /* [n_layers] */
    float *values;         /* one block's output, all of it */
    size_t n_values;
} tt_probe;

static void free_probe(tt_probe *probe)
{
    free(probe->passes);
    free(probe->blocks);
    free(probe->has_block);
    free(probe->values);
}

/* ---- values of blocks */

/* Bits that follow from i alone (the finalizer of splitmix64). */
static uint64_t scatter(uint64_t i)
{
    i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    i = (i ^ (i >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    i = (i ^ (i >> 27)) * UINT64_C(0x94d049bb133111eb);
    return i ^ (i >> 31);
}

/* Where value i of n_kept stands among n_values: somewhere in stretch i, so that no row or channel is preferred. */
static size_t place_of(size_t i, size_t n_kept, size_t n_values)
{
    size_t low = (size_t)((uint64_t)i * n_values / n_kept), high = (size_t)((uint64_t)(i + 1) * n_values / n_kept);
    return low + (size_t)(scatter(i) % (high - low));
}

static void pick(const float *values, size_t n_values, float *kept, size_t n_kept)
{
    for (size_t i = 0; i < n_kept; i++)
        kept[i] = values[place_of(i, n_kept, n_values)];
}

static tt_status keep_block(const tt_probe *probe, size_t n_values, tt_kept_values *kept, tt_error *err)
{
    kept->n_values = n_values;
    kept->n_kept = n_values < TT_KEPT_VALUES ? n_values : TT_KEPT_VALUES;
    kept->values = malloc(kept->n_kept * sizeof *kept->values);
    if (!kept->values)
        return tt_fail_memory(err, "a block's output", kept->n_kept * sizeof *kept->values);
    pick(probe->values, n_values, kept->values, kept->n_kept);
    return TT_OK;
}

/* The candidate's values are picked in place: place_of(i) >= i. */
static void score_block(tt_probe *probe, size_t n_values, const tt_kept_values *want, tt_error_sums *sums)
{
    if (want->n_values != n_values)
        return;
    pick(probe->values, n_values, probe->values, want->n_kept);
    tt_error_sums_add(sums, probe->values, want->values, want->n_kept);
}

/* ---- blocks by name */

static size_t find_layer(const tt_comparison *r, const char *name)
{
    size_t i = 0;
    while (i < r->n_layers && strcmp(r->layers[i], name) != 0)
        i++;
    return i;
}

/* Names the reference's blocks, once its first traced graph is there. */
static tt_status name_layers(tt_comparing *c, tt_error *err)
{
    tt_comparison *r = c->result;
    tt_plane shape;
    const char *name;
    bool channels_last;
    size_t n = 0;
    while (tt_unet_trace_at(c->model->unet, n, &name, &shape, &channels_last))
        n++;
    r->layers = calloc(n + 1, sizeof *r->layers);
    if (!r->layers)
        return tt_fail_memory(err, "names of blocks", n * sizeof *r->layers);
    for (; r->n_layers < n; r->n_layers++) {
        (void)tt_unet_trace_at(c->model->unet, r->n_layers, &name, &shape, &channels_last);
        if (!tt_string_copy(name, &r->layers[r->n_layers]))
            return tt_fail_memory(err, "names of blocks", strlen(name));
    }
    return TT_OK;
}

static tt_status read_block(tt_comparing *c, tt_probe *probe, const char *name, size_t n, tt_error *err)
{
    if (n > probe->n_values) {
        free(probe->values);
        probe->n_values = n;
        probe->values = malloc(n * sizeof *probe->values);
        if (!probe->values)
            return tt_fail_memory(err, "a block's output", n * sizeof *probe->values);
    }
    return tt_unet_trace_read(c->model->unet, name, probe->values, n, err);
}

/* Keeps (reference) or scores (others) all blocks of the pass that just ran. */
static tt_status take_blocks(tt_comparing *c, tt_probe *probe, tt_reference_run *run, size_t pass, tt_error *err)
{
    tt_comparison *r = c->result;
    tt_plane p;
    const char *name;
    bool channels_last;
    tt_status status = TT_OK;
    for (size_t i = 0; status == TT_OK && tt_unet_trace_at(c->model->unet, i, &name, &p, &channels_last); i++) {
        size_t n = tt_plane_positions(&p) * p.channels, layer = find_layer(r, name);
        if (layer >= r->n_layers)
            continue; /* the reference has no such block */
        tt_kept_values *kept = &run->blocks[pass * r->n_layers + layer];
        status = read_block(c, probe, name, n, err);
        if (status == TT_OK && tt_comparing_reference(c))
            status = keep_block(probe, n, kept, err);
        else if (status == TT_OK)
            score_block(probe, n, kept, &probe->blocks[layer * r->n_passes + pass]);
        probe->has_block[layer] = true;
    }
    return status;
}

/* ---- passes */

static tt_status prepare_unet(tt_comparing *c, const tt_condition *condition, tt_error *err)
{
    const tt_comparison *r = c->result;
    tt_unet_shape shape = {.batch = 1,
                           .height = r->height / c->vae_factor,
                           .width = r->width / c->vae_factor,
                           .n_tokens = condition->n_tokens,
                           .trace = true};
    tt_unet_condition inputs = {condition->context, condition->text_embeds, condition->time_ids,
                                condition->timestep_cond};
    tt_status status = tt_model_need_unet(c->model, err);
    if (status == TT_OK)
        status = tt_unet_prepare(c->model->unet, &shape, err);
    return status == TT_OK ? tt_unet_set_condition(c->model->unet, &inputs, err) : status;
}

static tt_status run_pass(tt_comparing *c, tt_probe *probe, tt_reference_run *run, size_t pass, tt_error *err)
{
    float *out = malloc(c->n_latent * sizeof *out);
    if (!out)
        return tt_fail_memory(err, "the UNet's output", c->n_latent * sizeof *out);
    tt_status status = tt_unet_run(c->model->unet, run->inputs[pass], &c->result->timesteps[pass], out, err);
    if (status == TT_OK)
        status = take_blocks(c, probe, run, pass, err);
    if (status == TT_OK && tt_comparing_reference(c)) {
        run->outputs[pass] = out;
        return TT_OK;
    }
    if (status == TT_OK)
        tt_error_sums_add(&probe->passes[pass], out, run->outputs[pass], c->n_latent);
    free(out);
    return status;
}

static tt_status make_room(tt_comparing *c, tt_probe *probe, tt_error *err)
{
    const tt_comparison *r = c->result;
    size_t n = r->n_layers * r->n_passes + 1;
    probe->passes = calloc(r->n_passes, sizeof *probe->passes);
    probe->blocks = calloc(n, sizeof *probe->blocks);
    probe->has_block = calloc(r->n_layers + 1, sizeof *probe->has_block);
    if (!probe->passes || !probe->blocks || !probe->has_block)
        return tt_fail_memory(err, "errors of blocks", n * sizeof *probe->blocks);
    return TT_OK;
}

static tt_status make_room_for_blocks(const tt_comparing *c, tt_reference_run *run, tt_error *err)
{
    size_t n = (size_t)c->params->n_passes * c->result->n_layers;
    run->blocks = calloc(n + 1, sizeof *run->blocks);
    return run->blocks ? TT_OK : tt_fail_memory(err, "outputs of blocks", n * sizeof *run->blocks);
}

static tt_status probe_unet(tt_comparing *c, tt_probe *probe, size_t prompt, tt_error *err)
{
    tt_comparison *r = c->result;
    tt_reference_run *run = &c->runs[prompt];
    tt_status status = prepare_unet(c, &run->condition, err);
    if (status == TT_OK && tt_comparing_reference(c) && prompt == 0)
        status = name_layers(c, err);
    if (status == TT_OK && prompt == 0)
        status = make_room(c, probe, err);
    if (status == TT_OK && tt_comparing_reference(c))
        status = make_room_for_blocks(c, run, err);
    for (size_t pass = 0; pass < r->n_passes && status == TT_OK; pass++) {
        status = run_pass(c, probe, run, pass, err);
        if (status == TT_OK)
            status = tt_comparing_report(c, (uint32_t)(prompt * r->n_passes + pass + 1),
                                         (uint32_t)(r->n_probed * (r->n_passes + 1)), err);
    }
    return status;
}

/* ---- results */

static tt_status sum_up_unet(tt_comparing *c, const tt_probe *probe, tt_error *err)
{
    const tt_comparison *r = c->result;
    tt_comparison_model *m = tt_comparing_model(c);
    tt_error_sums all = {0};
    m->layer_errors = calloc(r->n_layers * r->n_passes + 1, sizeof *m->layer_errors);
    if (!m->layer_errors)
        return tt_fail_memory(err, "errors of blocks", r->n_layers * r->n_passes * sizeof *m->layer_errors);
    for (size_t i = 0; i < r->n_passes; i++) {
        const tt_error_sums *s = &probe->passes[i];
        m->pass_errors[i] = tt_error_sums_relative(s);
        all.n += s->n;
        all.error_square += s->error_square;
        all.sum += s->sum;
        all.square += s->square;
    }
    m->unet.error = tt_error_sums_relative(&all);
    for (size_t i = 0; i < r->n_layers * r->n_passes; i++) {
        bool is_known = probe->has_block[i / r->n_passes] && (tt_comparing_reference(c) || probe->blocks[i].n > 0);
        m->layer_errors[i] = is_known ? tt_error_sums_relative(&probe->blocks[i]) : NAN;
    }
    return TT_OK;
}

/* ---- decoder */

static tt_status decode(tt_comparing *c, size_t prompt, tt_error_sums *sums, double *psnr_sum, tt_error *err)
{
    const tt_comparison *r = c->result;
    tt_reference_run *run = &c->runs[prompt];
    float *image = malloc(c->n_image * sizeof *image);
    if (!image)
        return tt_fail_memory(err, "the picture", c->n_image * sizeof *image);
    tt_status status = tt_decode_latent(c->model, run->latent, r->height / c->vae_factor, r->width / c->vae_factor,
                                        image, NULL, NULL, err);
    if (status == TT_OK && tt_comparing_reference(c)) {
        run->image = image;
        return TT_OK;
    }
    if (status == TT_OK) {
        tt_error_sums_add(sums, image, run->image, c->n_image);
        *psnr_sum += tt_psnr(image, run->image, c->n_image, 2.0);
    }
    free(image);
    return status;
}

static tt_status compare_decoders(tt_comparing *c, tt_error *err)
{
    const tt_comparison *r = c->result;
    tt_comparison_model *m = tt_comparing_model(c);
    tt_error_sums sums = {0};
    double psnr_sum = 0;
    uint32_t n_steps = (uint32_t)(r->n_probed * (r->n_passes + 1));
    tt_status status = TT_OK;
    for (size_t i = 0; i < r->n_probed && status == TT_OK; i++) {
        status = decode(c, i, &sums, &psnr_sum, err);
        if (status == TT_OK)
            status = tt_comparing_report(c, (uint32_t)(r->n_probed * r->n_passes + i + 1), n_steps, err);
    }
    m->vae.error = tt_error_sums_relative(&sums);
    m->vae_psnr = tt_comparing_reference(c) ? INFINITY : psnr_sum / (double)r->n_probed;
    tt_vae_release_graph(c->model->vae);
    return status;
}

tt_status tt_compare_parts(tt_comparing *c, tt_error *err)
{
    tt_probe probe = {0};
    tt_status status = TT_OK;
    for (size_t i = 0; i < c->result->n_probed && status == TT_OK; i++)
        status = probe_unet(c, &probe, i, err);
    if (status == TT_OK)
        status = sum_up_unet(c, &probe, err);
    free_probe(&probe);
    if (c->model->unet)
        tt_unet_release_graph(c->model->unet);
    return status == TT_OK ? compare_decoders(c, err) : status;
}
