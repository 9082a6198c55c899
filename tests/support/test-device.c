/* test-device.c - see test-device.h. */
#include "tests/support/test-device.h"

#include "base/dtype.h"
#include "base/numbers.h"
#include "cl-kernels/dot.h"
#include "device/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Units of 4 elements before and behind a tensor: more than a row of 16-wide accesses; odd, so that nothing is aligned
 * by luck. */
enum { GUARD_UNITS = 37 };

/* NaN with a payload that arithmetic does not make. */
static const uint32_t poison_f32 = 0x7fc5a5a5u;
static const uint16_t poison_f16 = 0x7e5au;

static tt_device *the_device;
static tt_error the_error;

int tt_test_device_close(void **state)
{
    (void)state;
    tt_device_close(the_device);
    the_device = NULL;
    return 0;
}

tt_device *tt_test_device(void)
{
    if (the_device != NULL)
        return the_device;
    tt_device_options options = {.profiling = true};
    tt_test_ok(tt_device_open(&options, &the_device, &the_error));
    tt_device_set_sources(the_device, tt_kernel_source_text);
    return the_device;
}

bool tt_test_small(void)
{
    const char *small = getenv("TT_TEST_SMALL");
    return small != NULL && strcmp(small, "1") == 0;
}

/* TT_TEST_FAMILY=plain: the phones' family of kernels alone. */
static bool is_plain_only(void)
{
    const char *only = getenv("TT_TEST_FAMILY");
    return only != NULL && strcmp(only, "plain") == 0;
}

const tt_kernels *tt_test_forms(void)
{
    static tt_kernels forms[TT_TEST_N_FORMS];
    bool plain_only = is_plain_only();
    for (int i = 0; i < TT_TEST_N_FORMS; i++)
        forms[i] = (tt_kernels){.device = tt_test_device(),
                                .storage = (i & 1) ? TT_STORAGE_F16 : TT_STORAGE_F32,
                                .family = (i & 2) || plain_only ? TT_FAMILY_GPU_PLAIN : TT_FAMILY_CPU_TILE};
    return forms;
}

/* Appends the forms of one kind of arithmetic, up to the best unit. */
static size_t add_dot_forms(tt_kernels *forms, size_t n, tt_arithmetic arithmetic, tt_dot_unit best)
{
    for (int unit = TT_DOT_PLAIN; unit <= TT_DOT_AMX; unit++)
        for (int storage = 0; storage < 2 && (unit == TT_DOT_PLAIN || unit <= (int)best); storage++)
            forms[n++] = (tt_kernels){.device = tt_test_device(),
                                      .storage = (tt_storage)storage,
                                      .family = TT_FAMILY_CPU_TILE,
                                      .arithmetic = arithmetic,
                                      .dot = {.half = (tt_dot_unit)unit, .int8 = (tt_dot_unit)unit}};
    return n;
}

const tt_kernels *tt_test_dot_forms(size_t *n_forms)
{
    static tt_kernels forms[TT_TEST_MAX_DOT_FORMS];
    tt_dot best;
    *n_forms = 0;
    if (is_plain_only())
        return forms;
    tt_test_ok(tt_dot_probe(tt_test_device(), NULL, &best, &the_error));
    *n_forms = add_dot_forms(forms, 0, TT_ARITHMETIC_HALF, best.half);
    *n_forms = add_dot_forms(forms, *n_forms, TT_ARITHMETIC_INT8, best.int8);
    return forms;
}

const char *tt_test_form_name(const tt_kernels *kernels)
{
    static char name[64];
    const char *family = kernels->family == TT_FAMILY_CPU_TILE ? "cpu-tile" : "gpu-plain";
    const char *storage = kernels->storage == TT_STORAGE_F16 ? "f16" : "f32";
    bool is_int8 = kernels->arithmetic == TT_ARITHMETIC_INT8;
    if (kernels->arithmetic == TT_ARITHMETIC_FLOAT)
        (void)snprintf(name, sizeof(name), "%s %s", family, storage);
    else
        (void)snprintf(name, sizeof(name), "%s %s %s %s", family, storage, is_int8 ? "int8" : "half",
                       tt_dot_name(is_int8 ? kernels->dot.int8 : kernels->dot.half));
    return name;
}

double tt_test_tolerance(const tt_kernels *kernels)
{
    return kernels->storage == TT_STORAGE_F16 ? 4e-4 : 1e-6;
}

tt_error *tt_test_error(void)
{
    return &the_error;
}

void tt_test_check_status(tt_status status, const char *file, int line)
{
    if (status != TT_OK) {
        print_error("%s:%d: %s\n", file, line, the_error.text);
        _fail(file, line);
    }
}

static void *allocate(size_t n, size_t size)
{
    void *block = calloc(n == 0 ? 1 : n, size);
    if (block == NULL)
        fail_msg("out of memory");
    return block;
}

/* ---- guarded tensors ---- */

static size_t element_bytes(const tt_test_tensor *tensor)
{
    return tensor->kernels.storage == TT_STORAGE_F16 ? 2 : 4;
}

static size_t n_units(const tt_test_tensor *tensor)
{
    return tt_plane_slices(&tensor->plane) * tt_plane_slice_units(&tensor->plane);
}

static void poison(tt_storage storage, void *elements, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (storage == TT_STORAGE_F16)
            ((uint16_t *)elements)[i] = poison_f16;
        else
            ((uint32_t *)elements)[i] = poison_f32;
}

static bool is_poison(tt_storage storage, const void *elements, size_t i)
{
    return storage == TT_STORAGE_F16 ? ((const uint16_t *)elements)[i] == poison_f16
                                     : ((const uint32_t *)elements)[i] == poison_f32;
}

/* The whole buffer on the host. */
static void *read_all(const tt_test_tensor *tensor)
{
    void *elements = allocate(tensor->buffer.n_bytes, 1);
    tt_test_ok(
        tt_buffer_read(tensor->kernels.device, &tensor->buffer, 0, elements, tensor->buffer.n_bytes, &the_error));
    return elements;
}

tt_test_tensor tt_test_tensor_create(const tt_kernels *kernels, uint32_t channels, uint32_t batch, uint32_t height,
                                     uint32_t width, uint32_t border)
{
    tt_test_tensor tensor = {.kernels = *kernels};
    tensor.plane = (tt_plane){.offset = GUARD_UNITS,
                              .channels = channels,
                              .batch = batch,
                              .height = height,
                              .width = width,
                              .border = border};
    size_t n_elements = (n_units(&tensor) + 2 * GUARD_UNITS) * 4;
    tt_test_ok(tt_buffer_create(kernels->device, n_elements * element_bytes(&tensor), "a test tensor", &tensor.buffer,
                                &the_error));
    tensor.plane.mem = tensor.buffer.mem;
    void *elements = allocate(n_elements, element_bytes(&tensor));
    poison(kernels->storage, elements, n_elements);
    tt_test_ok(tt_buffer_write(kernels->device, &tensor.buffer, 0, elements, tensor.buffer.n_bytes, &the_error));
    free(elements);
    return tensor;
}

void tt_test_tensor_release(tt_test_tensor *tensor)
{
    tt_buffer_release(tensor->kernels.device, &tensor->buffer);
    *tensor = (tt_test_tensor){0};
}

size_t tt_test_count(const tt_test_tensor *tensor)
{
    return tensor->plane.channels * tt_plane_positions(&tensor->plane);
}

static void put(tt_storage storage, void *elements, size_t i, float value)
{
    if (storage == TT_STORAGE_F16)
        ((uint16_t *)elements)[i] = tt_float_to_half(value);
    else
        ((float *)elements)[i] = value;
}

static float get(tt_storage storage, const void *elements, size_t i)
{
    return storage == TT_STORAGE_F16 ? tt_half_to_float(((const uint16_t *)elements)[i]) : ((const float *)elements)[i];
}

void tt_test_upload(tt_test_tensor *tensor, const float *nchw)
{
    size_t n = n_units(tensor) * 4, size = element_bytes(tensor);
    void *elements = allocate(n, size);
    for (size_t i = 0; i < n; i++) {
        size_t from = tt_plane_nchw_index(&tensor->plane, i);
        put(tensor->kernels.storage, elements, i, from == SIZE_MAX ? 0.0f : nchw[from]);
    }
    tt_test_ok(tt_buffer_write(tensor->kernels.device, &tensor->buffer, (size_t)GUARD_UNITS * 4 * size, elements,
                               n * size, &the_error));
    free(elements);
}

static void check_guards(const tt_test_tensor *tensor, const void *elements)
{
    size_t n_guard = (size_t)GUARD_UNITS * 4, n = n_units(tensor) * 4;
    for (size_t i = 0; i < n_guard; i++) {
        if (!is_poison(tensor->kernels.storage, elements, i))
            fail_msg("%s: element %zu before the tensor was overwritten", tt_test_form_name(&tensor->kernels),
                     n_guard - i);
        if (!is_poison(tensor->kernels.storage, elements, n_guard + n + i))
            fail_msg("%s: element %zu behind the tensor was overwritten", tt_test_form_name(&tensor->kernels), i);
    }
}

static float *download(tt_test_tensor *tensor, bool whole)
{
    void *elements = read_all(tensor);
    float *nchw = allocate(tt_test_count(tensor), sizeof(*nchw));
    size_t first = (size_t)GUARD_UNITS * 4;
    check_guards(tensor, elements);
    for (size_t i = 0; i < n_units(tensor) * 4; i++) {
        size_t to = tt_plane_nchw_index(&tensor->plane, i);
        float value = get(tensor->kernels.storage, elements, first + i);
        if (to != SIZE_MAX)
            nchw[to] = value;
        else if (whole && value != 0.0f) /* NaN too */
            fail_msg("%s: padding or border element %zu of the plane is %g, not 0", tt_test_form_name(&tensor->kernels),
                     i, (double)value);
    }
    free(elements);
    return nchw;
}

float *tt_test_download(tt_test_tensor *tensor)
{
    return download(tensor, true);
}

float *tt_test_download_part(tt_test_tensor *tensor)
{
    return download(tensor, false);
}

tt_test_array tt_test_array_create(const void *values, size_t n)
{
    enum { FIRST = GUARD_UNITS * 4 };
    tt_test_array array = {.first = FIRST, .n = n};
    size_t n_all = n + 2 * (size_t)FIRST;
    uint32_t *all = allocate(n_all, sizeof(*all));
    poison(TT_STORAGE_F32, all, n_all);
    if (values != NULL)
        memcpy(all + FIRST, values, n * sizeof(*all));
    tt_test_ok(tt_buffer_create(tt_test_device(), n_all * sizeof(*all), "a test array", &array.buffer, &the_error));
    tt_test_ok(tt_buffer_write(tt_test_device(), &array.buffer, 0, all, array.buffer.n_bytes, &the_error));
    free(all);
    return array;
}

void tt_test_array_read(const tt_test_array *array, void *values)
{
    uint32_t *all = allocate(array->buffer.n_bytes, 1);
    tt_test_ok(tt_buffer_read(tt_test_device(), &array->buffer, 0, all, array->buffer.n_bytes, &the_error));
    for (size_t i = 0; i < array->first; i++)
        if (!is_poison(TT_STORAGE_F32, all, i) || !is_poison(TT_STORAGE_F32, all, array->first + array->n + i))
            fail_msg("an element beside the array was overwritten");
    memcpy(values, all + array->first, array->n * sizeof(*all));
    free(all);
}

void tt_test_array_release(tt_test_array *array)
{
    tt_buffer_release(tt_test_device(), &array->buffer);
    *array = (tt_test_array){0};
}

tt_test_scratch tt_test_scratch_create(size_t n_bytes)
{
    tt_test_scratch scratch = {.offset = 768};
    if (n_bytes > 0)
        tt_test_ok(
            tt_buffer_create(tt_test_device(), scratch.offset + n_bytes, "test scratch", &scratch.buffer, &the_error));
    return scratch;
}

void tt_test_scratch_release(tt_test_scratch *scratch)
{
    tt_buffer_release(tt_test_device(), &scratch->buffer);
    *scratch = (tt_test_scratch){0};
}

/* ---- launches ---- */

tt_recorder *tt_test_recorder(void)
{
    tt_recorder *recorder;
    tt_test_ok(tt_recorder_create(tt_test_device(), &recorder, &the_error));
    return recorder;
}

void tt_test_run(tt_recorder *recorder)
{
    tt_test_ok(tt_recorder_replay(recorder, &the_error));
    tt_test_ok(tt_device_finish(tt_test_device(), &the_error));
    tt_recorder_destroy(recorder);
}

/* ---- numbers ---- */

void tt_test_random(float *values, size_t n, uint64_t seed)
{
    tt_numbers_uniform(values, n, seed);
}

float *tt_test_random_new(size_t n, uint64_t seed)
{
    float *values = allocate(n, sizeof(*values));
    tt_test_random(values, n, seed);
    return values;
}

void tt_test_round(const tt_kernels *kernels, float *values, size_t n)
{
    for (size_t i = 0; kernels->storage == TT_STORAGE_F16 && i < n; i++)
        values[i] = tt_half_to_float(tt_float_to_half(values[i]));
}

double tt_test_rms(const float *got, const float *want, size_t n)
{
    return tt_numbers_difference(got, want, n);
}

void tt_test_close(const float *got, const float *want, size_t n, double tolerance, const char *label)
{
    double rms = tt_test_rms(got, want, n);
    if (getenv("SHOW")) {
        print_message("%s %.3g\n", label, rms);
        return;
    }
    if (rms <= tolerance)
        return;
    size_t worst = 0, n_nan = 0;
    double largest = -1;
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        n_nan += isnan(got[i]) != 0;
        if (isnan(error) && isnan(want[i]))
            continue;
        if (isnan(error) || error > largest) {
            largest = isnan(error) ? INFINITY : error;
            worst = i;
        }
    }
    fail_msg("%s: rms error / std is %.3g, allowed %.3g; worst element %zu of %zu: got %.9g, want %.9g; %zu are NaN",
             label, rms, tolerance, worst, n, (double)got[worst], (double)want[worst], n_nan);
}
