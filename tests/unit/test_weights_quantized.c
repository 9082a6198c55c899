/* test_weights_quantized.c - weights in blocks and in int8 per channel: slices, rows of convolutions, scales, sums. */
#include "model-file/weights.h"
#include "tests/support/gguf-text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct source {
    uint8_t *bytes;
    tt_tensor_file *file;
    tt_weights *weights;
} source;

static source open_source(const char *text, const char *prefix, tt_translate_fn translate)
{
    source made;
    size_t n_bytes;
    tt_error err = {""};
    made.bytes = gguf_block(text, &n_bytes);
    assert_non_null(made.bytes);
    if (tt_tensor_file_open_memory(made.bytes, n_bytes, "m.gguf", &made.file, &err) != TT_OK ||
        tt_weights_create(&made.file, 1, false, prefix, translate, NULL, &made.weights, &err) != TT_OK)
        fail_msg("%s", err.text);
    return made;
}

static void close_source(source *made)
{
    tt_weights_destroy(made->weights);
    tt_tensor_file_close(made->file);
    free(made->bytes);
}

static const void *data_of(const source *made, const char *name)
{
    return tt_tensor_file_find(made->file, name)->data;
}

static void refuse(const source *made, const char *name, uint32_t n_dims, const uint64_t *dims, const char *mention)
{
    tt_weight weight;
    tt_error err = {""};
    size_t n_unused = tt_weights_unused(made->weights);
    assert_int_equal(tt_weights_get(made->weights, name, n_dims, dims, &weight, &err), TT_ERROR_FORMAT);
    if (strstr(err.text, mention) == NULL || strncmp(err.text, "m.gguf: ", 8) != 0)
        fail_msg("%s: does not begin with the file or say '%s': %s", name, mention, err.text);
    assert_int_equal(tt_weights_unused(made->weights), n_unused);
}

/* ---- blocks */

static void test_blocks(void **state)
{
    (void)state;
    source s = open_source(GGUF_HEAD(2, 0) "$u.m 2:4 64:8 3:8 2:4 0:8 $u.v 1:4 32:8 8:4 128:8 ~32 *162:0", "u.", NULL);
    tt_weight weight;
    const uint64_t matrix[] = {3, 64}, pointwise[] = {3, 64, 1, 1}, vector[] = {32}, other[] = {64, 3};
    assert_int_equal(tt_weights_get(s.weights, "m", 2, matrix, &weight, NULL), TT_OK);
    assert_true(weight.tensor.dtype == TT_Q4_0 && weight.tensor.n_bytes == 108 && weight.tensor.n_dims == 2);
    assert_null(weight.scale);
    assert_null(weight.offset);
    assert_int_equal(tt_weights_get(s.weights, "m", 4, pointwise, &weight, NULL), TT_OK);
    assert_int_equal(weight.tensor.n_dims, 4);
    assert_int_equal(tt_weights_get(s.weights, "v", 1, vector, &weight, NULL), TT_OK);
    assert_true(weight.tensor.dtype == TT_Q8_0 && weight.tensor.n_bytes == 34);
    refuse(&s, "m", 2, other, "expected shape [64, 3] in whole blocks of Q4_0, found [3, 64]");
    assert_int_equal(tt_weights_unused(s.weights), 0);
    assert_int_equal(tt_weights_parameters(s.weights), 3 * 64 + 32);
    assert_int_equal(tt_weights_elements(s.weights), 3 * 64 + 32);
    assert_int_equal(tt_weights_bytes(s.weights), 108 + 34);
    close_source(&s);
}

/* A convolution [o, i, kh, kw] may be stored as the matrix of its rows, in blocks or not. */
static void test_rows_of_a_convolution(void **state)
{
    (void)state;
    source s = open_source(GGUF_HEAD(2, 0) "$c 2:4 288:8 4:8 8:4 0:8 $f 2:4 18:8 2:8 1:4 1248:8 ~32 *1320:0", "", NULL);
    tt_weight weight;
    const uint64_t conv[] = {4, 32, 3, 3}, other[] = {4, 288, 3, 3}, small[] = {2, 2, 3, 3}, turned[] = {4, 9, 32, 1};
    const uint64_t wrapped[] = {4, UINT64_C(1) << 63, 2, 288}, three[] = {4, 32, 9};
    assert_int_equal(tt_weights_get(s.weights, "c", 4, conv, &weight, NULL), TT_OK);
    assert_true(weight.tensor.n_dims == 4 && weight.tensor.dims[3] == 3 && weight.tensor.n_bytes == 1224);
    assert_ptr_equal(weight.tensor.data, data_of(&s, "c"));
    assert_int_equal(tt_weights_get(s.weights, "c", 4, turned, &weight, NULL), TT_OK);
    assert_int_equal(tt_weights_get(s.weights, "f", 4, small, &weight, NULL), TT_OK);
    refuse(&s, "c", 4, other, "expected shape [4, 288, 3, 3]");
    refuse(&s, "c", 4, wrapped, "expected shape");
    refuse(&s, "c", 3, three, "found [4, 288]");
    close_source(&s);
}

/* Thirds "q", "k", "v" of "in_proj" and "b0" to "b2" of "in_bias", quarters "h0" to "h3"; "p" is stored as [in, out].
 */
static bool translate(const void *layout, const char *canonical, tt_tensor_place *place)
{
    static const struct {
        const char *canonical, *stored;
        uint32_t slice_index, n_slices;
    } places[] = {{"q", "in_proj", 0, 3},   {"k", "in_proj", 1, 3},   {"v", "in_proj", 2, 3},
                  {"b0", "in_bias", 0, 3},  {"b1", "in_bias", 1, 3},  {"b2", "in_bias", 2, 3},
                  {"h0", "quarters", 0, 4}, {"h1", "quarters", 1, 4}, {"h2", "quarters", 2, 4},
                  {"h3", "quarters", 3, 4}, {"p", "proj", 0, 1}};
    (void)layout;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcmp(canonical, places[i].canonical) != 0)
            continue;
        *place = (tt_tensor_place){
            .slice_index = places[i].slice_index, .n_slices = places[i].n_slices, .transposed = canonical[0] == 'p'};
        (void)snprintf(place->name, sizeof(place->name), "%s", places[i].stored);
        return true;
    }
    return false;
}

static void test_slices_of_blocks(void **state)
{
    (void)state;
    source s = open_source(GGUF_HEAD(3, 0) "$in_proj 2:4 256:8 6:8 12:4 0:8 $in_bias 1:4 96:8 8:4 864:8 "
                                           "$proj 2:4 64:8 32:8 6:4 992:8 ~32 *2400:0",
                           "", translate);
    static const char *const parts[] = {"q", "k", "v"}, *const biases[] = {"b0", "b1", "b2"};
    const uint64_t matrix[] = {2, 256}, bias[] = {32}, turned[] = {64, 32};
    tt_weight weight;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tt_weights_get(s.weights, parts[i], 2, matrix, &weight, NULL), TT_OK);
        assert_ptr_equal(weight.tensor.data, (const uint8_t *)data_of(&s, "in_proj") + 288 * i);
        assert_int_equal(weight.tensor.n_bytes, 288);
        assert_int_equal(tt_weights_get(s.weights, biases[i], 1, bias, &weight, NULL), TT_OK);
        assert_ptr_equal(weight.tensor.data, (const uint8_t *)data_of(&s, "in_bias") + 34 * i);
    }
    assert_int_equal(tt_weights_get(s.weights, "p", 2, turned, &weight, NULL), TT_OK);
    assert_true(weight.transposed && weight.tensor.n_bytes == 1408);
    assert_ptr_equal(weight.tensor.data, data_of(&s, "proj"));
    close_source(&s);
}

/* Rows of 64 with blocks of 256 running through them: quarters end between blocks or not. */
static void test_slices_across_a_block(void **state)
{
    (void)state;
    source s = open_source(GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.quarters 9:4 5:4 2:8 16:4 64:4 "
                                           "$quarters 2:4 256:8 4:8 12:4 0:8 ~32 *576:0",
                           "", translate);
    const uint64_t quarter[] = {4, 64}, rows[] = {2, 64}, vector[] = {64};
    tt_weight weight;
    assert_int_equal(tt_weights_get(s.weights, "h2", 2, quarter, &weight, NULL), TT_OK);
    assert_ptr_equal(weight.tensor.data, (const uint8_t *)data_of(&s, "quarters") + 2 * 144);
    close_source(&s);
    s = open_source(GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.quarters 9:4 5:4 2:8 8:4 64:4 "
                                    "$quarters 2:4 256:8 2:8 12:4 0:8 ~32 *288:0",
                    "", translate);
    assert_false(tt_weights_peek(s.weights, "h1", &weight));
    refuse(&s, "h1", 2, rows, "expected shape 4 times [2, 64] in whole blocks of Q4_K, found [8, 64]");
    close_source(&s);
    s = open_source(GGUF_HEAD(1, 0) "$quarters 1:4 256:8 12:4 0:8 ~32 *144:0", "", translate);
    refuse(&s, "h0", 1, vector, "whole blocks of Q4_K");
    close_source(&s);
}

/* ---- int8 per channel */

#define W8C_VALUES "$x.w 2:4 2:8 3:8 24:4 0:8 "
#define W8C_SCALE "$x.w_scale 1:4 3:8 0:4 32:8 "
#define W8C_OFFSET "$x.w_offset 1:4 3:8 0:4 64:8 "

static void test_w8c(void **state)
{
    (void)state;
    const uint64_t dims[] = {3, 2}, pointwise[] = {3, 2, 1, 1};
    tt_weight weight;
    source s = open_source(GGUF_HEAD(3, 0) W8C_VALUES W8C_SCALE W8C_OFFSET "~32 *76:0", "x.", NULL);
    assert_int_equal(tt_weights_get(s.weights, "w", 2, dims, &weight, NULL), TT_OK);
    assert_int_equal(weight.tensor.dtype, TT_I8);
    assert_ptr_equal(weight.scale, data_of(&s, "x.w_scale"));
    assert_ptr_equal(weight.offset, data_of(&s, "x.w_offset"));
    assert_int_equal(tt_weights_unused(s.weights), 0);
    assert_int_equal(tt_weights_parameters(s.weights), 6);
    assert_int_equal(tt_weights_elements(s.weights), 6);
    assert_int_equal(tt_weights_bytes(s.weights), 6 + 12 + 12);
    assert_true(tt_weights_all_half(s.weights));
    assert_string_equal(tt_weights_type(s.weights), "w8c");
    close_source(&s);
    s = open_source(GGUF_HEAD(2, 0) W8C_VALUES W8C_SCALE "~32 *44:0", "x.", NULL);
    assert_int_equal(tt_weights_get(s.weights, "w", 4, pointwise, &weight, NULL), TT_OK);
    assert_ptr_equal(weight.scale, data_of(&s, "x.w_scale"));
    assert_null(weight.offset);
    assert_true(tt_weights_peek(s.weights, "w", &weight));
    assert_ptr_equal(weight.scale, data_of(&s, "x.w_scale"));
    close_source(&s);
}

static void test_w8c_refusals(void **state)
{
    (void)state;
    const uint64_t dims[] = {3, 2}, three[] = {3};
    static const struct {
        const char *text, *mention;
    } cases[] = {
        {GGUF_HEAD(1, 0) W8C_VALUES "~32 *6:0",
         "\"x.w\": expected the tensor \"x.w_scale\" beside these weights of I8"},
        {GGUF_HEAD(2, 0) W8C_VALUES "$x.w_offset 1:4 3:8 0:4 32:8 ~32 *44:0", "x.w_scale"},
        {GGUF_HEAD(2, 0) W8C_VALUES "$x.w_scale 1:4 2:8 0:4 32:8 ~32 *44:0",
         "\"x.w_scale\": expected F32 of shape [3], one value for each output channel of its weights, found F32 of "
         "shape [2]"},
        {GGUF_HEAD(2, 0) W8C_VALUES "$x.w_scale 1:4 3:8 1:4 32:8 ~32 *44:0", "found F16 of shape [3]"},
        {GGUF_HEAD(2, 0) W8C_VALUES "$x.w_scale 2:4 1:8 3:8 0:4 32:8 ~32 *44:0", "shape [3, 1]"},
        {GGUF_HEAD(2, 0) W8C_VALUES "$x.w_scale 0:4 0:4 32:8 ~32 *44:0", "shape []"},
        {GGUF_HEAD(3, 0) W8C_VALUES W8C_SCALE "$x.w_offset 1:4 4:8 0:4 64:8 ~32 *80:0", "\"x.w_offset\": expected"},
        {GGUF_HEAD(2, 0) "$x.w 2:4 2:8 3:8 26:4 0:8 " W8C_SCALE "~32 *44:0", "found I32; use another file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        source s = open_source(cases[i].text, "x.", NULL);
        refuse(&s, "w", 2, dims, cases[i].mention);
        close_source(&s);
    }
    /* A scale is a vector of floats like any other, and the integers it stands for are still checked. */
    source s = open_source(GGUF_HEAD(2, 0) W8C_VALUES W8C_SCALE "~32 *44:0", "x.", NULL);
    tt_weight weight;
    refuse(&s, "w", 1, three, "expected floating-point weights (F32, F16 or BF16) or quantized ones, found I8");
    assert_int_equal(tt_weights_get(s.weights, "w_scale", 1, three, &weight, NULL), TT_OK);
    close_source(&s);
}

static void test_slices_of_w8c(void **state)
{
    (void)state;
    source s = open_source(GGUF_HEAD(3, 0) "$in_proj 2:4 4:8 6:8 24:4 0:8 $in_proj_scale 1:4 6:8 0:4 32:8 "
                                           "$in_proj_offset 1:4 6:8 0:4 64:8 ~32 *88:0",
                           "", translate);
    static const char *const parts[] = {"q", "k", "v"};
    const uint64_t dims[] = {2, 4};
    tt_weight weight;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tt_weights_get(s.weights, parts[i], 2, dims, &weight, NULL), TT_OK);
        assert_ptr_equal(weight.tensor.data, (const uint8_t *)data_of(&s, "in_proj") + 8 * i);
        assert_ptr_equal(weight.scale, (const uint8_t *)data_of(&s, "in_proj_scale") + 8 * i);
        assert_ptr_equal(weight.offset, (const uint8_t *)data_of(&s, "in_proj_offset") + 8 * i);
    }
    assert_int_equal(tt_weights_unused(s.weights), 0);
    close_source(&s);
    s = open_source(GGUF_HEAD(2, 0) "$in_proj 2:4 4:8 6:8 24:4 0:8 $in_proj_scale 1:4 2:8 0:4 32:8 ~32 *40:0", "",
                    translate);
    refuse(&s, "k", 2, dims, "expected F32 of shape 3 times [2]");
    close_source(&s);
    /* [in, out]: the scales are those of the outputs. */
    s = open_source(GGUF_HEAD(2, 0) "$proj 2:4 4:8 6:8 24:4 0:8 $proj_scale 1:4 4:8 0:4 32:8 ~32 *48:0", "", translate);
    const uint64_t turned[] = {4, 6};
    assert_int_equal(tt_weights_get(s.weights, "p", 2, turned, &weight, NULL), TT_OK);
    assert_true(weight.transposed && weight.scale == data_of(&s, "proj_scale"));
    close_source(&s);
}

/* ---- sums */

static void test_sums(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text, *type;
        bool all_half;
        uint64_t n_elements;
    } cases[] = {
        {"blocks and wide vectors", GGUF_HEAD(2, 0) "$m 2:4 32:8 2:8 2:4 0:8 $v 1:4 4:8 0:4 64:8 ~32 *80:0", "Q4_0",
         true, 68},
        {"blocks and a wide matrix", GGUF_HEAD(2, 0) "$m 2:4 32:8 2:8 2:4 0:8 $n 2:4 2:8 2:8 0:4 64:8 ~32 *80:0",
         "Q4_0", false, 68},
        {"half and a wide vector", GGUF_HEAD(2, 0) "$m 2:4 2:8 2:8 1:4 0:8 $v 1:4 2:8 0:4 32:8 ~32 *40:0", "F16", false,
         6},
        {"blocks alone", GGUF_HEAD(1, 0) "$m 2:4 32:8 2:8 2:4 0:8 ~32 *36:0", "Q4_0", true, 64},
        {"integers without a scale", GGUF_HEAD(1, 0) "$m 1:4 4:8 24:4 0:8 ~32 *4:0", "", false, 0},
        {"a lonely scale", GGUF_HEAD(1, 0) "$m_scale 1:4 4:8 1:4 0:8 ~32 *8:0", "F16", true, 4},
        {"a name that is only a suffix", GGUF_HEAD(1, 0) "$_scale 1:4 4:8 1:4 0:8 ~32 *8:0", "F16", true, 4},
        {"no tensor", GGUF_HEAD(0, 0), "", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        source s = open_source(cases[i].text, "", NULL);
        if (tt_weights_all_half(s.weights) != cases[i].all_half ||
            tt_weights_elements(s.weights) != cases[i].n_elements ||
            strcmp(tt_weights_type(s.weights), cases[i].type) != 0)
            fail_msg("%s: %s, %llu elements of %s", cases[i].what, tt_weights_all_half(s.weights) ? "half" : "wide",
                     (unsigned long long)tt_weights_elements(s.weights), tt_weights_type(s.weights));
        close_source(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_rows_of_a_convolution),
        cmocka_unit_test(test_slices_of_blocks),
        cmocka_unit_test(test_slices_across_a_block),
        cmocka_unit_test(test_w8c),
        cmocka_unit_test(test_w8c_refusals),
        cmocka_unit_test(test_slices_of_w8c),
        cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
