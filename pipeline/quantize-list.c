/* quantize-list.c - which tensors a quantized file needs: those that the graphs ask for, and no others. */
#include "base/text.h"
#include "pipeline/quantize-job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One part of the model, or one half of its VAE. */
typedef struct part {
    const char *prefix;
    tt_weights *weights;
    size_t first_group;
} part;

static tt_job_tensor *append(tt_quantize_job *job, tt_error *err)
{
    if (job->n_tensors == job->capacity) {
        size_t capacity = job->capacity ? job->capacity * 2 : 512;
        tt_job_tensor *larger = realloc(job->tensors, capacity * sizeof *larger);
        if (!larger) {
            tt_fail_memory(err, "a list of tensors", capacity * sizeof *larger);
            return NULL;
        }
        job->tensors = larger;
        job->capacity = capacity;
    }
    tt_job_tensor *tensor = &job->tensors[job->n_tensors];
    memset(tensor, 0, sizeof *tensor);
    return tensor;
}

static void set_shape(tt_job_tensor *t, uint32_t n_dims, const uint64_t *dims)
{
    t->n_dims = n_dims;
    t->n_rows = n_dims > 1 ? dims[0] : 1;
    t->n_columns = n_dims > 1 ? 1 : dims[0];
    t->n_taps = n_dims == 4 ? (uint32_t)(dims[2] * dims[3]) : 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        t->n_columns *= i > 0 ? dims[i] : 1;
    }
}

static tt_status add(tt_quantize_job *job, const part *p, const tt_listed_tensor *listed, tt_error *err)
{
    char full[TT_MAX_NAME + 32];
    tt_job_tensor *t = append(job, err);
    if (!t)
        return TT_ERROR_MEMORY;
    snprintf(full, sizeof full, "%s%s", p->prefix, listed->name);
    tt_status status = tt_weights_get(p->weights, listed->name, listed->n_dims, listed->dims, &t->weight, err);
    if (status == TT_OK && !tt_string_copy(full, &t->name))
        status = tt_fail_memory(err, "a tensor's name", strlen(full));
    if (status != TT_OK)
        return status;
    t->canonical = t->name + strlen(p->prefix);
    t->weights = p->weights;
    t->role = listed->role;
    t->group = p->first_group + listed->group;
    set_shape(t, listed->n_dims, listed->dims);
    if (t->group >= job->n_groups)
        job->n_groups = t->group + 1;
    job->n_tensors++;
    return TT_OK;
}

static tt_status add_store(tt_quantize_job *job, part *p, const tt_weight_store *store, tt_error *err)
{
    tt_status status = TT_OK;
    p->first_group = job->n_groups;
    for (size_t i = 0; i < tt_weight_store_n_tensors(store) && status == TT_OK; i++)
        status = add(job, p, tt_weight_store_tensor(store, i), err);
    return status;
}

/* Graphs are planned in half storage for no device in particular. */
static const tt_kernels planned = {.storage = TT_STORAGE_F16, .family = TT_FAMILY_CPU_TILE};

static tt_status list_text(tt_quantize_job *job, uint32_t index, tt_error *err)
{
    static const char *const prefixes[] = {"text_encoder.", "text_encoder_2."};
    tt_text_part *text = &job->model->text[index];
    part p = {.prefix = prefixes[index], .weights = text->weights};
    tt_weight_store *store = NULL;
    tt_graph_forecast unused;
    uint32_t n_tokens = text->config.n_positions < 77 ? text->config.n_positions : 77;
    tt_status status = tt_clip_forecast(&planned, &text->config, text->weights, 1, n_tokens, &store, &unused, err);
    if (status == TT_OK)
        status = add_store(job, &p, store, err);
    tt_weight_store_destroy(store);
    if (status != TT_OK || text->config.projection_dim == 0)
        return status;
    p.first_group = job->n_groups;
    tt_listed_tensor projection = {.name = "text_projection.weight",
                                   .role = TT_ROLE_MATRIX,
                                   .n_dims = 2,
                                   .dims = {text->config.projection_dim, text->config.hidden}};
    status = add(job, &p, &projection, err);
    if (status == TT_OK)
        job->tensors[job->n_tensors - 1].is_on_host = true;
    return status;
}

static tt_status list_unet(tt_quantize_job *job, tt_error *err)
{
    part p = {.prefix = "unet.", .weights = job->model->unet_weights};
    const tt_unet_shape shape = {.batch = 1, .height = 8, .width = 8, .n_tokens = 77};
    tt_weight_store *store = NULL;
    tt_graph_forecast unused;
    tt_status status = tt_unet_forecast(&planned, &job->model->unet_config, p.weights, &shape, &store, &unused, err);
    if (status == TT_OK)
        status = add_store(job, &p, store, err);
    tt_weight_store_destroy(store);
    return status;
}

static tt_status list_vae_half(tt_quantize_job *job, bool is_decoder, tt_error *err)
{
    const tt_model *m = job->model;
    uint32_t side = is_decoder ? 8 : 8 * m->vae_config.factor;
    part p = {.prefix = "vae.",
              .weights = !is_decoder && m->vae_encoder_weights ? m->vae_encoder_weights : m->vae_weights};
    tt_weight_store *store = NULL;
    tt_graph_forecast unused;
    tt_status status =
        tt_vae_forecast(&planned, &m->vae_config, p.weights, is_decoder, side, side, &store, &unused, err);
    if (status == TT_OK)
        status = add_store(job, &p, store, err);
    tt_weight_store_destroy(store);
    return status;
}

tt_status tt_job_list(tt_quantize_job *job, tt_error *err)
{
    const tt_model *m = job->model;
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < TT_MAX_CLIPS && status == TT_OK; i++)
        if (m->text[i].present)
            status = list_text(job, i, err);
    if (status == TT_OK && m->has_unet)
        status = list_unet(job, err);
    if (status == TT_OK && m->has_vae && m->vae_config.has_decoder)
        status = list_vae_half(job, true, err);
    if (status == TT_OK && m->has_vae && m->vae_config.has_encoder)
        status = list_vae_half(job, false, err);
    for (size_t i = 0; i < job->n_tensors; i++)
        job->report->bytes_in += job->tensors[i].weight.tensor.n_bytes;
    return status;
}

void tt_job_free_list(tt_quantize_job *job)
{
    for (size_t i = 0; i < job->n_tensors; i++)
        free(job->tensors[i].name);
    free(job->tensors);
    job->tensors = NULL;
    job->n_tensors = job->capacity = 0;
}

tt_status tt_job_columns(const tt_quantize_job *job, const tt_job_tensor *tensor, float **columns, tt_error *err)
{
    char layer[TT_MAX_NAME + 32];
    const char suffix[] = ".weight";
    size_t length = strlen(tensor->name);
    *columns = NULL;
    if (!job->importance || tensor->role != TT_ROLE_MATRIX || length < sizeof suffix)
        return TT_OK;
    snprintf(layer, sizeof layer, "%.*s", (int)(length - (sizeof suffix - 1)), tensor->name);
    return tt_importance_columns(job->importance, layer, tensor->n_columns / tensor->n_taps, tensor->n_taps, columns,
                                 err);
}
