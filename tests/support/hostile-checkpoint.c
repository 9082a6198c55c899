/* hostile-checkpoint.c - missing tensors, wrong shapes, absurd configurations, files that are something else. */
#include "tests/support/hostile-checkpoint.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SOUND "tests/golden/data/models/sd1"

enum { LENGTH_BYTES = 8 };

/* ---- files in memory */

typedef struct block {
    uint8_t *bytes;
    size_t n_bytes;
} block;

static block read_block(const char *path)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        fail_msg("%s is missing", path);
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    block b = {.n_bytes = (size_t)ftell(stream)};
    rewind(stream);
    b.bytes = malloc(b.n_bytes + 1);
    assert_non_null(b.bytes);
    assert_int_equal(fread(b.bytes, 1, b.n_bytes, stream), b.n_bytes);
    b.bytes[b.n_bytes] = '\0';
    (void)fclose(stream);
    return b;
}

static size_t header_length(const block *b)
{
    size_t n = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        n |= (size_t)b->bytes[i] << 8 * i;
    return n;
}

/* The sound file under another header. */
static block with_header(const block *sound, const json_t *header)
{
    char *text = json_dumps(header, JSON_COMPACT);
    assert_non_null(text);
    const size_t n_header = strlen(text), skipped = LENGTH_BYTES + header_length(sound);
    block b = {.n_bytes = LENGTH_BYTES + n_header + sound->n_bytes - skipped};
    b.bytes = malloc(b.n_bytes);
    assert_non_null(b.bytes);
    for (int i = 0; i < LENGTH_BYTES; i++)
        b.bytes[i] = (uint8_t)(n_header >> 8 * i);
    memcpy(b.bytes + LENGTH_BYTES, text, n_header);
    memcpy(b.bytes + LENGTH_BYTES + n_header, sound->bytes + skipped, sound->n_bytes - skipped);
    free(text);
    return b;
}

static void write_pair(const temp_folder *folder, const block *model, const char *config)
{
    temp_folder_write(folder, "model.safetensors", model->bytes, model->n_bytes);
    temp_folder_write_text(folder, "model.json", config);
}

/* ---- single files: one tensor of the header is changed */

typedef enum change {
    RENAME, /* the tensor is there under a name that nobody knows: it is missing */
    SHAPE,  /* the same number of elements in another shape */
    DTYPE   /* the same number of bytes in another type */
} change;

static const struct {
    hostile_checkpoint info;
    change change;
    const char *tensor;
    const char *value; /* SHAPE: JSON; DTYPE: name */
} tensor_cases[] = {
    {{"no input convolution", NULL}, RENAME, "model.diffusion_model.input_blocks.0.0.weight", NULL},
    {{"no output convolution", NULL}, RENAME, "model.diffusion_model.out.2.weight", NULL},
    {{"no time embedding", NULL}, RENAME, "model.diffusion_model.time_embed.2.bias", NULL},
    {{"no middle block", NULL}, RENAME, "model.diffusion_model.middle_block.0.in_layers.2.weight", NULL},
    {{"no token embedding", NULL},
     RENAME,
     "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
     NULL},
    {{"no final norm", NULL}, RENAME, "cond_stage_model.transformer.text_model.final_layer_norm.bias", NULL},
    {{"no decoder input", NULL}, RENAME, "first_stage_model.decoder.conv_in.weight", NULL},
    {{"no VAE bottleneck", NULL}, RENAME, "first_stage_model.post_quant_conv.weight", NULL},
    {{"turned rows of a convolution", NULL}, SHAPE, "model.diffusion_model.input_blocks.0.0.weight", "[36,32]"},
    {{"turned convolution", NULL}, SHAPE, "model.diffusion_model.input_blocks.0.0.weight", "[4,32,3,3]"},
    {{"convolution without a kernel", NULL}, SHAPE, "model.diffusion_model.input_blocks.0.0.weight", "[1152]"},
    {{"turned time embedding", NULL}, SHAPE, "model.diffusion_model.time_embed.0.weight", "[32,128]"},
    {{"bias as a table", NULL}, SHAPE, "model.diffusion_model.time_embed.0.bias", "[64,2]"},
    {{"one row of tokens", NULL},
     SHAPE,
     "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
     "[1,32768]"},
    {{"empty output convolution", NULL}, SHAPE, "model.diffusion_model.out.2.weight", "[0,32,3,3]"},
    {{"shape beyond 64 bits", NULL}, SHAPE, "model.diffusion_model.out.2.weight", "[4294967296,4294967296,3,3]"},
    {{"shape below zero", NULL}, SHAPE, "model.diffusion_model.out.2.weight", "[-4,-32,3,3]"},
    {{"integers for weights", NULL}, DTYPE, "model.diffusion_model.out.2.weight", "I16"},
    {{"unknown type", NULL}, DTYPE, "model.diffusion_model.out.2.weight", "F17"},
};

static void bend_tensor(json_t *header, change how, const char *tensor, const char *value)
{
    json_t *entry = json_object_get(header, tensor);
    if (entry == NULL)
        fail_msg("the sound checkpoint has no tensor %s", tensor);
    if (how == SHAPE)
        assert_int_equal(json_object_set_new(entry, "shape", json_loads(value, 0, NULL)), 0);
    else if (how == DTYPE)
        assert_int_equal(json_object_set_new(entry, "dtype", json_string(value)), 0);
    else {
        assert_int_equal(json_object_set(header, "unknown.tensor", entry), 0);
        assert_int_equal(json_object_del(header, tensor), 0);
    }
}

static void write_tensor_case(size_t index, const temp_folder *folder, const block *sound, const char *config)
{
    json_t *header = json_loadb((const char *)sound->bytes + LENGTH_BYTES, header_length(sound), 0, NULL);
    assert_non_null(header);
    bend_tensor(header, tensor_cases[index].change, tensor_cases[index].tensor, tensor_cases[index].value);
    block bent = with_header(sound, header);
    write_pair(folder, &bent, config);
    free(bent.bytes);
    json_decref(header);
}

/* ---- single files that are something else */

static const struct {
    hostile_checkpoint info;
    const char *bytes;
    size_t n_bytes;
} other_files[] = {
    {{"an empty file", NULL}, "", 0},
    {{"three bytes", "cut short"}, "abc", 3},
    {{"a pickle", "pickle"}, "\x80\x02}q\x01X\x05\0\0\0state", 14},
    {{"a zipped pickle", "pickle"}, "PK\x03\x04\x14\0\0\0\0\0archive/data.pkl", 26},
    {{"a GGUF file without tensors", "neither"}, "GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24},
    {{"a Git LFS pointer", "LFS"}, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", 64},
    {{"a web page", "web page"}, "<!DOCTYPE html><html><body>404</body></html>", 44},
    {{"a text", NULL}, "this is a text and no model at all, whatever its name may say", 61},
    {{"a header of 2^63 bytes", NULL}, "\0\0\0\0\0\0\0\x80{}", 10},
    {{"no tensor at all", NULL}, "\x02\0\0\0\0\0\0\0{}", 10},
};

/* ---- single files: the configuration beside is changed */

static const struct {
    hostile_checkpoint info;
    const char *part, *key, *value; /* part NULL: the whole text is `value` */
} config_cases[] = {
    {{"configuration is cut", NULL}, NULL, NULL, "{\"unet\": {"},
    {{"configuration is a list", NULL}, NULL, NULL, "[1, 2]"},
    {{"configuration is a number", NULL}, NULL, NULL, "1e999"},
    {{"no heads", NULL}, "unet", "attention_head_dim", "0"},
    {{"four billion heads", NULL}, "unet", "attention_head_dim", "4000000000"},
    {{"heads that do not divide", NULL}, "unet", "attention_head_dim", "7"},
    {{"heads as text", NULL}, "unet", "attention_head_dim", "\"many\""},
    {{"no groups", NULL}, "unet", "norm_num_groups", "0"},
    {{"groups that do not divide", NULL}, "unet", "norm_num_groups", "31"},
    {{"huge channels", NULL}, "unet", "block_out_channels", "[4294967295, 4294967295]"},
    {{"a hundred blocks", NULL}, "unet", "layers_per_block", "100"},
    {{"four billion layers", NULL}, "unet", "layers_per_block", "4294967295"},
    {{"fewer channels than the file", NULL}, "unet", "block_out_channels", "[8, 8]"},
    {{"other context", NULL}, "unet", "cross_attention_dim", "4096"},
    {{"unknown block", NULL}, "unet", "down_block_types", "[\"MagicBlock2D\", \"DownBlock2D\"]"},
    {{"no text layers", NULL}, "text_encoder", "num_hidden_layers", "0"},
    {{"a billion text layers", NULL}, "text_encoder", "num_hidden_layers", "1000000000"},
    {{"wide text encoder", NULL}, "text_encoder", "hidden_size", "2147483647"},
    {{"text heads that do not divide", NULL}, "text_encoder", "num_attention_heads", "5"},
    {{"unknown activation", NULL}, "text_encoder", "hidden_act", "\"magic\""},
    {{"VAE groups that do not divide", NULL}, "vae", "norm_num_groups", "31"},
    {{"huge VAE", NULL}, "vae", "block_out_channels", "[2147483647, 2147483647]"},
    {{"VAE scaling of zero", NULL}, "vae", "scaling_factor", "0"},
    {{"unknown scheduler", NULL}, "scheduler", "_class_name", "\"MagicScheduler\""},
    {{"no training steps", NULL}, "scheduler", "num_train_timesteps", "0"},
    {{"four billion training steps", NULL}, "scheduler", "num_train_timesteps", "4000000000"},
    {{"unknown betas", NULL}, "scheduler", "beta_schedule", "\"magic\""},
    {{"betas above one", NULL}, "scheduler", "beta_end", "7.5"},
};

/* Sets part.key of a JSON text; free() the result. */
static char *bend_config(const char *config, const char *part, const char *key, const char *value)
{
    json_t *root = json_loads(config, 0, NULL);
    json_t *object = part ? json_object_get(root, part) : root;
    assert_non_null(object);
    assert_int_equal(json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
    char *text = json_dumps(root, JSON_INDENT(1));
    assert_non_null(text);
    json_decref(root);
    return text;
}

#define N_OF(table) (sizeof(table) / sizeof((table)[0]))

static void write_config_case(size_t index, const temp_folder *folder, const block *sound, const char *config)
{
    if (config_cases[index].part == NULL) {
        write_pair(folder, sound, config_cases[index].value);
        return;
    }
    char *bent = bend_config(config, config_cases[index].part, config_cases[index].key, config_cases[index].value);
    write_pair(folder, sound, bent);
    free(bent);
}

bool hostile_checkpoint_file(size_t index, const temp_folder *folder, hostile_checkpoint *made)
{
    const size_t first_config = N_OF(tensor_cases), first_other = first_config + N_OF(config_cases);
    if (index >= first_other + N_OF(other_files))
        return false;
    block sound = read_block(SOUND ".safetensors"), config = read_block(SOUND ".json");
    if (index >= first_other) {
        index -= first_other;
        *made = other_files[index].info;
        temp_folder_write(folder, "model.safetensors", other_files[index].bytes, other_files[index].n_bytes);
    } else if (index >= first_config) {
        *made = config_cases[index - first_config].info;
        write_config_case(index - first_config, folder, &sound, (const char *)config.bytes);
    } else {
        *made = tensor_cases[index].info;
        write_tensor_case(index, folder, &sound, (const char *)config.bytes);
    }
    free(sound.bytes);
    free(config.bytes);
    return true;
}

/* ---- damage by chance */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void hostile_checkpoint_flip(uint64_t seed, bool in_header, const temp_folder *folder)
{
    block model = read_block(SOUND ".safetensors"), config = read_block(SOUND ".json");
    const size_t n_header = LENGTH_BYTES + header_length(&model);
    const size_t first = in_header ? 0 : n_header, n = in_header ? n_header : model.n_bytes - n_header;
    const uint64_t random = next_random(&seed);
    model.bytes[first + (size_t)(random >> 3) % n] ^= (uint8_t)(1u << (random & 7));
    write_pair(folder, &model, (const char *)config.bytes);
    free(model.bytes);
    free(config.bytes);
}

void hostile_checkpoint_cut(unsigned part, const temp_folder *folder)
{
    block model = read_block(SOUND ".safetensors"), config = read_block(SOUND ".json");
    model.n_bytes = model.n_bytes / 256 * part;
    write_pair(folder, &model, (const char *)config.bytes);
    free(model.bytes);
    free(config.bytes);
}

/* ---- diffusers folders */

static const char *const folder_files[] = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
};

/* key NULL: the file becomes `value`, or is left out when that is NULL too. */
static const struct {
    hostile_checkpoint info;
    const char *file, *key, *value;
} folder_cases[] = {
    {{"no index", "model_index.json"}, "model_index.json", NULL, NULL},
    {{"index cut", "model_index.json"}, "model_index.json", NULL, "{\"_class_name\": \"StableDiff"},
    {{"index is a list", "model_index.json"}, "model_index.json", NULL, "[]"},
    {{"no UNet configuration", "UNet"}, "unet/config.json", NULL, NULL},
    {{"UNet configuration cut", "unet"}, "unet/config.json", NULL, "{\"in_channels\": 4,"},
    {{"nesting without end", "unet"}, "unet/config.json", NULL, NULL},
    {{"no UNet weights", "unet"}, "unet/diffusion_pytorch_model.safetensors", NULL, NULL},
    {{"UNet weights are a pickle", "pickle"}, "unet/diffusion_pytorch_model.safetensors", NULL, "PK\x03\x04 archive"},
    {{"three billion input channels", NULL}, "unet/config.json", "in_channels", "3000000000"},
    {{"no input channels", NULL}, "unet/config.json", "in_channels", "0"},
    {{"five input channels", NULL}, "unet/config.json", "in_channels", "5"},
    {{"channels below zero", NULL}, "unet/config.json", "block_out_channels", "[-32, -32]"},
    {{"no channels", NULL}, "unet/config.json", "block_out_channels", "[]"},
    {{"channels as text", NULL}, "unet/config.json", "block_out_channels", "\"32\""},
    {{"a thousand stages", NULL}, "unet/config.json", "block_out_channels", "1000"},
    {{"channels of four billion", NULL}, "unet/config.json", "block_out_channels", "[4294967264, 4294967264]"},
    {{"context of four billion", NULL}, "unet/config.json", "cross_attention_dim", "4294967295"},
    {{"a billion transformer layers", NULL}, "unet/config.json", "transformer_layers_per_block", "1000000000"},
    {{"eps below zero", NULL}, "unet/config.json", "norm_eps", "-1"},
    {{"unknown prediction", NULL}, "scheduler/scheduler_config.json", "prediction_type", "\"magic\""},
    {{"no training steps", NULL}, "scheduler/scheduler_config.json", "num_train_timesteps", "0"},
    {{"billions of training steps", NULL}, "scheduler/scheduler_config.json", "num_train_timesteps", "2147483648"},
    {{"latents without channels", NULL}, "vae/config.json", "latent_channels", "0"},
    {{"latents of four billion channels", NULL}, "vae/config.json", "latent_channels", "4294967295"},
    {{"no VAE weights", NULL}, "vae/diffusion_pytorch_model.safetensors", NULL, NULL},
    {{"vocabulary of four billion", NULL}, "text_encoder/config.json", "vocab_size", "4294967295"},
    {{"vocabulary of ten", NULL}, "text_encoder/config.json", "vocab_size", "10"},
    {{"no positions", NULL}, "text_encoder/config.json", "max_position_embeddings", "0"},
    {{"no text heads", NULL}, "text_encoder/config.json", "num_attention_heads", "0"},
    {{"intermediate of four billion", NULL}, "text_encoder/config.json", "intermediate_size", "4294967295"},
    {{"vocabulary cut", "tokenizer"}, "tokenizer/vocab.json", NULL, "{\"a\": 1"},
    {{"vocabulary empty", NULL}, "tokenizer/vocab.json", NULL, "{}"},
    {{"merges without sense", NULL}, "tokenizer/merges.txt", NULL, "#version: 0.2\na b c d\n\xff\xfe\n"},
};

/* Brackets that open and never end. */
static void write_nesting(const temp_folder *folder, const char *name)
{
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH + 16);
    assert_non_null(text);
    size_t n = (size_t)sprintf(text, "{\"a\":");
    (void)memset(text + n, '[', DEPTH);
    temp_folder_write(folder, name, text, n + DEPTH);
    free(text);
}

static void write_bent(size_t index, const temp_folder *folder, const block *sound)
{
    const char *file = folder_cases[index].file, *key = folder_cases[index].key, *value = folder_cases[index].value;
    if (strcmp(folder_cases[index].info.name, "nesting without end") == 0)
        write_nesting(folder, file);
    else if (key != NULL) {
        char *bent = bend_config((const char *)sound->bytes, NULL, key, value);
        temp_folder_write_text(folder, file, bent);
        free(bent);
    } else if (value != NULL)
        temp_folder_write_text(folder, file, value);
}

bool hostile_checkpoint_folder(size_t index, const temp_folder *folder, hostile_checkpoint *made)
{
    if (index >= N_OF(folder_cases))
        return false;
    *made = folder_cases[index].info;
    for (size_t i = 0; i < N_OF(folder_files); i++) {
        char path[TT_TEMP_PATH];
        (void)snprintf(path, sizeof path, SOUND "/%s", folder_files[i]);
        block sound = read_block(path);
        if (strcmp(folder_files[i], folder_cases[index].file) == 0)
            write_bent(index, folder, &sound);
        else
            temp_folder_write(folder, folder_files[i], sound.bytes, sound.n_bytes);
        free(sound.bytes);
    }
    return true;
}
