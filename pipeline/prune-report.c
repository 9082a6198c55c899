/* prune-report.c - what a structural pruning measured and did, for the caller and as a file. */
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "pipeline/prune-structured.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ranking_format[] = "tintype pruning 1";

/* ---- the caller's report */

static bool is_removed(const tt_unet_config *c, const tt_unet_unit *unit)
{
    if (unit->kind == TT_UNIT_RESIDUAL)
        return !tt_unet_has_residual(c, unit->place);
    if (unit->kind == TT_UNIT_ATTENTION)
        return !tt_unet_has_attention(c, unit->place);
    return !tt_unet_has_transformer(c, unit->place, unit->layer);
}

static void fill_unit(const tt_pruning *p, const tt_prune_candidate *c, tt_quantize_unit *out)
{
    const tt_unet_config *config = &p->job->model->unet_config;
    char name[TT_MAX_NAME];
    tt_unet_unit_name(config, &c->unit, name);
    *out = (tt_quantize_unit){.change = c->alone,
                              .n_values = c->n_values_alone,
                              .flops = c->flops_alone,
                              .is_removed = is_removed(config, &c->unit),
                              .n_heads = c->heads ? c->heads->n_heads : 0,
                              .n_heads_kept = c->heads ? c->heads->n_heads - c->heads->n_cut : 0};
    snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, name);
}

/* What a unit costs for what it saves, as it was ranked. */
static double price(const tt_quantize_report *r, const tt_quantize_unit *u)
{
    double gain = 0.5 * (double)u->n_values / (double)r->unet_values_in + 0.5 * u->flops / r->unet_flops_in;
    return u->change / (gain + 1e-12);
}

/* Insertion sort, cheapest first: there are some hundred units. */
static void sort_units(tt_quantize_report *r)
{
    for (size_t i = 1; i < r->n_units; i++)
        for (size_t k = i; k > 0 && price(r, &r->units[k]) < price(r, &r->units[k - 1]); k--) {
            tt_quantize_unit unit = r->units[k];
            r->units[k] = r->units[k - 1];
            r->units[k - 1] = unit;
        }
}

static tt_status fill_report(const tt_pruning *p, tt_quantize_report *r, tt_error *err)
{
    r->unet_values_in = p->n_values_whole;
    r->unet_values_out = p->n_values;
    r->unet_flops_in = p->flops_whole;
    r->unet_flops_out = p->flops;
    r->structure_change = p->change;
    if (p->n_candidates == 0)
        return TT_OK;
    r->units = calloc(p->n_candidates, sizeof *r->units);
    if (!r->units)
        return tt_fail_memory(err, "a ranking", p->n_candidates * sizeof *r->units);
    for (size_t i = 0; i < p->n_candidates; i++)
        if (p->candidates[i].n_measured_at != SIZE_MAX)
            fill_unit(p, &p->candidates[i], &r->units[r->n_units++]);
    sort_units(r);
    return TT_OK;
}

/* ---- the file */

/* JSON has no infinity. */
static double finite(double value)
{
    return isfinite(value) ? value : 1e30;
}

static json_t *unit_of(const tt_quantize_report *r, const tt_quantize_unit *u)
{
    json_t *unit =
        json_pack("{s:s, s:f, s:I, s:f, s:f, s:b}", "name", u->name, "change", finite(u->change), "parameters",
                  (json_int_t)u->n_values, "flops", u->flops, "price", finite(price(r, u)), "removed", u->is_removed);
    if (unit && u->n_heads > 0) {
        (void)json_object_set_new(unit, "heads", json_integer((json_int_t)u->n_heads));
        (void)json_object_set_new(unit, "heads_kept", json_integer((json_int_t)u->n_heads_kept));
    }
    return unit;
}

static char *text_of(const tt_pruning *p, const tt_quantize_report *r)
{
    json_t *units = json_array();
    for (size_t i = 0; i < r->n_units; i++)
        (void)json_array_append_new(units, unit_of(r, &r->units[i]));
    bool complete = json_array_size(units) == r->n_units;
    json_t *root =
        json_pack("{s:s, s:s, s:f, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:o}", "format", ranking_format, "model",
                  p->job->model->name, "share", p->share, "parameters", (json_int_t)r->unet_values_in,
                  "parameters_left", (json_int_t)r->unet_values_out, "flops", r->unet_flops_in, "flops_left",
                  r->unet_flops_out, "change", finite(r->structure_change), "states", (json_int_t)p->probe.n_states,
                  "latent_side", (json_int_t)p->probe.shape.height, "units", units);
    char *text = root && complete ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    return text;
}

static tt_status write_file(const char *path, const char *text, tt_error *err)
{
    tt_new_file file = {0};
    tt_status status = tt_new_file_open(&file, path, err);
    if (status != TT_OK)
        return status;
    status = tt_new_file_write(&file, text, strlen(text), err);
    if (status == TT_OK)
        return tt_new_file_commit(&file, err);
    tt_new_file_abort(&file);
    return status;
}

static tt_status write_ranking(const tt_pruning *p, const tt_quantize_report *r, tt_error *err)
{
    tt_text path = {0};
    tt_text_format(&path, "%s.pruning.json", p->job->params->output);
    char *text = text_of(p, r);
    tt_status status = tt_text_status(&path, err);
    if (status == TT_OK && !text)
        status = tt_fail_memory(err, "the ranking of blocks", 0);
    if (status == TT_OK)
        status = write_file(path.bytes, text, err);
    free(text);
    tt_text_free(&path);
    return status;
}

tt_status tt_pruning_report(const tt_pruning *p, tt_error *err)
{
    tt_quantize_report *r = p->job->report;
    tt_status status = fill_report(p, r, err);
    return status == TT_OK && r->n_units > 0 ? write_ranking(p, r, err) : status;
}
