/* prune-structured.h - a structural pruning in work; used inside this room. */
#ifndef TT_PIPELINE_PRUNE_STRUCTURED_H
#define TT_PIPELINE_PRUNE_STRUCTURED_H

#include "pipeline/prune-heads.h"

/* A part that can go. */
typedef struct tt_prune_candidate {
    tt_unet_unit unit;
    tt_head_layer *heads; /* HEADS: the next step of this layer's heads; else NULL */
    uint64_t n_values;    /* parameters and ... */
    double flops;         /* ... work of a pass that it would save now */
    double change, rise;  /* of the UNet's output with it gone too, and against before, when it was last measured ... */
    size_t n_measured_at; /* ... which was after so many removals; SIZE_MAX: never */
    double alone;         /* change with nothing else gone */
    uint64_t n_values_alone;
    double flops_alone;
    bool is_gone; /* removed, inside something removed, or cannot be removed */
} tt_prune_candidate;

typedef struct tt_pruning {
    tt_quantize_job *job;
    tt_prune_probe probe;
    tt_head_list heads;
    double share; /* 0: units were named */
    tt_prune_candidate *candidates;
    size_t n_candidates, n_measured, n_removed;
    size_t *taken;           /* [n_removed] candidates, in the order in which they were taken */
    tt_unet_removed removed; /* blocks; heads are in the list's n_cut */
    double change;           /* of the output with all that is gone */
    uint64_t n_values_whole, n_values, n_bytes_whole;
    double flops_whole, flops;
} tt_pruning;

/* prune-report.c: fills the job's report and writes the ranking beside the output, as JSON. */
tt_status tt_pruning_report(const tt_pruning *pruning, tt_error *err);

#endif
