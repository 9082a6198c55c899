/* tuner.h - measures which variants of its ops suit a device, on the shapes of a graph.
 *
 * Knows no op. The graph's ops are recorded with a watcher in the tuning that notes every question: which op and key,
 * which names. Then, the most expensive keys first, one op of each key is recorded with every name in turn, on random
 * inputs, and run alone: the least of three times counts. A variant that does not build, does not fit the device,
 * spills registers on a GPU or whose result differs from the first name's beyond the form's tolerance is out; a wrong
 * one is disabled. Then it asks once more: a form that has just won may ask about its cuts. The graph must be compiled;
 * what its arena held is gone afterwards, and it must be built anew to use the choices. Ops whose weights pass through
 * (stream.h) are left out. */
#ifndef TT_GRAPH_TUNER_H
#define TT_GRAPH_TUNER_H

#include "cl-kernels/tuning.h"
#include "graph/graph.h"

/* Where the tuner is. Return false to stop: the call ends with TT_ERROR_CANCELLED, choices made so far stay. */
typedef struct tt_tuner_progress {
    const char *graph, *op, *key; /* in work; NULL when all that was asked is measured */
    size_t done, total;           /* keys of this graph that are open */
} tt_tuner_progress;
typedef bool (*tt_tuner_progress_fn)(void *user, const tt_tuner_progress *progress);

/* What was done, over all graphs. */
typedef struct tt_tuner_counts {
    size_t n_keys;              /* with more than one name */
    size_t n_measured, n_known; /* now; before, and left alone */
    size_t n_left;              /* time ran out */
    size_t n_refused, n_wrong;  /* variants that do not build, do not fit or spill; whose results were wrong */
    double before_ms, after_ms; /* of a pass's ops that were measured, with the first names and with the best */
} tt_tuner_counts;

/* One tuning run over several graphs. Zero-initialise, fill in the first part. */
typedef struct tt_tuner {
    double seconds;                /* for everything; keys that are left when it is over keep what they have */
    bool again;                    /* measure keys that have a choice too */
    tt_tuner_progress_fn progress; /* may be NULL; called before each key is measured, and when all that was asked is */
    void *user;
    double begun; /* set by the first graph */
    tt_tuner_counts counts;
} tt_tuner;

/* True when the time is over: a graph that was not tuned yet need not be built. */
bool tt_tuner_is_over(const tt_tuner *tuner);

/* Measures the graph's keys and puts the choices into the tuning of its kernels, which must have one. */
tt_status tt_graph_tune(tt_graph *graph, tt_tuner *tuner, tt_error *err);

#endif
