/* test_arrays.c - sets of named arrays: adding, finding, files and back, limits. */
#include "base/dtype.h"
#include "pipeline/arrays.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_context *context;

static void add(tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims, const uint64_t *dims,
                const void *data)
{
    if (tt_arrays_add(context, arrays, name, type, n_dims, dims, data) != TT_OK)
        fail_msg("%s", tt_context_message(context));
}

static void test_round_trip(void **state)
{
    (void)state;
    static const float f32[6] = {1, -2, 3.5f, 0, 1e30f, -0.0f};
    static const double f64[2] = {1e300, -0.1};
    static const int32_t i32[3] = {INT32_MIN, 0, INT32_MAX};
    static const int64_t i64[1] = {INT64_MIN};
    static const uint8_t u8[4] = {0, 1, 254, 255};
    static const struct {
        const char *name;
        tt_array_type type;
        uint32_t n_dims;
        uint64_t dims[3];
        const void *data;
        size_t n_bytes;
    } items[] = {
        {"f32", TT_ARRAY_F32, 3, {1, 2, 3}, f32, sizeof f32}, {"f64", TT_ARRAY_F64, 1, {2}, f64, sizeof f64},
        {"i32", TT_ARRAY_I32, 2, {3, 1}, i32, sizeof i32},    {"scalar", TT_ARRAY_I64, 0, {0}, i64, sizeof i64},
        {"u8", TT_ARRAY_U8, 2, {2, 2}, u8, sizeof u8},        {"none", TT_ARRAY_F32, 2, {0, 7}, f32, 0}};
    enum { N = sizeof items / sizeof *items };
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_arrays out = {0}, in = {0};
    temp_folder_make(&folder);
    for (size_t i = 0; i < N; i++)
        add(&out, items[i].name, items[i].type, items[i].n_dims, items[i].dims, items[i].data);
    temp_folder_path(&folder, "a.safetensors", path);
    assert_int_equal(tt_arrays_write(context, path, &out), TT_OK);
    assert_int_equal(temp_folder_count(&folder), 1);
    assert_int_equal(tt_arrays_read(context, path, &in), TT_OK);
    assert_int_equal(in.n_items, N);
    for (size_t i = 0; i < N; i++) {
        const tt_array *a = tt_arrays_find(&in, items[i].name);
        assert_non_null(a);
        assert_int_equal(a->type, items[i].type);
        assert_int_equal(a->n_dims, items[i].n_dims);
        assert_memory_equal(a->data, items[i].data, items[i].n_bytes);
        for (uint32_t d = 0; d < a->n_dims; d++)
            assert_int_equal(a->dims[d], items[i].dims[d]);
    }
    assert_null(tt_arrays_find(&in, "f3"));
    tt_arrays_free(&in);
    tt_arrays_free(&out);
    assert_int_equal(out.n_items, 0);
    tt_arrays_free(&out);
    tt_arrays_free(NULL);
    assert_null(tt_arrays_find(&out, "f32"));
    temp_folder_remove(&folder);
}

/* Types that a tt_array does not have become wider ones. */
static void test_widening(void **state)
{
    (void)state;
    static const char header[] = "{\"b\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]},"
                                 "\"bf\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[2,4]},"
                                 "\"h\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]},"
                                 "\"i16\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[8,12]},"
                                 "\"i8\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[12,14]}}";
    static const uint8_t data[14] = {0, 1, 0xc0, 0x3f, 0, 0x3c, 0, 0xc4, 0xff, 0xff, 0, 0x80, 0x80, 0x7f};
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_arrays in = {0};
    size_t n_bytes;
    uint8_t *bytes = safetensors_block(header, sizeof data, &n_bytes);
    assert_non_null(bytes);
    memcpy(bytes + n_bytes - sizeof data, data, sizeof data);
    temp_folder_make(&folder);
    temp_folder_write(&folder, "w.safetensors", bytes, n_bytes);
    assert_int_equal(tt_arrays_read(context, temp_folder_path(&folder, "w.safetensors", path), &in), TT_OK);
    const tt_array *b = tt_arrays_find(&in, "b"), *bf = tt_arrays_find(&in, "bf"), *h = tt_arrays_find(&in, "h"),
                   *i16 = tt_arrays_find(&in, "i16"), *i8 = tt_arrays_find(&in, "i8");
    assert_true(b->type == TT_ARRAY_I32 && ((int32_t *)b->data)[0] == 0 && ((int32_t *)b->data)[1] == 1);
    assert_true(bf->type == TT_ARRAY_F32 && ((float *)bf->data)[0] == 1.5f);
    assert_true(h->type == TT_ARRAY_F32 && ((float *)h->data)[0] == 1.0f && ((float *)h->data)[1] == -4.0f);
    assert_true(i16->type == TT_ARRAY_I32 && ((int32_t *)i16->data)[0] == -1 && ((int32_t *)i16->data)[1] == -32768);
    assert_true(i8->type == TT_ARRAY_I32 && ((int32_t *)i8->data)[0] == -128 && ((int32_t *)i8->data)[1] == 127);
    tt_arrays_free(&in);
    free(bytes);
    temp_folder_remove(&folder);
}

static void expect(tt_status got, tt_status want, const char *mention)
{
    if (got != want || !strstr(tt_context_message(context), mention))
        fail_msg("status %d, wanted %d with \"%s\": %s", (int)got, (int)want, mention, tt_context_message(context));
}

static void test_refusals(void **state)
{
    (void)state;
    tt_arrays arrays = {0};
    float value = 1;
    uint64_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, huge[3] = {1u << 31, 1u << 31, 8}, wrap[2] = {UINT64_MAX, 2};
    char name[130];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    expect(tt_arrays_add(context, &arrays, "nine", TT_ARRAY_F32, 9, dims, &value), TT_ERROR_ARGUMENT, "array nine");
    expect(tt_arrays_add(context, &arrays, "huge", TT_ARRAY_F64, 3, huge, &value), TT_ERROR_ARGUMENT, "array huge");
    expect(tt_arrays_add(context, &arrays, "wrap", TT_ARRAY_U8, 2, wrap, &value), TT_ERROR_ARGUMENT, "array wrap");
    expect(tt_arrays_add(context, &arrays, "type", (tt_array_type)9, 1, dims, &value), TT_ERROR_ARGUMENT, "array type");
    expect(tt_arrays_add(context, &arrays, name, TT_ARRAY_F32, 1, dims, &value), TT_ERROR_ARGUMENT, "too long");
    assert_int_equal(arrays.n_items, 0);
    name[127] = '\0';
    add(&arrays, name, TT_ARRAY_F32, 8, dims, &value);
    assert_non_null(tt_arrays_find(&arrays, name));
    tt_arrays_free(&arrays);
    expect(tt_arrays_read(context, "/nonexistent/a.safetensors", &arrays), TT_ERROR_IO, "/nonexistent");
    assert_int_equal(arrays.n_items, 0);
    expect(tt_arrays_write(context, "/nonexistent/a.safetensors", &arrays), TT_ERROR_IO, "/nonexistent");
}

/* Files that a reader must refuse leave the set empty. */
static void test_hostile(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    for (size_t i = 0; i < hostile_safetensors_count(); i++) {
        hostile_file file;
        tt_arrays arrays = {0};
        assert_true(hostile_safetensors_make(i, &file));
        temp_folder_write(&folder, "h.safetensors", file.bytes, file.n_bytes);
        tt_status status = tt_arrays_read(context, temp_folder_path(&folder, "h.safetensors", path), &arrays);
        if (status != file.status || arrays.n_items != 0)
            fail_msg("%s: status %d with %zu arrays: %s", file.name, (int)status, arrays.n_items,
                     tt_context_message(context));
        hostile_safetensors_free(&file);
    }
    temp_folder_remove(&folder);
}

/* A name that a file may have but a tt_array has no room for. */
static void test_long_name_in_file(void **state)
{
    (void)state;
    char name[200], header[400], path[TT_TEMP_PATH];
    temp_folder folder;
    size_t n_bytes;
    tt_arrays arrays = {0};
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(header, sizeof header,
             "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
             "\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
             name);
    uint8_t *bytes = safetensors_block(header, 2, &n_bytes);
    assert_non_null(bytes);
    temp_folder_make(&folder);
    temp_folder_write(&folder, "l.safetensors", bytes, n_bytes);
    expect(tt_arrays_read(context, temp_folder_path(&folder, "l.safetensors", path), &arrays), TT_ERROR_ARGUMENT,
           "too long");
    assert_int_equal(arrays.n_items, 0);
    free(bytes);
    temp_folder_remove(&folder);
}

static void test_need(void **state)
{
    (void)state;
    tt_arrays arrays = {0};
    const tt_array *found = NULL;
    tt_error err = {""};
    static const float values[4] = {1, 2, 3, 4};
    static const int32_t ids[1] = {1};
    add(&arrays, "a", TT_ARRAY_F32, 2, (const uint64_t[]){2, 2}, values);
    add(&arrays, "i", TT_ARRAY_I32, 1, (const uint64_t[]){1}, ids);
    add(&arrays, "e", TT_ARRAY_F32, 2, (const uint64_t[]){0, 2}, values);
    assert_int_equal(tt_arrays_need_f32(&arrays, "a", 2, &found, &err), TT_OK);
    assert_int_equal(tt_array_count(found), 4);
    assert_int_equal(tt_arrays_need_f32(&arrays, "b", 2, &found, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "b is missing"));
    assert_int_equal(tt_arrays_need_f32(&arrays, "a", 3, &found, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_arrays_need_f32(&arrays, "i", 1, &found, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_arrays_need_f32(&arrays, "e", 2, &found, &err), TT_ERROR_ARGUMENT);
    tt_arrays_free(&arrays);
}

static int set_up(void **state)
{
    (void)state;
    context = tt_context_create();
    return context == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    tt_context_destroy(context);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_widening),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_long_name_in_file), cmocka_unit_test(test_need),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
