/* prune-structured.c - whole residual blocks, transformer blocks and attention heads are left out of a UNet: those that
 * were named, or those that change its output least for what they save, one after the other, each measured together
 * with what is out already (as BK-SDM ranks blocks, Kim et al., arXiv 2305.15798, but on the UNet's output). */
#include "pipeline/prune-structured.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRESH_PER_ROUND = 6, /* candidates at most that are measured anew before one of them is taken */
    HEAD_STEPS = 4       /* heads are cut in steps of this part of a layer's heads */
};

/* ---- sizes */

typedef struct sizes {
    uint64_t n_values, n_bytes; /* parameters, as they are stored */
    double flops;               /* of one pass over one picture of the model's own size */
} sizes;

static uint32_t latent_side(const tt_model *m)
{
    uint32_t shorter = m->default_width < m->default_height ? m->default_width : m->default_height;
    return shorter / m->vae_config.factor;
}

static tt_status size_of(const tt_model *m, const tt_unet_config *config, sizes *out, tt_error *err)
{
    static const tt_kernels planned = {.storage = TT_STORAGE_F16, .family = TT_FAMILY_CPU_TILE};
    uint32_t side = latent_side(m);
    const tt_unet_shape shape = {.batch = 1, .height = side, .width = side, .n_tokens = 77};
    tt_weight_store *store = NULL;
    tt_graph_forecast forecast;
    tt_status status = tt_unet_forecast(&planned, config, m->unet_weights, &shape, &store, &forecast, err);
    if (status == TT_OK)
        *out = (sizes){.flops = forecast.step.flops};
    for (size_t i = 0; status == TT_OK && i < tt_weight_store_n_tensors(store); i++) {
        const tt_listed_tensor *t = tt_weight_store_tensor(store, i);
        uint64_t n = 1;
        for (uint32_t k = 0; k < t->n_dims; k++)
            n *= t->dims[k];
        out->n_values += n;
        tt_weight weight;
        if (tt_weights_peek(m->unet_weights, t->name, &weight))
            out->n_bytes += weight.tensor.n_bytes;
    }
    tt_weight_store_destroy(store);
    return status;
}

/* Latent positions that the attention behind a place sees. */
static double positions_at(const tt_model *m, uint32_t place)
{
    const tt_unet_config *c = &m->unet_config;
    uint32_t mid = tt_unet_mid_place(c, 0), up = tt_unet_up_place(c, 0, 0), side = latent_side(m);
    uint32_t level = place < mid  ? place / c->layers_per_block
                     : place < up ? c->n_blocks - 1
                                  : c->n_blocks - 1 - (place - up) / (c->layers_per_block + 1);
    for (; level > 0; level--)
        side = (side + 1) / 2;
    return (double)side * side;
}

/* What n heads of a layer take. Keys and values of prompts are not computed at every pass. */
static sizes heads_size(const tt_model *m, const tt_head_layer *l, uint32_t n)
{
    double p = positions_at(m, l->unit.place), channels = (double)n * l->size;
    double per_position = l->unit.is_cross ? 4.0 * l->width + 4.0 * 77.0 : 8.0 * l->width + 4.0 * p;
    return (sizes){.n_values = tt_head_layer_values(l, n), .flops = p * channels * per_position};
}

/* What is left of the UNet: blocks, less the cut heads of those that are there. */
static tt_status left_of(const tt_pruning *p, const tt_unet_removed *removed, sizes *left, tt_error *err)
{
    const tt_model *m = p->job->model;
    tt_unet_config config = m->unet_config;
    config.removed = *removed;
    tt_status status = size_of(m, &config, left, err);
    for (size_t i = 0; i < p->heads.n_layers && status == TT_OK; i++) {
        const tt_head_layer *l = &p->heads.layers[i];
        if (l->n_cut == 0 || !tt_unet_has_transformer(&config, l->unit.place, l->unit.layer))
            continue;
        sizes cut = heads_size(m, l, l->n_cut);
        left->n_values -= cut.n_values;
        left->flops -= cut.flops;
    }
    return status;
}

/* ---- candidates */

static tt_status add_candidate(tt_pruning *p, tt_unet_unit unit, tt_error *err)
{
    tt_prune_candidate *larger = realloc(p->candidates, (p->n_candidates + 1) * sizeof *larger);
    if (!larger)
        return tt_fail_memory(err, "a list of blocks", (p->n_candidates + 1) * sizeof *larger);
    p->candidates = larger;
    larger[p->n_candidates] = (tt_prune_candidate){.unit = unit, .n_measured_at = SIZE_MAX};
    if (unit.kind == TT_UNIT_HEADS)
        larger[p->n_candidates].heads = tt_head_list_find(&p->heads, &unit);
    p->n_candidates++;
    return TT_OK;
}

/* Whole attention modules are candidates of their own where they have several transformer blocks. */
static tt_status add_attention(tt_pruning *p, uint32_t place, tt_error *err)
{
    const tt_unet_config *c = &p->job->model->unet_config;
    uint32_t n_layers = tt_unet_place_at(c, place).n_layers;
    tt_status status = TT_OK;
    if (n_layers > 1 && tt_unet_has_attention(c, place))
        status = add_candidate(p, (tt_unet_unit){.kind = TT_UNIT_ATTENTION, .place = place}, err);
    for (uint32_t i = 0; i < n_layers; i++) {
        if (!tt_unet_has_transformer(c, place, i))
            continue;
        if (status == TT_OK)
            status = add_candidate(p, (tt_unet_unit){TT_UNIT_TRANSFORMER, place, i, false}, err);
        for (int cross = 0; cross < 2 && status == TT_OK && p->heads.can_try; cross++)
            status = add_candidate(p, (tt_unet_unit){TT_UNIT_HEADS, place, i, cross == 1}, err);
    }
    return status;
}

static tt_status list_candidates(tt_pruning *p, tt_error *err)
{
    const tt_unet_config *c = &p->job->model->unet_config;
    uint32_t n_places = tt_unet_n_places(c);
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < n_places && status == TT_OK; i++) {
        if (tt_unet_has_residual(c, i))
            status = add_candidate(p, (tt_unet_unit){.kind = TT_UNIT_RESIDUAL, .place = i}, err);
        if (status == TT_OK)
            status = add_attention(p, i, err);
    }
    return status;
}

static uint32_t step_of(const tt_head_layer *l)
{
    return l->n_heads / HEAD_STEPS > 0 ? l->n_heads / HEAD_STEPS : 1;
}

/* Heads that the next step would cut in all; 0: no more can go. */
static uint32_t next_cut(const tt_head_layer *l)
{
    uint32_t n = l->n_cut + step_of(l);
    return n < l->n_heads ? n : 0;
}

/* What would be removed with a candidate; false when it cannot go (any more). */
static bool with_candidate(const tt_pruning *p, const tt_prune_candidate *c, tt_unet_removed *removed)
{
    tt_unet_config config = p->job->model->unet_config;
    tt_error unused = {""};
    config.removed = p->removed;
    bool is_there = c->unit.kind == TT_UNIT_RESIDUAL ? tt_unet_has_residual(&config, c->unit.place)
                    : c->unit.kind == TT_UNIT_ATTENTION
                        ? tt_unet_has_attention(&config, c->unit.place)
                        : tt_unet_has_transformer(&config, c->unit.place, c->unit.layer);
    if (!is_there || (c->heads && next_cut(c->heads) == 0))
        return false;
    if (c->unit.kind != TT_UNIT_HEADS && tt_unet_remove(&config, &c->unit, &unused) != TT_OK)
        return false;
    *removed = config.removed;
    return true;
}

/* What each candidate would save now. */
static tt_status weigh(tt_pruning *p, tt_error *err)
{
    sizes now = {0}, after = {0};
    tt_status status = left_of(p, &p->removed, &now, err);
    for (size_t i = 0; i < p->n_candidates && status == TT_OK; i++) {
        tt_prune_candidate *c = &p->candidates[i];
        tt_unet_removed removed;
        c->is_gone = !with_candidate(p, c, &removed);
        if (c->is_gone)
            continue;
        if (c->heads) {
            after = heads_size(p->job->model, c->heads, next_cut(c->heads) - c->heads->n_cut);
            after.n_values = now.n_values - after.n_values;
            after.flops = now.flops - after.flops;
        } else {
            status = left_of(p, &removed, &after, err);
        }
        c->n_values = now.n_values - after.n_values;
        c->flops = now.flops - after.flops;
    }
    p->n_values = now.n_values;
    p->flops = now.flops;
    return status;
}

/* ---- measuring */

static tt_status measure(tt_pruning *p, tt_prune_candidate *c, tt_error *err)
{
    tt_unet_removed removed;
    char name[TT_MAX_NAME];
    double change = INFINITY;
    tt_unet_unit_name(&p->job->model->unet_config, &c->unit, name);
    uint64_t total = 2 * p->n_candidates;
    tt_status status =
        tt_job_report(p->job, TT_QUANTIZE_MEASURE, p->n_measured < total ? p->n_measured : total, total, name, err);
    if (status == TT_OK && !with_candidate(p, c, &removed))
        return TT_OK;
    if (status == TT_OK && c->heads)
        status = tt_head_list_try(&p->heads, c->heads, next_cut(c->heads), err);
    if (status == TT_OK)
        status = tt_prune_probe_change(&p->probe, &removed, &change, err);
    if (status == TT_OK && c->heads)
        status = tt_head_list_try(&p->heads, c->heads, c->heads->n_cut, err);
    c->change = change;
    c->n_measured_at = p->n_removed;
    p->n_measured++;
    if (p->n_removed == 0) {
        c->alone = change;
        c->n_values_alone = c->n_values;
        c->flops_alone = c->flops;
    }
    /* An effect that the candidate had before counts as the rise that it made then. */
    c->rise = change - p->change > 0.0 ? change - p->change : 0.0;
    return status;
}

static tt_status measure_all(tt_pruning *p, tt_error *err)
{
    tt_status status = weigh(p, err);
    for (size_t i = 0; i < p->n_candidates && status == TT_OK; i++)
        if (!p->candidates[i].is_gone)
            status = measure(p, &p->candidates[i], err);
    return status;
}

/* ---- choosing */

/* Rise of the change for each part of the UNet that is saved: the mean of its parts of parameters and of work. Values
 * beyond the goal count for nothing. */
static double price(const tt_pruning *p, const tt_prune_candidate *c, uint64_t n_wanted)
{
    double n = (double)(c->n_values < n_wanted ? c->n_values : n_wanted);
    double gain = 0.5 * n / (double)p->n_values_whole + 0.5 * c->flops / p->flops_whole;
    return (c->rise + 1e-12) / (gain + 1e-12);
}

static tt_prune_candidate *cheapest(const tt_pruning *p, uint64_t n_wanted, bool only_fresh)
{
    tt_prune_candidate *best = NULL;
    for (size_t i = 0; i < p->n_candidates; i++) {
        tt_prune_candidate *c = &p->candidates[i];
        if (c->is_gone || c->n_values == 0 || (only_fresh && c->n_measured_at != p->n_removed))
            continue;
        if (!best || price(p, c, n_wanted) < price(p, best, n_wanted))
            best = c;
    }
    return best;
}

static tt_status take(tt_pruning *p, tt_prune_candidate *c, tt_error *err)
{
    tt_unet_removed removed;
    char name[TT_MAX_NAME];
    if (!with_candidate(p, c, &removed))
        return TT_OK;
    tt_unet_unit_name(&p->job->model->unet_config, &c->unit, name);
    if (c->heads) {
        c->heads->n_cut = next_cut(c->heads);
        tt_status status = tt_head_list_try(&p->heads, c->heads, c->heads->n_cut, err);
        if (status != TT_OK)
            return status;
    }
    size_t *larger = realloc(p->taken, (p->n_removed + 1) * sizeof *larger);
    if (!larger)
        return tt_fail_memory(err, "a list of blocks", (p->n_removed + 1) * sizeof *larger);
    p->taken = larger;
    p->taken[p->n_removed++] = (size_t)(c - p->candidates);
    p->removed = removed;
    p->change = c->change;
    tt_log_write(&p->job->context->log, TT_LOG_INFO, "left out %s%s: %llu values less, change %.3g", name,
                 c->heads ? " (heads)" : "", (unsigned long long)c->n_values, c->change);
    return weigh(p, err);
}

/* One removal: old measurements tell where to look, new ones decide. */
static tt_status choose_next(tt_pruning *p, uint64_t n_wanted, tt_error *err)
{
    tt_status status = TT_OK;
    tt_prune_candidate *best = cheapest(p, n_wanted, false);
    for (int i = 0; i < FRESH_PER_ROUND && status == TT_OK && best && best->n_measured_at != p->n_removed; i++) {
        status = measure(p, best, err);
        best = cheapest(p, n_wanted, false);
    }
    if (status == TT_OK && best && best->n_measured_at != p->n_removed)
        best = cheapest(p, n_wanted, true);
    if (status == TT_OK && (!best || !isfinite(best->change)))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a share of %.3g cannot be pruned: only %.3g of this UNet's parameters are in blocks and heads "
                       "that can go",
                       p->share, 1.0 - (double)p->n_values / (double)p->n_values_whole);
    return status == TT_OK ? take(p, best, err) : status;
}

/* ---- giving back: the last block may have been larger than needed, so that an earlier one need not have gone */

/* A block that comes back has the heads again that it had in the input. */
static void restore_heads(const tt_pruning *p, uint32_t place, uint32_t layer, tt_unet_removed *removed)
{
    const tt_unet_removed *given = &p->job->model->unet_config.removed;
    for (uint32_t i = 0; i < given->n_head_cuts; i++)
        if (given->head_cuts[i].place == place && given->head_cuts[i].layer == layer)
            removed->head_cuts[removed->n_head_cuts++] = given->head_cuts[i];
}

/* What would be removed, and how many heads of its layer cut, with one step taken back; false when that is no step of
 * its own any more. */
static bool without_candidate(const tt_pruning *p, const tt_prune_candidate *c, tt_unet_removed *removed,
                              uint32_t *n_cut)
{
    uint32_t place = c->unit.place, layer = c->unit.layer;
    *removed = p->removed;
    *n_cut = c->heads && c->heads->n_cut >= step_of(c->heads) ? c->heads->n_cut - step_of(c->heads) : 0;
    if (c->unit.kind == TT_UNIT_RESIDUAL)
        removed->residuals &= ~(UINT64_C(1) << place);
    if (c->unit.kind == TT_UNIT_TRANSFORMER && (removed->transformers[place] >> layer & 1) != 0) {
        removed->transformers[place] &= ~(UINT64_C(1) << layer);
        restore_heads(p, place, layer, removed);
    }
    return c->unit.kind != TT_UNIT_ATTENTION && (!c->heads || (removed->transformers[place] >> layer & 1) == 0);
}

/* Sets a layer's cut for a trial, in the books and on the device. */
static tt_status set_cut(const tt_pruning *p, tt_head_layer *l, uint32_t n_cut, tt_error *err)
{
    if (!l)
        return TT_OK;
    l->n_cut = n_cut;
    return tt_head_list_try(&p->heads, l, n_cut, err);
}

/* The change with a step taken back; infinite where the goal would then be missed. */
static tt_status measure_without(tt_pruning *p, const tt_prune_candidate *c, uint64_t goal, double *change,
                                 tt_error *err)
{
    tt_unet_removed removed;
    sizes left = {0};
    uint32_t n_cut = 0, before = c->heads ? c->heads->n_cut : 0;
    *change = INFINITY;
    if (!without_candidate(p, c, &removed, &n_cut))
        return TT_OK;
    if (c->heads)
        c->heads->n_cut = n_cut;
    tt_status status = left_of(p, &removed, &left, err);
    if (c->heads)
        c->heads->n_cut = before;
    if (status != TT_OK || left.n_values > goal)
        return status;
    status = set_cut(p, c->heads, n_cut, err);
    if (status == TT_OK)
        status = tt_prune_probe_change(&p->probe, &removed, change, err);
    return status == TT_OK ? set_cut(p, c->heads, before, err) : status;
}

/* Takes back the step that helps most; *found is false when none helps. */
static tt_status give_one_back(tt_pruning *p, uint64_t goal, bool *found, tt_error *err)
{
    tt_status status = TT_OK;
    size_t best = 0;
    double least = p->change;
    *found = false;
    for (size_t i = 0; i < p->n_removed && status == TT_OK; i++) {
        double change = INFINITY;
        status = measure_without(p, &p->candidates[p->taken[i]], goal, &change, err);
        if (status == TT_OK && change < least) {
            least = change;
            best = i;
            *found = true;
        }
    }
    if (status != TT_OK || !*found)
        return status;
    tt_prune_candidate *c = &p->candidates[p->taken[best]];
    tt_unet_removed removed;
    uint32_t n_cut = 0;
    if (without_candidate(p, c, &removed, &n_cut))
        status = set_cut(p, c->heads, n_cut, err);
    p->removed = removed;
    p->change = least;
    memmove(&p->taken[best], &p->taken[best + 1], (--p->n_removed - best) * sizeof *p->taken);
    return status == TT_OK ? weigh(p, err) : status;
}

static tt_status choose_share(tt_pruning *p, tt_error *err)
{
    uint64_t goal = (uint64_t)((1.0 - p->share) * (double)p->n_values_whole);
    tt_status status = TT_OK;
    bool found = true;
    while (status == TT_OK && p->n_values > goal)
        status = choose_next(p, p->n_values - goal, err);
    while (status == TT_OK && found)
        status = give_one_back(p, goal, &found, err);
    return status;
}

/* ---- named units */

static tt_status fail_name(const char *name, tt_error *err)
{
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "\"%.100s\" cannot be pruned: give a share as 0.25, or names of blocks of this UNet such as "
                   "mid_block.resnets.1, up_blocks.1.attentions.0, or an attention layer and the heads to keep, "
                   "mid_block.attentions.0.transformer_blocks.0.attn1:4, with commas between them",
                   name);
}

/* "LAYER:N": so many heads stay. */
static tt_status take_heads(tt_pruning *p, const tt_unet_unit *unit, const char *name, const char *count, tt_error *err)
{
    char *end = NULL;
    tt_head_layer *l = tt_head_list_find(&p->heads, unit);
    unsigned long n = count && *count >= '0' && *count <= '9' ? strtoul(count, &end, 10) : 0;
    if (!l || !end || *end != '\0')
        return fail_name(name, err);
    if (n == 0 || n > l->n_heads)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s has %u heads, of which 1 to %u can be kept", l->name, l->n_heads,
                       l->n_heads);
    l->n_cut = l->n_heads - (uint32_t)n;
    return TT_OK;
}

static tt_status take_name(tt_pruning *p, char *name, tt_error *err)
{
    tt_unet_config config = p->job->model->unet_config;
    tt_unet_unit unit;
    char *colon = strchr(name, ':');
    if (colon)
        *colon = '\0';
    bool is_known = tt_unet_unit_find(&config, name, &unit);
    if (is_known && unit.kind == TT_UNIT_HEADS)
        return take_heads(p, &unit, name, colon ? colon + 1 : NULL, err);
    if (!is_known || colon)
        return fail_name(name, err);
    config.removed = p->removed;
    tt_status status = tt_unet_remove(&config, &unit, err);
    p->removed = config.removed;
    return status;
}

static tt_status take_names(tt_pruning *p, const char *names, tt_error *err)
{
    char *copy = NULL, *rest = NULL;
    if (!tt_string_copy(names, &copy))
        return tt_fail_memory(err, "names of blocks", strlen(names));
    tt_status status = TT_OK;
    for (char *name = strtok_r(copy, ", \t\r\n", &rest); name && status == TT_OK;
         name = strtok_r(NULL, ", \t\r\n", &rest))
        status = take_name(p, name, err);
    free(copy);
    return status;
}

/* ---- the new architecture */

/* The model is from here on the pruned one, its weights too. */
static tt_status change_model(tt_pruning *p, tt_error *err)
{
    tt_model *m = p->job->model;
    tt_unet_config config = m->unet_config;
    tt_status status = TT_OK;
    config.removed = p->removed;
    for (size_t i = 0; i < p->heads.n_layers && status == TT_OK; i++) {
        tt_head_layer *l = &p->heads.layers[i];
        if (!tt_unet_has_transformer(&config, l->unit.place, l->unit.layer))
            l->n_cut = 0;
        if (l->n_cut > 0)
            status = tt_unet_keep_heads(&config, &l->unit, l->n_heads - l->n_cut, err);
    }
    if (status == TT_OK)
        status = tt_head_list_cut(&p->heads, p->job->params->output, err);
    if (status != TT_OK)
        return status;
    tt_unet_destroy(m->unet);
    m->unet = NULL;
    m->unet_config = config;
    return TT_OK;
}

/* Builds and runs what will be written. */
static tt_status check_result(tt_pruning *p, tt_error *err)
{
    tt_model *m = p->job->model;
    sizes left = {0};
    tt_status status = tt_model_need_unet(m, err);
    if (status == TT_OK)
        status = tt_prune_probe_change(&p->probe, &m->unet_config.removed, &p->change, err);
    if (status == TT_OK)
        status = size_of(m, &m->unet_config, &left, err);
    p->n_values = left.n_values;
    p->flops = left.flops;
    /* The list of tensors to write will not have these. */
    if (status == TT_OK && left.n_bytes < p->n_bytes_whole)
        p->job->n_bytes_left_out = p->n_bytes_whole - left.n_bytes;
    tt_unet_destroy(m->unet);
    m->unet = NULL;
    return status;
}

static tt_status whole_size(tt_pruning *p, tt_error *err)
{
    sizes whole = {0};
    tt_status status = size_of(p->job->model, &p->job->model->unet_config, &whole, err);
    p->n_bytes_whole = whole.n_bytes;
    p->n_values_whole = p->n_values = whole.n_values;
    p->flops_whole = p->flops = whole.flops;
    return status;
}

/* A number is a share; anything else names units. */
static tt_status read_request(tt_pruning *p, bool *is_share, tt_error *err)
{
    const char *text = p->job->params->prune_structured;
    char *end = NULL;
    *is_share = (text[0] >= '0' && text[0] <= '9') || text[0] == '.' || text[0] == '-' || text[0] == '+';
    if (!*is_share)
        return text[strspn(text, ", \t\r\n")] == '\0' ? fail_name(text, err) : TT_OK;
    p->share = strtod(text, &end);
    if (end == text || *end != '\0' || !(p->share > 0.0 && p->share <= 0.9))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a share of \"%.40s\" of a UNet cannot be pruned: it goes from above 0 to 0.9; 0.25 is usual",
                       text);
    return TT_OK;
}

static tt_status run(tt_pruning *p, tt_error *err)
{
    bool is_share = false;
    tt_status status = read_request(p, &is_share, err);
    if (status == TT_OK)
        status = tt_head_list_create(&p->probe, &p->heads, err);
    if (status == TT_OK && !is_share)
        status = take_names(p, p->job->params->prune_structured, err);
    if (status == TT_OK)
        status = tt_prune_probe_create(p->job, &p->probe, err);
    if (status == TT_OK)
        status = tt_head_list_look(&p->heads, err);
    if (status == TT_OK)
        status = whole_size(p, err);
    if (status == TT_OK && is_share && !p->heads.can_try)
        tt_log_write(&p->job->context->log, TT_LOG_WARNING,
                     "attention heads are left alone because the weights are quantized; prune a file of f16 or f32");
    if (status == TT_OK && is_share)
        status = list_candidates(p, err);
    if (status == TT_OK && is_share)
        status = measure_all(p, err);
    if (status == TT_OK && is_share)
        status = choose_share(p, err);
    if (status == TT_OK)
        status = change_model(p, err);
    return status == TT_OK ? check_result(p, err) : status;
}

static void free_pruning(tt_pruning *p)
{
    tt_head_list_free(&p->heads);
    tt_prune_probe_free(&p->probe);
    free(p->candidates);
    free(p->taken);
}

tt_status tt_job_prune_structured(tt_quantize_job *job, tt_error *err)
{
    tt_pruning p = {.job = job, .probe = {.model = job->model}, .removed = job->model->unet_config.removed};
    double started = tt_job_now_ms();
    tt_job_begin_phase(job);
    if (!job->model->has_unet)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s has no UNet, so there is nothing to prune by blocks",
                       tt_model_files_path(job->model->files));
    tt_status status = run(&p, err);
    if (status == TT_OK)
        status = tt_pruning_report(&p, err);
    job->report->structure_ms = tt_job_now_ms() - started;
    free_pruning(&p);
    return status;
}
