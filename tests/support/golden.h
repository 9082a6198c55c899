/* golden.h - sets of goldens: the project's own, and the larger oracle beside the checkout where it is present. */
#ifndef TT_TESTS_SUPPORT_GOLDEN_H
#define TT_TESTS_SUPPORT_GOLDEN_H

#include "tintype/tintype.h"

typedef struct golden_set {
    const char *name;    /* "own" or "oracle" */
    const char *goldens; /* folder of *.safetensors and *.json */
    const char *models;  /* folder of model folders and single files */
    double half_bar;     /* of one pass in half storage: the own models norm single channels over 16 positions, which
                            amplifies rounding now and then; torch's half is between 1.5e-3 and 2.8e-3 on them */
} golden_set;

enum { GOLDEN_SETS = 2 };

/* Fills in the sets that are present and returns their number; says which one is absent. The oracle's models are looked
 * for in $TT_ORACLE_MODELS, then beside its goldens. */
int golden_sets(golden_set sets[GOLDEN_SETS]);

/* A context with the device that the environment names; the test fails when there is none. */
tt_context *golden_context(void);

/* Reads FILE of a set; false when the set lacks it. */
bool golden_read(tt_context *context, const golden_set *set, const char *file, tt_arrays *arrays);

/* Loads a model of a set in one precision; NULL (and a line) when the set lacks it. */
tt_model *golden_model(tt_context *context, const golden_set *set, const char *name, tt_precision precision);

/* rms(got - want) / std(want) of two float arrays of equal size; fails the test when their sizes differ. */
double golden_error(const tt_array *got, const tt_array *want);

/* The golden array of that printf-like name; the test fails when it is missing. */
const tt_array *golden_array(const tt_arrays *arrays, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies an array under another name. */
void golden_copy(tt_context *context, tt_arrays *to, const char *name, const tt_array *from);

/* Prints the figure and notes when it is over the bar or no number; golden_finish fails the test then. */
void golden_check(const char *what, double error, double bar);

/* Ends a test: fails when any figure since the last call was over its bar, or when none was checked. */
void golden_finish(void);

/* Runs a stage; the test fails with the library's sentence when it does. */
void golden_run(tt_context *context, tt_model *model, const tt_stage_params *params, const tt_arrays *in,
                tt_arrays *out);

#endif
