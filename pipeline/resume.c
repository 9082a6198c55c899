/* resume.c - writing and reading the state of a run. */
#include "pipeline/resume.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"
#include "model-file/safetensors.h"
#include "pipeline/resume-request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "tintype.resume."

static const char format_key[] = PREFIX "format", format_value[] = "1", digest_key[] = PREFIX "digest",
                  number_key[] = PREFIX "number", done_key[] = PREFIX "calls_done", calls_key[] = PREFIX "calls";

/* Metadata: the request's fields, then where the run stands, then the digest of all that. */
enum { AT_FORMAT = TT_RESUME_N_FIELDS, AT_NUMBER, AT_DONE, AT_CALLS, N_TEXTS, MAX_TENSORS = 8, MAX_KEY = 64 };

/* Far above any run: 1000 steps of two calls, and PNDM's start. */
enum { MAX_CALLS = 10000, MAX_NUMBER = 1000000000 };

/* One tensor of the file and where its values are in memory. */
typedef struct tt_slot {
    tt_tensor tensor; /* data: as below */
    void *values;
} tt_slot;

struct tt_resume {
    char *path;
    const tt_log *log;
    tt_resume_request request;
    tt_tensor_file *file; /* the state that waits to be loaded, NULL: none */
    uint32_t file_image, file_done, file_calls;
    uint32_t image; /* being made */
    tt_rng_state *rng;
    bool has_written, has_warned;
    double write_ms;
    float *samples; /* the sampler's state on its way */
    uint32_t counters[TT_SCHEDULER_COUNTERS], words[TT_RNG_WORDS];
};

/* ---- texts and digest */

static const char *key_of(size_t text, char key[MAX_KEY])
{
    switch (text) {
    case AT_FORMAT:
        return format_key;
    case AT_NUMBER:
        return number_key;
    case AT_DONE:
        return done_key;
    case AT_CALLS:
        return calls_key;
    default:
        (void)snprintf(key, MAX_KEY, PREFIX "%s", tt_resume_field_at(text)->key);
        return key;
    }
}

/* SHA-256 over every text and tensor with its name and length, so that any damage is found. */
static tt_status digest_of(const char *const texts[N_TEXTS], const tt_slot *slots, size_t n_slots, char hex[65],
                           tt_error *err)
{
    tt_text all = {0};
    tt_status status = TT_OK;
    for (size_t i = 0; i < N_TEXTS; i++) {
        char key[MAX_KEY];
        if (texts[i])
            tt_text_format(&all, "%s %zu %s\n", key_of(i, key), strlen(texts[i]), texts[i]);
    }
    for (size_t i = 0; i < n_slots && status == TT_OK; i++) {
        const tt_tensor *t = &slots[i].tensor;
        status = tt_sha256_hex(t->data, (size_t)t->n_bytes, hex, err);
        tt_text_format(&all, "%s %llu %s\n", t->name, (unsigned long long)t->n_bytes, hex);
    }
    if (status == TT_OK)
        status = tt_text_status(&all, err);
    if (status == TT_OK)
        status = tt_sha256_hex(all.bytes, all.n_bytes, hex, err);
    tt_text_free(&all);
    return status;
}

/* ---- tensors */

static void add_slot(tt_slot *slots, size_t *n, const char *name, tt_dtype dtype, uint64_t a, uint64_t b, uint64_t c,
                     void *values)
{
    if (!values)
        return;
    tt_tensor tensor = {.name = name, .dtype = dtype, .n_dims = c ? 3 : b ? 2 : 1, .dims = {a, b, c}, .data = values};
    tensor.n_bytes = tt_tensor_count(&tensor) * tt_dtype_size(dtype);
    slots[(*n)++] = (tt_slot){tensor, values};
}

/* The tensors that a state of this run has, with the memory they come from or go to. */
static tt_status list_slots(tt_resume *resume, const tt_resume_parts *p, tt_slot slots[MAX_TENSORS], size_t *n,
                            tt_error *err)
{
    size_t n_latent = (size_t)p->channels * p->height * p->width;
    uint32_t n_samples = tt_scheduler_state_samples(p->scheduler);
    if (!resume->samples)
        resume->samples = malloc(n_samples * n_latent * sizeof(float));
    if (!resume->samples)
        return tt_fail_memory(err, "the sampler's state", n_samples * n_latent * sizeof(float));
    *n = 0;
    add_slot(slots, n, "latent", TT_F32, p->channels, p->height, p->width, p->latent);
    add_slot(slots, n, "start_noise", TT_F32, p->channels, p->height, p->width, p->noise);
    add_slot(slots, n, "image_latent", TT_F32, p->channels, p->height, p->width, p->image_latent);
    add_slot(slots, n, "masked_latent", TT_F32, p->channels, p->height, p->width, p->masked_latent);
    add_slot(slots, n, "mask", TT_F32, p->height, p->width, 0, p->mask);
    add_slot(slots, n, "sampler", TT_F32, n_samples, n_latent, 0, resume->samples);
    add_slot(slots, n, "sampler_counters", TT_I32, TT_SCHEDULER_COUNTERS, 0, 0, resume->counters);
    add_slot(slots, n, "rng", TT_I32, TT_RNG_WORDS, 0, 0, resume->words);
    return TT_OK;
}

/* ---- opening */

/* One sentence whatever the container's own is: that one says to download the file again. */
static tt_status fail_damaged(const char *path, const char *reason, tt_error *err)
{
    const char *end = strrchr(reason, ';');
    int length = end ? (int)(end - reason) : (int)strlen(reason);
    size_t n_path = strlen(path);
    bool repeats = strncmp(reason, path, n_path) == 0 && strncmp(reason + n_path, ": ", 2) == 0;
    int skipped = repeats ? (int)n_path + 2 : 0;
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%s is damaged or no resume file (%.*s); delete it to begin anew, or name another with --resume",
                   path, length > skipped ? length - skipped : 0, reason + skipped);
}

static bool parse_number(const char *text, int64_t max, int64_t *value)
{
    char *end = NULL;
    if (!text || text[0] < '0' || text[0] > '9' || strlen(text) > 19)
        return false;
    unsigned long long number = strtoull(text, &end, 10);
    *value = (int64_t)number;
    return *end == '\0' && number <= (unsigned long long)max;
}

/* Opens a state, collects its texts (NULL where absent) and says where it stands. */
static tt_status open_state(const char *path, tt_tensor_file **file, const char *texts[N_TEXTS], tt_resume_info *info,
                            tt_error *err)
{
    tt_error inner = {{0}};
    tt_status status = tt_tensor_file_open(path, file, &inner);
    if (status == TT_ERROR_FORMAT || status == TT_ERROR_UNSUPPORTED)
        return fail_damaged(path, inner.text, err);
    if (status != TT_OK)
        return tt_fail(err, status, "%s", inner.text);
    int64_t number = 0, done = 0, calls = 0;
    for (size_t i = 0; i < N_TEXTS; i++) {
        char key[MAX_KEY];
        texts[i] = tt_tensor_file_metadata(*file, key_of(i, key));
    }
    if (!texts[AT_FORMAT])
        status = fail_damaged(path, "its metadata has no tintype.resume.format", err);
    else if (strcmp(texts[AT_FORMAT], format_value) != 0)
        status =
            tt_fail(err, TT_ERROR_UNSUPPORTED,
                    "%s is a resume file of format %.20s, but this version reads format %s; delete it to begin anew",
                    path, texts[AT_FORMAT], format_value);
    else if (!parse_number(texts[TT_RESUME_SEED], INT64_MAX, &info->seed) ||
             !parse_number(texts[AT_NUMBER], MAX_NUMBER, &number) ||
             !parse_number(texts[AT_CALLS], MAX_CALLS, &calls) || !parse_number(texts[AT_DONE], calls, &done))
        status = fail_damaged(path, "its seed or counts are no numbers", err);
    info->image = (uint32_t)number;
    info->step = (uint32_t)done;
    info->n_steps = (uint32_t)calls;
    if (status != TT_OK) {
        tt_tensor_file_close(*file);
        *file = NULL;
    }
    return status;
}

tt_status tt_resume_read(tt_context *context, const char *path, tt_resume_info *info)
{
    const char *texts[N_TEXTS];
    tt_tensor_file *file = NULL;
    *info = (tt_resume_info){0};
    tt_status status = open_state(path, &file, texts, info, tt_context_begin(context));
    tt_tensor_file_close(file);
    return status;
}

/* A state of an image before the request's first is done with: the caller has that picture. One of an image after the
 * last must not be lost. */
static tt_status place_state(tt_resume *resume, const tt_generate_params *p, const tt_resume_info *info, tt_error *err)
{
    if (info->image >= p->first_image && info->image - p->first_image >= p->n_images)
        return tt_fail(
            err, TT_ERROR_ARGUMENT,
            "%s stands at picture %u of its batch, but pictures %u to %u are asked for; ask for more pictures "
            "or delete the file",
            resume->path, info->image + 1, p->first_image + 1, p->first_image + p->n_images);
    resume->file_image = info->image;
    resume->file_done = info->step;
    resume->file_calls = info->n_steps;
    if (info->image >= p->first_image) {
        tt_log_write(resume->log, TT_LOG_INFO, "%s: picture %u goes on after %u of %u UNet calls", resume->path,
                     info->image + 1, info->step, info->n_steps);
        return TT_OK;
    }
    tt_tensor_file_close(resume->file);
    resume->file = NULL;
    return TT_OK;
}

static tt_status read_existing(tt_resume *resume, const tt_generate_params *p, int64_t *seed, tt_error *err)
{
    const char *texts[N_TEXTS];
    tt_resume_info info;
    tt_status status = open_state(resume->path, &resume->file, texts, &info, err);
    if (status == TT_OK)
        status = tt_resume_request_compare(&resume->request, texts, p->seed < 0, resume->path, resume->log, err);
    if (status == TT_OK && p->seed < 0) {
        char *copy = NULL;
        if (!tt_string_copy(texts[TT_RESUME_SEED], &copy))
            return tt_fail_memory(err, "a seed", 0);
        free(resume->request.values[TT_RESUME_SEED]);
        resume->request.values[TT_RESUME_SEED] = copy;
        *seed = info.seed;
    }
    return status == TT_OK ? place_state(resume, p, &info, err) : status;
}

tt_status tt_resume_open(tt_model *model, const tt_generate_params *params, const tt_scheduler_config *scheduler,
                         int64_t *seed, tt_resume **resume, tt_error *err)
{
    tt_resume *r = calloc(1, sizeof *r);
    *resume = r;
    if (!r || !tt_string_copy(params->resume_path, &r->path))
        return tt_fail_memory(err, "a resume file's name", sizeof *r);
    r->log = &model->context->log;
    tt_status status = tt_resume_request_make(model, params, scheduler, *seed, &r->request, err);
    if (status == TT_OK && (tt_path_is_file(r->path) || tt_path_is_folder(r->path)))
        status = read_existing(r, params, seed, err);
    return status;
}

void tt_resume_close(tt_resume *resume)
{
    if (!resume)
        return;
    tt_tensor_file_close(resume->file);
    tt_resume_request_free(&resume->request);
    free(resume->samples);
    free(resume->path);
    free(resume);
}

/* ---- an image */

uint32_t tt_resume_first_call(const tt_resume *resume, uint32_t image)
{
    return resume && resume->file && resume->file_image == image ? resume->file_done : 0;
}

bool tt_resume_needs_unet(const tt_resume *resume, const tt_generate_params *params)
{
    return !resume || !resume->file || params->n_images > 1 || resume->file_done < resume->file_calls;
}

double tt_resume_write_ms(const tt_resume *resume)
{
    return resume ? resume->write_ms : 0.0;
}

void tt_resume_begin(tt_resume *resume, uint32_t image, tt_rng_state *rng)
{
    if (!resume)
        return;
    resume->image = image;
    resume->rng = rng;
}

/* The file has exactly the tensors of this run, in type and shape; *found are views of them. */
static tt_status find_tensors(const tt_resume *resume, const tt_slot *slots, size_t n, tt_slot *found, tt_error *err)
{
    char wanted[128], has[128], reason[512];
    if (tt_tensor_file_count(resume->file) != n) {
        (void)snprintf(reason, sizeof reason, "it holds %zu tensors, but this run has %zu",
                       tt_tensor_file_count(resume->file), n);
        return fail_damaged(resume->path, reason, err);
    }
    for (size_t i = 0; i < n; i++) {
        const tt_tensor *want = &slots[i].tensor, *t = tt_tensor_file_find(resume->file, want->name);
        bool fits = t && t->dtype == want->dtype && t->n_dims == want->n_dims && t->n_bytes == want->n_bytes &&
                    memcmp(t->dims, want->dims, want->n_dims * sizeof *t->dims) == 0;
        if (!fits) {
            tt_shape_text(want->n_dims, want->dims, wanted, sizeof wanted);
            tt_shape_text(t ? t->n_dims : 0, t ? t->dims : NULL, has, sizeof has);
            (void)snprintf(reason, sizeof reason, "its tensor %s is %s %s, but this run needs %s %s", want->name,
                           t ? tt_dtype_name(t->dtype) : "missing", t ? has : "", tt_dtype_name(want->dtype), wanted);
            return fail_damaged(resume->path, reason, err);
        }
        found[i] = (tt_slot){*t, NULL};
    }
    return TT_OK;
}

static tt_status check_digest(const tt_resume *resume, const tt_slot *found, size_t n, tt_error *err)
{
    const char *texts[N_TEXTS], *digest = tt_tensor_file_metadata(resume->file, digest_key);
    char key[MAX_KEY], hex[65];
    for (size_t i = 0; i < N_TEXTS; i++)
        texts[i] = tt_tensor_file_metadata(resume->file, key_of(i, key));
    tt_status status = digest_of(texts, found, n, hex, err);
    if (status != TT_OK)
        return status;
    return digest && strcmp(digest, hex) == 0 ? TT_OK
                                              : fail_damaged(resume->path, "its SHA-256 is not that of its data", err);
}

/* Sampler and generator take what was copied, after checks of their own: a file can carry any digest. */
static tt_status restore(tt_resume *resume, const tt_resume_parts *parts, tt_error *err)
{
    tt_error inner = {{0}};
    tt_rng_state rng;
    uint32_t n_calls = tt_scheduler_n_calls(parts->scheduler);
    if (resume->file_calls != n_calls || resume->counters[0] != resume->file_done)
        return fail_damaged(resume->path, "its counts of calls are not those of this run", err);
    if (tt_scheduler_restore(parts->scheduler, resume->samples, resume->counters, &inner) != TT_OK ||
        tt_rng_restore(&rng, resume->words, &inner) != TT_OK)
        return fail_damaged(resume->path, inner.text, err);
    if (rng.kind != resume->rng->kind || rng.seed != resume->rng->seed)
        return fail_damaged(resume->path, "its random generator has another seed", err);
    *resume->rng = rng;
    return TT_OK;
}

tt_status tt_resume_load(tt_resume *resume, const tt_resume_parts *parts, bool *is_loaded, uint32_t *n_done,
                         tt_error *err)
{
    tt_slot slots[MAX_TENSORS], found[MAX_TENSORS];
    size_t n = 0;
    *is_loaded = false;
    if (!resume || !resume->file || resume->file_image != resume->image)
        return TT_OK;
    tt_status status = list_slots(resume, parts, slots, &n, err);
    if (status == TT_OK)
        status = find_tensors(resume, slots, n, found, err);
    if (status == TT_OK)
        status = check_digest(resume, found, n, err);
    for (size_t i = 0; i < n && status == TT_OK; i++)
        memcpy(slots[i].values, found[i].tensor.data, (size_t)found[i].tensor.n_bytes);
    if (status == TT_OK)
        status = restore(resume, parts, err);
    if (status != TT_OK)
        return status;
    tt_tensor_file_close(resume->file);
    resume->file = NULL;
    *is_loaded = true;
    *n_done = resume->file_done;
    return TT_OK;
}

/* ---- writing */

static tt_status write_state(tt_resume *resume, const tt_resume_parts *parts, uint32_t n_done, tt_error *err)
{
    tt_slot slots[MAX_TENSORS];
    tt_tensor tensors[MAX_TENSORS];
    const char *texts[N_TEXTS], *metadata[N_TEXTS + 1][2];
    char keys[N_TEXTS][MAX_KEY], numbers[3][16], hex[65];
    size_t n = 0, n_meta = 0;
    tt_status status = list_slots(resume, parts, slots, &n, err);
    if (status != TT_OK)
        return status;
    tt_scheduler_save(parts->scheduler, resume->samples, resume->counters);
    tt_rng_save(resume->rng, resume->words);
    (void)snprintf(numbers[0], sizeof numbers[0], "%u", resume->image);
    (void)snprintf(numbers[1], sizeof numbers[1], "%u", n_done);
    (void)snprintf(numbers[2], sizeof numbers[2], "%u", tt_scheduler_n_calls(parts->scheduler));
    for (size_t i = 0; i < TT_RESUME_N_FIELDS; i++)
        texts[i] = resume->request.values[i];
    texts[AT_FORMAT] = format_value;
    for (size_t i = 0; i < 3; i++)
        texts[AT_NUMBER + i] = numbers[i];
    status = digest_of(texts, slots, n, hex, err);
    for (size_t i = 0; i < N_TEXTS; i++)
        if (texts[i]) {
            metadata[n_meta][0] = key_of(i, keys[i]);
            metadata[n_meta++][1] = texts[i];
        }
    metadata[n_meta][0] = digest_key;
    metadata[n_meta++][1] = hex;
    for (size_t i = 0; i < n; i++)
        tensors[i] = slots[i].tensor;
    return status == TT_OK
               ? tt_safetensors_write(resume->path, tensors, n, (const char *const(*)[2])metadata, n_meta, err)
               : status;
}

tt_status tt_resume_save(tt_resume *resume, const tt_resume_parts *parts, uint32_t n_done, tt_error *err)
{
    tt_error inner = {{0}};
    if (!resume || resume->file)
        return TT_OK;
    double begun = tt_clock_ms();
    tt_status status = write_state(resume, parts, n_done, &inner);
    resume->write_ms += tt_clock_ms() - begun;
    if (status == TT_OK) {
        resume->has_written = true;
        return TT_OK;
    }
    if (!resume->has_written)
        return tt_fail(err, status, "%s", inner.text);
    if (!resume->has_warned)
        tt_log_write(resume->log, TT_LOG_WARNING, "the run goes on, but its state is not kept any more: %s",
                     inner.text);
    resume->has_warned = true;
    return TT_OK;
}
