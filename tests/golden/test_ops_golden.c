/* test_ops_golden.c - every op against goldens made in float64: the shared oracle's and the project's own.
 *
 * Bars (rms error / std): 1e-6 in float. In half storage 3e-3 on top of what rounding the inputs to half does alone,
 * which the plain C twins tell where they can: an offset of 60 deviations leaves a half few digits. The twins
 * themselves are held to the float bar. */
#include "base/file.h"
#include "cl-kernels/attention.h"
#include "cl-kernels/conv3x3.h"
#include "cl-kernels/elementwise.h"
#include "cl-kernels/group-norm.h"
#include "cl-kernels/layer-norm.h"
#include "cl-kernels/linear.h"
#include "cl-kernels/reference/attention.h"
#include "cl-kernels/reference/group-norm.h"
#include "cl-kernels/reference/layer-norm.h"
#include "cl-kernels/reference/pack.h"
#include "model-file/safetensors.h"
#include "tests/support/test-device.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double float_bar = 1e-6, half_bar = 3e-3;

/* The case that is being run in a form. */
typedef struct golden_case {
    tt_tensor_file *file;
    const char *name, *note;
    const tt_kernels *form;
    double *worst; /* error of this form, less what rounding the inputs does */
} golden_case;

/* A copy of an array of the case. */
typedef struct golden_array {
    float *values;
    size_t n;
    uint32_t dims[4];
    uint32_t n_dims;
} golden_array;

static golden_array load(const golden_case *c, const char *array)
{
    char name[128];
    golden_array loaded = {0};
    (void)snprintf(name, sizeof(name), "%s.%s", c->name, array);
    const tt_tensor *tensor = tt_tensor_file_find(c->file, name);
    if (tensor == NULL)
        fail_msg("%s is missing in %s", name, tt_tensor_file_path(c->file));
    assert_in_range(tensor->n_dims, 1, 4);
    loaded.n = (size_t)tt_tensor_count(tensor);
    loaded.n_dims = tensor->n_dims;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        loaded.dims[i] = (uint32_t)tensor->dims[i];
    loaded.values = tt_test_random_new(loaded.n, 1);
    tt_to_float(tensor->dtype, tensor->data, loaded.values, loaded.n);
    return loaded;
}

/* [batch][positions][channels] <-> [batch][channels][positions], in place. */
static void transpose(float *values, bool to_nchw, uint32_t batch, uint32_t n_channels, uint32_t n_positions)
{
    size_t n = (size_t)batch * n_channels * n_positions;
    float *copy = tt_test_random_new(n, 1);
    memcpy(copy, values, n * sizeof(float));
    if (to_nchw)
        tt_reference_pack(copy, true, batch, n_channels, n_positions, values);
    else
        tt_reference_unpack(copy, true, batch, n_channels, n_positions, values);
    free(copy);
}

static bool is_half(const golden_case *c)
{
    return c->form->storage == TT_STORAGE_F16;
}

/* Compares with the golden; inherent: error that rounding the inputs causes alone. */
static void compare(const golden_case *c, const char *array, const float *got, const golden_array *want,
                    double inherent)
{
    char label[160];
    (void)snprintf(label, sizeof(label), "%s.%s (%s)", c->name, array, tt_test_form_name(c->form));
    double rms = tt_test_rms(got, want->values, want->n);
    if (rms - inherent > *c->worst)
        *c->worst = rms - inherent;
    tt_test_close(got, want->values, want->n, is_half(c) ? half_bar + inherent : float_bar, label);
}

static double check_twin(const golden_case *c, const float *twin, const golden_array *want)
{
    double rms = tt_test_rms(twin, want->values, want->n);
    if (!is_half(c) && rms > float_bar)
        fail_msg("%s: the plain C twin is off by %.3g", c->name, rms);
    return is_half(c) ? rms : 0;
}

static tt_test_tensor make_tensor(const golden_case *c, const golden_array *nchw, uint32_t border)
{
    tt_test_tensor tensor =
        tt_test_tensor_create(c->form, nchw->dims[1], nchw->dims[0], nchw->dims[2], nchw->dims[3], border);
    tt_test_upload(&tensor, nchw->values);
    return tensor;
}

/* ---- norms ---- */

static void make_vectors(const golden_case *c, const golden_array *w, const golden_array *b, tt_vector vectors[2])
{
    tt_test_ok(tt_vector_create(c->form, TT_F32, w->values, (uint32_t)w->n, &vectors[0], tt_test_error()));
    tt_test_ok(tt_vector_create(c->form, TT_F32, b->values, (uint32_t)b->n, &vectors[1], tt_test_error()));
}

static void release_vectors(const golden_case *c, tt_vector vectors[2])
{
    tt_vector_release(c->form->device, &vectors[0]);
    tt_vector_release(c->form->device, &vectors[1]);
}

static float *launch_group_norm(const golden_case *c, const golden_array *x, tt_group_norm_args *args)
{
    tt_test_tensor in = make_tensor(c, x, 0), out = make_tensor(c, x, 1);
    args->in = in.plane;
    args->out = out.plane;
    tt_test_array scratch = tt_test_array_create(NULL, tt_group_norm_scratch_bytes(c->form, args) / sizeof(float));
    args->scratch = scratch.buffer.mem;
    args->scratch_offset = scratch.first;
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_group_norm_record(c->form, args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&out);
    tt_test_array_release(&scratch);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
    return got;
}

static void run_group_norm(const golden_case *c)
{
    golden_array x = load(c, "x"), w = load(c, "w"), b = load(c, "b"), y = load(c, "y");
    tt_vector vectors[2];
    tt_group_norm_args args = {.scale = &vectors[0], .shift = &vectors[1]};
    assert_int_equal(sscanf(c->note, "GroupNorm groups=%u eps=%g", &args.n_groups, &args.eps), 2);
    tt_test_round(c->form, x.values, x.n);
    make_vectors(c, &w, &b, vectors);
    float *got = launch_group_norm(c, &x, &args), *twin = tt_test_random_new(x.n, 1);
    tt_reference_group_norm_args reference = {.batch = x.dims[0],
                                              .n_channels = x.dims[1],
                                              .n_positions = x.dims[2] * x.dims[3],
                                              .n_groups = args.n_groups,
                                              .in = x.values,
                                              .scale = w.values,
                                              .shift = b.values,
                                              .eps = (double)args.eps,
                                              .out = twin};
    tt_reference_group_norm(&reference);
    compare(c, "y", got, &y, check_twin(c, twin, &y));
    release_vectors(c, vectors);
    float *arrays[] = {x.values, w.values, b.values, y.values, got, twin};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
}

static float *launch_layer_norm(const golden_case *c, tt_test_tensor *in, tt_vector vectors[2])
{
    tt_layer_norm_args args = {
        .in = in->plane, .scale = &vectors[0], .shift = &vectors[1], .eps = 1e-5f, .out = in->plane};
    tt_test_tensor out = tt_test_tensor_create(c->form, in->plane.channels, 1, 1, in->plane.width, 0);
    args.out = out.plane;
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_layer_norm_record(c->form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&out);
    tt_test_tensor_release(&out);
    return got;
}

static void run_layer_norm(const golden_case *c)
{
    golden_array x = load(c, "x"), w = load(c, "w"), b = load(c, "b"), y = load(c, "y");
    uint32_t n_rows = x.dims[0], n_channels = x.dims[1];
    tt_vector vectors[2];
    make_vectors(c, &w, &b, vectors);
    tt_test_round(c->form, x.values, x.n);
    transpose(x.values, true, 1, n_channels, n_rows);
    transpose(y.values, true, 1, n_channels, n_rows);
    tt_test_tensor in = tt_test_tensor_create(c->form, n_channels, 1, 1, n_rows, 0);
    tt_test_upload(&in, x.values);
    float *got = launch_layer_norm(c, &in, vectors), *twin = tt_test_random_new(x.n, 1);
    tt_reference_layer_norm_args reference = {1, n_channels, n_rows, x.values, w.values, b.values, 1e-5, twin};
    tt_reference_layer_norm(&reference);
    compare(c, "y", got, &y, check_twin(c, twin, &y));
    tt_test_tensor_release(&in);
    release_vectors(c, vectors);
    float *arrays[] = {x.values, w.values, b.values, y.values, got, twin};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
}

/* ---- activations ---- */

static void run_activation(const golden_case *c, const char *array, tt_activation activation)
{
    golden_array x = load(c, "x"), y = load(c, array);
    tt_test_tensor in = tt_test_tensor_create(c->form, 1, 1, 1, (uint32_t)x.n, 0);
    tt_test_tensor out = tt_test_tensor_create(c->form, 1, 1, 1, (uint32_t)x.n, 0);
    tt_test_upload(&in, x.values);
    tt_elementwise_args args = {.a = in.plane, .scale = 1, .activation = activation, .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_elementwise_record(c->form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&out);
    compare(c, array, got, &y, 0);
    free(got);
    free(x.values);
    free(y.values);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
}

static void run_activations(const golden_case *c)
{
    run_activation(c, "silu", TT_ACT_SILU);
    run_activation(c, "gelu", TT_ACT_GELU);
    run_activation(c, "quick_gelu", TT_ACT_QUICK_GELU);
}

/* ---- attention ---- */

static float *launch_attention(const golden_case *c, tt_test_tensor tensors[3], uint32_t n_heads, uint32_t head_dim,
                               bool causal)
{
    const tt_plane *q = &tensors[0].plane;
    tt_test_tensor out = tt_test_tensor_create(c->form, q->channels, q->batch, 1, q->width, 0);
    tt_attention_args args = {.q = *q,
                              .k = tensors[1].plane,
                              .v = tensors[2].plane,
                              .n_heads = n_heads,
                              .head_dim = head_dim,
                              .causal = causal,
                              .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_attention_record(c->form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&out);
    tt_test_tensor_release(&out);
    return got;
}

static void run_attention(const golden_case *c)
{
    static const char *const names[3] = {"q", "k", "v"};
    golden_array x[3], y = load(c, "y");
    tt_test_tensor tensors[3];
    unsigned n_heads, head_dim, causal;
    assert_int_equal(sscanf(c->note, "heads=%u dim=%u causal=%u", &n_heads, &head_dim, &causal), 3);
    for (size_t i = 0; i < 3; i++) {
        x[i] = load(c, names[i]);
        tt_test_round(c->form, x[i].values, x[i].n);
        transpose(x[i].values, true, x[i].dims[0], x[i].dims[2], x[i].dims[1]);
        tensors[i] = tt_test_tensor_create(c->form, x[i].dims[2], x[i].dims[0], 1, x[i].dims[1], 0);
        tt_test_upload(&tensors[i], x[i].values);
    }
    transpose(y.values, true, y.dims[0], y.dims[2], y.dims[1]);
    float *got = launch_attention(c, tensors, n_heads, head_dim, causal != 0), *twin = tt_test_random_new(y.n, 1);
    tt_reference_attention_args reference = {.batch = y.dims[0],
                                             .n_heads = n_heads,
                                             .head_dim = head_dim,
                                             .n_queries = x[0].dims[1],
                                             .n_keys = x[1].dims[1],
                                             .q = x[0].values,
                                             .k = x[1].values,
                                             .v = x[2].values,
                                             .causal = causal != 0,
                                             .out = twin};
    tt_test_ok(tt_reference_attention(&reference));
    compare(c, "y", got, &y, check_twin(c, twin, &y));
    for (size_t i = 0; i < 3; i++) {
        free(x[i].values);
        tt_test_tensor_release(&tensors[i]);
    }
    free(y.values);
    free(got);
    free(twin);
}

/* ---- products ---- */

static tt_matrix make_matrix(const golden_case *c, const float *weights, const float *bias, uint32_t n_out,
                             uint32_t n_in, uint32_t n_taps, bool geglu)
{
    tt_matrix matrix;
    tt_matrix_part part = {.dtype = TT_F32, .values = weights, .n_out = n_out, .bias_dtype = TT_F32, .bias = bias};
    tt_test_ok(tt_matrix_create(c->form, &part, 1, n_in, n_taps, 0, geglu, &matrix, tt_test_error()));
    return matrix;
}

/* y = W x of an NCHW array, by the linear op. */
static float *launch_linear(const golden_case *c, const golden_array *x, const tt_matrix *matrix, uint32_t n_results)
{
    tt_test_tensor in = make_tensor(c, x, 0);
    tt_test_tensor out = tt_test_tensor_create(c->form, n_results, x->dims[0], x->dims[2], x->dims[3], 0);
    tt_linear_args args = {.in = in.plane, .matrix = matrix, .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_linear_record(c->form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&out);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
    return got;
}

/* Rows [n][channels] as one token sequence [1][channels][1][n]. */
static void rows_to_nchw(golden_array *rows)
{
    uint32_t n = rows->dims[0], n_channels = rows->dims[1];
    transpose(rows->values, true, 1, n_channels, n);
    rows->n_dims = 4;
    rows->dims[0] = rows->dims[2] = 1;
    rows->dims[1] = n_channels;
    rows->dims[3] = n;
}

static void run_linear(const golden_case *c)
{
    golden_array a = load(c, "a"), b = load(c, "b"), y = load(c, "y");
    tt_matrix matrix = make_matrix(c, b.values, NULL, b.dims[0], b.dims[1], 1, false);
    rows_to_nchw(&a);
    rows_to_nchw(&y);
    float *got = launch_linear(c, &a, &matrix, b.dims[0]);
    compare(c, "y", got, &y, 0);
    tt_matrix_release(c->form->device, &matrix);
    free(a.values);
    free(b.values);
    free(y.values);
    free(got);
}

/* GEGLU is an ending of the linear op: run it behind the identity. */
static void run_geglu(const golden_case *c)
{
    golden_array x = load(c, "x"), y = load(c, "y");
    uint32_t n = x.dims[1];
    float *identity = tt_test_random_new((size_t)n * n, 1);
    for (size_t i = 0; i < (size_t)n * n; i++)
        identity[i] = i % (n + 1) == 0 ? 1.0f : 0.0f;
    tt_matrix matrix = make_matrix(c, identity, NULL, n, n, 1, true);
    rows_to_nchw(&x);
    rows_to_nchw(&y);
    float *got = launch_linear(c, &x, &matrix, n / 2);
    compare(c, "y", got, &y, 0);
    tt_matrix_release(c->form->device, &matrix);
    free(identity);
    free(x.values);
    free(y.values);
    free(got);
}

static void run_conv1(const golden_case *c)
{
    golden_array x = load(c, "x"), w = load(c, "w"), b = load(c, "b"), y = load(c, "y");
    tt_matrix matrix = make_matrix(c, w.values, b.values, w.dims[0], w.dims[1], 1, false);
    float *got = launch_linear(c, &x, &matrix, w.dims[0]);
    compare(c, "y", got, &y, 0);
    tt_matrix_release(c->form->device, &matrix);
    float *arrays[] = {x.values, w.values, b.values, y.values, got};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
}

static void check_conv3(const golden_case *c, const golden_array *x, const tt_matrix *matrix, tt_conv_mode mode,
                        const char *array)
{
    golden_array y = load(c, array);
    tt_test_tensor in = make_tensor(c, x, 1);
    tt_test_tensor out = tt_test_tensor_create(c->form, y.dims[1], y.dims[0], y.dims[2], y.dims[3], 1);
    tt_conv3x3_args args = {.in = in.plane, .matrix = matrix, .mode = mode, .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_conv3x3_record(c->form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&out);
    compare(c, array, got, &y, 0);
    free(got);
    free(y.values);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
}

static void run_conv3(const golden_case *c)
{
    unsigned stride, left;
    assert_int_equal(sscanf(c->note, "stride %u, pad left,right,top,bottom (%u,", &stride, &left), 2);
    tt_conv_mode mode = stride == 1 ? TT_CONV_SAME : left == 1 ? TT_CONV_DOWN : TT_CONV_DOWN_ASYM;
    golden_array x = load(c, "x"), w = load(c, "w"), b = load(c, "b");
    tt_matrix matrix = make_matrix(c, w.values, b.values, w.dims[0], w.dims[1], 9, false);
    check_conv3(c, &x, &matrix, mode, "y");
    tt_matrix_release(c->form->device, &matrix);
    free(x.values);
    free(w.values);
    free(b.values);
}

/* Nearest upsampling is folded into a convolution: run it with the identity's nine taps. */
static void run_upsample(const golden_case *c)
{
    golden_array x = load(c, "x");
    uint32_t n = x.dims[1];
    float *identity = tt_test_random_new((size_t)n * n * 9, 1);
    for (size_t i = 0; i < (size_t)n * n * 9; i++)
        identity[i] = i / 9 % (n + 1) == 0 && i % 9 == 4 ? 1.0f : 0.0f;
    tt_matrix matrix = make_matrix(c, identity, NULL, n, n, 9, false);
    check_conv3(c, &x, &matrix, TT_CONV_UP, "y2");
    check_conv3(c, &x, &matrix, TT_CONV_UP, "y9x7");
    tt_matrix_release(c->form->device, &matrix);
    free(identity);
    free(x.values);
}

/* ---- the sets ---- */

typedef void (*case_fn)(const golden_case *c);

/* What runs a case, by the start of its name; NULL when no op of the engine does that. */
static case_fn find_runner(const char *name)
{
    static const struct {
        const char *prefix;
        case_fn run;
    } runners[] = {{"gn_", run_group_norm},  {"ln_", run_layer_norm},   {"act", run_activations}, {"geglu", run_geglu},
                   {"attn_", run_attention}, {"conv1", run_conv1},      {"conv3", run_conv3},     {"conv_", run_conv3},
                   {"linear", run_linear},   {"upsample", run_upsample}};
    for (size_t i = 0; i < sizeof(runners) / sizeof(runners[0]); i++)
        if (strncmp(name, runners[i].prefix, strlen(runners[i].prefix)) == 0)
            return runners[i].run;
    return NULL;
}

static void run_form(tt_tensor_file *file, json_t *notes, const tt_kernels *form)
{
    double worst = 0;
    size_t i, n_run = 0;
    json_t *item;
    json_array_foreach(notes, i, item)
    {
        golden_case c = {.file = file, .form = form, .worst = &worst};
        c.name = json_string_value(json_array_get(item, 0));
        c.note = json_string_value(json_array_get(item, 1));
        assert_non_null(c.name);
        assert_non_null(c.note);
        case_fn run = find_runner(c.name);
        if (run == NULL)
            continue;
        run(&c);
        n_run++;
    }
    assert_true(n_run >= 20);
    printf("  %s: %zu cases, worst rms error / std %.2e\n", tt_test_form_name(form), n_run, worst);
}

static void print_skipped(json_t *notes)
{
    size_t i, n_skipped = 0;
    json_t *item;
    printf("  not done by any op:");
    json_array_foreach(notes, i, item)
    {
        const char *name = json_string_value(json_array_get(item, 0));
        if (name != NULL && find_runner(name) == NULL) {
            printf(" %s", name);
            n_skipped++;
        }
    }
    printf(" (%zu cases), act.gelu_tanh, upsample.bil2, upsample.bic2\n", n_skipped);
}

static void run_set(const char *folder)
{
    char path[512];
    tt_tensor_file *file = NULL;
    (void)snprintf(path, sizeof(path), "%s/ops.safetensors", folder);
    if (!tt_path_is_file(path)) {
        printf("skipped: %s is absent\n", path);
        skip();
    }
    tt_test_ok(tt_tensor_file_open(path, &file, tt_test_error()));
    (void)snprintf(path, sizeof(path), "%s/ops.json", folder);
    json_t *notes = json_load_file(path, 0, NULL);
    assert_true(json_is_array(notes));
    printf("%s\n", folder);
    for (size_t i = 0; i < TT_TEST_N_FORMS; i++)
        run_form(file, notes, &tt_test_forms()[i]);
    print_skipped(notes);
    json_decref(notes);
    tt_tensor_file_close(file);
}

static void test_own_goldens(void **state)
{
    (void)state;
    run_set("tests/golden/data");
}

static void test_shared_oracle(void **state)
{
    (void)state;
    run_set("../shared/oracle/goldens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_goldens), cmocka_unit_test(test_shared_oracle)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
