/* test_unet_removed.c - UNets without some of their blocks and heads equal whole ones in which these do nothing; what a
 * config says of them is read, written and refused. */
#include "pipeline/config-write.h"
#include "tests/support/config-text.h"
#include "tests/support/golden.h"
#include "tests/support/model-copy.h"
#include "tests/support/shared-context.h"
#include "unet/unet-removed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"

static void ok(tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", tt_context_message(context));
}

/* ---- passes */

static void add_input(tt_arrays *in, const char *name, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t dims[4] = {a, b, c, d};
    size_t n = (size_t)(a * b * (n_dims > 2 ? c : 1) * (n_dims > 3 ? d : 1));
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = sinf((float)i * 1.7f + (float)n);
    ok(tt_arrays_add(context, in, name, TT_ARRAY_F32, n_dims, dims, values));
    free(values);
}

/* A pass of the component in a folder on made-up inputs. */
static void run_pass(const char *folder, uint32_t width, bool is_xl, tt_arrays *out)
{
    static const float timestep = 321.0f;
    const uint64_t one[1] = {1};
    tt_model_params params;
    tt_stage_params stage;
    tt_model *model = NULL;
    tt_arrays in = {0};
    tt_model_params_default(&params);
    params.path = folder;
    params.precision = TT_PRECISION_F32;
    ok(tt_model_load(context, &params, &model));
    add_input(&in, "sample", 4, 2, 4, 6, 5);
    add_input(&in, "encoder_hidden_states", 3, 2, 7, width, 0);
    ok(tt_arrays_add(context, &in, "timestep", TT_ARRAY_F32, 1, one, &timestep));
    if (is_xl) {
        add_input(&in, "text_embeds", 2, 2, 12, 0, 0);
        add_input(&in, "time_ids", 2, 2, 6, 0, 0);
    }
    tt_stage_params_default(&stage, TT_STAGE_UNET);
    ok(tt_stage_run(context, model, &stage, &in, out));
    tt_arrays_free(&in);
    tt_model_destroy(model);
}

/* ---- weights with parts gone, or without effect */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* True when a tensor belongs to the unit; of residual blocks, all but the shortcut. */
static bool is_of(const char *tensor, const char *unit)
{
    return begins(tensor, unit) && tensor[strlen(unit)] == '.' && !strstr(tensor, ".conv_shortcut.");
}

/* True when the unit does nothing once this tensor is zero. */
static bool is_last(const char *tensor, const char *unit)
{
    const char *rest = tensor + strlen(unit) + 1;
    if (strstr(unit, "resnets"))
        return begins(rest, "conv2.");
    if (!strstr(unit, "transformer_blocks"))
        return begins(rest, "proj_out.");
    return strstr(rest, "to_out.0.") || begins(rest, "ff.net.2.");
}

/* Leaves out every `step`-th group of `size` rows (axis 0) or columns of a matrix, from the first on. */
static void cut_groups(tt_array *a, int axis, size_t size, size_t step)
{
    size_t rows = (size_t)a->dims[0], columns = (size_t)a->dims[1], n = 0;
    float *values = a->data;
    for (size_t i = 0; i < rows * columns; i++)
        if ((axis == 0 ? i / columns : i % columns) / size % step != 0)
            values[n++] = values[i];
    a->dims[axis] = n / (axis == 0 ? columns : rows);
}

static void zero_groups(tt_array *a, size_t size, size_t step)
{
    size_t n = (size_t)(a->dims[0] * a->dims[1]), columns = (size_t)a->dims[1];
    float *values = a->data;
    for (size_t i = 0; i < n; i++)
        if (i % columns / size % step == 0)
            values[i] = 0.0f;
}

static size_t count(const tt_array *a)
{
    size_t n = 1;
    for (uint32_t i = 0; i < a->n_dims; i++)
        n *= (size_t)a->dims[i];
    return n;
}

/* What is done to a model; each list ends with NULL. */
typedef struct change {
    const char *units[6];  /* removed */
    const char *layers[4]; /* attention layers that lose heads 0, 2, 4, ... of `size` channels */
    size_t size;
} change;

/* False when the tensor is to be left out. */
static bool cut_tensor(const change *c, tt_array *a)
{
    for (const char *const *u = c->units; *u; u++)
        if (is_of(a->name, *u))
            return false;
    for (const char *const *l = c->layers; *l; l++)
        if (is_of(a->name, *l) && a->n_dims == 2)
            cut_groups(a, strstr(a->name, "to_out") ? 1 : 0, c->size, 2);
    return true;
}

static void idle_tensor(const change *c, tt_array *a)
{
    for (const char *const *u = c->units; *u; u++)
        if (is_of(a->name, *u) && is_last(a->name, *u))
            memset(a->data, 0, count(a) * sizeof(float));
    for (const char *const *l = c->layers; *l; l++)
        if (is_of(a->name, *l) && strstr(a->name, "to_out.0.weight"))
            zero_groups(a, c->size, 2);
}

static const char weights_name[] = "diffusion_pytorch_model.safetensors";

static void write_weights(const temp_folder *folder, const char *name, const change *c, bool is_cut)
{
    char path[TT_TEMP_PATH];
    tt_arrays all = {0}, kept = {0};
    snprintf(path, sizeof path, MODELS "%s/unet/%s", name, weights_name);
    ok(tt_arrays_read(context, path, &all));
    for (size_t i = 0; i < all.n_items; i++) {
        tt_array *a = &all.items[i];
        if (!is_cut)
            idle_tensor(c, a);
        else if (!cut_tensor(c, a))
            continue;
        ok(tt_arrays_add(context, &kept, a->name, a->type, a->n_dims, a->dims, a->data));
    }
    assert_true(!is_cut || kept.n_items < all.n_items || c->layers[0]);
    ok(tt_arrays_write(context, temp_folder_path(folder, weights_name, path), &kept));
    tt_arrays_free(&all);
    tt_arrays_free(&kept);
}

/* The config's keys for a change. */
static void config_keys(const change *c, char *text, size_t n)
{
    size_t at = (size_t)snprintf(text, n, "{\"removed_blocks\": [");
    for (size_t i = 0; c->units[i]; i++)
        at += (size_t)snprintf(text + at, n - at, "%s\"%s\"", i ? ", " : "", c->units[i]);
    at += (size_t)snprintf(text + at, n - at, "], \"attention_heads\": {");
    for (size_t i = 0; c->layers[i]; i++)
        at += (size_t)snprintf(text + at, n - at, "%s\"%s\": %d", i ? ", " : "", c->layers[i], c->size == 4 ? 4 : 1);
    (void)snprintf(text + at, n - at, "}}");
}

static void same_as_idle(const char *name, uint32_t width, const change *c)
{
    char config[256], keys[1024], path[TT_TEMP_PATH];
    temp_folder cut, idle;
    tt_arrays got = {0}, want = {0}, whole = {0};
    temp_folder_make(&cut);
    temp_folder_make(&idle);
    snprintf(config, sizeof config, MODELS "%s/unet/config.json", name);
    config_keys(c, keys, sizeof keys);
    model_copy_file(&idle, config, "config.json");
    model_copy_file(&cut, config, "config.json");
    model_copy_change(&cut, "config.json", keys);
    write_weights(&idle, name, c, false);
    write_weights(&cut, name, c, true);
    run_pass(cut.path, width, strcmp(name, "sdxl") == 0, &got);
    run_pass(idle.path, width, strcmp(name, "sdxl") == 0, &want);
    snprintf(path, sizeof path, MODELS "%s/unet", name);
    run_pass(path, width, strcmp(name, "sdxl") == 0, &whole);
    double error = golden_error(golden_array(&got, "sample"), golden_array(&want, "sample"));
    double effect = golden_error(golden_array(&whole, "sample"), golden_array(&want, "sample"));
    if (!(error <= 1e-6) || !(effect > 1e-3))
        fail_msg("%s: %s: error %g to the idle parts, which make a difference of %g", name, keys, error, effect);
    tt_arrays_free(&got);
    tt_arrays_free(&want);
    tt_arrays_free(&whole);
    temp_folder_remove(&cut);
    temp_folder_remove(&idle);
}

static void test_blocks(void **state)
{
    (void)state;
    static const change sd1[] = {
        {.units = {"down_blocks.1.resnets.0"}}, /* identity */
        {.units = {"down_blocks.0.resnets.0", "down_blocks.0.attentions.0"}},
        {.units = {"mid_block.resnets.1", "mid_block.attentions.0"}},
        {.units = {"up_blocks.0.resnets.1", "up_blocks.1.resnets.0"}}, /* joins of skips */
        {.units = {"mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1", "up_blocks.1.resnets.1",
                   "up_blocks.1.attentions.1"}},
    };
    static const change others[] = {
        {.units = {"down_blocks.1.attentions.0"}},
        {.units = {"mid_block.attentions.0.transformer_blocks.1"}},                              /* one of two */
        {.units = {"down_blocks.2.resnets.0", "up_blocks.0.attentions.1.transformer_blocks.0"}}, /* 8 to 16 channels */
    };
    for (size_t i = 0; i < sizeof sd1 / sizeof *sd1; i++)
        same_as_idle("sd1", 32, &sd1[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        same_as_idle("sdxl", 24, &others[i]);
}

static void test_heads(void **state)
{
    (void)state;
    static const change sd1[] = {
        {.layers = {"mid_block.attentions.0.transformer_blocks.0.attn1"}, .size = 4},
        {.layers = {"down_blocks.0.attentions.0.transformer_blocks.0.attn2",
                    "up_blocks.1.attentions.1.transformer_blocks.0.attn1",
                    "up_blocks.1.attentions.1.transformer_blocks.0.attn2"},
         .units = {"mid_block.resnets.1"},
         .size = 4},
    };
    static const change xl = {.layers = {"mid_block.attentions.0.transformer_blocks.1.attn2"}, .size = 8};
    for (size_t i = 0; i < sizeof sd1 / sizeof *sd1; i++)
        same_as_idle("sd1", 32, &sd1[i]);
    same_as_idle("sdxl", 24, &xl);
}

/* ---- configs */

static tt_unet_config parse(const char *name, const char *changes)
{
    char path[256];
    tt_unet_config c;
    tt_error err = {""};
    snprintf(path, sizeof path, MODELS "%s/unet/config.json", name);
    char *text = config_changed(path, changes);
    if (tt_unet_config_parse(text, "unet/config.json", &c, &err) != TT_OK)
        fail_msg("%s: %s", changes, err.text);
    free(text);
    return c;
}

static void test_config(void **state)
{
    (void)state;
    tt_unet_config c = parse("sdxl", "{}");
    tt_unet_unit unit;
    assert_false(tt_unet_is_pruned(&c));
    assert_int_equal(tt_unet_n_places(&c), 11); /* 3 down, 2 mid, 6 up */
    c = parse("sdxl",
              "{\"removed_blocks\":[\"mid_block.attentions.0.transformer_blocks.1\",\"down_blocks.1.attentions.0\","
              "\"up_blocks.2.resnets.1\",\"up_blocks.2.resnets.1\"],\"attention_heads\":{"
              "\"mid_block.attentions.0.transformer_blocks.0.attn2\":1,"
              "\"mid_block.attentions.0.transformer_blocks.0.attn1\":2}}");
    assert_true(tt_unet_unit_find(&c, "mid_block.attentions.0", &unit));
    assert_int_equal(unit.kind, TT_UNIT_ATTENTION);
    assert_int_equal(unit.place, 3);
    assert_true(tt_unet_has_attention(&c, 3) && tt_unet_has_transformer(&c, 3, 0));
    assert_false(tt_unet_has_transformer(&c, 3, 1));
    assert_int_equal(tt_unet_heads_left(&c, 3, 0, true), 1);
    assert_int_equal(tt_unet_heads_left(&c, 3, 0, false), 2);
    assert_int_equal(c.removed.n_head_cuts, 1); /* all heads kept is no cut */
    assert_false(tt_unet_has_attention(&c, 1));
    assert_false(tt_unet_has_residual(&c, 10));
    assert_true(tt_unet_has_residual(&c, 9));
    /* Written and read again, it is the same. */
    tt_error err = {""};
    tt_unet_config back;
    char *json = NULL;
    if (tt_config_write_unet(&c, &json, &err) != TT_OK || tt_unet_config_parse(json, "written", &back, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(&c.removed, &back.removed, sizeof c.removed);
    free(json);
    /* Heads go with their block. */
    assert_int_equal(tt_unet_remove(&c, &unit, &err), TT_OK);
    assert_int_equal(c.removed.n_head_cuts, 0);
    /* A module's only transformer block is the module: its norm and projections go too. */
    c = parse("sd1", "{\"removed_blocks\":[\"mid_block.attentions.0.transformer_blocks.0\"]}");
    assert_false(tt_unet_has_attention(&c, tt_unet_mid_place(&c, 0)));
    c = parse("sd1", "{\"removed_blocks\":null,\"attention_heads\":null}");
    assert_false(tt_unet_is_pruned(&c));
}

/* Every name that is written is found again as the same unit. */
static void test_names(void **state)
{
    (void)state;
    static const char *const strangers[] = {"",
                                            "conv_in",
                                            "mid_block",
                                            "down_blocks.0.downsamplers.0",
                                            "down_blocks.0.resnets.1",
                                            "down_blocks.00.resnets.0",
                                            "up_blocks.0.attentions.0",
                                            "mid_block.attentions.0.transformer_blocks.1",
                                            "mid_block.attentions.0.transformer_blocks.0.attn3",
                                            "mid_block.resnets.0 ",
                                            "mid_block.resnets.0.conv1"};
    tt_unet_config c = parse("sd1", "{}");
    tt_unet_unit found;
    char name[TT_MAX_NAME];
    for (uint32_t i = 0; i < tt_unet_n_places(&c); i++) {
        tt_unet_unit unit = {.kind = TT_UNIT_RESIDUAL, .place = i};
        for (int kind = TT_UNIT_RESIDUAL; kind <= TT_UNIT_HEADS; kind++) {
            unit.kind = (tt_unet_unit_kind)kind;
            unit.is_cross = kind == TT_UNIT_HEADS;
            tt_unet_unit_name(&c, &unit, name);
            bool is_there = kind == TT_UNIT_RESIDUAL || tt_unet_place_at(&c, i).n_layers > 0;
            assert_int_equal(tt_unet_unit_find(&c, name, &found), is_there);
            if (is_there)
                assert_true(found.kind == unit.kind && found.place == i && found.is_cross == unit.is_cross);
        }
    }
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        assert_false(tt_unet_unit_find(&c, strangers[i], &found));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *changes;
        const char *mention;
    } cases[] = {
        {"{\"removed_blocks\":\"mid_block.resnets.1\"}", "list of names"},
        {"{\"removed_blocks\":[7]}", "list of names"},
        {"{\"removed_blocks\":[\"conv_in\"]}", "\"conv_in\""},
        {"{\"removed_blocks\":[\"mid_block.resnets.2\"]}", "mid_block.resnets.2"},
        {"{\"removed_blocks\":[\"down_blocks.0.downsamplers.0\"]}", "no such residual block"},
        {"{\"removed_blocks\":[\"mid_block.attentions.0.transformer_blocks.0.attn1\"]}", "no such residual block"},
        {"{\"removed_blocks\":[\"up_blocks.4294967296.resnets.0\"]}", "no such residual block"},
        {"{\"removed_blocks\":[\"down_blocks.0.resnets.0\",\"down_blocks.1.resnets.0\",\"mid_block.resnets.0\","
         "\"mid_block.resnets.1\",\"up_blocks.0.resnets.0\",\"up_blocks.0.resnets.1\",\"up_blocks.1.resnets.0\","
         "\"up_blocks.1.resnets.1\"]}",
         "at least one"},
        {"{\"attention_heads\":[]}", "object of names"},
        {"{\"attention_heads\":{\"mid_block.attentions.0\":4}}", "no such attention layer"},
        {"{\"attention_heads\":{\"up_blocks.0.attentions.0.transformer_blocks.0.attn1\":4}}", "attention layer"},
        {"{\"attention_heads\":{\"mid_block.attentions.0.transformer_blocks.0.attn1\":0}}", "attn1"},
        {"{\"attention_heads\":{\"mid_block.attentions.0.transformer_blocks.0.attn1\":null}}", "not 0"},
        {"{\"attention_heads\":{\"mid_block.attentions.0.transformer_blocks.0.attn1\":9}}", "has 8 heads"},
        {"{\"attention_heads\":{\"mid_block.attentions.0.transformer_blocks.0.attn1\":1e9}}", "attn1"},
        {"{\"attention_heads\":{\"mid_block.attentions.0.transformer_blocks.0.attn1\":\"4\"}}", "attn1"},
        {"{\"removed_blocks\":[\"mid_block.attentions.0\"],"
         "\"attention_heads\":{\"mid_block.attentions.0.transformer_blocks.0.attn1\":4}}",
         "removed block"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = config_changed(MODELS "sd1/unet/config.json", cases[i].changes);
        tt_unet_config c;
        tt_error err = {""};
        tt_status status = tt_unet_config_parse(text, "unet/config.json", &c, &err);
        if ((status != TT_ERROR_FORMAT && status != TT_ERROR_UNSUPPORTED) || !strstr(err.text, cases[i].mention))
            fail_msg("%s: status %d: %s", cases[i].changes, (int)status, err.text);
        free(text);
    }
}

/* ---- trying removals on weights that are all there */

static void try_pass(tt_model *model, const tt_unet_removed *removed, const float *sample, const float *words,
                     float *out)
{
    static const double timesteps[1] = {500};
    const tt_unet_shape shape = {.batch = 1, .height = 4, .width = 4, .n_tokens = 3};
    tt_error err = {""};
    tt_unet_try(model->unet, removed);
    if (tt_unet_prepare(model->unet, &shape, &err) != TT_OK ||
        tt_unet_set_condition(model->unet, &(tt_unet_condition){.context = words}, &err) != TT_OK ||
        tt_unet_run(model->unet, sample, timesteps, out, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void test_try(void **state)
{
    (void)state;
    static const golden_set own = {"own", "tests/golden/data", MODELS, 0};
    float sample[64], words[3 * 32], whole[64], less[64], again[64], apart[64];
    tt_error err = {""};
    for (int i = 0; i < 64; i++)
        sample[i] = cosf((float)i);
    for (int i = 0; i < 3 * 32; i++)
        words[i] = sinf((float)i);
    tt_model *model = golden_model(context, &own, "sd1", TT_PRECISION_F32);
    assert_int_equal(tt_model_need_unet(model, &err), TT_OK);
    tt_unet_config c = model->unet_config;
    tt_unet_removed none = {0};
    tt_unet_unit unit;
    assert_true(
        tt_unet_unit_find(&c, "down_blocks.1.resnets.0", &unit)); /* before others in the stack of projections */
    assert_int_equal(tt_unet_remove(&c, &unit, &err), TT_OK);
    assert_true(tt_unet_unit_find(&c, "mid_block.attentions.0", &unit));
    assert_int_equal(tt_unet_remove(&c, &unit, &err), TT_OK);
    try_pass(model, &none, sample, words, whole);
    uint64_t n_bytes = tt_unet_weight_bytes(model->unet);
    try_pass(model, &c.removed, sample, words, less);
    assert_int_equal(tt_unet_weight_bytes(model->unet), n_bytes); /* nothing was packed anew */
    try_pass(model, &none, sample, words, again);
    assert_memory_equal(whole, again, sizeof whole);
    assert_memory_not_equal(whole, less, sizeof whole);
    /* A UNet made without the blocks does the same with fewer weights. */
    tt_unet_destroy(model->unet);
    model->unet = NULL;
    model->unet_config = c;
    assert_int_equal(tt_model_need_unet(model, &err), TT_OK);
    try_pass(model, &c.removed, sample, words, apart);
    for (int i = 0; i < 64; i++)
        assert_true(fabsf(apart[i] - less[i]) <= 1e-5f);
    assert_true(tt_unet_weight_bytes(model->unet) < n_bytes);
    tt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_heads),    cmocka_unit_test(test_config),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_refusals), cmocka_unit_test(test_try),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
