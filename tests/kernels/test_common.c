/* test_common.c - common.clh: loads, stores and activations in all widths, on the device against double arithmetic. */
#include "tests/support/test-device.h"

#include "base/dtype.h"
#include "device/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every kernel works on groups of 16 values. store: float array -> elements; load: elements -> float array; activate:
 * float -> float; mad: a * b + c. width: 1, 4 or 16. */
static const char *test_sources(const char *name, size_t *n_bytes)
{
    static const char text[] =
        "#include \"common.clh\"\n"
        "__kernel void store(const __global float *in, uint first, __global tt_elem *out, uint width)\n"
        "{\n"
        "    size_t group = get_global_id(0);\n"
        "    const __global float *p = in + first + group * 16;\n"
        "    for (uint i = 0; i < 16; i += width) {\n"
        "        if (width == 16)\n"
        "            tt_store16(vload16(0, p), out, group * 4);\n"
        "        else if (width == 4)\n"
        "            tt_store4(vload4(0, p + i), out, group * 4 + i / 4);\n"
        "        else\n"
        "            tt_store1(p[i], out, group * 16 + i);\n"
        "    }\n"
        "}\n"
        "__kernel void load(const __global tt_elem *in, const __global tt_weight *weights, __global float *out,\n"
        "                   uint first, uint width)\n"
        "{\n"
        "    size_t group = get_global_id(0);\n"
        "    __global float *p = out + first + group * 16;\n"
        "    for (uint i = 0; i < 16; i += width) {\n"
        "        if (width == 16)\n"
        "            vstore16(tt_load16(in, group * 4) + 3.0f * tt_load_weight16(weights, group * 16), 0, p);\n"
        "        else if (width == 4)\n"
        "            vstore4(tt_load4(in, group * 4 + i / 4) + 3.0f * tt_load_weight4(weights, group * 16 + i), 0,\n"
        "                    p + i);\n"
        "        else\n"
        "            p[i] = tt_load1(in, group * 16 + i) + 3.0f * tt_load_weight4(weights, group * 16 + i / 4 * 4)\n"
        "                   .x * (i % 4 == 0 ? 1.0f : 0.0f);\n"
        "    }\n"
        "}\n"
        "__kernel void activate(const __global float *in, __global float *out, uint first, int activation,\n"
        "                       uint width)\n"
        "{\n"
        "    size_t at = first + get_global_id(0) * 16;\n"
        "    for (uint i = 0; i < 16; i += width) {\n"
        "        if (width == 16)\n"
        "            vstore16(tt_activate16(vload16(0, in + at), activation), 0, out + at);\n"
        "        else if (width == 4)\n"
        "            vstore4(tt_activate(vload4(0, in + at + i), activation), 0, out + at + i);\n"
        "        else\n"
        "            out[at + i] = tt_activate1(in[at + i], activation);\n"
        "    }\n"
        "}\n"
        "__kernel void mad_form(const __global float *a, const __global float *c, __global float *out, uint first)\n"
        "{\n"
        "    size_t at = first + get_global_id(0) * 16;\n"
        "    float16 v = vload16(0, a + at);\n"
        "    vstore16(v * v + vload16(0, c + at), 0, out + at);\n"
        "}\n";
    *n_bytes = sizeof(text) - 1;
    return strcmp(name, "test.cl") == 0 ? text : tt_kernel_source_text(name, n_bytes);
}

static const uint32_t widths[] = {1, 4, 16};

static cl_kernel make_kernel(const tt_kernels *form, const char *options, const char *entry)
{
    cl_kernel kernel;
    tt_device_set_sources(form->device, test_sources);
    tt_test_ok(tt_kernels_make(form, "test.cl", options, entry, &kernel, tt_test_error()));
    return kernel;
}

static void set(const tt_kernels *form, cl_kernel kernel, cl_uint *index, size_t n_bytes, const void *value)
{
    tt_test_ok(tt_kernels_set(form, kernel, index, n_bytes, value, tt_test_error()));
}

/* Runs over n / 16 groups. */
static void launch(cl_kernel kernel, size_t n)
{
    tt_recorder *recorder = tt_test_recorder();
    tt_launch item = {.stem = "test", .kernel = kernel, .n_dims = 1, .global = {n / 16}, .local = {1}};
    tt_test_ok(tt_recorder_add(recorder, &item, tt_test_error()));
    tt_test_run(recorder);
}

/* Values at which rounding to half is easy to get wrong. */
static const float edges[] = {0.0f,     -0.0f,          65504.0f,      65519.9f,       65520.0f,     1e30f,
                              INFINITY, -INFINITY,      0x1p-14f,      0x1.ffcp-15f,   0x1.ffep-15f, 0x1p-24f,
                              0x1p-25f, 0x1.002p-25f,   -0x1.8p-24f,   0x1.801p-24f,   2049.0f,      2051.0f,
                              -2050.5f, 1.00048828125f, 1.0009765625f, 1.00146484375f, 0x1p-40f,     -65520.0f};
enum { N_EDGES = sizeof(edges) / sizeof(edges[0]), N_STORED = 512 };

static void stores_round_to_nearest_even(void **state)
{
    (void)state;
    const tt_kernels *forms = tt_test_forms();
    float *values = tt_test_random_new(N_STORED, 3), back[N_STORED];
    memcpy(values, edges, sizeof(edges));
    for (size_t i = N_EDGES; i < N_STORED; i++)
        values[i] *= ldexpf(1, (int)(i % 36) - 20);
    tt_test_array array = tt_test_array_create(values, N_STORED);
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t w = 0; w < 3; w++) {
            tt_test_tensor out = tt_test_tensor_create(&forms[f], 4, 1, 1, N_STORED / 4, 0);
            cl_kernel kernel = make_kernel(&forms[f], "", "store");
            cl_uint index = 0;
            set(&forms[f], kernel, &index, sizeof(cl_mem), &array.buffer.mem);
            set(&forms[f], kernel, &index, sizeof(array.first), &array.first);
            set(&forms[f], kernel, &index, sizeof(cl_mem), &out.buffer.mem);
            set(&forms[f], kernel, &index, sizeof(widths[w]), &widths[w]);
            launch(kernel, N_STORED);
            size_t size = forms[f].storage == TT_STORAGE_F16 ? 2 : 4;
            tt_test_ok(tt_buffer_read(forms[f].device, &out.buffer, 0, back, N_STORED * size, tt_test_error()));
            for (size_t i = 0; i < N_STORED; i++) {
                uint16_t half = tt_float_to_half(values[i]);
                const void *want = size == 2 ? (const void *)&half : &values[i];
                if (memcmp((const char *)back + i * size, want, size) != 0)
                    fail_msg("%s, width %u: %a is stored wrongly", tt_test_form_name(&forms[f]), (unsigned)widths[w],
                             (double)values[i]);
            }
            tt_test_tensor_release(&out);
        }
    tt_test_array_release(&array);
    free(values);
}

/* Puts values into a buffer in float or half form. */
static tt_buffer upload(tt_device *device, const float *values, size_t n, bool is_half)
{
    tt_buffer buffer;
    size_t n_bytes = n * (is_half ? 2 : 4);
    uint16_t *halves = calloc(n, sizeof(*halves));
    assert_non_null(halves);
    tt_to_half(values, halves, n);
    tt_test_ok(tt_buffer_create(device, n_bytes, "test", &buffer, tt_test_error()));
    tt_test_ok(tt_buffer_write(device, &buffer, 0, is_half ? (const void *)halves : values, n_bytes, tt_test_error()));
    free(halves);
    return buffer;
}

static void check_loads(const tt_kernels *form, bool half_weights, uint32_t width)
{
    enum { N = 256 };
    tt_kernels half_form = {.storage = TT_STORAGE_F16};
    float *values = tt_test_random_new(N, 4), *weights = tt_test_random_new(N, 5), got[N];
    memcpy(values, edges, 6 * sizeof(float)); /* finite ones */
    values[5] = 0x1p-24f;
    tt_test_round(&half_form, values, N);
    tt_test_round(&half_form, weights, N);
    tt_buffer in = upload(form->device, values, N, form->storage == TT_STORAGE_F16);
    tt_buffer matrix = upload(form->device, weights, N, half_weights);
    tt_test_array out = tt_test_array_create(NULL, N);
    cl_kernel kernel = make_kernel(form, half_weights ? "-DTT_WEIGHT_HALF=1" : "-DTT_WEIGHT_HALF=0", "load");
    cl_uint index = 0;
    set(form, kernel, &index, sizeof(cl_mem), &in.mem);
    set(form, kernel, &index, sizeof(cl_mem), &matrix.mem);
    set(form, kernel, &index, sizeof(cl_mem), &out.buffer.mem);
    set(form, kernel, &index, sizeof(out.first), &out.first);
    set(form, kernel, &index, sizeof(width), &width);
    launch(kernel, N);
    tt_test_array_read(&out, got);
    for (size_t i = 0; i < N; i++) {
        double weight = width == 1 && i % 4 != 0 ? 0 : (double)weights[i];
        double want = (double)values[i] + 3.0 * weight;
        if (isfinite(want) ? fabs((double)got[i] - want) > 1e-6 * (fabs(want) + 1) : (double)got[i] != want)
            fail_msg("%s, half weights %d, width %u: element %zu is %g, not %g", tt_test_form_name(form), half_weights,
                     (unsigned)width, i, (double)got[i], want);
    }
    tt_test_array_release(&out);
    tt_buffer_release(form->device, &in);
    tt_buffer_release(form->device, &matrix);
    free(values);
    free(weights);
}

static void loads_give_what_is_stored(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (int half_weights = 0; half_weights < 2; half_weights++)
            for (size_t w = 0; w < 3; w++)
                check_loads(&tt_test_forms()[f], half_weights, widths[w]);
}

static double activation_of(double x, int activation)
{
    switch (activation) {
    case TT_ACT_SILU:
        return x / (1 + exp(-x));
    case TT_ACT_GELU:
        return 0.5 * x * erfc(-x / sqrt(2));
    case TT_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case TT_ACT_RELU:
        return x < 0 ? 0 : x;
    case TT_ACT_TANH3:
        return 3 * tanh(x / 3);
    default:
        return x;
    }
}

enum { N_CURVE = 4096 };

/* Runs one activation over values, whose result is in got. */
static void activate(const tt_kernels *form, const float *values, size_t n, int activation, uint32_t width, float *got)
{
    tt_test_array in = tt_test_array_create(values, n), out = tt_test_array_create(NULL, n);
    cl_kernel kernel = make_kernel(form, "", "activate");
    cl_uint index = 0;
    set(form, kernel, &index, sizeof(cl_mem), &in.buffer.mem);
    set(form, kernel, &index, sizeof(cl_mem), &out.buffer.mem);
    set(form, kernel, &index, sizeof(out.first), &out.first);
    set(form, kernel, &index, sizeof(activation), &activation);
    set(form, kernel, &index, sizeof(width), &width);
    launch(kernel, n);
    tt_test_array_read(&out, got);
    tt_test_array_release(&in);
    tt_test_array_release(&out);
}

static void activations_are_accurate(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    size_t n = tt_test_small() ? 256 : N_CURVE;
    float values[N_CURVE], got[N_CURVE];
    for (size_t i = 0; i < n; i++)
        values[i] = -12.0f + 24.0f * (float)i / (float)(n - 1);
    for (int activation = TT_ACT_NONE; activation <= TT_ACT_TANH3; activation++)
        for (size_t w = 0; w < 3; w++) {
            activate(form, values, n, activation, widths[w], got);
            double errors = 0;
            for (size_t i = 0; i < n; i++) {
                double want = activation_of((double)values[i], activation), error = fabs((double)got[i] - want);
                errors += error * error;
                /* Relative to the result where x > -2, to x below: there the results themselves vanish. */
                double scale = values[i] > -2 ? fabs(want) : fabs((double)values[i]);
                if (error > 1e-6 * scale + 1e-9)
                    fail_msg("activation %d, width %u, x = %.8g: got %.9g, want %.9g", activation, (unsigned)widths[w],
                             (double)values[i], (double)got[i], want);
            }
            assert_true(sqrt(errors / (double)n) < 4e-7);
        }
}

static bool same(float a, float b)
{
    if (!isfinite(a) || !isfinite(b))
        return a == b || (isnan(a) && isnan(b));
    return fabsf(a - b) <= 1e-6f * fabsf(b);
}

static void activations_keep_special_values(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    const float values[16] = {NAN, INFINITY, -INFINITY, 0.0f, -1000.0f, 1000.0f, -0.0f, 1e-30f, -1e30f, 1e30f};
    /* per activation: of NaN, inf, 0, -1000, 1000, 1e30; of -inf only where torch gives a number */
    static const float wants[6][6] = {{NAN, INFINITY, 0, -1000, 1000, 1e30f}, {NAN, INFINITY, 0, 0, 1000, 1e30f},
                                      {NAN, INFINITY, 0, 0, 1000, 1e30f},     {NAN, INFINITY, 0, 0, 1000, 1e30f},
                                      {NAN, INFINITY, 0, 0, 1000, 1e30f},     {NAN, 3, 0, -3, 3, 3}};
    static const int at[6] = {0, 1, 3, 4, 5, 9};
    for (int activation = TT_ACT_NONE; activation <= TT_ACT_TANH3; activation++)
        for (size_t w = 0; w < 3; w++) {
            float got[16];
            activate(form, values, 16, activation, widths[w], got);
            for (int i = 0; i < 6; i++)
                if (!same(got[at[i]], wants[activation][i]))
                    fail_msg("activation %d, width %u, x = %g: got %g, want %g", activation, (unsigned)widths[w],
                             (double)values[at[i]], (double)got[at[i]], (double)wants[activation][i]);
        }
}

/* -cl-mad-enable lets drivers trade accuracy for speed in a * b + c: it must be as good as two rounded operations. */
static void mad_is_exact_enough(void **state)
{
    (void)state;
    enum { N = 1024 };
    const tt_kernels *form = &tt_test_forms()[0];
    float *factors = tt_test_random_new(N, 6), *terms = tt_test_random_new(N, 7), got[N];
    tt_test_array a = tt_test_array_create(factors, N), c = tt_test_array_create(terms, N);
    tt_test_array out = tt_test_array_create(NULL, N);
    cl_kernel kernel = make_kernel(form, "", "mad_form");
    cl_uint index = 0;
    set(form, kernel, &index, sizeof(cl_mem), &a.buffer.mem);
    set(form, kernel, &index, sizeof(cl_mem), &c.buffer.mem);
    set(form, kernel, &index, sizeof(cl_mem), &out.buffer.mem);
    set(form, kernel, &index, sizeof(out.first), &out.first);
    launch(kernel, N);
    tt_test_array_read(&out, got);
    for (size_t i = 0; i < N; i++) {
        double square = (double)factors[i] * (double)factors[i], want = square + (double)terms[i];
        assert_true(fabs((double)got[i] - want) <= 0x1.01p-24 * (square + fabs(want)));
    }
    tt_test_array_release(&a);
    tt_test_array_release(&c);
    tt_test_array_release(&out);
    free(factors);
    free(terms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_round_to_nearest_even), cmocka_unit_test(loads_give_what_is_stored),
        cmocka_unit_test(activations_are_accurate),     cmocka_unit_test(activations_keep_special_values),
        cmocka_unit_test(mad_is_exact_enough),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
