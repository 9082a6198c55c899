/* allocate.h - spending bytes where they lower the error most: one of several types for each group of tensors. */
#ifndef TT_QUANTIZE_ALLOCATE_H
#define TT_QUANTIZE_ALLOCATE_H

#include "base/error.h"

enum { TT_MAX_CHOICES = 8 };

/* One way to store a group. */
typedef struct tt_choice {
    uint64_t n_bytes;
    double error; /* what it adds to the model's error, >= 0 */
} tt_choice;

/* A group's ways, in the order of their bytes. `chosen` is the result. */
typedef struct tt_choices {
    uint32_t n; /* 1..TT_MAX_CHOICES */
    tt_choice items[TT_MAX_CHOICES];
    uint32_t chosen;
} tt_choices;

/* The fewest bytes of all groups together. */
uint64_t tt_allocate_least(const tt_choices *groups, size_t n_groups);

/* Chooses so that the bytes are within the budget: from the smallest form of all groups on, the step that lowers the
 * error most for its bytes is made again and again (steps may jump over a type that is not worth its bytes); at the end
 * smaller steps that still fit fill the budget. Fails with TT_ERROR_ARGUMENT, naming the least, when that is above the
 * budget. The result is the best there is whenever a step's end meets the budget exactly, and at most one step from it
 * else. Errors and bytes of the result are summed into *error and *n_bytes. */
tt_status tt_allocate_bytes(tt_choices *groups, size_t n_groups, uint64_t budget, uint64_t *n_bytes, double *error,
                            tt_error *err);

/* The same until the error is at most `target`; when it cannot be reached, every group has its largest form. */
void tt_allocate_error(tt_choices *groups, size_t n_groups, double target, uint64_t *n_bytes, double *error);

#endif
