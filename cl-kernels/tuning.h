/* tuning.h - which of several variants a launcher uses for a shape.
 *
 * A launcher that knows several ways asks here, naming them; names[0] is what its own table would take. Without a
 * tuning, or for a key that was not measured, that one is used. Names are stored, so that a table that was made by
 * another version of the engine still means something: unknown names count as not measured. */
#ifndef TT_CL_KERNELS_TUNING_H
#define TT_CL_KERNELS_TUNING_H

#include "cl-kernels/plane.h"

enum { TT_TUNING_NAMES = 12 };

/* Index of the name to use. op: the launcher's stem; key: everything that decides the time, readable, e.g. "320x320
 * n4096 int8 f16". Call once per recorded op, before its launches are recorded. */
size_t tt_tuning_choose(const tt_kernels *kernels, const char *op, const char *key, const char *const *names,
                        size_t n_names);

#endif
