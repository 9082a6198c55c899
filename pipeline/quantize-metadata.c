/* quantize-metadata.c - the texts that make one GGUF file a whole model: configs, tokenizer, origin. */
#include "base/json.h"
#include "base/sha256.h"
#include "base/text.h"
#include "pipeline/config-write.h"
#include "pipeline/quantize-job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes text (new, or NULL: nothing is added) over, also on failure. */
static tt_status take(tt_job_metadata *m, const char *key, char *text, tt_error *err)
{
    if (!text)
        return TT_OK;
    if (m->n == m->capacity) {
        size_t capacity = m->capacity ? m->capacity * 2 : 32;
        tt_job_pair *larger = realloc(m->pairs, capacity * sizeof *larger);
        if (larger) {
            m->pairs = larger;
            m->capacity = capacity;
        }
    }
    char *copy = NULL;
    if (m->n == m->capacity || !tt_string_copy(key, &copy)) {
        free(text);
        return tt_fail_memory(err, "metadata", m->n * sizeof *m->pairs);
    }
    m->pairs[m->n++] = (tt_job_pair){.key = copy, .text = text};
    return TT_OK;
}

static tt_status add(tt_job_metadata *m, const char *key, const char *text, tt_error *err)
{
    char *copy = NULL;
    if (text && !tt_string_copy(text, &copy))
        return tt_fail_memory(err, key, strlen(text));
    return take(m, key, copy, err);
}

static tt_status add_number(tt_job_metadata *m, const char *key, uint32_t number, tt_error *err)
{
    tt_status status = add(m, key, "", err);
    if (status == TT_OK) {
        free(m->pairs[m->n - 1].text);
        m->pairs[m->n - 1].text = NULL;
        m->pairs[m->n - 1].number = number;
    }
    return status;
}

void tt_job_free_metadata(tt_job_metadata *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->pairs[i].key);
        free(m->pairs[i].text);
    }
    free(m->pairs);
    *m = (tt_job_metadata){0};
}

/* ---- configs */

/* The text that the input brings for a role, NULL when it has none or its part was replaced. */
static const char *given_text(const tt_quantize_job *job, const char *role)
{
    const tt_model *m = job->model;
    tt_model_layout layout = tt_model_files_layout(m->files);
    bool replaced = m->vae_files && (strcmp(role, "vae") == 0 || strcmp(role, "model_index") == 0);
    bool has_texts = layout == TT_LAYOUT_DIFFUSERS || layout == TT_LAYOUT_TINTYPE;
    return has_texts && !replaced ? tt_model_files_text(m->files, role) : NULL;
}

/* Adds what the input says or, where it says nothing, `written` (new, may be NULL). */
static tt_status add_config(const tt_quantize_job *job, tt_job_metadata *m, const char *role, char *written,
                            tt_error *err)
{
    char key[64];
    const char *given = given_text(job, role);
    snprintf(key, sizeof key, "tintype.%s", role);
    if (!given)
        return take(m, key, written, err);
    free(written);
    return add(m, key, given, err);
}

/* Adds the UNet's config: the input's own, with what was pruned of it. */
static tt_status add_unet_config(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    static const char *const keys[] = {"removed_blocks", "attention_heads"};
    const char *given = given_text(job, "unet");
    char *json = NULL;
    json_t *own = NULL, *root = NULL;
    tt_status status = tt_config_write_unet(&job->model->unet_config, &json, err);
    if (status != TT_OK || !given || !job->params->prune_structured)
        return status == TT_OK ? add_config(job, m, "unet", json, err) : status;
    status = tt_json_parse(json, strlen(json), "the new config", &own, err);
    if (status == TT_OK)
        status = tt_json_parse(given, strlen(given), "unet/config.json", &root, err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == TT_OK; i++) {
        json_t *value = json_object_get(own, keys[i]);
        if (value && json_object_set(root, keys[i], value) != 0)
            status = tt_fail_memory(err, "the UNet's config", 0);
        if (!value)
            (void)json_object_del(root, keys[i]);
    }
    free(json);
    json = status == TT_OK ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(own);
    json_decref(root);
    if (status != TT_OK)
        return status;
    return json ? take(m, "tintype.unet", json, err) : tt_fail_memory(err, "the UNet's config", 0);
}

static tt_status add_configs(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    static const char *const text_roles[] = {"text_encoder", "text_encoder_2"};
    const tt_model *model = job->model;
    char *json = NULL;
    tt_status status = tt_config_write_index(model, &json, err);
    if (status == TT_OK)
        status = add_config(job, m, "model_index", json, err);
    for (int i = 0; i < TT_MAX_CLIPS && status == TT_OK; i++) {
        if (!model->text[i].present)
            continue;
        status = tt_config_write_clip(&model->text[i].config, &json, err);
        if (status == TT_OK)
            status = add_config(job, m, text_roles[i], json, err);
    }
    if (status == TT_OK && model->has_unet)
        status = add_unet_config(job, m, err);
    if (status == TT_OK && model->has_vae)
        status = tt_config_write_vae(&model->vae_config, &json, err);
    if (status == TT_OK && model->has_vae)
        status = add_config(job, m, "vae", json, err);
    if (status == TT_OK && model->scheduler)
        status = tt_scheduler_config_write(model->scheduler, &json, err);
    if (status == TT_OK && model->scheduler)
        status = add_config(job, m, "scheduler", json, err);
    return status;
}

/* ---- tokenizers */

static tt_status add_vocabulary(const tt_quantize_job *job, tt_job_metadata *m, uint32_t index, tt_error *err)
{
    static const char *const keys[2][3] = {{"tintype.vocab", "tintype.merges", "tintype.tokenizer_config"},
                                           {"tintype.vocab_2", "tintype.merges_2", "tintype.tokenizer_config_2"}};
    char *texts[3] = {NULL, NULL, NULL};
    tt_error reason = {""};
    tt_status status = tt_model_vocabulary_texts(job->model, index, &texts[0], &texts[1], &texts[2], &reason);
    if (status == TT_ERROR_MEMORY)
        return tt_fail(err, status, "%s", reason.text);
    if (status != TT_OK) {
        tt_log_write(&job->context->log, TT_LOG_WARNING,
                     "the file will have no tokenizer and will need CLIP's vocabulary where it is used: %s",
                     reason.text);
        return TT_OK;
    }
    for (int i = 0; i < 3; i++) {
        tt_status added = status == TT_OK ? take(m, keys[index][i], texts[i], err) : status;
        if (status != TT_OK)
            free(texts[i]);
        status = added;
    }
    return status;
}

static tt_status add_tokenizers(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    static const char *const roles[2][4] = {{"vocab", "merges", "tokenizer_config", "special_tokens"},
                                            {"vocab_2", "merges_2", "tokenizer_config_2", "special_tokens_2"}};
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < TT_MAX_CLIPS && status == TT_OK; i++) {
        if (!job->model->text[i].present)
            continue;
        if (!given_text(job, roles[i][0]) || !given_text(job, roles[i][1])) {
            status = add_vocabulary(job, m, i, err);
            continue;
        }
        for (int r = 0; r < 4 && status == TT_OK; r++)
            status = add_config(job, m, roles[i][r], NULL, err);
    }
    return status;
}

/* ---- defaults, names, origin */

static tt_status add_defaults(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    const tt_model *model = job->model;
    char text[40];
    tt_status status = TT_OK;
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"tintype.default_steps", model->default_steps},
                   {"tintype.default_width", model->default_width},
                   {"tintype.default_height", model->default_height}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == TT_OK; i++) {
        snprintf(text, sizeof text, "%u", numbers[i].value);
        status = add(m, numbers[i].key, text, err);
    }
    snprintf(text, sizeof text, "%.9g", (double)model->default_cfg_scale);
    if (status == TT_OK)
        status = add(m, "tintype.default_cfg_scale", text, err);
    const char *projection = tt_model_files_metadata(model->files, "tintype.preview_projection");
    if (status == TT_OK && projection)
        status = add(m, "tintype.preview_projection", projection, err);
    if (status != TT_OK || !model->scheduler)
        return status;
    tt_prediction prediction = tt_scheduler_config_prediction(model->scheduler);
    return add(m, "tintype.prediction_type",
               prediction == TT_PREDICT_V        ? "v_prediction"
               : prediction == TT_PREDICT_SAMPLE ? "sample"
                                                 : "epsilon",
               err);
}

/* The first of the keys (ended by NULL) that the input's metadata has. */
static const char *first_of(const tt_quantize_job *job, const char *const *keys)
{
    const char *found = NULL;
    for (size_t i = 0; keys[i] && !found; i++)
        found = tt_model_files_metadata(job->model->files, keys[i]);
    return found;
}

/* ggml's number for a file that is mostly of one type; false where it has none. */
static bool file_type(tt_weight_type type, uint32_t *number)
{
    static const struct {
        tt_weight_type type;
        uint32_t number;
    } known[] = {{TT_WEIGHT_F32, 0},   {TT_WEIGHT_F16, 1},   {TT_WEIGHT_Q4_0, 2},  {TT_WEIGHT_Q4_1, 3},
                 {TT_WEIGHT_Q8_0, 7},  {TT_WEIGHT_Q5_0, 8},  {TT_WEIGHT_Q5_1, 9},  {TT_WEIGHT_Q2_K, 10},
                 {TT_WEIGHT_Q3_K, 11}, {TT_WEIGHT_Q4_K, 14}, {TT_WEIGHT_Q5_K, 16}, {TT_WEIGHT_Q6_K, 18}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].type == type) {
            *number = known[i].number;
            return true;
        }
    return false;
}

static tt_status add_general(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    static const char *const names[] = {"tintype.name", "general.name", "modelspec.title", NULL};
    static const char *const licences[] = {"tintype.licence", "general.license", "modelspec.license", NULL};
    const char *name = first_of(job, names), *licence = first_of(job, licences);
    uint32_t number = 0;
    bool is_mixed = job->params->size_budget > 0 || job->params->fidelity_db > 0.0;
    tt_status status = add(m, "general.architecture", tt_model_family_name(job->model), err);
    if (status == TT_OK)
        status = add(m, "tintype.family", tt_model_family_name(job->model), err);
    if (status == TT_OK)
        status = add(m, "general.name", name ? name : job->model->name, err);
    if (status == TT_OK)
        status = add(m, "tintype.name", name ? name : job->model->name, err);
    if (status == TT_OK)
        status = add(m, "general.license", licence, err);
    if (status == TT_OK)
        status = add(m, "tintype.licence", licence, err);
    if (status == TT_OK && (is_mixed || tt_weight_type_is_quantized(job->base)))
        status = add_number(m, "general.quantization_version", 2, err);
    if (status == TT_OK && !is_mixed && file_type(job->base, &number))
        status = add_number(m, "general.file_type", number, err);
    return status;
}

/* How the file was made, as JSON. */
static tt_status add_recipe(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    const tt_quantize_params *p = job->params;
    char prompts[65] = "";
    tt_status status = p->prompts ? tt_sha256_hex(p->prompts, strlen(p->prompts), prompts, err) : TT_OK;
    if (status != TT_OK)
        return status;
    json_t *root = json_object();
    bool good = root && json_object_set_new(root, "version", json_string(tt_version())) == 0;
    bool is_mixed = p->size_budget > 0 || p->fidelity_db > 0.0;
    if (good && !is_mixed)
        good = json_object_set_new(root, "type", json_string(tt_weight_type_name(job->base))) == 0;
    if (good && p->size_budget > 0)
        good = json_object_set_new(root, "budget_bytes", json_integer((json_int_t)p->size_budget)) == 0;
    if (good && p->fidelity_db > 0.0)
        good = json_object_set_new(root, "fidelity_db", json_real(p->fidelity_db)) == 0;
    if (good && p->rules && p->rules[0])
        good = json_object_set_new(root, "rules", json_string(p->rules)) == 0;
    if (good)
        good = json_object_set_new(root, "fit", json_string(p->plain_fit ? "plain" : "search")) == 0 &&
               json_object_set_new(root, "pure", json_boolean(p->pure)) == 0;
    if (good && p->prune > 0.0f)
        good = json_object_set_new(root, "prune", json_real((double)p->prune)) == 0;
    if (good && p->prune_structured)
        good = json_object_set_new(root, "prune_structured", json_string(p->prune_structured)) == 0;
    if (good && p->prune_structured && isfinite(job->report->structure_change))
        good = json_object_set_new(root, "prune_structured_change", json_real(job->report->structure_change)) == 0;
    if (good && prompts[0])
        good = json_object_set_new(root, "prompts_sha256", json_string(prompts)) == 0;
    char *text = good ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text ? take(m, "tintype.quantize", text, err) : tt_fail_memory(err, "metadata", 0);
}

static tt_status add_origin(const tt_quantize_job *job, tt_job_metadata *m, tt_error *err)
{
    tt_text source = {0};
    tt_text_format(&source, "%s sha256:%s", job->model->name, job->source_hash);
    tt_status status = tt_text_status(&source, err);
    if (status != TT_OK) {
        tt_text_free(&source);
        return status;
    }
    status = take(m, "tintype.source", source.bytes, err);
    if (status == TT_OK)
        status = add(m, "tintype.format", "1", err);
    return status == TT_OK ? add_recipe(job, m, err) : status;
}

tt_status tt_job_make_metadata(tt_quantize_job *job, tt_job_metadata *metadata, tt_error *err)
{
    tt_status status = add_general(job, metadata, err);
    if (status == TT_OK)
        status = add_configs(job, metadata, err);
    if (status == TT_OK)
        status = add_tokenizers(job, metadata, err);
    if (status == TT_OK)
        status = add_defaults(job, metadata, err);
    return status == TT_OK ? add_origin(job, metadata, err) : status;
}
