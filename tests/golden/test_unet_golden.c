/* test_unet_golden.c - UNet passes of every family, size and timestep against independent goldens. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Folders and single-file checkpoints of the same weights. */
typedef struct unet_case {
    const char *golden, *model;
} unet_case;

static const unet_case cases[] = {
    {"sd1", "sd1"},         {"sd1", "sd1.safetensors"},
    {"sd2", "sd2"},         {"sd2", "sd2.safetensors"},
    {"bks", "bks"},         {"bkt", "bkt"},
    {"sdxl", "sdxl"},       {"sdxl", "sdxl.safetensors"},
    {"lcm", "lcm"},         {"lcm", "lcm.safetensors"},
    {"inpaint", "inpaint"}, {"inpaint", "inpaint.safetensors"},
};

/* Copies the optional conditions of a case, where the golden has them. */
static void copy_conditions(tt_context *context, const tt_arrays *golden, const char *size, tt_arrays *in)
{
    static const char *const names[] = {"text_embeds", "time_ids", "timestep_cond"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s.%s", size, names[i]);
        const tt_array *array = tt_arrays_find(golden, name);
        if (array)
            golden_copy(context, in, names[i], array);
    }
}

/* One golden output, named "HxW.tT.out". */
static void check_case(tt_context *context, tt_model *model, const tt_arrays *golden, const tt_array *want,
                       const char *label, double bar)
{
    char size[32], what[256];
    float timestep = 0.0f;
    uint64_t one = 1;
    assert_int_equal(sscanf(want->name, "%31[^.].t%f.out", size, &timestep), 2);
    tt_arrays in = {0}, out;
    golden_copy(context, &in, "sample", golden_array(golden, "%s.x", size));
    golden_copy(context, &in, "encoder_hidden_states", golden_array(golden, "%s.ctx", size));
    copy_conditions(context, golden, size, &in);
    assert_int_equal(tt_arrays_add(context, &in, "timestep", TT_ARRAY_F32, 1, &one, &timestep), TT_OK);
    tt_stage_params params;
    tt_stage_params_default(&params, TT_STAGE_UNET);
    golden_run(context, model, &params, &in, &out);
    snprintf(what, sizeof what, "%s %s", label, want->name);
    golden_check(what, golden_error(golden_array(&out, "sample"), want), bar);
    tt_arrays_free(&in);
    tt_arrays_free(&out);
}

static void check_model(tt_context *context, const golden_set *set, const unet_case *c, tt_precision precision)
{
    char file[64], label[64];
    tt_arrays golden;
    snprintf(file, sizeof file, "unet_%s_unet.safetensors", c->golden);
    if (!golden_read(context, set, file, &golden))
        return;
    tt_model *model = golden_model(context, set, c->model, precision);
    bool half = precision == TT_PRECISION_F16;
    snprintf(label, sizeof label, "%s %s %s", set->name, c->model, half ? "half" : "float");
    for (size_t i = 0; model && i < golden.n_items; i++)
        if (strstr(golden.items[i].name, ".out"))
            check_case(context, model, &golden, &golden.items[i], label, half ? set->half_bar : 5e-6);
    tt_model_destroy(model);
    tt_arrays_free(&golden);
}

/* Every traced block that the golden also has; names are diffusers' module names. */
static void check_trace(tt_context *context, const golden_set *set, tt_precision precision)
{
    tt_arrays golden, inputs, in = {0}, out;
    tt_stage_params params;
    float timestep = 500.0f;
    uint64_t one = 1;
    if (!golden_read(context, set, "trace_unet_sd1_unet.safetensors", &golden))
        return;
    assert_true(golden_read(context, set, "unet_sd1_unet.safetensors", &inputs));
    tt_model *model = golden_model(context, set, "sd1", precision);
    assert_non_null(model);
    tt_array x = *golden_array(&inputs, "8x8.x"), ctx = *golden_array(&inputs, "8x8.ctx");
    x.dims[0] = ctx.dims[0] = 1; /* the first image of the batch */
    golden_copy(context, &in, "sample", &x);
    golden_copy(context, &in, "encoder_hidden_states", &ctx);
    assert_int_equal(tt_arrays_add(context, &in, "timestep", TT_ARRAY_F32, 1, &one, &timestep), TT_OK);
    tt_stage_params_default(&params, TT_STAGE_UNET);
    params.trace = true;
    golden_run(context, model, &params, &in, &out);
    int n = 0;
    for (size_t i = 0; i < golden.n_items; i++) {
        const tt_array *got = tt_arrays_find(&out, golden.items[i].name);
        char what[256];
        if (!got)
            continue;
        snprintf(what, sizeof what, "%s trace %s", set->name, golden.items[i].name);
        golden_check(what, golden_error(got, &golden.items[i]), precision == TT_PRECISION_F16 ? set->half_bar : 5e-6);
        n++;
    }
    assert_true(n >= 5);
    tt_arrays_free(&out);
    tt_arrays_free(&in);
    tt_arrays_free(&inputs);
    tt_arrays_free(&golden);
    tt_model_destroy(model);
}

static void check_all(tt_precision precision)
{
    golden_set sets[GOLDEN_SETS];
    tt_context *context = golden_context();
    int n = golden_sets(sets);
    for (int s = 0; s < n; s++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_model(context, &sets[s], &cases[i], precision);
    for (int s = 0; s < n; s++)
        check_trace(context, &sets[s], precision);
    tt_context_destroy(context);
    golden_finish();
}

static void unets_match_in_float(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F32);
}

static void unets_match_in_half(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unets_match_in_float), cmocka_unit_test(unets_match_in_half)};
    return cmocka_run_group_tests_name("unet goldens", tests, NULL, NULL);
}
