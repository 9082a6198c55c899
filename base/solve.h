/* solve.h - small dense systems of linear equations. */
#ifndef TT_BASE_SOLVE_H
#define TT_BASE_SOLVE_H

#include <stdint.h>

/* Solves the n x n system a * x = b by Gauss-Jordan elimination with row pivots. Row i of a begins at a[i * stride]. a
 * and b are overwritten, b becomes x; a singular system gives values that are no numbers. */
void tt_solve(double *a, uint32_t stride, double *b, uint32_t n);

#endif
