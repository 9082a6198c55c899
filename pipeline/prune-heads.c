/* prune-heads.c - heads of attention layers: their share in the output, and matrices without some of them. */
#include "pipeline/prune-heads.h"
#include "base/checked.h"
#include "base/text.h"
#include "graph/observe.h"
#include "model-file/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- weights */

/* Reads a matrix of a layer as floats (free()). */
static tt_status read_matrix(const tt_head_list *list, const char *layer, const char *matrix, uint32_t n_rows,
                             uint32_t n_columns, float **values, tt_weight *weight, tt_error *err)
{
    char name[TT_MAX_NAME + 32];
    const uint64_t dims[2] = {n_rows, n_columns};
    tt_row_source source;
    *values = NULL;
    snprintf(name, sizeof name, "%s.%s.weight", layer, matrix);
    tt_status status = tt_weights_get(list->probe->model->unet_weights, name, 2, dims, weight, err);
    if (status == TT_OK)
        status = tt_row_source_open(weight, n_rows, n_columns, &source, err);
    if (status != TT_OK)
        return status;
    *values = malloc((size_t)n_rows * n_columns * sizeof **values);
    if (*values)
        tt_row_source_read(&source, 0, n_rows, *values);
    else
        status = tt_fail_memory(err, "an attention layer's weights", (size_t)n_rows * n_columns * sizeof **values);
    tt_row_source_close(&source);
    return status;
}

static tt_status read_output(const tt_head_list *list, const tt_head_layer *l, float **values, tt_weight *weight,
                             tt_error *err)
{
    return read_matrix(list, l->name, "to_out.0", l->width, l->n_heads * l->size, values, weight, err);
}

/* ---- the list */

static tt_status add_layer(tt_head_list *list, uint32_t place, uint32_t layer, bool is_cross, tt_error *err)
{
    const tt_unet_config *c = &list->probe->model->unet_config;
    tt_unet_place at = tt_unet_place_at(c, place);
    tt_head_layer *l = &list->layers[list->n_layers++];
    *l = (tt_head_layer){.unit = {TT_UNIT_HEADS, place, layer, is_cross},
                         .n_heads = tt_unet_heads_left(c, place, layer, is_cross),
                         .size = at.channels / at.n_heads,
                         .width = at.channels,
                         .n_source = is_cross ? c->cross_attention_dim : at.channels};
    tt_unet_unit_name(c, &l->unit, l->name);
    l->power = calloc(l->n_heads, sizeof *l->power);
    l->order = calloc(l->n_heads, sizeof *l->order);
    for (uint32_t h = 0; l->order && h < l->n_heads; h++)
        l->order[h] = h;
    return l->power && l->order ? TT_OK : tt_fail_memory(err, "a list of attention heads", l->n_heads * sizeof(double));
}

static tt_status list_layers(tt_head_list *list, tt_error *err)
{
    const tt_unet_config *c = &list->probe->model->unet_config;
    uint32_t n_places = tt_unet_n_places(c);
    tt_status status = TT_OK;
    list->layers = calloc((size_t)n_places * TT_UNET_MAX_LAYERS * 2, sizeof *list->layers);
    if (!list->layers)
        return tt_fail_memory(err, "a list of attention layers", n_places * sizeof *list->layers);
    for (uint32_t p = 0; p < n_places; p++)
        for (uint32_t i = 0; i < tt_unet_place_at(c, p).n_layers; i++)
            for (int cross = 0; cross < 2 && status == TT_OK; cross++)
                if (tt_unet_has_transformer(c, p, i))
                    status = add_layer(list, p, i, cross == 1, err);
    return status;
}

/* ---- what heads do */

/* Told the squares of what each matrix reads; those of to_out.0 are the heads' outputs. */
static tt_status see(void *user, const char *layers, const double *sums, size_t n_channels, uint64_t n_positions,
                     tt_error *err)
{
    const tt_head_list *list = user;
    static const char suffix[] = ".to_out.0";
    (void)n_positions;
    for (size_t i = 0; i < list->n_layers; i++) {
        const tt_head_layer *l = &list->layers[i];
        size_t length = strlen(l->name);
        if (strncmp(layers, l->name, length) != 0 || strcmp(layers + length, suffix) != 0)
            continue;
        float *values = NULL;
        tt_weight weight;
        tt_status status = read_output(list, l, &values, &weight, err);
        for (uint32_t row = 0; status == TT_OK && row < l->width; row++)
            for (size_t k = 0; k < n_channels; k++) {
                double w = (double)values[row * n_channels + k];
                l->power[k / l->size] += w * w * sums[k];
            }
        free(values);
        return status;
    }
    return TT_OK;
}

/* Insertion sort: there are few heads. */
static void sort_heads(tt_head_layer *l)
{
    for (uint32_t i = 1; i < l->n_heads; i++)
        for (uint32_t k = i; k > 0 && l->power[l->order[k]] < l->power[l->order[k - 1]]; k--) {
            uint32_t head = l->order[k];
            l->order[k] = l->order[k - 1];
            l->order[k - 1] = head;
        }
}

static tt_status observe(tt_head_list *list, tt_error *err)
{
    tt_prune_probe *probe = list->probe;
    tt_weight_store *store = NULL;
    const tt_graph_observer observer = {see, list};
    double change = 0.0;
    tt_status status = tt_unet_store(probe->model->unet, &store, err);
    if (status != TT_OK)
        return status;
    tt_weight_store_observe(store, &observer);
    status = tt_prune_probe_change(probe, &probe->model->unet_config.removed, &change, err);
    tt_weight_store_observe(store, NULL);
    return status;
}

tt_status tt_head_list_look(tt_head_list *list, tt_error *err)
{
    tt_status status = list->n_layers > 0 ? observe(list, err) : TT_OK;
    for (size_t i = 0; i < list->n_layers && status == TT_OK; i++)
        sort_heads(&list->layers[i]);
    return status;
}

/* ---- life */

tt_status tt_head_list_create(tt_prune_probe *probe, tt_head_list *list, tt_error *err)
{
    *list = (tt_head_list){.probe = probe, .can_try = true};
    tt_status status = list_layers(list, err);
    for (size_t i = 0; i < list->n_layers && status == TT_OK; i++) {
        char name[TT_MAX_NAME + 32];
        tt_weight weight;
        snprintf(name, sizeof name, "%s.to_out.0.weight", list->layers[i].name);
        if (tt_weights_peek(probe->model->unet_weights, name, &weight))
            list->can_try = list->can_try && !tt_dtype_is_block(weight.tensor.dtype) && !weight.scale;
    }
    if (status != TT_OK)
        tt_head_list_free(list);
    return status;
}

void tt_head_list_free(tt_head_list *list)
{
    for (size_t i = 0; i < list->n_layers; i++) {
        free(list->layers[i].power);
        free(list->layers[i].order);
    }
    free(list->layers);
    *list = (tt_head_list){0};
}

tt_head_layer *tt_head_list_find(const tt_head_list *list, const tt_unet_unit *unit)
{
    for (size_t i = 0; i < list->n_layers; i++) {
        tt_unet_unit *own = &list->layers[i].unit;
        if (own->place == unit->place && own->layer == unit->layer && own->is_cross == unit->is_cross)
            return &list->layers[i];
    }
    return NULL;
}

uint64_t tt_head_layer_values(const tt_head_layer *l, uint32_t n)
{
    return (uint64_t)n * l->size * 2 * (l->width + l->n_source);
}

/* ---- trying */

/* True when a head is among the first n_cut. */
static bool is_cut(const tt_head_layer *l, uint32_t head, uint32_t n_cut)
{
    for (uint32_t i = 0; i < n_cut; i++)
        if (l->order[i] == head)
            return true;
    return false;
}

tt_status tt_head_list_try(const tt_head_list *list, const tt_head_layer *l, uint32_t n_cut, tt_error *err)
{
    char layer[TT_MAX_NAME + 32];
    tt_weight_store *store = NULL;
    tt_weight weight;
    float *values = NULL;
    snprintf(layer, sizeof layer, "%s.to_out.0", l->name);
    tt_status status = tt_unet_store(list->probe->model->unet, &store, err);
    if (status == TT_OK && n_cut > 0)
        status = read_output(list, l, &values, &weight, err);
    size_t columns = (size_t)l->n_heads * l->size;
    for (size_t k = 0; values && k < columns; k++)
        for (size_t row = 0; is_cut(l, (uint32_t)k / l->size, n_cut) && row < l->width; row++)
            values[row * columns + k] = 0.0f;
    if (status == TT_OK)
        status = tt_weight_store_replace(store, layer, values, err);
    free(values);
    return status;
}

/* ---- cutting */

/* One matrix of a layer: heads are rows of queries, keys and values, columns of the output. */
typedef struct matrix {
    const char *name;
    bool by_rows;
} matrix;

enum { N_MATRICES = 4 };
static const matrix matrices[N_MATRICES] = {{"to_q", true}, {"to_k", true}, {"to_v", true}, {"to_out.0", false}};

/* Columns of matrix m; its rows are all heads' channels, or the width. */
static uint32_t columns_of(const tt_head_layer *l, int m)
{
    return m == 0 ? l->width : m == 3 ? l->n_heads * l->size : l->n_source;
}

static uint32_t rows_of(const tt_head_layer *l, int m)
{
    return m == 3 ? l->width : l->n_heads * l->size;
}

/* Moves what is kept to the front; returns its number of values. */
static size_t keep(const tt_head_layer *l, int m, float *values)
{
    size_t columns = columns_of(l, m), n_all = rows_of(l, m) * columns, n = 0;
    for (size_t i = 0; i < n_all; i++) {
        size_t channel = matrices[m].by_rows ? i / columns : i % columns;
        if (!is_cut(l, (uint32_t)(channel / l->size), l->n_cut))
            values[n++] = values[i];
    }
    return n;
}

/* Half holds what half and blocks held; others stay as exact as floats. */
static tt_dtype kept_dtype(const tt_weight *weight)
{
    bool is_small = weight->tensor.dtype == TT_F16 || tt_dtype_is_block(weight->tensor.dtype) || weight->scale;
    return is_small ? TT_F16 : TT_F32;
}

static tt_status write_matrix(const tt_head_list *list, const tt_head_layer *l, int m, tt_gguf_writer *writer,
                              tt_error *err)
{
    float *values = NULL;
    tt_weight weight;
    tt_status status =
        read_matrix(list, l->name, matrices[m].name, rows_of(l, m), columns_of(l, m), &values, &weight, err);
    if (status != TT_OK)
        return status;
    size_t n = keep(l, m, values);
    if (kept_dtype(&weight) == TT_F32) {
        status = tt_gguf_writer_add(writer, values, n * sizeof *values, err);
    } else {
        uint16_t *halves = malloc(n * sizeof *halves);
        if (halves)
            tt_to_half(values, halves, n);
        status = halves ? tt_gguf_writer_add(writer, halves, n * sizeof *halves, err)
                        : tt_fail_memory(err, "an attention layer's weights", n * sizeof *halves);
        free(halves);
    }
    free(values);
    return status;
}

/* The header's entry of a matrix without its cut heads. */
static tt_status describe(const tt_head_list *list, const tt_head_layer *l, int m, char *name, tt_tensor *tensor,
                          tt_error *err)
{
    tt_weight weight;
    const uint64_t dims[2] = {rows_of(l, m), columns_of(l, m)};
    uint64_t n_kept = (uint64_t)(l->n_heads - l->n_cut) * l->size;
    snprintf(name, TT_MAX_NAME + 32, "%s.%s.weight", l->name, matrices[m].name);
    tt_status status = tt_weights_get(list->probe->model->unet_weights, name, 2, dims, &weight, err);
    if (status != TT_OK)
        return status;
    *tensor = (tt_tensor){.name = name, .dtype = kept_dtype(&weight), .n_dims = 2};
    tensor->dims[0] = matrices[m].by_rows ? n_kept : dims[0];
    tensor->dims[1] = matrices[m].by_rows ? dims[1] : n_kept;
    tensor->n_bytes = tt_dtype_bytes(tensor->dtype, tensor->dims[0] * tensor->dims[1]);
    return TT_OK;
}

static tt_status write_cut(const tt_head_list *list, const char *path, char (*names)[TT_MAX_NAME + 32],
                           tt_tensor *tensors, tt_error *err)
{
    tt_gguf_writer *writer = NULL;
    tt_status status = TT_OK;
    size_t n = 0;
    for (size_t i = 0; i < list->n_layers; i++)
        for (int m = 0; list->layers[i].n_cut > 0 && m < N_MATRICES && status == TT_OK; m++, n++)
            status = describe(list, &list->layers[i], m, names[n], &tensors[n], err);
    if (status == TT_OK)
        status = tt_gguf_writer_begin(path, tensors, n, NULL, 0, &writer, err);
    for (size_t i = 0; i < list->n_layers; i++)
        for (int m = 0; list->layers[i].n_cut > 0 && m < N_MATRICES && status == TT_OK; m++)
            status = write_matrix(list, &list->layers[i], m, writer, err);
    if (status == TT_OK)
        return tt_gguf_writer_commit(writer, err);
    tt_gguf_writer_abort(writer);
    return status;
}

/* Opens the file, takes its name away and puts it over the weights. */
static tt_status take_file(tt_weights *weights, const char *path, tt_error *err)
{
    tt_tensor_file *file = NULL;
    tt_weights *over = NULL;
    tt_status status = tt_tensor_file_open(path, &file, err);
    (void)unlink(path);
    if (status == TT_OK)
        status = tt_weights_create(&file, 1, true, "", NULL, NULL, &over, err);
    if (status != TT_OK) {
        tt_tensor_file_close(file);
        return status;
    }
    tt_weights_put_over(weights, over);
    return TT_OK;
}

tt_status tt_head_list_cut(const tt_head_list *list, const char *output, tt_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n_layers; i++)
        n += list->layers[i].n_cut > 0 ? N_MATRICES : 0;
    if (n == 0)
        return TT_OK;
    tt_text path = {0};
    tt_text_format(&path, "%s.heads.%ld.tmp", output, (long)getpid());
    tt_tensor *tensors = calloc(n, sizeof *tensors);
    char(*names)[TT_MAX_NAME + 32] = calloc(n, sizeof *names);
    tt_status status = tt_text_status(&path, err);
    if (status == TT_OK && (!tensors || !names))
        status = tt_fail_memory(err, "a list of tensors", n * sizeof *tensors);
    if (status == TT_OK)
        status = write_cut(list, path.bytes, names, tensors, err);
    if (status == TT_OK)
        status = take_file(list->probe->model->unet_weights, path.bytes, err);
    free(tensors);
    free(names);
    tt_text_free(&path);
    return status;
}
