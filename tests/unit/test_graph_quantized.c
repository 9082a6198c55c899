/* test_graph_quantized.c - graphs over int8 weights: the results are those of the decoded weights in every form, and
 * where weights are widened for many positions the arena has room for it. */
#include "cl-kernels/dequantize.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/reference/linear.h"
#include "graph/graph.h"
#include "model-file/safetensors.h"
#include "selftest/blocks.h"
#include "tests/support/temp-folder.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_IN = 36, N_MIDDLE = 44, N_OUT = 9, HEIGHT = 8, WIDTH = 9, N_POSITIONS = HEIGHT * WIDTH };

/* A file with one linear layer and one convolution, and their weights as floats. */
typedef struct quantized_file {
    temp_folder folder;
    tt_tensor_file *file;
    tt_weights *weights;
    float linear[N_MIDDLE * N_IN], conv[N_OUT * N_MIDDLE * 9];
} quantized_file;

/* Codes and scales of a layer; *values become what they stand for. */
static void make_layer(uint32_t n_out, uint32_t width, double deviation, uint64_t seed, int8_t *codes, float *scales,
                       float *values)
{
    size_t n = (size_t)n_out * width;
    uint8_t *random = tt_sample_blocks_new(TT_I8, n, 1.0, seed);
    memcpy(codes, random + 1, n);
    tt_test_random(scales, n_out, seed + 1);
    for (uint32_t i = 0; i < n_out; i++)
        scales[i] = (float)(deviation / 74.0 * (1.0 + 0.3 * (double)scales[i]));
    for (size_t i = 0; i < n; i++)
        values[i] = scales[i / width] * (float)codes[i];
    free(random);
}

static quantized_file make_file(void)
{
    quantized_file f = {.file = NULL};
    static int8_t linear[N_MIDDLE * N_IN], conv[N_OUT * N_MIDDLE * 9];
    float linear_scales[N_MIDDLE], conv_scales[N_OUT];
    char path[TT_TEMP_PATH];
    make_layer(N_MIDDLE, N_IN, 0.17, 1, linear, linear_scales, f.linear);
    make_layer(N_OUT, N_MIDDLE * 9, 0.05, 2, conv, conv_scales, f.conv);
    const tt_tensor tensors[] = {
        {.name = "lin.weight", .dtype = TT_I8, .n_dims = 2, .dims = {N_MIDDLE, N_IN}, .data = linear},
        {.name = "lin.weight_scale", .dtype = TT_F32, .n_dims = 1, .dims = {N_MIDDLE}, .data = linear_scales},
        {.name = "conv.weight", .dtype = TT_I8, .n_dims = 4, .dims = {N_OUT, N_MIDDLE, 3, 3}, .data = conv},
        {.name = "conv.weight_scale", .dtype = TT_F32, .n_dims = 1, .dims = {N_OUT}, .data = conv_scales},
    };
    enum { N_TENSORS = sizeof(tensors) / sizeof(tensors[0]) };
    tt_tensor sized[N_TENSORS];
    for (size_t i = 0; i < N_TENSORS; i++) {
        sized[i] = tensors[i];
        sized[i].n_bytes = tt_tensor_count(&tensors[i]) * tt_dtype_size(tensors[i].dtype);
    }
    temp_folder_make(&f.folder);
    temp_folder_path(&f.folder, "q.safetensors", path);
    tt_test_ok(tt_safetensors_write(path, sized, N_TENSORS, NULL, 0, tt_test_error()));
    tt_test_ok(tt_tensor_file_open(path, &f.file, tt_test_error()));
    tt_test_ok(tt_weights_create(&f.file, 1, false, "", NULL, NULL, &f.weights, tt_test_error()));
    return f;
}

static void release_file(quantized_file *f)
{
    tt_weights_destroy(f->weights);
    tt_tensor_file_close(f->file);
    temp_folder_remove(&f->folder);
}

/* conv(lin(x)) from the decoded weights. */
static void compute_reference(const quantized_file *f, const float *x, float *want)
{
    static float middle[N_MIDDLE * N_POSITIONS];
    tt_reference_linear(&(tt_reference_linear_args){.batch = 1,
                                                    .n_in = N_IN,
                                                    .n_out = N_MIDDLE,
                                                    .n_positions = N_POSITIONS,
                                                    .in = x,
                                                    .weights = f->linear,
                                                    .out = middle});
    tt_reference_conv3x3(&(tt_reference_conv3x3_args){.batch = 1,
                                                      .n_in = N_MIDDLE,
                                                      .n_out = N_OUT,
                                                      .in_height = HEIGHT,
                                                      .in_width = WIDTH,
                                                      .out_height = HEIGHT,
                                                      .out_width = WIDTH,
                                                      .in = middle,
                                                      .weights = f->conv,
                                                      .out = want});
}

static void check_form(const tt_kernels *kernels, const quantized_file *f)
{
    static float x[N_IN * N_POSITIONS], want[N_OUT * N_POSITIONS], got[N_OUT * N_POSITIONS];
    tt_weight_store *store;
    tt_graph *graph;
    tt_test_random(x, N_IN * N_POSITIONS, 7);
    tt_test_round(kernels, x, N_IN * N_POSITIONS);
    compute_reference(f, x, want);
    tt_test_ok(tt_weight_store_create(kernels, f->weights, &store, tt_test_error()));
    tt_test_ok(tt_graph_create(kernels, "quantized", store, &graph, tt_test_error()));
    tt_value value = tt_graph_input(graph, "x", false, 1, N_IN, HEIGHT, WIDTH);
    value = tt_graph_linear(graph, value, &(tt_linear_op){.name = "lin", .n_out = N_MIDDLE, .no_bias = true});
    value = tt_graph_conv3x3(graph, value, &(tt_conv_op){.name = "conv", .n_out = N_OUT, .no_bias = true});
    tt_graph_output(graph, value, "y", false);
    tt_test_ok(tt_graph_compile(graph, tt_test_error()));
    tt_test_ok(tt_graph_write(graph, "x", x, N_IN * N_POSITIONS, tt_test_error()));
    tt_test_ok(tt_graph_run(graph, tt_test_error()));
    tt_test_ok(tt_graph_read(graph, "y", got, N_OUT * N_POSITIONS, tt_test_error()));
    tt_test_close(got, want, N_OUT * N_POSITIONS, 2 * tt_test_tolerance(kernels), tt_test_form_name(kernels));

    /* Only the plain family widens, and then into the arena: the convolution's 44 * 9 rows of 32 values. */
    size_t size = kernels->storage == TT_STORAGE_F16 ? 2 : 4, widened = (size_t)N_MIDDLE * 9 * 32 * size;
    bool has_scratch = kernels->family == TT_FAMILY_GPU_PLAIN;
    assert_int_equal(tt_graph_launches(graph) - (has_scratch ? 2 : 0), 4);
    assert_true(!has_scratch || tt_graph_arena_bytes(graph) >= widened);
    tt_graph_destroy(graph);
    tt_weight_store_destroy(store);
}

static void test_all_forms(void **state)
{
    (void)state;
    quantized_file f = make_file();
    for (size_t form = 0; form < TT_TEST_N_FORMS; form++)
        check_form(&tt_test_forms()[form], &f);
    release_file(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_forms)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
