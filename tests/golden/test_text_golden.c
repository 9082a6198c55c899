/* test_text_golden.c - text encoders against independent goldens: all layers' outputs that pipelines use. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

typedef struct encoder_case {
    const char *golden, *model;
    uint32_t encoder;
} encoder_case;

static const encoder_case cases[] = {
    {"sd1_te", "sd1", 1},    {"sd1full_te", "sd1full", 1}, {"sd2_te", "sd2", 1},
    {"sdxl_te1", "sdxl", 1}, {"sdxl_te2", "sdxl", 2},      {"tiny_te", "bks", 1},
};

typedef struct output_name {
    const char *golden, *ours;
} output_name;

static const output_name outputs[] = {{"last_hidden", "last_hidden_state"},
                                      {"penultimate", "penultimate"},
                                      {"clip_skip2", "clip_skip_2"},
                                      {"pooled", "pooled"},
                                      {"text_embeds", "text_embeds"}};

static void check_encoder(tt_context *context, const golden_set *set, const tt_arrays *golden, const encoder_case *c,
                          tt_precision precision)
{
    char name[128];
    bool half = precision == TT_PRECISION_F16;
    snprintf(name, sizeof name, "%s.ids", c->golden);
    const tt_array *ids = tt_arrays_find(golden, name);
    tt_model *model = ids ? golden_model(context, set, c->model, precision) : NULL;
    if (!model)
        return;
    tt_arrays in = {0}, out;
    golden_copy(context, &in, "input_ids", ids);
    tt_stage_params params;
    tt_stage_params_default(&params, TT_STAGE_TEXT);
    params.encoder = c->encoder;
    golden_run(context, model, &params, &in, &out);
    int n_checked = 0;
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        snprintf(name, sizeof name, "%s.%s", c->golden, outputs[i].golden);
        const tt_array *want = tt_arrays_find(golden, name);
        if (!want)
            continue;
        char what[192];
        snprintf(what, sizeof what, "%s %s %s", set->name, half ? "half" : "float", name);
        golden_check(what, golden_error(golden_array(&out, "%s", outputs[i].ours), want), half ? 3e-3 : 5e-6);
        n_checked++;
    }
    assert_int_equal(n_checked, 4);
    tt_arrays_free(&in);
    tt_arrays_free(&out);
    tt_model_destroy(model);
}

static void check_all(tt_precision precision)
{
    golden_set sets[GOLDEN_SETS];
    tt_context *context = golden_context();
    int n = golden_sets(sets);
    for (int s = 0; s < n; s++) {
        tt_arrays golden;
        assert_true(golden_read(context, &sets[s], "text.safetensors", &golden));
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_encoder(context, &sets[s], &golden, &cases[i], precision);
        tt_arrays_free(&golden);
    }
    tt_context_destroy(context);
    golden_finish();
}

static void text_encoders_match_in_float(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F32);
}

static void text_encoders_match_in_half(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_encoders_match_in_float),
                                       cmocka_unit_test(text_encoders_match_in_half)};
    return cmocka_run_group_tests_name("text encoder goldens", tests, NULL, NULL);
}
