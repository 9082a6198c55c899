/* test_weights.c - finding tensors by canonical name: prefixes, translation, slices, shapes, several files. */
#include "model-file/weights.h"
#include "tests/support/hostile-safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An open file in memory. */
typedef struct memory_file {
    uint8_t *bytes;
    tt_tensor_file *file;
} memory_file;

static memory_file open_text(const char *name, const char *header, size_t n_data)
{
    memory_file made;
    size_t n_bytes;
    tt_error err = {""};
    made.bytes = safetensors_block(header, n_data, &n_bytes);
    assert_non_null(made.bytes);
    if (tt_tensor_file_open_memory(made.bytes, n_bytes, name, &made.file, &err) != TT_OK)
        fail_msg("%s", err.text);
    return made;
}

static void close_memory(memory_file *made)
{
    tt_tensor_file_close(made->file);
    free(made->bytes);
}

static tt_weights *source(const memory_file *files, size_t n, const char *prefix, tt_translate_fn translate,
                          const void *layout)
{
    tt_tensor_file *list[4];
    tt_weights *weights;
    tt_error err = {""};
    for (size_t i = 0; i < n; i++)
        list[i] = files[i].file;
    if (tt_weights_create(list, n, false, prefix, translate, layout, &weights, &err) != TT_OK)
        fail_msg("%s", err.text);
    return weights;
}

static const char unet_header[] = "{\"unet.a.weight\":{\"dtype\":\"F16\",\"shape\":[4,2],\"data_offsets\":[0,16]},"
                                  "\"unet.b.weight\":{\"dtype\":\"F32\",\"shape\":[2,3,1,1],\"data_offsets\":[16,40]},"
                                  "\"unet.ids\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[40,56]},"
                                  "\"vae.a.weight\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[56,64]}}";

static void test_get_and_count(void **state)
{
    (void)state;
    memory_file file = open_text("m.safetensors", unet_header, 64);
    tt_weights *weights = source(&file, 1, "unet.", NULL, NULL);
    tt_weight weight;
    tt_error err = {""};
    const uint64_t dims[] = {4, 2};
    assert_int_equal(tt_weights_count(weights), 3);
    assert_int_equal(tt_weights_unused(weights), 3);
    assert_true(tt_weights_has(weights, "a.weight"));
    assert_false(tt_weights_has(weights, "unet.a.weight"));
    assert_false(tt_weights_has(weights, "c.weight"));
    assert_int_equal(tt_weights_get(weights, "a.weight", 2, dims, &weight, &err), TT_OK);
    assert_ptr_equal(weight.tensor.data, tt_tensor_file_find(file.file, "unet.a.weight")->data);
    assert_int_equal(weight.tensor.n_bytes, 16);
    assert_false(weight.transposed);
    assert_int_equal(tt_weights_get(weights, "a.weight", 2, dims, &weight, &err), TT_OK); /* counted once */
    assert_int_equal(tt_weights_unused(weights), 2);
    assert_int_equal(tt_weights_parameters(weights), 8);
    assert_true(tt_weights_elements(weights) >= 8);
    assert_true(tt_weights_peek(weights, "b.weight", &weight));
    assert_int_equal(weight.tensor.n_dims, 4);
    assert_false(tt_weights_peek(weights, "c.weight", &weight));
    assert_int_equal(tt_weights_unused(weights), 2);
    tt_weights_destroy(weights);
    close_memory(&file);
}

static void test_refusals(void **state)
{
    (void)state;
    memory_file file = open_text("m.safetensors", unet_header, 64);
    tt_weights *weights = source(&file, 1, "unet.", NULL, NULL), *none = source(NULL, 0, "", NULL, NULL);
    tt_weight weight = {.transposed = true};
    tt_error err;
    const uint64_t dims[] = {4, 3, 1, 1, 1, 1, 1, 1, 1};
    char long_name[2 * TT_MAX_NAME + 1];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(tt_weights_get(weights, "a.weight", 2, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text,
                        "m.safetensors: tensor \"unet.a.weight\": expected shape [4, 3], found [4, 2]; the file "
                        "is damaged or does not belong to its config");
    assert_int_equal(tt_weights_get(weights, "a.weight", 1, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_int_equal(tt_weights_get(weights, "a.weight", 3, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_int_equal(tt_weights_get(weights, "a.weight", 9, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_int_equal(tt_weights_get(weights, "missing", 2, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "m.safetensors: tensor \"unet.missing\" is missing"));
    assert_int_equal(tt_weights_get(weights, long_name, 2, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "is missing"));
    assert_int_equal(tt_weights_get(weights, "ids", 1, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "\"unet.ids\": expected floating-point weights"));
    assert_non_null(strstr(err.text, "I64"));
    assert_int_equal(tt_weights_get(none, "x", 2, dims, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "no weights"));
    assert_true(weight.transposed); /* untouched */
    assert_int_equal(tt_weights_unused(weights), 3);
    assert_int_equal(tt_weights_parameters(weights), 0);
    tt_weights_destroy(weights);
    tt_weights_destroy(none);
    tt_weights *refused;
    assert_int_equal(tt_weights_create(NULL, 0, false, long_name, NULL, NULL, &refused, &err), TT_ERROR_ARGUMENT);
    assert_null(refused);
    tt_weights_destroy(NULL);
    close_memory(&file);
}

/* A linear layer may be stored as a 1x1 convolution and the other way round, nothing else. */
static void test_linear_and_1x1(void **state)
{
    (void)state;
    memory_file file = open_text("m", unet_header, 64);
    tt_weights *weights = source(&file, 1, "unet.", NULL, NULL);
    tt_weight weight;
    const uint64_t linear[] = {2, 3}, pointwise[] = {4, 2, 1, 1}, conv[] = {4, 2, 3, 3}, same[] = {2, 3, 1, 1};
    assert_int_equal(tt_weights_get(weights, "b.weight", 2, linear, &weight, NULL), TT_OK);
    assert_int_equal(weight.tensor.n_dims, 2);
    assert_true(weight.tensor.dims[0] == 2 && weight.tensor.dims[1] == 3 && weight.tensor.dims[2] == 0);
    assert_int_equal(tt_weights_get(weights, "b.weight", 4, same, &weight, NULL), TT_OK);
    assert_int_equal(tt_weights_get(weights, "a.weight", 4, pointwise, &weight, NULL), TT_OK);
    assert_int_equal(weight.tensor.n_dims, 4);
    assert_true(weight.tensor.dims[2] == 1 && weight.tensor.dims[3] == 1);
    assert_int_equal(tt_weights_get(weights, "a.weight", 4, conv, &weight, NULL), TT_ERROR_FORMAT);
    assert_int_equal(tt_weights_get(weights, "b.weight", 3, same, &weight, NULL), TT_ERROR_FORMAT);
    tt_weights_destroy(weights);
    close_memory(&file);
    /* The rows of a convolution are a layer over unfolded inputs. */
    file = open_text("m", "{\"c\":{\"dtype\":\"F16\",\"shape\":[2,1,3,3],\"data_offsets\":[0,36]}}", 36);
    weights = source(&file, 1, "", NULL, NULL);
    const uint64_t rows[] = {2, 9}, wrong[][2] = {{2, 3}, {9, 2}, {18, 1}};
    assert_int_equal(tt_weights_get(weights, "c", 2, rows, &weight, NULL), TT_OK);
    assert_true(weight.tensor.n_dims == 2 && weight.tensor.dims[1] == 9 && weight.tensor.dims[2] == 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tt_weights_get(weights, "c", 2, wrong[i], &weight, NULL), TT_ERROR_FORMAT);
    tt_weights_destroy(weights);
    close_memory(&file);
}

/* Like an OpenCLIP checkpoint: "q"/"k"/"v" are thirds of "in_proj", "proj" is stored transposed. */
static bool translate(const void *layout, const char *canonical, tt_tensor_place *place)
{
    const char *stem = layout;
    static const char parts[] = "qkv";
    *place = (tt_tensor_place){.n_slices = 1};
    const char *part = strlen(canonical) == 1 ? strchr(parts, canonical[0]) : NULL;
    if (part != NULL) {
        (void)snprintf(place->name, sizeof(place->name), "%s.in_proj", stem);
        place->slice_index = (uint32_t)(part - parts);
        place->n_slices = 3;
        return true;
    }
    place->transposed = strcmp(canonical, "proj") == 0;
    (void)snprintf(place->name, sizeof(place->name), "%s.%s", stem, canonical);
    return strcmp(canonical, "never") != 0;
}

static void test_translation(void **state)
{
    (void)state;
    memory_file file = open_text("open.safetensors",
                                 "{\"m.t.in_proj\":{\"dtype\":\"F16\",\"shape\":[6,2],\"data_offsets\":[0,24]},"
                                 "\"m.t.proj\":{\"dtype\":\"F32\",\"shape\":[2,5],\"data_offsets\":[24,64]},"
                                 "\"m.t.never\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[64,65]}}",
                                 65);
    tt_weights *weights = source(&file, 1, "m.", translate, "t");
    const uint8_t *base = tt_tensor_file_find(file.file, "m.t.in_proj")->data;
    const uint64_t square[] = {2, 2}, wide[] = {5, 2}, other[] = {2, 3};
    tt_weight weight;
    tt_error err;
    static const char *const parts[] = {"q", "k", "v"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tt_weights_get(weights, parts[i], 2, square, &weight, &err), TT_OK);
        assert_ptr_equal(weight.tensor.data, base + 8 * i);
        assert_int_equal(weight.tensor.n_bytes, 8);
        assert_int_equal(tt_weights_parameters(weights), 12);
    }
    assert_int_equal(tt_weights_unused(weights), 2);
    assert_int_equal(tt_weights_get(weights, "proj", 2, wide, &weight, &err), TT_OK);
    assert_true(weight.transposed);
    assert_int_equal(tt_weights_get(weights, "proj", 2, other, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "[2, 3] transposed, found [2, 5]"));
    assert_int_equal(tt_weights_get(weights, "k", 2, other, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "3 times [2, 3], found [6, 2]"));
    assert_false(tt_weights_has(weights, "never"));
    assert_false(tt_weights_peek(weights, "never", &weight));
    assert_true(tt_weights_peek(weights, "proj", &weight));
    assert_true(weight.tensor.dims[0] == 5 && weight.tensor.dims[1] == 2);
    tt_weights_destroy(weights);
    close_memory(&file);
}

/* A stored tensor that cannot be cut in three or turned. */
static void test_translation_of_wrong_shapes(void **state)
{
    (void)state;
    memory_file file = open_text("m",
                                 "{\"t.in_proj\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
                                 "\"t.proj\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[8,10]}}",
                                 10);
    tt_weights *weights = source(&file, 1, "", translate, "t");
    const uint64_t dims[] = {1, 1};
    tt_weight weight;
    assert_false(tt_weights_peek(weights, "q", &weight));
    assert_false(tt_weights_peek(weights, "proj", &weight));
    assert_int_equal(tt_weights_get(weights, "q", 1, dims, &weight, NULL), TT_ERROR_FORMAT);
    assert_int_equal(tt_weights_get(weights, "proj", 2, dims, &weight, NULL), TT_ERROR_FORMAT);
    tt_weights_destroy(weights);
    close_memory(&file);
}

static void test_several_files(void **state)
{
    (void)state;
    memory_file files[2] = {
        open_text("one", "{\"x\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4),
        open_text("two", "{\"y\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]}}", 6),
    };
    tt_weights *weights = source(files, 2, "", NULL, NULL);
    const uint64_t two[] = {2}, three[] = {3};
    tt_weight weight;
    tt_error err;
    assert_int_equal(tt_weights_count(weights), 2);
    assert_int_equal(tt_weights_get(weights, "y", 1, three, &weight, &err), TT_OK);
    assert_int_equal(tt_weights_get(weights, "x", 1, two, &weight, &err), TT_OK);
    assert_int_equal(tt_weights_unused(weights), 0);
    assert_int_equal(tt_weights_parameters(weights), 5);
    assert_int_equal(tt_weights_get(weights, "y", 1, two, &weight, &err), TT_ERROR_FORMAT);
    assert_memory_equal(err.text, "two: ", 5);
    assert_int_equal(tt_weights_get(weights, "z", 1, two, &weight, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "further parts"));
    assert_true(tt_weights_all_half(weights));
    tt_weights_destroy(weights);
    close_memory(&files[0]);
    close_memory(&files[1]);
}

static void test_all_half(void **state)
{
    (void)state;
    memory_file file = open_text("m", unet_header, 64);
    tt_weights *unet = source(&file, 1, "unet.", NULL, NULL), *vae = source(&file, 1, "vae.", NULL, NULL),
               *ids = source(&file, 1, "unet.ids", NULL, NULL), *none = source(&file, 1, "x.", NULL, NULL);
    assert_false(tt_weights_all_half(unet));
    assert_true(tt_weights_all_half(vae));
    assert_false(tt_weights_all_half(ids));
    assert_false(tt_weights_all_half(none));
    assert_int_equal(tt_weights_count(none), 0);
    tt_weights_destroy(unet);
    tt_weights_destroy(vae);
    tt_weights_destroy(ids);
    tt_weights_destroy(none);
    close_memory(&file);
}

/* With owns_files the source closes them: a leak checker sees it when it does not. */
static void test_ownership(void **state)
{
    (void)state;
    memory_file file = open_text("m", unet_header, 64);
    tt_weights *weights;
    assert_int_equal(tt_weights_create(&file.file, 1, true, "", NULL, NULL, &weights, NULL), TT_OK);
    assert_int_equal(tt_weights_count(weights), 4);
    tt_weights_destroy(weights);
    free(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_and_count),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_linear_and_1x1),
        cmocka_unit_test(test_translation),
        cmocka_unit_test(test_translation_of_wrong_shapes),
        cmocka_unit_test(test_several_files),
        cmocka_unit_test(test_all_half),
        cmocka_unit_test(test_ownership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
