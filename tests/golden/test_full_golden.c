/* test_full_golden.c - a checkpoint of Stable Diffusion 1.5's size against independent goldens: text encoder, UNet at
 * several timesteps and sizes, VAE decoder. The 2 GB file is synthetic; its path comes from $TT_FULL_MODEL. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    tt_context *context;
    tt_model *model;
    tt_arrays golden;
    double bar;
} fixture;

/* Opens model and goldens; false (after saying so) when either is absent. */
static bool open_fixture(fixture *f, const char *variable, tt_precision precision)
{
    golden_set set = {"oracle", "../shared/oracle/goldens", ".", 3e-3};
    const char *path = getenv(variable);
    memset(f, 0, sizeof *f);
    f->bar = precision == TT_PRECISION_F16 ? 3e-3 : 1e-5;
    if (!path || access(path, R_OK) != 0 || access(set.goldens, R_OK) != 0) {
        print_message("# the full-size model ($%s) or its goldens are absent\n", variable);
        return false;
    }
    f->context = golden_context();
    assert_true(golden_read(f->context, &set, "sd15_full.safetensors", &f->golden));
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = path;
    params.precision = precision;
    if (tt_model_load(f->context, &params, &f->model) != TT_OK)
        fail_msg("%s", tt_context_message(f->context));
    return true;
}

static void close_fixture(fixture *f)
{
    tt_model_destroy(f->model);
    tt_arrays_free(&f->golden);
    tt_context_destroy(f->context);
    golden_finish();
}

static void check_text(fixture *f)
{
    tt_arrays in = {0}, out;
    tt_stage_params params;
    golden_copy(f->context, &in, "input_ids", golden_array(&f->golden, "ids"));
    tt_stage_params_default(&params, TT_STAGE_TEXT);
    golden_run(f->context, f->model, &params, &in, &out);
    golden_check("te.last_hidden",
                 golden_error(golden_array(&out, "last_hidden_state"), golden_array(&f->golden, "te.last_hidden")),
                 f->bar);
    golden_check("te.pooled", golden_error(golden_array(&out, "pooled"), golden_array(&f->golden, "te.pooled")),
                 f->bar);
    tt_arrays_free(&in);
    tt_arrays_free(&out);
}

/* Row `index` of te.last_hidden is the context: 0 the prompt, 1 the empty one. */
static void check_unet(fixture *f, const char *x, int index, float timestep, const char *want)
{
    tt_arrays in = {0}, out;
    uint64_t one = 1, dims[3] = {1, 77, 768};
    tt_stage_params params;
    const float *context = golden_array(&f->golden, "te.last_hidden")->data;
    golden_copy(f->context, &in, "sample", golden_array(&f->golden, "%s", x));
    assert_int_equal(tt_arrays_add(f->context, &in, "encoder_hidden_states", TT_ARRAY_F32, 3, dims,
                                   context + (size_t)index * 77 * 768),
                     TT_OK);
    assert_int_equal(tt_arrays_add(f->context, &in, "timestep", TT_ARRAY_F32, 1, &one, &timestep), TT_OK);
    tt_stage_params_default(&params, TT_STAGE_UNET);
    golden_run(f->context, f->model, &params, &in, &out);
    golden_check(want, golden_error(golden_array(&out, "sample"), golden_array(&f->golden, "%s", want)), f->bar);
    tt_arrays_free(&in);
    tt_arrays_free(&out);
}

/* The goldens hold every fourth pixel and a crop of the 512 x 512 picture. */
static void check_part(fixture *f, const tt_array *image, const char *want, size_t first, size_t step)
{
    const tt_array *golden = golden_array(&f->golden, "%s", want);
    size_t n = (size_t)golden->dims[2], side = 512;
    tt_array part = *golden;
    float *values = malloc(3 * n * n * sizeof *values);
    assert_non_null(values);
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < n; y++)
            for (size_t x = 0; x < n; x++)
                values[(c * n + y) * n + x] =
                    ((const float *)image->data)[(c * side + first + y * step) * side + first + x * step];
    part.data = values;
    golden_check(want, golden_error(&part, golden), f->bar);
    free(values);
}

static void check_vae(fixture *f)
{
    tt_arrays in = {0}, out;
    tt_stage_params params;
    golden_copy(f->context, &in, "latent", golden_array(&f->golden, "vae.z"));
    tt_stage_params_default(&params, TT_STAGE_VAE_DECODE);
    golden_run(f->context, f->model, &params, &in, &out);
    const tt_array *image = golden_array(&out, "image");
    assert_int_equal(image->dims[2], 512);
    check_part(f, image, "vae.decoded_sub4", 0, 4);
    check_part(f, image, "vae.decoded_crop", 224, 1);
    tt_arrays_free(&in);
    tt_arrays_free(&out);
}

static void check_all(tt_precision precision)
{
    fixture f;
    if (!open_fixture(&f, "TT_FULL_MODEL", precision))
        skip();
    check_text(&f);
    check_unet(&f, "unet.x", 0, 999.0f, "unet.t999.out");
    check_unet(&f, "unet.x", 0, 1.0f, "unet.t1.out");
    check_unet(&f, "unet.x", 0, 500.0f, "unet.t500.out");
    check_unet(&f, "unet.x", 1, 500.0f, "unet.t500.uncond.out");
    check_unet(&f, "unet.x_40x56", 0, 261.0f, "unet.t261.out_40x56");
    check_vae(&f);
    close_fixture(&f);
}

static void full_size_matches_in_float(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F32);
}

static void full_size_matches_in_half(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F16);
}

/* A quantized copy of the same model against the goldens of the unrounded one: what eight bits may cost, and for fewer
 * bits what random weights, which are the worst case, cost at most. */
static void full_size_quantized_is_near(void **state)
{
    (void)state;
    fixture f;
    tt_model_info info;
    if (!open_fixture(&f, "TT_FULL_QUANTIZED", TT_PRECISION_F32))
        skip();
    assert_int_equal(tt_model_get_info(f.model, &info), TT_OK);
    f.bar = strcmp(info.weights, "Q8_0") == 0 ? 2e-2 : 0.4;
    print_message("# %s\n", info.weights);
    check_unet(&f, "unet.x", 0, 500.0f, "unet.t500.out");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_size_matches_in_float),
                                       cmocka_unit_test(full_size_matches_in_half),
                                       cmocka_unit_test(full_size_quantized_is_near)};
    return cmocka_run_group_tests_name("full-size goldens", tests, NULL, NULL);
}
