/* bench.c - see bench.h. */
#include "selftest/bench.h"

#include "base/numbers.h"
#include "selftest/blocks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Units of four elements before and behind an output; odd, so that nothing is aligned by luck. */
enum { GUARD_UNITS = 37 };

tt_bench tt_bench_begin(const tt_kernels *kernels, tt_dtype weights, tt_error *err)
{
    tt_bench bench = {.kernels = *kernels, .weights = weights, .err = err};
    bench.status = tt_recorder_create(kernels->device, &bench.recorder, err);
    return bench;
}

void tt_bench_end(tt_bench *bench)
{
    tt_device *device = bench->kernels.device;
    tt_recorder_destroy(bench->recorder);
    tt_matrix_release(device, &bench->matrix);
    for (size_t i = 0; i < 2; i++)
        tt_vector_release(device, &bench->vectors[i]);
    for (size_t i = 0; i < bench->n_buffers; i++)
        tt_buffer_release(device, &bench->buffers[i]);
    for (size_t i = 0; i < bench->n_arrays; i++)
        free(bench->arrays[i]);
}

bool tt_bench_is_good(const tt_bench *bench)
{
    return bench->status == TT_OK;
}

void tt_bench_add(tt_bench *bench, tt_status status)
{
    if (bench->status == TT_OK)
        bench->status = status;
}

/* Takes over a block of memory, or notes that there was none. */
static void *keep(tt_bench *bench, void *array, size_t n_bytes)
{
    if (array == NULL || bench->n_arrays == TT_BENCH_ARRAYS) {
        free(array);
        tt_bench_add(bench, tt_fail_memory(bench->err, "a check", n_bytes));
        return NULL;
    }
    bench->arrays[bench->n_arrays++] = array;
    return array;
}

float *tt_bench_floats(tt_bench *bench, size_t n)
{
    return tt_bench_is_good(bench) ? keep(bench, calloc(n, sizeof(float)), n * sizeof(float)) : NULL;
}

static tt_buffer make_buffer(tt_bench *bench, size_t n_bytes)
{
    tt_buffer buffer = {0};
    if (!tt_bench_is_good(bench) || n_bytes == 0)
        return buffer;
    if (bench->n_buffers == TT_BENCH_BUFFERS)
        tt_bench_add(bench, tt_fail(bench->err, TT_ERROR_INTERNAL, "a check has too many buffers"));
    else
        tt_bench_add(bench, tt_buffer_create(bench->kernels.device, n_bytes, "a check", &buffer, bench->err));
    if (tt_bench_is_good(bench))
        bench->buffers[bench->n_buffers++] = buffer;
    return buffer;
}

static bool is_half(const tt_bench *bench)
{
    return bench->kernels.storage == TT_STORAGE_F16;
}

/* Writes n floats in the storage form. */
static void write_elements(tt_bench *bench, const tt_buffer *buffer, const float *values, size_t n)
{
    size_t n_bytes = n * (is_half(bench) ? sizeof(uint16_t) : sizeof(float));
    uint16_t *halves = is_half(bench) && tt_bench_is_good(bench) ? keep(bench, malloc(n_bytes), n_bytes) : NULL;
    if (!tt_bench_is_good(bench))
        return;
    if (is_half(bench))
        tt_to_half(values, halves, n);
    tt_bench_add(bench,
                 tt_buffer_write(bench->kernels.device, buffer, 0,
                                 is_half(bench) ? (const void *)halves : (const void *)values, n_bytes, bench->err));
}

/* A plane of this geometry behind `guard` units, in a buffer of *n elements. */
static tt_sample make_sample(tt_bench *bench, tt_plane plane, uint32_t guard, size_t *n)
{
    tt_sample sample = {.plane = plane, .n = plane.channels * tt_plane_positions(&plane)};
    size_t n_units = tt_plane_slices(&plane) * tt_plane_slice_units(&plane) + 2 * (size_t)guard;
    *n = n_units * 4;
    sample.buffer = make_buffer(bench, *n * (is_half(bench) ? 2 : 4));
    sample.plane.mem = sample.buffer.mem;
    sample.plane.offset = guard;
    return sample;
}

tt_sample tt_bench_input(tt_bench *bench, uint32_t channels, uint32_t batch, uint32_t height, uint32_t width,
                         uint32_t border)
{
    size_t n;
    tt_plane plane = {.channels = channels, .batch = batch, .height = height, .width = width, .border = border};
    tt_sample sample = make_sample(bench, plane, 0, &n);
    sample.values = tt_bench_floats(bench, sample.n);
    float *elements = tt_bench_floats(bench, n);
    if (!tt_bench_is_good(bench))
        return sample;
    tt_numbers_uniform(sample.values, sample.n, 11 + bench->n_buffers);
    for (size_t i = 0; is_half(bench) && i < sample.n; i++)
        sample.values[i] = tt_half_to_float(tt_float_to_half(sample.values[i]));
    for (size_t i = 0; i < n; i++) {
        size_t from = tt_plane_nchw_index(&plane, i);
        elements[i] = from == SIZE_MAX ? 0.0f : sample.values[from];
    }
    write_elements(bench, &sample.buffer, elements, n);
    return sample;
}

tt_sample tt_bench_output(tt_bench *bench, uint32_t channels, uint32_t batch, uint32_t height, uint32_t width,
                          uint32_t border)
{
    size_t n;
    tt_plane plane = {.channels = channels, .batch = batch, .height = height, .width = width, .border = border};
    tt_sample sample = make_sample(bench, plane, GUARD_UNITS, &n);
    float *elements = tt_bench_floats(bench, n);
    for (size_t i = 0; elements != NULL && i < n; i++)
        elements[i] = NAN;
    write_elements(bench, &sample.buffer, elements, n);
    return sample;
}

tt_buffer tt_bench_array(tt_bench *bench, const float *values, size_t n)
{
    tt_buffer buffer = make_buffer(bench, n * sizeof(float));
    float *nothing = values == NULL ? tt_bench_floats(bench, n) : NULL;
    for (size_t i = 0; nothing != NULL && i < n; i++)
        nothing[i] = NAN;
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_buffer_write(bench->kernels.device, &buffer, 0, values != NULL ? values : nothing,
                                            n * sizeof(float), bench->err));
    return buffer;
}

tt_buffer tt_bench_scratch(tt_bench *bench, size_t n_bytes)
{
    return make_buffer(bench, n_bytes);
}

/* ---- weights */

/* The stored bytes of a matrix of floats, which become what was stored. */
static void *store_floats(tt_bench *bench, float *values, size_t n)
{
    if (bench->weights == TT_F32)
        return values;
    uint16_t *halves = keep(bench, malloc(n * sizeof(*halves)), n * sizeof(*halves));
    if (halves != NULL) {
        tt_to_half(values, halves, n);
        tt_to_float(TT_F16, halves, values, n);
    }
    return halves;
}

/* Random blocks, and into values what they mean; scale: of w8c, [n_out]. */
static const void *store_blocks(tt_bench *bench, float *values, const float *scale, size_t n, size_t width)
{
    uint8_t *blocks = tt_sample_blocks_new(bench->weights, n, 1.0 / sqrt((double)width), 3);
    if (keep(bench, blocks, n) == NULL)
        return NULL;
    tt_to_float(bench->weights, blocks + 1, values, n);
    for (size_t i = 0; bench->weights == TT_I8 && i < n; i++)
        values[i] *= scale[i / width];
    return blocks + 1;
}

void tt_bench_matrix(tt_bench *bench, uint32_t n_out, uint32_t n_in, uint32_t n_taps, uint32_t split, bool is_geglu)
{
    size_t width = (size_t)n_in * n_taps, n = n_out * width;
    float *values = tt_bench_floats(bench, n), *bias = tt_bench_floats(bench, n_out);
    float *scale = tt_bench_floats(bench, n_out);
    if (!tt_bench_is_good(bench))
        return;
    tt_numbers_uniform(values, n, 5);
    tt_numbers_uniform(bias, n_out, 6);
    for (size_t i = 0; i < n; i++)
        values[i] /= sqrtf((float)width);
    for (uint32_t i = 0; i < n_out; i++)
        scale[i] = (1.0f + 0.01f * (float)(i % 32)) / (74.0f * sqrtf((float)width));
    const void *stored = tt_quant_is_type(bench->weights) ? store_blocks(bench, values, scale, n, width)
                                                          : store_floats(bench, values, n);
    tt_matrix_part part = {.dtype = bench->weights,
                           .values = stored,
                           .scale = bench->weights == TT_I8 ? scale : NULL,
                           .n_out = n_out,
                           .bias_dtype = TT_F32,
                           .bias = bias,
                           .slope_dtype = TT_F32,
                           .slope = bias};
    tt_matrix_release(bench->kernels.device, &bench->matrix);
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_matrix_create(&bench->kernels, &part, 1, n_in, n_taps, split, is_geglu, &bench->matrix,
                                             bench->err));
    for (size_t i = 0; tt_bench_is_good(bench) && bench->matrix.dtype == TT_F16 && i < n; i++)
        values[i] = tt_half_to_float(tt_float_to_half(values[i]));
    bench->matrix_values = values;
    bench->matrix_bias = bias;
}

void tt_bench_vectors(tt_bench *bench, uint32_t n, float **scale, float **shift)
{
    float *values[2];
    for (size_t i = 0; i < 2; i++) {
        values[i] = tt_bench_floats(bench, n);
        if (!tt_bench_is_good(bench))
            return;
        tt_numbers_uniform(values[i], n, 21 + i);
        for (uint32_t j = 0; i == 0 && j < n; j++)
            values[i][j] = 1.0f + 0.25f * values[i][j];
        tt_bench_add(bench, tt_vector_create(&bench->kernels, TT_F32, values[i], n, &bench->vectors[i], bench->err));
    }
    *scale = values[0];
    *shift = values[1];
}

/* ---- running */

void tt_bench_run(tt_bench *bench)
{
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_recorder_replay(bench->recorder, bench->err));
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_device_finish(bench->kernels.device, bench->err));
    tt_recorder_destroy(bench->recorder);
    bench->recorder = NULL;
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_recorder_create(bench->kernels.device, &bench->recorder, bench->err));
}

/* All elements of an output with its guards, as floats; NULL after a failure. */
static float *read_elements(tt_bench *bench, const tt_sample *output, size_t n)
{
    size_t n_bytes = output->buffer.n_bytes;
    float *elements = tt_bench_floats(bench, n);
    void *bytes = tt_bench_is_good(bench) ? keep(bench, malloc(n_bytes), n_bytes) : NULL;
    if (bytes == NULL)
        return NULL;
    tt_bench_add(bench, tt_buffer_read(bench->kernels.device, &output->buffer, 0, bytes, n_bytes, bench->err));
    tt_to_float(is_half(bench) ? TT_F16 : TT_F32, bytes, elements, n);
    return tt_bench_is_good(bench) ? elements : NULL;
}

void tt_bench_compare(tt_bench *bench, const tt_sample *output, const float *want)
{
    size_t n = output->buffer.n_bytes / (is_half(bench) ? 2 : 4), guard = (size_t)GUARD_UNITS * 4;
    float *elements = read_elements(bench, output, n), *got = tt_bench_floats(bench, output->n);
    if (!tt_bench_is_good(bench))
        return;
    for (size_t i = 0; i < n; i++) {
        bool is_guard = i < guard || i >= n - guard;
        size_t to = is_guard ? SIZE_MAX : tt_plane_nchw_index(&output->plane, i - guard);
        bool untouched = is_guard ? isnan(elements[i]) : elements[i] == 0.0f;
        if (to != SIZE_MAX)
            got[to] = elements[i];
        else if (!untouched)
            bench->error = INFINITY;
    }
    double error = tt_numbers_difference(got, want, output->n);
    bench->error = error > bench->error ? error : bench->error;
}
