/* importance.c - sums of squares by layer. */
#include "quantize/importance.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* The floor of a column's importance, of the layer's mean. */
static const double least_share = 1e-3;

typedef struct entry {
    char *layer;
    double *sums;
    size_t n_channels;
    uint64_t n_positions;
} entry;

struct tt_importance {
    entry *items;
    size_t n, capacity;
};

tt_status tt_importance_create(tt_importance **importance, tt_error *err)
{
    *importance = calloc(1, sizeof **importance);
    return *importance ? TT_OK : tt_fail_memory(err, "a calibration", sizeof **importance);
}

void tt_importance_destroy(tt_importance *importance)
{
    if (!importance)
        return;
    for (size_t i = 0; i < importance->n; i++) {
        free(importance->items[i].layer);
        free(importance->items[i].sums);
    }
    free(importance->items);
    free(importance);
}

static entry *find(const tt_importance *importance, const char *layer)
{
    for (size_t i = 0; i < importance->n; i++)
        if (strcmp(importance->items[i].layer, layer) == 0)
            return &importance->items[i];
    return NULL;
}

static entry *append(tt_importance *importance, const char *layer, size_t n_channels)
{
    if (importance->n == importance->capacity) {
        size_t capacity = importance->capacity ? importance->capacity * 2 : 128;
        entry *larger = realloc(importance->items, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        importance->items = larger;
        importance->capacity = capacity;
    }
    entry *e = &importance->items[importance->n];
    *e = (entry){.sums = calloc(n_channels, sizeof(double)), .n_channels = n_channels};
    if (!e->sums || !tt_string_copy(layer, &e->layer)) {
        free(e->sums);
        return NULL;
    }
    importance->n++;
    return e;
}

tt_status tt_importance_add(tt_importance *importance, const char *layer, const double *sums, size_t n_channels,
                            uint64_t n_positions, tt_error *err)
{
    entry *e = find(importance, layer);
    if (!e)
        e = append(importance, layer, n_channels);
    if (!e)
        return tt_fail_memory(err, "a calibration", n_channels * sizeof(double));
    if (e->n_channels != n_channels)
        return tt_fail(err, TT_ERROR_INTERNAL, "the layer %s has %zu inputs and had %zu", layer, n_channels,
                       e->n_channels);
    for (size_t i = 0; i < n_channels; i++)
        e->sums[i] += sums[i];
    e->n_positions += n_positions;
    return TT_OK;
}

size_t tt_importance_count(const tt_importance *importance)
{
    return importance->n;
}

tt_status tt_importance_columns(const tt_importance *importance, const char *layer, uint64_t n_channels,
                                uint32_t n_taps, float **columns, tt_error *err)
{
    const entry *e = importance ? find(importance, layer) : NULL;
    double mean = 0.0;
    *columns = NULL;
    if (!e || e->n_channels != n_channels || e->n_positions == 0)
        return TT_OK;
    for (size_t i = 0; i < e->n_channels; i++)
        mean += e->sums[i] / (double)e->n_channels;
    if (!(mean > 0.0 && mean < 1e300))
        return TT_OK;
    float *made = malloc(e->n_channels * n_taps * sizeof *made);
    if (!made)
        return tt_fail_memory(err, "a calibration", e->n_channels * n_taps * sizeof *made);
    for (size_t i = 0; i < e->n_channels * n_taps; i++)
        made[i] = (float)(e->sums[i / n_taps] / mean + least_share);
    *columns = made;
    return TT_OK;
}
