/* model-files.c - diffusers folders, component folders, tintype's single file and bare checkpoints. */
#include "model-file/model-files.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "model-file/weight-folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 16 * 1024 * 1024, N_COMPONENTS = 4 };

/* Every text a model may bring, and where a diffusers folder keeps it. */
static const struct {
    const char *role, *file;
} texts[] = {
    {"model_index", "model_index.json"},
    {"unet", "unet/config.json"},
    {"vae", "vae/config.json"},
    {"text_encoder", "text_encoder/config.json"},
    {"text_encoder_2", "text_encoder_2/config.json"},
    {"scheduler", "scheduler/scheduler_config.json"},
    {"vocab", "tokenizer/vocab.json"},
    {"merges", "tokenizer/merges.txt"},
    {"tokenizer_config", "tokenizer/tokenizer_config.json"},
    {"vocab_2", "tokenizer_2/vocab.json"},
    {"merges_2", "tokenizer_2/merges.txt"},
    {"tokenizer_config_2", "tokenizer_2/tokenizer_config.json"},
    {"special_tokens", "tokenizer/special_tokens_map.json"},
    {"special_tokens_2", "tokenizer_2/special_tokens_map.json"},
    {"config", NULL},
};

enum { N_TEXTS = sizeof(texts) / sizeof(texts[0]), TEXT_CONFIG = N_TEXTS - 1 };

/* Parts with weights, and their prefix in tintype's own file. */
static const struct {
    const char *role, *prefix;
} components[N_COMPONENTS] = {
    {"unet", "unet."}, {"vae", "vae."}, {"text_encoder", "text_encoder."}, {"text_encoder_2", "text_encoder_2."}};

struct tt_model_files {
    char *path;
    tt_model_layout layout;
    char *texts[N_TEXTS];
    json_t *index;                            /* parsed model_index, NULL when there is none */
    tt_weight_files components[N_COMPONENTS]; /* diffusers folder */
    tt_weight_files whole;                    /* single file, component folder */
};

/* ---- texts ------------------------------------------------------------------------------------------------------ */

/* Reads folder/name into *text when it is there. Texts are handed out as C strings, so a zero byte is refused. */
static tt_status read_text(const char *folder, const char *name, char **text, tt_error *err)
{
    size_t n_bytes = 0;
    tt_status status = TT_OK;
    char *path = tt_path_join(folder, name);
    if (path == NULL)
        return tt_fail_memory(err, name, strlen(folder) + strlen(name));
    if (tt_path_is_file(path)) {
        status = tt_file_read(path, MAX_CONFIG_BYTES, text, &n_bytes, err);
        if (status == TT_OK && strlen(*text) != n_bytes)
            status = tt_fail(err, TT_ERROR_FORMAT, "%s: a zero byte stands in the text; the file is damaged", path);
    }
    free(path);
    return status;
}

/* Parses model_index, which names the class of each part. */
static tt_status parse_model_index(tt_model_files *files, tt_error *err)
{
    const char *text = tt_model_files_text(files, "model_index");
    if (text == NULL)
        return TT_OK;
    tt_error detail;
    tt_status status = tt_json_parse(text, strlen(text), "model_index.json", &files->index, &detail);
    return status == TT_OK ? TT_OK : tt_fail(err, status, "%s: %s", files->path, detail.text);
}

/* ---- layouts ---------------------------------------------------------------------------------------------------- */

static tt_status open_diffusers(tt_model_files *files, tt_error *err)
{
    tt_status status = TT_OK;
    files->layout = TT_LAYOUT_DIFFUSERS;
    for (int i = 0; status == TT_OK && i < TEXT_CONFIG; i++)
        status = read_text(files->path, texts[i].file, &files->texts[i], err);
    if (status == TT_OK)
        status = parse_model_index(files, err);
    for (int i = 0; status == TT_OK && i < N_COMPONENTS; i++) {
        if (tt_model_files_class(files, components[i].role) == NULL)
            continue;
        char *folder = tt_path_join(files->path, components[i].role);
        status = folder == NULL ? tt_fail_memory(err, components[i].role, strlen(files->path))
                                : tt_weight_files_open(folder, &files->components[i], err);
        free(folder);
    }
    return status;
}

static tt_status open_component(tt_model_files *files, tt_error *err)
{
    files->layout = TT_LAYOUT_COMPONENT;
    tt_status status = read_text(files->path, "config.json", &files->texts[TEXT_CONFIG], err);
    return status != TT_OK ? status : tt_weight_files_open(files->path, &files->whole, err);
}

static bool folder_has(const char *folder, const char *name)
{
    char *path = tt_path_join(folder, name);
    bool found = path != NULL && tt_path_is_file(path);
    free(path);
    return found;
}

static tt_status open_folder(tt_model_files *files, tt_error *err)
{
    if (folder_has(files->path, "model_index.json"))
        return open_diffusers(files, err);
    if (folder_has(files->path, "config.json"))
        return open_component(files, err);
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%s: expected model_index.json (a diffusers model) or config.json (one part of it) in this folder, "
                   "found neither; give the model's folder or a .safetensors or .gguf file",
                   files->path);
}

/* Takes the texts out of the metadata of tintype's own file. */
static tt_status take_metadata(tt_model_files *files, tt_error *err)
{
    files->layout = TT_LAYOUT_TINTYPE;
    for (int i = 0; i < TEXT_CONFIG; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "tintype.%s", texts[i].role);
        if (!tt_string_copy(tt_tensor_file_metadata(files->whole.items[0], key), &files->texts[i]))
            return tt_fail_memory(err, key, 0);
    }
    return parse_model_index(files, err);
}

/* Reads "<stem>.json" beside "<stem>.safetensors". */
static tt_status read_beside(tt_model_files *files, tt_error *err)
{
    const char *dot = strrchr(files->path, '.'), *slash = strrchr(files->path, '/');
    size_t n_stem = dot == NULL || (slash != NULL && dot < slash) ? strlen(files->path) : (size_t)(dot - files->path);
    tt_text name = {0};
    tt_text_add(&name, files->path, n_stem);
    tt_text_add_string(&name, ".json");
    tt_status status = tt_text_status(&name, err);
    if (status == TT_OK)
        status = read_text("", name.bytes, &files->texts[TEXT_CONFIG], err);
    tt_text_free(&name);
    return status;
}

static tt_status open_single(tt_model_files *files, tt_error *err)
{
    files->whole.items = calloc(1, sizeof(*files->whole.items));
    if (files->whole.items == NULL)
        return tt_fail_memory(err, files->path, sizeof(*files->whole.items));
    tt_status status = tt_tensor_file_open(files->path, &files->whole.items[0], err);
    if (status == TT_ERROR_FORMAT && tt_is_pickle_name(files->path))
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "%s: a file of this kind (.ckpt, .pt, .bin) is a pickle, which can run any code when it is read and "
            "is therefore refused; use the .safetensors file of the model",
            files->path);
    if (status != TT_OK)
        return status;
    files->whole.n_items = 1;
    if (tt_tensor_file_metadata(files->whole.items[0], "tintype.model_index") != NULL)
        return take_metadata(files, err);
    files->layout = TT_LAYOUT_SINGLE;
    return read_beside(files, err);
}

/* ---- the object ------------------------------------------------------------------------------------------------- */

tt_status tt_model_files_open(const char *path, tt_model_files **files, tt_error *err)
{
    *files = NULL;
    tt_model_files *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return tt_fail_memory(err, path, sizeof(*made));
    tt_status status;
    if (!tt_string_copy(path, &made->path))
        status = tt_fail_memory(err, path, strlen(path));
    else
        status = tt_path_is_folder(path) ? open_folder(made, err) : open_single(made, err);
    if (status == TT_OK)
        *files = made;
    else
        tt_model_files_close(made);
    return status;
}

void tt_model_files_close(tt_model_files *files)
{
    if (files == NULL)
        return;
    for (int i = 0; i < N_TEXTS; i++)
        free(files->texts[i]);
    for (int i = 0; i < N_COMPONENTS; i++)
        tt_weight_files_close(&files->components[i]);
    tt_weight_files_close(&files->whole);
    json_decref(files->index);
    free(files->path);
    free(files);
}

tt_model_layout tt_model_files_layout(const tt_model_files *files)
{
    return files->layout;
}

const char *tt_model_files_path(const tt_model_files *files)
{
    return files->path;
}

const char *tt_model_files_text(const tt_model_files *files, const char *role)
{
    for (int i = 0; i < N_TEXTS; i++)
        if (strcmp(texts[i].role, role) == 0)
            return files->texts[i];
    return NULL;
}

const char *tt_model_files_class(const tt_model_files *files, const char *role)
{
    return json_string_value(json_array_get(json_object_get(files->index, role), 1));
}

/* True when the file has tensors under the prefix. Names are sorted, but one pass at opening time is cheap enough. */
static bool has_tensors(const tt_tensor_file *file, const char *prefix)
{
    size_t n_prefix = strlen(prefix);
    for (size_t i = 0; i < tt_tensor_file_count(file); i++)
        if (strncmp(tt_tensor_file_at(file, i)->name, prefix, n_prefix) == 0)
            return true;
    return false;
}

void tt_model_files_component(const tt_model_files *files, const char *role, tt_tensor_file *const **list,
                              size_t *n_list, const char **prefix)
{
    const tt_weight_files *found = NULL;
    *prefix = "";
    if (role[0] == '\0')
        found = &files->whole;
    for (int i = 0; i < N_COMPONENTS; i++) {
        if (strcmp(components[i].role, role) != 0)
            continue;
        if (files->layout == TT_LAYOUT_DIFFUSERS)
            found = &files->components[i];
        else if (files->layout == TT_LAYOUT_TINTYPE && has_tensors(files->whole.items[0], components[i].prefix)) {
            found = &files->whole;
            *prefix = components[i].prefix;
        }
    }
    *list = found == NULL ? NULL : found->items;
    *n_list = found == NULL ? 0 : found->n_items;
}

const char *tt_model_files_metadata(const tt_model_files *files, const char *key)
{
    bool is_file = files->layout == TT_LAYOUT_TINTYPE || files->layout == TT_LAYOUT_SINGLE;
    return is_file ? tt_tensor_file_metadata(files->whole.items[0], key) : NULL;
}
