/* prompt.c - weighted runs to chunks of 77 ids, and the weights' effect on embeddings. */
#include "text-encoder/prompt.h"

#include "text-encoder/prompt-parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    INNER_TOKENS = TT_CHUNK_TOKENS - 2, /* without BOS and EOS */
    COMMA_REACH = 20,                   /* how far back a chunk may be cut at a comma */
    MAX_CHUNKS = 64,
    NO_COMMA = -1,
};

/* The chunk that is being filled. */
typedef struct chunk_builder {
    const tt_tokenizer *tokenizer;
    tt_prompt *prompt;
    int32_t ids[INNER_TOKENS];
    float weights[INNER_TOKENS];
    int n_ids;
    int last_comma;   /* index of the last comma in this chunk */
    int32_t comma_id; /* the token of a lone comma, -1 when a comma takes several */
} chunk_builder;

/* Appends BOS, ids, EOS and padding as one chunk. */
static tt_status append_chunk(const tt_tokenizer *tokenizer, tt_prompt *prompt, const int32_t *ids,
                              const float *weights, int n_ids, tt_error *err)
{
    if (prompt->n_chunks >= MAX_CHUNKS)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the prompt is longer than %d chunks of %d tokens: shorten it",
                       MAX_CHUNKS, INNER_TOKENS);
    const size_t n_before = (size_t)prompt->n_chunks * TT_CHUNK_TOKENS, n_after = n_before + TT_CHUNK_TOKENS;
    int32_t *all_ids = realloc(prompt->ids, n_after * sizeof *all_ids);
    if (all_ids != NULL)
        prompt->ids = all_ids;
    float *all_weights = realloc(prompt->weights, n_after * sizeof *all_weights);
    if (all_weights != NULL)
        prompt->weights = all_weights;
    if (all_ids == NULL || all_weights == NULL)
        return tt_fail_memory(err, "the tokens of a prompt", n_after * sizeof *all_ids);
    for (int i = 0; i < TT_CHUNK_TOKENS; i++) {
        const bool is_inner = i > 0 && i <= n_ids;
        const int32_t frame = i == 0           ? tt_tokenizer_bos(tokenizer)
                              : i == n_ids + 1 ? tt_tokenizer_eos(tokenizer)
                                               : tt_tokenizer_pad(tokenizer);
        all_ids[n_before + (size_t)i] = is_inner ? ids[i - 1] : frame;
        all_weights[n_before + (size_t)i] = is_inner ? weights[i - 1] : 1.0F;
        if (is_inner && !(weights[i - 1] >= 1.0F && weights[i - 1] <= 1.0F))
            prompt->weighted = true;
    }
    prompt->n_chunks++;
    return TT_OK;
}

/* Ends the chunk with its first n_kept ids; the others begin the next one. */
static tt_status end_chunk(chunk_builder *builder, int n_kept, tt_error *err)
{
    const tt_status status =
        append_chunk(builder->tokenizer, builder->prompt, builder->ids, builder->weights, n_kept, err);
    const int n_moved = builder->n_ids - n_kept;
    memmove(builder->ids, builder->ids + n_kept, (size_t)n_moved * sizeof *builder->ids);
    memmove(builder->weights, builder->weights + n_kept, (size_t)n_moved * sizeof *builder->weights);
    builder->n_ids = n_moved;
    builder->last_comma = NO_COMMA;
    return status;
}

static tt_status add_token(chunk_builder *builder, int32_t id, float weight, tt_error *err)
{
    if (builder->n_ids == INNER_TOKENS) {
        const bool is_in_reach = builder->last_comma != NO_COMMA && builder->n_ids - builder->last_comma <= COMMA_REACH;
        const bool cut_at_comma = id != builder->comma_id && is_in_reach;
        tt_status status = end_chunk(builder, cut_at_comma ? builder->last_comma + 1 : builder->n_ids, err);
        if (status != TT_OK)
            return status;
    }
    if (id == builder->comma_id)
        builder->last_comma = builder->n_ids;
    builder->ids[builder->n_ids] = id;
    builder->weights[builder->n_ids++] = weight;
    return TT_OK;
}

static tt_status add_run(chunk_builder *builder, const char *text, const tt_prompt_run *run, tt_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    if (run->is_break)
        return end_chunk(builder, builder->n_ids, err);
    tt_status status = tt_tokenizer_encode(builder->tokenizer, text + run->begin, run->n_bytes, &ids, &n_ids, err);
    for (size_t i = 0; i < n_ids && status == TT_OK; i++)
        status = add_token(builder, ids[i], (float)run->weight, err);
    free(ids);
    return status;
}

static tt_status find_comma(const tt_tokenizer *tokenizer, int32_t *id, tt_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    const tt_status status = tt_tokenizer_encode(tokenizer, ",", 1, &ids, &n_ids, err);
    *id = n_ids == 1 ? ids[0] : -1;
    free(ids);
    return status;
}

/* Checks what the parser takes for granted. */
static tt_status check_text(const char *text, tt_error *err)
{
    enum { MAX_BYTES = 1 << 20 };
    const size_t n_bytes = strlen(text);
    size_t bad = 0;
    if (n_bytes > MAX_BYTES)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the prompt has %zu bytes, at most %d are allowed: shorten it", n_bytes,
                       MAX_BYTES);
    if (!tt_utf8_valid(text, n_bytes, &bad))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the prompt is not well-formed UTF-8 at byte %zu: convert it to UTF-8 first", bad);
    return TT_OK;
}

tt_status tt_prompt_encode(const tt_tokenizer *tokenizer, const char *text, tt_prompt *prompt, tt_error *err)
{
    tt_prompt_runs runs = {0};
    chunk_builder builder = {.tokenizer = tokenizer, .prompt = prompt, .last_comma = NO_COMMA};
    *prompt = (tt_prompt){0};
    tt_status status = check_text(text, err);
    if (status == TT_OK)
        status = find_comma(tokenizer, &builder.comma_id, err);
    if (status == TT_OK)
        status = tt_prompt_parse(text, &runs, err);
    for (size_t i = 0; i < runs.n_runs && status == TT_OK; i++)
        status = add_run(&builder, runs.text.bytes, &runs.runs[i], err);
    if (status == TT_OK && (builder.n_ids > 0 || prompt->n_chunks == 0))
        status = end_chunk(&builder, builder.n_ids, err);
    tt_prompt_runs_free(&runs);
    if (status != TT_OK)
        tt_prompt_free(prompt);
    return status;
}

tt_status tt_prompt_pad(const tt_tokenizer *tokenizer, tt_prompt *prompt, uint32_t n_chunks, tt_error *err)
{
    tt_status status = TT_OK;
    while (prompt->n_chunks < n_chunks && status == TT_OK)
        status = append_chunk(tokenizer, prompt, NULL, NULL, 0, err);
    return status;
}

void tt_prompt_free(tt_prompt *prompt)
{
    free(prompt->ids);
    free(prompt->weights);
    *prompt = (tt_prompt){0};
}

static double sum(const float *values, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += (double)values[i];
    return total;
}

void tt_prompt_apply_weights(const float *weights, float *hidden, uint32_t width)
{
    const size_t n = (size_t)TT_CHUNK_TOKENS * width;
    const double before = sum(hidden, n);
    for (size_t token = 0; token < TT_CHUNK_TOKENS; token++)
        for (size_t i = 0; i < width; i++)
            hidden[token * width + i] *= weights[token];
    const double ratio = before / sum(hidden, n);
    if (!isfinite(ratio))
        return; /* the weighted mean is zero: there is nothing to restore */
    for (size_t i = 0; i < n; i++)
        hidden[i] = (float)((double)hidden[i] * ratio);
}
