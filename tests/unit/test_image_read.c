/* test_image_read.c - PNG and JPEG in: every kind of pixel, limits judged before decoding, damaged files, resizing. */
#include "base/file.h"
#include "base/text.h"
#include "image/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

/* 8 x 4 pixels of one colour, by Pillow: (200, 40, 90), and progressive grey 77. */
static const uint8_t jpeg_rgb[] = {
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01, 0x00, 0x01,
    0x00, 0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x02, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x01, 0x01, 0x01, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x04, 0x03, 0x02, 0x02, 0x02, 0x02, 0x05, 0x04, 0x04, 0x03, 0x04, 0x06, 0x05, 0x06,
    0x06, 0x06, 0x05, 0x06, 0x06, 0x06, 0x07, 0x09, 0x08, 0x06, 0x07, 0x09, 0x07, 0x06, 0x06, 0x08, 0x0b, 0x08,
    0x09, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x06, 0x08, 0x0b, 0x0c, 0x0b, 0x0a, 0x0c, 0x09, 0x0a, 0x0a, 0x0a, 0xff,
    0xdb, 0x00, 0x43, 0x01, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x05, 0x03, 0x03, 0x05, 0x0a, 0x07, 0x06, 0x07,
    0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a,
    0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a,
    0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0xff, 0xc0, 0x00, 0x11,
    0x08, 0x00, 0x04, 0x00, 0x08, 0x03, 0x01, 0x11, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11, 0x01, 0xff, 0xc4, 0x00,
    0x14, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x08, 0xff, 0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xc4, 0x00, 0x15, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x09, 0xff, 0xc4, 0x00, 0x14, 0x11, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x0c,
    0x03, 0x01, 0x00, 0x02, 0x11, 0x03, 0x11, 0x00, 0x3f, 0x00, 0x3b, 0x8e, 0xa6, 0x0f, 0xff, 0xd9};
static const uint8_t jpeg_grey_progressive[] = {
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00,
    0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x02, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x01, 0x01, 0x01, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x04, 0x03, 0x02, 0x02, 0x02, 0x02, 0x05, 0x04, 0x04, 0x03, 0x04, 0x06, 0x05, 0x06, 0x06, 0x06, 0x05,
    0x06, 0x06, 0x06, 0x07, 0x09, 0x08, 0x06, 0x07, 0x09, 0x07, 0x06, 0x06, 0x08, 0x0b, 0x08, 0x09, 0x0a, 0x0a, 0x0a,
    0x0a, 0x0a, 0x06, 0x08, 0x0b, 0x0c, 0x0b, 0x0a, 0x0c, 0x09, 0x0a, 0x0a, 0x0a, 0xff, 0xc2, 0x00, 0x0b, 0x08, 0x00,
    0x04, 0x00, 0x08, 0x01, 0x01, 0x11, 0x00, 0xff, 0xc4, 0x00, 0x14, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00,
    0x01, 0x19, 0xff, 0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x05, 0x02, 0x7f, 0xff, 0xc4, 0x00,
    0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x06, 0x3f, 0x02, 0x7f, 0xff, 0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x08, 0x01,
    0x01, 0x00, 0x01, 0x3f, 0x21, 0x7f, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x10, 0x7f, 0xff, 0xc4,
    0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x3f, 0x10, 0x7f, 0xff, 0xd9};

/* ---- PNGs made by hand ---- */

static void add_u32(tt_text *out, uint32_t value)
{
    const char bytes[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    tt_text_add(out, bytes, 4);
}

static void add_chunk(tt_text *out, const char *type, const void *data, size_t n_bytes)
{
    add_u32(out, (uint32_t)n_bytes);
    const size_t begin = out->n_bytes;
    tt_text_add_string(out, type);
    tt_text_add(out, data, n_bytes);
    add_u32(out, (uint32_t)crc32(0, (const Bytef *)out->bytes + begin, (uInt)(out->n_bytes - begin)));
}

typedef struct png_kind {
    uint32_t width, height;
    uint8_t bit_depth, colour_type, interlaced;
} png_kind;

/* A PNG of that header whose pixel data unpack to n_raw bytes. */
static tt_text make_png(png_kind kind, const char *palette, size_t n_palette, const void *raw, size_t n_raw)
{
    tt_text out = {0}, header = {0};
    uLongf n_packed = compressBound((uLong)n_raw);
    uint8_t *packed = malloc(n_packed);
    const char tail[5] = {(char)kind.bit_depth, (char)kind.colour_type, 0, 0, (char)kind.interlaced};
    assert_non_null(packed);
    assert_int_equal(compress(packed, &n_packed, raw, (uLong)n_raw), Z_OK);
    add_u32(&header, kind.width);
    add_u32(&header, kind.height);
    tt_text_add(&header, tail, 5);
    tt_text_add(&out, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(&out, "IHDR", header.bytes, header.n_bytes);
    if (n_palette > 0)
        add_chunk(&out, "PLTE", palette, n_palette);
    add_chunk(&out, "IDAT", packed, n_packed);
    add_chunk(&out, "IEND", "", 0);
    tt_text_free(&header);
    free(packed);
    return out;
}

static tt_status decode(const void *bytes, size_t n_bytes, uint32_t n_channels, tt_image *image, tt_error *err)
{
    const tt_image_limits limits = tt_image_limits_device();
    return tt_image_decode(bytes, n_bytes, "in.png", &limits, n_channels, image, err);
}

/* Decodes and compares all pixels; takes the PNG. */
static void check_pixels(tt_text png, uint32_t n_asked, uint32_t n_channels, const void *pixels, size_t n_bytes)
{
    tt_image image;
    tt_error err = {0};
    if (decode(png.bytes, png.n_bytes, n_asked, &image, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(image.n_channels, n_channels);
    assert_int_equal((size_t)image.width * image.height * image.n_channels, n_bytes);
    assert_memory_equal(image.pixels, pixels, n_bytes);
    tt_image_free(&image);
    assert_null(image.pixels);
    tt_text_free(&png);
}

static void test_png_kinds(void **state)
{
    static const png_kind rgb = {2, 1, 8, 2, 0}, grey16 = {2, 1, 16, 0, 0}, grey_alpha = {1, 2, 8, 4, 0},
                          palette = {4, 1, 2, 3, 0}, bits = {9, 1, 1, 0, 0}, rgba = {1, 1, 8, 6, 0};
    static const char colours[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    (void)state;
    check_pixels(make_png(rgb, NULL, 0, "\0abcdef", 7), 0, 3, "abcdef", 6);
    check_pixels(make_png(rgb, NULL, 0, "\0abcdef", 7), 4, 4,
                 "abc\xff"
                 "def\xff",
                 8);
    check_pixels(make_png(rgba, NULL, 0, "\0abcd", 5), 0, 4, "abcd", 4);
    check_pixels(make_png(rgba, NULL, 0, "\0abcd", 5), 3, 3, "abc", 3);
    check_pixels(make_png(grey16, NULL, 0, "\0aXbY", 5), 0, 1, "ab", 2); /* the high bytes */
    check_pixels(make_png(grey16, NULL, 0, "\0aXbY", 5), 3, 3, "aaabbb", 6);
    check_pixels(make_png(grey_alpha, NULL, 0, "\0aX\0bY", 6), 0, 4, "aaaXbbbY", 8);
    check_pixels(make_png(palette, colours, 12, "\0\x1b", 2), 0, 3, colours, 12); /* indices 0 1 2 3 */
    check_pixels(make_png(bits, NULL, 0, "\0\xaa\x80", 3), 0, 1, "\xff\0\xff\0\xff\0\xff\0\xff", 9);
}

static void test_interlaced_png(void **state)
{
    static const png_kind kind = {2, 2, 8, 0, 1};
    (void)state;
    check_pixels(make_png(kind, NULL, 0,
                          "\0a"
                          "\0b"
                          "\0cd",
                          7),
                 0, 1, "abcd", 4); /* passes 1, 6 and 7 */
}

static void test_jpegs(void **state)
{
    tt_image image;
    (void)state;
    assert_int_equal(decode(jpeg_rgb, sizeof jpeg_rgb, 0, &image, NULL), TT_OK);
    assert_int_equal(image.width, 8);
    assert_int_equal(image.height, 4);
    assert_int_equal(image.n_channels, 3);
    for (int i = 0; i < 8 * 4 * 3; i++) {
        static const int colour[] = {200, 40, 90};
        assert_in_range(image.pixels[i], colour[i % 3] - 2, colour[i % 3] + 2);
    }
    tt_image_free(&image);
    assert_int_equal(decode(jpeg_grey_progressive, sizeof jpeg_grey_progressive, 3, &image, NULL), TT_OK);
    assert_int_equal(image.n_channels, 3);
    for (int i = 0; i < 8 * 4 * 3; i++)
        assert_in_range(image.pixels[i], 76, 78);
    tt_image_free(&image);
}

/* ---- bad files ---- */

static void check_refused(const void *bytes, size_t n_bytes, tt_status status, const char *reason)
{
    tt_image image;
    tt_error err = {0};
    assert_int_equal(decode(bytes, n_bytes, 3, &image, &err), status);
    if (strstr(err.text, reason) == NULL || strstr(err.text, "in.png") == NULL)
        fail_msg("\"%s\" does not say \"%s\" of in.png", err.text, reason);
    assert_null(image.pixels);
}

static void check_png_refused(png_kind kind, const void *raw, size_t n_raw, tt_status status, const char *reason)
{
    tt_text png = make_png(kind, NULL, 0, raw, n_raw);
    check_refused(png.bytes, png.n_bytes, status, reason);
    tt_text_free(&png);
}

static void test_size_limits(void **state)
{
    (void)state;
    check_png_refused((png_kind){16385, 1, 8, 0, 0}, "", 0, TT_ERROR_UNSUPPORTED, "16385 x 1 pixels");
    check_png_refused((png_kind){1, 16385, 8, 0, 0}, "", 0, TT_ERROR_UNSUPPORTED, "1 x 16385 pixels");
    check_png_refused((png_kind){8001, 8000, 8, 6, 0}, "", 0, TT_ERROR_UNSUPPORTED, "64000000 in all");
    check_png_refused((png_kind){0x7fffffff, 0x7fffffff, 16, 6, 0}, "", 0, TT_ERROR_UNSUPPORTED, "2147483647");
    check_png_refused((png_kind){0xffffffff, 1, 8, 0, 0}, "", 0, TT_ERROR_FORMAT, "4294967295");
    check_png_refused((png_kind){0, 1, 8, 0, 0}, "", 0, TT_ERROR_FORMAT, "0 x 1");
    uint8_t wide[sizeof jpeg_rgb]; /* the JPEG's frame header with another height */
    memcpy(wide, jpeg_rgb, sizeof wide);
    for (size_t i = 0; i + 6 < sizeof wide; i++)
        if (wide[i] == 0xff && wide[i + 1] == 0xc0)
            wide[i + 5] = 0x7f;
    check_refused(wide, sizeof wide, TT_ERROR_UNSUPPORTED, "32516 pixels");

    tt_image image;
    tt_error err = {0};
    const tt_image_limits small_side = {7, 1000, 10000}, few_pixels = {100, 31, 10000}, few_bytes = {100, 1000, 100};
    const tt_image_limits just = {8, 32, sizeof jpeg_rgb};
    assert_int_equal(tt_image_decode(jpeg_rgb, sizeof jpeg_rgb, "j", &just, 3, &image, &err), TT_OK);
    tt_image_free(&image);
    assert_int_equal(tt_image_decode(jpeg_rgb, sizeof jpeg_rgb, "j", &small_side, 3, &image, &err),
                     TT_ERROR_UNSUPPORTED);
    assert_int_equal(tt_image_decode(jpeg_rgb, sizeof jpeg_rgb, "j", &few_pixels, 3, &image, &err),
                     TT_ERROR_UNSUPPORTED);
    assert_int_equal(tt_image_decode(jpeg_rgb, sizeof jpeg_rgb, "j", &few_bytes, 3, &image, &err),
                     TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "at most 100"));
    assert_int_equal(decode(jpeg_rgb, sizeof jpeg_rgb, 2, &image, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(decode(jpeg_rgb, sizeof jpeg_rgb, 5, &image, &err), TT_ERROR_ARGUMENT);
}

static void test_decompression_bomb(void **state)
{
    enum { N = 64 << 20 };
    char *zeros = calloc(N, 1);
    (void)state;
    assert_non_null(zeros);
    check_png_refused((png_kind){16, 16, 8, 0, 0}, zeros, N, TT_ERROR_FORMAT, "more than the 272 bytes");
    check_png_refused((png_kind){16, 16, 8, 0, 1}, zeros, N, TT_ERROR_FORMAT, "more than");
    free(zeros);
}

/* A JPEG with many scans costs a pass over all pixels for each. */
static void test_many_scans(void **state)
{
    tt_text jpeg = {0};
    size_t begin = 0, end = sizeof jpeg_grey_progressive - 2; /* before EOI */
    (void)state;
    for (size_t i = 0; i + 1 < end; i++)
        if (jpeg_grey_progressive[i] == 0xff && jpeg_grey_progressive[i + 1] == 0xda)
            begin = i; /* the last scan */
    assert_true(begin > 0);
    tt_text_add(&jpeg, (const char *)jpeg_grey_progressive, end);
    for (int i = 0; i < 101; i++)
        tt_text_add(&jpeg, (const char *)jpeg_grey_progressive + begin, end - begin);
    tt_text_add(&jpeg, "\xff\xd9", 2);
    check_refused(jpeg.bytes, jpeg.n_bytes, TT_ERROR_UNSUPPORTED, "scans");
    tt_text_free(&jpeg);
}

/* 16 x 255 codes: more than a table may have, and more than some decoders have room for. */
static void test_huffman_table_overflow(void **state)
{
    tt_text jpeg = {0};
    char table[2 + 17 + 16 * 255] = {0};
    (void)state;
    for (int n_codes = 255; n_codes >= 17; n_codes -= 238) { /* too many codes; fewer values than codes */
        const size_t n = n_codes == 255 ? sizeof table : 2 + 17 + 16;
        table[0] = (char)(n >> 8);
        table[1] = (char)n;
        memset(table + 3, 0, 16);
        for (int i = 0; i < 16; i++)
            table[3 + i] = (char)(n_codes == 255 ? 255 : i == 7 ? n_codes : 0);
        tt_text_add(&jpeg, "\xff\xd8\xff\xc4", 4);
        tt_text_add(&jpeg, table, n);
        tt_text_add(&jpeg, (const char *)jpeg_rgb + 2, sizeof jpeg_rgb - 2);
        check_refused(jpeg.bytes, jpeg.n_bytes, TT_ERROR_FORMAT, "Huffman tables is damaged");
        tt_text_free(&jpeg);
    }
}

/* Without its Huffman tables, or with tables of other numbers, no scan can be decoded. */
static void test_huffman_table_missing(void **state)
{
    (void)state;
    for (int number = 0; number < 2; number++) {
        uint8_t changed[sizeof jpeg_rgb];
        size_t n_tables = 0;
        memcpy(changed, jpeg_rgb, sizeof changed);
        for (size_t i = 0; i + 4 < sizeof changed; i++) {
            if (changed[i] != 0xff || changed[i + 1] != 0xc4)
                continue;
            n_tables++;
            if (number == 0)
                changed[i + 1] = 0xfe; /* a comment */
            else
                changed[i + 4] |= 2;
        }
        assert_true(n_tables > 0);
        check_refused(changed, sizeof changed, TT_ERROR_FORMAT, "Huffman table is missing");
    }
}

static void test_damaged_files(void **state)
{
    static const png_kind kind = {2, 1, 8, 2, 0};
    (void)state;
    check_refused("", 0, TT_ERROR_UNSUPPORTED, "neither a PNG nor a JPEG");
    check_refused("GIF89a", 6, TT_ERROR_UNSUPPORTED, "neither a PNG nor a JPEG");
    tt_text png = make_png(kind, NULL, 0, "\0abcdef", 7);
    for (size_t n = 8; n < png.n_bytes; n++)
        check_refused(png.bytes, n, TT_ERROR_FORMAT, "cut off");
    tt_text_free(&png);
    check_png_refused(kind, "\0abc", 4, TT_ERROR_FORMAT, "decoded");    /* pixels are missing */
    check_png_refused(kind, "\7abcdef", 7, TT_ERROR_FORMAT, "decoded"); /* no such filter */
    check_png_refused((png_kind){2, 1, 7, 2, 0}, "\0abcdef", 7, TT_ERROR_FORMAT, "cannot be read");
    check_png_refused((png_kind){2, 1, 8, 5, 0}, "\0abcdef", 7, TT_ERROR_FORMAT, "cannot be read");
    check_png_refused((png_kind){2, 1, 8, 3, 0}, "\0ab", 3, TT_ERROR_FORMAT, "cannot be read"); /* no palette */
    for (size_t n = 3; n < 160; n++)
        check_refused(jpeg_rgb, n, TT_ERROR_FORMAT, "cannot be");
    for (size_t n = 0; n < sizeof jpeg_rgb; n++) { /* any bit pattern may decode or fail, but never crash */
        uint8_t flipped[sizeof jpeg_rgb];
        tt_image image;
        memcpy(flipped, jpeg_rgb, sizeof flipped);
        flipped[n] ^= 0x55;
        if (decode(flipped, sizeof flipped, 3, &image, NULL) == TT_OK)
            tt_image_free(&image);
        assert_null(image.pixels);
    }
}

static void test_files(void **state)
{
    const tt_image_limits limits = tt_image_limits_device();
    tt_image image;
    tt_error err = {0};
    (void)state;
    assert_int_equal(tt_image_read_file("no/such.png", &limits, 3, &image, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "no/such.png"));
    assert_int_equal(tt_image_read_file("tests/unit/test_image_read.c", &limits, 3, &image, &err),
                     TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "test_image_read.c"));
    assert_null(image.pixels);
}

/* ---- resizing ---- */

static tt_image make_image(uint32_t width, uint32_t height, uint32_t n_channels)
{
    tt_image image = {width, height, n_channels, calloc((size_t)width * height, n_channels)};
    assert_non_null(image.pixels);
    return image;
}

static void test_resize_keeps(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {5, 9}, {32, 16}, {64, 64}, {100, 3}};
    tt_image image = make_image(32, 16, 3), out;
    (void)state;
    for (size_t i = 0; i < 32 * 16 * 3; i++)
        image.pixels[i] = (uint8_t)(i * 31);
    assert_int_equal(tt_image_resize(&image, 32, 16, &out, NULL), TT_OK); /* the same size: the same picture */
    assert_memory_equal(out.pixels, image.pixels, 32 * 16 * 3);
    tt_image_free(&out);
    for (size_t i = 0; i < 32 * 16 * 3; i++)
        image.pixels[i] = (uint8_t)(10 + 100 * (i % 3));
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) { /* one colour stays that colour */
        assert_int_equal(tt_image_resize(&image, sizes[s][0], sizes[s][1], &out, NULL), TT_OK);
        assert_int_equal(out.width, sizes[s][0]);
        assert_int_equal(out.height, sizes[s][1]);
        for (size_t i = 0; i < (size_t)out.width * out.height * 3; i++)
            assert_int_equal(out.pixels[i], 10 + 100 * (i % 3));
        tt_image_free(&out);
    }
    tt_image_free(&image);
}

/* A ramp stays a ramp (cubic interpolation keeps straight lines) away from the edges, in both directions. */
static void test_resize_ramp(void **state)
{
    static const uint32_t sides[] = {20, 40, 55, 80, 120, 200};
    tt_image image = make_image(80, 80, 1), out;
    (void)state;
    for (uint32_t y = 0; y < 80; y++)
        for (uint32_t x = 0; x < 80; x++)
            image.pixels[y * 80 + x] = (uint8_t)(20 + x + 2 * y);
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
        const uint32_t side = sides[s], margin = side / 20 + 2;
        assert_int_equal(tt_image_resize(&image, side, side, &out, NULL), TT_OK);
        for (uint32_t y = margin; y < side - margin; y++)
            for (uint32_t x = margin; x < side - margin; x++) {
                const double scale = 80.0 / side;
                const double expected = 20 + ((x + 0.5) * scale - 0.5) + 2 * ((y + 0.5) * scale - 0.5);
                const double error = out.pixels[y * side + x] - expected;
                assert_true(error > -1.0 && error < 1.0);
            }
        tt_image_free(&out);
    }
    tt_image_free(&image);
}

/* Bicubic by hand: a step from 0 to 255 doubled, Keys' weights at 1/4 and 3/4: -9, 111, 29, -3 of 128. */
static void test_resize_step(void **state)
{
    static const uint8_t step[] = {0, 0, 0, 255, 255, 255};
    static const uint8_t expected[] = {0, 0, 0, 0, 0 /* -6 */, 52, 203, 255 /* 261 */, 255, 255, 255, 255};
    tt_image image = make_image(6, 1, 1), out;
    (void)state;
    memcpy(image.pixels, step, 6);
    assert_int_equal(tt_image_resize(&image, 12, 1, &out, NULL), TT_OK);
    assert_memory_equal(out.pixels, expected, 12);
    tt_image_free(&out);
    tt_image_free(&image);
}

static void test_resize_refusals(void **state)
{
    tt_image image = make_image(2, 2, 3), none = {0}, out;
    tt_error err = {0};
    (void)state;
    assert_int_equal(tt_image_resize(&none, 2, 2, &out, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_image_resize(&image, 0, 2, &out, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_image_resize(&image, 2, 16385, &out, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "2 x 16385"));
    assert_null(out.pixels);
    tt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_kinds),
        cmocka_unit_test(test_interlaced_png),
        cmocka_unit_test(test_jpegs),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_decompression_bomb),
        cmocka_unit_test(test_many_scans),
        cmocka_unit_test(test_huffman_table_overflow),
        cmocka_unit_test(test_huffman_table_missing),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_resize_keeps),
        cmocka_unit_test(test_resize_ramp),
        cmocka_unit_test(test_resize_step),
        cmocka_unit_test(test_resize_refusals),
    };
    return cmocka_run_group_tests_name("image_read", tests, NULL, NULL);
}
