/* activate.h - activations in double precision, for the references of ops that end with one. */
#ifndef TT_CL_KERNELS_REFERENCE_ACTIVATE_H
#define TT_CL_KERNELS_REFERENCE_ACTIVATE_H

#include "cl-kernels/plane.h"

/* The activation's value at x. */
double tt_reference_activate(tt_activation activation, double x);

/* TT_ACT_PRELU's. */
double tt_reference_prelu(double slope, double x);

#endif
