/* compare-text.c - the comparison as tables on a terminal and as JSON. */
#include "cli/compare-report.h"

#include <math.h>
#include <string.h>

enum { NAME_COLUMNS = 30, WORST_LAYERS = 3 };

/* ---- accuracies and layers, for all forms of the report */

double cli_compare_share(const tt_comparison_model *model, const char *group)
{
    for (size_t i = 0; i < model->n_accuracies; i++)
        if (strcmp(model->accuracies[i].group, group) == 0)
            return model->accuracies[i].share;
    return -1.0;
}

const char *cli_compare_group(const tt_comparison *comparison, size_t index)
{
    for (size_t m = 0; m < comparison->n_models; m++)
        for (size_t i = 0; i < comparison->models[m].n_accuracies; i++) {
            const char *group = comparison->models[m].accuracies[i].group;
            bool is_known = false;
            for (size_t k = 0; k < m && !is_known; k++)
                is_known = cli_compare_share(&comparison->models[k], group) >= 0.0;
            if (!is_known && index-- == 0)
                return group;
        }
    return NULL;
}

double cli_compare_layer(const tt_comparison *comparison, size_t model, size_t layer)
{
    const double *errors = comparison->models[model].layer_errors + layer * comparison->n_passes;
    double sum = 0;
    for (size_t i = 0; i < comparison->n_passes; i++)
        sum += errors[i] * errors[i];
    return comparison->n_passes ? sqrt(sum / (double)comparison->n_passes) : NAN;
}

/* ---- tables */

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The name in exactly NAME_COLUMNS columns: long ones lose their middle, control characters become "?". */
static void print_name(FILE *out, const char *name)
{
    const size_t n = strlen(name), head = 12, tail = NAME_COLUMNS - 15;
    char text[128];
    if (n <= NAME_COLUMNS)
        (void)snprintf(text, sizeof text, "%s", name);
    else {
        size_t end = head, begin = n - tail;
        while (end > 0 && continues_character(name[end]))
            end--;
        while (begin < n && continues_character(name[begin]))
            begin++;
        (void)snprintf(text, sizeof text, "%.*s...%s", (int)end, name, name + begin);
    }
    size_t columns = 0;
    for (const char *c = text; *c; c++)
        columns += !continues_character(*c);
    cli_print_plain(out, text);
    (void)fprintf(out, "%*s", columns < NAME_COLUMNS ? (int)(NAME_COLUMNS - columns) : 0, "");
}

/* dB with two digits behind the point; equal pictures have no number. */
static void print_db(FILE *out, int width, double db)
{
    if (isinf(db) && db > 0)
        (void)fprintf(out, "%*s", width, "equal");
    else
        (void)fprintf(out, "%*.2f", width, db);
}

static void print_error(FILE *out, double error)
{
    if (error == 0.0)
        (void)fprintf(out, "%9s", "0");
    else
        (void)fprintf(out, "%9.1e", error);
}

static void print_heading(FILE *out, const tt_comparison *c)
{
    (void)fprintf(out, "%zu %s of %ux%u, %u steps, cfg scale %g, %s %s, seed %lld, on ", c->n_prompts,
                  c->n_prompts == 1 ? "picture" : "pictures", c->width, c->height, c->n_steps, (double)c->cfg_scale,
                  c->scheduler, c->schedule, (long long)c->seed);
    cli_print_plain(out, c->device);
    (void)fputs("\nreference: ", out);
    cli_print_plain(out, c->models[0].path);
    (void)fputc('\n', out);
}

static void print_sizes(FILE *out, const tt_comparison *c)
{
    (void)fprintf(out, "\n%-*s%6s%9s%7s%9s%9s%9s%9s%11s\n", NAME_COLUMNS, "size and time", "type", "file MB", "bits",
                  "peak MB", "text s", "pass s", "decode s", "picture s");
    for (size_t i = 0; i < c->n_models; i++) {
        const tt_comparison_model *m = &c->models[i];
        print_name(out, m->file_name);
        (void)fprintf(out, "%6.6s%9.2f%7.2f%9.1f%9.3f%9.3f%9.3f%11.2f\n", m->info.weights, (double)m->file_bytes * 1e-6,
                      m->bits_per_weight, (double)m->device_peak_bytes * 1e-6, m->text_ms * 1e-3, m->pass_ms * 1e-3,
                      m->decode_ms * 1e-3, m->picture_ms * 1e-3);
    }
}

static void print_fidelity(FILE *out, const tt_comparison *c)
{
    (void)fprintf(out, "\n%-*s%9s%8s%9s%8s%9s%9s%9s%9s\n", NAME_COLUMNS, "fidelity to the reference", "PSNR dB", "min",
                  "SSIM", "min", "latent", "text", "UNet", "VAE");
    for (size_t i = 1; i < c->n_models; i++) {
        const tt_comparison_model *m = &c->models[i];
        print_name(out, m->file_name);
        print_db(out, 9, m->psnr.mean);
        print_db(out, 8, m->psnr.min);
        (void)fprintf(out, "%9.4f%8.4f", m->ssim.mean, m->ssim.min);
        print_error(out, m->latent_error);
        print_error(out, m->text.error);
        print_error(out, m->unet.error);
        print_error(out, m->vae.error);
        (void)fputc('\n', out);
    }
    (void)fputs("latent, text, UNet, VAE: rms error / standard deviation of the reference\n", out);
}

static void print_accuracies(FILE *out, const tt_comparison *c)
{
    const char *group;
    if (cli_compare_group(c, 0) == NULL)
        return;
    (void)fprintf(out, "\n%-*s", NAME_COLUMNS, "prompts painted right, %");
    for (size_t g = 0; g < 4 && (group = cli_compare_group(c, g)) != NULL; g++)
        (void)fprintf(out, "%16.15s", group);
    (void)fputc('\n', out);
    for (size_t i = 0; i < c->n_models; i++) {
        print_name(out, c->models[i].file_name);
        for (size_t g = 0; g < 4 && (group = cli_compare_group(c, g)) != NULL; g++) {
            double share = cli_compare_share(&c->models[i], group);
            if (share < 0.0)
                (void)fprintf(out, "%16s", "-");
            else
                (void)fprintf(out, "%16.1f", 100.0 * share);
        }
        (void)fputc('\n', out);
    }
}

/* The block with the largest error below `limit`; n_layers when there is none. */
static size_t worst_layer(const tt_comparison *c, size_t model, double limit)
{
    size_t worst = c->n_layers;
    for (size_t i = 0; i < c->n_layers; i++) {
        double error = cli_compare_layer(c, model, i);
        if (error > 0.0 && error < limit && (worst == c->n_layers || error > cli_compare_layer(c, model, worst)))
            worst = i;
    }
    return worst;
}

static void print_worst(FILE *out, const tt_comparison *c)
{
    bool is_begun = false;
    for (size_t m = 1; m < c->n_models; m++) {
        double limit = INFINITY;
        for (size_t k = 0; k < WORST_LAYERS; k++) {
            size_t i = worst_layer(c, m, limit);
            if (i == c->n_layers)
                break;
            limit = cli_compare_layer(c, m, i);
            if (!is_begun)
                (void)fputs("\nlargest errors of UNet blocks\n", out);
            is_begun = true;
            print_name(out, k == 0 ? c->models[m].file_name : "");
            (void)fprintf(out, "%10.1e  ", limit);
            cli_print_plain(out, c->layers[i]);
            (void)fputc('\n', out);
        }
    }
}

void cli_compare_print(FILE *out, const tt_comparison *comparison)
{
    print_heading(out, comparison);
    print_sizes(out, comparison);
    print_fidelity(out, comparison);
    print_accuracies(out, comparison);
    print_worst(out, comparison);
}
