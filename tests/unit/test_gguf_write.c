/* test_gguf_write.c - writing GGUF files: what is written is read again, what could not be read is never written. */
#define _XOPEN_SOURCE 700
#include "model-file/gguf.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static temp_folder folder;
static char path[TT_TEMP_PATH];

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "out.gguf", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

/* n bytes that differ from piece to piece. */
static void fill(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 37 + i / 251);
}

/* Begins, adds every tensor in pieces of `piece` bytes and commits. */
static tt_status write_file(const tt_tensor *tensors, size_t n, const tt_gguf_pair *pairs, size_t n_pairs, size_t piece,
                            tt_error *err)
{
    tt_gguf_writer *writer;
    tt_status status = tt_gguf_writer_begin(path, tensors, n, pairs, n_pairs, &writer, err);
    if (status != TT_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at < tensors[i].n_bytes; at += piece) {
            size_t left = (size_t)tensors[i].n_bytes - at;
            status =
                tt_gguf_writer_add(writer, (const uint8_t *)tensors[i].data + at, left < piece ? left : piece, err);
            if (status != TT_OK) {
                tt_gguf_writer_abort(writer);
                return status;
            }
        }
    return tt_gguf_writer_commit(writer, err);
}

static void check_equal(const tt_tensor *found, const tt_tensor *wanted)
{
    assert_non_null(found);
    assert_int_equal(found->dtype, wanted->dtype);
    assert_int_equal(found->n_dims, wanted->n_dims);
    assert_memory_equal(found->dims, wanted->dims, sizeof(found->dims));
    assert_int_equal(found->n_bytes, wanted->n_bytes);
    assert_memory_equal(found->data, wanted->data, (size_t)found->n_bytes);
}

static void test_every_type(void **state)
{
    (void)state;
    static const char *const names[TT_N_DTYPES] = {"f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "",  "",
                                                   "a0",  "b1",  "c0",  "d1",   "e0",  "2",   "3",   "4",  "5", "6"};
    tt_tensor tensors[TT_N_DTYPES];
    size_t n = 0;
    tt_error err = {""};
    uint8_t *bytes = malloc(16384);
    assert_non_null(bytes);
    fill(bytes, 16384);
    for (int i = 0; i < TT_N_DTYPES; i++) {
        tt_dtype dtype = (tt_dtype)i;
        if (dtype != TT_U8 && dtype != TT_BOOL)
            tensors[n++] = (tt_tensor){names[i], dtype, 2, {3, 256}, bytes + i, tt_dtype_bytes(dtype, 768)};
    }
    for (size_t piece = 1; piece < 20000; piece = piece * 7 + 3) {
        tt_tensor_file *file;
        if (write_file(tensors, n, NULL, 0, piece, &err) != TT_OK || tt_tensor_file_open(path, &file, &err) != TT_OK)
            fail_msg("%s", err.text);
        assert_true(tt_tensor_file_is_gguf(file));
        assert_int_equal(tt_tensor_file_count(file), n);
        for (size_t i = 0; i < n; i++) {
            const tt_tensor *found = tt_tensor_file_find(file, tensors[i].name);
            check_equal(found, &tensors[i]);
            assert_int_equal((uintptr_t)found->data % 32, 0);
        }
        tt_tensor_file_close(file);
        assert_int_equal(temp_folder_count(&folder), 1);
    }
    free(bytes);
}

static void test_shapes_and_metadata(void **state)
{
    (void)state;
    static const uint8_t bytes[64] = {1, 2, 3};
    static char long_name[TT_MAX_NAME];
    memset(long_name, 'n', TT_MAX_NAME - 1);
    const tt_tensor tensors[] = {{"scalar", TT_F32, 0, {0}, bytes, 4},
                                 {"\xc3\xa9", TT_F16, 4, {2, 3, 5, 1}, bytes, 60},
                                 {long_name, TT_I8, 1, {1}, bytes, 1}};
    const tt_gguf_pair pairs[] = {{"general.architecture", "sd", 0},
                                  {"tintype.unet", "{\"a\": \"\xc3\xa9\"}\n", 0},
                                  {"empty", "", 0},
                                  {"general.alignment", NULL, 32},
                                  {"general.file_type", NULL, 4294967295u}};
    tt_tensor_file *file;
    tt_error err = {""};
    if (write_file(tensors, 3, pairs, 5, 1000, &err) != TT_OK || tt_tensor_file_open(path, &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 3; i++)
        check_equal(tt_tensor_file_find(file, tensors[i].name), &tensors[i]);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(tt_tensor_file_metadata(file, pairs[i].key), pairs[i].text);
    assert_string_equal(tt_tensor_file_metadata(file, "general.file_type"), "4294967295");
    tt_tensor_file_close(file);
    if (write_file(NULL, 0, NULL, 0, 1, &err) != TT_OK || tt_tensor_file_open(path, &file, &err) != TT_OK)
        fail_msg("%s", err.text); /* an empty file replaces the first */
    assert_int_equal(tt_tensor_file_count(file), 0);
    tt_tensor_file_close(file);
}

static void refuse_tensors(const tt_tensor *tensors, size_t n, const char *mention)
{
    tt_gguf_writer *writer;
    tt_error err;
    assert_int_equal(tt_gguf_writer_begin(path, tensors, n, NULL, 0, &writer, &err), TT_ERROR_ARGUMENT);
    assert_null(writer);
    if (strstr(err.text, mention) == NULL || strncmp(err.text, path, strlen(path)) != 0)
        fail_msg("does not begin with the file or say '%s': %s", mention, err.text);
}

static void test_refused_tensors(void **state)
{
    (void)state;
    static char long_name[TT_MAX_NAME + 1];
    memset(long_name, 'n', TT_MAX_NAME);
    static const struct {
        tt_tensor tensor;
        const char *mention;
    } cases[] = {
        {{"b", TT_U8, 1, {1}, NULL, 1}, "no elements of type U8"},
        {{"b", TT_BOOL, 1, {1}, NULL, 1}, "no elements of type BOOL"},
        {{"b", TT_F32, 5, {1, 1, 1, 1, 1}, NULL, 4}, "5 dimensions"},
        {{"b", TT_F32, 200, {1}, NULL, 4}, "200 dimensions"},
        {{"b", TT_F32, 1, {0}, NULL, 0}, "1 or more"},
        {{"b", TT_F32, 1, {2}, NULL, 4}, "need 8"},
        {{"b", TT_F32, 2, {UINT64_MAX, 2}, NULL, 4}, "64 bits"},
        {{"b", TT_F64, 1, {UINT64_C(1) << 61}, NULL, 0}, "64 bits"},
        {{"b", TT_Q4_0, 2, {2, 16}, NULL, 18}, "whole blocks"},
        {{"b", TT_Q6_K, 1, {32}, NULL, 210}, "blocks of Q6_K hold 256"},
        {{"a", TT_F32, 1, {1}, NULL, 4}, "\"a\" is given twice"},
        {{"", TT_F32, 1, {1}, NULL, 4}, "name"},
        {{"\xff", TT_F32, 1, {1}, NULL, 4}, "UTF-8"},
        {{long_name, TT_F32, 1, {1}, NULL, 4}, "255 bytes"},
        {{"b", TT_I8, 1, {INT64_MAX}, NULL, INT64_MAX}, "larger than a file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const tt_tensor both[2] = {{"a", TT_F32, 1, {1}, NULL, 4}, cases[i].tensor};
        refuse_tensors(both, 2, cases[i].mention);
    }
    assert_int_equal(temp_folder_count(&folder), 0);
}

static void test_refused_pairs(void **state)
{
    (void)state;
    static char long_key[65537];
    memset(long_key, 'k', sizeof(long_key) - 1);
    static const struct {
        tt_gguf_pair pair;
        const char *mention;
    } cases[] = {{{"a", "x", 0}, "\"a\" is given twice"},
                 {{"", "x", 0}, "key"},
                 {{"\xc3", "x", 0}, "UTF-8"},
                 {{long_key, "x", 0}, "65535"},
                 {{"b", "\xff", 0}, "not UTF-8"},
                 {{"general.alignment", NULL, 64}, "alignment of 32"},
                 {{"general.alignment", "32", 0}, "alignment of 32"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const tt_gguf_pair both[2] = {{"a", "y", 0}, cases[i].pair};
        tt_gguf_writer *writer;
        tt_error err;
        assert_int_equal(tt_gguf_writer_begin(path, NULL, 0, both, 2, &writer, &err), TT_ERROR_ARGUMENT);
        assert_null(writer);
        if (strstr(err.text, cases[i].mention) == NULL)
            fail_msg("does not say '%s': %s", cases[i].mention, err.text);
    }
    assert_int_equal(temp_folder_count(&folder), 0);
}

/* Too many of either are refused before they are looked at. */
static void test_too_many(void **state)
{
    (void)state;
    tt_gguf_writer *writer;
    tt_error err;
    const tt_tensor tensor = {"a", TT_F32, 1, {1}, NULL, 4};
    const tt_gguf_pair pair = {"a", "y", 0};
    assert_int_equal(tt_gguf_writer_begin(path, &tensor, 65537, NULL, 0, &writer, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "65537 tensors"));
    assert_int_equal(tt_gguf_writer_begin(path, NULL, 0, &pair, 65537, &writer, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(temp_folder_count(&folder), 0);
}

/* Data too long, data too short, a run that is given up. */
static void test_wrong_amounts(void **state)
{
    (void)state;
    static const uint8_t bytes[64];
    const tt_tensor tensors[] = {{"a", TT_F32, 1, {4}, bytes, 16}, {"b", TT_F32, 1, {4}, bytes, 16}};
    tt_gguf_writer *writer;
    tt_error err = {""};
    assert_int_equal(tt_gguf_writer_begin(path, tensors, 2, NULL, 0, &writer, &err), TT_OK);
    assert_int_equal(temp_folder_count(&folder), 1); /* the temporary file */
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 0, &err), TT_OK);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 12, &err), TT_OK);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 20, &err), TT_ERROR_ARGUMENT); /* reaches into "b" */
    assert_non_null(strstr(err.text, "\"a\": 20 bytes are given, but only 4 are missing"));
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 4, &err), TT_OK);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 15, &err), TT_OK);
    assert_int_equal(tt_gguf_writer_commit(writer, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "\"b\": 1 of its 16 bytes were not given"));
    assert_int_equal(temp_folder_count(&folder), 0);
    assert_int_equal(tt_gguf_writer_begin(path, tensors, 1, NULL, 0, &writer, &err), TT_OK);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 16, &err), TT_OK);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 1, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "after the last tensor"));
    tt_gguf_writer_abort(writer);
    assert_int_equal(temp_folder_count(&folder), 0);
    tt_gguf_writer_abort(NULL);
}

static void test_places_that_cannot_be_written(void **state)
{
    (void)state;
    tt_gguf_writer *writer;
    tt_error err;
    char other[TT_TEMP_PATH];
    assert_int_equal(tt_gguf_writer_begin(folder.path, NULL, 0, NULL, 0, &writer, &err), TT_ERROR_IO);
    assert_null(writer);
    (void)temp_folder_path(&folder, "missing/out.gguf", other);
    assert_int_equal(tt_gguf_writer_begin(other, NULL, 0, NULL, 0, &writer, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "missing/out.gguf: "));
    assert_int_equal(tt_gguf_writer_begin("/dev/null", NULL, 0, NULL, 0, &writer, &err), TT_ERROR_IO);
}

/* A limit on the size of files stands for a full disk: wherever it strikes, a sentence and no file stay. */
static void test_full_disk(void **state)
{
    (void)state;
    uint8_t *bytes = calloc(1, 5000);
    const tt_tensor tensors[] = {{"a", TT_I8, 1, {5000}, bytes, 5000}, {"b", TT_I8, 1, {5000}, bytes, 5000}};
    const tt_gguf_pair pair = {"key", "a text", 0};
    struct rlimit before, limit;
    tt_error err = {""};
    assert_non_null(bytes);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t n = 0; n < 10300; n += n < 300 || (n > 5000 && n < 5300) || n > 10000 ? 16 : 700) {
        limit = (struct rlimit){n, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        tt_status status = write_file(tensors, 2, &pair, 1, 999, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        if (status == TT_OK) {
            assert_true(n > 10000);
            assert_int_equal(temp_folder_count(&folder), 1);
            continue;
        }
        assert_int_equal(status, TT_ERROR_IO);
        if (strncmp(err.text, path, strlen(path)) != 0 || strstr(err.text, "cannot be written") == NULL)
            fail_msg("%s", err.text);
        assert_int_equal(temp_folder_count(&folder), 0);
    }
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(temp_folder_count(&folder), 1); /* at last there was room */
    free(bytes);
}

/* After a failed write the file is lost, whatever is added later. */
static void test_no_commit_after_failure(void **state)
{
    (void)state;
    static const uint8_t bytes[200];
    const tt_tensor tensor = {"a", TT_I8, 1, {200}, bytes, 200};
    struct rlimit before, limit;
    tt_gguf_writer *writer;
    tt_error err = {""};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(tt_gguf_writer_begin(path, &tensor, 1, NULL, 0, &writer, &err), TT_OK);
    limit = (struct rlimit){100, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 100, &err), TT_ERROR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(tt_gguf_writer_add(writer, bytes, 100, &err), TT_ERROR_IO);
    assert_int_equal(tt_gguf_writer_commit(writer, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "out.gguf"));
    assert_int_equal(temp_folder_count(&folder), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_type),
        TEST(test_shapes_and_metadata),
        TEST(test_refused_tensors),
        TEST(test_refused_pairs),
        TEST(test_too_many),
        TEST(test_wrong_amounts),
        TEST(test_places_that_cannot_be_written),
        TEST(test_full_disk),
        TEST(test_no_commit_after_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
