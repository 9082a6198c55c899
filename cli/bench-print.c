/* bench-print.c - the figures of `tintype bench`, for people and as JSON. */
#include "cli/bench.h"

static double rate(double amount, double ms)
{
    return ms > 0 ? amount / ms * 1e-6 : 0; /* 1e9 a second */
}

static double share(double part, double whole)
{
    return whole > 0 ? 100.0 * part / whole : 0;
}

/* ---- for people */

static void print_start(const char *name, const cli_bench_start *s)
{
    (void)printf("%-13s %.2f s to the end of the first step: model %.2f, device %.2f, text %.2f; peak %.0f MB\n", name,
                 s->first_step_ms * 1e-3, s->load_model_ms * 1e-3, s->open_device_ms * 1e-3, s->text_ms * 1e-3,
                 s->peak_bytes * 1e-6);
}

static void print_kernel(const cli_bench *b, tt_bench_part part, const tt_kernel_time *k)
{
    (void)printf("  %-14s %5u %9.2f ms", k->op, k->n_launches, k->ms);
    if (k->flops > 0)
        (void)printf(" %9.1f GFLOP/s %5.1f%% of peak", rate(k->flops, k->ms),
                     share(k->flops * 1e3, k->ms * cli_bench_peak(b, part, k)));
    else
        (void)printf(" %9s          %5s         ", "", "");
    (void)printf(" %7.1f GB/s %5.1f%% of the roofline\n", rate(k->bytes, k->ms),
                 share(cli_bench_floor_ms(b, part, k), k->ms));
}

static void print_part(const cli_bench *b, tt_bench_part part)
{
    const tt_bench_report *r = &b->parts[part];
    (void)printf("%-13s %.1f ms a pass (best %.1f, first %.1f), %u launches, %.1f MB of weights, %.1f MB of "
                 "activations\n",
                 cli_bench_part_name(part), r->median_ms, r->best_ms, r->first_ms, r->n_launches,
                 (double)r->weight_bytes * 1e-6, (double)r->activation_bytes * 1e-6);
    for (uint32_t i = 0; i < r->n_kernels; i++)
        print_kernel(b, part, &r->kernels[i]);
}

static void print_picture(const char *name, const cli_bench_picture *p)
{
    (void)printf("%-13s %.2f s: text %.2f, %u steps of %.3f, decoder %.2f\n", name, p->total_ms * 1e-3,
                 p->text_ms * 1e-3, p->n_unet_calls, p->n_unet_calls ? p->denoise_ms * 1e-3 / p->n_unet_calls : 0.0,
                 p->decode_ms * 1e-3);
}

static void print_sensors(const char *name, const cli_sensor *sensors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)printf("%s%s %.1f %s", i == 0 ? name : ", ", sensors[i].name, sensors[i].value, sensors[i].unit);
    if (n > 0)
        (void)printf("\n");
}

void cli_bench_print(const cli_bench *b)
{
    const tt_model_info *m = &b->request.info;
    const tt_device_peaks *p = &b->peaks;
    (void)printf("tintype %s, %s %s, driver %s (%s)\n", tt_version(), b->device.platform, b->device.name,
                 b->device.driver, b->device.variant);
    (void)printf("model         %s (%s), %s weights, precision %s, %ux%u\n", m->name, m->family, m->weights,
                 tt_precision_name(m->precision), b->request.params.width, b->request.params.height);
    (void)printf("peaks         %.0f GFLOP/s float, %.0f GFLOP/s half (%s), %.0f GOP/s int8 (%s), %.1f GB/s\n",
                 p->float_flops * 1e-9, p->half_flops * 1e-9, p->half_unit, p->int8_ops * 1e-9, p->int8_unit,
                 p->read_bytes * 1e-9);
    if (b->has_cold)
        print_start("cold start", &b->cold);
    if (b->has_warm)
        print_start("warm start", &b->warm);
    if (b->has_stored)
        print_start("with programs", &b->stored);
    for (uint32_t i = 0; i < b->n_pictures; i++)
        if (i == 0 || i + 1 == b->n_pictures)
            print_picture(i == 0 ? "first picture" : "last picture", &b->pictures[i]);
    if (b->peak_bytes > 0)
        (void)printf("memory        %.1f MB at the peak\n", (double)b->peak_bytes * 1e-6);
    for (int i = 0; i < CLI_BENCH_PARTS; i++)
        print_part(b, (tt_bench_part)i);
    print_sensors("before        ", b->before, b->n_before);
    print_sensors("after         ", b->after, b->n_after);
}

/* ---- for programs */

static void json_text(const char *key, const char *value, const char *end)
{
    (void)printf("\"%s\": ", key);
    cli_print_json_string(stdout, value);
    (void)fputs(end, stdout);
}

static void json_start(const char *key, const cli_bench_start *s)
{
    (void)printf("  \"%s\": {\"first_step_ms\": %.1f, \"load_model_ms\": %.1f, \"open_device_ms\": %.1f, "
                 "\"text_ms\": %.1f, \"peak_bytes\": %.0f},\n",
                 key, s->first_step_ms, s->load_model_ms, s->open_device_ms, s->text_ms, s->peak_bytes);
}

static void json_kernel(const cli_bench *b, tt_bench_part part, const tt_kernel_time *k)
{
    (void)printf("     {\"op\": \"%s\", \"launches\": %u, \"ms\": %.4f, \"flops\": %.0f, \"bytes\": %.0f, "
                 "\"gflops\": %.2f, \"gbs\": %.2f, \"percent_of_peak\": %.2f, \"percent_of_roofline\": %.2f}",
                 k->op, k->n_launches, k->ms, k->flops, k->bytes, rate(k->flops, k->ms), rate(k->bytes, k->ms),
                 share(k->flops * 1e3, k->ms * cli_bench_peak(b, part, k)),
                 share(cli_bench_floor_ms(b, part, k), k->ms));
}

static void json_part(const cli_bench *b, const char *key, tt_bench_part part)
{
    const tt_bench_report *r = &b->parts[part];
    (void)printf("  \"%s\": {\"median_ms\": %.3f, \"best_ms\": %.3f, \"first_ms\": %.3f, \"launches\": %u,\n"
                 "    \"weight_bytes\": %llu, \"activation_bytes\": %llu, \"kernels\": [",
                 key, r->median_ms, r->best_ms, r->first_ms, r->n_launches, (unsigned long long)r->weight_bytes,
                 (unsigned long long)r->activation_bytes);
    for (uint32_t i = 0; i < r->n_kernels; i++) {
        (void)fputs(i ? ",\n" : "\n", stdout);
        json_kernel(b, part, &r->kernels[i]);
    }
    (void)fputs("]},\n", stdout);
}

static void json_sensors(const char *key, const cli_sensor *sensors, size_t n, const char *end)
{
    (void)printf("  \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        (void)fputs(i ? ", {" : "{", stdout);
        json_text("name", sensors[i].name, ", ");
        (void)printf("\"value\": %.3f, \"unit\": \"%s\"}", sensors[i].value, sensors[i].unit);
    }
    (void)printf("]%s", end);
}

static void json_pictures(const cli_bench *b)
{
    (void)printf("  \"pictures\": [");
    for (uint32_t i = 0; i < b->n_pictures; i++) {
        const cli_bench_picture *p = &b->pictures[i];
        (void)printf("%s{\"total_ms\": %.1f, \"text_ms\": %.1f, \"denoise_ms\": %.1f, \"decode_ms\": %.1f, "
                     "\"unet_calls\": %u}",
                     i ? ", " : "", p->total_ms, p->text_ms, p->denoise_ms, p->decode_ms, p->n_unet_calls);
    }
    (void)printf("],\n  \"peak_bytes\": %llu,\n", (unsigned long long)b->peak_bytes);
}

static void json_heading(const cli_bench *b)
{
    const tt_model_info *m = &b->request.info;
    const tt_generate_params *r = &b->request.params;
    (void)printf("{\"schema\": \"tintype-bench/1\", ");
    json_text("version", tt_version(), ",\n  \"device\": {");
    json_text("name", b->device.name, ", ");
    json_text("platform", b->device.platform, ", ");
    json_text("driver", b->device.driver, ", ");
    (void)printf("\"compute_units\": %u, ", b->device.n_compute_units);
    json_text("variant", b->device.variant, "},\n  \"model\": {");
    json_text("name", m->name, ", ");
    json_text("family", m->family, ", ");
    json_text("hash", tt_model_hash(b->session.model), ", ");
    json_text("weights", m->weights, ", ");
    json_text("precision", tt_precision_name(m->precision), "},\n");
    (void)printf("  \"request\": {\"width\": %u, \"height\": %u, \"steps\": %u, \"cfg_scale\": %g, \"seed\": %lld, "
                 "\"mlperf\": %s},\n",
                 r->width, r->height, r->n_steps, (double)r->cfg_scale, (long long)r->seed,
                 b->options->mlperf ? "true" : "false");
}

void cli_bench_print_json(const cli_bench *b)
{
    const tt_device_peaks *p = &b->peaks;
    json_heading(b);
    (void)printf("  \"peaks\": {\"float_flops\": %.0f, \"half_flops\": %.0f, \"int8_ops\": %.0f, \"read_bytes\": %.0f, "
                 "\"half_unit\": \"%s\", \"int8_unit\": \"%s\"},\n",
                 p->float_flops, p->half_flops, p->int8_ops, p->read_bytes, p->half_unit, p->int8_unit);
    if (b->has_cold)
        json_start("cold_start", &b->cold);
    if (b->has_warm)
        json_start("warm_start", &b->warm);
    if (b->has_stored)
        json_start("stored_start", &b->stored);
    (void)fputs(" ", stdout);
    cli_print_json_choices(b->session.context);
    (void)fputs(",\n", stdout);
    json_pictures(b);
    json_part(b, "text_encoder", TT_BENCH_TEXT);
    json_part(b, "unet", TT_BENCH_UNET);
    json_part(b, "vae_decoder", TT_BENCH_VAE);
    json_sensors("sensors_before", b->before, b->n_before, ",\n");
    json_sensors("sensors_after", b->after, b->n_after, "}\n");
}
