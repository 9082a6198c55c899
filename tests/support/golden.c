/* golden.c - see golden.h. */
#include "tests/support/golden.h"

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

int golden_sets(golden_set sets[GOLDEN_SETS])
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 6e-3};
    golden_set oracle = {"oracle", "../shared/oracle/goldens", "../shared/oracle/models", 3e-3};
    int n = 0;
    const char *models = getenv("TT_ORACLE_MODELS");
    if (models && models[0])
        oracle.models = models;
    sets[n++] = own;
    if (access(oracle.goldens, R_OK) == 0)
        sets[n++] = oracle;
    else
        print_message("# ../shared/oracle is absent: only the project's own goldens are checked\n");
    return n;
}

tt_context *golden_context(void)
{
    tt_context *context = tt_context_create();
    tt_device_params params;
    assert_non_null(context);
    tt_device_params_default(&params);
    if (tt_context_open_device(context, &params) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return context;
}

bool golden_read(tt_context *context, const golden_set *set, const char *file, tt_arrays *arrays)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", set->goldens, file);
    memset(arrays, 0, sizeof *arrays);
    if (access(path, R_OK) != 0)
        return false;
    if (tt_arrays_read(context, path, arrays) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return true;
}

tt_model *golden_model(tt_context *context, const golden_set *set, const char *name, tt_precision precision)
{
    char path[512];
    tt_model *model = NULL;
    tt_model_params params;
    snprintf(path, sizeof path, "%s/%s", set->models, name);
    if (access(path, R_OK) != 0) {
        print_message("# %s: model %s is absent, its goldens are not checked\n", set->name, name);
        return NULL;
    }
    tt_model_params_default(&params);
    params.path = path;
    params.precision = precision;
    if (tt_model_load(context, &params, &model) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return model;
}

static size_t count(const tt_array *array)
{
    size_t n = 1;
    for (uint32_t i = 0; i < array->n_dims; i++)
        n *= (size_t)array->dims[i];
    return n;
}

double golden_error(const tt_array *got, const tt_array *want)
{
    size_t n = count(want);
    assert_int_equal(got->type, TT_ARRAY_F32);
    assert_int_equal(want->type, TT_ARRAY_F32);
    assert_int_equal(count(got), n);
    const float *g = got->data, *w = want->data;
    double mean = 0.0, variance = 0.0, error = 0.0, largest = 0.0;
    for (size_t i = 0; i < n; i++)
        mean += w[i];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++) {
        variance += (w[i] - mean) * (w[i] - mean);
        error += ((double)g[i] - w[i]) * ((double)g[i] - w[i]);
        largest = fmax(largest, fabs((double)w[i]));
    }
    double scale = sqrt(variance / (double)n);
    return sqrt(error / (double)n) / (scale > 0.0 ? scale : largest > 0.0 ? largest : 1.0);
}

const tt_array *golden_array(const tt_arrays *arrays, const char *format, ...)
{
    char name[128];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    const tt_array *array = tt_arrays_find(arrays, name);
    if (!array)
        fail_msg("the golden array %s is missing", name);
    return array;
}

void golden_copy(tt_context *context, tt_arrays *to, const char *name, const tt_array *from)
{
    assert_int_equal(tt_arrays_add(context, to, name, from->type, from->n_dims, from->dims, from->data), TT_OK);
}

/* Counts since the last golden_finish: one test program has one thread. */
static int n_checked, n_over;

void golden_check(const char *what, double error, double bar)
{
    bool good = error <= bar;
    print_message("%s %-52s %.2e (bar %.0e)\n", good ? "  " : "X ", what, error, bar);
    n_checked++;
    n_over += good ? 0 : 1;
}

void golden_finish(void)
{
    int checked = n_checked, over = n_over;
    n_checked = n_over = 0;
    assert_true(checked > 0);
    if (over)
        fail_msg("%d of %d figures are over their bar (marked X above)", over, checked);
}

void golden_run(tt_context *context, tt_model *model, const tt_stage_params *params, const tt_arrays *in,
                tt_arrays *out)
{
    memset(out, 0, sizeof *out);
    if (tt_stage_run(context, model, params, in, out) != TT_OK)
        fail_msg("%s", tt_context_message(context));
}
