/* dot.h - which dot product instructions a device has. */
#ifndef TT_CL_KERNELS_DOT_H
#define TT_CL_KERNELS_DOT_H

#include "cl-kernels/plane.h"

/* Builds a tiny program for each candidate unit, best first, runs it and checks the result; asks the system for what a
 * unit needs first (Linux hands out AMX tiles on request only). The answer is kept with the device: later calls cost
 * nothing. Programs that do not build or give wrong numbers are no error, the next unit takes over. The environment
 * variable TINTYPE_DOT ("none", "plain", "avx512", "amx") lowers the choice, for tests and comparisons. A unit that the
 * tuning (may be NULL) has disabled (op "dot", under its name for the form: tt_dot_form_name) is passed over. */
tt_status tt_dot_probe(tt_device *device, const tt_tuning *tuning, tt_dot *dot, tt_error *err);

/* "none", "plain", "avx512", "amx", "fp16", "khr", "qcom", "arm". */
const char *tt_dot_name(tt_dot_unit unit);

/* The unit's name in the tuning: "amx half", "amx int8". */
void tt_dot_form_name(tt_dot_unit unit, bool is_half, char name[32]);

#endif
