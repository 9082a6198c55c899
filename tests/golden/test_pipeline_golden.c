/* test_pipeline_golden.c - whole pipelines on given noise against diffusers: schedulers, guidance, img2img, inpainting.
 */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *run, const char *key)
{
    return json_string_value(json_object_get(run, key));
}

static double number_of(const json_t *run, const char *key, double otherwise)
{
    const json_t *value = json_object_get(run, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* Two numbers of a list inside "extra". */
static void pair_of(const json_t *run, const char *key, uint32_t *a, uint32_t *b)
{
    const json_t *list = json_object_get(json_object_get(run, "extra"), key);
    if (json_array_size(list) != 2)
        return;
    *a = (uint32_t)json_integer_value(json_array_get(list, 0));
    *b = (uint32_t)json_integer_value(json_array_get(list, 1));
}

/* The scheduler as a diffusers config text; freed by the caller. */
static char *scheduler_text(const json_t *run)
{
    const json_t *pair = json_object_get(run, "scheduler");
    json_t *config = json_copy(json_array_get(pair, 1));
    json_object_set(config, "_class_name", json_array_get(pair, 0));
    char *text = json_dumps(config, JSON_COMPACT);
    json_decref(config);
    return text;
}

static void fill_savers(const json_t *savers, tt_savers *s)
{
    const json_t *guidance = json_object_get(savers, "guidance");
    if (guidance) {
        s->guidance_start = (float)json_number_value(json_array_get(guidance, 0));
        s->guidance_stop = (float)json_number_value(json_array_get(guidance, 1));
    }
    s->reuse_interval = (uint32_t)number_of(savers, "reuse_interval", 0);
    s->reuse_depth = (uint32_t)number_of(savers, "reuse_depth", 0);
    s->kv_downsample = (uint32_t)number_of(savers, "kv_downsample", 0);
}

static void fill_params(const json_t *run, char *scheduler, tt_stage_params *p)
{
    const json_t *negative = json_object_get(run, "negative");
    tt_stage_params_default(p, TT_STAGE_DENOISE);
    p->prompt = text_of(run, "prompt");
    /* Missing means "", as in diffusers' own call of the oracle; an explicit null means none. */
    p->negative_prompt = negative && json_is_null(negative) ? NULL : negative ? json_string_value(negative) : "";
    p->n_steps = (uint32_t)number_of(run, "steps", 20);
    p->cfg_scale = (float)number_of(run, "cfg", 7.5);
    p->strength = (float)number_of(run, "strength", 1.0);
    p->scheduler_config = scheduler;
    p->clip_skip = 1 + (uint32_t)number_of(json_object_get(run, "extra"), "clip_skip", 0);
    p->eta = (float)number_of(json_object_get(run, "extra"), "eta", 0.0);
    pair_of(run, "original_size", &p->original_height, &p->original_width);
    pair_of(run, "crops_coords_top_left", &p->crop_top, &p->crop_left);
    pair_of(run, "target_size", &p->target_height, &p->target_width);
    fill_savers(json_object_get(run, "savers"), &p->savers);
}

/* Copies noise0, noise1, ..., image and mask. */
static void copy_inputs(tt_context *context, const tt_arrays *golden, tt_arrays *in)
{
    for (size_t i = 0; i < golden->n_items; i++) {
        const char *name = golden->items[i].name;
        if (strncmp(name, "noise", 5) == 0 || strcmp(name, "image") == 0 || strcmp(name, "mask") == 0)
            golden_copy(context, in, name, &golden->items[i]);
    }
}

static void check_run(tt_context *context, const golden_set *set, const json_t *run, tt_precision precision)
{
    bool half = precision == TT_PRECISION_F16;
    double bar = half ? 1e-2 : 2e-4;
    char file[128], what[192];
    tt_arrays golden, in = {0}, out;
    const char *name = text_of(run, "name");
    if (strcmp(text_of(run, "mode"), "controlnet") == 0)
        return;
    snprintf(file, sizeof file, "pipe_%s.safetensors", name);
    tt_model *model = golden_model(context, set, text_of(run, "model"), precision);
    if (!model)
        return;
    assert_true(golden_read(context, set, file, &golden));
    copy_inputs(context, &golden, &in);
    char *scheduler = scheduler_text(run);
    tt_stage_params params;
    fill_params(run, scheduler, &params);
    golden_run(context, model, &params, &in, &out);
    const tt_array *want = golden_array(&golden, "latents_final");
    snprintf(what, sizeof what, "%s %s %s latent", set->name, name, half ? "half" : "float");
    golden_check(what, golden_error(golden_array(&out, "latents_final"), want), bar);
    snprintf(what, sizeof what, "%s %s %s picture", set->name, name, half ? "half" : "float");
    golden_check(what, golden_error(golden_array(&out, "image_out"), golden_array(&golden, "image_out")), bar);
    free(scheduler);
    tt_arrays_free(&golden);
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
        char path[256];
        snprintf(path, sizeof path, "%s/pipes.json", sets[s].goldens);
        json_t *runs = json_load_file(path, 0, NULL);
        assert_true(json_array_size(runs) > 0);
        for (size_t i = 0; i < json_array_size(runs); i++)
            check_run(context, &sets[s], json_array_get(runs, i), precision);
        json_decref(runs);
    }
    tt_context_destroy(context);
    golden_finish();
}

static void pipelines_match_in_float(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F32);
}

static void pipelines_match_in_half(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pipelines_match_in_float),
                                       cmocka_unit_test(pipelines_match_in_half)};
    return cmocka_run_group_tests_name("pipeline goldens", tests, NULL, NULL);
}
