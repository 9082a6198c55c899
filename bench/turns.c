/* turns.c - a job and a peak in turns. */
#include "bench/turns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 1000 };

static bool parse_arithmetic(const char *name, tt_arithmetic *arithmetic)
{
    static const char *const names[] = {"float", "half", "int8"};
    for (int i = 0; i < 3; i++) {
        *arithmetic = (tt_arithmetic)i;
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

bool tt_bench_option(tt_bench_request *asked, int option, char *value)
{
    switch (option) {
    case 'n':
        asked->n_runs = atoi(value);
        asked->n_runs = asked->n_runs < 1 ? 1 : asked->n_runs > MAX_RUNS ? MAX_RUNS : asked->n_runs;
        return true;
    case 'd':
        asked->device = value;
        return true;
    case 's':
        asked->storage = value;
        return true;
    case 'a':
        asked->has_arithmetic = true;
        return parse_arithmetic(value, &asked->arithmetic);
    default:
        return false;
    }
}

/* Runs the job once between two reads: some drivers' clFinish returns before the work is done. */
static tt_status run_job(tt_device *device, tt_recorder *job, const tt_buffer *out, tt_moment *took, tt_error *err)
{
    uint32_t word;
    tt_status status = tt_buffer_read(device, out, 0, &word, sizeof(word), err);
    tt_moment start = tt_moment_now();
    if (status == TT_OK)
        status = tt_bench_replay(device, job, took, err);
    if (status == TT_OK)
        status = tt_buffer_read(device, out, 0, &word, sizeof(word), err);
    tt_moment end = tt_moment_now();
    *took = (tt_moment){end.wall_s - start.wall_s, end.cpu_s - start.cpu_s};
    return status;
}

static void keep_best(tt_moment *best, const tt_moment *took)
{
    best->wall_s = fmin(best->wall_s, took->wall_s);
    best->cpu_s = fmin(best->cpu_s, took->cpu_s);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

tt_status tt_bench_turns(const tt_probe *probe, const tt_bench_request *asked, tt_arithmetic arithmetic,
                         tt_recorder *job, const tt_buffer *out, tt_bench_result *result, tt_error *err)
{
    static const tt_peak_kind kinds[] = {TT_PEAK_FLOAT, TT_PEAK_HALF, TT_PEAK_INT8};
    const tt_peak *peak = &probe->peaks[kinds[arithmetic]];
    tt_device *device = probe->kernels.device;
    double wall[MAX_RUNS];
    tt_moment took;
    if (peak->recorder == NULL)
        peak = &probe->peaks[TT_PEAK_FLOAT];
    *result = (tt_bench_result){.best = {INFINITY, INFINITY},
                                .peak = {INFINITY, INFINITY},
                                .peak_work = peak->work,
                                .n_units = tt_device_caps(device)->n_compute_units};
    tt_status status = run_job(device, job, out, &took, err);
    for (int i = 0; i < asked->n_runs && status == TT_OK; i++) {
        status = tt_bench_replay(device, peak->recorder, &took, err);
        keep_best(&result->peak, &took);
        if (status == TT_OK)
            status = run_job(device, job, out, &took, err);
        keep_best(&result->best, &took);
        wall[i] = took.wall_s;
    }
    if (status != TT_OK)
        return status;
    qsort(wall, (size_t)asked->n_runs, sizeof(*wall), compare);
    result->median_s = wall[asked->n_runs / 2];
    return TT_OK;
}

tt_bench_rates tt_bench_rates_of(const tt_bench_result *r, double work)
{
    return (tt_bench_rates){.best = work / r->best.wall_s,
                            .median = work / r->median_s,
                            .alone = work / r->best.cpu_s * r->n_units,
                            .peak = r->peak_work / r->peak.wall_s,
                            .peak_alone = r->peak_work / r->peak.cpu_s * r->n_units};
}
