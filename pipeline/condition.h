/* condition.h - from prompts to what the UNet is conditioned on; used inside this room. */
#ifndef TT_PIPELINE_CONDITION_H
#define TT_PIPELINE_CONDITION_H

#include "pipeline/model.h"

/* One request's words and sizes. */
typedef struct tt_condition_request {
    const char *prompt, *negative; /* negative NULL: none */
    bool grammar;                  /* A1111 weights, BREAK and chunks; false: plain text cut at 77 tokens */
    bool guided;                   /* batch 2: [negative, prompt] */
    uint32_t clip_skip;            /* 0 or 1: last layer */
    bool skip_negative;            /* clip skip also for the negative prompt: A1111 does, diffusers does not */
    float cfg_scale;               /* LCM: embedded */
    bool one_at_a_time;            /* free each encoder's device memory before the next is loaded */
    float time_ids[6];             /* SDXL: original h, w, crop top, left, target h, w */
} tt_condition_request;

/* Conditions of one UNet pass: arrays are owned, [batch] leads (batch 2: negative first). */
struct tt_condition {
    uint32_t batch, n_tokens;
    float *context, *text_embeds, *time_ids, *timestep_cond;
};

/* Tokenizes and encodes. Free with tt_condition_free. */
tt_status tt_condition_make(tt_model *model, const tt_condition_request *request, tt_condition *condition,
                            tt_error *err);

/* The number of chunks of 77 tokens that both texts will get, without encoding them. */
tt_status tt_condition_chunks(tt_model *model, const tt_condition_request *request, uint32_t *n_chunks, tt_error *err);
void tt_condition_free(tt_condition *condition);

#endif
