/* worker-job.c - one job's work: a body becomes a picture, the picture a larger one, that one a PNG. */
#include "service/worker-private.h"

#include "service/body.h"

#include <stdlib.h>
#include <string.h>

/* ---- open and close */

static tt_status fail_context(const tt_worker *worker, tt_status status, tt_error *err)
{
    return tt_fail(err, status, "%s", tt_context_message(worker->context));
}

static tt_status open_device(tt_worker *worker, const tt_worker_params *params, tt_error *err)
{
    tt_device_params device;
    tt_upscaler_params network;
    worker->context = tt_context_create();
    if (worker->context == NULL)
        return tt_fail_memory(err, "a worker", sizeof *worker);
    tt_device_params_default(&device);
    device.device = params->device;
    tt_upscaler_params_default(&network);
    network.path = params->upscale_model;
    tt_status status = tt_context_open_device(worker->context, &device);
    if (status == TT_OK)
        status = tt_upscaler_load(worker->context, &network, &worker->upscaler);
    return status == TT_OK ? TT_OK : fail_context(worker, status, err);
}

/* One small picture makes the device compile and keep what every job needs: it shows now that it cannot work, and no
 * client waits for it. */
static tt_status warm_up(tt_worker *worker, tt_error *err)
{
    uint8_t grey[3 * 64 * 64];
    const tt_image small = {64, 64, 3, grey};
    tt_image large = {0};
    memset(grey, 128, sizeof grey);
    const tt_status status = tt_upscale(worker->upscaler, &small, 2, NULL, NULL, &large);
    tt_image_free(&large);
    return status == TT_OK ? TT_OK : fail_context(worker, status, err);
}

tt_status tt_worker_open(const tt_worker_params *params, tt_worker **worker, tt_error *err)
{
    *worker = NULL;
    tt_worker *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tt_fail_memory(err, "a worker", sizeof *made);
    made->max_pixels = params->sandbox.max_pixels;
    /* Before the driver has threads. */
    tt_status status = tt_sandbox_open(&params->sandbox, &made->sandbox, err);
    if (status == TT_OK)
        status = open_device(made, params, err);
    if (status == TT_OK)
        status = worker_models_load(made, params->models, params->n_models, err);
    if (status == TT_OK)
        status = warm_up(made, err);
    if (status == TT_OK)
        *worker = made;
    else
        tt_worker_close(made);
    return status;
}

void tt_worker_close(tt_worker *worker)
{
    if (worker == NULL)
        return;
    worker_models_free(worker);
    tt_upscaler_destroy(worker->upscaler);
    tt_context_destroy(worker->context);
    tt_sandbox_close(worker->sandbox);
    free(worker);
}

/* ---- one job */

typedef struct tile_check {
    bool (*keep_on)(void *user);
    void *user;
} tile_check;

static bool check_tile(void *user, uint32_t tile, uint32_t n_tiles)
{
    const tile_check *check = user;
    (void)tile;
    (void)n_tiles;
    return check->keep_on == NULL || check->keep_on(check->user);
}

static tt_status read_picture(tt_worker *worker, const tt_job *job, const void *body, size_t n_bytes, tt_image *picture,
                              tt_error *err)
{
    if (strcmp(job->type, tt_body_kind_type(TT_BODY_LATENT)) == 0)
        return worker_latent_read(worker, job, body, n_bytes, picture, err);
    return tt_sandbox_decode(worker->sandbox, body, n_bytes, job->width, job->height, picture, err);
}

static tt_status enlarge(tt_worker *worker, const tt_job *job, const tt_image *picture, tile_check *check,
                         tt_work *work, tt_error *err)
{
    tt_image large = {0};
    tt_status status = tt_upscale(worker->upscaler, picture, job->scale, check_tile, check, &large);
    if (status == TT_OK)
        status = tt_image_encode_png(worker->context, &large, NULL, &work->png, &work->n_png_bytes);
    tt_image_free(&large);
    return status == TT_OK ? TT_OK : fail_context(worker, status, err);
}

/* Which failures are the input's: those that another try on another worker would meet again. */
static void judge(tt_status status, tt_work *work)
{
    work->is_final = status == TT_ERROR_FORMAT || status == TT_ERROR_UNSUPPORTED || status == TT_ERROR_ARGUMENT;
    work->is_broken = status == TT_ERROR_DEVICE || status == TT_ERROR_INTERNAL;
    work->code = status == TT_OK ? 0 : work->is_final ? 422 : 500;
}

tt_status tt_worker_do(tt_worker *worker, const tt_job *job, const void *body, size_t n_body_bytes,
                       bool (*keep_on)(void *user), void *user, tt_work *work, tt_error *err)
{
    tt_image picture = {0};
    tile_check check = {keep_on, user};
    *work = (tt_work){0};
    tt_status status = read_picture(worker, job, body, n_body_bytes, &picture, err);
    if (status == TT_OK)
        status = enlarge(worker, job, &picture, &check, work, err);
    tt_image_free(&picture);
    judge(status, work);
    return status;
}
