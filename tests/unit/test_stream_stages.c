/* test_stream_stages.c - text encoder, UNet and VAE give the same bits whether their weights stay on the device or pass
 * through it, and may change from one to the other between requests. */
#include "pipeline/model.h"
#include "quantize/encode.h"
#include "tests/support/gguf-copy.h"
#include "tests/support/golden.h"
#include "tests/support/shared-context.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tt_error err;

static void ok(tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", err.text);
}

static tt_model *load(const char *name, tt_precision precision)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, precision);
    assert_non_null(model);
    return model;
}

/* Limits that every stage is run with: all stays (twice, so that the way back is tested too), nothing, some. */
typedef struct limit {
    uint64_t resident_bytes;
    uint32_t n_slots;
} limit;
enum { N_LIMITS = 5 };

static limit limit_at(int index, uint64_t all)
{
    const limit limits[N_LIMITS] = {{UINT64_MAX, 2}, {0, 2}, {all / 3, 3}, {UINT64_MAX, 2}, {all / 2, 2}};
    return limits[index];
}

static float *waves(size_t n, float step)
{
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = sinf((float)i * step);
    return values;
}

/* ---- UNet */

enum { SIDE = 8, N_TOKENS = 5, N_LATENT = 2 * 4 * SIDE * SIDE };

static void run_unet(tt_unet *unet, const tt_unet_config *config, float *out)
{
    static const double first[2] = {981, 981}, second[2] = {41, 41};
    tt_unet_shape shape = {.batch = 2, .height = SIDE, .width = SIDE, .n_tokens = N_TOKENS};
    float *text = waves((size_t)2 * N_TOKENS * config->cross_attention_dim, 0.7f), *sample = waves(N_LATENT, 1.3f);
    ok(tt_unet_prepare(unet, &shape, &err));
    ok(tt_unet_set_condition(unet, &(tt_unet_condition){.context = text}, &err));
    ok(tt_unet_run(unet, sample, first, out, &err));
    ok(tt_unet_run(unet, out, second, out + N_LATENT, &err));
    free(text);
    free(sample);
}

/* Takes the model over. */
static void check_unet(tt_model *model)
{
    float want[2 * N_LATENT], got[2 * N_LATENT];
    ok(tt_model_need_unet(model, &err));
    run_unet(model->unet, &model->unet_config, want);
    uint64_t all = tt_unet_weight_bytes(model->unet);
    for (int i = 0; i < N_LIMITS; i++) {
        limit l = limit_at(i, all);
        tt_unet_set_weight_limit(model->unet, l.resident_bytes, l.n_slots);
        run_unet(model->unet, &model->unet_config, got);
        assert_memory_equal(got, want, sizeof got);
        uint64_t bytes = tt_unet_weight_bytes(model->unet);
        assert_true(l.resident_bytes == UINT64_MAX ? bytes == all : bytes < all);
    }
    tt_unet_release_device(model->unet);
    assert_int_equal(tt_unet_weight_bytes(model->unet), 0);
    run_unet(model->unet, &model->unet_config, got); /* the limit stays */
    assert_true(tt_unet_weight_bytes(model->unet) < all);
    assert_memory_equal(got, want, sizeof got);
    tt_model_destroy(model);
}

static void test_unet(void **state)
{
    (void)state;
    check_unet(load("sd1", TT_PRECISION_F32));
    check_unet(load("sd1", TT_PRECISION_F16));
}

/* Encoded tensors, until the copy is written. */
static uint8_t *encoded[1024];
static size_t n_encoded;

/* gguf_copy_change: matrices whose rows are whole blocks become Q8_0; convolutions become rows. */
static bool to_q8(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    (void)name;
    if (part > 0)
        return false;
    uint64_t row = 1;
    for (uint32_t i = 1; i < tensor->n_dims; i++)
        row *= tensor->dims[i];
    if (tensor->n_dims < 2 || row % 32 != 0)
        return true;
    size_t n = (size_t)(tensor->dims[0] * row);
    float *values = malloc(n * sizeof *values);
    uint8_t *blocks = malloc((size_t)tt_dtype_bytes(TT_Q8_0, n));
    assert_true(n_encoded < sizeof encoded / sizeof *encoded);
    assert_non_null(values);
    assert_non_null(blocks);
    tt_to_float(tensor->dtype, tensor->data, values, n);
    tt_encode_blocks(TT_Q8_0, TT_FIT_PLAIN, values, NULL, n, blocks);
    free(values);
    encoded[n_encoded++] = blocks;
    tensor->dtype = TT_Q8_0;
    tensor->n_dims = 2;
    tensor->dims[1] = row;
    tensor->data = blocks;
    tensor->n_bytes = (size_t)tt_dtype_bytes(TT_Q8_0, n);
    return true;
}

static void test_quantized_unet(void **state)
{
    (void)state;
    char path[TT_TEMP_PATH];
    temp_folder folder;
    tt_model *model = NULL;
    tt_model_params params;
    temp_folder_make(&folder);
    gguf_copy("tests/golden/data/models/sd1.safetensors", temp_folder_path(&folder, "q8.gguf", path), to_q8, false,
              NULL);
    while (n_encoded > 0)
        free(encoded[--n_encoded]);
    tt_model_params_default(&params);
    params.path = path;
    if (tt_model_load(context, &params, &model) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    check_unet(model);
    temp_folder_remove(&folder);
}

/* What a plan says with a limit is what the UNet then holds. */
static void test_unet_forecast(void **state)
{
    (void)state;
    tt_model *model = load("sd1", TT_PRECISION_F32);
    ok(tt_model_need_unet(model, &err));
    float out[2 * N_LATENT];
    run_unet(model->unet, &model->unet_config, out);
    uint64_t all = tt_unet_weight_bytes(model->unet);
    tt_kernels kernels = {.storage = TT_STORAGE_F32};
    tt_unet_shape shape = {.batch = 2, .height = SIDE, .width = SIDE, .n_tokens = N_TOKENS};
    tt_weight_store *plan = NULL;
    tt_graph_forecast forecast;
    ok(tt_unet_forecast(&kernels, &model->unet_config, model->unet_weights, &shape, &plan, &forecast, &err));
    assert_int_equal(tt_weight_store_sizes(plan).resident_bytes, all);
    for (uint64_t part = 0; part < 4; part++) {
        tt_weight_store_set_limit(plan, all * part / 4, 2);
        tt_unet_set_weight_limit(model->unet, all * part / 4, 2);
        run_unet(model->unet, &model->unet_config, out);
        assert_int_equal(tt_weight_store_sizes(plan).resident_bytes, tt_unet_weight_bytes(model->unet));
        assert_int_equal(forecast.arena_bytes, tt_unet_arena_bytes(model->unet));
    }
    tt_weight_store_destroy(plan);
    tt_model_destroy(model);
}

/* ---- VAE */

static void run_vae(tt_vae *vae, uint32_t factor, float *image, float *mean)
{
    float *latent = waves((size_t)4 * SIDE * SIDE, 0.9f);
    ok(tt_vae_decode(vae, latent, 1, SIDE, SIDE, image, NULL, NULL, &err));
    ok(tt_vae_encode(vae, image, 1, SIDE * factor, SIDE * factor, mean, NULL, &err));
    free(latent);
}

static void test_vae(void **state)
{
    (void)state;
    tt_model *model = load("sd1", TT_PRECISION_F32);
    ok(tt_model_need_vae(model, &err));
    uint32_t factor = model->vae_config.factor;
    size_t n_pixels = (size_t)3 * SIDE * SIDE * factor * factor, n_latent = (size_t)4 * SIDE * SIDE;
    float *want = calloc(2 * (n_pixels + n_latent), sizeof *want), *got = want + n_pixels + n_latent;
    assert_non_null(want);
    run_vae(model->vae, factor, want, want + n_pixels);
    uint64_t all = tt_vae_weight_bytes(model->vae);
    for (int i = 0; i < N_LIMITS; i++) {
        limit l = limit_at(i, all / 2); /* for each half */
        tt_vae_set_weight_limit(model->vae, l.resident_bytes, l.n_slots);
        run_vae(model->vae, factor, got, got + n_pixels);
        assert_memory_equal(got, want, (n_pixels + n_latent) * sizeof *want);
        uint64_t bytes = tt_vae_weight_bytes(model->vae);
        assert_true(l.resident_bytes == UINT64_MAX ? bytes == all : bytes < all);
    }
    free(want);
    tt_model_destroy(model);
}

/* ---- text encoder */

static void test_text_encoder(void **state)
{
    (void)state;
    enum { N = 77 };
    tt_model *model = load("sd1", TT_PRECISION_F32);
    ok(tt_model_need_text(model, 0, &err));
    tt_clip *clip = model->text[0].clip;
    const tt_clip_config *config = &model->text[0].config;
    int32_t ids[2 * N];
    for (uint32_t i = 0; i < 2 * N; i++)
        ids[i] = (int32_t)(i * 7 % config->n_vocabulary);
    size_t n = (size_t)2 * N * config->hidden;
    float *want = calloc(2 * n, sizeof *want), *got = want + n;
    assert_non_null(want);
    ok(tt_clip_encode(clip, ids, 2, N, 1, &(tt_clip_output){.last_hidden = want}, &err));
    uint64_t all = tt_clip_weight_bytes(clip);
    for (int i = 0; i < N_LIMITS; i++) {
        limit l = limit_at(i, i == 2 ? 30000 : all / 8);
        tt_clip_set_weight_limit(clip, l.resident_bytes, l.n_slots);
        ok(tt_clip_encode(clip, ids, 2, N, 1, &(tt_clip_output){.last_hidden = got}, &err));
        assert_memory_equal(got, want, n * sizeof *want);
        uint64_t bytes = tt_clip_weight_bytes(clip);
        assert_true(l.resident_bytes == UINT64_MAX ? bytes == all : bytes < all);
    }
    free(want);
    tt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet), cmocka_unit_test(test_quantized_unet), cmocka_unit_test(test_unet_forecast),
        cmocka_unit_test(test_vae),  cmocka_unit_test(test_text_encoder),
    };
    return cmocka_run_group_tests_name("streamed stages", tests, shared_context_open, shared_context_close);
}
