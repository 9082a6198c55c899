/* selftest.c - the table of checks, and one check with every name that its launcher asks about. */
#include "selftest/selftest.h"

#include "cl-kernels/dot-gpu.h"
#include "cl-kernels/dot.h"
#include "device/crash-marker.h"
#include "selftest/blocks.h"
#include "selftest/checks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef void (*tt_check_fn)(tt_bench *bench);

/* Which weights an op is checked with; WIDENED: quantized ones, in the family that widens them. */
typedef enum tt_check_weights { NO_WEIGHTS, WIDENED_WEIGHTS, ALL_WEIGHTS } tt_check_weights;

/* A new op is a line here and a function in checks.h. */
typedef struct tt_check_op {
    const char *op;
    tt_check_fn check;
    tt_check_weights weights;
    tt_arithmetic lowest; /* the last form that multiplies in a way of its own */
} tt_check_op;

static const tt_check_op ops[] = {
    {"linear", tt_check_linear, ALL_WEIGHTS, TT_ARITHMETIC_INT8},
    {"conv3x3", tt_check_conv3x3, ALL_WEIGHTS, TT_ARITHMETIC_INT8},
    {"dequantize", tt_check_dequantize, WIDENED_WEIGHTS, TT_ARITHMETIC_FLOAT},
    {"attention", tt_check_attention, NO_WEIGHTS, TT_ARITHMETIC_HALF},
    {"group-norm", tt_check_group_norm, NO_WEIGHTS, TT_ARITHMETIC_FLOAT},
    {"layer-norm", tt_check_layer_norm, NO_WEIGHTS, TT_ARITHMETIC_FLOAT},
    {"elementwise", tt_check_elementwise, NO_WEIGHTS, TT_ARITHMETIC_FLOAT},
    {"pack", tt_check_pack, NO_WEIGHTS, TT_ARITHMETIC_FLOAT},
};
enum { N_OPS = sizeof(ops) / sizeof(ops[0]) };

/* What the lines are repeated for. */
typedef struct tt_check_form {
    tt_family family;
    tt_storage storage;
    tt_arithmetic arithmetic;
} tt_check_form;

static const tt_check_form forms[] = {
    {TT_FAMILY_CPU_TILE, TT_STORAGE_F16, TT_ARITHMETIC_FLOAT},
    {TT_FAMILY_CPU_TILE, TT_STORAGE_F32, TT_ARITHMETIC_FLOAT},
    {TT_FAMILY_GPU_PLAIN, TT_STORAGE_F16, TT_ARITHMETIC_FLOAT},
    {TT_FAMILY_GPU_PLAIN, TT_STORAGE_F32, TT_ARITHMETIC_FLOAT},
    {TT_FAMILY_CPU_TILE, TT_STORAGE_F16, TT_ARITHMETIC_HALF},
    {TT_FAMILY_CPU_TILE, TT_STORAGE_F16, TT_ARITHMETIC_INT8},
    {TT_FAMILY_GPU_PLAIN, TT_STORAGE_F16, TT_ARITHMETIC_HALF},
    {TT_FAMILY_GPU_PLAIN, TT_STORAGE_F16, TT_ARITHMETIC_INT8},
};
enum { N_FORMS = sizeof(forms) / sizeof(forms[0]) };

/* One line of the list. */
typedef struct tt_check_spec {
    const tt_check_op *op;
    tt_family family;
    tt_storage storage;
    tt_arithmetic arithmetic;
    tt_dtype weights;
} tt_check_spec;

/* Checks of an op in one form: one for each type of weights; dot products read all types as their own. */
static size_t n_types(const tt_check_op *op, const tt_check_form *form)
{
    if (form->arithmetic != TT_ARITHMETIC_FLOAT)
        return op->lowest >= form->arithmetic;
    switch (op->weights) {
    case NO_WEIGHTS:
        return 1;
    case WIDENED_WEIGHTS:
        return form->family == TT_FAMILY_GPU_PLAIN ? TT_N_SAMPLE_QUANT_TYPES : 0;
    case ALL_WEIGHTS:
        break;
    }
    return TT_N_SAMPLE_QUANT_TYPES + 2; /* F16 and F32 */
}

static tt_dtype type_at(const tt_check_op *op, size_t index)
{
    if (op->weights == WIDENED_WEIGHTS)
        return tt_sample_quant_types[index];
    return index == 0 ? TT_F16 : index == 1 ? TT_F32 : tt_sample_quant_types[index - 2];
}

/* Line `index`, or the number of lines in *n when spec is NULL. */
static void walk(size_t index, tt_check_spec *spec, size_t *n)
{
    size_t at = 0;
    for (size_t f = 0; f < N_FORMS; f++)
        for (size_t o = 0; o < N_OPS; o++) {
            size_t types = n_types(&ops[o], &forms[f]);
            if (spec != NULL && index >= at && index < at + types) {
                *spec = (tt_check_spec){.op = &ops[o],
                                        .family = forms[f].family,
                                        .storage = forms[f].storage,
                                        .arithmetic = forms[f].arithmetic,
                                        .weights = type_at(&ops[o], index - at)};
                return;
            }
            at += types;
        }
    *n = at;
}

size_t tt_checks_count(void)
{
    size_t n = 0;
    walk(0, NULL, &n);
    return n;
}

void tt_check_describe(size_t index, tt_selftest_result *result)
{
    size_t n;
    tt_check_spec spec = {.op = NULL};
    *result = (tt_selftest_result){.op = ""};
    walk(index, &spec, &n);
    if (spec.op == NULL)
        return;
    bool has_weights = spec.op->weights != NO_WEIGHTS && spec.arithmetic == TT_ARITHMETIC_FLOAT;
    (void)snprintf(result->op, sizeof(result->op), "%s", spec.op->op);
    static const char *const products[] = {"", " half", " int8"};
    (void)snprintf(result->variant, sizeof(result->variant), "%s %s%s%s%s", tt_family_name(spec.family),
                   spec.storage == TT_STORAGE_F16 ? "f16" : "f32", products[spec.arithmetic], has_weights ? " " : "",
                   !has_weights            ? ""
                   : spec.weights == TT_I8 ? "w8c"
                                           : tt_dtype_name(spec.weights));
}

const char *tt_verdict_name(tt_verdict verdict)
{
    static const char *const names[] = {"ok", "wrong", "does not build", "crashed"};
    return (unsigned)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}

/* ---- names */

/* What a launcher asked first, and the answer that it gets. */
typedef struct tt_names {
    char op[TT_TUNING_OP], form[TT_TUNING_KEY];
    char names[TT_TUNING_NAMES][TT_TUNING_NAME];
    size_t n;
    size_t wanted; /* name to be used; SIZE_MAX: the first that is not disabled */
    tt_device *device;
    tt_tuning *tuning;
    tt_dot dot;
    tt_crash_marker marker; /* of what runs */
} tt_names;

/* Says what runs from here on. */
static void mark(tt_names *all, const char *op, const char *name, const char *form)
{
    char text[TT_TUNING_MARKER];
    tt_tuning_make_marker(op, name, form, text);
    tt_crash_marker_release(&all->marker);
    tt_crash_marker_begin(all->device, text, &all->marker);
}

/* Notes a name and returns its place; TT_TUNING_NAMES when there is no room. */
static size_t note(tt_names *all, const char *name)
{
    size_t i = 0;
    while (i < all->n && strcmp(all->names[i], name) != 0)
        i++;
    if (i == all->n && i < TT_TUNING_NAMES)
        (void)snprintf(all->names[all->n++], TT_TUNING_NAME, "%s", name);
    return i;
}

/* The shapes of one check may know different names: each name is used where it is known. */
static size_t answer(void *user, const char *op, const char *key, const char *const *names, size_t n_names)
{
    tt_names *all = user;
    const char *form = tt_tuning_form(key);
    size_t chosen = SIZE_MAX;
    if (all->n == 0) {
        (void)snprintf(all->op, sizeof(all->op), "%s", op);
        (void)snprintf(all->form, sizeof(all->form), "%s", form);
    }
    for (size_t i = 0; i < n_names; i++)
        if (note(all, names[i]) == all->wanted)
            chosen = i;
    for (size_t i = 0; chosen == SIZE_MAX && i < n_names; i++)
        if (!tt_tuning_is_disabled(all->tuning, op, names[i], form))
            chosen = i;
    chosen = chosen == SIZE_MAX ? 0 : chosen;
    mark(all, op, names[chosen], form);
    return chosen;
}

/* Half storage rounds results to 11 bits; devices may use coarser exponentials than the host's. Half and int8 products
 * have the tolerances that the tuner gives them. */
static double tolerance_of(const tt_check_spec *spec)
{
    if (spec->arithmetic != TT_ARITHMETIC_FLOAT)
        return tt_tuning_tolerance(spec->arithmetic == TT_ARITHMETIC_INT8 ? "int8 f16" : "half f16");
    return spec->storage == TT_STORAGE_F16 ? 1e-3 : 5e-6;
}

/* The units that a family of kernels would use for dot products. */
static tt_status find_units(tt_device *device, const tt_check_spec *spec, tt_dot *dot, tt_error *err)
{
    *dot = (tt_dot){TT_DOT_NONE, TT_DOT_NONE};
    if (spec->arithmetic == TT_ARITHMETIC_FLOAT)
        return TT_OK;
    if (spec->family == TT_FAMILY_GPU_PLAIN)
        return tt_dot_gpu_probe(device, dot, err);
    return tt_device_caps(device)->family == spec->family ? tt_dot_probe(device, NULL, dot, err) : TT_OK;
}

static bool has_unit(const tt_check_spec *spec, const tt_dot *dot)
{
    return spec->arithmetic == TT_ARITHMETIC_FLOAT ||
           (spec->arithmetic == TT_ARITHMETIC_HALF ? dot->half : dot->int8) != TT_DOT_NONE;
}

/* The check itself, with one name or as usual. */
static tt_verdict run_once(const tt_check_spec *spec, tt_names *names, double *error, tt_error *why)
{
    tt_kernels kernels = {.device = names->device,
                          .storage = spec->storage,
                          .family = spec->family,
                          .arithmetic = spec->arithmetic,
                          .dot = names->dot,
                          .tuning = names->tuning};
    why->text[0] = '\0';
    tt_tuning_end_op(names->tuning);
    tt_tuning_watch(names->tuning, answer, names);
    tt_bench bench = tt_bench_begin(&kernels, spec->weights, why);
    if (tt_bench_is_good(&bench))
        spec->op->check(&bench);
    tt_bench_end(&bench);
    tt_tuning_watch(names->tuning, NULL, NULL);
    tt_tuning_end_op(names->tuning);
    *error = bench.error;
    if (bench.status != TT_OK)
        return TT_VERDICT_NO_BUILD;
    if (bench.error <= tolerance_of(spec))
        return TT_VERDICT_OK;
    tt_fail(why, TT_ERROR_DEVICE, "error %.3g where %.3g is allowed", bench.error, tolerance_of(spec));
    return TT_VERDICT_WRONG;
}

/* Disables or enables; true when that changed something. */
static bool judge(tt_tuning *tuning, const char *op, const char *name, const char *form, tt_verdict verdict,
                  const char *why)
{
    tt_disabled disabled = {.op = ""};
    if (verdict == TT_VERDICT_OK)
        return tt_tuning_enable(tuning, op, name, form);
    (void)snprintf(disabled.op, sizeof(disabled.op), "%s", op);
    (void)snprintf(disabled.name, sizeof(disabled.name), "%s", name);
    (void)snprintf(disabled.form, sizeof(disabled.form), "%s", form);
    (void)snprintf(disabled.reason, sizeof(disabled.reason), "self-test: %.140s", why);
    return tt_tuning_disable(tuning, &disabled, NULL) == TT_OK;
}

/* One name under a marker, which names the family until the launcher asks. Adds what is wrong to the result. */
static tt_verdict run_name(const tt_check_spec *spec, tt_names *names, const char *check, tt_selftest_result *result,
                           tt_error *why)
{
    double error = 0;
    bool is_named = names->wanted < names->n;
    mark(names, "family", tt_family_name(spec->family), check);
    tt_verdict verdict = run_once(spec, names, &error, why);
    tt_crash_marker_release(&names->marker);
    result->n_names++;
    result->error = error > result->error ? error : result->error;
    if (verdict != TT_VERDICT_OK && result->message[0] == '\0')
        (void)snprintf(result->message, sizeof(result->message), "%s%s%.350s",
                       is_named ? names->names[names->wanted] : "", is_named ? ": " : "", why->text);
    return verdict;
}

/* With weights of types other than F16 one name is enough: how weights are read does not depend on how work is cut. A
 * check that no name passes speaks against its family, or against the unit of its dot products. Units that the device
 * does not have need no check: no name is tried. */
tt_status tt_check_run(tt_device *device, tt_tuning *tuning, size_t index, tt_selftest_result *result, bool *changed,
                       tt_error *err)
{
    size_t n, n_right = 0;
    char check[TT_TUNING_KEY];
    tt_error why;
    tt_check_spec spec = {.op = NULL};
    tt_names names = {.wanted = SIZE_MAX, .device = device, .tuning = tuning};
    tt_check_describe(index, result);
    walk(index, &spec, &n);
    *changed = false;
    if (spec.op == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no check %zu; they are 0 to %zu", index, n - 1);
    (void)snprintf(check, sizeof(check), "%s %s", result->op, result->variant);
    result->tolerance = tolerance_of(&spec);
    tt_status status = find_units(device, &spec, &names.dot, err);
    if (status != TT_OK || !has_unit(&spec, &names.dot))
        return status;
    result->verdict = run_name(&spec, &names, check, result, &why);
    n_right += result->verdict == TT_VERDICT_OK;
    bool all_names = spec.op->weights == NO_WEIGHTS || spec.weights == TT_F16 || n_right == 0;
    for (names.wanted = 0; all_names && names.wanted < names.n; names.wanted++) {
        const char *name = names.names[names.wanted];
        tt_verdict verdict = run_name(&spec, &names, check, result, &why);
        *changed = judge(tuning, names.op, name, names.form, verdict, why.text) || *changed;
        n_right += verdict == TT_VERDICT_OK;
        result->verdict = result->verdict == TT_VERDICT_OK ? verdict : result->verdict;
    }
    tt_verdict all = n_right > 0 ? TT_VERDICT_OK : result->verdict;
    bool is_float = spec.arithmetic == TT_ARITHMETIC_FLOAT;
    char unit[32];
    bool is_half = spec.arithmetic == TT_ARITHMETIC_HALF;
    tt_dot_form_name(is_half ? names.dot.half : names.dot.int8, is_half, unit);
    *changed = judge(tuning, is_float ? "family" : "dot", is_float ? tt_family_name(spec.family) : unit, check, all,
                     result->message) ||
               *changed;
    return TT_OK;
}
