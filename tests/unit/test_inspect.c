/* test_inspect.c - text chunks and XMP of PNGs that others wrote, well and badly. */
#include "base/text.h"
#include "image/inspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

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

/* Signature and IHDR of 6 x 4 grey pixels. */
static tt_text begin_png(void)
{
    static const char header[13] = {0, 0, 0, 6, 0, 0, 0, 4, 8};
    tt_text out = {0};
    tt_text_add(&out, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(&out, "IHDR", header, sizeof header);
    return out;
}

/* A PNG with one chunk; the data may hold zero bytes. */
static tt_text png_with(const char *type, const void *data, size_t n_bytes)
{
    tt_text out = begin_png();
    add_chunk(&out, type, data, n_bytes);
    add_chunk(&out, "IEND", "", 0);
    return out;
}

static tt_status inspect(tt_text *png, tt_image_report *report, tt_error *err)
{
    const tt_status status = tt_inspect_png((const uint8_t *)png->bytes, png->n_bytes, "x.png", report, err);
    tt_text_free(png);
    return status;
}

static void check_single(const char *type, const void *data, size_t n_bytes, const char *key, const char *text)
{
    tt_image_report report;
    tt_error err = {0};
    tt_text png = png_with(type, data, n_bytes);
    if (inspect(&png, &report, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.width, 6);
    assert_int_equal(report.height, 4);
    assert_int_equal(report.n_entries, 1);
    assert_string_equal(report.entries[0].key, key);
    assert_string_equal(report.entries[0].text, text);
    tt_inspect_free(&report);
}

static void check_refused(tt_text png, tt_status status, const char *reason)
{
    tt_image_report report;
    tt_error err = {0};
    assert_int_equal(inspect(&png, &report, &err), status);
    if (strstr(err.text, reason) == NULL || strstr(err.text, "x.png") == NULL)
        fail_msg("\"%s\" does not say \"%s\" of x.png", err.text, reason);
    assert_int_equal(report.n_entries, 0);
    assert_null(report.entries);
}

/* zlib form of n_bytes. */
static tt_text deflated(const char *prefix, size_t n_prefix, const char *bytes, size_t n_bytes)
{
    tt_text out = {0};
    uLongf n_packed = compressBound((uLong)n_bytes);
    char *packed = malloc(n_packed);
    assert_non_null(packed);
    assert_int_equal(compress((Bytef *)packed, &n_packed, (const Bytef *)bytes, (uLong)n_bytes), Z_OK);
    tt_text_add(&out, prefix, n_prefix);
    tt_text_add(&out, packed, n_packed);
    free(packed);
    return out;
}

static void test_text_chunks(void **state)
{
    (void)state;
    check_single("tEXt", "Comment\0caf\xe9", 12, "Comment", "caf\xc3\xa9"); /* Latin-1 */
    check_single("tEXt", "Empty\0", 6, "Empty", "");
    check_single("iTXt", "Title\0\0\0de\0Titel\0\xe7\x8c\xab", 20, "Title", "\xe7\x8c\xab");
    tt_text packed = deflated("parameters\0\0", 12, "a long prompt", 13);
    check_single("zTXt", packed.bytes, packed.n_bytes, "parameters", "a long prompt");
    tt_text_free(&packed);
    packed = deflated("parameters\0\1\0\0\0", 15, "\xe7\x8c\xab", 3);
    check_single("iTXt", packed.bytes, packed.n_bytes, "parameters", "\xe7\x8c\xab");
    tt_text_free(&packed);
}

static void test_damaged_text(void **state)
{
    static const struct {
        const char *type, *data;
        size_t n_bytes;
        const char *reason;
    } cases[] = {
        {"tEXt", "no separator", 12, "keyword"},
        {"tEXt", "\0text", 5, "keyword"},
        {"tEXt", "", 0, "keyword"},
        {"tEXt", "key\0a\0b", 7, "zero byte"},
        {"zTXt", "key\0", 4, "fields"},
        {"zTXt", "key\0\1data", 9, "fields"},
        {"zTXt", "key\0\0not zlib", 13, "unpacked"},
        {"iTXt", "key\0", 4, "fields"},
        {"iTXt", "key\0\2\0\0\0text", 12, "fields"},
        {"iTXt", "key\0\0\0en", 8, "fields"},
        {"iTXt", "key\0\0\0\0\0\xff", 9, "UTF-8"},
        {"iTXt", "key\0\1\0\0\0junk", 12, "unpacked"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(png_with(cases[i].type, cases[i].data, cases[i].n_bytes), TT_ERROR_FORMAT, cases[i].reason);
    char key[90];
    memset(key, 'k', sizeof key);
    key[80] = '\0';
    check_refused(png_with("tEXt", key, sizeof key), TT_ERROR_FORMAT, "keyword");
}

static void test_limits(void **state)
{
    enum { MIB = 1 << 20 };
    char *zeros = malloc(4 * MIB);
    (void)state;
    assert_non_null(zeros);
    memset(zeros, 'a', 4 * MIB);
    tt_text packed = deflated("k\0\0", 3, zeros, 4 * MIB);
    check_refused(png_with("zTXt", packed.bytes, packed.n_bytes), TT_ERROR_UNSUPPORTED, "unpacks to more than 1048576");
    tt_text_free(&packed);
    packed = deflated("k\0\0", 3, zeros, MIB);
    tt_image_report report;
    tt_text png = png_with("zTXt", packed.bytes, packed.n_bytes);
    assert_int_equal(inspect(&png, &report, NULL), TT_OK); /* just fits */
    assert_int_equal(strlen(report.entries[0].text), MIB);
    tt_inspect_free(&report);
    tt_text_free(&packed);
    zeros[1] = '\0';
    check_refused(png_with("tEXt", zeros, MIB + 1), TT_ERROR_UNSUPPORTED, "1048577 bytes");
    free(zeros);

    png = begin_png();
    for (int i = 0; i < 64; i++)
        add_chunk(&png, "tEXt", "k\0t", 3);
    tt_text more = {0};
    tt_text_add(&more, png.bytes, png.n_bytes);
    add_chunk(&png, "IEND", "", 0);
    assert_int_equal(inspect(&png, &report, NULL), TT_OK);
    assert_int_equal(report.n_entries, 64);
    tt_inspect_free(&report);
    add_chunk(&more, "tEXt", "k\0t", 3);
    add_chunk(&more, "IEND", "", 0);
    check_refused(more, TT_ERROR_UNSUPPORTED, "64 text chunks");
}

static tt_text text_of(const char *bytes, size_t n_bytes)
{
    tt_text text = {0};
    tt_text_add(&text, bytes, n_bytes);
    return text;
}

static void test_damaged_files(void **state)
{
    (void)state;
    check_refused(text_of("", 0), TT_ERROR_FORMAT, "not a PNG");
    check_refused(text_of("GIF89a..", 8), TT_ERROR_FORMAT, "not a PNG");
    tt_text whole = png_with("tEXt", "key\0text", 8);
    for (size_t n = 8; n < whole.n_bytes; n++) /* cut anywhere */
        check_refused(text_of(whole.bytes, n), TT_ERROR_FORMAT, "cut off");
    for (size_t i = 12; i < whole.n_bytes; i++) { /* one bit flipped anywhere behind the first length */
        tt_image_report report;
        tt_text flipped = text_of(whole.bytes, whole.n_bytes);
        flipped.bytes[i] = (char)(flipped.bytes[i] ^ 0x10);
        assert_int_equal(inspect(&flipped, &report, NULL), TT_ERROR_FORMAT);
    }
    tt_text_free(&whole);
    tt_text no_header = text_of("\x89PNG\r\n\x1a\n", 8);
    add_chunk(&no_header, "IEND", "", 0);
    check_refused(no_header, TT_ERROR_FORMAT, "IHDR");
    static const char empty_header[13] = {0, 0, 0, 0, 0, 0, 0, 4, 8};
    tt_text empty = text_of("\x89PNG\r\n\x1a\n", 8);
    add_chunk(&empty, "IHDR", empty_header, 13);
    check_refused(empty, TT_ERROR_FORMAT, "0 x 4");
    tt_image_report report;
    tt_error err = {0};
    assert_int_equal(tt_inspect_file("no/such.png", &report, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "no/such.png"));
}

/* ---- XMP ---- */

#define RDF_BEGIN                                                                                                      \
    "<?xpacket?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
#define RDF_END "</rdf:RDF></x:xmpmeta>"
#define IPTC "='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'"
#define TC260 "=\"http://www.tc260.org.cn/ns/AIGC/1.0/\""

/* Puts the packet into an iTXt chunk; NULL for properties that must not be found. */
static void check_xmp(const char *packet, const char *source_type, const char *aigc)
{
    tt_text data = {0};
    tt_image_report report;
    tt_error err = {0};
    const char *found[2] = {NULL, NULL};
    tt_text_add(&data, "XML:com.adobe.xmp\0\0\0\0\0", 22);
    tt_text_add_string(&data, packet);
    tt_text png = png_with("iTXt", data.bytes, data.n_bytes);
    if (inspect(&png, &report, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_string_equal(report.entries[0].text, packet);
    for (size_t i = 1; i < report.n_entries; i++) {
        const bool is_aigc = strcmp(report.entries[i].key, "XMP:TC260:AIGC") == 0;
        assert_true(is_aigc || strcmp(report.entries[i].key, "XMP:Iptc4xmpExt:DigitalSourceType") == 0);
        found[is_aigc] = report.entries[i].text;
    }
    for (int i = 0; i < 2; i++) {
        const char *expected = i == 0 ? source_type : aigc;
        if ((expected == NULL) != (found[i] == NULL) || (expected != NULL && strcmp(expected, found[i]) != 0))
            fail_msg("%s: found \"%s\", expected \"%s\"", packet, found[i] ? found[i] : "nothing",
                     expected ? expected : "nothing");
    }
    tt_inspect_free(&report);
    tt_text_free(&data);
}

static void test_xmp_forms(void **state)
{
    (void)state;
    /* Elements, attributes, rdf:resource; any prefix; either quote. */
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:a" IPTC "><a:DigitalSourceType>t</a:DigitalSourceType>"
                        "</rdf:Description>" RDF_END,
              "t", NULL);
    check_xmp(RDF_BEGIN
              "<rdf:Description xmlns:a" IPTC " xmlns:q" TC260
              " a:DigitalSourceType = 'it' q:AIGC=\"{&quot;a&quot;:&apos;&#233;&#x4e2d;&#x1F431;&apos;}\"/>" RDF_END,
              "it", "{\"a\":'\xc3\xa9\xe4\xb8\xad\xf0\x9f\x90\xb1'}");
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:a" IPTC "><a:DigitalSourceType rdf:resource=\"http://x\"/>"
                        "</rdf:Description>" RDF_END,
              "http://x", NULL);
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:q" TC260 "><!-- <q:AIGC>no</q:AIGC> --><![CDATA[<q:AIGC>no</q:AIGC>]]>"
                        "<q:AIGC>a&lt;b&gt;&amp;c</q:AIGC></rdf:Description>" RDF_END,
              NULL, "a<b>&c");
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:q" TC260 " other='> <q:AIGC>no' q:AIGC='yes'/>" RDF_END, NULL, "yes");
}

static void test_xmp_that_is_not_ours(void **state)
{
    (void)state;
    check_xmp("", NULL, NULL);
    check_xmp("no XML at all < & >", NULL, NULL);
    check_xmp(RDF_BEGIN RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:TC260='urn:other'><TC260:AIGC>x</TC260:AIGC></rdf:Description>" RDF_END,
              NULL, NULL); /* the prefix means nothing, the namespace does */
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 "><rdf:Bag/></q:AIGC>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 ">&unknown;</q:AIGC>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 ">&#0;</q:AIGC>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 ">&#xD800;</q:AIGC>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 ">&#99999999999999999999;</q:AIGC>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 ">&amp</q:AIGC>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<q:AIGC xmlns:q" TC260 ">cut", NULL, NULL);
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:q" TC260 " q:AIGC=\"cut", NULL, NULL);
    check_xmp(RDF_BEGIN "<rdf:Description xmlns:q" TC260 " q:AIGC/>" RDF_END, NULL, NULL);
    check_xmp(RDF_BEGIN "<", NULL, NULL);
    check_xmp(RDF_BEGIN "<!--", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_chunks), cmocka_unit_test(test_damaged_text),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_xmp_forms),   cmocka_unit_test(test_xmp_that_is_not_ours),
    };
    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
