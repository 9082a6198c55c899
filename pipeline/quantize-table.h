/* quantize-table.h - how sensitive each group of layers is, as a JSON file that outlives the measurement; used inside
 * this room. */
#ifndef TT_PIPELINE_QUANTIZE_TABLE_H
#define TT_PIPELINE_QUANTIZE_TABLE_H

#include "pipeline/quantize-job.h"
#include "quantize/allocate.h"

/* Layers that share one type: one matrix on the device, or several of the same kind. */
typedef struct tt_sensitivity_group {
    const char *name; /* of its first tensor; owned by the job's list */
    size_t first, n;  /* tensors of the job's list from `first` on that belong to it: `n` matrices of one group */
    uint64_t n_values;
    uint32_t n_types;
    tt_weight_type types[TT_MAX_CHOICES]; /* that it may have, smallest first */
    double rounding[TT_MAX_CHOICES];      /* weighted squared error of each, of 1 */
    double sensitivity;                   /* mean squared change of the picture per `rounding` */
} tt_sensitivity_group;

typedef struct tt_sensitivity {
    tt_sensitivity_group *groups;
    size_t n_groups;
    double together; /* all errors at once change pictures so many times as much as the sum of each alone */
} tt_sensitivity;

void tt_sensitivity_free(tt_sensitivity *table);

/* Writes the table with the chosen types (choices[n_groups], what allocate made of them). */
tt_status tt_sensitivity_write(const tt_quantize_job *job, const tt_sensitivity *table, const tt_choices *choices,
                               const char *path, tt_error *err);

/* Fills rounding, sensitivity and together of a table whose groups and types are set. Fails when the file was measured
 * on another model, with other prompts, or lacks a group. */
tt_status tt_sensitivity_read(const tt_quantize_job *job, const char *path, tt_sensitivity *table, tt_error *err);

#endif
