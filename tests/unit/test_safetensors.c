/* test_safetensors.c - reading, refusing and writing safetensors files. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "model-file/safetensors.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* One sentence that begins with the file's name: no line break, no trailing full stop. */
static void check_sentence(const char *name, const char *sentence, const char *what)
{
    size_t length = strlen(sentence);
    if (strncmp(sentence, name, strlen(name)) != 0 || strncmp(sentence + strlen(name), ": ", 2) != 0)
        fail_msg("%s: does not begin with the file: %s", what, sentence);
    if (strpbrk(sentence, "\n\r\033") != NULL || sentence[length - 1] == '.')
        fail_msg("%s: not one plain sentence: %s", what, sentence);
}

/* Every tensor handed out lies inside the block, has the size of its shape and can be found again. */
static void check_views(const tt_tensor_file *file, const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const tt_tensor *tensor = tt_tensor_file_at(file, i);
        const uint8_t *data = tensor->data;
        assert_true(data >= bytes && tensor->n_bytes <= (uint64_t)(bytes + n_bytes - data));
        assert_true(tensor->n_dims <= TT_MAX_DIMS);
        assert_int_equal(tensor->n_bytes, tt_tensor_count(tensor) * tt_dtype_size(tensor->dtype));
        assert_ptr_equal(tt_tensor_file_find(file, tensor->name), tensor);
        if (i > 0)
            assert_true(strcmp(tt_tensor_file_at(file, i - 1)->name, tensor->name) < 0);
    }
}

/* Opens a block that may be anything: refused with a sentence, or sound. */
static tt_status open_any(const uint8_t *bytes, size_t n_bytes)
{
    tt_tensor_file *file;
    tt_error err = {""};
    tt_status status = tt_tensor_file_open_memory(bytes, n_bytes, "any.safetensors", &file, &err);
    if (status == TT_OK)
        check_views(file, bytes, n_bytes);
    else {
        assert_null(file);
        check_sentence("any.safetensors", err.text, "any");
    }
    tt_tensor_file_close(file);
    return status;
}

static void test_hostile_files(void **state)
{
    (void)state;
    assert_true(hostile_safetensors_count() >= 80);
    for (size_t i = 0; i < hostile_safetensors_count(); i++) {
        hostile_file hostile;
        tt_tensor_file *file;
        tt_error err = {""};
        assert_true(hostile_safetensors_make(i, &hostile));
        tt_status status = tt_tensor_file_open_memory(hostile.bytes, hostile.n_bytes, "h.safetensors", &file, &err);
        if (status != hostile.status)
            fail_msg("%s: status %d, expected %d: %s", hostile.name, (int)status, (int)hostile.status, err.text);
        if (strstr(err.text, hostile.mention) == NULL)
            fail_msg("%s: the sentence does not say '%s': %s", hostile.name, hostile.mention, err.text);
        check_sentence("h.safetensors", err.text, hostile.name);
        assert_null(file);
        assert_int_equal(tt_tensor_file_open_memory(hostile.bytes, hostile.n_bytes, "h.safetensors", &file, NULL),
                         status);
        hostile_safetensors_free(&hostile);
    }
}

/* The same through a mapped file, where reading past the end would be a signal. */
static void test_hostile_files_on_disk(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    temp_folder_path(&folder, "hostile.safetensors", path);
    for (size_t i = 0; i < hostile_safetensors_count(); i++) {
        hostile_file hostile;
        tt_tensor_file *file;
        tt_error err = {""};
        assert_true(hostile_safetensors_make(i, &hostile));
        temp_folder_write(&folder, "hostile.safetensors", hostile.bytes, hostile.n_bytes);
        assert_int_equal(tt_tensor_file_open(path, &file, &err), hostile.status);
        check_sentence(path, err.text, hostile.name);
        assert_null(file);
        hostile_safetensors_free(&hostile);
    }
    temp_folder_remove(&folder);
}

static void test_example_sentence(void **state)
{
    (void)state;
    size_t n_bytes;
    tt_tensor_file *file;
    tt_error err;
    uint8_t *bytes = safetensors_block("{\"unet.conv_in.weight\":{\"dtype\":\"F16\",\"shape\":[320,4,3,3],"
                                       "\"data_offsets\":[0,46080]}}",
                                       46080, &n_bytes);
    assert_non_null(bytes);
    assert_int_equal(tt_tensor_file_open_memory(bytes, n_bytes, "sd.safetensors", &file, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text,
                        "sd.safetensors: tensor \"unet.conv_in.weight\": 46080 bytes in data_offsets, but shape "
                        "[320, 4, 3, 3] of F16 needs 23040; the file is damaged, download it again");
    free(bytes);
}

/* A file cut anywhere is refused. Each cut stands in a block of its own size, so that a sanitizer sees any byte read
 * past the cut. */
static void test_cut_everywhere(void **state)
{
    (void)state;
    size_t n_bytes;
    uint8_t *bytes = safetensors_sound(&n_bytes);
    assert_non_null(bytes);
    assert_int_equal(open_any(bytes, n_bytes), TT_OK);
    for (size_t n = 0; n < n_bytes; n++) {
        uint8_t *cut = malloc(n + (n == 0));
        assert_non_null(cut);
        memcpy(cut, bytes, n);
        assert_int_equal(open_any(cut, n), TT_ERROR_FORMAT);
        free(cut);
    }
    free(bytes);
}

/* Every single flipped bit gives a refusal or a file whose tensors are all inside it. */
static void test_every_bit_flipped(void **state)
{
    (void)state;
    size_t n_bytes, n_refused = 0;
    uint8_t *bytes = safetensors_sound(&n_bytes);
    assert_non_null(bytes);
    for (size_t bit = 0; bit < 8 * (n_bytes - 24); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        n_refused += open_any(bytes, n_bytes) != TT_OK;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* What stays readable are other letters in the two names and other types of the same size. */
    assert_true(n_refused > 8 * (n_bytes - 24) * 9 / 10);
    free(bytes);
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* A few bytes changed, exchanged or repeated at random places. */
static void test_random_damage(void **state)
{
    (void)state;
    static const char pieces[] = "{}[]\",:0123456789-eE.\\u\0\xff";
    uint32_t random = 2463534242u;
    size_t n_bytes;
    uint8_t *sound = safetensors_sound(&n_bytes);
    uint8_t *bytes = malloc(n_bytes);
    assert_non_null(sound);
    assert_non_null(bytes);
    for (int round = 0; round < 20000; round++) {
        memcpy(bytes, sound, n_bytes);
        for (uint32_t i = 0, n = 1 + next_random(&random) % 4; i < n; i++)
            bytes[next_random(&random) % n_bytes] = (uint8_t)pieces[next_random(&random) % (sizeof(pieces) - 1)];
        (void)open_any(bytes, n_bytes);
    }
    free(bytes);
    free(sound);
}

/* Written by the format's reference implementation (safetensors 0.8.0 for Python): "x" F32 [2,2] = 1..4, "n" I64 [3] =
 * -1, 0, 5, "h" BF16 [] = 1.5, "e" U8 [0,7], metadata {"format": "pt"}. */
static const char reference_file[] =
    "\x00\x01\x00\x00\x00\x00\x00\x00"
    "{\"__metadata__\":{\"format\":\"pt\"},\"n\":{\"dtype\":\"I64\",\"shape\":[3],\"data_offsets\":[0,24]},"
    "\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[24,40]},"
    "\"h\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[40,42]},"
    "\"e\":{\"dtype\":\"U8\",\"shape\":[0,7],\"data_offsets\":[42,42]}}  "
    "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0"
    "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\xc0\x3f";

static void test_reference_file(void **state)
{
    (void)state;
    tt_tensor_file *file;
    tt_error err = {""};
    float values[4];
    size_t n_bytes = sizeof(reference_file) - 1;
    if (tt_tensor_file_open_memory(reference_file, n_bytes, "reference", &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    check_views(file, (const uint8_t *)reference_file, n_bytes);
    assert_string_equal(tt_tensor_file_path(file), "reference");
    assert_int_equal(tt_tensor_file_count(file), 4);
    assert_string_equal(tt_tensor_file_at(file, 0)->name, "e");
    assert_string_equal(tt_tensor_file_at(file, 3)->name, "x");
    assert_null(tt_tensor_file_at(file, 4));
    assert_null(tt_tensor_file_find(file, "y"));
    assert_null(tt_tensor_file_find(file, "__metadata__"));
    assert_string_equal(tt_tensor_file_metadata(file, "format"), "pt");
    assert_null(tt_tensor_file_metadata(file, "other"));
    const tt_tensor *x = tt_tensor_file_find(file, "x"), *n = tt_tensor_file_find(file, "n");
    tt_to_float(x->dtype, x->data, values, 4);
    for (int i = 0; i < 4; i++)
        assert_true(values[i] == (float)(i + 1));
    tt_to_float(n->dtype, n->data, values, 3);
    assert_true(values[0] == -1.0f && values[1] == 0.0f && values[2] == 5.0f);
    const tt_tensor *h = tt_tensor_file_find(file, "h"), *e = tt_tensor_file_find(file, "e");
    assert_int_equal(h->n_dims, 0);
    tt_to_float(h->dtype, h->data, values, 1);
    assert_true(values[0] == 1.5f);
    assert_int_equal(e->n_bytes, 0);
    assert_int_equal(e->n_dims, 2);
    tt_tensor_file_close(file);
}

/* What the format allows and a strict reader could stumble over. */
static void test_unusual_but_sound(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data, n_tensors;
    } cases[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"\":{\"dtype\":\"BOOL\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, 1},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[5,8]},"
         "\"a\":{\"data_offsets\":[0,5],\"shape\":[5],\"dtype\":\"I8\",\"more\":{\"x\":1}}}",
         8, 2},
        {"{\"z\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[4,4]},"
         "\"y\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[0,4]},"
         "\"x\":{\"dtype\":\"I32\",\"shape\":[7,0],\"data_offsets\":[0,0]}}",
         4, 3},
        {"{\"\\ud83d\\ude00 \xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n_bytes;
        tt_tensor_file *file;
        tt_error err = {""};
        uint8_t *bytes = safetensors_block(cases[i].header, cases[i].n_data, &n_bytes);
        assert_non_null(bytes);
        if (tt_tensor_file_open_memory(bytes, n_bytes, "sound", &file, &err) != TT_OK)
            fail_msg("%s: %s", cases[i].header, err.text);
        assert_int_equal(tt_tensor_file_count(file), cases[i].n_tensors);
        check_views(file, bytes, n_bytes);
        tt_tensor_file_close(file);
        free(bytes);
    }
}

static void test_paths_that_are_no_file(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_tensor_file *file;
    tt_error err;
    temp_folder_make(&folder);
    assert_int_equal(tt_tensor_file_open(folder.path, &file, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "folder"));
    assert_int_equal(tt_tensor_file_open(temp_folder_path(&folder, "none", path), &file, &err), TT_ERROR_IO);
    check_sentence(path, err.text, "missing");
    temp_folder_write(&folder, "empty", "", 0);
    assert_int_equal(tt_tensor_file_open(temp_folder_path(&folder, "empty", path), &file, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "empty"));
    assert_int_equal(mkfifo(temp_folder_path(&folder, "pipe", path), 0600), 0);
    assert_int_equal(tt_tensor_file_open(path, &file, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "pipe"));
    temp_folder_remove(&folder);
}

static void test_write_and_read(void **state)
{
    (void)state;
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    static const uint16_t h[1] = {0x3c00};
    static const char *const metadata[][2] = {{"tintype.unet", "{\"a\": \"b\"}\n"},
                                              {"name", "\xc3\xa9\xf0\x9f\x90\xb1"}};
    const tt_tensor tensors[] = {{"z.weight", TT_F32, 2, {2, 3}, x, sizeof(x)},
                                 {"a\"\\", TT_F16, 0, {0}, h, 2},
                                 {"empty", TT_I64, 1, {0}, h, 0}};
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_tensor_file *file;
    tt_error err = {""};
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out.safetensors", path);
    for (int round = 0; round < 2; round++) /* the second one replaces the first */
        if (tt_safetensors_write(path, tensors, 3, metadata, 2, &err) != TT_OK)
            fail_msg("%s", err.text);
    assert_int_equal(temp_folder_count(&folder), 1);
    if (tt_tensor_file_open(path, &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(tt_tensor_file_count(file), 3);
    for (int i = 0; i < 3; i++) {
        const tt_tensor *found = tt_tensor_file_find(file, tensors[i].name);
        assert_non_null(found);
        assert_int_equal(found->dtype, tensors[i].dtype);
        assert_int_equal(found->n_dims, tensors[i].n_dims);
        assert_memory_equal(found->dims, tensors[i].dims, sizeof(found->dims));
        assert_int_equal(found->n_bytes, tensors[i].n_bytes);
        if (found->n_bytes > 0)
            assert_memory_equal(found->data, tensors[i].data, (size_t)found->n_bytes);
    }
    assert_int_equal((uintptr_t)tt_tensor_file_find(file, "z.weight")->data % 8, 0);
    for (int i = 0; i < 2; i++)
        assert_string_equal(tt_tensor_file_metadata(file, metadata[i][0]), metadata[i][1]);
    tt_tensor_file_close(file);
    temp_folder_remove(&folder);
}

/* Nothing is written that could not be read again, and no file stays behind. */
static void test_write_refusals(void **state)
{
    (void)state;
    static char long_name[TT_MAX_NAME + 1];
    static const char *const bad_text[][2] = {{"key", "\xff"}};
    memset(long_name, 'n', TT_MAX_NAME);
    const tt_tensor cases[][2] = {
        {{"a", TT_U8, 1, {1}, "x", 1}, {"a", TT_U8, 1, {1}, "x", 1}},
        {{"a", TT_U8, 1, {1}, "x", 1}, {"b", TT_F32, 1, {1}, "x", 1}},
        {{"a", TT_U8, 1, {1}, "x", 1}, {"b", TT_U8, 2, {UINT64_MAX, 2}, "x", 1}},
        {{"a", TT_U8, 1, {1}, "x", 1}, {"b", TT_U8, 9, {1}, "x", 1}},
        {{"a", TT_U8, 1, {1}, "x", 1}, {"\xff", TT_U8, 1, {1}, "x", 1}},
        {{"a", TT_U8, 1, {1}, "x", 1}, {"__metadata__", TT_U8, 1, {1}, "x", 1}},
        {{"a", TT_U8, 1, {1}, "x", 1}, {long_name, TT_U8, 1, {1}, "x", 1}},
    };
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out.safetensors", path);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tt_safetensors_write(path, cases[i], 2, NULL, 0, &err), TT_ERROR_ARGUMENT);
        check_sentence(path, err.text, "write");
    }
    assert_int_equal(tt_safetensors_write(path, cases[0], 1, bad_text, 1, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(temp_folder_count(&folder), 0);
    assert_int_equal(tt_safetensors_write(folder.path, cases[0], 1, NULL, 0, &err), TT_ERROR_IO);
    temp_folder_path(&folder, "missing/out.safetensors", path);
    assert_int_equal(tt_safetensors_write(path, cases[0], 1, NULL, 0, &err), TT_ERROR_IO);
    check_sentence(path, err.text, "missing folder");
    temp_folder_remove(&folder);
}

/* Renaming onto a device would destroy it. */
static void test_write_never_replaces_a_device(void **state)
{
    (void)state;
    const tt_tensor tensor = {"a", TT_U8, 1, {1}, "x", 1};
    tt_error err;
    assert_int_equal(tt_safetensors_write("/dev/null", &tensor, 1, NULL, 0, &err), TT_ERROR_IO);
    assert_false(tt_path_is_file("/dev/null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_files),          cmocka_unit_test(test_hostile_files_on_disk),
        cmocka_unit_test(test_example_sentence),       cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_every_bit_flipped),      cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_reference_file),         cmocka_unit_test(test_unusual_but_sound),
        cmocka_unit_test(test_paths_that_are_no_file), cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_write_refusals),         cmocka_unit_test(test_write_never_replaces_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
