/* test_unet_savers.c - UNets that take the deep part from an earlier pass, and that look at fewer keys. (What both
 * compute is compared with diffusers by golden.pipeline_golden.) */
#include "pipeline/model.h"
#include "tests/support/golden.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

enum { BATCH = 2, HEIGHT = 9, WIDTH = 12, N_TOKENS = 5, N_OUT = BATCH * 4 * HEIGHT * WIDTH, MAX_CONTEXT = 2 * 5 * 64 };

static tt_error err;
static float context_values[MAX_CONTEXT], samples[2][N_OUT];
static const double timesteps[2][BATCH] = {{981, 981}, {41, 41}};

static void ok(tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", err.text);
}

static tt_model *load(tt_precision precision)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, "sd1", precision);
    assert_non_null(model);
    ok(tt_model_need_unet(model, &err));
    assert_true(model->unet_config.cross_attention_dim <= 64 && model->unet_config.in_channels == 4);
    for (int i = 0; i < MAX_CONTEXT; i++)
        context_values[i] = sinf((float)i * 0.7f);
    for (int i = 0; i < N_OUT; i++) {
        samples[0][i] = cosf((float)i * 1.3f);
        samples[1][i] = 0.5f * cosf((float)i * 0.9f);
    }
    return model;
}

static void prepare(tt_unet *unet, uint32_t depth, uint32_t kv_downsample)
{
    const tt_unet_shape shape = {.batch = BATCH,
                                 .height = HEIGHT,
                                 .width = WIDTH,
                                 .n_tokens = N_TOKENS,
                                 .reuse_depth = depth,
                                 .kv_downsample = kv_downsample};
    ok(tt_unet_prepare(unet, &shape, &err));
    ok(tt_unet_set_condition(unet, &(tt_unet_condition){.context = context_values}, &err));
}

static void pass(tt_unet *unet, int step, bool reuses, float *out)
{
    ok(reuses ? tt_unet_run_reusing(unet, samples[step], timesteps[step], out, &err)
              : tt_unet_run(unet, samples[step], timesteps[step], out, &err));
}

/* At every depth: whole passes are those of a UNet that keeps nothing, a pass that reuses its own step's feature is the
 * whole pass, bit by bit; with another step's it differs, and is the same again later. */
static void check_depths(tt_model *model)
{
    float plain[2][N_OUT], out[N_OUT], mixed[N_OUT];
    prepare(model->unet, 0, 0);
    size_t arena = tt_unet_arena_bytes(model->unet), launches = tt_unet_launches(model->unet);
    pass(model->unet, 0, false, plain[0]);
    pass(model->unet, 1, false, plain[1]);
    assert_int_equal(tt_unet_run_reusing(model->unet, samples[0], timesteps[0], out, &err), TT_ERROR_INTERNAL);
    for (uint32_t depth = 1; depth <= tt_unet_n_up(&model->unet_config); depth++) {
        prepare(model->unet, depth, 0);
        assert_true(tt_unet_arena_bytes(model->unet) >= arena && tt_unet_launches(model->unet) == launches);
        assert_int_equal(tt_unet_run_reusing(model->unet, samples[0], timesteps[0], out, &err), TT_ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "whole run"));
        pass(model->unet, 0, false, out);
        assert_memory_equal(out, plain[0], sizeof out);
        pass(model->unet, 0, true, out);
        assert_memory_equal(out, plain[0], sizeof out);
        pass(model->unet, 1, true, mixed);
        assert_memory_not_equal(mixed, plain[1], sizeof mixed);
        assert_memory_not_equal(mixed, plain[0], sizeof mixed);
        pass(model->unet, 0, true, out);
        assert_memory_equal(out, plain[0], sizeof out);
        pass(model->unet, 1, true, out);
        assert_memory_equal(out, mixed, sizeof out);
        pass(model->unet, 1, false, out);
        assert_memory_equal(out, plain[1], sizeof out);
        pass(model->unet, 1, true, out);
        assert_memory_equal(out, plain[1], sizeof out);
    }
}

static void test_depths(void **state)
{
    (void)state;
    static const tt_precision forms[] = {TT_PRECISION_F32, TT_PRECISION_F16, TT_PRECISION_HALF, TT_PRECISION_INT8};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        tt_model *model = load(forms[i]);
        check_depths(model);
        tt_unet_set_weight_limit(model->unet, 0, 2); /* all matrices pass through */
        check_depths(model);
        tt_model_destroy(model);
    }
}

static void test_depth_out_of_range(void **state)
{
    (void)state;
    tt_model *model = load(TT_PRECISION_F32);
    tt_unet_shape shape = {.batch = 1, .height = 4, .width = 4, .n_tokens = 3};
    shape.reuse_depth = tt_unet_n_up(&model->unet_config) + 1;
    assert_int_equal(tt_unet_prepare(model->unet, &shape, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "reuse depth"));
    tt_model_destroy(model);
}

/* Every further resolution changes the output until all have fewer keys; weights are the same ones. */
static void test_fewer_keys(void **state)
{
    (void)state;
    tt_model *model = load(TT_PRECISION_F32);
    float out[6][N_OUT];
    uint64_t n_bytes = 0;
    uint32_t n_levels = 0;
    for (uint32_t i = 0; i < model->unet_config.n_blocks; i++)
        n_levels += model->unet_config.down_attention[i] || i + 1 == model->unet_config.n_blocks;
    for (uint32_t n = 0; n < 6; n++) {
        prepare(model->unet, 0, n);
        pass(model->unet, 0, false, out[n]);
        n_bytes = n ? n_bytes : tt_unet_weight_bytes(model->unet);
        assert_int_equal(tt_unet_weight_bytes(model->unet), n_bytes);
        assert_int_equal(n > 0 && memcmp(out[n], out[n - 1], sizeof out[n]) == 0, n > n_levels);
    }
    tt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depths),
        cmocka_unit_test(test_depth_out_of_range),
        cmocka_unit_test(test_fewer_keys),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
