/* test_upscaler.c - the public upscaler: scales, channels, marks, refusals, and what it gains on photographs. */
#include "tests/support/built-in.h"
#include "tests/support/shared-context.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWN "tests/golden/data/models/upscale/"

static tt_upscaler *load_as(const char *path, tt_precision precision, uint32_t tile)
{
    tt_upscaler *upscaler = NULL;
    tt_upscaler_params params;
    tt_upscaler_params_default(&params);
    params.path = path;
    params.precision = precision;
    params.tile = tile;
    if (tt_upscaler_load(context, &params, &upscaler) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return upscaler;
}

static tt_upscaler *load(const char *path)
{
    return load_as(path, TT_PRECISION_AUTO, 0);
}

/* Ramps, edges and, with four channels, an alpha that falls from left to right. */
static tt_image make_image(uint32_t width, uint32_t height, uint32_t n_channels)
{
    tt_image image = {width, height, n_channels, malloc((size_t)width * height * n_channels)};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < (size_t)width * height; i++) {
        size_t x = i % width, y = i / width;
        for (size_t c = 0; c < n_channels; c++)
            image.pixels[i * n_channels + c] =
                (uint8_t)(c == 3 ? 255 - 255 * x / width : (x / 5 + y / 4 + c) % 3 * 70 + x + 2 * y);
    }
    return image;
}

static tt_image enlarge(tt_upscaler *upscaler, const tt_image *image, uint32_t scale)
{
    tt_image out;
    if (tt_upscale(upscaler, image, scale, NULL, NULL, &out) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_int_equal(out.width, image->width * scale);
    assert_int_equal(out.height, image->height * scale);
    assert_int_equal(out.n_channels, image->n_channels);
    return out;
}

/* Mean absolute difference of channel c to the bicubic picture. */
static double distance_to_bicubic(const tt_image *image, const tt_image *large, uint32_t c)
{
    tt_image bicubic;
    double sum = 0;
    assert_int_equal(tt_image_resized(context, image, large->width, large->height, &bicubic), TT_OK);
    size_t n = (size_t)large->width * large->height;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)large->pixels[i * large->n_channels + c] - bicubic.pixels[i * large->n_channels + c]);
    tt_image_free(&bicubic);
    return sum / (double)n;
}

/* All scales and kinds of pictures, down to one pixel: near what bicubic makes, alpha equal to it. */
static void test_scales(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {37, 23}, {2, 19}};
    static const uint32_t kinds[] = {1, 3, 4};
    (void)state;
    tt_upscaler *upscaler = load(NULL);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++)
            for (uint32_t scale = 2; scale <= 4; scale++) {
                tt_image image = make_image(sizes[i][0], sizes[i][1], kinds[k]);
                tt_image large = enlarge(upscaler, &image, scale);
                for (uint32_t c = 0; c < kinds[k]; c++) {
                    double distance = distance_to_bicubic(&image, &large, c);
                    if (distance > (c == 3 ? 1.0 : 30.0))
                        fail_msg("%u x %u, channel %u, scale %u: %g from bicubic", image.width, image.height, c, scale,
                                 distance);
                }
                tt_image_free(&image);
                tt_image_free(&large);
            }
    tt_upscaler_destroy(upscaler);
}

/* Grey pictures stay grey in both kinds of networks; a network of luma leaves the colours to bicubic. */
static void test_luma(void **state)
{
    (void)state;
    tt_upscaler *upscaler = load(OWN "espcn_x3.safetensors");
    tt_image image = make_image(20, 14, 3), large = enlarge(upscaler, &image, 3), bicubic;
    assert_int_equal(tt_image_resized(context, &image, 60, 42, &bicubic), TT_OK);
    size_t n_same = 0, n = 60 * 42;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *a = large.pixels + 3 * i, *b = bicubic.pixels + 3 * i;
        bool is_clipped = false;
        for (int c = 0; c < 3; c++)
            is_clipped = is_clipped || a[c] == 0 || a[c] == 255;
        n_same += is_clipped || (abs((a[0] - a[1]) - (b[0] - b[1])) <= 1 && abs((a[2] - a[1]) - (b[2] - b[1])) <= 1);
    }
    assert_int_equal(n_same, n);
    tt_image_free(&image);
    tt_image_free(&large);
    tt_image_free(&bicubic);
    tt_upscaler_destroy(upscaler);
}

/* The same bytes each time, from a second object too. */
static void test_same_bytes(void **state)
{
    (void)state;
    tt_image image = make_image(130, 90, 4);
    tt_upscaler *a = load_as(NULL, TT_PRECISION_AUTO, 64), *b = load_as(NULL, TT_PRECISION_AUTO, 64);
    tt_image first = enlarge(a, &image, 2), small = make_image(9, 7, 3), other = enlarge(a, &small, 4);
    tt_image again = enlarge(a, &image, 2), third = enlarge(b, &image, 2);
    size_t n_bytes = (size_t)first.width * first.height * 4;
    assert_memory_equal(first.pixels, again.pixels, n_bytes);
    assert_memory_equal(first.pixels, third.pixels, n_bytes);
    tt_image *const all[] = {&image, &first, &small, &other, &again, &third};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tt_image_free(all[i]);
    tt_upscaler_destroy(a);
    tt_upscaler_destroy(b);
}

static void test_info(void **state)
{
    (void)state;
    tt_upscaler *upscaler = load(NULL);
    tt_upscaler_info info;
    assert_int_equal(tt_upscaler_get_info(upscaler, &info), TT_OK);
    assert_string_equal(info.name, "tintype-x2");
    assert_string_equal(info.architecture, "srvgg");
    assert_true(info.scale == 2 && info.n_channels == 3 && info.tile == 256);
    assert_true(info.n_bytes > 0 && info.n_bytes < 400000);
    assert_true(info.flops_per_pixel > 1.8 * (double)info.n_parameters);
    assert_true(info.peak_bytes > info.n_bytes);
    tt_upscaler_destroy(upscaler);
    tt_upscaler_destroy(NULL);
}

typedef struct tile_notes {
    uint32_t n, stop_at, n_tiles;
} tile_notes;

static bool count_tiles(void *user, uint32_t tile, uint32_t n_tiles)
{
    tile_notes *notes = user;
    assert_int_equal(tile, notes->n);
    assert_true(notes->n_tiles == 0 || notes->n_tiles == n_tiles);
    notes->n_tiles = n_tiles;
    return notes->n++ != notes->stop_at;
}

/* Tiles of all passes are counted through; stopping leaves no picture. */
static void test_progress(void **state)
{
    (void)state;
    tt_upscaler *upscaler = load_as(NULL, TT_PRECISION_F16, 64);
    tt_image image = make_image(100, 70, 3), out;
    tile_notes notes = {.stop_at = UINT32_MAX};
    assert_int_equal(tt_upscale(upscaler, &image, 4, count_tiles, &notes, &out), TT_OK);
    assert_int_equal(notes.n, notes.n_tiles);
    tt_image_free(&out);
    notes = (tile_notes){.stop_at = notes.n_tiles - 1};
    assert_int_equal(tt_upscale(upscaler, &image, 4, count_tiles, &notes, &out), TT_ERROR_CANCELLED);
    assert_null(out.pixels);
    tt_image_free(&image);
    tt_upscaler_destroy(upscaler);
}

static void refused(tt_status got, tt_status want, const char *mention)
{
    if (got != want || strstr(tt_context_message(context), mention) == NULL)
        fail_msg("status %d, expected %d and \"%s\": %s", (int)got, (int)want, mention, tt_context_message(context));
}

static void test_refusals(void **state)
{
    (void)state;
    tt_upscaler *upscaler = NULL;
    tt_upscaler_params params;
    tt_upscaler_params_default(&params);
    params.tile = 16;
    refused(tt_upscaler_load(context, &params, &upscaler), TT_ERROR_ARGUMENT, "32 to 1024");
    params.tile = 0;
    params.path = BUILT_IN_MODEL;
    refused(tt_upscaler_load(context, &params, &upscaler), TT_ERROR_UNSUPPORTED, "no super-resolution network");
    params.path = "models/absent.safetensors";
    refused(tt_upscaler_load(context, &params, &upscaler), TT_ERROR_IO, "absent.safetensors");
    assert_null(upscaler);
    upscaler = load(NULL);
    tt_image image = make_image(4, 4, 3), out, wide = {9000, 1, 3, image.pixels}, none = {0};
    refused(tt_upscale(upscaler, &image, 5, NULL, NULL, &out), TT_ERROR_ARGUMENT, "2, 3 or 4");
    refused(tt_upscale(upscaler, &image, 1, NULL, NULL, &out), TT_ERROR_ARGUMENT, "2, 3 or 4");
    refused(tt_upscale(upscaler, &wide, 2, NULL, NULL, &out), TT_ERROR_ARGUMENT, "16384 a side");
    refused(tt_upscale(upscaler, &none, 2, NULL, NULL, &out), TT_ERROR_ARGUMENT, "empty");
    image.n_channels = 2;
    refused(tt_upscale(upscaler, &image, 2, NULL, NULL, &out), TT_ERROR_ARGUMENT, "RGBA");
    tt_image_free(&image);
    tt_upscaler_destroy(upscaler);
    tt_context *bare = tt_context_create();
    tt_upscaler_params_default(&params);
    assert_int_equal(tt_upscaler_load(bare, &params, &upscaler), TT_OK);
    image = make_image(4, 4, 3);
    assert_int_equal(tt_upscale(upscaler, &image, 2, NULL, NULL, &out), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(bare), "no device is open"));
    tt_image_free(&image);
    tt_upscaler_destroy(upscaler);
    tt_context_destroy(bare);
}

/* A file that lacks a layer in its middle is refused when it is opened. */
static void test_missing_layer(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_arrays arrays = {0};
    tt_upscaler *upscaler = NULL;
    tt_upscaler_params params;
    temp_folder_make(&folder);
    assert_int_equal(tt_arrays_read(context, OWN "rrdb_x4.safetensors", &arrays), TT_OK);
    for (size_t i = 0; i < arrays.n_items; i++)
        if (strcmp(arrays.items[i].name, "body.1.rdb2.conv3.weight") == 0)
            (void)snprintf(arrays.items[i].name, sizeof arrays.items[i].name, "gone");
    (void)temp_folder_path(&folder, "net.safetensors", path);
    assert_int_equal(tt_arrays_write(context, path, &arrays), TT_OK);
    tt_arrays_free(&arrays);
    tt_upscaler_params_default(&params);
    params.path = path;
    refused(tt_upscaler_load(context, &params, &upscaler), TT_ERROR_FORMAT, "body.1.rdb2.conv3.weight\" is missing");
    temp_folder_remove(&folder);
}

/* ---- marks */

static void check_marks(const char *source, const char *want)
{
    char key[] = "XMP:Iptc4xmpExt:DigitalSourceType", parameters[] = "a cat\nSteps: 20", label[] = "{\"Label\":\"1\"}";
    char other[] = "parameters", aigc[] = "AIGC", text[128];
    tt_text_entry entries[] = {{other, parameters}, {aigc, label}, {key, text}};
    tt_image_report report = {8, 8, source ? 3 : 2, entries};
    tt_image_marks marks;
    (void)snprintf(text, sizeof text, "%s", source ? source : "");
    tt_image_marks_upscaled(&report, &marks);
    assert_string_equal(marks.digital_source_type, want);
    assert_string_equal(marks.parameters, parameters);
    assert_string_equal(marks.aigc_json, label);
    assert_non_null(strstr(marks.software, "tintype"));
}

static void test_marks(void **state)
{
#define IPTC "http://cv.iptc.org/newscodes/digitalsourcetype/"
    (void)state;
    check_marks(NULL, "algorithmicallyEnhanced");
    check_marks(IPTC "trainedAlgorithmicMedia", "trainedAlgorithmicMedia");
    check_marks(IPTC "compositeWithTrainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia");
    check_marks("trainedAlgorithmicMedia", "trainedAlgorithmicMedia");
    check_marks(IPTC "digitalCapture", "algorithmicallyEnhanced");
    check_marks(IPTC "algorithmicallyEnhanced", "algorithmicallyEnhanced");
    check_marks("", "algorithmicallyEnhanced");
    tt_image_report empty = {0};
    tt_image_marks marks;
    tt_image_marks_upscaled(&empty, &marks);
    assert_null(marks.parameters);
    assert_null(marks.aigc_json);
}

/* ---- detail */

/* Nothing to see: 0; noise is more than a pattern, which is more than a ramp. */
static void test_detail(void **state)
{
    (void)state;
    tt_image pattern = make_image(40, 30, 3), grey = make_image(40, 30, 1), tiny = make_image(2, 40, 3);
    double of_pattern = tt_image_detail(&pattern), of_grey = tt_image_detail(&grey);
    assert_true(tt_image_detail(&tiny) == 0);
    for (size_t i = 0; i < 40 * 30; i++)
        grey.pixels[i] = (uint8_t)(i % 40 * 3);
    double of_ramp = tt_image_detail(&grey);
    for (size_t i = 0; i < 40 * 30; i++)
        grey.pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    double of_noise = tt_image_detail(&grey);
    memset(grey.pixels, 77, 40 * 30);
    assert_true(tt_image_detail(&grey) == 0);
    assert_true(of_ramp == 0); /* the mean of the neighbours of a ramp is itself */
    assert_true(of_pattern > 0.1 && of_grey > 0.1 && of_noise > of_grey && of_noise < 1);
    tt_image_free(&pattern);
    tt_image_free(&grey);
    tt_image_free(&tiny);
}

/* ---- photographs */

/* PSNR of the luma without a border of 4, as super-resolution is measured. */
static double luma_psnr(const tt_image *a, const tt_image *b)
{
    enum { BORDER = 4 };
    static const double weights[] = {65.481 / 255, 128.553 / 255, 24.966 / 255};
    double sum = 0;
    size_t n = 0;
    for (uint32_t y = BORDER; y + BORDER < a->height; y++)
        for (uint32_t x = BORDER; x + BORDER < a->width; x++, n++) {
            size_t at = ((size_t)y * a->width + x) * 3;
            double difference = 0;
            for (int c = 0; c < 3; c++)
                difference += weights[c] * ((double)a->pixels[at + (size_t)c] - b->pixels[at + (size_t)c]) / 255;
            sum += difference * difference;
        }
    return -10 * log10(sum / (double)n);
}

/* A photograph halved and enlarged again: PSNR of the network and of bicubic. */
static double gain_on(tt_upscaler *upscaler, const char *path, double *bicubic_psnr)
{
    tt_image photo, half, bicubic;
    if (tt_image_read(context, path, 3, &photo) != TT_OK ||
        tt_image_resized(context, &photo, photo.width / 2, photo.height / 2, &half) != TT_OK ||
        tt_image_resized(context, &half, photo.width, photo.height, &bicubic) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    tt_image large = enlarge(upscaler, &half, 2);
    double psnr = luma_psnr(&large, &photo);
    *bicubic_psnr = luma_psnr(&bicubic, &photo);
    tt_image_free(&photo);
    tt_image_free(&half);
    tt_image_free(&bicubic);
    tt_image_free(&large);
    return psnr;
}

static const char photos[] = "../shared/oracle/photos";
static const char *const names[] = {"astronaut", "chelsea", "coffee", "rocket"};
enum { N_PHOTOS = 4 };

/* True when the photographs are beside the checkout; says so when not. */
static bool has_photos(void)
{
    if (access(photos, R_OK) == 0)
        return true;
    print_message("%s is absent: nothing is measured on photographs\n", photos);
    return false;
}

/* The network that comes along was not trained on these. */
static void test_own_gain(void **state)
{
    (void)state;
    double total = 0;
    if (!has_photos())
        skip();
    tt_upscaler *upscaler = load(NULL);
    for (size_t i = 0; i < N_PHOTOS; i++) {
        char path[128];
        double bicubic;
        (void)snprintf(path, sizeof path, "%s/%s_256.png", photos, names[i]);
        double psnr = gain_on(upscaler, path, &bicubic);
        print_message("%-10s %.2f dB, bicubic %.2f dB\n", names[i], psnr, bicubic);
        total += psnr - bicubic;
    }
    tt_upscaler_destroy(upscaler);
    if (total / N_PHOTOS < 0.5)
        fail_msg("the gain over bicubic is %.2f dB, expected 0.5 or more", total / N_PHOTOS);
}

static void check_waifu2x(tt_precision precision)
{
    static const double want[] = {34.99, 34.03, 35.74, 36.27};
    tt_upscaler *upscaler = load_as("../shared/weights/waifu2x_upconv7_photo_scale2x.safetensors", precision, 0);
    for (size_t i = 0; i < N_PHOTOS; i++) {
        char path[128];
        double bicubic;
        (void)snprintf(path, sizeof path, "%s/%s_256.png", photos, names[i]);
        double psnr = gain_on(upscaler, path, &bicubic);
        print_message("%-10s %s: %.2f dB, expected %.2f dB\n", names[i], tt_precision_name(precision), psnr, want[i]);
        if (fabs(psnr - want[i]) > 0.05)
            fail_msg("%s is off by more than 0.05 dB", names[i]);
    }
    tt_upscaler_destroy(upscaler);
}

static void test_waifu2x(void **state)
{
    (void)state;
    if (!has_photos())
        skip();
    check_waifu2x(TT_PRECISION_F32);
    check_waifu2x(TT_PRECISION_AUTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scales),        cmocka_unit_test(test_luma),     cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_info),          cmocka_unit_test(test_progress), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_missing_layer), cmocka_unit_test(test_marks),    cmocka_unit_test(test_detail),
        cmocka_unit_test(test_own_gain),      cmocka_unit_test(test_waifu2x)};
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
