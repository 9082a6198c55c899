/* bench.h - what `tintype bench` measures; shared by its files. */
#ifndef TT_CLI_BENCH_H
#define TT_CLI_BENCH_H

#include "cli/request.h"
#include "cli/sensors.h"

/* From the start of a process to its first denoising step. */
typedef struct cli_bench_start {
    double load_model_ms, open_device_ms, text_ms, first_step_ms; /* first_step_ms: all of it, the others included */
    double peak_bytes;
    uint32_t n_stored; /* programs that were stored after the measurement */
} cli_bench_start;

enum { CLI_BENCH_PARTS = 3 };

typedef struct cli_bench_picture {
    double total_ms, text_ms, denoise_ms, decode_ms;
    uint32_t n_unet_calls;
} cli_bench_picture;

typedef struct cli_bench {
    const cli_options *options;
    cli_session session;
    cli_request request;
    tt_device_info device;
    tt_device_peaks peaks;
    bool has_cold, has_warm, has_stored;
    cli_bench_start cold, warm, stored;
    tt_bench_report parts[CLI_BENCH_PARTS]; /* by tt_bench_part */
    cli_bench_picture *pictures;
    uint32_t n_pictures;
    uint64_t peak_bytes;
    cli_sensor before[CLI_MAX_SENSORS], after[CLI_MAX_SENSORS];
    size_t n_before, n_after;
} cli_bench;

/* Measures starts in child processes, which must happen before this process has touched OpenCL: drivers do not survive
 * a fork. The first finds no compiled kernels anywhere, the second what the first left. Where the driver makes
 * binaries too slowly to do so unasked, they are stored then, and a third finds them. */
cli_exit cli_bench_starts(cli_bench *bench);

/* "text encoder", ... */
const char *cli_bench_part_name(tt_bench_part part);

/* Best rate, in multiplications and additions a second, that the request's precision could reach in this kernel; 0 when
 * it does not multiply. */
double cli_bench_peak(const cli_bench *bench, tt_bench_part part, const tt_kernel_time *kernel);

/* Shortest time that the device could take for a kernel: its products at their peak, or its bytes at memory's speed. */
double cli_bench_floor_ms(const cli_bench *bench, tt_bench_part part, const tt_kernel_time *kernel);

void cli_bench_print(const cli_bench *bench);
void cli_bench_print_json(const cli_bench *bench);

#endif
