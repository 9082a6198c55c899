/* model.c - life of a tt_model: load, describe, make device objects when first used, destroy. */
#include "pipeline/model.h"
#include "base/file.h"
#include "base/text.h"
#include "cl-kernels/dot.h"
#include "pipeline/file-digest.h"
#include "pipeline/preview.h"
#include "pipeline/tune-store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TT_SHARE_DIR
#define TT_SHARE_DIR "/usr/local/share/tintype"
#endif

static const char vocabulary_name[] = "bpe_simple_vocab_16e6.txt.gz";

void tt_model_params_default(tt_model_params *params)
{
    *params = (tt_model_params){.precision = TT_PRECISION_AUTO};
}

/* File or folder name without path and extension. */
static void set_name(tt_model *model, const char *path)
{
    size_t length;
    const char *last = tt_path_last(path, &length);
    snprintf(model->name, sizeof model->name, "%.*s", (int)length, last);
    char *dot = strrchr(model->name, '.');
    if (dot && dot != model->name && (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".gguf") == 0))
        *dot = '\0';
}

static tt_status read_files(tt_model *model, tt_error *err)
{
    switch (tt_model_files_layout(model->files)) {
    case TT_LAYOUT_DIFFUSERS:
    case TT_LAYOUT_TINTYPE:
        return tt_model_read_folder(model, err);
    case TT_LAYOUT_COMPONENT:
        return tt_model_read_component(model, err);
    case TT_LAYOUT_SINGLE:
        break;
    }
    return tt_model_read_checkpoint(model, err);
}

static uint32_t number_or(const char *text, uint32_t max, uint32_t otherwise)
{
    char *end = NULL;
    unsigned long value = text ? strtoul(text, &end, 10) : 0;
    return text && end != text && *end == '\0' && value >= 1 && value <= max ? (uint32_t)value : otherwise;
}

/* What a user gets who asks for nothing; a file may say better. */
static void set_defaults(tt_model *model)
{
    const char *cfg = tt_model_files_metadata(model->files, "tintype.default_cfg_scale");
    uint32_t side = model->family == TT_FAMILY_SDXL ? 1024 : model->family == TT_FAMILY_SD2 ? 768 : 512;
    if (model->unet_config.time_cond_dim > 0)
        model->default_steps = 4;
    model->default_steps = number_or(tt_model_files_metadata(model->files, "tintype.default_steps"), 1000,
                                     model->default_steps ? model->default_steps : 20);
    model->default_width = number_or(tt_model_files_metadata(model->files, "tintype.default_width"), 16384, side);
    model->default_height = number_or(tt_model_files_metadata(model->files, "tintype.default_height"), 16384, side);
    float value = cfg ? strtof(cfg, NULL) : 7.0f;
    model->default_cfg_scale = value >= 1.0f && value <= 100.0f ? value : 7.0f;
}

const tt_weights *tt_model_main_weights(const tt_model *model)
{
    return model->has_unet ? model->unet_weights : model->has_vae ? model->vae_weights : model->text[0].weights;
}

/* Half storage and products where the main weights are stored as half or smaller. */
static void choose_forms(tt_model *model)
{
    const tt_weights *main = tt_model_main_weights(model);
    tt_precision wanted = model->wanted_precision;
    if (wanted == TT_PRECISION_AUTO)
        wanted = main && tt_weights_all_half(main) ? TT_PRECISION_HALF : TT_PRECISION_F32;
    model->is_half = wanted != TT_PRECISION_F32;
    model->arithmetic = wanted == TT_PRECISION_INT8   ? TT_ARITHMETIC_INT8
                        : wanted == TT_PRECISION_HALF ? TT_ARITHMETIC_HALF
                                                      : TT_ARITHMETIC_FLOAT;
}

void tt_model_pin_float(tt_model *model)
{
    if (model->wanted_precision == TT_PRECISION_AUTO)
        model->arithmetic = TT_ARITHMETIC_FLOAT;
}

tt_status tt_model_load(tt_context *context, const tt_model_params *params, tt_model **model)
{
    tt_error *err = tt_context_begin(context);
    if (!params->path || !params->path[0])
        return tt_fail(err, TT_ERROR_ARGUMENT, "no model was named; give a file or folder");
    tt_model *m = calloc(1, sizeof *m);
    if (!m)
        return tt_fail_memory(err, "a model", sizeof *m);
    m->context = context;
    m->wanted_precision = params->precision;
    m->vae_tiling = params->vae_tiling;
    m->force_zeros = true;
    atomic_init(&m->cancelled, false);
    set_name(m, params->path);
    tt_status status = TT_OK;
    if (!tt_string_copy(params->vocabulary_path, &m->vocabulary_path))
        status = tt_fail_memory(err, "a path", 0);
    if (status == TT_OK)
        status = tt_model_files_open(params->path, &m->files, err);
    if (status == TT_OK)
        status = read_files(m, err);
    const char *other_vae = params->taesd_path ? params->taesd_path : params->vae_path;
    if (status == TT_OK && other_vae)
        status = tt_model_read_vae(m, other_vae, err);
    if (status == TT_OK)
        status = tt_preview_read(m, err);
    if (status != TT_OK) {
        tt_model_destroy(m);
        return status;
    }
    choose_forms(m);
    set_defaults(m);
    *model = m;
    return TT_OK;
}

void tt_model_destroy(tt_model *model)
{
    if (!model)
        return;
    for (int i = 0; i < TT_MAX_CLIPS; i++) {
        tt_clip_destroy(model->text[i].clip);
        tt_weights_destroy(model->text[i].weights);
        tt_tokenizer_destroy(model->text[i].tokenizer);
    }
    tt_unet_destroy(model->unet);
    tt_weights_destroy(model->unet_weights);
    tt_vae_destroy(model->vae);
    if (model->vae_encoder_weights != model->vae_weights)
        tt_weights_destroy(model->vae_encoder_weights);
    tt_weights_destroy(model->vae_weights);
    tt_scheduler_config_free(model->scheduler);
    tt_model_files_close(model->encoder_files);
    tt_model_files_close(model->vae_files);
    tt_model_files_close(model->files);
    if (model->counted)
        model->context->n_models--;
    tt_forecasts_destroy(model->forecasts);
    free(model->preview_projection);
    free(model->vocabulary_path);
    free(model);
}

void tt_cancel(tt_model *model)
{
    atomic_store(&model->cancelled, true);
}

const char *tt_model_file_digest(tt_model *model)
{
    char hex[65];
    const tt_device *device = model->context->device;
    const char *path = tt_model_files_path(model->files), *folder = device ? tt_device_cache_dir(device) : NULL;
    if (!model->hash_known && !tt_path_is_folder(path) &&
        tt_file_digest(path, folder, time(NULL), hex, NULL) == TT_OK) {
        snprintf(model->file_digest, sizeof model->file_digest, "%s", hex);
        snprintf(model->hash, sizeof model->hash, "%.10s", hex);
    }
    model->hash_known = true;
    return model->file_digest;
}

const char *tt_model_hash(tt_model *model)
{
    (void)tt_model_file_digest(model);
    return model->hash;
}

const char *tt_model_family_name(const tt_model *model)
{
    static const char *const families[] = {"sd1", "sd2", "sdxl"};
    return families[model->family];
}

/* ---- device objects */

tt_status tt_context_units(const tt_context *context, tt_dot *dot, tt_error *err)
{
    tt_device *device = context->device;
    const tt_tuning *tuning = context->tuning;
    *dot = (tt_dot){TT_DOT_NONE, TT_DOT_NONE};
    if (tt_tune_store_family(device, tuning) != tt_device_caps(device)->family)
        return TT_OK;
    return tt_dot_probe(device, tuning, dot, err);
}

tt_status tt_model_kernels(const tt_model *model, bool is_half, bool takes_int8, tt_kernels *kernels, tt_error *err)
{
    tt_device *device = model->context->device;
    if (!device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    *kernels = (tt_kernels){.device = device,
                            .storage = is_half ? TT_STORAGE_F16 : TT_STORAGE_F32,
                            .family = tt_tune_store_family(device, model->context->tuning),
                            .arithmetic = model->arithmetic,
                            .tuning = model->context->tuning};
    if (!takes_int8 && kernels->arithmetic == TT_ARITHMETIC_INT8)
        kernels->arithmetic = TT_ARITHMETIC_HALF;
    return kernels->arithmetic == TT_ARITHMETIC_FLOAT ? TT_OK : tt_context_units(model->context, &kernels->dot, err);
}

const char *tt_precision_name(tt_precision precision)
{
    static const char *const names[] = {"auto", "f32", "f16", "half", "int8"};
    return (size_t)precision < sizeof names / sizeof *names ? names[precision] : "?";
}

/* The units of the open device for the wanted form; none without a device or where they cannot be told. */
static tt_dot known_units(const tt_model *model)
{
    tt_dot dot = {TT_DOT_NONE, TT_DOT_NONE};
    tt_error ignored = {""};
    if (model->context->device && model->arithmetic != TT_ARITHMETIC_FLOAT)
        (void)tt_context_units(model->context, &dot, &ignored);
    return dot;
}

tt_precision tt_model_precision(const tt_model *model)
{
    tt_dot dot = known_units(model);
    bool is_open = model->context->device != NULL;
    if (model->arithmetic == TT_ARITHMETIC_INT8 && (!is_open || dot.int8 != TT_DOT_NONE))
        return TT_PRECISION_INT8;
    if (model->arithmetic != TT_ARITHMETIC_FLOAT && (!is_open || dot.half != TT_DOT_NONE))
        return TT_PRECISION_HALF;
    return model->is_half ? TT_PRECISION_F16 : TT_PRECISION_F32;
}

void tt_model_form_name(const tt_model *model, char name[32])
{
    tt_precision precision = tt_model_precision(model);
    tt_dot dot = known_units(model);
    tt_dot_unit unit = precision == TT_PRECISION_INT8   ? dot.int8
                       : precision == TT_PRECISION_HALF ? dot.half
                                                        : TT_DOT_NONE;
    if (unit == TT_DOT_NONE)
        snprintf(name, 32, "%s", tt_precision_name(precision));
    else
        snprintf(name, 32, "%s (%s)", tt_precision_name(precision), tt_dot_name(unit));
}

/* The same for objects on the device, which keep it from being replaced. */
static tt_status kernels_for(tt_model *model, bool is_half, bool takes_int8, tt_kernels *kernels, tt_error *err)
{
    tt_status status = tt_model_kernels(model, is_half, takes_int8, kernels, err);
    if (status == TT_OK && !model->counted) {
        model->counted = true;
        model->context->n_models++;
    }
    return status;
}

static tt_status fail_missing(const tt_model *model, const char *part, tt_error *err)
{
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "%s has no %s; give a whole model (folder with model_index.json or checkpoint)",
                   tt_model_files_path(model->files), part);
}

tt_status tt_model_need_text(tt_model *model, uint32_t index, tt_error *err)
{
    tt_kernels kernels;
    tt_text_part *part = index < TT_MAX_CLIPS ? &model->text[index] : NULL;
    if (!part || !part->present)
        return fail_missing(model, index == 0 ? "text encoder" : "second text encoder", err);
    if (part->clip)
        return TT_OK;
    tt_status status = kernels_for(model, model->is_half, false, &kernels, err);
    return status == TT_OK ? tt_clip_create(&kernels, &part->config, part->weights, &part->clip, err) : status;
}

tt_status tt_model_need_unet(tt_model *model, tt_error *err)
{
    tt_kernels kernels;
    if (!model->has_unet)
        return fail_missing(model, "UNet", err);
    if (model->unet)
        return TT_OK;
    tt_status status = kernels_for(model, model->is_half, true, &kernels, err);
    return status == TT_OK ? tt_unet_create(&kernels, &model->unet_config, model->unet_weights, &model->unet, err)
                           : status;
}

bool tt_model_vae_is_half(const tt_model *model)
{
    bool overflows = model->family == TT_FAMILY_SDXL && model->vae_config.kind == TT_VAE_KL;
    return model->is_half && !(overflows && model->wanted_precision == TT_PRECISION_AUTO);
}

tt_status tt_model_need_vae(tt_model *model, tt_error *err)
{
    tt_kernels kernels;
    if (!model->has_vae)
        return fail_missing(model, "VAE", err);
    if (model->vae)
        return TT_OK;
    tt_status status = kernels_for(model, tt_model_vae_is_half(model), true, &kernels, err);
    return status == TT_OK ? tt_vae_create(&kernels, &model->vae_config, model->vae_weights, model->vae_encoder_weights,
                                           model->vae_tiling, &model->vae, err)
                           : status;
}

/* ---- tokenizers */

/* Path of CLIP's vocabulary: the caller's, $TINTYPE_SHARE, or the install's; NULL when memory is out. */
static char *vocabulary_path(const tt_model *model)
{
    char *copy = NULL;
    const char *share = getenv("TINTYPE_SHARE");
    if (model->vocabulary_path)
        return tt_string_copy(model->vocabulary_path, &copy) ? copy : NULL;
    return tt_path_join(share && share[0] ? share : TT_SHARE_DIR, vocabulary_name);
}

/* SD1 and SDXL's first encoder pad with EOS; SD2 and SDXL's second with "!" (id 0). */
static int32_t pad_of_family(const tt_model *model, uint32_t index)
{
    return model->family == TT_FAMILY_SD2 || index == 1 ? 0 : -1;
}

/* Path of a vocabulary that is there; *path is new (free()). */
static tt_status find_vocabulary(const tt_model *model, char **path, tt_error *err)
{
    *path = vocabulary_path(model);
    if (!*path)
        return tt_fail_memory(err, "a path", 0);
    if (tt_path_is_file(*path))
        return TT_OK;
    tt_status status =
        tt_fail(err, TT_ERROR_IO,
                "the model brings no tokenizer and CLIP's vocabulary is not at %s; run scripts/fetch-vocabulary.sh "
                "or set TINTYPE_SHARE to the folder that holds %s",
                *path, vocabulary_name);
    free(*path);
    *path = NULL;
    return status;
}

static tt_status clip_vocabulary(tt_model *model, uint32_t index, tt_error *err)
{
    tt_text_part *part = &model->text[index];
    char *path = NULL;
    tt_status status = find_vocabulary(model, &path, err);
    if (status == TT_OK)
        status = tt_tokenizer_create_clip(path, part->config.n_vocabulary, pad_of_family(model, index),
                                          &part->tokenizer, err);
    free(path);
    return status;
}

tt_status tt_model_vocabulary_texts(tt_model *model, uint32_t index, char **vocab, char **merges, char **config,
                                    tt_error *err)
{
    char *path = NULL;
    const char *pad = pad_of_family(model, index) < 0 ? "<|endoftext|>" : "!";
    tt_text text = {0};
    *vocab = *merges = *config = NULL;
    tt_status status = find_vocabulary(model, &path, err);
    if (status == TT_OK)
        status = tt_tokenizer_clip_texts(path, model->text[index].config.n_vocabulary, vocab, merges, err);
    free(path);
    if (status != TT_OK)
        return status;
    tt_text_format(&text, "{\"tokenizer_class\": \"CLIPTokenizer\", \"model_max_length\": 77, \"pad_token\": \"%s\"}",
                   pad);
    status = tt_text_status(&text, err);
    *config = text.bytes;
    if (status != TT_OK) {
        free(*vocab);
        free(*merges);
        tt_text_free(&text);
        *vocab = *merges = *config = NULL;
    }
    return status;
}

/* The text that names the padding token: SD2 folders say "!" in special_tokens_map.json alone. */
static const char *padding_text(const tt_model *model, uint32_t index)
{
    const char *special = tt_model_files_text(model->files, index ? "special_tokens_2" : "special_tokens");
    if (special && strstr(special, "\"pad_token\""))
        return special;
    return tt_model_files_text(model->files, index ? "tokenizer_config_2" : "tokenizer_config");
}

tt_status tt_model_need_tokenizer(tt_model *model, uint32_t index, tt_error *err)
{
    tt_text_part *part = index < TT_MAX_CLIPS ? &model->text[index] : NULL;
    if (!part || !part->present)
        return fail_missing(model, index == 0 ? "text encoder" : "second text encoder", err);
    if (part->tokenizer)
        return TT_OK;
    const char *vocab = tt_model_files_text(model->files, index ? "vocab_2" : "vocab");
    const char *merges = tt_model_files_text(model->files, index ? "merges_2" : "merges");
    const char *config = padding_text(model, index);
    if (!vocab || !merges)
        return clip_vocabulary(model, index, err);
    tt_status status = tt_tokenizer_create(vocab, strlen(vocab), merges, strlen(merges), config,
                                           index ? "tokenizer_2" : "tokenizer", &part->tokenizer, err);
    if (status == TT_OK && tt_tokenizer_size(part->tokenizer) > part->config.n_vocabulary)
        status = tt_fail(err, TT_ERROR_FORMAT, "the tokenizer has %u entries, but the text encoder embeds %u",
                         tt_tokenizer_size(part->tokenizer), part->config.n_vocabulary);
    return status;
}

tt_status tt_tokenize(tt_model *model, uint32_t encoder, const char *text, uint32_t n_pad, int32_t **ids, size_t *n_ids)
{
    tt_error *err = tt_context_begin(model->context);
    uint32_t index = encoder == 2 ? 1 : 0;
    int32_t *plain = NULL;
    size_t n = 0;
    if (n_pad == 1 || n_pad > 1u << 20)
        return tt_fail(err, TT_ERROR_ARGUMENT, "tokens cannot be padded to %u; 77 is CLIP's length", n_pad);
    tt_status status = tt_model_need_tokenizer(model, index, err);
    if (status == TT_OK)
        status = tt_tokenizer_encode(model->text[index].tokenizer, text, strlen(text), &plain, &n, err);
    if (status != TT_OK)
        return status;
    const tt_tokenizer *tokenizer = model->text[index].tokenizer;
    size_t kept = n_pad && n > n_pad - 2 ? n_pad - 2 : n, total = n_pad ? n_pad : kept + 2;
    int32_t *all = malloc(total * sizeof *all);
    if (!all) {
        free(plain);
        return tt_fail_memory(err, "token ids", total * sizeof *all);
    }
    all[0] = tt_tokenizer_bos(tokenizer);
    for (size_t i = 0; i < kept; i++)
        all[1 + i] = plain[i];
    all[1 + kept] = tt_tokenizer_eos(tokenizer);
    for (size_t i = kept + 2; i < total; i++)
        all[i] = tt_tokenizer_pad(tokenizer);
    free(plain);
    *ids = all;
    *n_ids = total;
    return TT_OK;
}
