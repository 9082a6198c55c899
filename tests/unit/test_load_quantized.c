/* test_load_quantized.c - quantized models from the outside: whatever of a checkpoint is in blocks or in int8 per
 * channel, stages give what the dequantized checkpoint gives. */
#include "base/text.h"
#include "pipeline/arrays.h"
#include "pipeline/model.h"
#include "quantize/encode.h"
#include "tests/support/gguf-copy.h"
#include "tests/support/golden.h"
#include "tests/support/model-copy.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"

/* Weights are the same numbers on both sides; what is left is the order of the sums. */
static const double bar = 2e-5;

static temp_folder folder;

/* Memory that lives as long as a test: data of changed tensors. */
static struct {
    void *blocks[65536];
    size_t n_blocks;
} arena;

static void *take(size_t n_bytes)
{
    assert_true(arena.n_blocks < sizeof arena.blocks / sizeof *arena.blocks);
    void *block = calloc(1, n_bytes + 1);
    assert_non_null(block);
    arena.blocks[arena.n_blocks++] = block;
    return block;
}

static float *floats_of(const tt_tensor *tensor)
{
    size_t n = (size_t)tt_tensor_count(tensor);
    float *values = take(n * sizeof *values);
    tt_to_float(tensor->dtype, tensor->data, values, n);
    return values;
}

static void set_data(tt_tensor *tensor, tt_dtype dtype, const void *data)
{
    tensor->dtype = dtype;
    tensor->data = data;
    tensor->n_bytes = tt_dtype_bytes(dtype, tt_tensor_count(tensor));
}

/* ---- blocks of 32: everything whose rows allow it, norms, biases and tables too, as stable-diffusion.cpp does */

static bool in_blocks(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    static const tt_dtype types[] = {TT_Q8_0, TT_Q4_0, TT_Q4_1, TT_Q5_0, TT_Q5_1};
    size_t n = (size_t)tt_tensor_count(tensor);
    if (part > 0 || strstr(name, "position_ids"))
        return false;
    if (tensor->n_dims == 0 || tensor->dims[tensor->n_dims - 1] % 32 != 0)
        return true;
    tt_dtype dtype = types[strlen(name) % 5];
    void *blocks = take((size_t)tt_dtype_bytes(dtype, n));
    tt_encode_blocks(dtype, TT_FIT_PLAIN, floats_of(tensor), NULL, n, blocks);
    set_data(tensor, dtype, blocks);
    return true;
}

/* A convolution becomes the matrix of its rows where these allow blocks. */
static bool in_rows(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    if (tensor->n_dims == 4 && tensor->dims[1] * tensor->dims[2] * tensor->dims[3] % 32 == 0) {
        tensor->dims[1] *= tensor->dims[2] * tensor->dims[3];
        tensor->n_dims = 2;
        tensor->dims[2] = tensor->dims[3] = 0;
    }
    return in_blocks(tensor, name, part);
}

/* The same values as plain floats. */
static void widen(tt_tensor *tensor, const tt_tensor *original)
{
    if (tt_dtype_is_block(tensor->dtype))
        set_data(tensor, TT_F32, floats_of(tensor));
    tensor->n_dims = original->n_dims;
    memcpy(tensor->dims, original->dims, sizeof tensor->dims);
}

static bool blocks_widened(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    tt_tensor original = *tensor;
    bool kept = in_blocks(tensor, name, part);
    widen(tensor, &original);
    return kept;
}

static bool rows_widened(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    tt_tensor original = *tensor;
    bool kept = in_rows(tensor, name, part);
    widen(tensor, &original);
    return kept;
}

/* ---- int8 per channel: every matrix and convolution, fused and transposed ones too */

/* Channels of [out, in] follow each other; the projection of OpenCLIP is [in, out]. */
typedef struct channels {
    size_t n, length, step, stride; /* value i of channel c is at c * step + i * stride */
    int8_t *q;
    float *scale, *offset, *values; /* values: what a reader will decode, in stored order */
} channels;

static channels encode_channels(const tt_tensor *tensor, const char *name)
{
    size_t n_all = (size_t)tt_tensor_count(tensor), n_rows = (size_t)tensor->dims[0];
    bool turned = strstr(name, "text_projection") != NULL;
    channels c = {.n = turned ? n_all / n_rows : n_rows};
    c.length = n_all / c.n;
    c.step = turned ? 1 : c.length;
    c.stride = turned ? c.n : 1;
    c.q = take(n_all);
    c.scale = take(c.n * sizeof(float));
    c.offset = take(c.n * sizeof(float));
    c.values = floats_of(tensor);
    float *channel = take(c.length * sizeof(float));
    int8_t *q = take(c.length);
    for (size_t i = 0; i < c.n; i++) {
        for (size_t j = 0; j < c.length; j++)
            channel[j] = c.values[i * c.step + j * c.stride];
        tt_encode_channel(TT_FIT_PLAIN, false, channel, NULL, c.length, q, &c.scale[i], &c.offset[i]);
        for (size_t j = 0; j < c.length; j++) {
            c.q[i * c.step + j * c.stride] = q[j];
            c.values[i * c.step + j * c.stride] = c.scale[i] * (float)q[j] + c.offset[i];
        }
    }
    return c;
}

static bool is_matrix(const tt_tensor *tensor, const char *name)
{
    return tensor->n_dims >= 2 && tensor->dtype == TT_F16 && !strstr(name, "embedding");
}

static bool per_channel(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    static const char *const suffixes[] = {"", "_scale", "_offset"};
    if (strstr(name, "position_ids") || !is_matrix(tensor, name) || part > 2)
        return part == 0 && !strstr(name, "position_ids");
    channels c = encode_channels(tensor, name);
    strcat(name, suffixes[part]);
    if (part == 0)
        set_data(tensor, TT_I8, c.q);
    else {
        tensor->n_dims = 1;
        memset(tensor->dims, 0, sizeof tensor->dims);
        tensor->dims[0] = c.n;
        set_data(tensor, TT_F32, part == 1 ? c.scale : c.offset);
    }
    return true;
}

static bool per_channel_widened(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    if (part > 0 || strstr(name, "position_ids"))
        return false;
    if (is_matrix(tensor, name))
        set_data(tensor, TT_F32, encode_channels(tensor, name).values);
    return true;
}

/* ---- blocks of 256 across the ends of rows, with the shape beside: ComfyUI-GGUF's. The writer has no arrays, so the
 * file is put together here */

static void add_number(tt_text *out, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) {
        char byte = (char)(uint8_t)(value >> 8 * i);
        tt_text_add(out, &byte, 1);
    }
}

static void add_string(tt_text *out, const char *before, const char *text)
{
    add_number(out, strlen(before) + strlen(text), 8);
    tt_text_add_string(out, before);
    tt_text_add_string(out, text);
}

static bool is_flat(const tt_tensor *tensor)
{
    return tensor->n_dims > 1 && tensor->dims[tensor->n_dims - 1] % 256 != 0 && tt_tensor_count(tensor) % 256 == 0;
}

/* The UNet without prefix in Q4_K and Q6_K, where the number of elements allows it. */
static bool flat_widened(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    const char prefix[] = "model.diffusion_model.";
    size_t n = (size_t)tt_tensor_count(tensor);
    if (part > 0 || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    memmove(name, name + sizeof prefix - 1, strlen(name) - sizeof prefix + 2);
    if (!is_flat(tensor))
        return true;
    tt_dtype dtype = strlen(name) % 2 == 0 ? TT_Q4_K : TT_Q6_K;
    void *blocks = take((size_t)tt_dtype_bytes(dtype, n));
    tt_encode_blocks(dtype, TT_FIT_PLAIN, floats_of(tensor), NULL, n, blocks);
    set_data(tensor, dtype, blocks);
    widen(tensor, &(tt_tensor){.n_dims = tensor->n_dims,
                               .dims = {tensor->dims[0], tensor->dims[1], tensor->dims[2], tensor->dims[3]}});
    return true;
}

static void add_shapes(tt_text *out, const tt_tensor_file *file)
{
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const tt_tensor *t = tt_tensor_file_at(file, i);
        if (!is_flat(t))
            continue;
        add_string(out, "comfy.gguf.orig_shape.", t->name);
        add_number(out, 9, 4);
        add_number(out, 5, 4);
        add_number(out, t->n_dims, 8);
        for (uint32_t j = 0; j < t->n_dims; j++)
            add_number(out, t->dims[j], 4);
    }
}

/* Adds the tensors' descriptions to `out` and their data to `data`. */
static size_t add_tensors(tt_text *out, tt_text *data, const tt_tensor_file *file)
{
    size_t n_flat = 0;
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const tt_tensor *t = tt_tensor_file_at(file, i);
        size_t n = (size_t)tt_tensor_count(t);
        bool flat = is_flat(t);
        tt_dtype dtype = strlen(t->name) % 2 == 0 ? TT_Q4_K : TT_Q6_K;
        uint64_t rows[2] = {256, n / 256}, n_bytes = flat ? tt_dtype_bytes(dtype, n) : t->n_bytes;
        add_string(out, "", t->name);
        add_number(out, flat ? 2 : t->n_dims, 4);
        for (uint32_t j = 0; j < (flat ? 2 : t->n_dims); j++)
            add_number(out, flat ? rows[j] : t->dims[t->n_dims - 1 - j], 8);
        add_number(out, flat ? (dtype == TT_Q4_K ? 12 : 14) : t->dtype == TT_F16 ? 1 : 0, 4);
        add_number(out, data->n_bytes, 8);
        uint8_t *bytes = take((size_t)n_bytes);
        memcpy(bytes, t->data, flat ? 0 : (size_t)n_bytes);
        if (flat)
            tt_encode_blocks(dtype, TT_FIT_PLAIN, floats_of(t), NULL, n, bytes);
        tt_text_add(data, (const char *)bytes, (size_t)n_bytes);
        while (data->n_bytes % 32 != 0)
            tt_text_add(data, "", 1);
        n_flat += flat;
    }
    return n_flat;
}

/* `plain` has the names and original values; writes flat.gguf. */
static void write_flat(const char *plain)
{
    tt_text out = {0}, infos = {0}, data = {0}, shapes = {0};
    tt_tensor_file *file;
    assert_int_equal(tt_tensor_file_open(plain, &file, NULL), TT_OK);
    size_t n_flat = add_tensors(&infos, &data, file);
    assert_true(n_flat > 40);
    add_shapes(&shapes, file);
    tt_text_add(&out, "GGUF", 4);
    add_number(&out, 3, 4);
    add_number(&out, tt_tensor_file_count(file), 8);
    add_number(&out, n_flat, 8);
    tt_text_add(&out, shapes.bytes, shapes.n_bytes);
    tt_text_add(&out, infos.bytes, infos.n_bytes);
    while (out.n_bytes % 32 != 0)
        tt_text_add(&out, "", 1);
    tt_text_add(&out, data.bytes, data.n_bytes);
    temp_folder_write(&folder, "flat.gguf", out.bytes, out.n_bytes);
    tt_text *const texts[] = {&out, &infos, &data, &shapes};
    for (size_t i = 0; i < 4; i++)
        tt_text_free(texts[i]);
    tt_tensor_file_close(file);
}

static bool bare_unet(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    const char prefix[] = "model.diffusion_model.";
    (void)tensor;
    if (part > 0 || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    memmove(name, name + sizeof prefix - 1, strlen(name) - sizeof prefix + 2);
    return true;
}

/* ---- comparing */

static tt_model *load(const char *name)
{
    tt_model *model;
    tt_model_params params;
    char path[TT_TEMP_PATH];
    tt_model_params_default(&params);
    params.path = temp_folder_path(&folder, name, path);
    params.precision = TT_PRECISION_F32;
    if (tt_model_load(context, &params, &model) != TT_OK)
        fail_msg("%s: %s", name, tt_context_message(context));
    return model;
}

static void add_values(tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims, const uint64_t *dims)
{
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= (size_t)dims[i];
    float *values = take(n * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        int32_t id = (int32_t)(i * 37 % 1000);
        float value = (float)(i * 7919 % 101) / 50.0f - 1.0f;
        memcpy(&values[i], type == TT_ARRAY_I32 ? (const void *)&id : (const void *)&value, sizeof value);
    }
    assert_int_equal(tt_arrays_add(context, arrays, name, type, n_dims, dims, values), TT_OK);
}

static void check_stage(const char *what, tt_model *got, tt_model *want, tt_stage stage, uint32_t encoder,
                        tt_arrays *in)
{
    tt_stage_params params;
    tt_arrays a = {0}, b = {0};
    char line[128];
    tt_stage_params_default(&params, stage);
    params.encoder = encoder;
    golden_run(context, got, &params, in, &a);
    golden_run(context, want, &params, in, &b);
    assert_int_equal(a.n_items, b.n_items);
    for (size_t i = 0; i < a.n_items; i++) {
        snprintf(line, sizeof line, "%s, %s", what, a.items[i].name);
        golden_check(line, golden_error(&a.items[i], &b.items[i]), bar);
    }
    tt_arrays_free(&a);
    tt_arrays_free(&b);
    tt_arrays_free(in);
}

static void check_text(const char *what, tt_model *got, tt_model *want, uint32_t encoder)
{
    tt_arrays in = {0};
    add_values(&in, "input_ids", TT_ARRAY_I32, 2, (const uint64_t[]){1, 77});
    check_stage(what, got, want, TT_STAGE_TEXT, encoder, &in);
}

static void check_unet(const char *what, tt_model *got, tt_model *want)
{
    tt_arrays in = {0};
    const tt_unet_config *c = &want->unet_config;
    uint64_t pooled = c->addition_input_dim ? c->addition_input_dim - 6 * c->addition_time_dim : 0;
    add_values(&in, "sample", TT_ARRAY_F32, 4, (const uint64_t[]){1, c->in_channels, 8, 8});
    add_values(&in, "timestep", TT_ARRAY_F32, 1, (const uint64_t[]){1});
    add_values(&in, "encoder_hidden_states", TT_ARRAY_F32, 3, (const uint64_t[]){1, 77, c->cross_attention_dim});
    if (pooled > 0) {
        add_values(&in, "text_embeds", TT_ARRAY_F32, 2, (const uint64_t[]){1, pooled});
        add_values(&in, "time_ids", TT_ARRAY_F32, 2, (const uint64_t[]){1, 6});
    }
    check_stage(what, got, want, TT_STAGE_UNET, 1, &in);
}

static void check_vae(const char *what, tt_model *got, tt_model *want)
{
    tt_arrays in = {0};
    add_values(&in, "latent", TT_ARRAY_F32, 4, (const uint64_t[]){1, want->vae_config.latent_channels, 8, 8});
    check_stage(what, got, want, TT_STAGE_VAE_DECODE, 1, &in);
}

/* Both files of a checkpoint of the golden set: as `change` makes it, and with the same values as floats. */
static void compare(const char *what, const char *name, gguf_copy_change change, gguf_copy_change widened)
{
    char file[256], json[256], path[TT_TEMP_PATH];
    snprintf(file, sizeof file, MODELS "%s.safetensors", name);
    snprintf(json, sizeof json, MODELS "%s.json", name);
    model_copy_file(&folder, json, "quantized.json");
    model_copy_file(&folder, json, "widened.json");
    gguf_copy(file, temp_folder_path(&folder, "quantized.gguf", path), change, false, NULL);
    gguf_copy(file, temp_folder_path(&folder, "widened.gguf", path), widened, false, NULL);
    tt_model *got = load("quantized.gguf"), *want = load("widened.gguf");
    tt_model_info info;
    assert_int_equal(tt_model_get_info(got, &info), TT_OK);
    size_t n_quantized = 0;
    for (uint32_t i = 0; i < info.n_types; i++)
        n_quantized +=
            info.types[i].name[0] == 'Q' || strcmp(info.types[i].name, "I8") == 0 ? (size_t)info.types[i].n_tensors : 0;
    assert_true(n_quantized > 100);
    check_text(what, got, want, 1);
    if (want->text[1].present)
        check_text(what, got, want, 2);
    check_unet(what, got, want);
    check_vae(what, got, want);
    tt_model_destroy(got);
    tt_model_destroy(want);
    golden_finish();
}

static void test_blocks(void **state)
{
    (void)state;
    compare("rows of 32 in blocks", "sd1", in_blocks, blocks_widened);
}

static void test_convolutions_in_rows(void **state)
{
    (void)state;
    compare("convolutions in blocks", "sd1", in_rows, rows_widened);
}

static void test_channels(void **state)
{
    (void)state;
    compare("int8 per channel, sd1", "sd1", per_channel, per_channel_widened);
    compare("int8 per channel, sdxl", "sdxl", per_channel, per_channel_widened);
}

static void test_flat_blocks(void **state)
{
    (void)state;
    char plain[TT_TEMP_PATH], path[TT_TEMP_PATH];
    model_copy_file(&folder, MODELS "sd1.json", "flat.json");
    model_copy_file(&folder, MODELS "sd1.json", "widened.json");
    gguf_copy(MODELS "sd1.safetensors", temp_folder_path(&folder, "plain.gguf", plain), bare_unet, false, NULL);
    gguf_copy(MODELS "sd1.safetensors", temp_folder_path(&folder, "widened.gguf", path), flat_widened, false, NULL);
    write_flat(plain);
    tt_model *got = load("flat.gguf"), *want = load("widened.gguf");
    check_unet("blocks across rows", got, want);
    tt_model_destroy(got);
    tt_model_destroy(want);
    golden_finish();
}

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    while (arena.n_blocks > 0)
        free(arena.blocks[--arena.n_blocks]);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_blocks), TEST(test_convolutions_in_rows), TEST(test_channels),
                                       TEST(test_flat_blocks)};
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
