/* compare-json.c - the comparison for programs. */
#include "cli/compare-report.h"

#include <math.h>

/* JSON has no infinity and no NaN. */
static void number(FILE *out, const char *key, double value, const char *end)
{
    if (isfinite(value))
        (void)fprintf(out, "\"%s\": %.9g%s", key, value, end);
    else
        (void)fprintf(out, "\"%s\": null%s", key, end);
}

static void text(FILE *out, const char *key, const char *value, const char *end)
{
    (void)fprintf(out, "\"%s\": ", key);
    cli_print_json_string(out, value);
    (void)fputs(end, out);
}

static void score(FILE *out, const char *key, const tt_comparison_score *s)
{
    (void)fprintf(out, "\"%s\": {", key);
    number(out, "mean", s->mean, ", ");
    number(out, "min", s->min, "}");
}

static void numbers(FILE *out, const char *key, const double *values, size_t n)
{
    (void)fprintf(out, "\"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i]))
            (void)fprintf(out, "%s%.9g", i ? ", " : "", values[i]);
        else
            (void)fprintf(out, "%snull", i ? ", " : "");
    (void)fputc(']', out);
}

static void part(FILE *out, const char *key, const tt_comparison_part *p)
{
    (void)fprintf(out, "   \"%s\": {\"bytes\": %llu, \"parameters\": %llu, ", key, (unsigned long long)p->bytes,
                  (unsigned long long)p->n_parameters);
    number(out, "bits_per_weight", p->bits_per_weight, ", ");
    number(out, "error", p->error, "},\n");
}

static void pictures(FILE *out, const tt_comparison *c, const tt_comparison_model *m)
{
    (void)fputs("   \"pictures\": [", out);
    for (size_t i = 0; i < c->n_prompts; i++) {
        const tt_comparison_picture *p = &m->pictures[i];
        (void)fputs(i ? ",\n    {" : "\n    {", out);
        (void)fprintf(out, "\"equal\": %s, ", isinf(p->psnr) && p->psnr > 0 ? "true" : "false");
        number(out, "psnr", p->psnr, ", ");
        number(out, "ssim", p->ssim, ", ");
        number(out, "latent_psnr", p->latent_psnr, ", ");
        number(out, "latent_ssim", p->latent_ssim, ", ");
        number(out, "latent_error", p->latent_error, "}");
    }
    (void)fputs("],\n", out);
}

static void layers(FILE *out, const tt_comparison *c, const tt_comparison_model *m)
{
    (void)fputs("   \"layers\": {", out);
    for (size_t i = 0; i < c->n_layers; i++) {
        (void)fputs(i ? ",\n    " : "\n    ", out);
        numbers(out, c->layers[i], m->layer_errors + i * c->n_passes, c->n_passes);
    }
    (void)fputs("},\n", out);
}

static void times(FILE *out, const tt_comparison_model *m)
{
    (void)fputs("   \"ms\": {", out);
    number(out, "load", m->load_ms, ", ");
    number(out, "first_picture", m->first_picture_ms, ", ");
    number(out, "picture", m->picture_ms, ", ");
    number(out, "text", m->text_ms, ", ");
    number(out, "unet_pass", m->pass_ms, ", ");
    number(out, "decode", m->decode_ms, "},\n");
}

static void accuracies(FILE *out, const tt_comparison_model *m)
{
    (void)fputs("   \"accuracy\": {", out);
    for (size_t i = 0; i < m->n_accuracies; i++) {
        (void)fputs(i ? ", " : "", out);
        cli_print_json_string(out, m->accuracies[i].group);
        (void)fprintf(out, ": %.6g", m->accuracies[i].share);
    }
    (void)fputs("}", out);
}

static void model(FILE *out, const tt_comparison *c, const tt_comparison_model *m)
{
    (void)fputs("  {", out);
    text(out, "path", m->path, ", ");
    text(out, "file_name", m->file_name, ",\n   ");
    text(out, "family", m->info.family, ", ");
    text(out, "container", m->info.container, ", ");
    text(out, "weights", m->info.weights, ", ");
    text(out, "memory_mode", tt_memory_mode_name(m->memory_mode), ", ");
    text(out, "precision", tt_precision_name(m->info.precision), ",\n   ");
    (void)fprintf(out, "\"file_bytes\": %llu, \"peak_bytes\": %llu, \"device_peak_bytes\": %llu, \"unet_calls\": %u, ",
                  (unsigned long long)m->file_bytes, (unsigned long long)m->peak_bytes,
                  (unsigned long long)m->device_peak_bytes, m->n_unet_calls);
    number(out, "bits_per_weight", m->bits_per_weight, ",\n");
    part(out, "text_encoder", &m->text);
    part(out, "unet", &m->unet);
    part(out, "vae", &m->vae);
    times(out, m);
    (void)fprintf(out, "   \"equal_pictures\": %zu, ", m->n_equal);
    score(out, "psnr", &m->psnr);
    (void)fputs(", ", out);
    score(out, "ssim", &m->ssim);
    (void)fputs(",\n   ", out);
    score(out, "latent_psnr", &m->latent_psnr);
    (void)fputs(", ", out);
    score(out, "latent_ssim", &m->latent_ssim);
    (void)fputs(", ", out);
    number(out, "latent_error", m->latent_error, ", ");
    number(out, "vae_psnr", m->vae_psnr, ",\n   ");
    numbers(out, "unet_pass_errors", m->pass_errors, c->n_passes);
    (void)fputs(",\n", out);
    pictures(out, c, m);
    layers(out, c, m);
    accuracies(out, m);
    (void)fputs("}", out);
}

void cli_compare_print_json(FILE *out, const tt_comparison *c)
{
    (void)fputs("{", out);
    text(out, "version", tt_version(), ", ");
    text(out, "device", c->device, ",\n ");
    (void)fprintf(out, "\"width\": %u, \"height\": %u, \"steps\": %u, \"cfg_scale\": %g, \"seed\": %lld,\n ", c->width,
                  c->height, c->n_steps, (double)c->cfg_scale, (long long)c->seed);
    text(out, "scheduler", c->scheduler, ", ");
    text(out, "schedule", c->schedule, ", ");
    text(out, "negative_prompt", c->negative_prompt, ",\n \"prompts\": [");
    for (size_t i = 0; i < c->n_prompts; i++) {
        (void)fputs(i ? ", " : "", out);
        cli_print_json_string(out, c->prompts[i]);
    }
    (void)fprintf(out, "],\n \"probed_prompts\": %zu, ", c->n_probed);
    numbers(out, "timesteps", c->timesteps, c->n_passes);
    (void)fputs(",\n \"models\": [\n", out);
    for (size_t i = 0; i < c->n_models; i++) {
        (void)fputs(i ? ",\n" : "", out);
        model(out, c, &c->models[i]);
    }
    (void)fputs("\n ]}\n", out);
}
