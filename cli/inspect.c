/* inspect.c - `tintype inspect FILE`: what a picture says of its making, or what a model is. */
#include "cli/commands.h"
#include "cli/session.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- pictures */

/* The raw XMP packet is left out: its properties are entries of their own. --json shows both. */
static void print_report(const tt_image_report *report)
{
    (void)printf("%ux%u\n", report->width, report->height);
    for (size_t i = 0; i < report->n_entries; i++) {
        if (strcmp(report->entries[i].key, "XML:com.adobe.xmp") == 0)
            continue;
        cli_print_plain(stdout, report->entries[i].key);
        (void)printf(": ");
        cli_print_plain(stdout, report->entries[i].text);
        (void)printf("\n");
    }
}

static void print_json_report(const tt_image_report *report)
{
    (void)printf("{\"width\": %u, \"height\": %u, \"entries\": [", report->width, report->height);
    for (size_t i = 0; i < report->n_entries; i++) {
        (void)printf(i == 0 ? "\n  {\"key\": " : ",\n  {\"key\": ");
        cli_print_json_string(stdout, report->entries[i].key);
        (void)printf(", \"text\": ");
        cli_print_json_string(stdout, report->entries[i].text);
        (void)printf("}");
    }
    (void)printf("]}\n");
}

static cli_exit inspect_picture(const cli_options *options, cli_session *session)
{
    tt_image_report report;
    tt_status status = tt_image_inspect(session->context, options->words[0], &report);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (options->json)
        print_json_report(&report);
    else
        print_report(&report);
    tt_image_report_free(&report);
    return CLI_OK;
}

/* ---- models */

static void print_types(const tt_model_info *m)
{
    (void)printf("weights       %s, %s, %.1f MB\n", m->weights, m->container, (double)m->n_bytes * 1e-6);
    for (uint32_t i = 0; i < m->n_types; i++)
        (void)printf("  %-11s %5llu tensors, %.3f MB\n", m->types[i].name, (unsigned long long)m->types[i].n_tensors,
                     (double)m->types[i].n_bytes * 1e-6);
}

static void print_model(const tt_model_info *m, const char *hash)
{
    (void)printf("model         ");
    cli_print_plain(stdout, m->name);
    (void)printf("\nfamily        %s, %s prediction, %s\n", m->family, m->prediction_type, m->scheduler);
    (void)printf("parameters    %.2f million%s\n", (double)m->n_parameters * 1e-6,
                 m->precision == TT_PRECISION_F32 ? "" : ", half");
    (void)printf("picture       %ux%u by default, %u steps, cfg scale %g\n", m->default_width, m->default_height,
                 m->default_steps, (double)m->default_cfg_scale);
    (void)printf("UNet          %u input channels%s\n", m->unet_in_channels,
                 m->unet_in_channels == 9 ? " (inpainting)" : "");
    (void)printf("VAE           %u latent channels, factor %u, %s encoder\n", m->latent_channels, m->vae_factor,
                 m->has_vae_encoder ? "with" : "without");
    (void)printf("ignored       %llu tensors\n", (unsigned long long)m->n_ignored_tensors);
    print_types(m);
    if (hash[0])
        (void)printf("hash          %s\n", hash);
}

static void print_json_pair(const char *key, const char *text)
{
    (void)printf("\"%s\": ", key);
    cli_print_json_string(stdout, text);
    (void)printf(", ");
}

static void print_json_types(const tt_model_info *m)
{
    print_json_pair("container", m->container);
    print_json_pair("weights", m->weights);
    (void)printf("\"n_bytes\": %llu, \"types\": {", (unsigned long long)m->n_bytes);
    for (uint32_t i = 0; i < m->n_types; i++)
        (void)printf("%s\"%s\": {\"n_tensors\": %llu, \"n_bytes\": %llu}", i == 0 ? "" : ", ", m->types[i].name,
                     (unsigned long long)m->types[i].n_tensors, (unsigned long long)m->types[i].n_bytes);
    (void)printf("}, ");
}

static void print_json_model(const tt_model_info *m, const char *hash)
{
    (void)printf("{");
    print_json_pair("name", m->name);
    print_json_pair("family", m->family);
    print_json_pair("hash", hash);
    print_json_pair("prediction_type", m->prediction_type);
    print_json_pair("scheduler", m->scheduler);
    print_json_pair("precision", tt_precision_name(m->precision));
    print_json_types(m);
    (void)printf("\"latent_channels\": %u, \"vae_factor\": %u, \"unet_in_channels\": %u, ", m->latent_channels,
                 m->vae_factor, m->unet_in_channels);
    (void)printf("\"default_width\": %u, \"default_height\": %u, \"default_steps\": %u, \"default_cfg_scale\": %g, ",
                 m->default_width, m->default_height, m->default_steps, (double)m->default_cfg_scale);
    (void)printf("\"n_parameters\": %llu, \"n_ignored_tensors\": %llu, \"has_vae_encoder\": %s}\n",
                 (unsigned long long)m->n_parameters, (unsigned long long)m->n_ignored_tensors,
                 m->has_vae_encoder ? "true" : "false");
}

static cli_exit inspect_model(const cli_options *options, cli_session *session)
{
    cli_options model_options = *options;
    tt_model_info info;
    model_options.model = options->words[0];
    cli_exit code = cli_session_load(&model_options, session);
    if (code != CLI_OK)
        return code;
    tt_status status = tt_model_get_info(session->model, &info);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (options->json)
        print_json_model(&info, tt_model_hash(session->model));
    else
        print_model(&info, tt_model_hash(session->model));
    return CLI_OK;
}

/* ---- which of the two */

/* Pictures are known by their first bytes or, when damaged, by their name; everything else is opened as a model. */
static bool looks_like_picture(const char *path)
{
    unsigned char head[4] = {0};
    const char *dot = strrchr(path, '.');
    FILE *stream = fopen(path, "rb");
    size_t n = stream ? fread(head, 1, sizeof head, stream) : 0;
    if (stream != NULL)
        (void)fclose(stream);
    if (n == sizeof head && (memcmp(head, "\x89PNG", 4) == 0 || memcmp(head, "\xff\xd8\xff", 3) == 0))
        return true;
    return dot != NULL && (strcmp(dot, ".png") == 0 || strcmp(dot, ".jpg") == 0 || strcmp(dot, ".jpeg") == 0);
}

cli_exit cli_inspect(const cli_options *options)
{
    struct stat info;
    cli_session session;
    const char *path = options->words[0];
    if (stat(path, &info) != 0)
        return cli_fail(CLI_FAILED, "cannot open %s: %s", path, strerror(errno));
    cli_exit code = cli_session_begin(options, &session);
    if (code != CLI_OK)
        return code;
    bool is_picture = S_ISREG(info.st_mode) && looks_like_picture(path);
    code = is_picture ? inspect_picture(options, &session) : inspect_model(options, &session);
    cli_session_end(&session);
    return code;
}
