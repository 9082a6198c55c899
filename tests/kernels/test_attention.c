/* test_attention.c - attention against its reference: head widths, ragged queries and keys, causal, sharp, views. */
#include "cl-kernels/attention-gpu.h"
#include "cl-kernels/attention.h"
#include "cl-kernels/reference/attention.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
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
    {"heads of 512, 112 tokens", 1, 512, 1, 14, 8, 112, false, 1, true},
    {"causal, 300 tokens", 2, 64, 1, 1, 300, 300, true, 3, true},
};

static float *make_values(const tt_kernels *form, size_t n, float factor, uint64_t seed)
{
    float *values = tt_test_random_new(n, seed);
    for (size_t i = 0; i < n; i++)
        values[i] *= factor;
    tt_test_round(form, values, n);
    return values;
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

/* variant: NULL, or one of the GPU's own, which may be off by `more`. */
static void check_variant(const tt_kernels *form, const attention_case *c, const tt_attention_variant *variant,
                          double more)
{
    uint32_t channels = c->n_heads * c->head_dim;
    tt_test_tensor q = tt_test_tensor_create(form, channels, c->batch, c->height, c->width, 0);
    tt_test_tensor k = tt_test_tensor_create(form, channels, c->batch, 1, c->n_keys, 0);
    tt_test_tensor v = tt_test_tensor_create(form, channels, c->batch, 1, c->n_keys, 0);
    tt_test_tensor out = tt_test_tensor_create(form, channels, c->batch, c->height, c->width, 0);
    float *values[3] = {make_values(form, tt_test_count(&q), c->sharpness, 31),
                        make_values(form, tt_test_count(&k), c->sharpness, 32),
                        make_values(form, tt_test_count(&v), 1, 33)};
    float *want = compute_reference(c, values[0], values[1], values[2]);
    tt_test_upload(&q, values[0]);
    tt_test_upload(&k, values[1]);
    tt_test_upload(&v, values[2]);
    tt_attention_args args = {.q = q.plane,
                              .k = k.plane,
                              .v = v.plane,
                              .n_heads = c->n_heads,
                              .head_dim = c->head_dim,
                              .causal = c->causal,
                              .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    if (variant == NULL)
        tt_test_ok(tt_attention_record(form, &args, recorder, tt_test_error()));
    else
        tt_test_ok(tt_attention_gpu_record(form, &args, variant, recorder, tt_test_error()));
    tt_test_run(recorder);
    char label[160];
    (void)snprintf(label, sizeof(label), "attention %s %s: %s", tt_test_form_name(form),
                   variant != NULL ? variant->name : "", c->label);
    float *got = tt_test_download(&out);
    tt_test_close(got, want, tt_test_count(&out), tt_test_tolerance(form) + more, label);
    for (size_t i = 0; i < 3; i++)
        free(values[i]);
    free(want);
    free(got);
    tt_test_tensor_release(&q);
    tt_test_tensor_release(&k);
    tt_test_tensor_release(&v);
    tt_test_tensor_release(&out);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            if (!cases[i].is_large || !tt_test_small())
                check_variant(&tt_test_forms()[f], &cases[i], NULL, 0);
}

/* The GPU's own variants, as many as the device can run. Storage forms take turns. */
static void check_gpu_variants(tt_arithmetic arithmetic, double more)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_kernels form = tt_test_forms()[2 + i % 2];
        form.arithmetic = arithmetic;
        form.dot.half = TT_DOT_GPU_FP16;
        const tt_attention_variant *variants[TT_ATTENTION_MAX_VARIANTS];
        tt_attention_args args = {.head_dim = cases[i].head_dim};
        size_t n = cases[i].is_large ? 0 : tt_attention_gpu_variants(&form, &args, variants);
        for (size_t v = 0; v < n; v++)
            if (variants[v]->is_half == (arithmetic == TT_ARITHMETIC_HALF) &&
                (variants[v]->is_half || variants[v]->is_local))
                check_variant(&form, &cases[i], variants[v], more);
    }
}

static void test_gpu_local(void **state)
{
    (void)state;
    check_gpu_variants(TT_ARITHMETIC_FLOAT, 1e-6);
}

/* Scores of half products are off by 2^-11 of themselves, and weights by as much. */
static void test_gpu_half(void **state)
{
    (void)state;
    if (!tt_device_caps(tt_test_device())->has_fp16)
        skip();
    check_gpu_variants(TT_ARITHMETIC_HALF, 4e-3);
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
    float *x = make_values(form, tt_test_count(&qkv), 1, 41), *parts[3];
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
        tt_test_close(image_got + 8 * (size_t)c.width, want + image * n, n, tt_test_tolerance(form), c.label);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_gpu_local),
                                       cmocka_unit_test(test_gpu_half), cmocka_unit_test(test_views),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
