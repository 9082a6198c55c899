/* test_embedding.c - token and position tables of every stored type. */
#include "cl-kernels/embedding.h"
#include "cl-kernels/reference/embedding.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_ROWS = 1500, N_POSITIONS = 77 };

typedef struct embedding_case {
    uint32_t width, batch, n_tokens;
    tt_dtype tokens, positions;
} embedding_case;

static const embedding_case cases[] = {
    {8, 1, 1, TT_F32, TT_F32},  {32, 2, 77, TT_F16, TT_F16},  {12, 3, 5, TT_F32, TT_F16},
    {7, 1, 33, TT_F16, TT_F32}, {64, 1, 77, TT_BF16, TT_F32}, {5, 2, 40, TT_BF16, TT_BF16},
};

/* Values as a file would store them, and what the form makes of them in `values`. */
static void *store(const tt_kernels *form, tt_dtype dtype, float *values, size_t n)
{
    uint32_t *words = calloc(n, sizeof(*words));
    uint16_t *halves = (uint16_t *)words;
    assert_non_null(words);
    memcpy(words, values, n * sizeof(*words));
    for (size_t i = 0; i < n && dtype != TT_F32; i++)
        halves[i] = dtype == TT_F16 ? tt_float_to_half(values[i]) : (uint16_t)(words[i] >> 16);
    tt_to_float(dtype, words, values, n);
    tt_test_round(form, values, n);
    return words;
}

static tt_table make_table(const tt_kernels *form, tt_dtype dtype, float *values, uint32_t n_rows, uint32_t width)
{
    tt_table table;
    void *stored = store(form, dtype, values, (size_t)n_rows * width);
    tt_test_ok(tt_table_create(form, dtype, stored, n_rows, width, &table, tt_test_error()));
    free(stored);
    return table;
}

/* Ids that reach the first and the last row. */
static int32_t *make_ids(size_t n)
{
    int32_t *ids = calloc(n, sizeof(*ids));
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i * 389 % N_ROWS);
    ids[n - 1] = N_ROWS - 1;
    return ids;
}

static void check_case(const tt_kernels *form, const embedding_case *c)
{
    tt_test_tensor out = tt_test_tensor_create(form, c->width, c->batch, 1, c->n_tokens, 0);
    float *token_values = tt_test_random_new((size_t)N_ROWS * c->width, 61);
    float *position_values = tt_test_random_new((size_t)N_POSITIONS * c->width, 62);
    float *want = tt_test_random_new(tt_test_count(&out), 1);
    tt_table tokens = make_table(form, c->tokens, token_values, N_ROWS, c->width);
    tt_table positions = make_table(form, c->positions, position_values, N_POSITIONS, c->width);
    int32_t *ids = make_ids((size_t)c->batch * c->n_tokens);
    tt_test_array id_array = tt_test_array_create(ids, (size_t)c->batch * c->n_tokens);
    tt_reference_embedding_args reference = {c->batch, c->n_tokens, c->width, ids, token_values, position_values, want};
    tt_reference_embedding(&reference);
    tt_embedding_args args = {.ids = id_array.buffer.mem,
                              .ids_offset = id_array.first,
                              .tokens = &tokens,
                              .positions = &positions,
                              .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_embedding_record(form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    char label[128];
    (void)snprintf(label, sizeof(label), "embedding %s: %u tokens of %u", tt_test_form_name(form), c->n_tokens,
                   c->width);
    float *got = tt_test_download(&out);
    tt_test_close(got, want, tt_test_count(&out), tt_test_tolerance(form), label);
    free(token_values);
    free(position_values);
    free(want);
    free(ids);
    free(got);
    tt_table_release(form->device, &tokens);
    tt_table_release(form->device, &positions);
    tt_test_array_release(&id_array);
    tt_test_tensor_release(&out);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            check_case(&tt_test_forms()[f], &cases[i]);
}

/* Arguments that do not fit together end in a sentence, not in a launch. */
static void test_refusals(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    tt_table tokens = {.n_rows = 10, .width = 8}, positions = {.n_rows = 4, .width = 8};
    tt_plane plane = {.channels = 8, .batch = 1, .height = 1, .width = 4};
    tt_embedding_args good = {.tokens = &tokens, .positions = &positions, .out = plane};
    tt_embedding_args bad[4] = {good, good, good, good};
    bad[0].out.width = 5;
    bad[1].out.channels = 12;
    bad[2].out.height = 2;
    bad[3].out.border = 1;
    tt_recorder *recorder = tt_test_recorder();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tt_embedding_record(form, &bad[i], recorder, tt_test_error()), TT_ERROR_INTERNAL);
        assert_non_null(strstr(tt_test_error()->text, "embedding"));
    }
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
