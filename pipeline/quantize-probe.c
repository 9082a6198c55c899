/* quantize-probe.c - runs that are as short as a measurement allows. */
#include "pipeline/quantize-probe.h"
#include "base/rng.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_SIDE = 16, MIN_STEPS = 4, FIRST_SEED = 1000 };

static const char own_prompts[] = "a photo of a red apple on a wooden table\n"
                                  "a small house at a lake, mountains behind it\n"
                                  "a portrait of an old man with a hat\n"
                                  "a blue car in a street at night\n";

/* ---- prompts */

static tt_status cut_prompts(tt_probe *probe, const char *prompts, uint32_t max_prompts, tt_error *err)
{
    if (!tt_string_copy(prompts ? prompts : own_prompts, &probe->text))
        return tt_fail_memory(err, "prompts", strlen(prompts));
    probe->prompts = calloc(max_prompts, sizeof *probe->prompts);
    if (!probe->prompts)
        return tt_fail_memory(err, "prompts", max_prompts * sizeof *probe->prompts);
    for (char *at = probe->text; *at && probe->n_prompts < max_prompts;) {
        size_t length = strcspn(at, "\r\n");
        bool is_last = at[length] == '\0';
        at[length] = '\0';
        if (at[strspn(at, " \t")] != '\0' && at[0] != '#')
            probe->prompts[probe->n_prompts++] = at;
        at += length + (is_last ? 0 : 1);
    }
    if (probe->n_prompts == 0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there are no prompts to calibrate with; give one on each line");
    return TT_OK;
}

/* ---- size */

static bool is_guided(const tt_model *model)
{
    return model->default_cfg_scale > 1.0f && model->unet_config.time_cond_dim == 0;
}

static tt_status step_flops(const tt_model *model, uint32_t side, double *flops, tt_error *err)
{
    const tt_kernels planned = {.storage = TT_STORAGE_F16, .family = TT_FAMILY_CPU_TILE};
    const tt_unet_shape shape = {.batch = is_guided(model) ? 2 : 1, .height = side, .width = side, .n_tokens = 77};
    tt_graph_forecast forecast;
    tt_status status =
        tt_unet_forecast(&planned, &model->unet_config, model->unet_weights, &shape, NULL, &forecast, err);
    *flops = forecast.step.flops;
    return status;
}

static tt_status choose_size(tt_probe *probe, double aimed_flops, tt_error *err)
{
    const tt_model *m = probe->job->model;
    uint32_t factor = m->vae_config.factor,
             shorter = m->default_width < m->default_height ? m->default_width : m->default_height;
    double flops = 0.0;
    probe->side = shorter / factor;
    tt_status status = step_flops(m, probe->side, &flops, err);
    while (status == TT_OK && probe->side >= 2 * MIN_SIDE && flops * m->default_steps > aimed_flops) {
        probe->side /= 2;
        status = step_flops(m, probe->side, &flops, err);
    }
    double steps = aimed_flops / (flops > 1.0 ? flops : 1.0);
    probe->n_steps = steps < MIN_STEPS ? MIN_STEPS : steps > m->default_steps ? m->default_steps : (uint32_t)steps;
    probe->n_latent = (size_t)m->vae_config.latent_channels * probe->side * probe->side;
    probe->n_image = (size_t)3 * probe->side * factor * probe->side * factor;
    return status;
}

static tt_status check_model(const tt_model *model, tt_error *err)
{
    if (model->has_unet && model->has_vae && model->vae_config.has_decoder && model->text[0].present &&
        model->scheduler)
        return TT_OK;
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "%s cannot make pictures by itself, so its layers cannot be measured; give a whole model, or --type "
                   "alone",
                   tt_model_files_path(model->files));
}

tt_status tt_probe_create(tt_quantize_job *job, const char *prompts, uint32_t max_prompts, double aimed_flops,
                          tt_probe *probe, tt_error *err)
{
    *probe = (tt_probe){.job = job};
    tt_status status = check_model(job->model, err);
    if (status == TT_OK)
        status = cut_prompts(probe, prompts, max_prompts, err);
    if (status == TT_OK)
        status = choose_size(probe, aimed_flops, err);
    if (status == TT_OK) {
        probe->scratch = malloc(probe->n_image * sizeof(float));
        probe->latent = malloc(probe->n_latent * sizeof(float));
        if (!probe->scratch || !probe->latent)
            status = tt_fail_memory(err, "a picture", probe->n_image * sizeof(float));
    }
    if (status != TT_OK)
        tt_probe_free(probe);
    return status;
}

void tt_probe_free(tt_probe *probe)
{
    free(probe->text);
    free(probe->prompts);
    free(probe->latents);
    free(probe->images);
    free(probe->scratch);
    free(probe->latent);
    *probe = (tt_probe){0};
}

/* ---- runs */

static tt_status draw(void *user, float *out, size_t n, tt_error *err)
{
    (void)err;
    tt_rng_normal(user, out, n);
    return TT_OK;
}

/* A latent to picture values in 0..1. */
static tt_status decode(tt_probe *probe, const float *latent, float *image, tt_error *err)
{
    tt_status status = tt_decode_latent(probe->job->model, latent, probe->side, probe->side, image, NULL, NULL, err);
    for (size_t i = 0; i < probe->n_image && status == TT_OK; i++)
        image[i] = fminf(fmaxf(image[i] * 0.5f + 0.5f, 0.0f), 1.0f);
    return status;
}

static tt_status denoise(tt_probe *probe, const tt_condition *condition, uint32_t index, float *latent, tt_error *err)
{
    tt_model *m = probe->job->model;
    tt_rng_state rng;
    uint32_t n_calls = 0;
    tt_denoise_request request = {.scheduler = m->scheduler,
                                  .n_steps = probe->n_steps,
                                  .strength = 1.0f,
                                  .cfg_scale = m->default_cfg_scale,
                                  .height = probe->side,
                                  .width = probe->side,
                                  .condition = condition,
                                  .draw = draw,
                                  .draw_user = &rng};
    float *grey = NULL, *mask = NULL;
    tt_rng_init(&rng, TT_RNG_CPU, FIRST_SEED + index);
    if (m->unet_config.in_channels > m->unet_config.out_channels) { /* inpainting: everything is repainted */
        size_t plane = probe->n_image / 3;
        grey = calloc(3 * plane, sizeof *grey);
        mask = malloc(plane * sizeof *mask);
        for (size_t i = 0; mask && i < plane; i++)
            mask[i] = 1.0f;
        request.image = grey;
        request.mask = mask;
    }
    tt_status status = !request.image || (grey && mask) ? TT_OK : tt_fail_memory(err, "a picture", probe->n_image * 4);
    if (status == TT_OK)
        status = tt_denoise(m, &request, latent, NULL, &n_calls, err);
    free(grey);
    free(mask);
    return status;
}

tt_status tt_probe_run(tt_probe *probe, uint32_t index, float *latent, float *image, tt_error *err)
{
    tt_model *m = probe->job->model;
    float pixels = (float)(probe->side * m->vae_config.factor);
    tt_condition condition = {0};
    tt_condition_request request = {.prompt = probe->prompts[index],
                                    .negative = "",
                                    .grammar = true,
                                    .guided = is_guided(m),
                                    .cfg_scale = m->default_cfg_scale,
                                    .time_ids = {pixels, pixels, 0, 0, pixels, pixels}};
    float *where = latent ? latent : probe->latent;
    tt_status status = tt_condition_make(m, &request, &condition, err);
    if (status == TT_OK)
        status = denoise(probe, &condition, index, where, err);
    tt_condition_free(&condition);
    return status == TT_OK ? decode(probe, where, image, err) : status;
}

tt_status tt_probe_keep(tt_probe *probe, tt_error *err)
{
    probe->latents = malloc(probe->n_prompts * probe->n_latent * sizeof(float));
    probe->images = malloc(probe->n_prompts * probe->n_image * sizeof(float));
    if (!probe->latents || !probe->images)
        return tt_fail_memory(err, "pictures", probe->n_prompts * probe->n_image * sizeof(float));
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < probe->n_prompts && status == TT_OK; i++)
        status = tt_probe_run(probe, i, probe->latents + i * probe->n_latent, probe->images + i * probe->n_image, err);
    return status;
}

static double mean_square(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum / (double)n;
}

tt_status tt_probe_compare(tt_probe *probe, tt_probe_part changed, double *mse, double *db, tt_error *err)
{
    tt_status status = TT_OK;
    *mse = *db = 0.0;
    for (uint32_t i = 0; i < probe->n_prompts && status == TT_OK; i++) {
        if (changed == TT_PROBE_VAE)
            status = decode(probe, probe->latents + i * probe->n_latent, probe->scratch, err);
        else
            status = tt_probe_run(probe, i, NULL, probe->scratch, err);
        double error = mean_square(probe->scratch, probe->images + i * probe->n_image, probe->n_image);
        *mse += error / probe->n_prompts;
        *db += -10.0 * log10(error > 1e-12 ? error : 1e-12) / probe->n_prompts;
    }
    return status;
}

/* ---- parts */

const char *tt_probe_prefix(tt_probe_part part)
{
    static const char *const prefixes[] = {"text_encoder.", "text_encoder_2.", "unet.", "vae."};
    return prefixes[part];
}

tt_status tt_probe_store(tt_probe *probe, tt_probe_part part, tt_weight_store **store, tt_error *err)
{
    tt_model *m = probe->job->model;
    tt_status status;
    switch (part) {
    case TT_PROBE_TEXT:
    case TT_PROBE_TEXT_2:
        status = tt_model_need_text(m, part == TT_PROBE_TEXT ? 0 : 1, err);
        return status == TT_OK ? tt_clip_store(m->text[part == TT_PROBE_TEXT ? 0 : 1].clip, store, err) : status;
    case TT_PROBE_UNET:
        status = tt_model_need_unet(m, err);
        return status == TT_OK ? tt_unet_store(m->unet, store, err) : status;
    case TT_PROBE_VAE:
        break;
    }
    status = tt_model_need_vae(m, err);
    return status == TT_OK ? tt_vae_decoder_store(m->vae, store, err) : status;
}

bool tt_probe_part_of(const tt_job_tensor *tensor, tt_probe_part *part)
{

    for (int i = TT_PROBE_TEXT; i <= TT_PROBE_VAE; i++) {
        const char *prefix = tt_probe_prefix((tt_probe_part)i);
        if (strncmp(tensor->name, prefix, strlen(prefix)) == 0) {
            *part = (tt_probe_part)i;
            return i != TT_PROBE_VAE || strncmp(tensor->canonical, "encoder.", 8) != 0;
        }
    }
    return false;
}
