/* quantize.c - `tintype quantize MODEL -o FILE`: a model as one smaller file. */
#include "cli/commands.h"
#include "cli/paths.h"
#include "cli/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { BAR_CELLS = 24, SHOWN_LAYERS = 12 };

/* What is shown while it runs. */
typedef struct view {
    FILE *stream; /* NULL: nothing */
    bool is_terminal;
    int last_phase, last_tenth;
} view;

/* ---- progress */

static void draw_bar(const view *v, const tt_quantize_progress *p, const char *verb, double share)
{
    int filled = (int)(share * BAR_CELLS);
    (void)fprintf(v->stream, "\r\033[K%-11s [", verb);
    for (int i = 0; i < BAR_CELLS; i++)
        (void)fputc(i < filled ? '=' : i == filled ? '>' : ' ', v->stream);
    (void)fprintf(v->stream, "] %3.0f%%  ", share * 100.0);
    if (p->done > 0)
        (void)fprintf(v->stream, "%.0f s left  ", p->phase_ms * (1.0 / share - 1.0) * 1e-3);
    if (p->name != NULL) {
        char name[49];
        (void)snprintf(name, sizeof name, "%s", p->name);
        cli_print_plain(v->stream, name);
    }
    (void)fflush(v->stream);
}

static bool show(void *user, const tt_quantize_progress *p)
{
    static const char *const verbs[] = {"calibrating", "measuring", "writing"};
    view *v = user;
    double share = p->total > 0 ? (double)p->done / (double)p->total : 0.0;
    int tenth = (int)(share * 10.0);
    if (v->stream != NULL && v->is_terminal)
        draw_bar(v, p, verbs[p->phase], share);
    else if (v->stream != NULL && ((int)p->phase != v->last_phase || tenth >= v->last_tenth + 2)) {
        (void)fprintf(v->stream, "%s %.0f%%\n", verbs[p->phase], share * 100.0);
        (void)fflush(v->stream);
        v->last_phase = (int)p->phase;
        v->last_tenth = tenth;
    }
    return !cli_is_interrupted();
}

static void clear(const view *v)
{
    if (v->stream != NULL && v->is_terminal)
        (void)fputs("\r\033[K", v->stream);
}

/* ---- the report */

static void print_types(const tt_quantize_report *r)
{
    for (uint32_t i = 0; i < r->n_types; i++) {
        const tt_quantize_type_report *t = &r->types[i];
        (void)printf("  %-5s %5llu tensors  %10.1f MB  %5.2f bits a weight", t->type, (unsigned long long)t->n_tensors,
                     (double)t->n_bytes * 1e-6, t->n_values ? 8.0 * (double)t->n_bytes / (double)t->n_values : 0.0);
        if (t->error > 0.0)
            (void)printf("  error %.2e (%.1f dB)", t->error, -10.0 * log10(t->error));
        if (t->plain > 0.0)
            (void)printf("  plain rounding %+.0f%%", (t->plain - 1.0) * 100.0);
        if (t->unweighted > 0.0)
            (void)printf("  without calibration %+.0f%%", (t->unweighted - 1.0) * 100.0);
        (void)fputc('\n', stdout);
    }
}

static void print_layers(const tt_quantize_report *r)
{
    if (r->n_layers == 0)
        return;
    (void)printf("most sensitive layers (mean squared change of the picture for the chosen type)\n");
    for (size_t i = 0; i < r->n_layers && i < SHOWN_LAYERS; i++) {
        (void)printf("  %9.2e  %-5s ", r->layers[i].error, r->layers[i].type);
        cli_print_plain(stdout, r->layers[i].name);
        (void)fputc('\n', stdout);
    }
    (void)printf("expected      %.1f dB", r->predicted_db);
    if (r->measured_db > 0.0)
        (void)printf(", measured on small pictures %.1f dB", r->measured_db);
    (void)fputc('\n', stdout);
}

/* What of a UNet was left out, and what was cheap to leave out. */
static void print_structure(const tt_quantize_report *r)
{
    if (r->unet_values_in == 0)
        return;
    if (r->n_units > 0)
        (void)printf(
            "cheapest parts of the UNet to leave out (alone: change of its output, its parameters and work)\n");
    for (size_t i = 0; i < r->n_units && i < SHOWN_LAYERS; i++) {
        const tt_quantize_unit *u = &r->units[i];
        (void)printf("  %9.2e  %5.2f%%  %5.2f%%  ", u->change, 100.0 * (double)u->n_values / (double)r->unet_values_in,
                     100.0 * u->flops / r->unet_flops_in);
        cli_print_plain(stdout, u->name);
        if (u->n_heads > 0 && !u->is_removed)
            (void)printf("  (a quarter of its heads; %u of %u stay)", u->n_heads_kept, u->n_heads);
        (void)printf("%s\n", u->is_removed ? "  left out" : "");
    }
    (void)printf("UNet          %.2f of %.2f M parameters (-%.1f%%), %.2f of %.2f GFLOP a pass (-%.1f%%)\n",
                 (double)r->unet_values_out * 1e-6, (double)r->unet_values_in * 1e-6,
                 100.0 - 100.0 * (double)r->unet_values_out / (double)r->unet_values_in, r->unet_flops_out * 1e-9,
                 r->unet_flops_in * 1e-9, 100.0 - 100.0 * r->unet_flops_out / r->unet_flops_in);
    (void)printf("its output    changed by %.3g (squared, relative), before anything is rounded\n",
                 r->structure_change);
}

static void print_report(const char *output, const tt_quantize_report *r)
{
    print_structure(r);
    print_layers(r);
    print_types(r);
    if (r->n_prunable > 0)
        (void)printf(
            "pruned        %.1f%% of the pruned layers' weights are 0; zlib makes the file %.0f%% of its size; "
            "it runs no faster\n",
            100.0 * (double)r->n_pruned / (double)r->n_prunable, 100.0 * r->compressed_share);
    (void)printf("wrote         ");
    cli_print_plain(stdout, output);
    (void)printf("  %.1f MB from %.1f MB, %.1f s\n", (double)r->bytes_out * 1e-6, (double)r->bytes_in * 1e-6,
                 (r->structure_ms + r->calibrate_ms + r->measure_ms + r->write_ms) * 1e-3);
}

static void print_structure_json(const tt_quantize_report *r)
{
    if (r->unet_values_in > 0)
        (void)printf("\"unet_parameters_in\": %llu, \"unet_parameters_out\": %llu, \"unet_flops_in\": %.9g, "
                     "\"unet_flops_out\": %.9g, \"structure_change\": %.9g, ",
                     (unsigned long long)r->unet_values_in, (unsigned long long)r->unet_values_out, r->unet_flops_in,
                     r->unet_flops_out, isfinite(r->structure_change) ? r->structure_change : 1e30);
}

static void print_json(const tt_quantize_report *r)
{
    (void)printf(
        "{\"bytes_in\": %llu, \"bytes_out\": %llu, \"error\": %.9g, \"n_pruned\": %llu, \"n_prunable\": %llu, ",
        (unsigned long long)r->bytes_in, (unsigned long long)r->bytes_out, r->error, (unsigned long long)r->n_pruned,
        (unsigned long long)r->n_prunable);
    print_structure_json(r);
    (void)printf("\"compressed_share\": %.4g, \"predicted_db\": %.4g, \"measured_db\": %.4g, ", r->compressed_share,
                 r->predicted_db, r->measured_db);
    (void)printf("\"calibrate_ms\": %.0f, \"measure_ms\": %.0f, \"write_ms\": %.0f, \"types\": [", r->calibrate_ms,
                 r->measure_ms, r->write_ms);
    for (uint32_t i = 0; i < r->n_types; i++) {
        const tt_quantize_type_report *t = &r->types[i];
        (void)printf("%s{\"type\": \"%s\", \"n_tensors\": %llu, \"n_values\": %llu, \"n_bytes\": %llu, ", i ? ", " : "",
                     t->type, (unsigned long long)t->n_tensors, (unsigned long long)t->n_values,
                     (unsigned long long)t->n_bytes);
        (void)printf("\"error\": %.9g, \"plain\": %.6g, \"unweighted\": %.6g}", t->error, t->plain, t->unweighted);
    }
    (void)printf("]}\n");
}

/* ---- the request */

/* "900MB", "1.5GB", "900000000" or "30dB". */
static cli_exit read_budget(const char *text, tt_quantize_params *p)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1.0},     {"B", 1.0},       {"kB", 1e3},      {"MB", 1e6}, {"GB", 1e9},
                 {"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"M", 1e6},  {"G", 1e9}};
    char *end = NULL;
    double value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : 0.0;
    if (value > 0.0 && strcasecmp(end, "dB") == 0) {
        p->fidelity_db = value;
        return CLI_OK;
    }
    for (size_t i = 0; value > 0.0 && i < sizeof units / sizeof units[0]; i++)
        if (strcasecmp(end, units[i].unit) == 0 && value * units[i].factor < 1e15) {
            p->size_budget = (uint64_t)(value * units[i].factor);
            return CLI_OK;
        }
    return cli_fail(CLI_USAGE, "--mixed takes a size as 900MB or a fidelity as 30dB, not \"%.40s\"", text);
}

static cli_exit take_options(const cli_options *o, char *prompts, view *v, tt_quantize_params *p)
{
    tt_quantize_params_default(p);
    p->model.path = o->words[0];
    p->model.taesd_path = o->taesd;
    p->model.vae_path = o->vae;
    p->output = o->output;
    p->type = o->weight_type;
    p->rules = o->rules;
    p->pure = o->pure;
    p->plain_fit = o->fit == 1;
    p->prompts = prompts;
    p->prune = isnan(o->prune) ? 0.0f : (float)o->prune;
    p->prune_structured = o->prune_structured;
    p->table = o->table;
    p->n_threads = o->n_threads;
    p->progress = show;
    p->progress_user = v;
    return o->budget ? read_budget(o->budget, p) : CLI_OK;
}

static cli_exit check_options(const cli_options *o)
{
    if (o->output == NULL)
        return cli_fail(CLI_USAGE, "quantize needs -o FILE, the GGUF file to write");
    if (o->weight_type == NULL && o->budget == NULL)
        return cli_fail(CLI_USAGE, "quantize needs --type TYPE (q8_0, q4_k, ...) or --mixed BUDGET (900MB, 30dB)");
    return cli_check_writable(o->output);
}

static cli_exit run(const cli_options *o, char *prompts, cli_session *session)
{
    char vocabulary[CLI_PATH];
    view v = {.stream = o->quiet || o->json ? NULL : stdout, .last_phase = -1};
    tt_quantize_params params;
    tt_quantize_report report;
    v.is_terminal = v.stream != NULL && isatty(fileno(v.stream)) != 0;
    cli_exit code = take_options(o, prompts, &v, &params);
    if (code == CLI_OK)
        code = cli_session_begin(o, session);
    if (code == CLI_OK)
        code = cli_session_catch_signals(session);
    bool has_table = o->table != NULL && access(o->table, R_OK) == 0;
    if (code == CLI_OK && (o->prompts != NULL || o->prune_structured != NULL || (o->budget != NULL && !has_table)))
        code = cli_session_open_device(o, session);
    if (code != CLI_OK)
        return code;
    if (cli_find_vocabulary(vocabulary))
        params.model.vocabulary_path = vocabulary;
    tt_status status = tt_quantize(session->context, &params, &report);
    clear(&v);
    if (status != TT_OK && cli_is_interrupted())
        return cli_fail(CLI_CANCELLED, "cancelled; %s was not written", o->output);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (o->json)
        print_json(&report);
    else if (!o->quiet)
        print_report(o->output, &report);
    tt_quantize_report_free(&report);
    return CLI_OK;
}

cli_exit cli_quantize(const cli_options *options)
{
    cli_session session = {0};
    char *prompts = NULL;
    cli_exit code = check_options(options);
    if (code == CLI_OK && options->prompts != NULL)
        code = cli_read_text(options->prompts, "list of prompts", &prompts);
    if (code == CLI_OK)
        code = run(options, prompts, &session);
    cli_session_end(&session);
    free(prompts);
    return code;
}
