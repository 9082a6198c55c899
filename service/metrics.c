/* metrics.c - one table of numbers for each metric, behind one lock. */
#include "service/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SERIES = 64, MAX_LABEL = 96, N_BOUNDS = 11 };

static const double bounds[N_BOUNDS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

/* The numbers of one metric under one label. */
typedef struct series {
    char label[MAX_LABEL];
    double value;                      /* histograms: the sum */
    uint64_t buckets[N_BOUNDS], count; /* not cumulative */
} series;

typedef struct metric_state {
    size_t n, capacity;
    series *series; /* at most MAX_SERIES and "other" */
} metric_state;

struct tt_metrics {
    pthread_mutex_t lock;
    const tt_metric *metrics;
    size_t n;
    metric_state states[];
};

tt_status tt_metrics_create(const tt_metric *metrics, size_t n, tt_metrics **object, tt_error *err)
{
    const size_t n_bytes = sizeof **object + n * sizeof(metric_state);
    *object = calloc(1, n_bytes);
    if (*object == NULL)
        return tt_fail_memory(err, "metrics", n_bytes);
    (*object)->metrics = metrics;
    (*object)->n = n;
    (void)pthread_mutex_init(&(*object)->lock, NULL);
    return TT_OK;
}

void tt_metrics_destroy(tt_metrics *object)
{
    if (object == NULL)
        return;
    for (size_t i = 0; i < object->n; i++)
        free(object->states[i].series);
    (void)pthread_mutex_destroy(&object->lock);
    free(object);
}

static series *find_series(metric_state *state, const char *label)
{
    for (size_t i = 0; i < state->n; i++)
        if (strcmp(state->series[i].label, label) == 0)
            return &state->series[i];
    return NULL;
}

/* "other" for each of the labels that the metric has. */
static void write_other(const char *names, char label[MAX_LABEL])
{
    size_t at = 0;
    for (const char *name = names; name != NULL && at + sizeof ",other" <= MAX_LABEL; name = strchr(name + 1, ',')) {
        memcpy(label + at, &",other"[at == 0], 6 - (at == 0));
        at += 6 - (size_t)(at == 0);
    }
    label[at] = '\0';
}

/* The numbers under this label, made where there are none yet; NULL when memory is out: then nothing is counted. */
static series *get_series(tt_metrics *object, size_t index, const char *label)
{
    metric_state *state = &object->states[index];
    char other[MAX_LABEL];
    label = label == NULL ? "" : label;
    series *found = find_series(state, label);
    if (found == NULL && (state->n >= MAX_SERIES || strlen(label) >= MAX_LABEL)) {
        write_other(object->metrics[index].label, other);
        label = other;
        found = find_series(state, label);
    }
    if (found != NULL)
        return found;
    if (state->n == state->capacity) {
        const size_t capacity = state->capacity == 0 ? 4 : 2 * state->capacity;
        series *grown = realloc(state->series, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        state->series = grown;
        state->capacity = capacity;
    }
    found = &state->series[state->n++];
    *found = (series){0};
    memcpy(found->label, label, strlen(label) + 1);
    return found;
}

void tt_metrics_add(tt_metrics *object, size_t index, const char *label, double value)
{
    (void)pthread_mutex_lock(&object->lock);
    series *s = get_series(object, index, label);
    if (s != NULL)
        s->value += value;
    (void)pthread_mutex_unlock(&object->lock);
}

void tt_metrics_set(tt_metrics *object, size_t index, const char *label, double value)
{
    (void)pthread_mutex_lock(&object->lock);
    series *s = get_series(object, index, label);
    if (s != NULL)
        s->value = value;
    (void)pthread_mutex_unlock(&object->lock);
}

void tt_metrics_observe(tt_metrics *object, size_t index, const char *label, double seconds)
{
    (void)pthread_mutex_lock(&object->lock);
    series *s = get_series(object, index, label);
    if (s != NULL) {
        s->value += seconds;
        s->count++;
        for (size_t i = 0; i < N_BOUNDS; i++)
            if (seconds <= bounds[i]) {
                s->buckets[i]++;
                break;
            }
    }
    (void)pthread_mutex_unlock(&object->lock);
}

/* One part of names or values up to the next comma, and where the next one begins. */
static const char *part_end(const char *text)
{
    return text + strcspn(text, ",");
}

/* A value as the format wants it: backslash, quote and line feed escaped; control characters of strangers dropped. */
static void write_value(const char *from, const char *to, tt_text *out)
{
    for (; from < to; from++) {
        if (*from == '\\' || *from == '"')
            tt_text_add(out, "\\", 1);
        if ((unsigned char)*from >= 0x20)
            tt_text_add(out, from, 1);
    }
}

/* {route="post",code="202",le="0.005"}; nothing where there is neither a label nor a bound. */
static void write_labels(const tt_metric *metric, const char *values, const char *bound, tt_text *out)
{
    const char *separator = "{";
    for (const char *name = metric->label; name != NULL;) {
        const char *name_end = part_end(name), *value_end = part_end(values);
        tt_text_format(out, "%s%.*s=\"", separator, (int)(name_end - name), name);
        write_value(values, value_end, out);
        tt_text_add(out, "\"", 1);
        separator = ",";
        values = *value_end == ',' ? value_end + 1 : value_end;
        name = *name_end == ',' ? name_end + 1 : NULL;
    }
    if (bound != NULL) {
        tt_text_format(out, "%sle=\"%s\"", separator, bound);
        separator = ",";
    }
    if (*separator == ',')
        tt_text_add(out, "}", 1);
}

/* "tintype_NAME_SUFFIX{...} VALUE". */
static void write_line(const tt_metric *metric, const char *suffix, const series *s, const char *bound, double value,
                       tt_text *out)
{
    tt_text_format(out, "tintype_%s%s", metric->name, suffix);
    write_labels(metric, s->label, bound, out);
    if (fabs(value) < 1e15 && floor(value) == value)
        tt_text_format(out, " %.0f\n", value);
    else
        tt_text_format(out, " %.9g\n", value);
}

static void write_histogram(const tt_metric *metric, const series *s, tt_text *out)
{
    uint64_t below = 0;
    for (size_t i = 0; i < N_BOUNDS; i++) {
        tt_text bound = {0};
        tt_text_format(&bound, "%g", bounds[i]);
        below += s->buckets[i];
        write_line(metric, "_bucket", s, bound.bytes, (double)below, out);
        out->failed |= bound.failed;
        tt_text_free(&bound);
    }
    write_line(metric, "_bucket", s, "+Inf", (double)s->count, out);
    write_line(metric, "_sum", s, NULL, s->value, out);
    write_line(metric, "_count", s, NULL, (double)s->count, out);
}

void tt_metrics_write(tt_metrics *object, tt_text *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    (void)pthread_mutex_lock(&object->lock);
    for (size_t i = 0; i < object->n; i++) {
        const tt_metric *metric = &object->metrics[i];
        tt_text_format(out, "# HELP tintype_%s %s\n# TYPE tintype_%s %s\n", metric->name, metric->help, metric->name,
                       kinds[metric->kind]);
        if (metric->label == NULL)
            (void)get_series(object, i, NULL); /* what was never counted is 0 */
        for (size_t j = 0; j < object->states[i].n; j++) {
            const series *s = &object->states[i].series[j];
            if (metric->kind == TT_METRIC_HISTOGRAM)
                write_histogram(metric, s, out);
            else
                write_line(metric, "", s, NULL, s->value, out);
        }
    }
    (void)pthread_mutex_unlock(&object->lock);
}
