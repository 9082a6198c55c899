/* test_png_write.c - PNGs that we write: pixels and marks come back, bytes are the same each time, bad input is refused
 * and leaves no file. */
#include "base/file.h"
#include "image/inspect.h"
#include "image/png-write.h"
#include "image/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char source_type[] = "trainedAlgorithmicMedia";
static const char aigc[] = "{\"Label\":\"1\",\"ContentProducer\":\"<tintype> & 'co' \xe6\xb5\x8b\xf0\x9f\x90\xb1\"}";

static tt_image make_image(uint32_t width, uint32_t height, uint32_t n_channels)
{
    tt_image image = {width, height, n_channels, malloc((size_t)width * height * n_channels)};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < (size_t)width * height * n_channels; i++)
        image.pixels[i] = (uint8_t)(i * 37 + i / 11);
    return image;
}

static void assert_entry(const tt_image_report *report, const char *key, const char *text)
{
    const char *found = NULL;
    for (size_t i = 0; i < report->n_entries; i++)
        if (strcmp(report->entries[i].key, key) == 0)
            found = report->entries[i].text;
    if (text == NULL) {
        assert_null(found);
    } else {
        if (found == NULL)
            fail_msg("%s is missing", key);
        assert_string_equal(found, text);
    }
}

/* True when the file has a chunk of this type, keyword and zero byte. */
static bool has_chunk(const tt_text *png, const char *type, const char *key)
{
    char wanted[128];
    const int n = snprintf(wanted, sizeof wanted, "%s%s", type, key) + 1;
    for (size_t i = 0; i + (size_t)n <= png->n_bytes; i++)
        if (memcmp(png->bytes + i, wanted, (size_t)n) == 0)
            return true;
    return false;
}

static size_t position_of(const tt_text *png, const char *type)
{
    for (size_t i = 0; i + 4 <= png->n_bytes; i++)
        if (memcmp(png->bytes + i, type, 4) == 0)
            return i;
    fail_msg("no %s", type);
    return 0;
}

static void inspect(const tt_text *png, tt_image_report *report)
{
    tt_error err = {0};
    if (tt_inspect_png((const uint8_t *)png->bytes, png->n_bytes, "test", report, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void test_pixels_come_back(void **state)
{
    static const uint32_t sizes[][3] = {{1, 1, 1}, {7, 5, 1}, {7, 5, 3}, {64, 33, 3}, {5, 9, 4}};
    const tt_image_limits limits = tt_image_limits_device();
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tt_image image = make_image(sizes[i][0], sizes[i][1], sizes[i][2]), back;
        tt_text png = {0}, again = {0};
        assert_int_equal(tt_png_encode(&image, NULL, &png, NULL), TT_OK);
        assert_int_equal(tt_png_encode(&image, NULL, &again, NULL), TT_OK);
        assert_int_equal(png.n_bytes, again.n_bytes);
        assert_memory_equal(png.bytes, again.bytes, png.n_bytes);
        assert_int_equal(tt_image_decode((const uint8_t *)png.bytes, png.n_bytes, "test", &limits, 0, &back, NULL),
                         TT_OK);
        assert_int_equal(back.width, image.width);
        assert_int_equal(back.height, image.height);
        assert_int_equal(back.n_channels, image.n_channels);
        assert_memory_equal(back.pixels, image.pixels, (size_t)image.width * image.height * image.n_channels);
        tt_text_free(&png);
        tt_text_free(&again);
        tt_image_free(&image);
        tt_image_free(&back);
    }
}

/* Writes `parameters` and reads it back; the chunk's type is tEXt or iTXt. */
static void check_parameters(const char *parameters, const char *type)
{
    tt_image image = make_image(3, 2, 3);
    tt_image_marks marks = {.parameters = parameters, .software = "tintype 1.0"};
    tt_image_report report;
    tt_text png = {0};
    tt_error err = {0};
    if (tt_png_encode(&image, &marks, &png, &err) != TT_OK)
        fail_msg("%s", err.text);
    inspect(&png, &report);
    assert_int_equal(report.width, 3);
    assert_int_equal(report.height, 2);
    assert_int_equal(report.n_entries, 2);
    assert_entry(&report, "Software", "tintype 1.0");
    assert_entry(&report, "parameters", parameters);
    assert_true(has_chunk(&png, type, "parameters"));
    assert_true(has_chunk(&png, "tEXt", "Software"));
    tt_inspect_free(&report);
    assert_int_equal(report.n_entries, 0);
    tt_text_free(&png);
    tt_image_free(&image);
}

static void test_parameters(void **state)
{
    char *longest = malloc(100001);
    (void)state;
    assert_non_null(longest);
    memset(longest, 'x', 100000);
    longest[100000] = '\0';
    check_parameters("a cat\nNegative prompt: dog\nSteps: 20, Size: 512x512", "tEXt");
    check_parameters("cr\xc3\xa8me br\xc3\xbbl\xc3\xa9"
                     "e \xc3\xbf\xc2\xa0",
                     "tEXt");                                                      /* Latin-1 */
    check_parameters("\xe4\xb8\xad\xe6\x96\x87 \xe6\x8f\x90\xe7\xa4\xba", "iTXt"); /* Chinese */
    check_parameters("\xf0\x9f\x90\xb1 cat", "iTXt");                              /* beyond U+FFFF */
    check_parameters("\xe2\x80\x9cquotes\xe2\x80\x9d \"<&>'", "iTXt");
    check_parameters("carriage\rreturn\ttab", "iTXt"); /* tEXt holds no control characters but the line feed */
    check_parameters("\xc2\x80", "iTXt");
    check_parameters(longest, "tEXt");
    memcpy(longest, "\xf0\x9f\x90\xb1", 4);
    check_parameters(longest, "iTXt");
    free(longest);
}

static void test_ai_marks(void **state)
{
    tt_image image = make_image(8, 8, 3);
    tt_image_marks marks = {"p", "tintype", source_type, aigc};
    tt_image_report report;
    tt_text png = {0}, packet = {0};
    (void)state;
    assert_int_equal(tt_png_encode(&image, &marks, &png, NULL), TT_OK);
    inspect(&png, &report);
    assert_entry(&report, "XMP:Iptc4xmpExt:DigitalSourceType",
                 "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia");
    assert_entry(&report, "XMP:TC260:AIGC", aigc);
    /* The text chunk is ASCII whatever the label says. */
    assert_entry(&report, "AIGC", "{\"Label\":\"1\",\"ContentProducer\":\"<tintype> & 'co' \\u6d4b\\ud83d\\udc31\"}");
    assert_int_equal(tt_xmp_packet(&marks, &packet, NULL), TT_OK);
    assert_entry(&report, "XML:com.adobe.xmp", packet.bytes);
    assert_non_null(strstr(packet.bytes, "&quot;Label&quot;:&quot;1&quot;"));
    assert_non_null(strstr(packet.bytes, "&lt;tintype&gt; &amp; &apos;co&apos;"));
    assert_true(has_chunk(&png, "tEXt", "AIGC"));
    assert_true(has_chunk(&png, "iTXt", "XML:com.adobe.xmp"));
    assert_true(position_of(&png, "sRGB") < position_of(&png, "tEXt"));
    assert_true(position_of(&png, "iTXt") < position_of(&png, "IDAT"));
    tt_inspect_free(&report);
    tt_text_free(&packet);
    tt_text_free(&png);
    tt_image_free(&image);
}

static void test_single_marks(void **state)
{
    tt_image image = make_image(2, 2, 3);
    tt_image_marks only_source = {.digital_source_type = "compositeWithTrainedAlgorithmicMedia"};
    tt_image_marks only_label = {.aigc_json = "{\n\t\"Label\": \"1\"\r\n}"};
    tt_image_report report;
    tt_text png = {0}, packet = {0};
    (void)state;
    assert_int_equal(tt_png_encode(&image, &only_source, &png, NULL), TT_OK);
    inspect(&png, &report);
    assert_int_equal(report.n_entries, 2);
    assert_entry(&report, "XMP:Iptc4xmpExt:DigitalSourceType",
                 "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia");
    assert_entry(&report, "XMP:TC260:AIGC", NULL);
    tt_inspect_free(&report);
    tt_text_free(&png);

    assert_int_equal(tt_png_encode(&image, &only_label, &png, NULL), TT_OK);
    inspect(&png, &report);
    assert_int_equal(report.n_entries, 3);
    assert_entry(&report, "XMP:TC260:AIGC", only_label.aigc_json);
    assert_entry(&report, "AIGC", "{  \"Label\": \"1\"  }");
    assert_true(has_chunk(&png, "tEXt", "AIGC"));
    tt_inspect_free(&report);
    tt_text_free(&png);

    assert_int_equal(tt_xmp_packet(NULL, &packet, NULL), TT_OK);
    assert_int_equal(packet.n_bytes, 0);
    tt_image_free(&image);
}

static void check_refused(const tt_image *image, const tt_image_marks *marks, const char *reason)
{
    tt_text png = {0};
    tt_error err = {0};
    assert_int_equal(tt_png_encode(image, marks, &png, &err), TT_ERROR_ARGUMENT);
    if (strstr(err.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
    tt_text_free(&png);
}

static void test_refusals(void **state)
{
    tt_image image = make_image(2, 2, 3), none = {0}, grey_alpha = image, wide = image;
    char *huge = malloc((1 << 20) + 1);
    (void)state;
    assert_non_null(huge);
    memset(huge, 'x', 1 << 20);
    huge[1 << 20] = '\0';
    grey_alpha.n_channels = 2;
    wide.width = 16385;
    check_refused(&none, NULL, "0 x 0");
    check_refused(&grey_alpha, NULL, "2 channels");
    check_refused(&wide, NULL, "16385");
    check_refused(&image, &(tt_image_marks){.parameters = "a\xff"}, "parameters is not well-formed UTF-8 at byte 1");
    check_refused(&image, &(tt_image_marks){.parameters = huge}, "1048576 bytes");
    check_refused(&image, &(tt_image_marks){.aigc_json = "{\"Label\":"}, "AIGC label");
    check_refused(&image, &(tt_image_marks){.aigc_json = "\"text\""}, "AIGC label");
    check_refused(&image, &(tt_image_marks){.digital_source_type = "a\"><b"}, "digital source type");
    check_refused(&image, &(tt_image_marks){.digital_source_type = ""}, "digital source type");
    free(huge);
    tt_image_free(&image);
}

static void test_files(void **state)
{
    char folder[] = "/tmp/tintype-png-XXXXXX";
    tt_image image = make_image(4, 4, 3);
    tt_image_marks marks = {.parameters = "first"}, bad = {.parameters = "\xff"};
    tt_image_report report;
    tt_error err = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    char *path = tt_path_join(folder, "a.png"), *missing = tt_path_join(folder, "none/a.png");
    assert_int_equal(tt_png_write_file(path, &image, &marks, NULL), TT_OK);
    assert_int_equal(tt_png_write_file(path, &image, &bad, NULL), TT_ERROR_ARGUMENT); /* the old file stays */
    assert_int_equal(tt_inspect_file(path, &report, NULL), TT_OK);
    assert_entry(&report, "parameters", "first");
    tt_inspect_free(&report);
    assert_int_equal(tt_png_write_file(missing, &image, NULL, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left in it */
    free(path);
    free(missing);
    tt_image_free(&image);
}

/* The public call gives the same bytes as the room's, and refuses what it refuses. */
static void test_public_call(void **state)
{
    (void)state;
    tt_context *context = tt_context_create();
    tt_image image = make_image(7, 5, 3);
    const tt_image_marks marks = {.software = "tintype"};
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    tt_text png = {0};
    assert_int_equal(tt_png_encode(&image, &marks, &png, NULL), TT_OK);
    assert_int_equal(tt_image_encode_png(context, &image, &marks, &bytes, &n_bytes), TT_OK);
    assert_int_equal(n_bytes, png.n_bytes);
    assert_memory_equal(bytes, png.bytes, n_bytes);
    free(bytes);
    image.n_channels = 2;
    assert_int_equal(tt_image_encode_png(context, &image, &marks, &bytes, &n_bytes), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(context), "2 channels"));
    tt_text_free(&png);
    free(image.pixels);
    tt_context_destroy(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_come_back), cmocka_unit_test(test_parameters), cmocka_unit_test(test_ai_marks),
        cmocka_unit_test(test_single_marks),     cmocka_unit_test(test_refusals),   cmocka_unit_test(test_files),
        cmocka_unit_test(test_public_call),
    };
    return cmocka_run_group_tests_name("png_write", tests, NULL, NULL);
}
