/* worker-latent.c - bodies that are latents, and the models that make pictures of them. */
#include "service/worker-private.h"

#include "base/sha256.h"
#include "service/body.h"

#include <stdlib.h>
#include <string.h>

tt_status worker_models_load(tt_worker *worker, const char *const *paths, size_t n, tt_error *err)
{
    tt_status status = TT_OK;
    worker->models = n > 0 ? calloc(n, sizeof *worker->models) : NULL;
    if (n > 0 && worker->models == NULL)
        return tt_fail_memory(err, "a worker's models", n * sizeof *worker->models);
    for (size_t i = 0; i < n && status == TT_OK; i++) {
        worker_model *m = &worker->models[worker->n_models++];
        tt_model_params params;
        tt_model_params_default(&params);
        params.path = paths[i];
        status = tt_sha256_file_hex(paths[i], m->hash, err);
        if (status != TT_OK)
            break;
        status = tt_model_load(worker->context, &params, &m->model);
        if (status == TT_OK)
            status = tt_model_get_info(m->model, &m->info);
        if (status != TT_OK)
            (void)tt_fail(err, status, "%s", tt_context_message(worker->context));
    }
    return status;
}

void worker_models_free(tt_worker *worker)
{
    for (size_t i = 0; i < worker->n_models; i++)
        tt_model_destroy(worker->models[i].model);
    free(worker->models);
}

static worker_model *find_model(tt_worker *worker, const char *hash)
{
    for (size_t i = 0; i < worker->n_models; i++)
        if (strncmp(worker->models[i].hash, hash, strlen(hash)) == 0)
            return &worker->models[i];
    return NULL;
}

/* The gate has judged the body; it is judged again, for the ledger is another process. */
static tt_status check(tt_worker *worker, const tt_job *job, const uint8_t *body, size_t n_bytes, tt_body_info *info,
                       tt_error *err)
{
    uint32_t code = 0;
    tt_body_limits limits = tt_body_limits_default();
    limits.max_bytes = n_bytes;
    limits.max_side = UINT32_MAX;
    limits.max_pixels = worker->max_pixels;
    limits.max_result_pixels = 16 * worker->max_pixels;
    const tt_status status = tt_body_check(body, n_bytes, job->type, job->scale, &limits, info, &code, err);
    if (status == TT_OK && (info->width != job->width || info->height != job->height))
        return tt_fail(err, TT_ERROR_FORMAT, "the latent is not of the size that its job says");
    return status;
}

tt_status worker_latent_read(tt_worker *worker, const tt_job *job, const uint8_t *body, size_t n_bytes,
                             tt_image *picture, tt_error *err)
{
    tt_body_info info;
    tt_latent latent = {0};
    tt_status status = check(worker, job, body, n_bytes, &info, err);
    if (status != TT_OK)
        return status;
    const worker_model *m = find_model(worker, info.model_hash);
    if (m == NULL)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "this service has no model whose hash begins with %s: send the picture", info.model_hash);
    status = tt_body_read_latent(body, n_bytes, &latent, err);
    if (status == TT_OK &&
        (latent.channels != m->info.latent_channels || latent.height * m->info.vae_factor != info.height))
        status = tt_fail(err, TT_ERROR_FORMAT, "the latent is not one of this model: it has %u channels, the model %u",
                         latent.channels, m->info.latent_channels);
    if (status == TT_OK) {
        status = tt_latent_decode(m->model, &latent, picture);
        if (status != TT_OK)
            (void)tt_fail(err, status, "%s", tt_context_message(worker->context));
    }
    tt_latent_free(&latent);
    return status;
}
