/* zero-border.h - makes the one-pixel border of a plane zero. */
#ifndef TT_CL_KERNELS_ZERO_BORDER_H
#define TT_CL_KERNELS_ZERO_BORDER_H

#include "cl-kernels/plane.h"

/* Records a launch that writes zero to the border of every slice and image; the inside is left alone. Records nothing
 * for a plane whose border does not need it. Kernels that can zero the border beside what they store (place.clh) spare
 * this launch. */
tt_status tt_zero_border_record(const tt_kernels *kernels, const tt_plane *plane, tt_recorder *recorder, tt_error *err);

#endif
