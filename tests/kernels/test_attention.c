/* test_attention.c - attention against its reference: head widths, ragged queries and keys, causal, sharp, views. */
#include "cl-kernels/attention.h"
#include "cl-kernels/dot.h"
#include "cl-kernels/reference/attention.h"
#include "cl-kernels/tuning.h"
#include "tests/support/test-device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct attention_case {
    const char *label;
    uint32_t n_heads, head_dim, batch, height, width, n_keys;
    bool causal;
    float sharpness; /* queries and keys are multiplied by it */
    bool is_large;
} attention_case;

static const attention_case cases[] = {
    {"smallest", 1, 4, 1, 1, 1, 1, false, 1, false},
    {"heads of 4, picture 9 x 7", 3, 4, 2, 9, 7, 63, false, 1, false},
    {"heads of 8, 17 keys", 2, 8, 1, 1, 5, 17, false, 1, false},
    {"heads of 12, batch 3", 2, 12, 3, 1, 19, 9, false, 1, false},
    {"one key", 2, 40, 1, 1, 5, 1, false, 1, false},
    {"heads of 40, 33 tokens", 2, 40, 1, 1, 33, 33, false, 1, false},
    {"sharp", 2, 40, 1, 1, 50, 50, false, 5, false},
    {"causal, 77 tokens", 2, 64, 2, 1, 77, 77, true, 1, false},
    {"causal, fewer keys", 1, 8, 1, 1, 21, 10, true, 1, false},
    {"causal, more keys", 1, 8, 1, 1, 10, 21, true, 1, false},
    {"heads of 80, cross 77", 2, 80, 2, 1, 20, 77, false, 1, false},
    {"heads of 160", 1, 160, 1, 1, 16, 77, false, 1, false},
    {"heads of 512", 1, 512, 1, 1, 18, 18, false, 1, false},
    {"a block of keys and one", 1, 16, 1, 1, 49, 65, false, 2, false},
    {"heads of 40, 1024 tokens", 4, 40, 1, 32, 32, 1024, false, 1, true},
    {"causal, 600 tokens, jumps", 1, 160, 2, 1, 600, 600, true, 4, true},
    {"heads of 512, 112 tokens", 1, 512, 1, 14, 8, 112, false, 1, true},
    {"causal, 300 tokens", 2, 64, 1, 1, 300, 300, true, 3, true},
};

/* Forms with dot products of the device's units (plain vectors do not serve attention), both storages. Returns how
 * many. */
static size_t dot_forms(tt_kernels forms[4])
{
    size_t n_all, n = 0;
    const tt_kernels *all = tt_test_dot_forms(&n_all);
    for (size_t i = 0; i < n_all; i++)
        if (all[i].arithmetic == TT_ARITHMETIC_HALF && all[i].dot.half != TT_DOT_PLAIN)
            forms[n++] = all[i];
    return n;
}

/* What the units multiply is made exact by make_values; a weight then has an error of about 2e-3. GPUs' half products
 * are summed in half, four at a time. */
static double tolerance_of(const tt_kernels *form)
{
    if (form->arithmetic == TT_ARITHMETIC_FLOAT)
        return tt_test_tolerance(form);
    return form->dot.half == TT_DOT_GPU_FP16 ? 5e-3 : 3.5e-3;
}

/* Rounds to what is a bfloat16 after multiplication by scale. */
static void round_to_bf16(float *values, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        float scaled = values[i] * scale;
        uint32_t bits;
        memcpy(&bits, &scaled, sizeof(bits));
        bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
        memcpy(&scaled, &bits, sizeof(bits));
        values[i] = scaled / scale;
    }
}

/* scale: what the kernel multiplies the values by before it rounds them. */
static float *make_values(const tt_kernels *form, size_t n, float factor, float scale, uint64_t seed)
{
    float *values = tt_test_random_new(n, seed);
    for (size_t i = 0; i < n; i++)
        values[i] *= factor;
    if (form->arithmetic != TT_ARITHMETIC_FLOAT)
        round_to_bf16(values, n, scale);
    tt_test_round(form, values, n);
    return values;
}

static float scale_of(const attention_case *c)
{
    return (float)(256.0 * 1.4426950408889634 / sqrt((double)c->head_dim));
}

static float *compute_reference(const attention_case *c, const float *q, const float *k, const float *v)
{
    uint32_t n_queries = c->height * c->width;
    float *want = tt_test_random_new((size_t)c->batch * c->n_heads * c->head_dim * n_queries, 1);
    tt_reference_attention_args args = {.batch = c->batch,
                                        .n_heads = c->n_heads,
                                        .head_dim = c->head_dim,
                                        .n_queries = n_queries,
                                        .n_keys = c->n_keys,
                                        .q = q,
                                        .k = k,
                                        .v = v,
                                        .causal = c->causal,
                                        .out = want};
    tt_test_ok(tt_reference_attention(&args));
    return want;
}

/* Compares the op with its reference for given queries, keys and values; runs it twice, which must give the same. */
static void check_values(const tt_kernels *form, const attention_case *c, float *const values[3], double tolerance)
{
    uint32_t channels = c->n_heads * c->head_dim;
    tt_test_tensor planes[4];
    float *want = compute_reference(c, values[0], values[1], values[2]), *got[2];
    for (size_t i = 0; i < 4; i++) {
        bool is_query = i == 0 || i == 3;
        planes[i] = tt_test_tensor_create(form, channels, c->batch, is_query ? c->height : 1,
                                          is_query ? c->width : c->n_keys, 0);
        if (i < 3)
            tt_test_upload(&planes[i], values[i]);
    }
    tt_attention_args args = {.q = planes[0].plane,
                              .k = planes[1].plane,
                              .v = planes[2].plane,
                              .n_heads = c->n_heads,
                              .head_dim = c->head_dim,
                              .causal = c->causal,
                              .out = planes[3].plane};
    for (size_t i = 0; i < 2; i++) {
        tt_recorder *recorder = tt_test_recorder();
        tt_test_ok(tt_attention_record(form, &args, recorder, tt_test_error()));
        tt_test_run(recorder);
        got[i] = tt_test_download(&planes[3]);
    }
    char label[128];
    (void)snprintf(label, sizeof(label), "attention %s %s: %s", tt_test_form_name(form), tt_dot_name(form->dot.half),
                   c->label);
    tt_test_close(got[0], want, tt_test_count(&planes[3]), tolerance, label);
    assert_memory_equal(got[0], got[1], tt_test_count(&planes[3]) * sizeof(float));
    free(want);
    for (size_t i = 0; i < 2; i++)
        free(got[i]);
    for (size_t i = 0; i < 4; i++)
        tt_test_tensor_release(&planes[i]);
}

static size_t count_of(const attention_case *c, uint32_t n_positions)
{
    return (size_t)c->batch * c->n_heads * c->head_dim * n_positions;
}

static void check_case(const tt_kernels *form, const attention_case *c)
{
    float *values[3] = {make_values(form, count_of(c, c->height * c->width), c->sharpness, scale_of(c), 31),
                        make_values(form, count_of(c, c->n_keys), c->sharpness, 1, 32),
                        make_values(form, count_of(c, c->n_keys), 1, 1, 33)};
    check_values(form, c, values, tolerance_of(form));
    for (size_t i = 0; i < 3; i++)
        free(values[i]);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            if (!cases[i].is_large || !tt_test_small())
                check_case(&tt_test_forms()[f], &cases[i]);
}

/* Answers the tuning's question with a name where it is known, and counts that. */
typedef struct wanted_name {
    const char *name;
    size_t n_found;
} wanted_name;

static size_t find_name(void *user, const char *op, const char *key, const char *const *names, size_t n_names)
{
    wanted_name *wanted = user;
    (void)op;
    (void)key;
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(names[i], wanted->name) == 0) {
            wanted->n_found++;
            return i;
        }
    return SIZE_MAX;
}

/* One of the variants of attention-gpu.h. Every width of heads and storage form is a program of its own, so that only
 * some are taken: half a chunk, one and two; a query that stays in registers or does not. */
static void check_gpu_variant(const char *name, tt_arithmetic arithmetic)
{
    wanted_name wanted = {.name = name};
    tt_tuning *tuning = NULL;
    tt_test_ok(tt_tuning_create(&tuning, tt_test_error()));
    tt_tuning_watch(tuning, find_name, &wanted);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_kernels form = tt_test_forms()[2 + i % 2];
        form.arithmetic = arithmetic;
        form.dot.half = arithmetic == TT_ARITHMETIC_HALF ? TT_DOT_GPU_FP16 : TT_DOT_NONE;
        form.tuning = tuning;
        uint32_t d = cases[i].head_dim;
        if (!cases[i].is_large && (d == 16 || d == 40 || d == 64 || d == 160))
            check_case(&form, &cases[i]);
    }
    tt_tuning_destroy(tuning);
    assert_true(wanted.n_found > 0);
}

static void test_gpu_local(void **state)
{
    (void)state;
    check_gpu_variant("local", TT_ARITHMETIC_FLOAT);
}

static void test_gpu_half(void **state)
{
    (void)state;
    if (!tt_device_caps(tt_test_device())->has_fp16)
        skip();
    check_gpu_variant("half", TT_ARITHMETIC_HALF);
    check_gpu_variant("half-local", TT_ARITHMETIC_HALF);
}

static void test_dot_shapes(void **state)
{
    (void)state;
    tt_kernels forms[4];
    size_t n_forms = dot_forms(forms);
    if (n_forms == 0)
        skip();
    for (size_t f = 0; f < n_forms; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            check_case(&forms[f], &cases[i]);
}

/* Inputs that are not made exact: the error that bfloat16 has in practice. */
static void test_dot_error(void **state)
{
    (void)state;
    attention_case c = {"any inputs", 2, 40, 1, 1, 100, 300, false, 1, false};
    tt_kernels forms[4];
    size_t n_forms = dot_forms(forms);
    if (n_forms == 0)
        skip();
    for (size_t f = 0; f < n_forms; f++) {
        float *values[3];
        for (size_t i = 0; i < 3; i++) {
            size_t n = count_of(&c, i == 0 ? c.width : c.n_keys);
            values[i] = tt_test_random_new(n, 51 + i);
            tt_test_round(&forms[f], values[i], n);
        }
        check_values(&forms[f], &c, values, 5e-3);
        for (size_t i = 0; i < 3; i++)
            free(values[i]);
    }
}

/* Answers the tuning's question with a fixed index, and counts the names. */
typedef struct wanted_cut {
    size_t index, n_names;
} wanted_cut;

static size_t answer(void *user, const char *op, const char *key, const char *const *names, size_t n_names)
{
    wanted_cut *wanted = user;
    assert_string_equal(op, "attention");
    assert_string_equal(tt_tuning_form(key), strstr(key, "half"));
    assert_non_null(names[wanted->index]);
    wanted->n_names = n_names;
    return wanted->index;
}

/* Whatever the tuning may choose is right. */
static void test_dot_cuts(void **state)
{
    (void)state;
    attention_case c = {"every cut", 2, 40, 2, 10, 30, 300, true, 2, false};
    tt_kernels forms[4];
    size_t n_forms = dot_forms(forms);
    if (n_forms == 0)
        skip();
    for (size_t f = 0; f < n_forms; f++) {
        wanted_cut wanted = {0, 1};
        tt_test_ok(tt_tuning_create(&forms[f].tuning, tt_test_error()));
        tt_tuning_watch(forms[f].tuning, answer, &wanted);
        for (; wanted.index < wanted.n_names; wanted.index++)
            check_case(&forms[f], &c);
        assert_true(wanted.n_names >= 3);
        tt_tuning_destroy(forms[f].tuning);
    }
}

/* How a level that is added to all scores of a key goes from key to key. */
typedef struct level_case {
    const char *label;
    float first, step, jump; /* jump: from the 400th key on */
} level_case;

static const level_case levels[] = {
    {"all scores low", -200, 0, 0}, {"all scores high", 200, 0, 0},       {"scores rise", 0, 0.5f, 0},
    {"scores fall", 0, -0.5f, 0},   {"scores jump", 0, 0, 1000},          {"scores drop", 0, 0, -10000},
    {"scores huge", 10000, 0, 8},   {"scores hugely low", -10000, 0, 50},
};

/* The reference that weights are relative to must follow the scores: low, high, rising within and between blocks. */
static void check_levels(const tt_kernels *form, const level_case *level)
{
    attention_case c = {level->label, 1, 16, 1, 1, 37, 600, false, 1, false};
    float *values[3] = {make_values(form, count_of(&c, c.width), 1, scale_of(&c), 61),
                        make_values(form, count_of(&c, c.n_keys), 1, 1, 62),
                        make_values(form, count_of(&c, c.n_keys), 1, 1, 63)};
    for (size_t i = 0; i < c.width; i++)
        values[0][i] = 4.0f; /* channel 0, the square root of its number: k's channel 0 is the level */
    for (size_t i = 0; i < c.n_keys; i++)
        values[1][i] = level->first + level->step * (float)i + (i < 400 ? 0 : level->jump);
    round_to_bf16(values[0], c.width, scale_of(&c));
    round_to_bf16(values[1], c.n_keys, 1);
    tt_test_round(form, values[0], c.width);
    check_values(form, &c, values, tolerance_of(form));
    for (size_t i = 0; i < 3; i++)
        free(values[i]);
}

static void test_dot_levels(void **state)
{
    (void)state;
    tt_kernels forms[4];
    size_t n_forms = dot_forms(forms);
    if (n_forms == 0)
        skip();
    for (size_t f = 0; f < n_forms; f++)
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
            check_levels(&forms[f], &levels[i]);
}

/* Queries, keys and values as channel views of one plane, the output as a view of another whose rest stays untouched.
 */
static void check_views(const tt_kernels *form)
{
    attention_case c = {"views of one plane", 2, 20, 2, 1, 23, 23, false, 1, false};
    uint32_t channels = c.n_heads * c.head_dim;
    size_t n = (size_t)channels * c.width;
    tt_test_tensor qkv = tt_test_tensor_create(form, 3 * channels, c.batch, 1, c.width, 0);
    tt_test_tensor out = tt_test_tensor_create(form, 8 + channels, c.batch, 1, c.width, 0);
    float *x = make_values(form, tt_test_count(&qkv), 1, 1, 41), *parts[3];
    for (size_t p = 0; p < 3; p++) {
        parts[p] = tt_test_random_new(c.batch * n, 1);
        for (size_t image = 0; image < c.batch; image++)
            memcpy(parts[p] + image * n, x + (image * 3 + p) * n, n * sizeof(float));
    }
    float *want = compute_reference(&c, parts[0], parts[1], parts[2]);
    tt_test_upload(&qkv, x);
    tt_attention_args args = {.q = tt_plane_channels(&qkv.plane, 0, channels),
                              .k = tt_plane_channels(&qkv.plane, channels, channels),
                              .v = tt_plane_channels(&qkv.plane, 2 * channels, channels),
                              .n_heads = c.n_heads,
                              .head_dim = c.head_dim,
                              .out = tt_plane_channels(&out.plane, 8, channels)};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_attention_record(form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download_part(&out);
    for (size_t image = 0; image < c.batch; image++) {
        const float *image_got = got + image * (n + 8 * (size_t)c.width);
        for (size_t i = 0; i < 8 * (size_t)c.width; i++)
            assert_true(image_got[i] != image_got[i]); /* still poison */
        tt_test_close(image_got + 8 * (size_t)c.width, want + image * n, n,
                      form->arithmetic == TT_ARITHMETIC_FLOAT ? tt_test_tolerance(form) : 5e-3, c.label);
    }
    float *arrays[] = {x, parts[0], parts[1], parts[2], want, got};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    tt_test_tensor_release(&qkv);
    tt_test_tensor_release(&out);
}

static void test_views(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        check_views(&tt_test_forms()[f]);
    tt_kernels forms[4];
    size_t n_forms = dot_forms(forms);
    for (size_t f = 0; f < n_forms; f++)
        check_views(&forms[f]);
}

/* Arguments that do not fit together end in a sentence, not in a launch. */
static void test_refusals(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    tt_plane plane = {.channels = 16, .batch = 1, .height = 1, .width = 3};
    tt_attention_args good = {.q = plane, .k = plane, .v = plane, .n_heads = 2, .head_dim = 8, .out = plane};
    tt_attention_args bad[6] = {good, good, good, good, good, good};
    bad[0].head_dim = 6;
    bad[1].n_heads = 4;
    bad[2].k.batch = 2;
    bad[3].v.width = 4;
    bad[4].out.width = 4;
    bad[5].q.border = 1;
    tt_recorder *recorder = tt_test_recorder();
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(tt_attention_record(form, &bad[i], recorder, tt_test_error()), TT_ERROR_INTERNAL);
        assert_non_null(strstr(tt_test_error()->text, "attention"));
    }
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_dot_shapes), cmocka_unit_test(test_dot_error),
        cmocka_unit_test(test_dot_levels), cmocka_unit_test(test_dot_cuts),   cmocka_unit_test(test_gpu_local),
        cmocka_unit_test(test_gpu_half),   cmocka_unit_test(test_views),      cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
