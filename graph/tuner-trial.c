/* tuner-trial.c - one op of a graph run alone, with one of its variants, on random inputs. */
#include "base/rng.h"
#include "graph/tuner-private.h"

#include <stdlib.h>
#include <string.h>

/* Numbers that inputs are made of, over and over; a prime, so that no size of a plane is in step with them. */
enum { N_NORMALS = 65521 };

/* What a trial answers: one question gets a certain name. */
typedef struct tt_answer {
    const tt_question *question;
    size_t index;
} tt_answer;

static size_t answer(void *user, const char *op, const char *key, const char *const *names, size_t n_names)
{
    const tt_answer *a = user;
    (void)names;
    (void)n_names;
    bool is_this = strcmp(op, a->question->op) == 0 && strcmp(key, a->question->key) == 0;
    return is_this ? a->index : SIZE_MAX;
}

/* Makes room for a variant that needs more than the graph has planned. */
static tt_status make_scratch(tt_graph *graph, const tt_op *op, tt_error *err)
{
    size_t n_bytes = tt_graph_scratch_bytes(graph, op);
    size_t planned = op->scratch == TT_NONE ? 0 : graph->nodes[op->scratch].n_bytes;
    if (n_bytes <= planned)
        return TT_OK;
    return tt_buffer_create(graph->kernels.device, n_bytes, "a variant that is tried", &graph->own_scratch, err);
}

tt_status tt_trial_begin(tt_graph *graph, const tt_question *question, size_t index, tt_trial *trial, tt_error *err)
{
    const tt_op *op = &graph->ops[question->op_index];
    tt_answer wanted = {question, index};
    *trial = (tt_trial){0};
    tt_tuning_watch(graph->kernels.tuning, answer, &wanted);
    tt_status status = make_scratch(graph, op, err);
    if (status == TT_OK)
        status = tt_recorder_create(graph->kernels.device, &trial->list, err);
    if (status == TT_OK)
        status = tt_graph_record_op(graph, op, trial->list, err);
    tt_tuning_watch(graph->kernels.tuning, NULL, NULL);
    if (status == TT_OK)
        trial->private_bytes = tt_recorder_private_bytes(trial->list);
    return status;
}

void tt_trial_end(tt_graph *graph, tt_trial *trial)
{
    tt_recorder_destroy(trial->list);
    tt_buffer_release(graph->kernels.device, &graph->own_scratch);
    *trial = (tt_trial){0};
}

tt_status tt_trial_run(const tt_trial *trial, double *ms, tt_error *err)
{
    tt_profile_row *rows = NULL;
    size_t n_rows = 0;
    *ms = 0;
    tt_status status = tt_recorder_profile(trial->list, &rows, &n_rows, err);
    for (size_t i = 0; i < n_rows; i++)
        *ms += rows[i].ms;
    free(rows);
    return status;
}

/* ---- inputs and results */

static tt_status fill_plane(tt_graph *graph, tt_value value, const float *normals, tt_error *err)
{
    const tt_plane *plane = &graph->nodes[value].plane;
    bool is_half = graph->kernels.storage == TT_STORAGE_F16;
    size_t n = tt_plane_slices(plane) * tt_plane_slice_units(plane) * 4, size = is_half ? 2 : 4;
    float *values = malloc(n * sizeof *values);
    uint16_t *halves = is_half ? malloc(n * sizeof *halves) : NULL;
    tt_status status = values && (halves || !is_half) ? TT_OK : tt_fail_memory(err, "inputs of a trial", n * 4);
    if (status == TT_OK) {
        for (size_t i = 0; i < n; i++) {
            bool is_used = tt_plane_nchw_index(plane, i) != SIZE_MAX;
            values[i] = is_used ? normals[((size_t)value * 977 + i) % N_NORMALS] : 0.0f;
        }
        if (is_half)
            tt_to_half(values, halves, n);
        status = tt_buffer_write(graph->kernels.device, &graph->arena, (size_t)plane->offset * 4 * size,
                                 is_half ? (const void *)halves : (const void *)values, n * size, err);
    }
    free(values);
    free(halves);
    return status;
}

tt_status tt_trial_fill(tt_graph *graph, const tt_question *question, tt_error *err)
{
    const tt_op *op = &graph->ops[question->op_index];
    const tt_value inputs[] = {op->in, op->in2, op->residual, op->per_image};
    float *normals = malloc(N_NORMALS * sizeof *normals);
    tt_rng_state *rng = malloc(sizeof *rng);
    tt_status status = normals && rng ? TT_OK : tt_fail_memory(err, "inputs of a trial", N_NORMALS * sizeof *normals);
    if (status == TT_OK) {
        tt_rng_init(rng, TT_RNG_CPU, 1);
        tt_rng_normal(rng, normals, N_NORMALS);
    }
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs && status == TT_OK; i++)
        if (inputs[i] != TT_NONE)
            status = fill_plane(graph, inputs[i], normals, err);
    free(normals);
    free(rng);
    return status;
}

tt_status tt_trial_read(tt_graph *graph, const tt_question *question, float **values, size_t *n, tt_error *err)
{
    const tt_plane *plane = &graph->nodes[graph->ops[question->op_index].out].plane;
    *n = tt_plane_slices(plane) * tt_plane_slice_units(plane) * 4;
    return tt_graph_read_plane(graph, plane, values, err);
}
