/* devices.c - `tintype devices` and `tintype samplers`: what there is to choose from. */
#include "cli/commands.h"
#include "cli/session.h"

static void print_bytes(const char *name, uint64_t bytes)
{
    (void)printf("   %-13s %.1f %s\n", name, (double)bytes / (bytes >= 1u << 30 ? 1073741824.0 : 1048576.0),
                 bytes >= 1u << 30 ? "GiB" : "MiB");
}

static void print_device(const tt_device_info *d)
{
    (void)printf("%s: ", d->id);
    cli_print_plain(stdout, d->name);
    (void)printf("\n   %-13s ", "platform");
    cli_print_plain(stdout, d->platform);
    (void)printf(", driver ");
    cli_print_plain(stdout, d->driver);
    (void)printf("\n   %-13s %s, %s, %u compute units\n", "kind", d->is_gpu ? "GPU" : "CPU or other", d->version,
                 d->n_compute_units);
    (void)printf("   %-13s half %s, subgroups %s, integer dot product %s\n", "features", d->has_fp16 ? "yes" : "no",
                 d->has_subgroups ? "yes" : "no", d->has_int_dot ? "yes" : "no");
    print_bytes("memory", d->global_bytes);
    print_bytes("largest block", d->max_alloc_bytes);
    (void)printf("   %-13s %llu KiB local memory, %llu work-items\n", "work-group",
                 (unsigned long long)(d->local_bytes / 1024), (unsigned long long)d->max_work_group);
    (void)printf("   %-13s %s\n", "kernels", d->variant);
}

static void print_json_text(const char *key, const char *text)
{
    (void)printf("\"%s\": ", key);
    cli_print_json_string(stdout, text);
    (void)printf(", ");
}

static void print_json_device(const tt_device_info *d)
{
    (void)printf("  {");
    print_json_text("id", d->id);
    print_json_text("name", d->name);
    print_json_text("vendor", d->vendor);
    print_json_text("platform", d->platform);
    print_json_text("driver", d->driver);
    print_json_text("version", d->version);
    print_json_text("variant", d->variant);
    (void)printf("\"is_gpu\": %s, \"has_fp16\": %s, \"has_subgroups\": %s, \"has_int_dot\": %s, ",
                 d->is_gpu ? "true" : "false", d->has_fp16 ? "true" : "false", d->has_subgroups ? "true" : "false",
                 d->has_int_dot ? "true" : "false");
    (void)printf("\"n_compute_units\": %u, \"global_bytes\": %llu, \"max_alloc_bytes\": %llu, \"local_bytes\": %llu, "
                 "\"max_work_group\": %llu}",
                 d->n_compute_units, (unsigned long long)d->global_bytes, (unsigned long long)d->max_alloc_bytes,
                 (unsigned long long)d->local_bytes, (unsigned long long)d->max_work_group);
}

cli_exit cli_devices(const cli_options *options)
{
    cli_session session;
    tt_device_info *devices = NULL;
    size_t n = 0;
    cli_exit code = cli_session_begin(options, &session);
    if (code != CLI_OK)
        return code;
    tt_status status = tt_devices_list(session.context, &devices, &n);
    if (status != TT_OK)
        code = cli_fail_status(session.context, status);
    if (code == CLI_OK && options->json)
        (void)printf("[\n");
    for (size_t i = 0; i < n && code == CLI_OK; i++) {
        if (!options->json) {
            print_device(&devices[i]);
            continue;
        }
        print_json_device(&devices[i]);
        (void)printf(i + 1 < n ? ",\n" : "\n");
    }
    if (code == CLI_OK && options->json)
        (void)printf("]\n");
    tt_devices_free(devices);
    cli_session_end(&session);
    return code;
}

cli_exit cli_samplers(const cli_options *options)
{
    const char *name;
    for (size_t i = 0; (name = tt_sampler_name(i)) != NULL; i++) {
        if (!options->json) {
            (void)printf("%s\n", name);
            continue;
        }
        (void)printf(i == 0 ? "[" : ", ");
        cli_print_json_string(stdout, name);
    }
    if (options->json)
        (void)printf("]\n");
    return CLI_OK;
}
