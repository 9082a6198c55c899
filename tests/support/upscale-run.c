/* upscale-run.c - see upscale-run.h. */
#include "tests/support/upscale-run.h"

#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct float_pictures {
    const upscale_floats *in, *out;
    uint32_t next_row;
} float_pictures;

static void read_floats(void *user, uint32_t y, uint32_t x, uint32_t n, float *values, size_t stride)
{
    const upscale_floats *in = ((float_pictures *)user)->in;
    assert_true(y < in->height && x < in->width && n <= in->width - x);
    for (uint32_t c = 0; c < in->n_channels; c++)
        memcpy(values + c * stride, in->values + ((size_t)c * in->height + y) * in->width + x, n * sizeof *values);
}

static void write_floats(void *user, uint32_t y, const float *values, size_t stride)
{
    float_pictures *p = user;
    assert_int_equal(y, p->next_row++);
    for (uint32_t c = 0; c < p->out->n_channels; c++)
        memcpy(p->out->values + ((size_t)c * p->out->height + y) * p->out->width, values + c * stride,
               p->out->width * sizeof *values);
}

void upscale_run(const tt_kernels *kernels, const char *path, uint32_t tile, const upscale_floats *in,
                 upscale_floats *out)
{
    tt_upscale_file *file = NULL;
    tt_upscale_net *net = NULL;
    uint32_t side = in->height > in->width ? in->height : in->width;
    tt_test_ok(tt_upscale_file_open(path, &file, tt_test_error()));
    const tt_upscale_config *config = tt_upscale_file_config(file);
    assert_int_equal(config->n_channels, in->n_channels);
    tt_test_ok(tt_upscale_create(kernels, config, tt_upscale_file_weights(file), tile ? tile : side + 2 * config->pad,
                                 &net, tt_test_error()));
    *out = (upscale_floats){in->n_channels, in->height * config->scale, in->width * config->scale, NULL};
    out->values = calloc((size_t)out->n_channels * out->height * out->width, sizeof *out->values);
    assert_non_null(out->values);
    float_pictures pictures = {in, out, 0};
    tt_upscale_picture picture = {
        .height = in->height, .width = in->width, .read = read_floats, .write = write_floats, .user = &pictures};
    tt_test_ok(tt_upscale_run(net, &picture, tt_test_error()));
    assert_int_equal(pictures.next_row, out->height);
    tt_upscale_destroy(net);
    tt_upscale_file_close(file);
}
