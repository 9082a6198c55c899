/* turns.h - what bench-kernels and bench-attention share: options, and a job measured in turns with a peak. */
#ifndef TT_BENCH_TURNS_H
#define TT_BENCH_TURNS_H

#include "bench/probe.h"

/* What the command line asks for. */
typedef struct tt_bench_request {
    int n_runs;
    const char *device, *storage, *filter; /* NULL: any */
    bool has_arithmetic;
    tt_arithmetic arithmetic;
} tt_bench_request;

/* Takes an option: -n RUNS, -d DEVICE, -s STORAGE, -a float|half|int8. False for others and for a value that means
 * nothing. */
#define TT_BENCH_OPTIONS "n:d:s:a:"
bool tt_bench_option(tt_bench_request *asked, int option, char *value);

/* What runs took. Both the job and the peak take their best, so that a busy machine slows both alike. CPU time is that
 * of all threads of the process: other programs hardly change it, and on devices that are no CPUs it means nothing. */
typedef struct tt_bench_result {
    tt_moment best, peak;
    double median_s;  /* of the job, wall clock */
    double peak_work; /* operations of a run of the peak */
    uint32_t n_units; /* cores of the device */
} tt_bench_result;

/* Replays a recorded job asked->n_runs times, each run after one of the peak of an arithmetic (of float, where the
 * device has no unit for it). Before that the job runs once, as drivers finish kernels then. out: what the job writes.
 */
tt_status tt_bench_turns(const tt_probe *probe, const tt_bench_request *asked, tt_arithmetic arithmetic,
                         tt_recorder *job, const tt_buffer *out, tt_bench_result *result, tt_error *err);

/* Operations a second: of a job with so many, by the wall clock and by CPU time on all cores; of the peak likewise. */
typedef struct tt_bench_rates {
    double best, median, alone, peak, peak_alone;
} tt_bench_rates;

tt_bench_rates tt_bench_rates_of(const tt_bench_result *result, double work);

#endif
