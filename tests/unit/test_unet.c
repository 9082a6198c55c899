/* test_unet.c - the UNet object: shapes, order of calls, conditions that are needed or may be left out. */
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

static tt_error err;

static tt_model *load(const char *name)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, TT_PRECISION_F32);
    assert_non_null(model);
    if (tt_model_need_unet(model, &err) != TT_OK)
        fail_msg("%s", err.text);
    return model;
}

static void expect(tt_status got, tt_status want, const char *mention)
{
    if (got != want || !strstr(err.text, mention))
        fail_msg("status %d, wanted %d with \"%s\": %s", (int)got, (int)want, mention, err.text);
}

enum { SIDE = 4, MAX_CONTEXT = 2 * 3 * 64, MAX_SAMPLE = 2 * 9 * SIDE * SIDE };
static float context_values[MAX_CONTEXT], sample[MAX_SAMPLE];
static const double timesteps[2] = {500, 20};

static void fill(void)
{
    for (int i = 0; i < MAX_CONTEXT; i++)
        context_values[i] = sinf((float)i);
    for (int i = 0; i < MAX_SAMPLE; i++)
        sample[i] = cosf((float)i * 1.3f);
}

static void run(tt_unet *unet, const tt_unet_shape *shape, const tt_unet_condition *condition, float *out)
{
    if (tt_unet_prepare(unet, shape, &err) != TT_OK || tt_unet_set_condition(unet, condition, &err) != TT_OK ||
        tt_unet_run(unet, sample, timesteps, out, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void test_order_of_calls(void **state)
{
    (void)state;
    tt_model *model = load("sd1");
    tt_unet_condition condition = {.context = context_values};
    tt_unet_shape shape = {.batch = 1, .height = SIDE, .width = SIDE, .n_tokens = 3}, larger = shape;
    float first[4 * SIDE * SIDE], second[4 * SIDE * SIDE], wide[8 * SIDE * SIDE];
    fill();
    expect(tt_unet_set_condition(model->unet, &condition, &err), TT_ERROR_INTERNAL, "not prepared");
    expect(tt_unet_run(model->unet, sample, timesteps, first, &err), TT_ERROR_INTERNAL, "not prepared");
    assert_int_equal(tt_unet_arena_bytes(model->unet), 0);
    assert_int_equal(tt_unet_launches(model->unet), 0);
    assert_int_equal(tt_unet_weight_bytes(model->unet), 0);
    run(model->unet, &shape, &condition, first);
    uint64_t n_bytes = tt_unet_weight_bytes(model->unet);
    size_t arena = tt_unet_arena_bytes(model->unet);
    assert_true(n_bytes > 0 && arena > 0 && tt_unet_launches(model->unet) > 10);
    /* Another shape takes another arena and the same weights; the first shape's result comes back. */
    larger.width = 2 * SIDE;
    assert_int_equal(tt_unet_prepare(model->unet, &larger, &err), TT_OK);
    assert_true(tt_unet_arena_bytes(model->unet) > arena);
    assert_int_equal(tt_unet_weight_bytes(model->unet), n_bytes);
    tt_unet_release_graph(model->unet);
    assert_int_equal(tt_unet_arena_bytes(model->unet), 0);
    run(model->unet, &shape, &condition, second);
    assert_memory_equal(first, second, sizeof first);
    /* A batch of two equal images at its own timesteps: the first is what it is alone. */
    memcpy(sample + 4 * SIDE * SIDE, sample, 4 * SIDE * SIDE * sizeof *sample);
    memcpy(context_values + 3 * 32, context_values, 3 * 32 * sizeof *context_values);
    shape.batch = 2;
    run(model->unet, &shape, &condition, wide);
    for (int i = 0; i < 4 * SIDE * SIDE; i++)
        assert_true(fabsf(wide[i] - first[i]) < 1e-4f);
    assert_memory_not_equal(wide, wide + 4 * SIDE * SIDE, sizeof first); /* other timestep */
    tt_model_destroy(model);
    tt_unet_destroy(NULL);
}

static void test_shapes(void **state)
{
    (void)state;
    static const tt_unet_shape bad[] = {
        {.batch = 0, .height = 4, .width = 4, .n_tokens = 3}, {.batch = 65, .height = 4, .width = 4, .n_tokens = 3},
        {.batch = 1, .height = 0, .width = 4, .n_tokens = 3}, {.batch = 1, .height = 2049, .width = 4, .n_tokens = 3},
        {.batch = 1, .height = 4, .width = 0, .n_tokens = 3}, {.batch = 1, .height = 4, .width = 2049, .n_tokens = 3},
        {.batch = 1, .height = 4, .width = 4, .n_tokens = 0}, {.batch = 1, .height = 4, .width = 4, .n_tokens = 4929}};
    tt_model *model = load("sd1");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(tt_unet_prepare(model->unet, &bad[i], &err), TT_ERROR_ARGUMENT, "out of range");
    tt_unet_shape smallest = {.batch = 1, .height = 1, .width = 1, .n_tokens = 1};
    tt_unet_condition condition = {.context = context_values};
    float out[4];
    fill();
    run(model->unet, &smallest, &condition, out);
    for (int i = 0; i < 4; i++)
        assert_true(isfinite(out[i]));
    tt_model_destroy(model);
}

/* SDXL cannot go without its added embedding; LCM's guidance embedding is zeros when it is left out. */
static void test_conditions(void **state)
{
    (void)state;
    tt_unet_shape shape = {.batch = 1, .height = SIDE, .width = SIDE, .n_tokens = 3};
    tt_unet_condition condition = {.context = context_values};
    float out[4 * SIDE * SIDE], other[4 * SIDE * SIDE], pooled[12] = {1, 2, 3}, ids[6] = {64, 64, 0, 0, 64, 64},
                                                        zeros[16] = {0}, guidance[16] = {1, -1, 0.5f};
    fill();
    tt_model *model = load("sdxl");
    assert_int_equal(tt_unet_prepare(model->unet, &shape, &err), TT_OK);
    expect(tt_unet_set_condition(model->unet, &condition, &err), TT_ERROR_ARGUMENT, "text_embeds and time_ids");
    condition.text_embeds = pooled;
    expect(tt_unet_set_condition(model->unet, &condition, &err), TT_ERROR_ARGUMENT, "text_embeds and time_ids");
    condition.time_ids = ids;
    run(model->unet, &shape, &condition, out);
    ids[0] = 32;
    run(model->unet, &shape, &condition, other);
    assert_memory_not_equal(out, other, sizeof out);
    tt_model_destroy(model);
    model = load("lcm");
    condition = (tt_unet_condition){.context = context_values};
    run(model->unet, &shape, &condition, out);
    condition.timestep_cond = zeros;
    run(model->unet, &shape, &condition, other);
    assert_memory_equal(out, other, sizeof out);
    condition.timestep_cond = guidance;
    run(model->unet, &shape, &condition, other);
    assert_memory_not_equal(out, other, sizeof out);
    tt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_of_calls), cmocka_unit_test(test_shapes),
                                       cmocka_unit_test(test_conditions)};
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
