/* condition.c - prompt -> tokens -> text encoder(s) -> context, pooled text, time ids, guidance embedding. */
#include "pipeline/condition.h"
#include "base/system-memory.h"
#include "text-encoder/prompt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void tt_condition_free(tt_condition *condition)
{
    free(condition->context);
    free(condition->text_embeds);
    free(condition->time_ids);
    free(condition->timestep_cond);
    *condition = (tt_condition){0};
}

/* A plain text as one chunk: cut at 75 tokens, as the model was trained. */
static tt_status encode_plain(tt_model *model, uint32_t index, const char *text, tt_prompt *prompt, tt_error *err)
{
    const tt_tokenizer *tokenizer = model->text[index].tokenizer;
    int32_t *ids = NULL;
    size_t n = 0;
    tt_status status = tt_tokenizer_encode(tokenizer, text, strlen(text), &ids, &n, err);
    if (status != TT_OK)
        return status;
    *prompt = (tt_prompt){.n_chunks = 1};
    prompt->ids = malloc(TT_CHUNK_TOKENS * sizeof *prompt->ids);
    prompt->weights = malloc(TT_CHUNK_TOKENS * sizeof *prompt->weights);
    if (!prompt->ids || !prompt->weights) {
        free(ids);
        tt_prompt_free(prompt);
        return tt_fail_memory(err, "token ids", TT_CHUNK_TOKENS * sizeof *ids);
    }
    size_t kept = n < TT_CHUNK_TOKENS - 2 ? n : TT_CHUNK_TOKENS - 2;
    for (size_t i = 0; i < TT_CHUNK_TOKENS; i++) {
        prompt->ids[i] = i == 0          ? tt_tokenizer_bos(tokenizer)
                         : i <= kept     ? ids[i - 1]
                         : i == kept + 1 ? tt_tokenizer_eos(tokenizer)
                                         : tt_tokenizer_pad(tokenizer);
        prompt->weights[i] = 1.0f;
    }
    free(ids);
    return TT_OK;
}

static tt_status encode_text(tt_model *model, uint32_t index, const char *text, bool grammar, tt_prompt *prompt,
                             tt_error *err)
{
    tt_status status = tt_model_need_tokenizer(model, index, err);
    if (status != TT_OK)
        return status;
    return grammar ? tt_prompt_encode(model->text[index].tokenizer, text, prompt, err)
                   : encode_plain(model, index, text, prompt, err);
}

/* Where one encoder's rows go: context row r of text b begins at context[(b * n_tokens + r) * width + column]. */
typedef struct tt_context_place {
    float *context;
    uint32_t n_tokens, width, column;
    float *pooled; /* [batch][projection_dim] or NULL */
} tt_context_place;

/* Which layer's output the UNet was trained on. */
static tt_clip_output wanted_output(const tt_model *model, uint32_t clip_skip, float *hidden, float *pooled)
{
    tt_clip_output output = {.pooled = pooled};
    if (model->family == TT_FAMILY_SDXL)
        output.skipped = hidden;
    else if (clip_skip <= 1)
        output.last_hidden = hidden;
    else
        output.skipped_normed = hidden;
    return output;
}

/* Runs one encoder over all chunks of one text and puts the rows into the context. */
static tt_status run_encoder(tt_model *model, uint32_t index, const tt_prompt *prompt, uint32_t clip_skip,
                             uint32_t text, const tt_context_place *place, tt_error *err)
{
    tt_text_part *part = &model->text[index];
    uint32_t hidden_size = part->config.hidden, n = prompt->n_chunks;
    uint32_t skip = clip_skip ? clip_skip : 1;
    if (model->family == TT_FAMILY_SDXL && skip < 2)
        skip = 2;
    size_t rows = (size_t)n * TT_CHUNK_TOKENS;
    size_t pooled_size = part->config.projection_dim ? part->config.projection_dim : hidden_size;
    float *hidden = malloc(rows * hidden_size * sizeof *hidden);
    float *pooled = place->pooled ? malloc(n * pooled_size * sizeof *pooled) : NULL;
    if (!hidden || (place->pooled && !pooled)) {
        free(hidden);
        free(pooled);
        return tt_fail_memory(err, "text embeddings", rows * hidden_size * sizeof *hidden);
    }
    tt_clip_output output = wanted_output(model, clip_skip, hidden, pooled);
    tt_status status = tt_clip_encode(part->clip, prompt->ids, n, TT_CHUNK_TOKENS, skip, &output, err);
    for (uint32_t c = 0; c < n && status == TT_OK && prompt->weighted; c++)
        tt_prompt_apply_weights(prompt->weights + (size_t)c * TT_CHUNK_TOKENS,
                                hidden + (size_t)c * TT_CHUNK_TOKENS * hidden_size, hidden_size);
    for (size_t r = 0; r < rows && status == TT_OK; r++)
        memcpy(place->context + ((size_t)text * place->n_tokens + r) * place->width + place->column,
               hidden + r * hidden_size, hidden_size * sizeof *hidden);
    if (status == TT_OK && pooled)
        memcpy(place->pooled + text * pooled_size, pooled, pooled_size * sizeof *pooled); /* the first chunk's */
    free(hidden);
    free(pooled);
    return status;
}

/* Both texts through one encoder. texts[i] NULL: that text's rows stay zero. */
static tt_status encode_texts(tt_model *model, uint32_t index, const tt_condition_request *request, tt_prompt *prompts,
                              const bool *zero, uint32_t n_texts, const tt_context_place *place, tt_error *err)
{
    tt_status status = tt_model_need_text(model, index, err);
    for (uint32_t i = 0; i < n_texts && status == TT_OK; i++)
        if (!zero[i]) {
            bool is_negative = n_texts == 2 && i == 0;
            uint32_t clip_skip = is_negative && !request->skip_negative ? 1 : request->clip_skip;
            status = run_encoder(model, index, &prompts[i], clip_skip, i, place, err);
        }
    return status;
}

/* Tokenizes both texts for one encoder, to the same number of chunks. */
static tt_status tokenize_texts(tt_model *model, uint32_t index, const tt_condition_request *request,
                                const char *const *texts, uint32_t n_texts, uint32_t *n_chunks, tt_prompt *prompts,
                                tt_error *err)
{
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < n_texts && status == TT_OK; i++) {
        status = encode_text(model, index, texts[i] ? texts[i] : "", request->grammar, &prompts[i], err);
        if (status == TT_OK && prompts[i].n_chunks > *n_chunks)
            *n_chunks = prompts[i].n_chunks;
    }
    for (uint32_t i = 0; i < n_texts && status == TT_OK; i++)
        status = tt_prompt_pad(model->text[index].tokenizer, &prompts[i], *n_chunks, err);
    return status;
}

static uint32_t count_encoders(const tt_model *model)
{
    return model->text[1].present ? 2 : 1;
}

static tt_status allocate(const tt_model *model, tt_condition *c, tt_error *err)
{
    const tt_unet_config *u = &model->unet_config;
    size_t n_context = (size_t)c->batch * c->n_tokens * u->cross_attention_dim;
    size_t n_pooled = u->addition_input_dim ? u->addition_input_dim - 6 * u->addition_time_dim : 0;
    c->context = calloc(n_context, sizeof(float));
    if (n_pooled) {
        c->text_embeds = calloc(c->batch * n_pooled, sizeof(float));
        c->time_ids = calloc((size_t)c->batch * 6, sizeof(float));
    }
    if (u->time_cond_dim)
        c->timestep_cond = calloc((size_t)c->batch * u->time_cond_dim, sizeof(float));
    if (!c->context || (n_pooled && (!c->text_embeds || !c->time_ids)) || (u->time_cond_dim && !c->timestep_cond))
        return tt_fail_memory(err, "the prompt's embeddings", n_context * sizeof(float));
    return TT_OK;
}

/* Sinusoids of the guidance scale, as latent consistency models take it (arXiv 2310.04378): sine first. */
static void guidance_embedding(float cfg_scale, uint32_t dim, float *out)
{
    uint32_t half = dim / 2;
    double w = ((double)cfg_scale - 1.0) * 1000.0;
    for (uint32_t i = 0; i < half; i++) {
        float frequency = (float)exp(-log(10000.0) / (double)(half > 1 ? half - 1 : 1) * (double)i);
        float angle = (float)w * frequency;
        out[i] = (float)sin((double)angle);
        out[half + i] = (float)cos((double)angle);
    }
}

static void fill_extras(const tt_model *model, const tt_condition_request *request, tt_condition *c)
{
    for (uint32_t i = 0; c->time_ids && i < c->batch; i++)
        memcpy(c->time_ids + (size_t)i * 6, request->time_ids, sizeof request->time_ids);
    for (uint32_t i = 0; c->timestep_cond && i < c->batch; i++)
        guidance_embedding(request->cfg_scale, model->unet_config.time_cond_dim,
                           c->timestep_cond + (size_t)i * model->unet_config.time_cond_dim);
}

/* Both texts for every encoder; *n_chunks is the largest number of chunks. prompts [encoder][text]. */
static tt_status tokenize(tt_model *model, const tt_condition_request *request, tt_prompt prompts[TT_MAX_CLIPS][2],
                          uint32_t *n_chunks, tt_error *err)
{
    const char *texts[2] = {request->guided ? request->negative : request->prompt, request->prompt};
    tt_status status = TT_OK;
    *n_chunks = 1;
    for (uint32_t e = 0; e < count_encoders(model) && status == TT_OK; e++)
        status = tokenize_texts(model, e, request, texts, request->guided ? 2 : 1, n_chunks, prompts[e], err);
    return status;
}

static void free_prompts(tt_prompt prompts[TT_MAX_CLIPS][2])
{
    for (int e = 0; e < TT_MAX_CLIPS; e++)
        for (int i = 0; i < 2; i++)
            tt_prompt_free(&prompts[e][i]);
}

tt_status tt_condition_chunks(tt_model *model, const tt_condition_request *request, uint32_t *n_chunks, tt_error *err)
{
    tt_prompt prompts[TT_MAX_CLIPS][2] = {0};
    tt_status status = tokenize(model, request, prompts, n_chunks, err);
    free_prompts(prompts);
    return status;
}

/* Tokens for every encoder, then the context at its final size. prompts [encoder][text]. */
static tt_status make(tt_model *model, const tt_condition_request *request, tt_prompt prompts[TT_MAX_CLIPS][2],
                      tt_condition *c, tt_error *err)
{
    uint32_t n_encoders = count_encoders(model), n_texts = request->guided ? 2 : 1, n_chunks = 1, column = 0;
    bool no_negative = request->guided && !request->negative;
    bool zero[2] = {no_negative && model->family == TT_FAMILY_SDXL && model->force_zeros, false};
    tt_status status = tokenize(model, request, prompts, &n_chunks, err);
    /* The encoders split the same words alike only mostly: both get the larger number of chunks. */
    for (uint32_t e = 0; e < n_encoders && status == TT_OK; e++)
        for (uint32_t i = 0; i < n_texts && status == TT_OK; i++)
            status = tt_prompt_pad(model->text[e].tokenizer, &prompts[e][i], n_chunks, err);
    c->batch = n_texts;
    c->n_tokens = n_chunks * TT_CHUNK_TOKENS;
    if (status == TT_OK)
        status = allocate(model, c, err);
    for (uint32_t e = 0; e < n_encoders && status == TT_OK; e++) {
        tt_context_place place = {.context = c->context,
                                  .n_tokens = c->n_tokens,
                                  .width = model->unet_config.cross_attention_dim,
                                  .column = column,
                                  .pooled = e == 1 ? c->text_embeds : NULL};
        status = encode_texts(model, e, request, prompts[e], zero, n_texts, &place, err);
        column += model->text[e].config.hidden;
        if (request->one_at_a_time) {
            tt_clip_release_device(model->text[e].clip);
            tt_heap_trim();
        }
    }
    if (status == TT_OK)
        fill_extras(model, request, c);
    return status;
}

tt_status tt_condition_make(tt_model *model, const tt_condition_request *request, tt_condition *condition,
                            tt_error *err)
{
    tt_prompt prompts[TT_MAX_CLIPS][2] = {0};
    *condition = (tt_condition){0};
    if (!model->text[0].present || !model->has_unet)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s lacks a text encoder or a UNet; give a whole model",
                       tt_model_files_path(model->files));
    tt_status status = make(model, request, prompts, condition, err);
    free_prompts(prompts);
    if (status != TT_OK)
        tt_condition_free(condition);
    return status;
}
