/* test_weight_store.c - packed weights: shared by name, checked against the file, refused with a sentence. */
#include "graph/graph.h"
#include "graph/layer-name.h"
#include "model-file/safetensors.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/temp-folder.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "{\"q.weight\":{\"dtype\":\"F32\",\"shape\":[8,4],\"data_offsets\":[0,128]},"
                             "\"q.bias\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[128,160]},"
                             "\"k.weight\":{\"dtype\":\"F16\",\"shape\":[12,4,1,1],\"data_offsets\":[160,256]},"
                             "\"k.bias\":{\"dtype\":\"F16\",\"shape\":[12],\"data_offsets\":[256,280]},"
                             "\"conv.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4,3,3],\"data_offsets\":[280,568]},"
                             "\"conv.bias\":{\"dtype\":\"I64\",\"shape\":[4],\"data_offsets\":[568,600]},"
                             "\"ids.weight\":{\"dtype\":\"I32\",\"shape\":[8,4],\"data_offsets\":[600,728]},"
                             "\"table\":{\"dtype\":\"F32\",\"shape\":[5,8],\"data_offsets\":[728,888]}}";
enum { DATA_BYTES = 888 };

typedef struct bench {
    uint8_t *bytes;
    tt_tensor_file *file;
    tt_weights *weights;
    tt_weight_store *store;
} bench;

static bench start(void)
{
    bench b;
    size_t n_bytes;
    b.bytes = safetensors_block(header, DATA_BYTES, &n_bytes);
    assert_non_null(b.bytes);
    for (size_t i = 0; i < 32; i++) { /* q.weight: 0, 1, 2, ... */
        float value = (float)i;
        memcpy(b.bytes + n_bytes - DATA_BYTES + 4 * i, &value, 4);
    }
    tt_test_ok(tt_tensor_file_open_memory(b.bytes, n_bytes, "m.safetensors", &b.file, tt_test_error()));
    tt_test_ok(tt_weights_create(&b.file, 1, false, "", NULL, NULL, &b.weights, tt_test_error()));
    tt_test_ok(tt_weight_store_create(&tt_test_forms()[0], b.weights, &b.store, tt_test_error()));
    return b;
}

static void finish(bench *b)
{
    tt_weight_store_destroy(b->store);
    tt_weights_destroy(b->weights);
    tt_tensor_file_close(b->file);
    free(b->bytes);
}

static tt_matrix_request request_of(const char *const *names, const uint32_t *n_out, uint32_t n_parts)
{
    return (tt_matrix_request){
        .names = names, .n_out = n_out, .n_parts = n_parts, .n_in = 4, .n_taps = 1, .has_bias = true};
}

static void test_sharing(void **state)
{
    (void)state;
    bench b = start();
    const char *const names[] = {"q", "k"};
    const uint32_t n_out[] = {8, 12};
    tt_matrix_request one = request_of(names, n_out, 1), both = request_of(names, n_out, 2);
    const tt_matrix *first, *again, *stacked;
    const tt_vector *bias, *bias_again;
    tt_weight table;
    assert_int_equal(tt_weight_store_bytes(b.store), 0);
    tt_test_ok(tt_weight_store_matrix(b.store, &one, &first, tt_test_error()));
    uint64_t n_bytes = tt_weight_store_bytes(b.store);
    assert_true(n_bytes >= 8 * 4 * 4);
    tt_test_ok(tt_weight_store_matrix(b.store, &one, &again, tt_test_error()));
    assert_ptr_equal(first, again);
    assert_int_equal(tt_weight_store_bytes(b.store), n_bytes); /* packed once */
    tt_test_ok(tt_weight_store_matrix(b.store, &both, &stacked, tt_test_error()));
    assert_ptr_not_equal(stacked, first);
    assert_int_equal(stacked->n_out, 20);
    assert_true(tt_weight_store_bytes(b.store) > n_bytes);
    tt_test_ok(tt_weight_store_vector(b.store, "q.bias", 8, &bias, tt_test_error()));
    n_bytes = tt_weight_store_bytes(b.store);
    tt_test_ok(tt_weight_store_vector(b.store, "q.bias", 8, &bias_again, tt_test_error()));
    assert_ptr_equal(bias, bias_again);
    tt_test_ok(tt_weight_store_table(b.store, "table", 5, 8, &table, tt_test_error()));
    assert_int_equal(table.tensor.dims[0], 5);
    assert_int_equal(tt_weight_store_bytes(b.store), n_bytes); /* tables stay in their file */
    /* Addresses stay valid when the list of entries grows. */
    assert_int_equal(first->n_out, 8);
    assert_int_equal(first->n_in, 4);
    finish(&b);
}

/* Two graphs of one store give the same results from the same packed weights. */
static void test_two_graphs(void **state)
{
    (void)state;
    bench b = start();
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[2][16];
    uint64_t n_bytes = 0;
    tt_graph *graphs[2];
    for (int i = 0; i < 2; i++) {
        tt_test_ok(tt_graph_create(&tt_test_forms()[0], "pair", b.store, &graphs[i], tt_test_error()));
        tt_value x = tt_graph_input_tokens(graphs[i], "x", false, 1, 2, 4);
        x = tt_graph_linear(graphs[i], x, &(tt_linear_op){.name = "q", .n_out = 8});
        tt_graph_output(graphs[i], x, "y", true);
        tt_test_ok(tt_graph_compile(graphs[i], tt_test_error()));
        assert_true(i == 0 || tt_weight_store_bytes(b.store) == n_bytes);
        n_bytes = tt_weight_store_bytes(b.store);
    }
    for (int i = 0; i < 2; i++) {
        tt_test_ok(tt_graph_write(graphs[i], "x", in, 8, tt_test_error()));
        tt_test_ok(tt_graph_run(graphs[i], tt_test_error()));
        tt_test_ok(tt_graph_read(graphs[i], "y", out[i], 16, tt_test_error()));
        tt_graph_destroy(graphs[i]);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    assert_true(out[0][0] == 0 * 1 + 1 * 2 + 2 * 3 + 3 * 4); /* row 0 of q.weight times the first token */
    assert_true(out[0][15] == 28 * 5 + 29 * 6 + 30 * 7 + 31 * 8);
    finish(&b);
}

static void expect(tt_status got, tt_status want, const char *const *mentions)
{
    const char *text = tt_test_error()->text;
    assert_int_equal(got, want);
    for (; *mentions; mentions++)
        if (!strstr(text, *mentions))
            fail_msg("the sentence lacks \"%s\": %s", *mentions, text);
}

static void test_refusals(void **state)
{
    (void)state;
    bench b = start();
    const tt_matrix *matrix = NULL;
    const tt_vector *vector = NULL;
    tt_weight table = {0};
    tt_error *err = tt_test_error();
    const char *name = "q";
    uint32_t n_out = 8;
    tt_matrix_request r = request_of(&name, &n_out, 1);
    r.n_in = 5;
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_FORMAT,
           (const char *const[]){"m.safetensors", "q.weight", "[8, 5]", "[8, 4]", NULL});
    name = "absent";
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_FORMAT,
           (const char *const[]){"m.safetensors", "absent.weight", NULL});
    name = "ids"; /* integers are no weights */
    r.n_in = 4;
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_FORMAT,
           (const char *const[]){"m.safetensors", "ids.weight", "I32", NULL});
    name = "conv";
    n_out = 4;
    r.n_taps = 9;
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_FORMAT,
           (const char *const[]){"m.safetensors", "conv.bias", "I64", NULL});
    r.has_bias = false;
    tt_test_ok(tt_weight_store_matrix(b.store, &r, &matrix, err));
    assert_int_equal(matrix->n_taps, 9);

    expect(tt_weight_store_vector(b.store, "q.bias", 9, &vector, err), TT_ERROR_FORMAT,
           (const char *const[]){"q.bias", "[9]", "[8]", NULL});
    expect(tt_weight_store_vector(b.store, "q.shift", 8, &vector, err), TT_ERROR_FORMAT,
           (const char *const[]){"m.safetensors", "q.shift", NULL});
    expect(tt_weight_store_table(b.store, "table", 6, 8, &table, err), TT_ERROR_FORMAT,
           (const char *const[]){"table", "[6, 8]", "[5, 8]", NULL});
    expect(tt_weight_store_table(b.store, "rows", 6, 8, &table, err), TT_ERROR_FORMAT,
           (const char *const[]){"m.safetensors", "rows", NULL});
    assert_null(vector);
    assert_null(table.tensor.data);
    finish(&b);
}

static void test_odd_requests(void **state)
{
    (void)state;
    bench b = start();
    const tt_matrix *matrix = NULL;
    tt_error *err = tt_test_error();
    char endless[TT_MAX_NAME + 8];
    const char *name = endless;
    uint32_t n_out = 8;
    tt_matrix_request r = request_of(&name, &n_out, 0);
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_INTERNAL,
           (const char *const[]){"0 parts", NULL});
    r.n_parts = TT_MAX_PARTS + 1;
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_INTERNAL,
           (const char *const[]){"65 parts", NULL});
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    r.n_parts = 1;
    expect(tt_weight_store_matrix(b.store, &r, &matrix, err), TT_ERROR_INTERNAL,
           (const char *const[]){"too long", NULL});
    tt_weight_store_destroy(NULL);
    finish(&b);
}

/* File pages in the process's memory, 0 where the system does not say. */
static size_t file_pages(void)
{
    unsigned long size = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    int n = fscanf(file, "%lu %lu %lu", &size, &resident, &shared);
    (void)fclose(file);
    return n == 3 ? shared : 0;
}

/* Writes a file of one matrix [n_out, n_in], values 0, 1, 2, ... modulo a prime. */
static void write_matrix(const char *path, uint32_t n_out, uint32_t n_in)
{
    size_t n = (size_t)n_out * n_in;
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(i % 8191);
    tt_tensor tensor = {.name = "big.weight", .dtype = TT_F32, .n_dims = 2, .data = values, .n_bytes = n * 4};
    tensor.dims[0] = n_out;
    tensor.dims[1] = n_in;
    tt_test_ok(tt_safetensors_write(path, &tensor, 1, NULL, 0, tt_test_error()));
    free(values);
}

/* Filling a slot from a mapped file, again and again, gives the same bytes and leaves no pages of the file behind. */
static void test_fill_gives_pages_back(void **state)
{
    (void)state;
    enum { N_OUT = 4096, N_IN = 1536 }; /* 24 MB */
    const char *name = "big";
    const uint32_t n_out = N_OUT;
    char path[TT_TEMP_PATH];
    temp_folder folder;
    tt_tensor_file *file;
    tt_weights *weights;
    tt_weight_store *store;
    const tt_matrix *matrix;
    temp_folder_make(&folder);
    write_matrix(temp_folder_path(&folder, "big.safetensors", path), N_OUT, N_IN);
    tt_test_ok(tt_tensor_file_open(path, &file, tt_test_error()));
    tt_test_ok(tt_weights_create(&file, 1, false, "", NULL, NULL, &weights, tt_test_error()));
    tt_test_ok(tt_weight_store_create(&tt_test_forms()[0], weights, &store, tt_test_error()));
    tt_weight_store_set_limit(store, 0, 2);
    tt_matrix_request request = {.names = &name, .n_out = &n_out, .n_parts = 1, .n_in = N_IN, .n_taps = 1};
    tt_test_ok(tt_weight_store_matrix(store, &request, &matrix, tt_test_error()));
    tt_test_ok(tt_weight_store_pack(store, tt_test_error()));
    assert_null(matrix->values.mem);
    assert_non_null(matrix->bias.mem);
    size_t n_bytes = matrix->values.n_bytes, before = file_pages();
    assert_int_equal(n_bytes, (size_t)N_OUT * N_IN * 4);
    uint8_t *once = aligned_alloc(64, n_bytes), *twice = aligned_alloc(64, n_bytes);
    assert_non_null(once);
    assert_non_null(twice);
    tt_weight_store_prefetch(matrix);
    tt_weight_store_fill(store, matrix, once);
    tt_weight_store_fill(store, matrix, twice);
    assert_memory_equal(once, twice, n_bytes);
    for (size_t output = 0; output < N_OUT; output += 31) /* [panel][input][32] */
        for (size_t input = 0; input < N_IN; input += 97) {
            float got;
            memcpy(&got, once + ((output / 32 * N_IN + input) * 32 + output % 32) * sizeof got, sizeof got);
            assert_true(got == (float)((output * N_IN + input) % 8191));
        }
    if (before == 0)
        print_message("skipped: the system does not tell how many file pages are in memory\n");
    else
        assert_in_range(file_pages(), 0, before + (4u << 20) / 4096);
    free(once);
    free(twice);
    tt_weight_store_destroy(store);
    tt_weights_destroy(weights);
    tt_tensor_file_close(file);
    temp_folder_remove(&folder);
}

/* A plan lists what was asked for, a table too, though none of it is on a device. */
static void test_plan_lists(void **state)
{
    (void)state;
    bench b = start();
    tt_kernels without = tt_test_forms()[0];
    const char *name = "q";
    const uint32_t n_out = 8;
    tt_matrix_request r = request_of(&name, &n_out, 1);
    tt_weight_store *plan;
    const tt_matrix *matrix;
    tt_weight table;
    without.device = NULL;
    tt_test_ok(tt_weight_store_create_plan(&without, b.weights, &plan, tt_test_error()));
    for (int i = 0; i < 2; i++)
        tt_test_ok(tt_weight_store_table(plan, "table", 5, 8, &table, tt_test_error()));
    assert_int_equal(tt_weight_store_bytes(plan), 0);
    tt_test_ok(tt_weight_store_matrix(plan, &r, &matrix, tt_test_error()));
    assert_int_equal(tt_weight_store_bytes(plan), matrix->values.n_bytes + matrix->bias.n_bytes);
    assert_int_equal(tt_weight_store_n_tensors(plan), 3);
    const tt_listed_tensor *listed = tt_weight_store_tensor(plan, 0);
    assert_string_equal(listed->name, "table");
    assert_int_equal(listed->role, TT_ROLE_TABLE);
    assert_int_equal(listed->n_dims, 2);
    assert_int_equal(listed->dims[0], 5);
    assert_int_equal(listed->dims[1], 8);
    assert_int_equal(tt_weight_store_tensor(plan, 1)->role, TT_ROLE_MATRIX);
    assert_int_equal(tt_weight_store_tensor(plan, 2)->role, TT_ROLE_BIAS);
    assert_null(tt_weight_store_tensor(plan, 3));
    tt_weight_store_destroy(plan);
    finish(&b);
}

static void test_layer_names(void **state)
{
    (void)state;
    char block[TT_MAX_NAME + 10];
    assert_string_equal(tt_layer_join("a.b", "c").text, "a.b.c");
    assert_string_equal(tt_layer_index("layers", 12).text, "layers.12");
    memset(block, 'x', sizeof block - 1);
    block[sizeof block - 1] = '\0';
    assert_int_equal(strlen(tt_layer_join(block, "weight").text), TT_MAX_NAME - 1);
    block[TT_MAX_NAME - 4] = '\0';
    assert_int_equal(strlen(tt_layer_join(block, "weight").text), TT_MAX_NAME - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill_gives_pages_back),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_two_graphs),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_odd_requests),
        cmocka_unit_test(test_layer_names),
        cmocka_unit_test(test_plan_lists),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
