/* upscale-file.c - opening a network's file. A transposed convolution becomes an ordinary one in memory. */
#include "base/text.h"
#include "upscale/upscale-build.h"

#include <stdlib.h>
#include <string.h>

struct tt_upscale_file {
    tt_tensor_file *file;
    tt_upscale_config config;
    tt_weights *weights;
    void *arranged; /* a safetensors file in memory, or NULL */
};

/* ---- upconv_7's last layer */

enum { N_OUT = 3, N_PHASES = 4, N_ALL = N_OUT * N_PHASES, N_TAPS = 9, N_STORED_TAPS = 16 };

/* Which tap of the transposed convolution (4 along a side, stride 2, padding 3) tap `tap` of the ordinary one is, that
 * makes the even (0) or odd (1) pixels; -1: none. Pixel 2u + phase sees inputs u, u + 1 and u + 2; the ordinary
 * convolution is centred on u + 1. */
static int stored_tap(uint32_t phase, uint32_t tap)
{
    static const int taps[2][3] = {{3, 1, -1}, {-1, 2, 0}};
    return taps[phase][tap];
}

/* values [N_ALL][n_in][3][3] from stored [n_in][N_OUT][4][4]. */
static void arrange_phases(const float *stored, uint32_t n_in, float *values)
{
    for (uint32_t out = 0; out < N_ALL; out++)
        for (uint32_t in = 0; in < n_in; in++)
            for (uint32_t tap = 0; tap < N_TAPS; tap++) {
                int y = stored_tap(out % N_PHASES / 2, tap / 3), x = stored_tap(out % 2, tap % 3);
                size_t from = ((size_t)in * N_OUT + out / N_PHASES) * N_STORED_TAPS;
                values[((size_t)out * n_in + in) * N_TAPS + tap] =
                    y < 0 || x < 0 ? 0.0f : stored[from + (size_t)(y * 4 + x)];
            }
}

/* Reads a stored tensor as floats; the caller frees them. */
static tt_status read_floats(tt_weights *weights, const char *name, uint32_t n_dims, const uint64_t *dims,
                             float **values, tt_error *err)
{
    tt_weight weight;
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= (size_t)dims[i];
    tt_status status = tt_weights_get(weights, name, n_dims, dims, &weight, err);
    if (status == TT_OK && weight.scale != NULL)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s is stored as int8, expected F32, F16 or BF16", name);
    *values = status == TT_OK ? malloc(n * sizeof **values) : NULL;
    if (status == TT_OK && !*values)
        return tt_fail_memory(err, name, n * sizeof **values);
    if (status == TT_OK)
        tt_to_float(weight.tensor.dtype, weight.tensor.data, *values, n);
    return status;
}

/* A safetensors file of the layer as an ordinary convolution. */
static tt_status write_arranged(const float *stored, const float *bias, uint32_t n_in, tt_text *text, tt_error *err)
{
    size_t n_bytes = (size_t)N_ALL * n_in * N_TAPS * sizeof(float);
    float biases[N_ALL], *values = malloc(n_bytes);
    tt_text header = {0};
    if (!values)
        return tt_fail_memory(err, "conv6.weight", n_bytes);
    arrange_phases(stored, n_in, values);
    for (uint32_t i = 0; i < N_ALL; i++)
        biases[i] = bias[i / N_PHASES];
    tt_text_format(&header,
                   "{\"conv6.bias\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%zu]},"
                   "\"conv6.weight\":{\"dtype\":\"F32\",\"shape\":[%d,%u,3,3],\"data_offsets\":[%zu,%zu]}}",
                   (int)N_ALL, sizeof biases, (int)N_ALL, (unsigned)n_in, sizeof biases, sizeof biases + n_bytes);
    uint8_t length[8] = {(uint8_t)header.n_bytes, (uint8_t)(header.n_bytes >> 8)};
    tt_text_add(text, (const char *)length, sizeof length);
    tt_text_add(text, header.bytes, header.n_bytes);
    tt_text_add(text, (const char *)biases, sizeof biases);
    tt_text_add(text, (const char *)values, n_bytes);
    tt_status status = tt_text_status(&header, err);
    tt_text_free(&header);
    free(values);
    return status == TT_OK ? tt_text_status(text, err) : status;
}

/* Puts the arranged layer over the stored one. */
static tt_status arrange(tt_upscale_file *f, tt_error *err)
{
    const uint32_t n_in = f->config.n_outs[5];
    const uint64_t dims[] = {n_in, N_OUT, 4, 4}, n_bias = N_OUT;
    float *stored = NULL, *bias = NULL;
    tt_text text = {0};
    tt_tensor_file *file = NULL;
    tt_weights *over = NULL;
    tt_status status = read_floats(f->weights, "conv6.weight", 4, dims, &stored, err);
    if (status == TT_OK)
        status = read_floats(f->weights, "conv6.bias", 1, &n_bias, &bias, err);
    if (status == TT_OK)
        status = write_arranged(stored, bias, n_in, &text, err);
    f->arranged = text.bytes;
    if (status == TT_OK)
        status = tt_tensor_file_open_memory(text.bytes, text.n_bytes, "conv6", &file, err);
    if (status == TT_OK)
        status = tt_weights_create(&file, 1, true, "", NULL, NULL, &over, err);
    if (status == TT_OK)
        tt_weights_put_over(f->weights, over);
    else
        tt_tensor_file_close(file);
    free(stored);
    free(bias);
    return status;
}

/* ---- files */

tt_status tt_upscale_file_open(const char *path, tt_upscale_file **file, tt_error *err)
{
    tt_upscale_file *f = calloc(1, sizeof *f);
    if (!f)
        return tt_fail_memory(err, "a network", sizeof *f);
    tt_status status = tt_tensor_file_open(path, &f->file, err);
    if (status == TT_OK)
        status = tt_upscale_config_derive(f->file, &f->config, err);
    if (status == TT_OK)
        status = tt_weights_create(&f->file, 1, false, f->config.prefix, tt_upscale_name, &f->config, &f->weights, err);
    if (status == TT_OK && f->config.kind == TT_UPSCALE_UPCONV7)
        status = arrange(f, err);
    if (status != TT_OK) {
        tt_upscale_file_close(f);
        return status;
    }
    *file = f;
    return TT_OK;
}

void tt_upscale_file_close(tt_upscale_file *file)
{
    if (!file)
        return;
    tt_weights_destroy(file->weights);
    tt_tensor_file_close(file->file);
    free(file->arranged);
    free(file);
}

const tt_upscale_config *tt_upscale_file_config(const tt_upscale_file *file)
{
    return &file->config;
}

tt_weights *tt_upscale_file_weights(tt_upscale_file *file)
{
    return file->weights;
}
