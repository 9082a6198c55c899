/* test_load.c - loading models: folders with missing parts, other spellings of names, extra tensors, parts that do not
 * fit together, and what a model says of itself. */
#include "base/file.h"
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

static tt_status load_with(const char *path, const char *taesd, const char *vae, tt_model **model)
{
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = path;
    params.taesd_path = taesd;
    params.vae_path = vae;
    params.vocabulary_path = "/nonexistent/vocabulary.gz";
    params.precision = TT_PRECISION_F32;
    *model = NULL;
    return tt_model_load(context, &params, model);
}

static tt_model *load(const char *path)
{
    tt_model *model;
    if (load_with(path, NULL, NULL, &model) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return model;
}

static void refuse(const char *path, tt_status want, const char *mention)
{
    tt_model *model;
    tt_status status = load_with(path, NULL, NULL, &model);
    if (status != want || !strstr(tt_context_message(context), mention))
        fail_msg("status %d, wanted %d with \"%s\": %s", (int)status, (int)want, mention, tt_context_message(context));
    assert_null(model);
}

static tt_status generate(tt_model *model, tt_image *image)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat on a blue background";
    p.width = p.height = 16;
    p.n_steps = 2;
    p.seed = 5;
    p.cfg_scale = 3.0f;
    *image = (tt_image){0};
    return tt_generate(model, &p, image, NULL);
}

/* The model at `path` must make the very picture of the model at `like`. */
static void same_picture(const char *path, const char *like)
{
    tt_image got, want;
    tt_model *model = load(path), *other = load(like);
    if (generate(model, &got) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_int_equal(generate(other, &want), TT_OK);
    assert_memory_equal(got.pixels, want.pixels, 16 * 16 * 3);
    tt_image_free(&got);
    tt_image_free(&want);
    tt_model_destroy(model);
    tt_model_destroy(other);
}

/* ---- tests */

static void test_info(void **state)
{
    (void)state;
    static const struct {
        const char *name, *family, *prediction, *scheduler;
        uint32_t side, steps, in_channels;
    } models[] = {{"sd1", "sd1", "epsilon", "PNDMScheduler", 512, 20, 4},
                  {"sd2", "sd2", "v_prediction", NULL, 768, 20, 4},
                  {"sdxl", "sdxl", "epsilon", "EulerDiscreteScheduler", 1024, 20, 4},
                  {"lcm", "sd1", "epsilon", NULL, 512, 4, 4},
                  {"inpaint", "sd1", "epsilon", NULL, 512, 20, 9},
                  {"sd1.safetensors", "sd1", "epsilon", "PNDMScheduler", 512, 20, 4},
                  {"sdxl.safetensors", "sdxl", "epsilon", "EulerDiscreteScheduler", 1024, 20, 4}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[256];
        tt_model_info info;
        snprintf(path, sizeof path, MODELS "%s", models[i].name);
        tt_model *model = load(path);
        assert_int_equal(tt_model_get_info(model, &info), TT_OK);
        assert_string_equal(info.family, models[i].family);
        assert_string_equal(info.prediction_type, models[i].prediction);
        if (models[i].scheduler)
            assert_string_equal(info.scheduler, models[i].scheduler);
        assert_int_equal(info.default_width, models[i].side);
        assert_int_equal(info.default_height, models[i].side);
        assert_int_equal(info.default_steps, models[i].steps);
        assert_int_equal(info.unet_in_channels, models[i].in_channels);
        assert_int_equal(info.latent_channels, 4);
        assert_int_equal(info.vae_factor, 2);
        assert_true(info.has_vae_encoder);
        assert_true(info.default_cfg_scale == 7.0f);
        assert_true(info.n_parameters > 1000);
        assert_int_equal(strlen(tt_model_hash(model)), strstr(path, ".safetensors") ? 10 : 0);
        assert_null(strstr(info.name, ".safetensors"));
        tt_model_destroy(model);
    }
    tt_model *model = load(MODELS "sd1///"); /* slashes at the end are no name */
    tt_model_info info;
    assert_int_equal(tt_model_get_info(model, &info), TT_OK);
    assert_string_equal(info.name, "sd1");
    tt_model_destroy(model);
}

static void test_missing_parts(void **state)
{
    (void)state;
    static const struct {
        const char *component, *mention;
    } cases[] = {
        {"unet", "lacks a UNet"}, {"vae", "lacks a VAE"}, {"text_encoder", "text encoder"}, {"scheduler", "scheduler"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_model *model;
        tt_image image;
        char without[32];
        snprintf(without, sizeof without, "%s/", cases[i].component);
        model_copy_make(&folder, "sd1", without);
        if (strcmp(cases[i].component, "scheduler") != 0) /* promised by model_index.json; schedulers hold no weights */
            refuse(folder.path, TT_ERROR_IO, cases[i].component);
        model_copy_forget(&folder, cases[i].component);
        model = load(folder.path);
        assert_int_equal(generate(model, &image), TT_ERROR_UNSUPPORTED);
        if (!strstr(tt_context_message(context), cases[i].mention))
            fail_msg("%s", tt_context_message(context));
        assert_null(image.pixels);
        tt_model_destroy(model);
        temp_folder_remove(&folder);
        temp_folder_make(&folder);
    }
}

static void test_other_vae(void **state)
{
    (void)state;
    tt_model *model;
    tt_image image;
    model_copy_make(&folder, "sd1", "vae/");
    model_copy_forget(&folder, "vae");
    static const char *const vaes[] = {MODELS "sd1/vae", MODELS "components/taesd", MODELS "taesd_decoder.safetensors"};
    for (size_t i = 0; i < sizeof vaes / sizeof *vaes; i++) {
        tt_status status = load_with(folder.path, i >= 1 ? vaes[i] : NULL, i < 1 ? vaes[i] : NULL, &model);
        if (status != TT_OK)
            fail_msg("%s: %s", vaes[i], tt_context_message(context));
        tt_generate_params p;
        tt_model_info info;
        assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
        assert_int_equal(tt_model_get_info(model, &info), TT_OK);
        assert_int_equal(info.has_vae_encoder, i != 2);
        p.prompt = "x";
        p.width = p.height = 8 * info.vae_factor;
        p.n_steps = 2;
        if (tt_generate(model, &p, &image, NULL) != TT_OK)
            fail_msg("%s: %s", vaes[i], tt_context_message(context));
        if (i == 2) { /* a decoder alone cannot start from a picture */
            tt_image unused;
            p.init_image = &image;
            assert_int_equal(tt_generate(model, &p, &unused, NULL), TT_ERROR_UNSUPPORTED);
            assert_non_null(strstr(tt_context_message(context), "no encoder"));
        }
        tt_image_free(&image);
        tt_model_destroy(model);
    }
    assert_int_equal(load_with(folder.path, MODELS "taesd_encoder.safetensors", NULL, &model), TT_OK);
    assert_int_equal(generate(model, &image), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tt_context_message(context), "no decoder"));
    tt_model_destroy(model);
    assert_true(load_with(folder.path, NULL, MODELS "sd1/unet", &model) != TT_OK);
    assert_int_equal(load_with(folder.path, NULL, "/nonexistent/vae", &model), TT_ERROR_IO);
    assert_non_null(strstr(tt_context_message(context), "/nonexistent/vae"));
}

static void test_no_tokenizer(void **state)
{
    (void)state;
    int32_t *ids = NULL;
    size_t n = 0;
    tt_image image;
    model_copy_make(&folder, "sd1", "tokenizer/");
    model_copy_forget(&folder, "tokenizer");
    tt_model *model = load(folder.path);
    assert_int_equal(tt_tokenize(model, 1, "a cat", 0, &ids, &n), TT_ERROR_IO);
    assert_non_null(strstr(tt_context_message(context), "/nonexistent/vocabulary.gz"));
    assert_non_null(strstr(tt_context_message(context), "scripts/fetch-vocabulary.sh"));
    assert_int_equal(generate(model, &image), TT_ERROR_IO);
    assert_int_equal(tt_tokenize(model, 2, "a cat", 0, &ids, &n), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tt_context_message(context), "second text encoder"));
    assert_null(ids);
    tt_model_destroy(model);
    model = load(MODELS "sd1");
    assert_int_equal(tt_tokenize(model, 1, "a cat", 1, &ids, &n), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_tokenize(model, 1, "a cat", 77, &ids, &n), TT_OK);
    assert_int_equal(n, 77);
    assert_int_equal(ids[0], 1022);
    free(ids);
    assert_int_equal(tt_tokenize(model, 1, "a cat on a mat", 3, &ids, &n), TT_OK); /* cut, with its end */
    assert_int_equal(n, 3);
    assert_int_equal(ids[2], 1023);
    free(ids);
    tt_model_destroy(model);
}

static bool drop_prefix(const char *from, char *to, size_t n_bytes)
{
    const char prefix[] = "text_model.";
    snprintf(to, n_bytes, "%s", from + (strncmp(from, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0));
    return true;
}

/* transformers >= 5 saves CLIPTextModel without "text_model."; older versions add position ids. */
static void test_text_names(void **state)
{
    (void)state;
    static const char *const extra[] = {"embeddings.position_ids", NULL};
    model_copy_make(&folder, "sd1", "text_encoder/model.safetensors");
    model_copy_tensors(context, &folder, MODELS "sd1/text_encoder/model.safetensors", "text_encoder/model.safetensors",
                       drop_prefix, extra);
    same_picture(folder.path, MODELS "sd1");
}

static bool old_attention(const char *from, char *to, size_t n_bytes)
{
    static const char *const pairs[][2] = {
        {"to_q.", "query."}, {"to_k.", "key."}, {"to_v.", "value."}, {"to_out.0.", "proj_attn."}};
    for (size_t i = 0; i < 4; i++) {
        const char *at = strstr(from, pairs[i][0]);
        if (at)
            snprintf(to, n_bytes, "%.*s%s%s", (int)(at - from), from, pairs[i][1], at + strlen(pairs[i][0]));
    }
    return true;
}

static void test_old_vae_names(void **state)
{
    (void)state;
    static const char file[] = "vae/diffusion_pytorch_model.safetensors";
    model_copy_make(&folder, "sd1", file);
    model_copy_tensors(context, &folder, MODELS "sd1/vae/diffusion_pytorch_model.safetensors", file, old_attention,
                       NULL);
    same_picture(folder.path, MODELS "sd1");
}

/* ---- single files: tokenizer and configs come from a folder of the same stem, or a JSON file */

static void test_extra_tensors(void **state)
{
    (void)state;
    static const char *const extra[] = {"model_ema.num_updates", "loss.logvar", "lora_te_alpha",
                                        "cond_stage_model.transformer.embeddings.position_ids", NULL};
    tt_model_info before, after;
    tt_model *model = load(MODELS "sd1.safetensors");
    assert_int_equal(tt_model_get_info(model, &before), TT_OK);
    assert_true(before.n_ignored_tensors > 0);
    tt_model_destroy(model);
    model_copy_file(&folder, MODELS "sd1.json", "m.json");
    model_copy_tensors(context, &folder, MODELS "sd1.safetensors", "m.safetensors", NULL, extra);
    char path[TT_TEMP_PATH];
    model = load(temp_folder_path(&folder, "m.safetensors", path));
    assert_int_equal(tt_model_get_info(model, &after), TT_OK);
    assert_int_equal(after.n_ignored_tensors, before.n_ignored_tensors + 4);
    assert_string_equal(after.name, "m");
    tt_model_destroy(model);
}

static bool other_vae_prefix(const char *from, char *to, size_t n_bytes)
{
    const char prefix[] = "first_stage_model.";
    if (strncmp(from, prefix, sizeof prefix - 1) == 0)
        snprintf(to, n_bytes, "vae.%s", from + sizeof prefix - 1);
    return true;
}

static bool without_vae(const char *from, char *to, size_t n_bytes)
{
    (void)to, (void)n_bytes;
    return strncmp(from, "first_stage_model.", 18) != 0;
}

static bool unet_alone(const char *from, char *to, size_t n_bytes)
{
    (void)to, (void)n_bytes;
    return strncmp(from, "model.diffusion_model.", 22) == 0;
}

static bool short_text(const char *from, char *to, size_t n_bytes)
{
    const char prefix[] = "cond_stage_model.transformer.text_model.";
    if (strncmp(from, prefix, sizeof prefix - 1) == 0)
        snprintf(to, n_bytes, "cond_stage_model.transformer.%s", from + sizeof prefix - 1);
    return true;
}

static void test_checkpoint_variants(void **state)
{
    (void)state;
    static const struct {
        model_copy_rename rename;
        bool has_vae, has_text;
    } cases[] = {{other_vae_prefix, true, true},
                 {without_vae, false, true},
                 {unet_alone, false, false},
                 {short_text, true, true}};
    char path[TT_TEMP_PATH];
    tt_model_info whole;
    tt_model *original = load(MODELS "sd1.safetensors");
    assert_int_equal(tt_model_get_info(original, &whole), TT_OK);
    tt_model_destroy(original);
    model_copy_file(&folder, MODELS "sd1.json", "m.json");
    temp_folder_path(&folder, "m.safetensors", path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_model_info info;
        tt_image image;
        model_copy_tensors(context, &folder, MODELS "sd1.safetensors", "m.safetensors", cases[i].rename, NULL);
        tt_model *model = load(path);
        assert_int_equal(tt_model_get_info(model, &info), TT_OK);
        assert_int_equal(info.has_vae_encoder, cases[i].has_vae);
        assert_int_equal(info.n_ignored_tensors, cases[i].has_text ? whole.n_ignored_tensors : 0);
        tt_status status = generate(model, &image);
        assert_int_equal(status, cases[i].has_vae && cases[i].has_text ? TT_ERROR_IO : TT_ERROR_UNSUPPORTED);
        tt_model_destroy(model);
    }
}

static bool refiner(const char *from, char *to, size_t n_bytes)
{
    (void)to, (void)n_bytes;
    return strncmp(from, "conditioner.embedders.1.", 24) != 0;
}

static bool nothing_known(const char *from, char *to, size_t n_bytes)
{
    snprintf(to, n_bytes, "x.%s", from);
    return true;
}

static void test_refused_checkpoints(void **state)
{
    (void)state;
    char path[TT_TEMP_PATH];
    temp_folder_path(&folder, "m.safetensors", path);
    model_copy_tensors(context, &folder, MODELS "sdxl.safetensors", "m.safetensors", refiner, NULL);
    refuse(path, TT_ERROR_UNSUPPORTED, "refiner");
    model_copy_tensors(context, &folder, MODELS "sd1.safetensors", "m.safetensors", nothing_known, NULL);
    refuse(path, TT_ERROR_UNSUPPORTED, "neither a Stable Diffusion checkpoint");
    temp_folder_write_text(&folder, "m.json", "{broken");
    model_copy_tensors(context, &folder, MODELS "sd1.safetensors", "m.safetensors", NULL, NULL);
    refuse(path, TT_ERROR_FORMAT, "JSON");
    refuse("", TT_ERROR_ARGUMENT, "no model was named");
    refuse("/nonexistent/model", TT_ERROR_IO, "/nonexistent/model");
}

/* Widths that disagree between the parts must be refused when loading: later they would be buffers of wrong sizes. */
static void test_checkpoint_parts_fit(void **state)
{
    (void)state;
    char path[TT_TEMP_PATH];
    tt_arrays sd1 = {0}, mixed = {0}, other = {0};
    assert_int_equal(tt_arrays_read(context, MODELS "sd1.safetensors", &sd1), TT_OK);
    assert_int_equal(tt_arrays_read(context, MODELS "lcm/text_encoder/model.safetensors", &other), TT_OK);
    for (size_t i = 0; i < sd1.n_items; i++) {
        const tt_array *a = &sd1.items[i];
        if (strncmp(a->name, "cond_stage_model.", 17) != 0)
            assert_int_equal(tt_arrays_add(context, &mixed, a->name, a->type, a->n_dims, a->dims, a->data), TT_OK);
    }
    for (size_t i = 0; i < other.n_items; i++) {
        const tt_array *a = &other.items[i];
        char name[128];
        bool is_short = strncmp(a->name, "text_model.", 11) != 0;
        snprintf(name, sizeof name, "cond_stage_model.transformer.%s%s", is_short ? "text_model." : "", a->name);
        assert_int_equal(tt_arrays_add(context, &mixed, name, a->type, a->n_dims, a->dims, a->data), TT_OK);
    }
    assert_int_equal(tt_arrays_write(context, temp_folder_path(&folder, "m.safetensors", path), &mixed), TT_OK);
    refuse(path, TT_ERROR_FORMAT, "8 values a token, but the UNet takes 32");
    tt_arrays_free(&sd1);
    tt_arrays_free(&mixed);
    tt_arrays_free(&other);
}

static void test_folder_parts_fit(void **state)
{
    (void)state;
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "unet/config.json", "{\"cross_attention_dim\":64}");
    refuse(folder.path, TT_ERROR_FORMAT, "32 values a token, but the UNet takes 64");
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "vae/config.json", "{\"latent_channels\":8}");
    refuse(folder.path, TT_ERROR_FORMAT, "8 latent channels");
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "unet/config.json", "{\"in_channels\":5}");
    refuse(folder.path, TT_ERROR_FORMAT, "maps 5 to 4 channels");
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "model_index.json", "{\"_class_name\":\"StableDiffusion3Pipeline\"}");
    refuse(folder.path, TT_ERROR_UNSUPPORTED, "StableDiffusion3Pipeline");
    model_copy_change(&folder, "model_index.json", "{\"_class_name\":\"FluxPipeline\"}");
    refuse(folder.path, TT_ERROR_UNSUPPORTED, "FluxPipeline");
    model_copy_change(&folder, "model_index.json", "{\"_class_name\":7}");
    refuse(folder.path, TT_ERROR_FORMAT, "_class_name");
}

/* Sizes that the config promises and the tensors do not have are found when the weights are needed. */
static void test_config_against_tensors(void **state)
{
    (void)state;
    tt_image image;
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "text_encoder/config.json", "{\"intermediate_size\":64}");
    tt_model *model = load(folder.path);
    assert_int_equal(generate(model, &image), TT_ERROR_FORMAT);
    assert_non_null(strstr(tt_context_message(context), "mlp.fc1"));
    assert_non_null(strstr(tt_context_message(context), "[64, 32]"));
    tt_model_destroy(model);
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "unet/config.json", "{\"layers_per_block\":2}");
    model = load(folder.path);
    assert_int_equal(generate(model, &image), TT_ERROR_FORMAT);
    assert_non_null(strstr(tt_context_message(context), "unet"));
    assert_null(image.pixels);
    tt_model_destroy(model);
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "text_encoder/config.json", "{\"vocab_size\":500}");
    model = load(folder.path);
    assert_int_equal(generate(model, &image), TT_ERROR_FORMAT);
    assert_non_null(strstr(tt_context_message(context), "the text encoder embeds 500"));
    tt_model_destroy(model);
}

/* Components alone: a stage runs, a picture cannot be made. */
static void test_components(void **state)
{
    (void)state;
    static const char *const names[] = {"unet", "vae", "text_encoder"};
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        tt_image image;
        snprintf(path, sizeof path, MODELS "sd1/%s", names[i]);
        tt_model *model = load(path);
        tt_generate_params p;
        assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
        p.prompt = "x";
        assert_int_equal(tt_generate(model, &p, &image, NULL), TT_ERROR_UNSUPPORTED);
        assert_non_null(strstr(tt_context_message(context), "give a whole model"));
        tt_model_destroy(model);
    }
    model_copy_file(&folder, MODELS "sd1/unet/diffusion_pytorch_model.safetensors",
                    "diffusion_pytorch_model.safetensors");
    temp_folder_write_text(&folder, "config.json", "{\"_class_name\":\"FluxTransformer2DModel\"}");
    refuse(folder.path, TT_ERROR_UNSUPPORTED, "FluxTransformer2DModel");
    temp_folder_write_text(&folder, "config.json", "{\"_class_name\":null}");
    refuse(folder.path, TT_ERROR_UNSUPPORTED, "(none)");
}

/* A model that was never run holds nothing on the device: only one that did pins it. */
static void test_device_is_pinned(void **state)
{
    (void)state;
    tt_device_params params;
    tt_device_params_default(&params);
    tt_context *own = golden_context();
    tt_model_params wanted;
    tt_model *model = NULL;
    tt_image image;
    tt_model_params_default(&wanted);
    wanted.path = MODELS "sd1";
    assert_int_equal(tt_model_load(own, &wanted, &model), TT_OK);
    assert_int_equal(tt_context_open_device(own, &params), TT_OK);
    assert_int_equal(generate(model, &image), TT_OK);
    tt_image_free(&image);
    assert_int_equal(tt_context_open_device(own, &params), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(own), "destroy them first"));
    tt_model_destroy(model);
    assert_int_equal(tt_context_open_device(own, &params), TT_OK);
    tt_context_destroy(own);
    own = tt_context_create(); /* no device: a sentence, not a crash */
    assert_int_equal(tt_model_load(own, &wanted, &model), TT_OK);
    assert_int_equal(generate(model, &image), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(own), "no device is open"));
    tt_model_destroy(model);
    tt_model_destroy(NULL);
    tt_context_destroy(own);
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
        TEST(test_info),
        TEST(test_missing_parts),
        TEST(test_other_vae),
        TEST(test_no_tokenizer),
        TEST(test_text_names),
        TEST(test_old_vae_names),
        TEST(test_extra_tensors),
        TEST(test_checkpoint_variants),
        TEST(test_refused_checkpoints),
        TEST(test_checkpoint_parts_fit),
        TEST(test_folder_parts_fit),
        TEST(test_config_against_tensors),
        TEST(test_components),
        TEST(test_device_is_pinned),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
