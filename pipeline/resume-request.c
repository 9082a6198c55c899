/* resume-request.c - writing a request down and finding what differs. */
#include "pipeline/resume-request.h"

#include "base/sha256.h"
#include "base/text.h"
#include "pipeline/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    F_SEED = TT_RESUME_SEED,
    F_MODEL,
    F_PROMPT,
    F_NEGATIVE,
    F_SIZE,
    F_STEPS,
    F_CFG_SCALE,
    F_SAMPLER,
    F_SCHEDULER,
    F_ETA,
    F_CLIP_SKIP,
    F_RNG,
    F_IMAGE,
    F_MASK,
    F_STRENGTH,
    F_SAVERS,
    F_VERSION,
    F_PRECISION,
    F_DEVICE,
    F_DRIVER,
    F_KERNELS,
    F_TILING,
    F_LAST
};

_Static_assert((int)F_LAST == (int)TT_RESUME_N_FIELDS, "every field has its place");

static const tt_resume_field fields[TT_RESUME_N_FIELDS] = {
    [F_SEED] = {"seed", "seed", false},
    [F_MODEL] = {"model", "a model with the SHA-256", false},
    [F_PROMPT] = {"prompt", "prompt", false},
    [F_NEGATIVE] = {"negative_prompt", "negative prompt", false},
    [F_SIZE] = {"size", "size", false},
    [F_STEPS] = {"steps", "steps", false},
    [F_CFG_SCALE] = {"cfg_scale", "cfg scale", false},
    [F_SAMPLER] = {"sampler", "sampler", false},
    [F_SCHEDULER] = {"scheduler", "a scheduler config with the SHA-256", false},
    [F_ETA] = {"eta", "eta", false},
    [F_CLIP_SKIP] = {"clip_skip", "clip skip", false},
    [F_RNG] = {"rng", "random generator", false},
    [F_IMAGE] = {"init_image", "a start picture with the SHA-256", false},
    [F_MASK] = {"mask", "a mask with the SHA-256", false},
    [F_STRENGTH] = {"strength", "strength", false},
    [F_SAVERS] = {"savers", "step savers", false},
    [F_VERSION] = {"version", "tintype", true},
    [F_PRECISION] = {"precision", "precision", true},
    [F_DEVICE] = {"device", "the device", true},
    [F_DRIVER] = {"driver", "the driver", true},
    [F_KERNELS] = {"kernels", "the kernels", true},
    [F_TILING] = {"vae_tiles", "VAE tiles", true},
};

const tt_resume_field *tt_resume_field_at(size_t index)
{
    return &fields[index];
}

/* ---- the model */

/* `known` (or "") is the digest of a single file that was computed before: models are large. */
static void add_file_digests(const tt_model_files *files, const char *role, const char *known, tt_text *text,
                             tt_status *status, tt_error *err)
{
    tt_tensor_file *const *list = NULL;
    size_t n_list = 0;
    const char *prefix;
    char hex[65];
    tt_model_files_component(files, role, &list, &n_list, &prefix);
    for (size_t i = 0; i < n_list && *status == TT_OK; i++) {
        if (known[0])
            snprintf(hex, sizeof hex, "%s", known);
        else
            *status = tt_sha256_file_hex(tt_tensor_file_path(list[i]), hex, err);
        if (*status == TT_OK)
            tt_text_format(text, "%s weights %zu %s\n", role, i, hex);
    }
}

static void add_model_files(const tt_model_files *files, const char *what, const char *known, tt_text *text,
                            tt_status *status, tt_error *err)
{
    static const char *const roles[] = {"", "unet", "vae", "text_encoder", "text_encoder_2"};
    static const char *const texts[] = {"model_index",
                                        "unet",
                                        "vae",
                                        "text_encoder",
                                        "text_encoder_2",
                                        "scheduler",
                                        "vocab",
                                        "merges",
                                        "tokenizer_config",
                                        "vocab_2",
                                        "merges_2",
                                        "tokenizer_config_2",
                                        "special_tokens",
                                        "special_tokens_2",
                                        "config"};
    char hex[65];
    if (!files)
        return;
    tt_text_format(text, "%s\n", what);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && *status == TT_OK; i++) {
        const char *words = tt_model_files_text(files, texts[i]);
        if (words && (*status = tt_sha256_hex(words, strlen(words), hex, err)) == TT_OK)
            tt_text_format(text, "%s text %s\n", texts[i], hex);
    }
    /* One file that holds everything is listed under no role and, once more, under each of its parts. */
    size_t n_before = text->n_bytes;
    add_file_digests(files, roles[0], known, text, status, err);
    bool is_whole = text->n_bytes > n_before;
    for (size_t i = 1; i < sizeof roles / sizeof *roles && !is_whole; i++)
        add_file_digests(files, roles[i], "", text, status, err);
}

tt_status tt_model_digest(tt_model *model, char hex[65], tt_error *err)
{
    tt_text text = {0};
    tt_status status = TT_OK;
    add_model_files(model->files, "model", tt_model_file_digest(model), &text, &status, err);
    add_model_files(model->vae_files, "vae", "", &text, &status, err);
    add_model_files(model->encoder_files, "vae encoder", "", &text, &status, err);
    if (status == TT_OK)
        status = tt_text_status(&text, err);
    if (status == TT_OK)
        status = tt_sha256_hex(text.bytes, text.n_bytes, hex, err);
    tt_text_free(&text);
    return status;
}

/* ---- the request */

__attribute__((format(printf, 3, 4))) static void put(tt_resume_request *request, size_t field, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *value = n >= 0 ? malloc((size_t)n + 1) : NULL;
    va_start(arguments, format);
    if (value)
        (void)vsnprintf(value, (size_t)n + 1, format, arguments);
    va_end(arguments);
    request->values[field] = value;
}

static tt_status put_text(tt_resume_request *request, size_t field, const char *text, tt_error *err)
{
    if (!text)
        return TT_OK;
    if (!tt_utf8_valid(text, strlen(text), NULL))
        return tt_fail(
            err, TT_ERROR_ARGUMENT,
            "the %s is not UTF-8 text, which is what a resume file can hold; correct it or leave --resume out",
            fields[field].label);
    put(request, field, "%s", text);
    return TT_OK;
}

static tt_status put_picture(tt_resume_request *request, size_t field, const tt_image *image, tt_error *err)
{
    char hex[65];
    if (!image)
        return TT_OK;
    size_t n = (size_t)image->width * image->height * image->n_channels;
    tt_status status = tt_sha256_hex(image->pixels, n, hex, err);
    if (status == TT_OK)
        put(request, field, "%s", hex);
    return status;
}

static tt_status put_model(tt_resume_request *request, tt_model *model, const tt_scheduler_config *scheduler,
                           tt_error *err)
{
    char hex[65];
    tt_status status = tt_model_digest(model, hex, err);
    if (status == TT_OK)
        put(request, F_MODEL, "%s", hex);
    if (status == TT_OK)
        status = tt_scheduler_config_digest(scheduler, hex, err);
    if (status == TT_OK)
        put(request, F_SCHEDULER, "%s", hex);
    put(request, F_SAMPLER, "%s, %s", tt_scheduler_config_display_name(scheduler),
        tt_scheduler_config_schedule_name(scheduler));
    return status;
}

static void put_numbers(tt_resume_request *request, const tt_generate_params *p, int64_t seed)
{
    put(request, F_SEED, "%lld", (long long)seed);
    put(request, F_SIZE, "%ux%u", p->width, p->height);
    put(request, F_STEPS, "%u", p->n_steps);
    put(request, F_CFG_SCALE, "%.9g", (double)p->cfg_scale);
    put(request, F_ETA, "%.9g", (double)p->eta);
    put(request, F_CLIP_SKIP, "%u", p->clip_skip > 1 ? p->clip_skip : 1);
    put(request, F_RNG, "%s", p->rng == TT_RNG_CUDA ? "cuda" : "cpu");
    if (p->init_image)
        put(request, F_STRENGTH, "%.9g", (double)p->strength);
}

/* What the request saves of its UNet calls; nothing where it saves nothing. */
static tt_status put_savers(tt_resume_request *request, const tt_model *model, const tt_generate_params *p,
                            tt_error *err)
{
    tt_text text = {0};
    tt_call_plan calls = tt_request_calls(model, p);
    tt_call_plan_write(&calls, &text);
    tt_status status = tt_text_status(&text, err);
    if (status == TT_OK && text.n_bytes > 0)
        put(request, F_SAVERS, "%s", text.bytes + strlen(", "));
    tt_text_free(&text);
    return status;
}

static void put_ways(tt_resume_request *request, const tt_model *model)
{
    put(request, F_VERSION, "%s", tt_version());
    char form[32];
    tt_model_form_name(model, form);
    put(request, F_PRECISION, "%s", form);
    put(request, F_TILING, "%ux%u decoded, %ux%u encoded", model->decoder_tile.width, model->decoder_tile.height,
        model->encoder_tile.width, model->encoder_tile.height);
    if (!model->context->device)
        return;
    const tt_device_info *info = &tt_device_caps(model->context->device)->info;
    put(request, F_DEVICE, "%s", info->name);
    put(request, F_DRIVER, "%s %s", info->platform, info->driver);
    put(request, F_KERNELS, "%s", info->variant);
}

/* All fields that every request has are there: none was lost for want of memory. */
static tt_status check_memory(const tt_resume_request *request, const tt_generate_params *p, tt_error *err)
{
    for (size_t i = 0; i < TT_RESUME_N_FIELDS; i++) {
        bool may_lack = (i == F_NEGATIVE && !p->negative_prompt) || (i == F_IMAGE && !p->init_image) ||
                        (i == F_MASK && !p->mask) || (i == F_STRENGTH && !p->init_image) || i == F_SAVERS ||
                        (i >= F_DEVICE && i <= F_KERNELS);
        if (!request->values[i] && !may_lack)
            return tt_fail_memory(err, "the resume file's description", 0);
    }
    return TT_OK;
}

tt_status tt_resume_request_make(tt_model *model, const tt_generate_params *params,
                                 const tt_scheduler_config *scheduler, int64_t seed, tt_resume_request *request,
                                 tt_error *err)
{
    *request = (tt_resume_request){{NULL}};
    tt_status status = put_text(request, F_PROMPT, params->prompt, err);
    if (status == TT_OK)
        status = put_text(request, F_NEGATIVE, params->negative_prompt, err);
    if (status == TT_OK)
        status = put_picture(request, F_IMAGE, params->init_image, err);
    if (status == TT_OK)
        status = put_picture(request, F_MASK, params->mask, err);
    if (status == TT_OK)
        status = put_savers(request, model, params, err);
    put_numbers(request, params, seed);
    put_ways(request, model);
    if (status == TT_OK)
        status = put_model(request, model, scheduler, err);
    return status == TT_OK ? check_memory(request, params, err) : status;
}

void tt_resume_request_free(tt_resume_request *request)
{
    for (size_t i = 0; i < TT_RESUME_N_FIELDS; i++)
        free(request->values[i]);
    *request = (tt_resume_request){{NULL}};
}

/* ---- comparing */

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static const char *shown(const char *value)
{
    return value ? value : "none";
}

tt_status tt_resume_request_compare(const tt_resume_request *request, const char *const *values, bool any_seed,
                                    const char *path, const tt_log *log, tt_error *err)
{
    for (size_t i = 0; i < TT_RESUME_N_FIELDS; i++) {
        if (same(request->values[i], values[i]) || (i == F_SEED && any_seed))
            continue;
        if (!fields[i].is_way)
            return tt_fail(err, TT_ERROR_ARGUMENT,
                           "%s is the state of another run: it has %s \"%.80s\", but \"%.80s\" is asked for; repeat "
                           "that request or delete the file",
                           path, fields[i].label, shown(values[i]), shown(request->values[i]));
        tt_log_write(log, TT_LOG_WARNING,
                     "%s was written with %s \"%.80s\" and goes on with \"%.80s\": the picture may differ in some bits "
                     "from that of an uninterrupted run",
                     path, fields[i].label, shown(values[i]), shown(request->values[i]));
    }
    return TT_OK;
}
