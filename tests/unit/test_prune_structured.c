/* test_prune_structured.c - what structural pruning takes, and that the file it makes does what the model without these
 * parts does. */
#include "pipeline/model.h"
#include "tests/support/golden.h"
#include "tests/support/model-copy.h"
#include "unet/unet-removed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS "unet/diffusion_pytorch_model.safetensors"
#define MID "mid_block.attentions.0.transformer_blocks.0"

static tt_context *context;
static temp_folder folder; /* a copy of sd1 in which a block and two heads do nothing */

enum { SIZE = 4, COLUMNS = 32 }; /* of a head; of to_out.0 */

static bool is_idle_head(size_t head)
{
    return head == 2 || head == 5;
}

static void ok(tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", tt_context_message(context));
}

static void idle_parts(tt_array *a)
{
    float *values = a->data;
    size_t n = 1;
    for (uint32_t i = 0; i < a->n_dims; i++)
        n *= (size_t)a->dims[i];
    if (strncmp(a->name, "mid_block.resnets.1.conv2.", 26) == 0)
        memset(values, 0, n * sizeof *values);
    for (size_t i = 0; strcmp(a->name, MID ".attn1.to_out.0.weight") == 0 && i < n; i++)
        if (is_idle_head(i % COLUMNS / SIZE))
            values[i] = 0.0f;
}

static int set_up(void **state)
{
    (void)state;
    char path[TT_TEMP_PATH];
    tt_arrays arrays = {0};
    context = golden_context();
    temp_folder_make(&folder);
    model_copy_make(&folder, "sd1", NULL);
    ok(tt_arrays_read(context, temp_folder_path(&folder, WEIGHTS, path), &arrays));
    for (size_t i = 0; i < arrays.n_items; i++)
        idle_parts(&arrays.items[i]);
    ok(tt_arrays_write(context, path, &arrays));
    tt_arrays_free(&arrays);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    tt_context_destroy(context);
    return 0;
}

/* ---- quantizing and running */

static tt_status prune(const char *from, const char *to, const char *what, tt_quantize_report *report)
{
    tt_quantize_params params;
    char path[TT_TEMP_PATH];
    tt_quantize_params_default(&params);
    params.model.path = from;
    params.model.precision = TT_PRECISION_F32;
    params.output = temp_folder_path(&folder, to, path);
    params.type = "f32";
    params.prune_structured = what;
    params.n_threads = 1;
    return tt_quantize(context, &params, report);
}

static tt_model *load(const char *path)
{
    tt_model_params params;
    tt_model *model = NULL;
    tt_model_params_default(&params);
    params.path = path;
    params.precision = TT_PRECISION_F32;
    ok(tt_model_load(context, &params, &model));
    return model;
}

enum { SIDE = 6, N = 4 * SIDE * SIDE, N_WORDS = 5 * 32 };

static void run_pass(tt_model *model, float out[N])
{
    static const double timesteps[1] = {400};
    const tt_unet_shape shape = {.batch = 1, .height = SIDE, .width = SIDE, .n_tokens = 5};
    float sample[N], words[N_WORDS];
    tt_error err = {""};
    for (int i = 0; i < N; i++)
        sample[i] = cosf((float)i * 1.1f);
    for (int i = 0; i < N_WORDS; i++)
        words[i] = sinf((float)i * 0.7f);
    if (tt_model_need_unet(model, &err) != TT_OK || tt_unet_prepare(model->unet, &shape, &err) != TT_OK ||
        tt_unet_set_condition(model->unet, &(tt_unet_condition){.context = words}, &err) != TT_OK ||
        tt_unet_run(model->unet, sample, timesteps, out, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void assert_near(const float *a, const float *b, double most)
{
    double sum = 0.0, power = 0.0;
    for (int i = 0; i < N; i++) {
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        power += (double)b[i] * (double)b[i];
    }
    if (!(sqrt(sum / power) <= most))
        fail_msg("passes differ by %g, at most %g was expected", sqrt(sum / power), most);
}

/* ---- tests */

/* Named blocks: the file is the model with these in its config, tensor by tensor. */
static void test_names(void **state)
{
    (void)state;
    static const char names[] = "up_blocks.0.resnets.1, " MID ",down_blocks.1.resnets.0";
    char path[TT_TEMP_PATH];
    float got[N], want[N];
    tt_quantize_report report;
    tt_error err = {""};
    ok(prune(folder.path, "names.gguf", names, &report));
    assert_true(report.unet_values_out < report.unet_values_in && report.unet_flops_out < report.unet_flops_in);
    assert_true(report.structure_change > 1e-4 && report.structure_change < 10.0);
    assert_int_equal(report.n_units, 0); /* nothing was ranked */
    tt_quantize_report_free(&report);
    tt_model *whole = load(folder.path), *pruned = load(temp_folder_path(&folder, "names.gguf", path));
    static const char *const gone[] = {"up_blocks.0.resnets.1", "mid_block.attentions.0", "down_blocks.1.resnets.0"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        tt_unet_unit unit;
        assert_true(tt_unet_unit_find(&whole->unet_config, gone[i], &unit));
        assert_int_equal(tt_unet_remove(&whole->unet_config, &unit, &err), TT_OK);
    }
    assert_memory_equal(&whole->unet_config.removed, &pruned->unet_config.removed, sizeof(tt_unet_removed));
    run_pass(whole, want);
    run_pass(pruned, got);
    assert_near(got, want, 1e-6);
    assert_false(tt_weights_has(pruned->unet_weights, "up_blocks.0.resnets.1.conv1.weight"));
    assert_false(tt_weights_has(pruned->unet_weights, "up_blocks.0.resnets.1.time_emb_proj.weight"));
    assert_true(tt_weights_has(pruned->unet_weights, "up_blocks.0.resnets.1.conv_shortcut.weight"));
    assert_false(tt_weights_has(pruned->unet_weights, "mid_block.attentions.0.proj_in.weight"));
    tt_model_destroy(whole);
    tt_model_destroy(pruned);
}

/* Two heads do nothing: those are the ones that go, and nothing changes. Then the pruned file is pruned once more. */
static void test_heads(void **state)
{
    (void)state;
    static const uint64_t six[2] = {24, 32}, turned[2] = {32, 24}, three[2] = {12, 32};
    char path[TT_TEMP_PATH];
    float got[N], want[N];
    tt_quantize_report report;
    tt_weight weight;
    tt_error err = {""};
    ok(prune(folder.path, "heads.gguf", MID ".attn1:6", &report));
    assert_true(report.structure_change < 1e-9);
    assert_int_equal(report.unet_values_in - report.unet_values_out, 2 * SIZE * 4 * 32);
    assert_true(report.unet_flops_out < report.unet_flops_in);
    tt_quantize_report_free(&report);
    tt_model *whole = load(folder.path), *pruned = load(temp_folder_path(&folder, "heads.gguf", path));
    run_pass(whole, want);
    run_pass(pruned, got);
    assert_near(got, want, 1e-6);
    assert_int_equal(tt_weights_get(pruned->unet_weights, MID ".attn1.to_k.weight", 2, six, &weight, &err), TT_OK);
    assert_int_equal(tt_weights_get(pruned->unet_weights, MID ".attn1.to_out.0.weight", 2, turned, &weight, &err),
                     TT_OK);
    tt_model_destroy(whole);
    tt_model_destroy(pruned);
    ok(prune(path, "again.gguf", MID ".attn1:3", &report));
    assert_true(report.structure_change > 1e-9);
    tt_quantize_report_free(&report);
    pruned = load(temp_folder_path(&folder, "again.gguf", path));
    assert_int_equal(tt_unet_heads_left(&pruned->unet_config, tt_unet_mid_place(&pruned->unet_config, 0), 0, false), 3);
    assert_int_equal(tt_weights_get(pruned->unet_weights, MID ".attn1.to_v.weight", 2, three, &weight, &err), TT_OK);
    run_pass(pruned, got);
    tt_model_destroy(pruned);
    /* By a share: the layer's three heads are steps like others. */
    ok(prune(path, "third.gguf", "0.1", &report));
    assert_true((double)report.unet_values_out <= 0.9 * (double)report.unet_values_in);
    tt_quantize_report_free(&report);
    pruned = load(temp_folder_path(&folder, "third.gguf", path));
    run_pass(pruned, got);
    tt_model_destroy(pruned);
}

/* A share: what does nothing goes first, the goal is met, the ranking is sorted, written, and true of the file. */
static void test_share(void **state)
{
    (void)state;
    char path[TT_TEMP_PATH];
    tt_quantize_report report;
    float out[N];
    ok(prune(folder.path, "share.gguf", "0.15", &report));
    assert_true((double)report.unet_values_out <= 0.85 * (double)report.unet_values_in);
    assert_true((double)report.unet_values_out > 0.6 * (double)report.unet_values_in);
    assert_true(report.n_units > 10 && report.structure_change > 0.0 && report.structure_change < 1.0);
    bool idle_is_gone = false;
    for (size_t i = 0; i < report.n_units; i++) {
        const tt_quantize_unit *u = &report.units[i];
        assert_true(u->n_values > 0 && u->flops > 0.0 && u->change >= 0.0);
        if (strcmp(u->name, "mid_block.resnets.1") == 0) {
            assert_true(u->change < 1e-9 && i < 4);
            idle_is_gone = u->is_removed;
        }
    }
    assert_true(idle_is_gone);
    json_t *ranking = json_load_file(temp_folder_path(&folder, "share.gguf.pruning.json", path), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(ranking, "units")), report.n_units);
    assert_int_equal(json_integer_value(json_object_get(ranking, "parameters_left")), report.unet_values_out);
    tt_model *pruned = load(temp_folder_path(&folder, "share.gguf", path));
    for (size_t i = 0; i < report.n_units; i++) {
        tt_unet_unit unit;
        const tt_quantize_unit *u = &report.units[i];
        assert_true(tt_unet_unit_find(&pruned->unet_config, u->name, &unit));
        if (unit.kind == TT_UNIT_RESIDUAL)
            assert_int_equal(u->is_removed, !tt_unet_has_residual(&pruned->unet_config, unit.place));
        else if (unit.kind == TT_UNIT_HEADS && !u->is_removed)
            assert_int_equal(u->n_heads_kept,
                             tt_unet_heads_left(&pruned->unet_config, unit.place, unit.layer, unit.is_cross));
    }
    run_pass(pruned, out);
    json_decref(ranking);
    tt_model_destroy(pruned);
    tt_quantize_report_free(&report);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *what, *mention;
    } cases[] = {{"0", "above 0"},
                 {"1", "to 0.9"},
                 {"-0.2", "to 0.9"},
                 {"0.2x", "\"0.2x\""},
                 {"nan", "\"nan\" cannot be pruned"},
                 {"", "names of blocks"},
                 {" , ", "names of blocks"},
                 {"conv_in", "\"conv_in\""},
                 {"mid_block.resnets.1,mid_block.resnets.7", "mid_block.resnets.7"},
                 {"mid_block.resnets.1:2", "mid_block.resnets.1"},
                 {MID ".attn1", "heads to keep"},
                 {MID ".attn1:", "heads to keep"},
                 {MID ".attn1:0", "8 heads"},
                 {MID ".attn1:9", "8 heads"},
                 {MID ".attn1:99999999999999999999", "8 heads"},
                 {MID ".attn1:2x", "heads to keep"}};
    size_t n_before = temp_folder_count(&folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_status status = prune(folder.path, "refused.gguf", cases[i].what, NULL);
        if (status != TT_ERROR_ARGUMENT || !strstr(tt_context_message(context), cases[i].mention))
            fail_msg("%s: status %d: %s", cases[i].what, (int)status, tt_context_message(context));
    }
    assert_int_equal(prune("tests/golden/data/models/sd1/vae", "refused.gguf", "0.2", NULL), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tt_context_message(context), "no UNet"));
    assert_int_equal(temp_folder_count(&folder), n_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
