/* test_upscale.c - super-resolution networks: architectures from tensors, tiles against whole pictures, stopping. */
#include "base/numbers.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/temp-folder.h"
#include "tests/support/test-device.h"
#include "tests/support/upscale-run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN "tests/golden/data/models/upscale/"

typedef struct network {
    const char *path;
    tt_upscale_kind kind;
    uint32_t scale, n_channels, margin;
    const char *layout;
} network;

static const network networks[] = {
    {OWN "srvgg_x2.safetensors", TT_UPSCALE_SRVGG, 2, 3, 4, "basicsr"},
    {OWN "srvgg_x3.safetensors", TT_UPSCALE_SRVGG, 3, 3, 3, "plain"},
    {OWN "rrdb_x4.safetensors", TT_UPSCALE_RRDB, 4, 3, 24, "basicsr"},
    {OWN "rrdb_x4_esrgan.safetensors", TT_UPSCALE_RRDB, 4, 3, 24, "esrgan"},
    {OWN "rrdb_x2.safetensors", TT_UPSCALE_RRDB, 2, 3, 24, "basicsr"},
    {OWN "rrdb_up2_old.safetensors", TT_UPSCALE_RRDB, 2, 3, 20, "old-esrgan"},
    {OWN "upconv7_x2.safetensors", TT_UPSCALE_UPCONV7, 2, 3, 0, "plain"},
    {OWN "fsrcnn_x2.safetensors", TT_UPSCALE_FSRCNN, 2, 1, 4, "plain"},
    {OWN "espcn_x3.safetensors", TT_UPSCALE_ESPCN, 3, 1, 4, "plain"},
    {"models/tintype-x2.safetensors", TT_UPSCALE_SRVGG, 2, 3, 10, "basicsr"},
};
enum { N_NETWORKS = sizeof networks / sizeof *networks };

static void test_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NETWORKS; i++) {
        tt_upscale_file *file = NULL;
        tt_test_ok(tt_upscale_file_open(networks[i].path, &file, tt_test_error()));
        const tt_upscale_config *c = tt_upscale_file_config(file);
        assert_int_equal(c->kind, networks[i].kind);
        assert_int_equal(c->scale, networks[i].scale);
        assert_int_equal(c->n_channels, networks[i].n_channels);
        assert_int_equal(c->margin, networks[i].margin);
        assert_string_equal(c->layout, networks[i].layout);
        tt_upscale_file_close(file);
    }
}

/* The work that is told without a graph is that of the graph. */
static void test_work(void **state)
{
    (void)state;
    const tt_kernels plain = {.storage = TT_STORAGE_F16};
    for (size_t i = 0; i < N_NETWORKS; i++) {
        tt_upscale_file *file = NULL;
        tt_graph_forecast forecast;
        uint64_t weight_bytes = 0;
        tt_test_ok(tt_upscale_file_open(networks[i].path, &file, tt_test_error()));
        const tt_upscale_config *c = tt_upscale_file_config(file);
        uint32_t tile = tt_upscale_tile(c, 64);
        tt_test_ok(tt_upscale_forecast(&plain, c, tt_upscale_file_weights(file), tile, &weight_bytes, &forecast,
                                       tt_test_error()));
        double told = tt_upscale_flops_per_pixel(c) * tile * tile;
        if (fabs(told - forecast.step.flops) > 1e-9 * told)
            fail_msg("%s: %g told, %g in the graph", networks[i].path, told, forecast.step.flops);
        assert_true(weight_bytes > 0);
        size_t n_unused = c->kind == TT_UPSCALE_FSRCNN; /* the bias of its output is no op's */
        assert_int_equal(tt_weights_unused(tt_upscale_file_weights(file)), n_unused);
        tt_upscale_file_close(file);
    }
}

/* ---- tiles */

/* Edges, ramps and noise in 0..1. */
static upscale_floats make_picture(uint32_t n_channels, uint32_t height, uint32_t width)
{
    upscale_floats p = {n_channels, height, width, NULL};
    size_t n = (size_t)n_channels * height * width;
    p.values = malloc(n * sizeof *p.values);
    assert_non_null(p.values);
    tt_numbers_uniform(p.values, n, 5);
    for (size_t i = 0; i < n; i++) {
        size_t x = i % width, y = i / width % height;
        float pattern = (x / 9 + y / 7) % 2 == 0 ? 0.2f : 0.7f;
        p.values[i] = fminf(fmaxf(pattern + 0.002f * (float)x + 0.08f * p.values[i], 0.0f), 1.0f);
    }
    return p;
}

static void check_tiles(const tt_kernels *form, const network *net, uint32_t height, uint32_t width)
{
    upscale_floats in = make_picture(net->n_channels, height, width), whole, tiled;
    upscale_run(form, net->path, 0, &in, &whole);
    upscale_run(form, net->path, 32, &in, &tiled);
    assert_int_equal(tiled.height, whole.height);
    assert_int_equal(tiled.width, whole.width);
    float largest = 0;
    for (size_t i = 0; i < (size_t)whole.n_channels * whole.height * whole.width; i++) {
        assert_true(isfinite(tiled.values[i]));
        largest = fmaxf(largest, fabsf(tiled.values[i] - whole.values[i]));
    }
    if (largest > 1.0f / 255.0f)
        fail_msg("%s, %s, %u x %u: tiles are off by %g of 255", net->path, tt_test_form_name(form), width, height,
                 255.0 * (double)largest);
    free(in.values);
    free(whole.values);
    free(tiled.values);
}

/* Smaller than a tile, a tile and a pixel, several tiles, one row. */
static void test_tiles(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {5, 3}, {151, 77}, {60, 170}, {1, 140}};
    (void)state;
    size_t n_forms;
    const tt_kernels *dot_forms = tt_test_dot_forms(&n_forms);
    for (size_t i = 0; i < N_NETWORKS; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            check_tiles(&tt_test_forms()[0], &networks[i], sizes[j][0], sizes[j][1]);
            for (size_t f = 0; f < n_forms && j == 2; f++)
                if (dot_forms[f].arithmetic == TT_ARITHMETIC_HALF && dot_forms[f].storage == TT_STORAGE_F16)
                    check_tiles(&dot_forms[f], &networks[i], sizes[j][0], sizes[j][1]);
        }
}

/* What a picture is asked and told. */
typedef struct notes {
    uint32_t n_tiles, stop_at, n_told, n_rows;
} notes;

static void read_grey(void *user, uint32_t y, uint32_t x, uint32_t n, float *values, size_t stride)
{
    (void)user;
    (void)y;
    (void)x;
    for (size_t c = 0; c < 3; c++)
        for (uint32_t i = 0; i < n; i++)
            values[c * stride + i] = 0.5f;
}

static void count_row(void *user, uint32_t y, const float *values, size_t stride)
{
    notes *n = user;
    (void)values;
    (void)stride;
    assert_int_equal(y, n->n_rows++);
}

static bool count_tile(void *user, uint32_t tile, uint32_t n_tiles)
{
    notes *n = user;
    assert_int_equal(tile, n->n_told);
    assert_int_equal(n_tiles, n->n_tiles);
    return n->n_told++ != n->stop_at;
}

static void test_stop_between_tiles(void **state)
{
    (void)state;
    tt_upscale_file *file = NULL;
    tt_upscale_net *net = NULL;
    tt_test_ok(tt_upscale_file_open(networks[0].path, &file, tt_test_error()));
    tt_test_ok(tt_upscale_create(&tt_test_forms()[0], tt_upscale_file_config(file), tt_upscale_file_weights(file), 32,
                                 &net, tt_test_error()));
    notes n = {.n_tiles = tt_upscale_count(net, 100, 90), .stop_at = 3};
    tt_upscale_picture picture = {100, 90, read_grey, count_row, count_tile, &n};
    assert_true(n.n_tiles > 9);
    assert_int_equal(tt_upscale_run(net, &picture, tt_test_error()), TT_ERROR_CANCELLED);
    assert_int_equal(n.n_told, 4);
    n = (notes){.n_tiles = n.n_tiles, .stop_at = UINT32_MAX};
    tt_test_ok(tt_upscale_run(net, &picture, tt_test_error()));
    assert_int_equal(n.n_told, n.n_tiles);
    assert_int_equal(n.n_rows, 200);
    picture.width = 0;
    assert_int_equal(tt_upscale_run(net, &picture, tt_test_error()), TT_ERROR_ARGUMENT);
    tt_upscale_destroy(net);
    tt_upscale_file_close(file);
}

/* ---- files that are none */

typedef struct bad_file {
    const char *header;
    size_t n_data;
    tt_status status;
    const char *mention;
} bad_file;

#define T(name, shape, first, last)                                                                                    \
    "\"" name "\":{\"dtype\":\"F16\",\"shape\":[" shape "],\"data_offsets\":[" #first "," #last "]}"

static const bad_file bad_files[] = {
    {"{" T("weight", "4", 0, 8) "}", 8, TT_ERROR_UNSUPPORTED, "no super-resolution network"},
    {"{" T("body.0.weight", "4,3,3,3", 0, 216) "}", 216, TT_ERROR_UNSUPPORTED, "no super-resolution network"},
    {"{" T("body.0.weight", "4,3,3,3", 0, 216) "," T("body.1.weight", "4", 216, 224) "}", 224, TT_ERROR_FORMAT,
     "1 convolutions of srvgg were found, expected 2 or more"},
    {"{" T("body.0.weight", "4,3,3,3", 0, 216) "," T("body.1.weight", "4", 216, 224) "," T("body.2.weight", "12,5,3,3",
                                                                                           224, 1304) "}",
     1304, TT_ERROR_FORMAT, "takes what the one before it gives"},
    {"{" T("body.0.weight", "4,3,3,3", 0, 216) "," T("body.1.weight", "4", 216, 224) "," T("body.2.weight", "7,4,3,3",
                                                                                           224, 728) "}",
     728, TT_ERROR_FORMAT, "pixel shuffle"},
    {"{" T("body.0.weight", "4,1,3,3", 0, 72) "," T("body.1.weight", "4", 72, 80) "," T("body.2.weight", "12,4,3,3", 80,
                                                                                        944) "}",
     944, TT_ERROR_FORMAT, "3 inputs (RGB)"},
    {"{" T("body.0.weight", "4,3,5,5", 0, 600) "," T("body.1.weight", "4", 600, 608) "," T("body.2.weight", "12,4,3,3",
                                                                                           608, 1472) "}",
     1472, TT_ERROR_FORMAT, "convolution of 3 x 3"},
    {"{" T("conv0.weight", "16,3,3,3", 0, 864) "}", 864, TT_ERROR_FORMAT, "expected 7"},
    {"{" T("conv0.weight", "16,3", 0, 96) "}", 96, TT_ERROR_UNSUPPORTED, "no super-resolution network"},
    {"{" T("conv0.weight", "4,1,5,5", 0, 200) "," T("conv1.weight", "2,4,3,3", 200, 344) "}", 344, TT_ERROR_FORMAT,
     "pixel shuffle"},
    {"{" T("conv_first.weight", "6,3,3,3", 0, 324) "," T("body.0.rdb1.conv1.weight", "4,6,3,3", 324, 756) "}", 756,
     TT_ERROR_FORMAT, "multiple of 4"},
    {"{" T("conv_first.weight", "4,5,3,3", 0, 360) "," T("body.0.rdb1.conv1.weight", "4,4,3,3", 360,
                                                         648) "," T("conv_last.weight", "3,4,3,3", 648, 864) "}",
     864, TT_ERROR_FORMAT, "3, 12 or 48 inputs"},
    {"{" T("conv_first.weight", "4,12,3,3", 0, 864) "," T("body.0.rdb1.conv1.weight", "4,4,3,3", 864,
                                                          1152) "," T("conv_last.weight", "3,4,3,3", 1152, 1368) "}",
     1368, TT_ERROR_FORMAT, "undoes the folding"},
    {"{" T("conv_first.weight", "4,3,3,3", 0, 216) "," T("body.0.rdb1.conv1.weight", "4,4,3,3", 216, 504) "}", 504,
     TT_ERROR_FORMAT, "no such tensor"},
};

static void test_bad_files(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const bad_file *bad = &bad_files[i];
        size_t n_bytes;
        uint8_t *bytes = safetensors_block(bad->header, bad->n_data, &n_bytes);
        tt_upscale_file *file = NULL;
        tt_error err = {""};
        assert_non_null(bytes);
        temp_folder_write(&folder, "bad.safetensors", bytes, n_bytes);
        tt_status status = tt_upscale_file_open(temp_folder_path(&folder, "bad.safetensors", path), &file, &err);
        if (status != bad->status || strstr(err.text, bad->mention) == NULL || strstr(err.text, "bad.safe") == NULL)
            fail_msg("file %zu: status %d, \"%s\"; expected %d and \"%s\"", i, (int)status, err.text, (int)bad->status,
                     bad->mention);
        free(bytes);
    }
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_configs), cmocka_unit_test(test_work),
                                       cmocka_unit_test(test_tiles), cmocka_unit_test(test_stop_between_tiles),
                                       cmocka_unit_test(test_bad_files)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
