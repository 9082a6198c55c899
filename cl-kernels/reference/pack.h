/* pack.h - plain C twin of cl-kernels/pack.h: the same values as channel arrays in both orders. */
#ifndef TT_CL_KERNELS_REFERENCE_PACK_H
#define TT_CL_KERNELS_REFERENCE_PACK_H

#include "cl-kernels/plane.h"

/* array: NCHW, or [batch][positions][channels] when channels_last -> nchw. */
void tt_reference_pack(const float *array, bool channels_last, uint32_t batch, uint32_t n_channels,
                       uint32_t n_positions, float *nchw);

/* The inverse. */
void tt_reference_unpack(const float *nchw, bool channels_last, uint32_t batch, uint32_t n_channels,
                         uint32_t n_positions, float *array);

#endif
