/* quantize-mixed.c - measures how much each layer's rounding changes pictures, and spends the bytes where it does.
 *
 * For every group of layers that share a matrix the weights are rounded to about four bits while all others stay as
 * they are, and a few short runs are compared with those of the untouched model: mean squared difference of the
 * pictures. What other types would do follows from their rounding errors, to which the change is proportional while
 * both are small. All groups rounded at once give the factor by which changes add up to more, or less, than their sum.
 */
#include "base/file.h"
#include "base/text.h"
#include "pipeline/quantize-probe.h"
#include "pipeline/quantize-table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLED_ROWS = 32, MEASURED_PROMPTS = 2, CHECKED_PROMPTS = 6, ROUNDS = 4 };

/* Work for one picture: hundreds of measurements must be cheap; a few checks may look at pictures as users make them.
 */
static const double measured_flops = 5e9, checked_flops = 300e9;

/* Types that a group may get, smallest first: with rows of whole blocks of 256, and others. */
static const tt_weight_type large_rows[] = {TT_WEIGHT_Q3_K, TT_WEIGHT_Q4_K, TT_WEIGHT_Q5_K,
                                            TT_WEIGHT_Q6_K, TT_WEIGHT_Q8_0, TT_WEIGHT_F16};
static const tt_weight_type small_rows[] = {TT_WEIGHT_Q4_0, TT_WEIGHT_Q4_1, TT_WEIGHT_Q5_0,
                                            TT_WEIGHT_Q5_1, TT_WEIGHT_Q8_0, TT_WEIGHT_F16};

typedef struct mixing {
    tt_quantize_job *job;
    tt_sensitivity table;
    tt_choices *choices; /* [n_groups] */
    tt_probe probe;      /* for each group */
    tt_probe check;      /* for all together */
    bool has_probe, has_check;
    uint64_t fixed_bytes;
} mixing;

static tt_job_tensor *tensor_at(const tt_quantize_job *job, const tt_sensitivity_group *group, size_t *at)
{
    while (job->tensors[group->first + *at].role != TT_ROLE_MATRIX)
        ++*at;
    return &job->tensors[group->first + (*at)++];
}

/* ---- groups */

static void add_type(const tt_quantize_job *job, tt_sensitivity_group *group, tt_weight_type type)
{
    const tt_job_tensor *t = &job->tensors[group->first];
    type = tt_job_type_for(job, t, type);
    for (uint32_t i = 0; i < group->n_types; i++)
        if (group->types[i] == type)
            return;
    group->types[group->n_types++] = type;
}

/* Gathers the matrices of a group that begins at `first`. */
static void make_group(const tt_quantize_job *job, size_t first, tt_sensitivity_group *group)
{
    const tt_job_tensor *t = &job->tensors[first];
    *group = (tt_sensitivity_group){.name = t->name, .first = first};
    for (size_t i = first; i < job->n_tensors && job->tensors[i].group == t->group; i++)
        if (job->tensors[i].role == TT_ROLE_MATRIX) {
            group->n++;
            group->n_values += job->tensors[i].n_rows * job->tensors[i].n_columns;
        }
    bool large = tt_weight_type_fits(TT_WEIGHT_Q4_K, t->n_columns);
    const tt_weight_type *types = large ? large_rows : small_rows;
    size_t n = large ? sizeof large_rows / sizeof *large_rows : sizeof small_rows / sizeof *small_rows;
    for (size_t i = 0; i < n; i++)
        add_type(job, group, types[i]);
}

/* A group whose size a budget decides: matrices on the way to a picture, with more than one type to choose from. */
static bool is_free(const tt_job_tensor *t)
{
    tt_probe_part part;
    return t->role == TT_ROLE_MATRIX && !t->is_fixed && tt_probe_part_of(t, &part) && t->n_columns % 32 == 0;
}

static tt_status make_groups(mixing *m, tt_error *err)
{
    const tt_quantize_job *job = m->job;
    size_t last_group = SIZE_MAX;
    m->table.groups = calloc(job->n_tensors, sizeof *m->table.groups);
    m->choices = calloc(job->n_tensors, sizeof *m->choices);
    if (!m->table.groups || !m->choices)
        return tt_fail_memory(err, "groups of layers", job->n_tensors * sizeof *m->table.groups);
    for (size_t i = 0; i < job->n_tensors; i++) {
        const tt_job_tensor *t = &job->tensors[i];
        if (!is_free(t))
            m->fixed_bytes += tt_weight_type_bytes(t->type, t->n_rows, t->n_columns);
        else if (t->group != last_group) {
            make_group(job, i, &m->table.groups[m->table.n_groups++]);
            last_group = t->group;
        }
    }
    m->table.together = 1.0;
    return TT_OK;
}

/* ---- rounding */

/* Weighted squared error of 1 of up to SAMPLED_ROWS rows of each matrix under a type. */
static tt_status sample_error(const tt_quantize_job *job, const tt_job_tensor *t, tt_weight_type type,
                              const float *columns, double *error, double *power, tt_error *err)
{
    tt_row_source source;
    tt_row_form form = {type, job->fit, t->n_columns, columns};
    size_t n = (size_t)t->n_columns;
    float *values = malloc(2 * n * sizeof *values);
    tt_encoded_row row = {.bytes = malloc((size_t)tt_weight_type_bytes(type, 1, n))};
    tt_status status = values && row.bytes ? tt_row_source_open(&t->weight, t->n_rows, n, &source, err)
                                           : tt_fail_memory(err, "rows of weights", 2 * n * sizeof *values);
    if (status == TT_OK) {
        uint64_t rows = t->n_rows < SAMPLED_ROWS ? t->n_rows : SAMPLED_ROWS;
        for (uint64_t i = 0; i < rows; i++) {
            tt_row_source_read(&source, i * t->n_rows / rows, 1, values);
            tt_encode_row(&form, values, &row);
            tt_decode_row(&form, &row, values + n);
            *error += tt_weighted_square(values, values + n, columns, n);
            *power += tt_weighted_square(values, NULL, columns, n);
        }
        tt_row_source_close(&source);
    }
    free(values);
    free(row.bytes);
    return status;
}

/* Fills the rounding errors of all types of a group. */
static tt_status sample_group(const mixing *m, tt_sensitivity_group *group, tt_error *err)
{
    tt_status status = TT_OK;
    double error[TT_MAX_CHOICES] = {0}, power[TT_MAX_CHOICES] = {0};
    for (size_t i = 0, at = 0; i < group->n && status == TT_OK; i++) {
        const tt_job_tensor *t = tensor_at(m->job, group, &at);
        float *columns = NULL;
        status = tt_job_columns(m->job, t, &columns, err);
        for (uint32_t k = 0; k < group->n_types && status == TT_OK; k++)
            status = sample_error(m->job, t, group->types[k], columns, &error[k], &power[k], err);
        free(columns);
    }
    for (uint32_t k = 0; k < group->n_types; k++)
        group->rounding[k] = power[k] > 0.0 ? error[k] / power[k] : 0.0;
    return status;
}

/* The rows of one matrix, rounded to a type and back. */
static tt_status round_matrix(const tt_quantize_job *job, const tt_job_tensor *t, tt_weight_type type, float *rounded,
                              tt_error *err)
{
    tt_row_source source;
    float *columns = NULL;
    size_t n = (size_t)t->n_columns;
    tt_encoded_row row = {.bytes = malloc((size_t)tt_weight_type_bytes(type, 1, n))};
    if (!row.bytes)
        return tt_fail_memory(err, "a row of weights", n * sizeof(float));
    tt_status status = tt_job_columns(job, t, &columns, err);
    if (status == TT_OK)
        status = tt_row_source_open(&t->weight, t->n_rows, n, &source, err);
    if (status == TT_OK) {
        tt_row_form form = {type, job->fit, n, columns};
        for (uint64_t i = 0; i < t->n_rows; i++) {
            float *at = rounded + i * n;
            tt_row_source_read(&source, i, 1, at);
            tt_encode_row(&form, at, &row);
            tt_decode_row(&form, &row, at);
        }
        tt_row_source_drop(&source, 0, t->n_rows);
        tt_row_source_close(&source);
    }
    free(columns);
    free(row.bytes);
    return status;
}

/* Puts a group's weights on the device, rounded to a type or (F32) as they are in the file. */
static tt_status put_group(mixing *m, const tt_sensitivity_group *group, tt_weight_type type, tt_error *err)
{
    const tt_job_tensor *first = &m->job->tensors[group->first];
    char layer[TT_MAX_NAME];
    tt_weight_store *store = NULL;
    tt_probe_part part = TT_PROBE_UNET;
    float *rounded = NULL;
    snprintf(layer, sizeof layer, "%.*s", (int)(strlen(first->canonical) - strlen(".weight")), first->canonical);
    (void)tt_probe_part_of(first, &part);
    tt_status status = tt_probe_store(&m->probe, part, &store, err);
    if (status == TT_OK && type != TT_WEIGHT_F32) {
        rounded = malloc((size_t)group->n_values * sizeof *rounded);
        if (!rounded)
            status = tt_fail_memory(err, "weights", (size_t)group->n_values * sizeof *rounded);
    }
    float *to = rounded;
    for (size_t i = 0, at = 0; rounded && i < group->n && status == TT_OK; i++) {
        const tt_job_tensor *t = tensor_at(m->job, group, &at);
        status = round_matrix(m->job, t, type, to, err);
        to += t->n_rows * t->n_columns;
    }
    if (status == TT_OK)
        status = tt_weight_store_replace(store, layer, rounded, err);
    free(rounded);
    return status;
}

/* ---- measuring */

/* The place of the type that measurements use: the first of at least four bits. */
static uint32_t measured_type(const tt_sensitivity_group *group)
{
    return group->n_types > 1 && group->types[0] < TT_WEIGHT_Q4_0 ? 1 : 0;
}

static tt_status measure_group(mixing *m, tt_sensitivity_group *group, tt_error *err)
{
    tt_probe_part part = TT_PROBE_UNET;
    uint32_t k = measured_type(group);
    double mse = 0.0, db = 0.0;
    (void)tt_probe_part_of(&m->job->tensors[group->first], &part);
    tt_status status = sample_group(m, group, err);
    if (status == TT_OK)
        status = put_group(m, group, group->types[k], err);
    if (status == TT_OK)
        status = tt_probe_compare(&m->probe, part, &mse, &db, err);
    if (status == TT_OK)
        status = put_group(m, group, TT_WEIGHT_F32, err);
    group->sensitivity = group->rounding[k] > 0.0 ? mse / group->rounding[k] : 0.0;
    return status;
}

/* Pictures of all groups in the types that are chosen now; the untouched weights do not come back. */
static tt_status measure_choices(mixing *m, double *mse, double *db, tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < m->table.n_groups && status == TT_OK; i++)
        status = put_group(m, &m->table.groups[i], m->table.groups[i].types[m->choices[i].chosen], err);
    if (status == TT_OK)
        status = tt_probe_compare(&m->check, TT_PROBE_TEXT, mse, db, err);
    return status;
}

static bool is_quantized(const tt_quantize_job *job)
{
    for (size_t i = 0; i < job->n_tensors; i++)
        if (tt_dtype_is_block(job->tensors[i].weight.tensor.dtype) || job->tensors[i].weight.scale)
            return true;
    return false;
}

static tt_status begin_probe(mixing *m, tt_error *err)
{
    if (is_quantized(m->job))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "%s is quantized already, so its layers cannot be measured; start from the F16 or F32 model, or "
                       "from a copy of this one made with --type f16",
                       tt_model_files_path(m->job->model->files));
    const char *prompts = m->job->params->prompts;
    tt_status status = tt_probe_create(m->job, prompts, CHECKED_PROMPTS, checked_flops, &m->check, err);
    m->has_check = status == TT_OK;
    if (status == TT_OK)
        status = tt_probe_create(m->job, prompts, MEASURED_PROMPTS, measured_flops, &m->probe, err);
    m->has_probe = status == TT_OK;
    if (status != TT_OK)
        return status;
    tt_log_write(&m->job->context->log, TT_LOG_INFO,
                 "measuring with %u pictures of %ux%u latents and %u steps, checking with %u of %ux%u and %u",
                 m->probe.n_prompts, m->probe.side, m->probe.side, m->probe.n_steps, m->check.n_prompts, m->check.side,
                 m->check.side, m->check.n_steps);
    status = tt_probe_keep(&m->check, err);
    return status == TT_OK ? tt_probe_keep(&m->probe, err) : status;
}

/* Everything at its smallest, to learn how errors add up. */
static tt_status measure_together(mixing *m, tt_error *err)
{
    double sum = 0.0, mse = 0.0, db = 0.0;
    for (size_t i = 0; i < m->table.n_groups; i++) {
        const tt_sensitivity_group *group = &m->table.groups[i];
        m->choices[i].chosen = measured_type(group);
        sum += group->sensitivity * group->rounding[m->choices[i].chosen];
    }
    tt_status status = measure_choices(m, &mse, &db, err);
    if (status == TT_OK && sum > 0.0 && mse > 0.0)
        m->table.together = mse / sum;
    return status;
}

static tt_status measure(mixing *m, tt_error *err)
{
    tt_quantize_job *job = m->job;
    size_t n = m->table.n_groups;
    tt_status status = begin_probe(m, err);
    for (size_t i = 0; i < n && status == TT_OK; i++) {
        status = tt_job_report(job, TT_QUANTIZE_MEASURE, i, n, m->table.groups[i].name, err);
        if (status == TT_OK)
            status = measure_group(m, &m->table.groups[i], err);
    }
    return status == TT_OK ? measure_together(m, err) : status;
}

/* ---- choosing */

static void fill_choices(mixing *m)
{
    for (size_t i = 0; i < m->table.n_groups; i++) {
        const tt_sensitivity_group *group = &m->table.groups[i];
        tt_choices *c = &m->choices[i];
        c->n = group->n_types;
        for (uint32_t k = 0; k < group->n_types; k++) {
            const tt_job_tensor *t = &m->job->tensors[group->first];
            c->items[k].n_bytes = tt_weight_type_bytes(group->types[k], group->n_values / t->n_columns, t->n_columns);
            c->items[k].error = group->sensitivity * group->rounding[k] * m->table.together;
        }
    }
}

/* Refuses a size that no choice can meet: before anything is measured, which takes minutes. */
static tt_status check_size(mixing *m, uint64_t other_bytes, tt_error *err)
{
    uint64_t budget = m->job->params->size_budget;
    if (budget == 0)
        return TT_OK;
    fill_choices(m);
    uint64_t least = other_bytes + tt_allocate_least(m->choices, m->table.n_groups);
    if (budget >= least)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "this model cannot be written in %.2f MB: the smallest possible are %.2f MB; give at least that, "
                   "or smaller types with --rules",
                   (double)budget * 1e-6, ceil((double)least * 1e-4) * 0.01);
}

static tt_status choose_for_size(mixing *m, uint64_t other_bytes, double *error, tt_error *err)
{
    uint64_t n_bytes = 0;
    return tt_allocate_bytes(m->choices, m->table.n_groups, m->job->params->size_budget - other_bytes, &n_bytes, error,
                             err);
}

/* Chooses for a fidelity and, where pictures can be made, looks whether it is reached; else corrects the factor. */
static tt_status choose_for_fidelity(mixing *m, double *error, double *db, tt_error *err)
{
    double wanted = m->job->params->fidelity_db, target = pow(10.0, -0.1 * wanted);
    uint64_t n_bytes = 0;
    tt_status status = TT_OK;
    for (int round = 0; round < ROUNDS && status == TT_OK; round++) {
        double mse = 0.0;
        fill_choices(m);
        tt_allocate_error(m->choices, m->table.n_groups, target, &n_bytes, error);
        if (!m->has_probe)
            return TT_OK;
        status = measure_choices(m, &mse, db, err);
        if (status != TT_OK || fabs(*db - wanted) < 0.3)
            break;
        /* Means of decibels and of squares differ: the correction goes by what was asked for. */
        double factor = pow(10.0, 0.1 * (-10.0 * log10(*error > 1e-12 ? *error : 1e-12) - *db));
        m->table.together *= fmin(fmax(factor, 0.05), 20.0);
    }
    return status;
}

static tt_status choose(mixing *m, uint64_t n_metadata_bytes, tt_error *err)
{
    tt_quantize_report *r = m->job->report;
    double error = 0.0, mse = 0.0;
    tt_status status;
    fill_choices(m);
    if (m->job->params->size_budget > 0) {
        status = choose_for_size(m, m->fixed_bytes + n_metadata_bytes, &error, err);
        if (status == TT_OK && m->has_probe)
            status = measure_choices(m, &mse, &r->measured_db, err);
    } else
        status = choose_for_fidelity(m, &error, &r->measured_db, err);
    r->predicted_db = -10.0 * log10(error > 1e-12 ? error : 1e-12);
    return status;
}

/* ---- results */

static void set_types(mixing *m)
{
    for (size_t i = 0; i < m->table.n_groups; i++)
        for (size_t k = 0, at = 0; k < m->table.groups[i].n; k++)
            tensor_at(m->job, &m->table.groups[i], &at)->type = m->table.groups[i].types[m->choices[i].chosen];
}

static int by_error(const void *a, const void *b)
{
    const tt_quantize_layer *x = a, *y = b;
    return x->error < y->error ? 1 : x->error > y->error ? -1 : 0;
}

static tt_status report_layers(mixing *m, tt_error *err)
{
    tt_quantize_report *r = m->job->report;
    r->layers = calloc(m->table.n_groups + 1, sizeof *r->layers);
    if (!r->layers)
        return tt_fail_memory(err, "a report", m->table.n_groups * sizeof *r->layers);
    r->n_layers = m->table.n_groups;
    for (size_t i = 0; i < r->n_layers; i++) {
        const tt_sensitivity_group *group = &m->table.groups[i];
        tt_quantize_layer *layer = &r->layers[i];
        snprintf(layer->name, sizeof layer->name, "%s", group->name);
        snprintf(layer->type, sizeof layer->type, "%s", tt_weight_type_name(group->types[m->choices[i].chosen]));
        layer->n_values = group->n_values;
        layer->sensitivity = group->sensitivity;
        layer->error = m->choices[i].items[m->choices[i].chosen].error;
    }
    qsort(r->layers, r->n_layers, sizeof *r->layers, by_error);
    return TT_OK;
}

/* The table's file: the caller's, or the output's name with an ending. *path is new (free()). */
static tt_status table_path(const tt_quantize_params *p, char **path, tt_error *err)
{
    tt_text text = {0};
    size_t n = strlen(p->output);
    bool is_gguf = n > 5 && strcmp(p->output + n - 5, ".gguf") == 0;
    if (p->table)
        tt_text_add_string(&text, p->table);
    else
        tt_text_format(&text, "%.*s.sensitivity.json", (int)(is_gguf ? n - 5 : n), p->output);
    *path = text.bytes;
    return tt_text_status(&text, err);
}

static tt_status mix(mixing *m, uint64_t n_metadata_bytes, tt_error *err)
{
    const tt_quantize_params *p = m->job->params;
    char *path = NULL;
    bool is_known = p->table && tt_path_is_file(p->table);
    tt_status status = make_groups(m, err);
    if (status == TT_OK)
        status = check_size(m, m->fixed_bytes + n_metadata_bytes, err);
    if (status == TT_OK)
        status = table_path(p, &path, err);
    if (status == TT_OK)
        status = is_known ? tt_sensitivity_read(m->job, p->table, &m->table, err) : measure(m, err);
    if (status == TT_OK)
        status = choose(m, n_metadata_bytes, err);
    if (status == TT_OK && !is_known)
        status = tt_sensitivity_write(m->job, &m->table, m->choices, path, err);
    if (status == TT_OK)
        status = report_layers(m, err);
    if (status == TT_OK)
        set_types(m);
    free(path);
    return status;
}

tt_status tt_job_mix(tt_quantize_job *job, uint64_t n_metadata_bytes, tt_error *err)
{
    mixing m = {.job = job};
    tt_job_begin_phase(job);
    tt_status status = mix(&m, n_metadata_bytes, err);
    if (m.has_probe)
        tt_probe_free(&m.probe);
    if (m.has_check)
        tt_probe_free(&m.check);
    tt_sensitivity_free(&m.table);
    free(m.choices);
    return status;
}
