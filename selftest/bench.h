/* bench.h - what a check works with: planes with known values, a matrix, an output between guards.
 *
 * As in a graph's builders the first failure sticks and makes every later call do nothing, so that checks need no tests
 * of their own; only what is not called here (references) asks tt_bench_is_good first. Everything a bench made is freed
 * by tt_bench_end. */
#ifndef TT_SELFTEST_BENCH_H
#define TT_SELFTEST_BENCH_H

#include "cl-kernels/matrix.h"

enum { TT_BENCH_BUFFERS = 16, TT_BENCH_ARRAYS = 64 };

typedef struct tt_bench {
    tt_kernels kernels;
    tt_dtype weights; /* of the matrices of this check */
    tt_status status;
    tt_error *err;
    tt_recorder *recorder;
    double error; /* the largest so far, rms over deviation; infinite: wrote where it must not */
    tt_buffer buffers[TT_BENCH_BUFFERS];
    size_t n_buffers;
    void *arrays[TT_BENCH_ARRAYS];
    size_t n_arrays;
    tt_matrix matrix; /* of tt_bench_matrix ... */
    float *matrix_values,
        *matrix_bias; /* ... and what it holds: [n_out][n_in][n_taps], [n_out], which are PReLU's slopes too */
    tt_vector vectors[2];
} tt_bench;

/* A plane and its values as [batch][channels][height][width]. */
typedef struct tt_sample {
    tt_plane plane;
    float *values;
    size_t n;
    tt_buffer buffer;
} tt_sample;

tt_bench tt_bench_begin(const tt_kernels *kernels, tt_dtype weights, tt_error *err);
void tt_bench_end(tt_bench *bench);
bool tt_bench_is_good(const tt_bench *bench);

/* Notes a status. */
void tt_bench_add(tt_bench *bench, tt_status status);

/* n floats, zero; NULL after a failure. */
float *tt_bench_floats(tt_bench *bench, size_t n);

/* A plane of random values, rounded to the storage form. */
tt_sample tt_bench_input(tt_bench *bench, uint32_t channels, uint32_t batch, uint32_t height, uint32_t width,
                         uint32_t border);

/* A plane that holds NaN between guards of NaN. */
tt_sample tt_bench_output(tt_bench *bench, uint32_t channels, uint32_t batch, uint32_t height, uint32_t width,
                          uint32_t border);

/* A float array on the device with these values, or NaN for NULL. */
tt_buffer tt_bench_array(tt_bench *bench, const float *values, size_t n);

/* Scratch of n_bytes; empty for 0. */
tt_buffer tt_bench_scratch(tt_bench *bench, size_t n_bytes);

/* Makes bench->matrix of random weights of the check's type, in place of an earlier one. */
void tt_bench_matrix(tt_bench *bench, uint32_t n_out, uint32_t n_in, uint32_t n_taps, uint32_t split, bool is_geglu);

/* bench->vectors: a scale about 1 and a shift about 0, and their values. */
void tt_bench_vectors(tt_bench *bench, uint32_t n, float **scale, float **shift);

/* Runs what was recorded, once, and forgets it. */
void tt_bench_run(tt_bench *bench);

/* Compares an output with what it should be, and looks at its padding, border and guards. */
void tt_bench_compare(tt_bench *bench, const tt_sample *output, const float *want);

#endif
