/* compare-page.c - the comparison as one HTML page that stands alone. */
#include "cli/compare-plots.h"
#include "cli/compare-style.h"
#include "cli/html.h"
#include "cli/marks.h"
#include "cli/new-file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHOWN = 24, DIFFERENCE_GAIN = 8, N_KEYS = 8 };

/* What the sections share. */
typedef struct page {
    FILE *out;
    const cli_options *options;
    tt_context *context;
    const tt_comparison *c;
} page;

/* ---- cells */

static void cell_db(FILE *out, double db)
{
    if (isinf(db) && db > 0)
        (void)fputs("<td>equal</td>", out);
    else
        (void)fprintf(out, "<td>%.2f</td>", db);
}

static void cell_error(FILE *out, double error)
{
    if (isnan(error))
        (void)fputs("<td>&ndash;</td>", out);
    else if (error == 0.0)
        (void)fputs("<td>0</td>", out);
    else
        (void)fprintf(out, "<td>%.1e</td>", error);
}

static void cell_share(FILE *out, double share)
{
    if (share < 0.0)
        (void)fputs("<td>&ndash;</td>", out);
    else
        (void)fprintf(out, "<td>%.1f&thinsp;%%</td>", 100.0 * share);
}

static void cell_name(FILE *out, const tt_comparison_model *m, size_t index)
{
    (void)fprintf(out, "<td><span class=\"key k%zu\"></span>", index % N_KEYS);
    cli_html_text(out, m->file_name);
    (void)fputs("</td>", out);
}

/* What a mean PSNR usually looks like. */
static const char *in_words(double psnr)
{
    return isinf(psnr) && psnr > 0 ? "equal pictures"
           : psnr >= 40.0          ? "differences are hard to see"
           : psnr >= 30.0          ? "fine details differ"
           : psnr >= 20.0          ? "details differ visibly, same scene"
                                   : "other pictures";
}

/* ---- head */

static void write_head(const page *p)
{
    const tt_comparison *c = p->c;
    FILE *out = p->out;
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>Fidelity to ",
                out);
    cli_html_text(out, c->models[0].file_name);
    (void)fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>Fidelity to ", cli_compare_style());
    cli_html_text(out, c->models[0].file_name);
    (void)fprintf(out, "</h1>\n<p class=\"dim\">%zu %s of %u&times;%u, %u steps, cfg scale %g, ", c->n_prompts,
                  c->n_prompts == 1 ? "picture" : "pictures", c->width, c->height, c->n_steps, (double)c->cfg_scale);
    cli_html_text(out, c->scheduler);
    (void)fputc(' ', out);
    cli_html_text(out, c->schedule);
    (void)fprintf(out, ", seeds %lld to %lld, on ", (long long)c->seed,
                  (long long)((uint64_t)c->seed + c->n_prompts - 1));
    cli_html_text(out, c->device);
    (void)fprintf(out, "; tintype %s. Every model painted the same prompts from the same noise.</p>\n", tt_version());
}

/* ---- summary */

static void summary_row(const page *p, size_t i)
{
    const tt_comparison_model *m = &p->c->models[i];
    FILE *out = p->out;
    double part = p->c->models[0].file_bytes ? (double)m->file_bytes / (double)p->c->models[0].file_bytes : 0.0;
    (void)fprintf(out, "<tr%s>", i == 0 ? " class=\"reference\"" : "");
    cell_name(out, m, i);
    (void)fputs("<td>", out);
    cli_html_text(out, m->info.weights);
    (void)fprintf(out, "</td><td>%.2f</td><td>%.0f&thinsp;%%</td><td>%.2f</td>", (double)m->file_bytes * 1e-6,
                  100.0 * part, m->bits_per_weight);
    if (i == 0)
        (void)fputs("<td colspan=\"4\" style=\"text-align:center\">reference</td>", out);
    else {
        cell_db(out, m->psnr.mean);
        cell_db(out, m->psnr.min);
        (void)fprintf(out, "<td>%.4f</td><td>%.4f</td>", m->ssim.mean, m->ssim.min);
    }
    (void)fprintf(out, "<td>%.1f</td><td>%.2f</td>", (double)m->device_peak_bytes * 1e-6, m->picture_ms * 1e-3);
    if (cli_compare_group(p->c, 0) != NULL)
        cell_share(out, cli_compare_share(m, cli_compare_group(p->c, 0)));
    (void)fprintf(out, "<td class=\"words\">%s</td></tr>\n", i == 0 ? "" : in_words(m->psnr.mean));
}

static void write_summary(const page *p)
{
    FILE *out = p->out;
    const char *group = cli_compare_group(p->c, 0);
    (void)fputs("<div class=\"scroll\"><table>\n<tr><th>model</th><th>weights</th><th>file<br><small>MB</small></th>"
                "<th>of the<br>reference</th><th>bits per<br>weight</th><th>PSNR<br><small>dB, mean</small></th>"
                "<th><small>worst</small></th><th>SSIM<br><small>mean</small></th><th><small>worst</small></th>"
                "<th>device peak<br><small>MB</small></th><th>a picture<br><small>s</small></th>",
                out);
    if (group != NULL) {
        (void)fputs("<th>right<br><small>", out);
        cli_html_text(out, group);
        (void)fputs("</small></th>", out);
    }
    (void)fputs("<th style=\"text-align:left\">pictures, in words</th></tr>\n", out);
    for (size_t i = 0; i < p->c->n_models; i++)
        summary_row(p, i);
    (void)fputs("</table></div>\n", out);
}

/* ---- parts */

static void parts_row(const page *p, size_t i)
{
    const tt_comparison_model *m = &p->c->models[i];
    const tt_comparison_part *parts[] = {&m->text, &m->unet, &m->vae};
    FILE *out = p->out;
    (void)fprintf(out, "<tr%s>", i == 0 ? " class=\"reference\"" : "");
    cell_name(out, m, i);
    for (size_t k = 0; k < 3; k++) {
        (void)fprintf(out, "<td>%.2f <small>(%.2f)</small></td>", (double)parts[k]->bytes * 1e-6,
                      parts[k]->bits_per_weight);
        if (i == 0)
            (void)fputs("<td>&ndash;</td>", out);
        else
            cell_error(out, parts[k]->error);
    }
    if (i == 0)
        (void)fputs("<td>&ndash;</td><td>&ndash;</td><td>&ndash;</td><td>&ndash;</td>", out);
    else {
        cell_db(out, m->vae_psnr);
        cell_error(out, m->latent_error);
        cell_db(out, m->latent_psnr.mean);
        (void)fprintf(out, "<td>%.4f</td>", m->latent_ssim.mean);
    }
    (void)fputs("</tr>\n", out);
}

static void write_parts(const page *p)
{
    (void)fputs(
        "<h2>Part by part</h2>\n<p>Every part alone, on the reference's inputs: errors of one part do not hide in the "
        "next. The final latent is that of the whole run, where they add up.</p>\n"
        "<div class=\"scroll\"><table>\n<tr><th></th><th class=\"group\" colspan=\"2\">text encoder</th>"
        "<th class=\"group\" colspan=\"2\">UNet pass</th><th class=\"group\" colspan=\"3\">VAE decoder</th>"
        "<th class=\"group\" colspan=\"3\">final latent</th></tr>\n"
        "<tr><th>model</th><th>MB <small>(bits)</small></th><th>error</th><th>MB <small>(bits)</small></th>"
        "<th>error</th><th>MB <small>(bits)</small></th><th>error</th><th>dB</th><th>error</th><th>dB</th>"
        "<th>SSIM</th></tr>\n",
        p->out);
    for (size_t i = 0; i < p->c->n_models; i++)
        parts_row(p, i);
    (void)fputs("</table></div>\n<p class=\"dim\">error: root mean square of the difference, divided by the standard "
                "deviation of the reference's values; 1e-2 is one per cent.</p>\n",
                p->out);
}

/* ---- time and accuracies */

static void write_times(const page *p)
{
    FILE *out = p->out;
    (void)fputs("<h2>Time and memory</h2>\n<div class=\"scroll\"><table>\n<tr><th>model</th><th>open "
                "file<br><small>s</small></th>"
                "<th>first picture<br><small>s</small></th><th>later picture<br><small>s</small></th>"
                "<th>prompt<br><small>s</small></th><th>UNet pass<br><small>s</small></th>"
                "<th>passes of<br>a picture</th><th>decoding<br><small>s</small></th><th>process and "
                "device<br><small>MB, peak</small></th></tr>\n",
                out);
    for (size_t i = 0; i < p->c->n_models; i++) {
        const tt_comparison_model *m = &p->c->models[i];
        (void)fprintf(out, "<tr%s>", i == 0 ? " class=\"reference\"" : "");
        cell_name(out, m, i);
        (void)fprintf(out, "<td>%.3f</td><td>%.2f</td><td>%.2f</td><td>%.3f</td><td>%.3f</td><td>%u</td><td>%.3f</td>",
                      m->load_ms * 1e-3, m->first_picture_ms * 1e-3, m->picture_ms * 1e-3, m->text_ms * 1e-3,
                      m->pass_ms * 1e-3, m->n_unet_calls, m->decode_ms * 1e-3);
        (void)fprintf(out, "<td>%.1f</td></tr>\n", (double)m->peak_bytes * 1e-6);
    }
    (void)fputs("</table></div>\n", out);
}

static void write_accuracies(const page *p)
{
    FILE *out = p->out;
    const char *group;
    if (cli_compare_group(p->c, 0) == NULL)
        return;
    (void)fputs("<h2>Prompts painted right</h2>\n<div class=\"scroll\"><table>\n<tr><th>model</th>", out);
    for (size_t g = 0; (group = cli_compare_group(p->c, g)) != NULL; g++) {
        (void)fputs("<th>", out);
        cli_html_text(out, group);
        (void)fputs("</th>", out);
    }
    (void)fputs("</tr>\n", out);
    for (size_t i = 0; i < p->c->n_models; i++) {
        (void)fprintf(out, "<tr%s>", i == 0 ? " class=\"reference\"" : "");
        cell_name(out, &p->c->models[i], i);
        for (size_t g = 0; (group = cli_compare_group(p->c, g)) != NULL; g++)
            cell_share(out, cli_compare_share(&p->c->models[i], group));
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</table></div>\n<p class=\"dim\">Shares of prompts whose picture shows what was asked for, as judged "
                "apart from this comparison and given to it as a file.</p>\n",
                out);
}

/* ---- pictures */

/* |a - b| of every value, DIFFERENCE_GAIN times as large: black is equal. */
static cli_exit make_difference(const tt_image *a, const tt_image *b, tt_image *difference)
{
    size_t n = (size_t)a->width * a->height * a->n_channels;
    *difference = *a;
    difference->pixels = malloc(n);
    if (difference->pixels == NULL)
        return cli_fail_memory();
    for (size_t i = 0; i < n; i++) {
        int d = abs(a->pixels[i] - b->pixels[i]) * DIFFERENCE_GAIN;
        difference->pixels[i] = (uint8_t)(d > 255 ? 255 : d);
    }
    return CLI_OK;
}

static cli_exit write_image(const page *p, const tt_image *image, const char *about)
{
    cli_marks marks;
    cli_exit code = cli_marks_make_preview(p->options, image, &marks);
    if (code != CLI_OK)
        return code;
    code = cli_html_image(p->out, p->context, image, &marks.marks, about);
    cli_marks_free(&marks);
    return code;
}

static void write_caption(const page *p, size_t model, size_t prompt)
{
    const tt_comparison_model *m = &p->c->models[model];
    const tt_comparison_picture *picture = &m->pictures[prompt];
    (void)fprintf(p->out, "<figcaption><span class=\"key k%zu\"></span>", model % N_KEYS);
    cli_html_text(p->out, m->file_name);
    if (model == 0)
        (void)fputs("<br><small>reference</small>", p->out);
    else if (isinf(picture->psnr) && picture->psnr > 0)
        (void)fputs("<br><small>equal to the reference</small>", p->out);
    else
        (void)fprintf(p->out, "<br><small>%.2f dB, SSIM %.4f</small>", picture->psnr, picture->ssim);
    (void)fputs("</figcaption>\n", p->out);
}

static cli_exit write_figure(const page *p, size_t model, size_t prompt)
{
    const tt_image *image = &p->c->models[model].pictures[prompt].image;
    const tt_image *reference = &p->c->models[0].pictures[prompt].image;
    tt_image difference = {0};
    (void)fputs("<figure>", p->out);
    cli_exit code = write_image(p, image, p->c->prompts[prompt]);
    write_caption(p, model, prompt);
    if (code == CLI_OK && model > 0)
        code = make_difference(image, reference, &difference);
    if (code == CLI_OK && model > 0)
        code = write_image(p, &difference, "difference to the reference");
    tt_image_free(&difference);
    (void)fputs("</figure>\n", p->out);
    return code;
}

static cli_exit write_pictures(const page *p)
{
    const tt_comparison *c = p->c;
    size_t n = c->n_prompts < MAX_SHOWN ? c->n_prompts : MAX_SHOWN;
    cli_exit code = CLI_OK;
    (void)fprintf(p->out,
                  "<h2>Pictures</h2>\n<p>Below each picture its difference to the reference's, %d times as large; "
                  "black is equal.</p>\n",
                  DIFFERENCE_GAIN);
    for (size_t i = 0; i < n && code == CLI_OK; i++) {
        (void)fprintf(p->out, "<div class=\"together\"><p class=\"prompt\">%zu. ", i + 1);
        cli_html_text(p->out, c->prompts[i]);
        (void)fprintf(p->out, " <small>seed %lld</small></p>\n<div class=\"row\" style=\"--n:%zu\">\n",
                      (long long)((uint64_t)c->seed + i), c->n_models < 5 ? c->n_models : (size_t)5);
        for (size_t m = 0; m < c->n_models && code == CLI_OK; m++)
            code = write_figure(p, m, i);
        (void)fputs("</div></div>\n", p->out);
    }
    if (n < c->n_prompts)
        (void)fprintf(p->out, "<p class=\"dim\">The figures count %zu more prompts that are not shown.</p>\n",
                      c->n_prompts - n);
    return code;
}

/* ---- blocks */

/* A shade that grows with the logarithm of the error, from 1e-4 to 1. */
static void heat_cell(FILE *out, double error)
{
    if (isnan(error) || error == 0.0) {
        cell_error(out, error);
        return;
    }
    double shade = isinf(error) ? 1.0 : (log10(error) + 4.0) / 4.0;
    shade = shade < 0.0 ? 0.0 : shade > 1.0 ? 1.0 : shade;
    (void)fprintf(out, "<td class=\"heat\" style=\"--h:%.0f%%\">%.1e</td>", 60.0 * shade, error);
}

static void write_blocks(const page *p)
{
    const tt_comparison *c = p->c;
    FILE *out = p->out;
    (void)fputs("<h2>UNet, pass by pass and block by block</h2>\n<div class=\"scroll\"><table>\n<tr><th>timestep</th>",
                out);
    for (size_t i = 0; i < c->n_passes; i++)
        (void)fprintf(out, "<th>%.4g</th>", c->timesteps[i]);
    (void)fputs("</tr>\n", out);
    for (size_t m = 1; m < c->n_models; m++) {
        (void)fputs("<tr>", out);
        cell_name(out, &c->models[m], m);
        for (size_t i = 0; i < c->n_passes; i++)
            heat_cell(out, c->models[m].pass_errors[i]);
        (void)fputs("</tr>\n", out);
    }
    (void)fprintf(out,
                  "</table></div>\n<details><summary>Errors of the %zu blocks</summary>\n<div class=\"scroll\">"
                  "<table>\n<tr><th>block</th>",
                  c->n_layers);
    for (size_t m = 1; m < c->n_models; m++) {
        (void)fprintf(out, "<th class=\"file\"><span class=\"key k%zu\"></span>", m % N_KEYS);
        cli_html_text(out, c->models[m].file_name);
        (void)fputs("</th>", out);
    }
    (void)fputs("</tr>\n", out);
    for (size_t i = 0; i < c->n_layers; i++) {
        (void)fputs("<tr><td>", out);
        cli_html_text(out, c->layers[i]);
        (void)fputs("</td>", out);
        for (size_t m = 1; m < c->n_models; m++)
            heat_cell(out, cli_compare_layer(c, m, i));
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</table></div></details>\n", out);
}

/* ---- how it was measured */

static void write_method(const page *p)
{
    const tt_comparison *c = p->c;
    (void)fprintf(
        p->out,
        "<h2>How to read this</h2>\n<dl>\n"
        "<dt>PSNR</dt><dd>10 log10(255&sup2; / mean squared difference) of the 8-bit RGB pictures. Means leave out "
        "equal "
        "pictures, whose PSNR is infinite. The words beside it: 40 dB and more, 30, 20, less.</dd>\n"
        "<dt>SSIM</dt><dd>Structural similarity (Wang et al. 2004; Gaussian window 11&times;11, deviation 1.5), mean "
        "over windows and colour channels; 1 is equal. Of latents: with the range of the reference's latent.</dd>\n"
        "<dt>A low PSNR is not a bad picture.</dt><dd>Small errors early in a run can lead to another, equally good "
        "picture; look at the pictures and, where there is one, at the share of prompts painted right.</dd>\n"
        "<dt>UNet errors</dt><dd>The reference's own states at %zu moments of its runs of the first %zu prompts go "
        "through every UNet, with the prompt and without guidance, so that the errors are those of a single pass. Of "
        "blocks with more than 65,536 values as many, spread evenly, are compared.</dd>\n"
        "<dt>Text encoder, VAE decoder</dt><dd>The same tokens; the reference's final latents of the first %zu "
        "prompts. "
        "The decoder's dB are of values in &minus;1..1 before rounding to 8 bits.</dd>\n"
        "<dt>Bits per weight</dt><dd>All stored bytes of text encoder, UNet and VAE, scales included, times 8, divided "
        "by their parameters. The file is larger by its header and tokenizer.</dd>\n"
        "<dt>Weights</dt><dd>The type that most of the UNet's weights are stored as.</dd>\n"
        "<dt>Time and memory</dt><dd>Medians of the pictures after the first, which also uploads weights and builds "
        "kernels; UNet passes without each picture's first. Device peak: weights and activations held on the device "
        "while painting. Process and device: with the program's own memory, what this comparison keeps, and what "
        "drivers "
        "keep of the models before; a run of `tintype generate` alone tells its own.</dd>\n</dl>\n",
        c->n_passes, c->n_probed, c->n_probed);
    (void)fputs("<div class=\"scroll\"><table><tr><th>model</th><th>parameters<br><small>million</small></th>"
                "<th>activations</th><th style=\"text-align:left\">path</th></tr>\n",
                p->out);
    for (size_t i = 0; i < c->n_models; i++) {
        const tt_comparison_model *m = &c->models[i];
        (void)fputs("<tr>", p->out);
        cell_name(p->out, m, i);
        (void)fprintf(p->out, "<td>%.3f</td><td>%s</td><td class=\"words\">", (double)m->info.n_parameters * 1e-6,
                      tt_precision_name(m->info.precision));
        cli_html_text(p->out, m->path);
        (void)fputs("</td></tr>\n", p->out);
    }
    (void)fputs("</table></div>\n", p->out);
}

static void write_keys(const page *p)
{
    (void)fputs("<p class=\"keys\">", p->out);
    for (size_t i = 1; i < p->c->n_models; i++) {
        (void)fprintf(p->out, "<span><span class=\"key k%zu\"></span>", i % N_KEYS);
        cli_html_text(p->out, p->c->models[i].file_name);
        (void)fputs("</span> ", p->out);
    }
    (void)fputs("</p>\n", p->out);
}

static cli_exit write_page(const page *p)
{
    write_head(p);
    write_summary(p);
    (void)fputs("<h2>Size against fidelity</h2>\n", p->out);
    write_keys(p);
    (void)fputs("<div class=\"plots\">\n", p->out);
    cli_compare_plots(p->out, p->c);
    (void)fputs("</div>\n", p->out);
    cli_exit code = write_pictures(p);
    write_accuracies(p);
    write_parts(p);
    write_blocks(p);
    write_times(p);
    write_method(p);
    (void)fputs("</body>\n</html>\n", p->out);
    return code;
}

cli_exit cli_compare_write_page(const cli_options *options, tt_context *context, const tt_comparison *comparison)
{
    cli_new_file file = {0};
    cli_exit code = cli_new_file_open(&file, options->report);
    if (code != CLI_OK)
        return code;
    code = write_page(&(page){file.stream, options, context, comparison});
    if (code == CLI_OK)
        return cli_new_file_commit(&file);
    cli_new_file_abort(&file);
    return code;
}
