/* test_compare.c - tt_compare on tiny models: a model with itself, copies of which one part was changed, half storage,
 * models that do not go together, wrong requests, progress and cancelling. */
#include "tests/support/golden.h"
#include "tests/support/model-copy.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"
#define UNET "unet/diffusion_pytorch_model.safetensors"
#define VAE "vae/diffusion_pytorch_model.safetensors"
#define TEXT "text_encoder/model.safetensors"

enum { N_PROMPTS = 3 };

static const char *const prompts[N_PROMPTS] = {"a cat on a blue background", "a red apple", "two birds"};

/* A request for two models; everything else as small as it goes. */
typedef struct request {
    tt_model_params models[2];
    tt_compare_params params;
} request;

static request *make_request(request *r, const char *first, const char *second)
{
    const char *paths[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        tt_model_params_default(&r->models[i]);
        r->models[i].path = paths[i];
        r->models[i].precision = TT_PRECISION_F32;
    }
    tt_compare_params_default(&r->params);
    r->params.models = r->models;
    r->params.n_models = 2;
    r->params.prompts = prompts;
    r->params.n_prompts = N_PROMPTS;
    r->params.width = 48;
    r->params.height = 32;
    r->params.n_steps = 4;
    r->params.sampler = "euler";
    r->params.seed = 5;
    return r;
}

static tt_comparison *compare(const request *r)
{
    tt_comparison *comparison = NULL;
    if (tt_compare(context, &r->params, &comparison) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_non_null(comparison);
    return comparison;
}

static void expect_refusal(const request *r, tt_status status, const char *mention)
{
    tt_comparison *comparison = NULL;
    tt_status found = tt_compare(context, &r->params, &comparison);
    if (found != status || strstr(tt_context_message(context), mention) == NULL)
        fail_msg("expected %s with \"%s\", found %s: %s", tt_status_name(status), mention, tt_status_name(found),
                 tt_context_message(context));
    assert_null(comparison);
}

static bool is_endless(double value)
{
    return isinf(value) && value > 0;
}

/* ---- equal models */

static void check_equal(const tt_comparison *c, const tt_comparison_model *m)
{
    assert_int_equal(m->n_equal, c->n_prompts);
    assert_true(is_endless(m->psnr.mean) && is_endless(m->psnr.min) && is_endless(m->latent_psnr.min));
    assert_true(is_endless(m->vae_psnr));
    assert_true(fabs(m->ssim.min - 1) < 1e-9 && fabs(m->latent_ssim.min - 1) < 1e-9);
    assert_true(m->text.error == 0 && m->unet.error == 0 && m->vae.error == 0 && m->latent_error == 0);
    for (size_t i = 0; i < c->n_passes; i++)
        assert_true(m->pass_errors[i] == 0);
    for (size_t i = 0; i < c->n_layers * c->n_passes; i++)
        assert_true(m->layer_errors[i] == 0);
}

static void test_equal_models(void **state)
{
    (void)state;
    request r;
    tt_comparison *c = compare(make_request(&r, MODELS "sd1", MODELS "sd1/"));
    assert_int_equal(c->n_models, 2);
    assert_int_equal(c->n_prompts, N_PROMPTS);
    assert_int_equal(c->n_probed, 2);
    assert_int_equal(c->n_passes, 4);
    assert_true(c->n_layers > 10);
    assert_string_equal(c->models[1].file_name, "sd1");
    for (size_t i = 1; i < c->n_passes; i++)
        assert_true(c->timesteps[i] < c->timesteps[i - 1]);
    check_equal(c, &c->models[0]);
    check_equal(c, &c->models[1]);
    for (size_t i = 0; i < 2; i++) {
        const tt_comparison_model *m = &c->models[i];
        assert_true(m->picture_ms > 0 && m->pass_ms > 0 && m->decode_ms > 0 && m->first_picture_ms > 0);
        assert_true(m->device_peak_bytes > m->unet.bytes / 2);
        assert_true(m->file_bytes > m->text.bytes + m->unet.bytes + m->vae.bytes);
        assert_int_equal(m->n_unet_calls, 4);
    }
    tt_comparison_free(c);
}

/* Pictures are those that tt_generate makes with seed + index. */
static void test_pictures_are_generated_ones(void **state)
{
    (void)state;
    request r;
    tt_model *model = NULL;
    tt_generate_params p;
    tt_image image;
    tt_comparison *c = compare(make_request(&r, MODELS "sd1", MODELS "sd1"));
    assert_int_equal(tt_model_load(context, &r.models[0], &model), TT_OK);
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = prompts[2];
    p.width = 48;
    p.height = 32;
    p.n_steps = 4;
    p.sampler = "euler";
    p.seed = 5 + 2;
    assert_int_equal(tt_generate(model, &p, &image, NULL), TT_OK);
    for (int m = 0; m < 2; m++)
        assert_memory_equal(c->models[m].pictures[2].image.pixels, image.pixels, (size_t)48 * 32 * 3);
    tt_image_free(&image);
    tt_model_destroy(model);
    tt_comparison_free(c);
}

/* One prompt, one step, one pass: everything at its smallest. */
static void test_smallest(void **state)
{
    (void)state;
    request r;
    make_request(&r, MODELS "sd1", MODELS "sd1");
    r.params.n_prompts = 1;
    r.params.n_steps = 1;
    r.params.cfg_scale = 1.0f;
    tt_comparison *c = compare(&r);
    assert_int_equal(c->n_passes, 1); /* there is one UNet call only */
    assert_int_equal(c->n_probed, 1);
    check_equal(c, &c->models[1]);
    assert_true(c->models[0].pass_ms > 0 && c->models[0].picture_ms > 0);
    tt_comparison_free(c);
}

/* ---- one part changed: its error shows, those of the others stay 0 */

static float coarse(float value)
{
    return roundf(value * 64.0f) / 64.0f;
}

static tt_comparison *compare_changed(const char *part)
{
    request r;
    temp_folder folder;
    temp_folder_make(&folder);
    model_copy_make(&folder, "sd1", NULL);
    model_copy_values(&folder, part, coarse, false);
    tt_comparison *c = compare(make_request(&r, MODELS "sd1", folder.path));
    temp_folder_remove(&folder);
    return c;
}

static void check_differs(const tt_comparison_model *m)
{
    assert_int_equal(m->n_equal, 0);
    assert_true(isfinite(m->psnr.mean) && m->psnr.min <= m->psnr.mean);
    assert_true(m->ssim.min <= m->ssim.mean && m->ssim.mean < 1);
}

static void test_changed_unet(void **state)
{
    (void)state;
    tt_comparison *c = compare_changed(UNET);
    const tt_comparison_model *m = &c->models[1];
    check_differs(m);
    assert_true(m->text.error == 0 && m->vae.error == 0 && is_endless(m->vae_psnr));
    assert_true(m->unet.error > 1e-4 && m->unet.error < 1);
    assert_true(m->latent_error > 0 && isfinite(m->latent_psnr.mean) && m->latent_ssim.mean < 1);
    for (size_t i = 0; i < c->n_layers * c->n_passes; i++)
        assert_true(m->layer_errors[i] > 0 && m->layer_errors[i] < 10);
    tt_comparison_free(c);
}

static void test_changed_vae(void **state)
{
    (void)state;
    tt_comparison *c = compare_changed(VAE);
    const tt_comparison_model *m = &c->models[1];
    check_differs(m);
    assert_true(m->text.error == 0 && m->unet.error == 0 && m->latent_error == 0);
    assert_true(is_endless(m->latent_psnr.min) && m->vae.error > 1e-4 && isfinite(m->vae_psnr));
    tt_comparison_free(c);
}

static void test_changed_text(void **state)
{
    (void)state;
    tt_comparison *c = compare_changed(TEXT);
    const tt_comparison_model *m = &c->models[1];
    check_differs(m);
    assert_true(m->unet.error == 0 && m->vae.error == 0 && m->text.error > 1e-4 && m->latent_error > 0);
    tt_comparison_free(c);
}

/* ---- sizes */

static void test_half(void **state)
{
    (void)state;
    static const char *const parts[] = {UNET, VAE, TEXT};
    request r;
    temp_folder folder[2];
    for (int i = 0; i < 2; i++) {
        temp_folder_make(&folder[i]);
        model_copy_make(&folder[i], "sd1", NULL);
        for (int k = 0; k < 3; k++)
            model_copy_values(&folder[i], parts[k], NULL, i == 1);
    }
    make_request(&r, folder[0].path, folder[1].path);
    r.models[1].precision = TT_PRECISION_AUTO;
    tt_comparison *c = compare(&r);
    const tt_comparison_model *a = &c->models[0], *b = &c->models[1];
    assert_int_equal(b->info.precision, TT_PRECISION_F16);
    assert_true(fabs(a->bits_per_weight - 32) < 1e-9 && fabs(b->bits_per_weight - 16) < 1e-9);
    assert_true(fabs(b->unet.bits_per_weight - 16) < 1e-9 && a->unet.n_parameters == b->unet.n_parameters);
    assert_int_equal(a->unet.bytes, 2 * b->unet.bytes);
    assert_true(b->file_bytes < a->file_bytes && b->file_bytes > a->file_bytes / 2);
    assert_true(b->device_peak_bytes < a->device_peak_bytes * 3 / 4); /* its own peak, not the first model's */
    assert_true(b->unet.error > 0 && b->unet.error < 1e-2);
    tt_comparison_free(c);
    for (int i = 0; i < 2; i++)
        temp_folder_remove(&folder[i]);
}

/* ---- blocks that one side lacks */

static bool is_in_middle(const tt_comparison *c, size_t layer)
{
    return strncmp(c->layers[layer], "mid_block", strlen("mid_block")) == 0;
}

static void test_missing_blocks(void **state)
{
    (void)state;
    request r;
    temp_folder folder;
    size_t n_missing = 0;
    temp_folder_make(&folder);
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "unet/config.json", "{\"mid_block_type\": null}");
    tt_comparison *c = compare(make_request(&r, MODELS "sd1", folder.path));
    for (size_t i = 0; i < c->n_layers; i++) {
        double error = c->models[1].layer_errors[i * c->n_passes];
        assert_int_equal(isnan(error) != 0, is_in_middle(c, i));
        n_missing += is_in_middle(c, i);
    }
    assert_true(n_missing > 0 && c->models[1].unet.error > 0);
    tt_comparison_free(c);
    c = compare(make_request(&r, folder.path, MODELS "sd1")); /* more blocks than the reference: left out */
    for (size_t i = 0; i < c->n_layers; i++)
        assert_true(!is_in_middle(c, i) && c->models[1].layer_errors[i * c->n_passes] >= 0);
    tt_comparison_free(c);
    temp_folder_remove(&folder);
}

/* Two encoders, pooled embeddings and time ids. */
static void test_sdxl(void **state)
{
    (void)state;
    request r;
    make_request(&r, MODELS "sdxl", MODELS "sdxl");
    r.params.n_prompts = 2;
    r.params.width = r.params.height = 32;
    tt_comparison *c = compare(&r);
    check_equal(c, &c->models[1]);
    tt_comparison_free(c);
}

/* ---- refusals */

static void test_models_that_differ(void **state)
{
    (void)state;
    request r;
    expect_refusal(make_request(&r, MODELS "sd1", MODELS "bks"), TT_ERROR_UNSUPPORTED, "embeddings");
    expect_refusal(make_request(&r, MODELS "sd1", MODELS "sdxl"), TT_ERROR_UNSUPPORTED, "SDXL");
    expect_refusal(make_request(&r, MODELS "sd1", MODELS "sd2"), TT_ERROR_UNSUPPORTED, "family");
    expect_refusal(make_request(&r, MODELS "inpaint", MODELS "sd1"), TT_ERROR_UNSUPPORTED, "inpainting");
    expect_refusal(make_request(&r, MODELS "sd1", MODELS "components/taesd"), TT_ERROR_UNSUPPORTED, "lacks a UNet");
    expect_refusal(make_request(&r, MODELS "sd1", MODELS "nothing"), TT_ERROR_IO, "nothing");
}

static void test_other_prediction(void **state)
{
    (void)state;
    request r;
    temp_folder folder;
    temp_folder_make(&folder);
    model_copy_make(&folder, "sd1", NULL);
    model_copy_change(&folder, "scheduler/scheduler_config.json", "{\"prediction_type\": \"v_prediction\"}");
    expect_refusal(make_request(&r, MODELS "sd1", folder.path), TT_ERROR_UNSUPPORTED, "velocity");
    temp_folder_remove(&folder);
}

static void test_other_tokens(void **state)
{
    (void)state;
    request r;
    temp_folder folder;
    temp_folder_make(&folder);
    model_copy_make(&folder, "sd1", "tokenizer/merges.txt");
    temp_folder_write_text(&folder, "tokenizer/merges.txt", "#version: 0.2\n");
    expect_refusal(make_request(&r, MODELS "sd1", folder.path), TT_ERROR_UNSUPPORTED, "tokens");
    temp_folder_remove(&folder);
}

static void test_wrong_requests(void **state)
{
    (void)state;
    static const char *const holes[2] = {"a", NULL};
    request r;
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.n_models = 1;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "1 models");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.n_prompts = 0;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "prompts");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.prompts = holes;
    r.params.n_prompts = 2;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "prompt 2");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.seed = -1;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "seed");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.n_passes = 17;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "17 passes");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.n_probed = 0;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "passes of 0 prompts");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.width = 47;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "multiples");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.height = UINT32_MAX;
    expect_refusal(&r, TT_ERROR_ARGUMENT, "16384");
    make_request(&r, MODELS "sd1", MODELS "sd1")->params.sampler = "nobody";
    expect_refusal(&r, TT_ERROR_ARGUMENT, "nobody");
}

static void test_device_is_needed(void **state)
{
    (void)state;
    request r;
    tt_comparison *comparison = NULL;
    tt_context *bare = tt_context_create();
    make_request(&r, MODELS "sd1", MODELS "sd1");
    assert_int_equal(tt_compare(bare, &r.params, &comparison), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(bare), "no device"));
    assert_null(comparison);
    tt_context_destroy(bare);
}

/* ---- accuracies */

static void test_accuracy(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "[]", "{\"sd1\": 1}", "{\"sd1\": {\"all\": 2}}", "{\"sd1\": {\"all\": \"x\"}}", "{\"other\": {\"all\": 1}}",
        "{"};
    request r;
    temp_folder folder;
    temp_folder_make(&folder);
    model_copy_make(&folder, "sd1", NULL);
    make_request(&r, MODELS "sd1", folder.path);
    r.params.n_prompts = 1;
    r.params.n_steps = 1;
    r.params.accuracy = "{\"sd1\": {\"all\": 0.5, \"two objects\": 0}, \"another\": {\"all\": 1}}";
    tt_comparison *c = compare(&r);
    assert_int_equal(c->models[0].n_accuracies, 2);
    assert_string_equal(c->models[0].accuracies[0].group, "all");
    assert_true(c->models[0].accuracies[0].share == 0.5);
    assert_int_equal(c->models[1].n_accuracies, 0);
    tt_comparison_free(c);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        r.params.accuracy = wrong[i];
        expect_refusal(&r, i == 4 ? TT_ERROR_ARGUMENT : TT_ERROR_FORMAT, "accurac");
    }
    temp_folder_remove(&folder);
}

/* ---- progress */

typedef struct meter {
    double last;
    size_t n_calls, stop_at; /* 0: never */
} meter;

static bool on_progress(void *user, const tt_compare_progress *p)
{
    meter *m = user;
    assert_true(p->fraction >= m->last - 1e-9 && p->fraction <= 1 + 1e-9);
    assert_true(p->model < p->n_models && p->prompt <= p->n_prompts && p->step <= p->n_steps);
    m->last = p->fraction;
    return ++m->n_calls != m->stop_at;
}

static void test_progress_and_cancel(void **state)
{
    (void)state;
    request r;
    meter whole = {0};
    make_request(&r, MODELS "sd1", MODELS "sd1");
    r.params.n_prompts = 2;
    r.params.n_steps = 2;
    r.params.progress = on_progress;
    r.params.progress_user = &whole;
    tt_comparison_free(compare(&r));
    assert_true(fabs(whole.last - 1) < 1e-9);
    for (size_t stop = 1; stop <= whole.n_calls; stop += 5) {
        meter cut = {.stop_at = stop};
        r.params.progress_user = &cut;
        expect_refusal(&r, TT_ERROR_CANCELLED, "cancelled");
        assert_int_equal(cut.n_calls, stop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_models),
        cmocka_unit_test(test_pictures_are_generated_ones),
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_changed_unet),
        cmocka_unit_test(test_changed_vae),
        cmocka_unit_test(test_changed_text),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_missing_blocks),
        cmocka_unit_test(test_sdxl),
        cmocka_unit_test(test_models_that_differ),
        cmocka_unit_test(test_other_prediction),
        cmocka_unit_test(test_other_tokens),
        cmocka_unit_test(test_wrong_requests),
        cmocka_unit_test(test_device_is_needed),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_progress_and_cancel),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
