/* worker-private.h - what a worker works with; shared by its files. */
#ifndef TT_SERVICE_WORKER_PRIVATE_H
#define TT_SERVICE_WORKER_PRIVATE_H

#include "service/worker.h"

/* A model that decodes latents. */
typedef struct worker_model {
    char hash[65]; /* of its file, hex */
    tt_model *model;
    tt_model_info info;
} worker_model;

struct tt_worker {
    tt_context *context;
    tt_upscaler *upscaler;
    tt_sandbox *sandbox;
    uint64_t max_pixels;
    worker_model *models;
    size_t n_models;
};

/* ---- worker-latent.c */
tt_status worker_models_load(tt_worker *worker, const char *const *paths, size_t n, tt_error *err);
void worker_models_free(tt_worker *worker);

/* Decodes a latent body with the model that it names. */
tt_status worker_latent_read(tt_worker *worker, const tt_job *job, const uint8_t *body, size_t n_bytes,
                             tt_image *picture, tt_error *err);

#endif
