/* test_gguf.c - reading and refusing GGUF files. */
#include "model-file/tensor-file.h"
#include "tests/support/gguf-text.h"
#include "tests/support/hostile-gguf.h"
#include "tests/support/temp-folder.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        assert_int_equal(tensor->n_bytes, tt_dtype_bytes(tensor->dtype, tt_tensor_count(tensor)));
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
    tt_status status = tt_tensor_file_open_memory(bytes, n_bytes, "any.gguf", &file, &err);
    if (status == TT_OK)
        check_views(file, bytes, n_bytes);
    else {
        assert_null(file);
        check_sentence("any.gguf", err.text, "any");
    }
    tt_tensor_file_close(file);
    return status;
}

/* An open file and its bytes. */
typedef struct text_file {
    uint8_t *bytes;
    tt_tensor_file *file;
} text_file;

static text_file open_text(const char *text)
{
    text_file made;
    size_t n_bytes;
    tt_error err = {""};
    made.bytes = gguf_block(text, &n_bytes);
    assert_non_null(made.bytes);
    if (tt_tensor_file_open_memory(made.bytes, n_bytes, "sound.gguf", &made.file, &err) != TT_OK)
        fail_msg("%s", err.text);
    check_views(made.file, made.bytes, n_bytes);
    return made;
}

static void close_text(text_file *made)
{
    tt_tensor_file_close(made->file);
    free(made->bytes);
}

static void test_sound_file(void **state)
{
    (void)state;
    text_file made = open_text(GGUF_HEAD(2, 1) "$k 8:4 $text " GGUF_A GGUF_B "~32 1:4 0x3f800000:4 0:4 0x40000000:4 "
                                               "~32 *36:1");
    const tt_tensor *a = tt_tensor_file_find(made.file, "a"), *b = tt_tensor_file_find(made.file, "b");
    float values[4];
    assert_true(tt_tensor_file_is_gguf(made.file));
    assert_int_equal(tt_tensor_file_count(made.file), 2);
    assert_string_equal(tt_tensor_file_metadata(made.file, "k"), "text");
    assert_null(tt_tensor_file_metadata(made.file, "a"));
    assert_true(a->dtype == TT_F32 && a->n_dims == 2 && a->dims[0] == 2 && a->dims[1] == 2 && a->dims[2] == 0);
    tt_to_float(a->dtype, a->data, values, 4);
    assert_true(values[1] == 1.0f && values[3] == 2.0f);
    assert_true(b->dtype == TT_Q4_0 && b->n_dims == 1 && b->dims[0] == 64 && b->n_bytes == 36);
    assert_int_equal(((const uint8_t *)b->data)[35], 1);
    close_text(&made);
}

/* The file has the innermost dimension first, tensors the outermost. */
static void test_dims_are_turned(void **state)
{
    (void)state;
    text_file made = open_text(GGUF_HEAD(2, 0) "$conv 4:4 3:8 5:8 7:8 2:8 0:4 0:8 $rows 2:4 64:8 3:8 8:4 864:8 "
                                               "~32 *1068:0");
    const tt_tensor *conv = tt_tensor_file_find(made.file, "conv"), *rows = tt_tensor_file_find(made.file, "rows");
    const uint64_t dims[4] = {2, 7, 5, 3};
    assert_int_equal(conv->n_dims, 4);
    assert_memory_equal(conv->dims, dims, sizeof(dims));
    assert_true(rows->dtype == TT_Q8_0 && rows->dims[0] == 3 && rows->dims[1] == 64 && rows->n_bytes == 204);
    close_text(&made);
}

/* What the format allows and a strict reader could stumble over. */
static void test_unusual_but_sound(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n_tensors;
    } cases[] = {
        {GGUF_HEAD(0, 0), 0},
        {GGUF_HEAD(0, 0) "*100:255", 0},
        {"=GGUF 2:4 2:8 1:8 $k 8:4 $text " GGUF_A GGUF_B GGUF_DATA, 2},                /* version 2 */
        {GGUF_HEAD(2, 0) GGUF_B GGUF_A GGUF_DATA, 2},                                  /* not in order */
        {GGUF_HEAD(1, 0) "$t 0:4 0:4 0:8 ~32 *4:0", 1},                                /* a scalar */
        {GGUF_HEAD(1, 0) "$t 4:4 1:8 1:8 1:8 1:8 24:4 0:8 ~32 *1:0", 1},               /* one byte */
        {GGUF_HEAD(1, 0) "$t 1:4 4:8 0:4 320:8 ~32 *320:9 *16:0", 1},                  /* a gap before */
        {GGUF_HEAD(1, 0) "$t 1:4 4:8 0:4 0:8 ~32 *16:0 *1000:7", 1},                   /* bytes behind */
        {GGUF_HEAD(1, 1) "$general.alignment 4:4 8:4 $t 1:4 1:8 0:4 8:8 ~8 *12:0", 1}, /* smallest alignment */
        {GGUF_HEAD(1, 1) "$general.alignment 4:4 65536:4 $t 1:4 1:8 0:4 65536:8 ~65536 *65540:0", 1},
        {GGUF_HEAD(0, 1) "$a 9:4 8:4 0:8", 0},                                            /* empty array */
        {GGUF_HEAD(0, 1) "$a 9:4 9:4 2:8 9:4 1:8 9:4 1:8 8:4 1:8 $x 7:4 2:8 0:1 1:1", 0}, /* four deep */
        {GGUF_HEAD(0, 1) "$a 8:4 $", 0},
        {GGUF_HEAD(1, 0) "255:8 *255:97 1:4 4:8 0:4 0:8 ~32 *16:0", 1},
        {GGUF_HEAD(0, 1) "65535:8 *65535:97 4:4 1:4", 0},
        {GGUF_HEAD(0, 1) "$comfy.gguf.orig_shape.none 9:4 5:4 1:8 7:4", 0},
        {GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.a 8:4 $words " GGUF_A "~32 *16:0", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_file made = open_text(cases[i].text);
        assert_int_equal(tt_tensor_file_count(made.file), cases[i].n_tensors);
        close_text(&made);
    }
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        unsigned number, n_bytes;
        tt_dtype dtype;
    } types[] = {{0, 1024, TT_F32},  {1, 512, TT_F16},   {2, 144, TT_Q4_0}, {3, 160, TT_Q4_1},  {6, 176, TT_Q5_0},
                 {7, 192, TT_Q5_1},  {8, 272, TT_Q8_0},  {10, 84, TT_Q2_K}, {11, 110, TT_Q3_K}, {12, 144, TT_Q4_K},
                 {13, 176, TT_Q5_K}, {14, 210, TT_Q6_K}, {24, 256, TT_I8},  {25, 512, TT_I16},  {26, 1024, TT_I32},
                 {27, 2048, TT_I64}, {28, 2048, TT_F64}, {30, 512, TT_BF16}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), GGUF_HEAD(1, 0) "$t 1:4 256:8 %u:4 0:8 ~32 *%u:0", types[i].number,
                       types[i].n_bytes);
        text_file made = open_text(text);
        const tt_tensor *t = tt_tensor_file_find(made.file, "t");
        assert_int_equal(t->dtype, types[i].dtype);
        assert_int_equal(t->n_bytes, types[i].n_bytes);
        close_text(&made);
    }
}

static void test_metadata(void **state)
{
    (void)state;
    static const char *const want[][2] = {{"u8", "255"},
                                          {"i8", "-128"},
                                          {"u16", "65535"},
                                          {"i16", "-2"},
                                          {"u32", "4294967295"},
                                          {"i32", "-2147483648"},
                                          {"f32", "0.100000001"},
                                          {"no", "false"},
                                          {"yes", "true"},
                                          {"u64", "18446744073709551615"},
                                          {"i64", "-9223372036854775808"},
                                          {"f64", "0.10000000000000001"},
                                          {"empty", ""},
                                          {"text", "\xc3\xa9\n{}"}};
    const char *text = GGUF_HEAD(0, 15) "$u8 0:4 255:1 $i8 1:4 128:1 $u16 2:4 65535:2 $i16 3:4 0xfffe:2 "
                                        "$u32 4:4 0xffffffff:4 $i32 5:4 0x80000000:4 $f32 6:4 0x3dcccccd:4 "
                                        "$no 7:4 0:1 $yes 7:4 1:1 $u64 10:4 0xffffffffffffffff:8 "
                                        "$i64 11:4 0x8000000000000000:8 $f64 12:4 0x3fb999999999999a:8 $empty 8:4 $ "
                                        "$text 8:4 $\xc3\xa9\n{} $list 9:4 4:4 2:8 1:4 2:4";
    for (int round = 0; round < 2; round++) {
        /* A locale with a decimal comma, where the system has one, must not change what files say. */
        (void)setlocale(LC_NUMERIC, round == 0 ? "C" : "de_DE.UTF-8");
        text_file made = open_text(text);
        for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
            assert_string_equal(tt_tensor_file_metadata(made.file, want[i][0]), want[i][1]);
        assert_null(tt_tensor_file_metadata(made.file, "list"));
        close_text(&made);
    }
    (void)setlocale(LC_NUMERIC, "C");
}

static void test_original_shape(void **state)
{
    (void)state;
    text_file made = open_text(GGUF_HEAD(2, 2) "$comfy.gguf.orig_shape.q 9:4 5:4 4:8 8:4 32:4 1:4 2:4 "
                                               "$comfy.gguf.orig_shape.u 9:4 10:4 1:8 4:8 "
                                               "$q 2:4 256:8 2:8 12:4 0:8 $u 2:4 2:8 2:8 0:4 288:8 ~32 *304:0");
    const tt_tensor *q = tt_tensor_file_find(made.file, "q"), *u = tt_tensor_file_find(made.file, "u");
    const uint64_t dims[4] = {8, 32, 1, 2};
    assert_true(q->dtype == TT_Q4_K && q->n_dims == 4 && q->n_bytes == 288);
    assert_memory_equal(q->dims, dims, sizeof(dims));
    assert_true(u->n_dims == 1 && u->dims[0] == 4 && u->dims[1] == 0);
    close_text(&made);
}

static void test_hostile_files(void **state)
{
    (void)state;
    assert_true(hostile_gguf_count() >= 100);
    for (size_t i = 0; i < hostile_gguf_count(); i++) {
        hostile_file hostile;
        tt_tensor_file *file;
        tt_error err = {""};
        assert_true(hostile_gguf_make(i, &hostile));
        tt_status status = tt_tensor_file_open_memory(hostile.bytes, hostile.n_bytes, "h.gguf", &file, &err);
        if (status != hostile.status)
            fail_msg("%s: status %d, expected %d: %s", hostile.name, (int)status, (int)hostile.status, err.text);
        if (strstr(err.text, hostile.mention) == NULL)
            fail_msg("%s: the sentence does not say '%s': %s", hostile.name, hostile.mention, err.text);
        if (getenv("TT_TEST_SHOW") != NULL)
            print_message("%-34s %s\n", hostile.name, err.text);
        check_sentence("h.gguf", err.text, hostile.name);
        assert_null(file);
        assert_int_equal(tt_tensor_file_open_memory(hostile.bytes, hostile.n_bytes, "h.gguf", &file, NULL), status);
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
    temp_folder_path(&folder, "hostile.gguf", path);
    for (size_t i = 0; i < hostile_gguf_count(); i++) {
        hostile_file hostile;
        tt_tensor_file *file;
        tt_error err = {""};
        assert_true(hostile_gguf_make(i, &hostile));
        temp_folder_write(&folder, "hostile.gguf", hostile.bytes, hostile.n_bytes);
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
    uint8_t *bytes = gguf_block(GGUF_HEAD(1, 0) "$unet.conv_in.weight 2:4 36:8 320:8 8:4 0:8 ~32 *64:0", &n_bytes);
    assert_non_null(bytes);
    assert_int_equal(tt_tensor_file_open_memory(bytes, n_bytes, "sd.gguf", &file, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "sd.gguf: tensor \"unet.conv_in.weight\": rows of 36 elements, but blocks of Q8_0 "
                                  "hold 32: expected whole blocks; the file is damaged");
    free(bytes);
}

/* A file cut anywhere is refused; each cut stands in a block of its own size. */
static void test_cut_everywhere(void **state)
{
    (void)state;
    size_t n_bytes;
    uint8_t *bytes = gguf_block(GGUF_SOUND, &n_bytes);
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
    size_t n_bytes, n_refused = 0, n_data = 68;
    uint8_t *bytes = gguf_block(GGUF_SOUND, &n_bytes);
    assert_non_null(bytes);
    for (size_t bit = 0; bit < 8 * (n_bytes - n_data); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        n_refused += open_any(bytes, n_bytes) != TT_OK;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* What stays readable are other letters and other numbers that fit. */
    assert_true(n_refused > 8 * (n_bytes - n_data) * 3 / 4);
    free(bytes);
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void test_random_damage(void **state)
{
    (void)state;
    static const uint8_t pieces[] = {0, 1, 2, 3, 4, 8, 9, 12, 32, 64, 127, 128, 255};
    uint32_t random = 2463534242u;
    size_t n_bytes;
    uint8_t *sound = gguf_block(GGUF_SOUND, &n_bytes);
    uint8_t *bytes = malloc(n_bytes);
    assert_non_null(sound);
    assert_non_null(bytes);
    for (int round = 0; round < 20000; round++) {
        memcpy(bytes, sound, n_bytes);
        for (uint32_t i = 0, n = 1 + next_random(&random) % 4; i < n; i++)
            bytes[4 + next_random(&random) % (n_bytes - 4)] = pieces[next_random(&random) % sizeof(pieces)];
        (void)open_any(bytes, n_bytes);
    }
    free(bytes);
    free(sound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_file),        cmocka_unit_test(test_dims_are_turned),
        cmocka_unit_test(test_unusual_but_sound), cmocka_unit_test(test_types),
        cmocka_unit_test(test_metadata),          cmocka_unit_test(test_original_shape),
        cmocka_unit_test(test_hostile_files),     cmocka_unit_test(test_hostile_files_on_disk),
        cmocka_unit_test(test_example_sentence),  cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_every_bit_flipped), cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
