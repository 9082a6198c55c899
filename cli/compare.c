/* compare.c - `tintype compare`: what the smaller copies of a model cost. */
#include "cli/commands.h"
#include "cli/compare-report.h"
#include "cli/paths.h"
#include "cli/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PROMPTS = 1000, MAX_PROMPT_BYTES = 10000 };

/* Everything one `compare` holds. */
typedef struct job {
    const cli_options *options;
    cli_session session;
    tt_compare_params params;
    tt_model_params models[CLI_MAX_LIST];
    char vocabulary[CLI_PATH];
    char *prompt_text; /* the file, cut into lines */
    const char **prompts;
    size_t n_prompts;
    char *accuracy;
    tt_comparison *comparison;
    FILE *progress; /* NULL: shows nothing */
    bool is_terminal;
    uint32_t shown_model, shown_prompt;
} job;

/* ---- prompts */

/* For the built-in models: their own world of objects, places and backgrounds. */
static const char *const own_prompts[] = {
    "a cat on a blue background",     "a red apple on the left in a meadow", "a rocket at night",
    "a house and a tree in the snow", "a butterfly above a sunflower",       "a pizza on a yellow background"};

static bool is_built_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return strncmp(name, "tintype-mini", strlen("tintype-mini")) == 0 ||
           strncmp(name, "tintype-fast", strlen("tintype-fast")) == 0;
}

/* Cuts the text into lines, without comments and blanks around them; the text stays the prompts' memory. */
static cli_exit cut_lines(job *j)
{
    char *next = j->prompt_text;
    for (unsigned number = 1; next != NULL; number++) {
        char *line = next;
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        line += strspn(line, " \t\r");
        size_t n = strlen(line);
        while (n > 0 && strchr(" \t\r", line[n - 1]) != NULL)
            line[--n] = '\0';
        if (n == 0 || line[0] == '#')
            continue;
        if (n > MAX_PROMPT_BYTES)
            return cli_fail(CLI_FAILED, "%s: the prompt in line %u has %zu bytes; at most %d are taken",
                            j->options->prompts, number, n, MAX_PROMPT_BYTES);
        if (j->n_prompts == MAX_PROMPTS)
            return cli_fail(CLI_FAILED, "%s holds more than %d prompts", j->options->prompts, MAX_PROMPTS);
        j->prompts[j->n_prompts++] = line;
    }
    if (j->n_prompts == 0)
        return cli_fail(CLI_FAILED, "%s holds no prompt: one a line, lines that begin with # are left out",
                        j->options->prompts);
    return CLI_OK;
}

static cli_exit read_prompts(job *j)
{
    j->prompts = calloc(MAX_PROMPTS, sizeof *j->prompts);
    if (j->prompts == NULL)
        return cli_fail_memory();
    if (j->options->prompts == NULL) {
        j->n_prompts = sizeof own_prompts / sizeof own_prompts[0];
        memcpy(j->prompts, own_prompts, sizeof own_prompts);
        return CLI_OK;
    }
    cli_exit code = cli_read_text(j->options->prompts, "list of prompts", &j->prompt_text);
    return code == CLI_OK ? cut_lines(j) : code;
}

/* ---- before anything is loaded */

static cli_exit check_options(const cli_options *o)
{
    if (o->models.n < 2)
        return cli_fail(CLI_USAGE, "compare needs two models or more, the reference first: -m A -m B");
    if (o->vae != NULL && o->taesd != NULL)
        return cli_fail(CLI_USAGE, "--vae and --taesd both replace the VAE; give one of them");
    if (o->prompts == NULL && !is_built_in(o->models.items[0]))
        return cli_fail(CLI_USAGE, "%s needs prompts to be compared with: --prompts FILE, one prompt a line",
                        o->models.items[0]);
    if (o->seed < -1)
        return cli_fail(CLI_USAGE, "--seed takes 0 or more here: all models need the same seeds");
    return o->report ? cli_check_writable(o->report) : CLI_OK;
}

static void fill_models(job *j)
{
    const cli_options *o = j->options;
    bool has_vocabulary = cli_find_vocabulary(j->vocabulary);
    for (size_t i = 0; i < o->models.n; i++) {
        tt_model_params *m = &j->models[i];
        tt_model_params_default(m);
        m->path = o->models.items[i];
        m->taesd_path = o->taesd;
        m->vae_path = o->vae;
        m->precision = (tt_precision)o->precision;
        m->vae_tiling = o->vae_tiling;
        m->vocabulary_path = has_vocabulary ? j->vocabulary : NULL;
    }
}

static bool on_progress(void *user, const tt_compare_progress *report);

static void fill_params(job *j)
{
    const cli_options *o = j->options;
    tt_compare_params *p = &j->params;
    tt_compare_params_default(p);
    fill_models(j);
    p->models = j->models;
    p->n_models = o->models.n;
    p->prompts = j->prompts;
    p->n_prompts = j->n_prompts;
    p->negative_prompt = o->negative_prompt;
    p->width = o->width;
    p->height = o->height;
    p->n_steps = o->n_steps;
    p->cfg_scale = isnan(o->cfg_scale) ? -1.0f : (float)o->cfg_scale;
    p->sampler = o->sampler;
    p->schedule = o->schedule;
    p->seed = o->seed < 0 ? 0 : o->seed;
    p->memory_budget_bytes = o->memory_budget;
    p->accuracy = j->accuracy;
    p->progress = on_progress;
    p->progress_user = j;
}

/* ---- while it runs */

/* Where JSON goes to stdout, only a terminal on stderr is shown how far it is. */
static void begin_progress(job *j)
{
    FILE *stream = j->options->json ? stderr : stdout;
    j->is_terminal = isatty(fileno(stream)) != 0;
    j->progress = j->options->quiet || (j->options->json && !j->is_terminal) ? NULL : stream;
    j->shown_model = UINT32_MAX;
}

static void clear_progress(const job *j)
{
    if (j->progress != NULL && j->is_terminal)
        (void)fputs("\r\033[K", j->progress);
}

static bool on_progress(void *user, const tt_compare_progress *r)
{
    job *j = user;
    const char *name = j->options->models.items[r->model];
    bool is_new = r->model != j->shown_model || r->prompt != j->shown_prompt;
    if (cli_is_interrupted())
        return false;
    if (j->progress == NULL || (!is_new && !j->is_terminal))
        return true;
    clear_progress(j);
    (void)fprintf(j->progress, "%3.0f %%  model %u/%u ", 100.0 * r->fraction, r->model + 1, r->n_models);
    cli_print_plain(j->progress, strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
    if (r->prompt < r->n_prompts)
        (void)fprintf(j->progress, ", picture %u/%u", r->prompt + 1, r->n_prompts);
    else
        (void)fputs(", UNet and VAE alone", j->progress);
    if (!j->is_terminal)
        (void)fputc('\n', j->progress);
    (void)fflush(j->progress);
    j->shown_model = r->model;
    j->shown_prompt = r->prompt;
    return true;
}

static cli_exit explain(const job *j, tt_status status)
{
    if (cli_is_interrupted())
        return cli_fail(CLI_CANCELLED, "cancelled; nothing was written");
    return cli_fail_status(j->session.context, status);
}

static cli_exit show(job *j)
{
    const cli_options *o = j->options;
    cli_exit code = o->report ? cli_compare_write_page(o, j->session.context, j->comparison) : CLI_OK;
    if (code != CLI_OK)
        return code;
    if (o->json)
        cli_compare_print_json(stdout, j->comparison);
    else
        cli_compare_print(stdout, j->comparison);
    if (o->report && !o->json && !o->quiet)
        (void)printf("wrote %s\n", o->report);
    return CLI_OK;
}

static cli_exit run(job *j)
{
    cli_exit code = read_prompts(j);
    if (code == CLI_OK && j->options->accuracy != NULL)
        code = cli_read_text(j->options->accuracy, "list of accuracies", &j->accuracy);
    if (code == CLI_OK)
        code = cli_session_begin(j->options, &j->session);
    if (code == CLI_OK)
        code = cli_session_catch_signals(&j->session);
    if (code == CLI_OK)
        code = cli_session_open_device(j->options, &j->session);
    if (code != CLI_OK)
        return code;
    fill_params(j);
    begin_progress(j);
    tt_status status = tt_compare(j->session.context, &j->params, &j->comparison);
    clear_progress(j);
    return status == TT_OK ? show(j) : explain(j, status);
}

cli_exit cli_compare(const cli_options *options)
{
    job j = {.options = options};
    cli_exit code = check_options(options);
    if (code == CLI_OK)
        code = run(&j);
    tt_comparison_free(j.comparison);
    cli_session_end(&j.session);
    free(j.prompts);
    free(j.prompt_text);
    free(j.accuracy);
    return code;
}
