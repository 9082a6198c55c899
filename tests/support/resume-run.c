/* resume-run.c - see resume-run.h. */
#include "tests/support/resume-run.h"

#include "base/sha256.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tt_generate_params resume_request(tt_model *model)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat on a blue background";
    p.width = RESUME_WIDTH;
    p.height = RESUME_HEIGHT;
    p.n_steps = 4;
    p.seed = 7;
    p.sampler = "euler_a";
    return p;
}

void resume_run(tt_context *context, tt_model *model, const tt_generate_params *p, tt_image *images,
                tt_generate_stats *stats)
{
    if (tt_generate(model, p, images, stats) != TT_OK)
        fail_msg("%s", tt_context_message(context));
}

void resume_assert_same(const tt_image *a, const tt_image *b, const char *what, uint32_t number)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    if (memcmp(a->pixels, b->pixels, (size_t)a->width * a->height * 3) != 0)
        fail_msg("%s, %u: other pixels", what, (unsigned)number);
}

bool resume_stop_at(void *user, const tt_progress *progress)
{
    resume_stop *s = user;
    s->first_step = progress->first_step;
    s->saw_text = s->saw_text || progress->phase == TT_PHASE_TEXT;
    return !(progress->phase == TT_PHASE_DENOISE && progress->image == s->image && progress->step == s->step);
}

void resume_run_until(tt_model *model, const tt_generate_params *p, uint32_t image, uint32_t step)
{
    tt_generate_params q = *p;
    tt_image images[4];
    resume_stop s = {.image = image, .step = step};
    q.progress = resume_stop_at;
    q.progress_user = &s;
    assert_int_equal(tt_generate(model, &q, images, NULL), TT_ERROR_CANCELLED);
}

char *resume_read(const char *path, size_t *n)
{
    enum { MOST = 1 << 20 };
    FILE *stream = fopen(path, "rb");
    char *bytes = malloc(MOST);
    assert_non_null(stream);
    assert_non_null(bytes);
    *n = fread(bytes, 1, MOST, stream);
    (void)fclose(stream);
    assert_in_range(*n, 1, MOST - 1);
    return bytes;
}

void resume_refuse(tt_context *context, tt_model *model, const tt_generate_params *p, tt_status want,
                   const char *mention)
{
    tt_image image;
    size_t n_before = 0, n_after = 0;
    char *before = resume_read(p->resume_path, &n_before);
    tt_status status = tt_generate(model, p, &image, NULL);
    if (status != want || !strstr(tt_context_message(context), mention))
        fail_msg("status %d, wanted %d and \"%s\": %s", (int)status, (int)want, mention, tt_context_message(context));
    char *after = resume_read(p->resume_path, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_after);
    free(before);
    free(after);
}

void resume_keep_log(void *user, tt_log_level level, const char *line)
{
    resume_log *lines = user;
    if (level != TT_LOG_WARNING)
        return;
    lines->n_warnings++;
    (void)snprintf(lines->last, sizeof lines->last, "%s", line);
}

/* Keys in the order in which the digest takes them, and tensors likewise. */
static const char *const keys[] = {"seed",       "model",  "prompt",    "negative_prompt",
                                   "size",       "steps",  "cfg_scale", "sampler",
                                   "scheduler",  "eta",    "clip_skip", "rng",
                                   "init_image", "mask",   "strength",  "version",
                                   "precision",  "device", "driver",    "kernels",
                                   "vae_tiles",  "format", "number",    "calls_done",
                                   "calls"};
static const char *const tensor_names[] = {"latent", "start_noise", "image_latent",     "masked_latent",
                                           "mask",   "sampler",     "sampler_counters", "rng"};
static char full_keys[sizeof keys / sizeof *keys + 1][64];

resume_forgery resume_forgery_begin(const char *path)
{
    resume_forgery f = {0};
    tt_error err = {0};
    enum { N_KEYS = sizeof keys / sizeof *keys };
    if (tt_tensor_file_open(path, &f.file, &err) != TT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < N_KEYS; i++) {
        (void)snprintf(full_keys[i], sizeof full_keys[i], "tintype.resume.%s", keys[i]);
        const char *text = tt_tensor_file_metadata(f.file, full_keys[i]);
        if (!text)
            continue;
        f.metadata[f.n_metadata][0] = full_keys[i];
        f.metadata[f.n_metadata++][1] = text;
    }
    for (size_t i = 0; i < sizeof tensor_names / sizeof *tensor_names; i++) {
        const tt_tensor *tensor = tt_tensor_file_find(f.file, tensor_names[i]);
        if (tensor)
            f.tensors[f.n_tensors++] = *tensor;
    }
    assert_int_equal(f.n_tensors, tt_tensor_file_count(f.file));
    return f;
}

void resume_forgery_set(resume_forgery *f, const char *key, const char *text)
{
    for (size_t i = 0; i < f->n_metadata; i++)
        if (strcmp(f->metadata[i][0] + strlen("tintype.resume."), key) == 0)
            f->metadata[i][1] = text;
}

tt_tensor *resume_forgery_tensor(resume_forgery *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    fail_msg("the state has no tensor %s", name);
    return NULL;
}

void resume_forgery_write(resume_forgery *f, const char *path)
{
    tt_text all = {0};
    tt_error err = {0};
    char hex[65];
    for (size_t i = 0; i < f->n_metadata; i++)
        tt_text_format(&all, "%s %zu %s\n", f->metadata[i][0], strlen(f->metadata[i][1]), f->metadata[i][1]);
    for (size_t i = 0; i < f->n_tensors; i++) {
        assert_int_equal(tt_sha256_hex(f->tensors[i].data, f->tensors[i].n_bytes, hex, &err), TT_OK);
        tt_text_format(&all, "%s %llu %s\n", f->tensors[i].name, (unsigned long long)f->tensors[i].n_bytes, hex);
    }
    assert_int_equal(tt_sha256_hex(all.bytes, all.n_bytes, hex, &err), TT_OK);
    tt_text_free(&all);
    f->metadata[f->n_metadata][0] = "tintype.resume.digest";
    f->metadata[f->n_metadata++][1] = hex;
    if (tt_safetensors_write(path, f->tensors, f->n_tensors, (const char *const(*)[2])f->metadata, f->n_metadata,
                             &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_tensor_file_close(f->file);
}
