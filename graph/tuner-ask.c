/* tuner-ask.c - the questions of a graph: every op is recorded once and what its launcher asks is noted. */
#include "graph/tuner-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tt_question *tt_questions_find(const tt_questions *questions, const char *op, const char *key)
{
    for (size_t i = 0; i < questions->n; i++)
        if (strcmp(questions->items[i].key, key) == 0 && strcmp(questions->items[i].op, op) == 0)
            return &questions->items[i];
    return NULL;
}

/* A new question, NULL when memory is out. */
static tt_question *add(tt_questions *questions)
{
    if (questions->n == questions->capacity) {
        size_t capacity = questions->capacity == 0 ? 64 : 2 * questions->capacity;
        tt_question *items = realloc(questions->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        questions->items = items;
        questions->capacity = capacity;
    }
    tt_question *q = &questions->items[questions->n++];
    *q = (tt_question){.op_index = questions->op_index};
    return q;
}

static size_t note(void *user, const char *op, const char *key, const char *const *names, size_t n_names)
{
    tt_questions *questions = user;
    if (n_names < 2 || n_names > TT_TUNING_NAMES || strlen(op) >= TT_TUNING_OP || strlen(key) >= TT_TUNING_KEY)
        return SIZE_MAX;
    tt_question *q = tt_questions_find(questions, op, key);
    if (!q) {
        q = add(questions);
        if (!q) {
            questions->out_of_memory = true;
            return SIZE_MAX;
        }
        snprintf(q->op, sizeof q->op, "%s", op);
        snprintf(q->key, sizeof q->key, "%s", key);
        q->n_names = n_names;
        for (size_t i = 0; i < n_names; i++)
            snprintf(q->names[i], sizeof q->names[i], "%s", names[i]);
    }
    q->n_step += !questions->is_static;
    questions->asked = (size_t)(q - questions->items);
    return SIZE_MAX;
}

/* FLOPs that a device does while it moves a byte, about: for an order of ops this needs no measuring. */
static const double flops_of_a_byte = 20;

static tt_status ask_op(tt_graph *graph, const tt_op *op, tt_questions *questions, tt_error *err)
{
    tt_recorder *list = NULL;
    double flops = 0, bytes = 0;
    questions->asked = SIZE_MAX;
    if (op->matrix && op->matrix->values.mem == NULL)
        return TT_OK; /* its weights pass through: there is nothing to run it on */
    tt_status status = tt_recorder_create(graph->kernels.device, &list, err);
    if (status == TT_OK)
        status = tt_graph_record_op(graph, op, list, err);
    if (status == TT_OK && questions->asked != SIZE_MAX) {
        tt_recorder_work(list, &flops, &bytes);
        questions->items[questions->asked].cost = flops + bytes * flops_of_a_byte;
    }
    tt_recorder_destroy(list);
    return status;
}

tt_status tt_questions_ask(tt_graph *graph, tt_questions *questions, tt_error *err)
{
    tt_status status = TT_OK;
    tt_tuning_watch(graph->kernels.tuning, note, questions);
    for (size_t i = 0; i < graph->n_ops && status == TT_OK; i++) {
        questions->op_index = i;
        questions->is_static = graph->ops[i].is_static;
        status = ask_op(graph, &graph->ops[i], questions, err);
    }
    tt_tuning_watch(graph->kernels.tuning, NULL, NULL);
    if (status == TT_OK && questions->out_of_memory)
        status = tt_fail_memory(err, "the keys of a graph", 0);
    return status;
}
