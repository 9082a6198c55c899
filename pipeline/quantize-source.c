/* quantize-source.c - the files behind a model: none may be overwritten, and the result names them by their hash. */
#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"
#include "pipeline/quantize-job.h"

#include <stdlib.h>
#include <string.h>

/* Called for every file of tensors; stops at the first failure. */
typedef tt_status (*file_fn)(void *user, const char *path, tt_error *err);

static tt_status visit(const tt_model_files *files, file_fn fn, void *user, tt_error *err)
{
    static const char *const roles[] = {"", "text_encoder", "text_encoder_2", "unet", "vae"};
    tt_status status = TT_OK;
    bool is_folder = files && tt_model_files_layout(files) == TT_LAYOUT_DIFFUSERS;
    for (size_t r = is_folder ? 1 : 0; files && r < (is_folder ? 5u : 1u); r++) {
        tt_tensor_file *const *list = NULL;
        size_t n = 0;
        const char *prefix = "";
        tt_model_files_component(files, roles[r], &list, &n, &prefix);
        for (size_t i = 0; i < n && status == TT_OK; i++)
            status = fn(user, tt_tensor_file_path(list[i]), err);
    }
    return status;
}

static tt_status visit_all(const tt_quantize_job *job, file_fn fn, void *user, tt_error *err)
{
    tt_status status = visit(job->model->files, fn, user, err);
    if (status == TT_OK)
        status = visit(job->model->vae_files, fn, user, err);
    return status == TT_OK ? visit(job->model->encoder_files, fn, user, err) : status;
}

static tt_status refuse_same(void *user, const char *path, tt_error *err)
{
    const char *output = user;
    if (!tt_path_same(path, output))
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "%s is what the model is read from, it cannot be written at the same time; give another output",
                   output);
}

tt_status tt_job_check_output(const tt_quantize_job *job, tt_error *err)
{
    const char *output = job->params->output;
    if (tt_path_is_folder(output))
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s is a folder; give the name of the .gguf file to write", output);
    return visit_all(job, refuse_same, (void *)(uintptr_t)output, err);
}

static tt_status add_hash(void *user, const char *path, tt_error *err)
{
    tt_text *hashes = user;
    char hex[65];
    tt_status status = tt_sha256_file_hex(path, hex, err);
    if (status == TT_OK)
        tt_text_add_string(hashes, hex);
    return status;
}

tt_status tt_job_hash_source(tt_quantize_job *job, tt_error *err)
{
    tt_text hashes = {0};
    tt_status status = visit_all(job, add_hash, &hashes, err);
    if (status == TT_OK)
        status = tt_text_status(&hashes, err);
    if (status == TT_OK && hashes.n_bytes == 64)
        memcpy(job->source_hash, hashes.bytes, 65);
    else if (status == TT_OK)
        status = tt_sha256_hex(hashes.bytes ? hashes.bytes : "", hashes.n_bytes, job->source_hash, err);
    tt_text_free(&hashes);
    return status;
}
