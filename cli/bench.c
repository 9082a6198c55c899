/* bench.c - `tintype bench`: how long everything takes on this device, in a form that can be compared. */
#include "cli/bench.h"
#include "cli/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* MLPerf's picture: 20 steps from this seed. */
enum { MLPERF_STEPS = 20, MLPERF_SEED = 633994880, MLPERF_SIDE = 512, DEFAULT_PICTURES = 2, DEFAULT_PASSES = 5 };

static const char default_prompt[] = "a cat on a blue background";

const char *cli_bench_part_name(tt_bench_part part)
{
    static const char *const names[] = {"text encoder", "UNet", "VAE decoder"};
    return names[part];
}

static bool multiplies(const tt_kernel_time *kernel)
{
    return kernel->flops > 0;
}

double cli_bench_peak(const cli_bench *bench, tt_bench_part part, const tt_kernel_time *kernel)
{
    const tt_device_peaks *p = &bench->peaks;
    tt_precision precision = bench->request.info.precision;
    if (!multiplies(kernel))
        return 0;
    bool is_matrix = strncmp(kernel->op, "attention", 9) != 0;
    if (precision == TT_PRECISION_INT8 && part == TT_BENCH_UNET && is_matrix && p->int8_ops > 0)
        return p->int8_ops;
    if ((precision == TT_PRECISION_INT8 || precision == TT_PRECISION_HALF) && p->half_flops > 0)
        return p->half_flops;
    return p->float_flops;
}

double cli_bench_floor_ms(const cli_bench *bench, tt_bench_part part, const tt_kernel_time *kernel)
{
    double peak = cli_bench_peak(bench, part, kernel);
    double compute = peak > 0 ? kernel->flops / peak : 0;
    double memory = bench->peaks.read_bytes > 0 ? kernel->bytes / bench->peaks.read_bytes : 0;
    return 1e3 * (compute > memory ? compute : memory);
}

/* ---- measuring */

static cli_exit measure_parts(cli_bench *b)
{
    tt_bench_params params = {.width = b->request.params.width,
                              .height = b->request.params.height,
                              .n_passes = b->options->n_passes ? b->options->n_passes : DEFAULT_PASSES};
    for (int i = 0; i < CLI_BENCH_PARTS && !cli_is_interrupted(); i++) {
        params.part = (tt_bench_part)i;
        params.batch = i == TT_BENCH_UNET && b->request.params.cfg_scale > 1.0f ? 2 : 1;
        tt_status status = tt_bench_measure(b->session.model, &params, &b->parts[i]);
        if (status != TT_OK)
            return cli_fail_status(b->session.context, status);
    }
    return cli_is_interrupted() ? CLI_CANCELLED : CLI_OK;
}

static cli_exit measure_pictures(cli_bench *b)
{
    uint32_t wanted = b->options->n_images ? b->options->n_images : DEFAULT_PICTURES;
    tt_generate_params params = b->request.params;
    params.n_images = 1;
    b->pictures = calloc(wanted, sizeof *b->pictures);
    if (b->pictures == NULL)
        return cli_fail_memory();
    for (uint32_t i = 0; i < wanted; i++, params.seed++) {
        tt_image image = {0};
        tt_generate_stats stats;
        tt_status status = tt_generate(b->session.model, &params, &image, &stats);
        tt_image_free(&image);
        if (status != TT_OK)
            return cli_fail_status(b->session.context, status);
        b->pictures[b->n_pictures++] = (cli_bench_picture){.total_ms = stats.total_ms,
                                                           .text_ms = stats.text_ms,
                                                           .denoise_ms = stats.denoise_ms,
                                                           .decode_ms = stats.decode_ms,
                                                           .n_unet_calls = stats.n_unet_calls};
        b->peak_bytes = stats.peak_bytes > b->peak_bytes ? stats.peak_bytes : b->peak_bytes;
    }
    return CLI_OK;
}

static cli_exit run(cli_bench *b)
{
    const cli_options *o = b->options;
    b->n_before = cli_sensors_read(b->before);
    cli_exit code = o->components ? CLI_OK : cli_bench_starts(b);
    if (code == CLI_OK)
        code = cli_session_begin(o, &b->session);
    if (code == CLI_OK)
        code = cli_session_load(o, &b->session);
    if (code == CLI_OK)
        code = cli_request_make(o, &b->session, &b->request);
    if (code == CLI_OK)
        code = cli_session_open_device(o, &b->session);
    if (code == CLI_OK)
        code = cli_session_catch_signals(&b->session);
    if (code != CLI_OK)
        return code;
    (void)tt_context_device(b->session.context, &b->device);
    (void)tt_model_get_info(b->session.model, &b->request.info); /* once more: the device decides the precision */
    tt_status status = tt_context_peaks(b->session.context, &b->peaks);
    if (status != TT_OK)
        return cli_fail_status(b->session.context, status);
    code = o->components ? CLI_OK : measure_pictures(b);
    if (code == CLI_OK)
        code = measure_parts(b);
    b->n_after = cli_sensors_read(b->after);
    return code;
}

/* The line's options with what --mlperf and the defaults say. */
static cli_exit settle(const cli_options *given, cli_options *options)
{
    *options = *given;
    if (options->prompt == NULL)
        options->prompt = default_prompt;
    if (options->seed < 0)
        options->seed = 0;
    if (!given->mlperf)
        return CLI_OK;
    if (given->width || given->height || given->n_steps || given->seed >= 0)
        return cli_fail(CLI_USAGE, "--mlperf fixes size, steps and seed; leave -W, -H, --steps and -s out");
    options->width = options->height = MLPERF_SIDE;
    options->n_steps = MLPERF_STEPS;
    options->seed = MLPERF_SEED;
    return CLI_OK;
}

cli_exit cli_bench_command(const cli_options *given)
{
    cli_options options;
    cli_exit code = settle(given, &options);
    if (code != CLI_OK)
        return code;
    cli_bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL)
        return cli_fail_memory();
    bench->options = &options;
    code = run(bench);
    if (code == CLI_OK)
        (options.json ? cli_bench_print_json : cli_bench_print)(bench);
    free(bench->pictures);
    cli_request_free(&bench->request);
    cli_session_end(&bench->session);
    free(bench);
    return code;
}
