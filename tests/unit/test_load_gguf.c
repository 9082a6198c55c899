/* test_load_gguf.c - the models of the golden set as GGUF files: the same results as from safetensors, under our own
 * names, in LDM names, in the names that stable-diffusion.cpp gave them, and a UNet alone. */
#include "pipeline/arrays.h"
#include "pipeline/model.h"
#include "tests/support/built-in.h"
#include "tests/support/gguf-copy.h"
#include "tests/support/golden.h"
#include "tests/support/model-copy.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"

static temp_folder folder; /* one for each test */
static char path[TT_TEMP_PATH];

static tt_model *load_with(const char *model_path, const char *taesd, const char *vae, tt_precision precision)
{
    tt_model *model;
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = model_path;
    params.taesd_path = taesd;
    params.vae_path = vae;
    params.vocabulary_path = "/nonexistent/vocabulary.gz";
    params.precision = precision;
    if (tt_model_load(context, &params, &model) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return model;
}

static tt_model *load(const char *model_path)
{
    return load_with(model_path, NULL, NULL, TT_PRECISION_F32);
}

/* ---- comparing stages */

static void add_values(tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims, const uint64_t *dims)
{
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= (size_t)dims[i];
    float *values = calloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) {
        int32_t id = (int32_t)(i * 37 % 1000);
        float value = (float)(i * 7919 % 101) / 50.0f - 1.0f;
        memcpy(&values[i], type == TT_ARRAY_I32 ? (const void *)&id : (const void *)&value, sizeof value);
    }
    assert_int_equal(tt_arrays_add(context, arrays, name, type, n_dims, dims, values), TT_OK);
    free(values);
}

/* The stage's results on both models are the same bits. */
static void same_stage(tt_model *got, tt_model *want, tt_stage stage, uint32_t encoder, const tt_arrays *in)
{
    tt_stage_params params;
    tt_arrays a = {0}, b = {0};
    tt_stage_params_default(&params, stage);
    params.encoder = encoder;
    golden_run(context, got, &params, in, &a);
    golden_run(context, want, &params, in, &b);
    assert_int_equal(a.n_items, b.n_items);
    assert_true(a.n_items > 0);
    for (size_t i = 0; i < a.n_items; i++) {
        assert_string_equal(a.items[i].name, b.items[i].name);
        assert_int_equal(a.items[i].n_dims, b.items[i].n_dims);
        assert_memory_equal(a.items[i].data, b.items[i].data, tt_array_count(&a.items[i]) * sizeof(float));
    }
    tt_arrays_free(&a);
    tt_arrays_free(&b);
}

static void same_text(tt_model *got, tt_model *want, uint32_t encoder)
{
    tt_arrays in = {0};
    add_values(&in, "input_ids", TT_ARRAY_I32, 2, (const uint64_t[]){1, 77});
    same_stage(got, want, TT_STAGE_TEXT, encoder, &in);
    tt_arrays_free(&in);
}

static void same_unet(tt_model *got, tt_model *want)
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
    same_stage(got, want, TT_STAGE_UNET, 1, &in);
    tt_arrays_free(&in);
}

static void same_vae(tt_model *got, tt_model *want)
{
    tt_arrays in = {0};
    add_values(&in, "latent", TT_ARRAY_F32, 4, (const uint64_t[]){1, want->vae_config.latent_channels, 8, 8});
    same_stage(got, want, TT_STAGE_VAE_DECODE, 1, &in);
    tt_arrays_free(&in);
}

/* ---- bare checkpoints */

static void test_checkpoint(void **state)
{
    (void)state;
    model_copy_file(&folder, MODELS "sd1.json", "m.json");
    tt_model *want = load(MODELS "sd1.safetensors");
    for (int as_floats = 0; as_floats < 2; as_floats++) {
        tt_model_info info, whole;
        gguf_copy(MODELS "sd1.safetensors", temp_folder_path(&folder, "m.gguf", path), NULL, as_floats, NULL);
        tt_model *got = load(path);
        assert_int_equal(tt_model_get_info(got, &info), TT_OK);
        assert_int_equal(tt_model_get_info(want, &whole), TT_OK);
        assert_string_equal(info.name, "m");
        assert_string_equal(info.container, "GGUF");
        assert_string_equal(info.weights, as_floats ? "F32" : "F16");
        assert_int_equal(info.n_parameters, whole.n_parameters);
        assert_int_equal(info.n_ignored_tensors, whole.n_ignored_tensors);
        same_text(got, want, 1);
        same_unet(got, want);
        same_vae(got, want);
        tt_model_destroy(got);
    }
    tt_model_destroy(want);
}

static void test_automatic_precision(void **state)
{
    (void)state;
    model_copy_file(&folder, MODELS "sd1.json", "m.json");
    for (int as_floats = 0; as_floats < 2; as_floats++) {
        tt_model_info info;
        gguf_copy(MODELS "sd1.safetensors", temp_folder_path(&folder, "m.gguf", path), NULL, as_floats, NULL);
        tt_model *model = load_with(path, NULL, NULL, TT_PRECISION_AUTO);
        assert_int_equal(tt_model_get_info(model, &info), TT_OK);
        if (as_floats)
            assert_int_equal(info.precision, TT_PRECISION_F32);
        else /* HALF, or F16 where an open device multiplies floats alone */
            assert_in_range(info.precision, TT_PRECISION_F16, TT_PRECISION_HALF);
        tt_model_destroy(model);
    }
}

/* What a file holds, by type: no tensor and no byte is lost. */
static void test_types(void **state)
{
    (void)state;
    static const char *const models[] = {MODELS "sd1", MODELS "sd1.safetensors", MODELS "sd1/unet"};
    static const struct {
        size_t n_tensors, n_bytes;
    } wanted[] = {{366, 932614}, {370, 0}, {0, 0}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        tt_model_info info;
        uint64_t n_tensors = 0, n_bytes = 0;
        tt_model *model = load(models[i]);
        assert_int_equal(tt_model_get_info(model, &info), TT_OK);
        for (uint32_t j = 0; j < info.n_types; j++) {
            n_tensors += info.types[j].n_tensors;
            n_bytes += info.types[j].n_bytes;
            assert_true(info.types[j].n_tensors > 0 && info.types[j].name[0] != '\0');
        }
        assert_int_equal(n_bytes, info.n_bytes);
        assert_true(n_tensors > 0);
        assert_true(wanted[i].n_tensors == 0 || wanted[i].n_tensors == n_tensors);
        assert_true(wanted[i].n_bytes == 0 || wanted[i].n_bytes == n_bytes);
        assert_string_equal(info.container, "safetensors");
        assert_string_equal(info.weights, "F16");
        tt_model_destroy(model);
    }
}

/* ---- names of stable-diffusion.cpp */

static void rename_begin(char name[TT_MAX_NAME], const char *from, const char *to)
{
    char copy[TT_MAX_NAME];
    memcpy(copy, name, strlen(name) + 1);
    if (strncmp(copy, from, strlen(from)) == 0)
        snprintf(name, TT_MAX_NAME, "%s%s", to, copy + strlen(from));
}

static void replace(char name[TT_MAX_NAME], const char *from, const char *to)
{
    char copy[TT_MAX_NAME], *at = strstr(name, from);
    if (!at)
        return;
    snprintf(copy, sizeof copy, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
    memcpy(name, copy, strlen(copy) + 1);
}

/* An OpenCLIP layer's name as transformers'; in_proj becomes three tensors. */
static bool rename_open_clip(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    static const char *const pairs[][2] = {
        {"model.token_embedding.", "transformer.text_model.embeddings.token_embedding."},
        {"model.positional_embedding", "transformer.text_model.embeddings.position_embedding.weight"},
        {"model.ln_final.", "transformer.text_model.final_layer_norm."},
        {"model.text_projection", "transformer.text_model.text_projection"},
        {"model.transformer.resblocks.", "transformer.text_model.encoder.layers."},
        {".ln_1.", ".layer_norm1."},
        {".ln_2.", ".layer_norm2."},
        {".attn.out_proj.", ".self_attn.out_proj."},
        {".mlp.c_fc.", ".mlp.fc1."},
        {".mlp.c_proj.", ".mlp.fc2."}};
    static const char *const thirds[] = {".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        replace(name, pairs[i][0], pairs[i][1]);
    if (!strstr(name, ".attn.in_proj_"))
        return part == 0;
    if (part == 3)
        return false;
    replace(name, ".attn.in_proj_", thirds[part]);
    tensor->dims[0] /= 3;
    tensor->n_bytes /= 3;
    tensor->data = (const uint8_t *)tensor->data + part * tensor->n_bytes;
    return true;
}

/* stable-diffusion.cpp kept projections and the VAE's attention as 1x1 convolutions. */
static void unsqueeze(tt_tensor *tensor, const char *name)
{
    bool is_projection = strstr(name, "proj_in.weight") || strstr(name, "proj_out.weight") || strstr(name, ".attn_1.");
    if (is_projection && tensor->n_dims == 2) {
        tensor->n_dims = 4;
        tensor->dims[2] = tensor->dims[3] = 1;
    }
}

static bool as_sd_cpp(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    rename_begin(name, "conditioner.embedders.0.", "cond_stage_model.");
    if (strncmp(name, "model.diffusion_model.", 22) == 0 || strncmp(name, "first_stage_model.", 18) == 0)
        unsqueeze(tensor, name);
    if (strncmp(name, "conditioner.embedders.1.", 24) != 0)
        return part == 0 && !strstr(name, "position_ids");
    rename_begin(name, "conditioner.embedders.", "cond_stage_model.");
    return rename_open_clip(tensor, name, part);
}

/* A JSON file with the parts of another one that are named. */
static void write_configs(const char *from, const char *name, const char *const *parts)
{
    json_t *all = json_load_file(from, 0, NULL), *some = json_object();
    assert_non_null(all);
    for (; *parts; parts++)
        assert_int_equal(json_object_set(some, *parts, json_object_get(all, *parts)), 0);
    char *text = json_dumps(some, JSON_COMPACT);
    temp_folder_write_text(&folder, name, text);
    free(text);
    json_decref(all);
    json_decref(some);
}

static void test_sd_cpp_sdxl(void **state)
{
    (void)state;
    static const char *const parts[] = {"unet", "vae", NULL}; /* text encoders are derived from the tensors */
    char original[TT_TEMP_PATH];
    write_configs(MODELS "sdxl.json", "m.json", parts);
    write_configs(MODELS "sdxl.json", "o.json", parts);
    model_copy_file(&folder, MODELS "sdxl.safetensors", "o.safetensors");
    gguf_copy(MODELS "sdxl.safetensors", temp_folder_path(&folder, "m.gguf", path), as_sd_cpp, false, NULL);
    tt_model *got = load(path), *want = load(temp_folder_path(&folder, "o.safetensors", original));
    assert_int_equal(got->family, TT_FAMILY_SDXL);
    assert_int_equal(got->text[1].config.activation, TT_ACT_GELU);
    assert_int_equal(got->text[1].config.projection_dim, want->text[1].config.projection_dim);
    same_text(got, want, 1);
    same_text(got, want, 2);
    same_unet(got, want);
    same_vae(got, want);
    tt_model_destroy(got);
    tt_model_destroy(want);
}

/* Four times as wide, so that nothing but the tensors is needed to derive the architecture. */
static bool widen(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    static const uint8_t zeros[1 << 20];
    (void)name;
    if (part > 0 || strstr(name, "position_ids"))
        return false;
    for (uint32_t i = 0; i < tensor->n_dims && i < 2; i++)
        if (tensor->dims[i] > 4 && tensor->dims[i] != 77 && tensor->dims[i] != 1024)
            tensor->dims[i] *= 4;
    tensor->n_bytes = tt_dtype_bytes(tensor->dtype, tt_tensor_count(tensor));
    assert_true(tensor->n_bytes <= sizeof zeros);
    tensor->data = zeros;
    return true;
}

static bool widen_unsqueezed(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    bool kept = widen(tensor, name, part);
    unsqueeze(tensor, name);
    return kept;
}

/* Projections that are stored as convolutions must not make SDXL's heads those of SD1. */
static void test_heads_of_sdxl(void **state)
{
    (void)state;
    static const gguf_copy_change changes[] = {widen, widen_unsqueezed};
    tt_unet_config configs[2];
    for (int i = 0; i < 2; i++) {
        gguf_copy(MODELS "sdxl.safetensors", temp_folder_path(&folder, "w.gguf", path), changes[i], false, NULL);
        tt_model *model = load(path);
        configs[i] = model->unet_config;
        tt_model_destroy(model);
    }
    for (uint32_t i = 0; i < configs[0].n_blocks; i++)
        assert_int_equal(configs[1].n_heads[i], configs[0].n_heads[i]);
    assert_int_equal(configs[0].n_heads[0], 1);
}

static bool sd2_token_table(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    static const uint8_t zeros[1 << 22];
    if (part > 0 || strstr(name, "position_ids"))
        return false;
    for (uint32_t i = 0; i < 2; i++)
        if (strstr(name, "cond_stage_model.") && tensor->n_dims > i && tensor->dims[i] == 32)
            tensor->dims[i] = 1024;
    tensor->n_bytes = tt_dtype_bytes(tensor->dtype, tt_tensor_count(tensor));
    tensor->data = tensor->n_bytes <= sizeof zeros ? zeros : NULL;
    return tensor->data != NULL;
}

/* SD2's text encoder under transformers' names is known by its width. */
static void test_sd_cpp_sd2(void **state)
{
    (void)state;
    json_t *all = json_load_file(MODELS "sd1.json", 0, NULL), *some = json_object();
    json_t *unet = json_object_get(all, "unet");
    assert_int_equal(json_object_set_new(unet, "cross_attention_dim", json_integer(1024)), 0);
    assert_int_equal(json_object_set(some, "unet", unet), 0);
    assert_int_equal(json_object_set(some, "vae", json_object_get(all, "vae")), 0);
    char *text = json_dumps(some, JSON_COMPACT);
    temp_folder_write_text(&folder, "m.json", text);
    free(text);
    json_decref(all);
    json_decref(some);
    gguf_copy(MODELS "sd1.safetensors", temp_folder_path(&folder, "m.gguf", path), sd2_token_table, false, NULL);
    tt_model *model = load(path), *like = load(MODELS "sd1");
    tt_model_info info;
    assert_int_equal(tt_model_get_info(model, &info), TT_OK);
    assert_string_equal(info.family, "sd2");
    assert_string_equal(info.prediction_type, "v_prediction");
    assert_int_equal(model->text[0].config.hidden, 1024);
    assert_int_equal(model->text[0].config.activation, TT_ACT_GELU);
    assert_int_equal(model->text[0].config.n_layers, like->text[0].config.n_layers - 1); /* the last is not used */
    tt_model_destroy(model);
    tt_model_destroy(like);
}

/* ---- a UNet alone */

static bool bare_unet(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    const char prefix[] = "model.diffusion_model.";
    (void)tensor;
    if (part > 0 || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    rename_begin(name, prefix, "");
    return true;
}

static void test_bare_unet(void **state)
{
    (void)state;
    static const char *const names[] = {"sd1", "sdxl"};
    for (size_t i = 0; i < 2; i++) {
        char json[64], file[64];
        tt_model_info info;
        tt_image image;
        tt_generate_params params;
        snprintf(json, sizeof json, MODELS "%s.json", names[i]);
        snprintf(file, sizeof file, MODELS "%s.safetensors", names[i]);
        model_copy_file(&folder, json, "u.json");
        gguf_copy(file, temp_folder_path(&folder, "u.gguf", path), bare_unet, false, NULL);
        tt_model *got = load(path), *want = load(file);
        assert_int_equal(tt_model_get_info(got, &info), TT_OK);
        assert_string_equal(info.family, names[i]);
        assert_int_equal(info.n_ignored_tensors, 0);
        same_unet(got, want);
        assert_int_equal(tt_generate_params_default(got, &params), TT_OK);
        params.prompt = "x";
        assert_int_equal(tt_generate(got, &params, &image, NULL), TT_ERROR_UNSUPPORTED);
        tt_model_destroy(got);
        tt_model_destroy(want);
    }
}

/* ---- our own file, and autoencoders */

static const char *const own_keys[] = {"tintype.model_index",
                                       "tintype.unet",
                                       "tintype.vae",
                                       "tintype.text_encoder",
                                       "tintype.scheduler",
                                       "tintype.vocab",
                                       "tintype.merges",
                                       "tintype.tokenizer_config",
                                       "tintype.special_tokens",
                                       "tintype.default_steps",
                                       "tintype.default_width",
                                       "tintype.default_cfg_scale",
                                       "tintype.name",
                                       NULL};

static tt_image picture_of(const char *model_path)
{
    tt_generate_params p;
    tt_image image;
    tt_model *model = load_with(model_path, NULL, NULL, TT_PRECISION_AUTO);
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat on a blue background";
    p.width = p.height = 64;
    p.n_steps = 2;
    p.seed = 5;
    if (tt_generate(model, &p, &image, NULL) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    tt_model_destroy(model);
    return image;
}

static void test_own_file(void **state)
{
    (void)state;
    char halves[TT_TEMP_PATH];
    built_in_halves(temp_folder_path(&folder, "halves.safetensors", halves), NULL, NULL);
    gguf_copy(halves, temp_folder_path(&folder, "mini.gguf", path), NULL, false, own_keys);
    tt_image got = picture_of(path), want = picture_of(halves);
    assert_memory_equal(got.pixels, want.pixels, 64 * 64 * 3);
    tt_image_free(&got);
    tt_image_free(&want);
}

static bool wide_vae(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    return strncmp(name, "first_stage_model.", 18) == 0 && widen(tensor, name, part);
}

static void test_autoencoders(void **state)
{
    (void)state;
    tt_model *want = load_with(MODELS "sd1", MODELS "taesd_decoder.safetensors", NULL, TT_PRECISION_F32);
    gguf_copy(MODELS "taesd_decoder.safetensors", temp_folder_path(&folder, "t.gguf", path), NULL, false, NULL);
    tt_model *got = load_with(MODELS "sd1", path, NULL, TT_PRECISION_F32);
    same_vae(got, want);
    tt_model_destroy(got);
    tt_model_destroy(want);
    gguf_copy(MODELS "sd1.safetensors", temp_folder_path(&folder, "v.gguf", path), wide_vae, false, NULL);
    tt_model *wide = load_with(MODELS "sd1", NULL, path, TT_PRECISION_F32), *narrow = load(MODELS "sd1");
    assert_true(wide->vae_config.has_encoder && wide->vae_config.has_decoder);
    assert_int_equal(wide->vae_config.decoder_channels[0], 4 * narrow->vae_config.decoder_channels[0]);
    tt_model_destroy(wide);
    tt_model_destroy(narrow);
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
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_checkpoint),    TEST(test_automatic_precision), TEST(test_types),     TEST(test_sd_cpp_sdxl),
        TEST(test_heads_of_sdxl), TEST(test_sd_cpp_sd2),          TEST(test_bare_unet), TEST(test_own_file),
        TEST(test_autoencoders),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
