/* test_upscale.c - `tintype upscale` as a user drives it: pictures, marks, and every refusal. */
#include "tests/support/built-in.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"
#include "tintype/tintype.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CORPUS "tests/fuzz/corpus/image/"
#define NETWORKS "tests/golden/data/models/upscale/"

typedef struct place {
    temp_folder folder;
    char in[TT_TEMP_PATH], out[TT_TEMP_PATH];
} place;

/* Writes a picture with marks; code may be NULL. */
static void write_picture(const char *path, uint32_t width, uint32_t height, uint32_t n_channels,
                          const char *parameters, const char *code)
{
    tt_context *context = tt_context_create();
    tt_image image = {width, height, n_channels, malloc((size_t)width * height * n_channels)};
    const tt_image_marks marks = {
        .parameters = parameters, .digital_source_type = code, .aigc_json = code ? "{\"Label\":\"1\"}" : NULL};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < (size_t)width * height * n_channels; i++)
        image.pixels[i] = (uint8_t)(i * 7 % 251);
    assert_int_equal(tt_image_write_png(context, path, &image, &marks), TT_OK);
    tt_image_free(&image);
    tt_context_destroy(context);
}

static int set_up(void **state)
{
    static place p;
    temp_folder_make(&p.folder);
    (void)temp_folder_path(&p.folder, "in.png", p.in);
    (void)temp_folder_path(&p.folder, "out.png", p.out);
    write_picture(p.in, 30, 20, 3, "a cat\nSteps: 20", "trainedAlgorithmicMedia");
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    temp_folder_remove(&p->folder);
    return 0;
}

static void shows(const char *path, const char *text)
{
    expect_out(RUN("inspect", path), text);
}

/* Sizes, and the marks of a picture that is AI's already. */
static void test_marks_stay(void **state)
{
    place *p = *state;
    expect_out(RUN("upscale", p->in, "-o", p->out), "out.png, 60x40");
    shows(p->out, "60x40");
    shows(p->out, "digitalsourcetype/trainedAlgorithmicMedia");
    shows(p->out, "parameters: a cat\nSteps: 20");
    shows(p->out, "\"Label\":\"1\"");
    cli_run run = RUN("upscale", p->in, "-o", p->out, "--scale", "3", "-q");
    assert_fine(&run, "quiet");
    assert_int_equal(run.n_out, 0);
    cli_run_free(&run);
    shows(p->out, "90x60");
    json_t *json = expect_json(RUN("upscale", p->in, "-o", p->out, "--json"), "upscale --json");
    assert_string_equal(json_string_value(json_object_get(json, "architecture")), "srvgg");
    assert_int_equal(json_integer_value(json_object_get(json, "width")), 60);
    assert_true(json_number_value(json_object_get(json, "flops_per_pixel")) > 0);
    json_decref(json);
    expect_out(RUN("upscale", p->in, "-o", p->out, "--scale", "4", "--upscale-model", NETWORKS "rrdb_x4.safetensors",
                   "--tile", "128", "--precision", "f32"),
               "120x80");
}

/* A photo is marked as enhanced; a JPEG's own mark is read. */
static void test_photo(void **state)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/\0"
                              "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF "
                              "xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description "
                              "xmlns:i=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" i:DigitalSourceType="
                              "\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\"/></rdf:RDF>"
                              "</x:xmpmeta>";
    place *p = *state;
    char path[TT_TEMP_PATH];
    uint8_t bytes[8192];
    expect_out(RUN("upscale", CORPUS "grey.jpg", "-o", p->out), "wrote");
    shows(p->out, "digitalsourcetype/algorithmicallyEnhanced");
    FILE *stream = fopen(CORPUS "grey.jpg", "rb");
    assert_non_null(stream);
    size_t n = fread(bytes, 1, sizeof bytes / 2, stream), n_segment = sizeof xmp - 1 + 2;
    (void)fclose(stream);
    memmove(bytes + 2 + 2 + n_segment, bytes + 2, n - 2);
    memcpy(bytes + 2, (uint8_t[]){0xff, 0xe1, (uint8_t)(n_segment >> 8), (uint8_t)n_segment}, 4);
    memcpy(bytes + 6, xmp, sizeof xmp - 1);
    temp_folder_write(&p->folder, "ai.jpg", bytes, n + 2 + n_segment);
    shows(temp_folder_path(&p->folder, "ai.jpg", path), "digitalsourcetype/trainedAlgorithmicMedia");
    expect_out(RUN("upscale", path, "-o", p->out), "wrote");
    shows(p->out, "digitalsourcetype/trainedAlgorithmicMedia");
}

/* Transparency stays. */
static void test_alpha(void **state)
{
    place *p = *state;
    tt_context *context = tt_context_create();
    tt_image image;
    write_picture(p->out, 12, 9, 4, NULL, NULL);
    expect_out(RUN("upscale", p->out, "-o", p->out), "24x18"); /* over the input */
    assert_int_equal(tt_image_read(context, p->out, 0, &image), TT_OK);
    assert_int_equal(image.n_channels, 4);
    tt_image_free(&image);
    tt_context_destroy(context);
}

/* The network is found beside the vocabulary, too, and its absence is a sentence. */
static void test_share(void **state)
{
    place *p = *state;
    char variable[TT_TEMP_PATH + 32], network[TT_TEMP_PATH];
    uint8_t *bytes = malloc(1 << 20);
    FILE *stream = fopen(NETWORKS "srvgg_x3.safetensors", "rb");
    assert_non_null(bytes);
    assert_non_null(stream);
    size_t n = fread(bytes, 1, 1 << 20, stream);
    (void)fclose(stream);
    temp_folder_write(&p->folder, "tintype-x2.safetensors", bytes, n);
    free(bytes);
    (void)snprintf(variable, sizeof variable, "TINTYPE_SHARE=%s", p->folder.path);
    const char *const environment[] = {variable, NULL};
    const char *const arguments[] = {"upscale", p->in, "-o", p->out, "--scale", "3", "-v", NULL};
    cli_run run = run_cli_with(environment, arguments);
    assert_int_equal(run.code, 0);
    cli_run_free(&run);
    temp_folder_write_text(&p->folder, "tintype-x2.safetensors", "not a network");
    expect_refused(run_cli_with(environment, arguments), 1, p->folder.path);
    assert_int_equal(unlink(temp_folder_path(&p->folder, "tintype-x2.safetensors", network)), 0);
}

/* One sentence, and nothing new in the folder. */
static void test_refusals(void **state)
{
    place *p = *state;
    char bad[TT_TEMP_PATH], absent[TT_TEMP_PATH];
    (void)unlink(p->out);
    temp_folder_write_text(&p->folder, "bad.png", "\x89PNG no more");
    size_t n_before = temp_folder_count(&p->folder);
    (void)temp_folder_path(&p->folder, "bad.png", bad);
    (void)temp_folder_path(&p->folder, "nowhere/out.png", absent);
    expect_refused(RUN("upscale"), 2, "needs a FILE");
    expect_refused(RUN("upscale", p->in), 2, "-o FILE");
    expect_refused(RUN("upscale", p->in, "-o", p->out, "--scale", "5"), 2, "scale");
    expect_refused(RUN("upscale", p->in, "-o", p->out, "--tile", "8"), 2, "tile");
    expect_refused(RUN("upscale", p->in, "-o", absent), 1, "nowhere");
    expect_refused(RUN("upscale", bad, "-o", p->out), 1, "bad.png");
    expect_refused(RUN("upscale", CORPUS "cut.png", "-o", p->out), 1, "cut.png");
    expect_refused(RUN("upscale", "README.nonexistent", "-o", p->out), 1, "README.nonexistent");
    expect_refused(RUN("upscale", p->in, "-o", p->out, "--upscale-model", p->in), 1, "in.png");
    expect_refused(RUN("upscale", p->in, "-o", p->out, "--upscale-model", BUILT_IN_MODEL), 1,
                   "no super-resolution network");
    expect_refused(RUN("upscale", p->in, "-o", p->out, "--device", "no such device"), 1, "no such device");
    assert_int_equal(temp_folder_count(&p->folder), n_before);
}

static void test_help(void **state)
{
    (void)state;
    expect_out(RUN("help", "upscale"), "--upscale-model");
    expect_out(RUN("help"), "upscale");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_marks_stay), cmocka_unit_test(test_photo),
                                       cmocka_unit_test(test_alpha),      cmocka_unit_test(test_share),
                                       cmocka_unit_test(test_refusals),   cmocka_unit_test(test_help)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
