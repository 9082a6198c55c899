/* weight-folder.c - plain, sharded and fp16 weights of one component's folder. */
#define _POSIX_C_SOURCE 200809L
#include "model-file/weight-folder.h"

#include "base/file.h"
#include "base/json.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARDS = 1000, MAX_INDEX_BYTES = 32 * 1024 * 1024 };

void tt_weight_files_close(tt_weight_files *files)
{
    for (size_t i = 0; i < files->n_items; i++)
        tt_tensor_file_close(files->items[i]);
    free(files->items);
    *files = (tt_weight_files){0};
}

bool tt_is_pickle_name(const char *name)
{
    static const char *const endings[] = {".ckpt", ".pt", ".pth", ".bin", ".pkl"};
    size_t n_name = strlen(name);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t n_ending = strlen(endings[i]);
        if (n_name >= n_ending && strcmp(name + n_name - n_ending, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Opens folder/name and appends it. */
static tt_status append(const char *folder, const char *name, tt_weight_files *files, tt_error *err)
{
    char *path = tt_path_join(folder, name);
    tt_tensor_file **items = realloc(files->items, (files->n_items + 1) * sizeof(*items));
    tt_status status = TT_OK;
    if (items != NULL)
        files->items = items;
    if (path == NULL || items == NULL)
        status = tt_fail_memory(err, name, sizeof(*items));
    else
        status = tt_tensor_file_open(path, &files->items[files->n_items], err);
    if (status == TT_OK)
        files->n_items++;
    free(path);
    return status;
}

/* ---- sharded files ---------------------------------------------------------------------------------------------- */

/* A shard is a .safetensors file of the index's own folder. */
static bool is_shard_name(const char *name)
{
    size_t length = strlen(name);
    static const char ending[] = ".safetensors";
    size_t n_ending = sizeof(ending) - 1;
    return length > n_ending && strcmp(name + length - n_ending, ending) == 0 && strpbrk(name, "/\\:") == NULL &&
           name[0] != '.';
}

/* The open shard of that file name, NULL when it is not open yet. Shards are few, tensors many: the last one first. */
static tt_tensor_file *open_shard(const tt_weight_files *files, const char *name)
{
    for (size_t i = files->n_items; i-- > 0;) {
        const char *path = tt_tensor_file_path(files->items[i]);
        const char *slash = strrchr(path, '/');
        if (strcmp(slash == NULL ? path : slash + 1, name) == 0)
            return files->items[i];
    }
    return NULL;
}

/* One line of the weight map: opens the shard when it is new and looks for the tensor. */
static tt_status take_entry(const char *folder, const char *path, const char *tensor, const json_t *value,
                            tt_weight_files *files, tt_error *err)
{
    const char *shard = json_string_value(value);
    if (shard == NULL || !is_shard_name(shard))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: tensor \"%.120s\": expected the name of a .safetensors file in the same folder, found "
                       "\"%.120s\"; the index is damaged or hostile",
                       path, tensor, shard == NULL ? "no text" : shard);
    if (open_shard(files, shard) == NULL) {
        if (files->n_items >= MAX_SHARDS)
            return tt_fail(err, TT_ERROR_FORMAT, "%s: names more than %d files; the index is damaged", path,
                           MAX_SHARDS);
        tt_status status = append(folder, shard, files, err);
        if (status != TT_OK)
            return status;
    }
    if (tt_tensor_file_find(open_shard(files, shard), tensor) == NULL)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: tensor \"%.120s\" should be in %.120s, but is not; download the model again", path, tensor,
                       shard);
    return TT_OK;
}

static tt_status open_map(const char *folder, const char *path, json_t *root, tt_weight_files *files, tt_error *err)
{
    json_t *map = json_object_get(root, "weight_map");
    const char *tensor;
    json_t *value;
    tt_status status = TT_OK;
    if (!json_is_object(map) || json_object_size(map) == 0)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: expected \"weight_map\" with the file of each tensor; the index is damaged", path);
    json_object_foreach(map, tensor, value)
    {
        status = take_entry(folder, path, tensor, value, files, err);
        if (status != TT_OK)
            break;
    }
    return status;
}

static tt_status open_index(const char *folder, const char *name, tt_weight_files *files, tt_error *err)
{
    char *path = tt_path_join(folder, name), *text = NULL;
    size_t n_bytes = 0;
    json_t *root = NULL;
    tt_status status = path == NULL ? tt_fail_memory(err, name, strlen(name)) : TT_OK;
    if (status == TT_OK)
        status = tt_file_read(path, MAX_INDEX_BYTES, &text, &n_bytes, err);
    if (status == TT_OK)
        status = tt_json_parse(text, n_bytes, path, &root, err);
    if (status == TT_OK)
        status = open_map(folder, path, root, files, err);
    json_decref(root);
    free(text);
    free(path);
    return status;
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

static bool has_file(const char *folder, const char *name)
{
    char *path = tt_path_join(folder, name);
    bool found = path != NULL && tt_path_is_file(path);
    free(path);
    return found;
}

static bool has_pickle(const char *folder)
{
    DIR *stream = opendir(folder);
    bool found = false;
    if (stream == NULL)
        return false;
    for (struct dirent *entry = readdir(stream); entry != NULL && !found; entry = readdir(stream))
        found = tt_is_pickle_name(entry->d_name);
    (void)closedir(stream);
    return found;
}

static tt_status fail_none(const char *folder, tt_error *err)
{
    if (!tt_path_is_folder(folder))
        return tt_fail(err, TT_ERROR_IO, "%s: this folder of the model is missing; download the model again", folder);
    if (has_pickle(folder))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "%s: holds only pickles (.bin, .ckpt, .pt), which can run any code when they are read and are "
                       "therefore refused; download the .safetensors files of the model",
                       folder);
    return tt_fail(
        err, TT_ERROR_IO,
        "%s: no weights found, expected diffusion_pytorch_model.safetensors or model.safetensors; download the "
        "model again",
        folder);
}

tt_status tt_weight_files_open(const char *folder, tt_weight_files *files, tt_error *err)
{
    static const struct {
        const char *name;
        bool is_index;
    } choices[] = {
        {"diffusion_pytorch_model.safetensors", false},
        {"model.safetensors", false},
        {"diffusion_pytorch_model.safetensors.index.json", true},
        {"model.safetensors.index.json", true},
        {"diffusion_pytorch_model.fp16.safetensors", false},
        {"model.fp16.safetensors", false},
        {"diffusion_pytorch_model.safetensors.index.fp16.json", true},
        {"model.safetensors.index.fp16.json", true},
        {"diffusion_pytorch_model.fp16.safetensors.index.json", true},
        {"model.fp16.safetensors.index.json", true},
    };
    *files = (tt_weight_files){0};
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (!has_file(folder, choices[i].name))
            continue;
        tt_status status = choices[i].is_index ? open_index(folder, choices[i].name, files, err)
                                               : append(folder, choices[i].name, files, err);
        if (status != TT_OK)
            tt_weight_files_close(files);
        return status;
    }
    return fail_none(folder, err);
}
