/* job-state.c - a small JSON file. */
#define _POSIX_C_SOURCE 200809L
#include "cloud/job-state.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_STATE_BYTES = 8192 };

static bool take(const json_t *root, const char *key, char *target, size_t n_bytes)
{
    const char *value = json_string_value(json_object_get(root, key));
    if (value == NULL || strlen(value) >= n_bytes)
        return false;
    memcpy(target, value, strlen(value) + 1);
    return true;
}

tt_status tt_job_state_read(const char *path, const char *url, const char *key, tt_job_state *state, bool *found,
                            tt_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    json_t *root = NULL;
    *state = (tt_job_state){0};
    *found = false;
    if (access(path, F_OK) != 0)
        return TT_OK;
    tt_status status = tt_file_read(path, MAX_STATE_BYTES, &text, &n_bytes, err);
    if (status != TT_OK)
        return status == TT_ERROR_MEMORY ? status : TT_OK;
    if (tt_json_parse(text, n_bytes, path, &root, NULL) == TT_OK)
        *found = take(root, "url", state->url, sizeof state->url) &&
                 take(root, "location", state->location, sizeof state->location) &&
                 take(root, "key", state->key, sizeof state->key) && strcmp(state->url, url) == 0 &&
                 strcmp(state->key, key) == 0;
    json_decref(root);
    free(text);
    return TT_OK;
}

tt_status tt_job_state_write(const char *path, const tt_job_state *state, tt_error *err)
{
    tt_new_file file;
    json_t *root = json_pack("{s:s, s:s, s:s}", "url", state->url, "location", state->location, "key", state->key);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (text == NULL)
        return tt_fail_memory(err, "the state of a job", MAX_STATE_BYTES);
    tt_status status = tt_new_file_open(&file, path, err);
    if (status == TT_OK && fchmod(file.descriptor, S_IRUSR | S_IWUSR) != 0)
        status = tt_fail(err, TT_ERROR_IO, "%s cannot be made its owner's alone", path);
    if (status == TT_OK)
        status = tt_new_file_write(&file, text, strlen(text), err);
    if (status == TT_OK)
        status = tt_new_file_commit(&file, err);
    else
        tt_new_file_abort(&file);
    free(text);
    return status;
}

void tt_job_state_remove(const char *path)
{
    (void)unlink(path);
}
