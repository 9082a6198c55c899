/* dot-system.h - which dot product instructions processor and system let programs run at all. */
#ifndef TT_CL_KERNELS_DOT_SYSTEM_H
#define TT_CL_KERNELS_DOT_SYSTEM_H

#include "cl-kernels/plane.h"

/* False when running the unit's instructions would end the process. Asks the system for the registers of AMX tiles,
 * which it hands out once for the whole process. */
bool tt_dot_system_has(tt_dot_unit unit, bool is_half);

#endif
