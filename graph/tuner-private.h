/* tuner-private.h - the questions of a graph and the trial of one answer, shared by the tuner's files. */
#ifndef TT_GRAPH_TUNER_PRIVATE_H
#define TT_GRAPH_TUNER_PRIVATE_H

#include "graph/graph-private.h"
#include "graph/tuner.h"

/* An op and key that were asked about, with the names and the first op of the graph that asked. */
typedef struct tt_question {
    char op[TT_TUNING_OP], key[TT_TUNING_KEY];
    char names[TT_TUNING_NAMES][TT_TUNING_NAME];
    size_t n_names, op_index;
    size_t first;  /* name that the others are measured against: the first that is not disabled */
    size_t n_step; /* ops of a run without the static part that ask it */
    double cost;   /* of one op, in FLOPs: for the order */
} tt_question;

typedef struct tt_questions {
    tt_question *items;
    size_t n, capacity;
    size_t op_index; /* being recorded */
    bool is_static, out_of_memory;
    size_t asked; /* by the op being recorded: place of its question, SIZE_MAX: none */
} tt_questions;

/* NULL where the op was not asked about with that key. */
tt_question *tt_questions_find(const tt_questions *questions, const char *op, const char *key);

/* Fills questions (zeroed before; items: free()) with what the graph's launchers ask. */
tt_status tt_questions_ask(tt_graph *graph, tt_questions *questions, tt_error *err);

/* One op recorded with one of the names; a zeroed one is empty. */
typedef struct tt_trial {
    tt_recorder *list;
    uint64_t private_bytes;
} tt_trial;

/* Records the question's op with names[index]. Fails as the launcher does. */
tt_status tt_trial_begin(tt_graph *graph, const tt_question *question, size_t index, tt_trial *trial, tt_error *err);
void tt_trial_end(tt_graph *graph, tt_trial *trial);

/* Runs it once and takes the time of all its launches. */
tt_status tt_trial_run(const tt_trial *trial, double *ms, tt_error *err);

/* Writes random numbers into the op's inputs; the same at every call. */
tt_status tt_trial_fill(tt_graph *graph, const tt_question *question, tt_error *err);

/* The op's result, [n] values with border and padding (free()). */
tt_status tt_trial_read(tt_graph *graph, const tt_question *question, float **values, size_t *n, tt_error *err);

#endif
