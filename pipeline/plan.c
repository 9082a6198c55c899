/* plan.c - tt_plan_make: what a request will take, for people and for callers that choose. */
#include "pipeline/rates.h"
#include "pipeline/request.h"

const char *tt_memory_mode_name(tt_memory_mode mode)
{
    static const char *const names[] = {"resident", "sequential", "streamed"};
    return (unsigned)mode < sizeof names / sizeof *names ? names[mode] : "unknown";
}

tt_status tt_memory_plan_make(tt_model *model, const tt_generate_params *params, tt_memory_plan *plan, tt_error *err)
{
    *plan = (tt_memory_plan){0};
    if (!model->context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    tt_status status = tt_request_sizes(model, params, &plan->request, err);
    if (status != TT_OK)
        return status;
    plan->room = tt_memory_look(model, params->memory_budget_bytes);
    status = tt_memory_choose(model, NULL, &plan->request, &plan->room, &plan->choice, &plan->phases, &plan->fits, err);
    if (status != TT_OK)
        return status;
    /* The first forecasts of a model have grown the process a little: the base is read again. */
    tt_memory_room later = tt_memory_look(model, params->memory_budget_bytes);
    if (later.base <= plan->room.base)
        return TT_OK;
    plan->room = later;
    return tt_memory_choose(model, NULL, &plan->request, &plan->room, &plan->choice, &plan->phases, &plan->fits, err);
}

/* ---- the public figures */

/* Passes of a part in one shape: whole ones, and short ones of a UNet that reuses. */
typedef struct tt_passes {
    uint32_t n_whole, n_short;
} tt_passes;

/* Puts n passes more into a part's mean. */
static void add_work(tt_plan_part *out, const tt_graph_work *work, uint32_t n)
{
    double before = out->n_passes;
    if (n == 0)
        return;
    out->n_passes += n;
    out->flops = (out->flops * before + n * work->flops) / out->n_passes;
    out->bytes_moved = (out->bytes_moved * before + n * work->bytes) / out->n_passes;
}

static double pass_seconds(const tt_rates *rates, tt_part part, const tt_graph_forecast *f, const tt_graph_work *work,
                           uint64_t streamed_bytes)
{
    double share = f->step.weight_bytes > 0 ? work->weight_bytes / f->step.weight_bytes : 0;
    return tt_rates_pass_seconds(rates, part == TT_PART_ENCODER || part == TT_PART_DECODER, work,
                                 (uint64_t)(share * (double)streamed_bytes));
}

/* Activations, work and time of a part's passes in one shape. */
static tt_status fill_passes(tt_model *model, const tt_memory_plan *p, tt_part part, const tt_part_shape *shape,
                             tt_passes passes, const tt_rates *rates, tt_plan *plan, tt_plan_part *out, tt_error *err)
{
    const tt_graph_forecast *f = NULL;
    tt_status status = tt_model_forecast(model, NULL, part, shape, &f, err);
    if (status != TT_OK || passes.n_whole + passes.n_short == 0)
        return status;
    tt_weight_sizes sizes = tt_model_part_sizes(model, NULL, part, p->choice.limits[part], TT_STREAM_SLOTS);
    add_work(out, &f->step, passes.n_whole);
    add_work(out, &f->short_step, passes.n_short);
    plan->flops += f->static_flops + passes.n_whole * f->step.flops + passes.n_short * f->short_step.flops;
    if (rates)
        out->seconds += passes.n_whole * pass_seconds(rates, part, f, &f->step, sizes.streamed_bytes) +
                        passes.n_short * pass_seconds(rates, part, f, &f->short_step, sizes.streamed_bytes);
    return TT_OK;
}

/* Weights and activations of a part; its passes are whole ones of its usual shape. */
static tt_status fill_part(tt_model *model, const tt_memory_plan *p, tt_part part, tt_passes passes,
                           const tt_rates *rates, tt_plan *plan, tt_plan_part *out, tt_error *err)
{
    const tt_graph_forecast *f = NULL;
    if (!tt_memory_part_runs(model, &p->request, part))
        return TT_OK;
    tt_part_shape shape = tt_memory_part_shape(model, &p->request, &p->choice, part);
    tt_status status = tt_model_forecast(model, NULL, part, &shape, &f, err);
    if (status != TT_OK)
        return status;
    tt_weight_sizes sizes = tt_model_part_sizes(model, NULL, part, p->choice.limits[part], TT_STREAM_SLOTS);
    out->weight_bytes += sizes.resident_bytes + sizes.streamed_bytes;
    out->resident_bytes += sizes.resident_bytes;
    out->ring_bytes += sizes.n_slots * sizes.slot_bytes;
    out->activation_bytes += f->arena_bytes + f->io_bytes;
    if (rates) {
        double load = tt_rates_load_seconds(rates, sizes.resident_bytes, 0);
        plan->load_seconds += load;
        plan->seconds += load;
    }
    return fill_passes(model, p, part, &shape, passes, rates, plan, out, err);
}

/* The UNet's passes: guided ones and others, whole ones and others. */
static tt_status fill_unet(tt_model *model, const tt_memory_plan *p, const tt_rates *rates, tt_plan *plan,
                           tt_error *err)
{
    const tt_memory_request *r = &p->request;
    tt_call_counts calls = tt_call_plan_count(&r->calls, r->n_calls);
    uint32_t usual = r->n_texts > 1, n = r->n_images;
    tt_part_shape other = tt_memory_unet_shape(model, r, !usual);
    tt_status status = fill_part(model, p, TT_PART_UNET, (tt_passes){n * calls.whole[usual], n * calls.reusing[usual]},
                                 rates, plan, &plan->unet, err);
    if (status != TT_OK || !r->calls.limits_guidance)
        return status;
    return fill_passes(model, p, TT_PART_UNET, &other, (tt_passes){n * calls.whole[!usual], n * calls.reusing[!usual]},
                       rates, plan, &plan->unet, err);
}

static uint32_t count_tiles(const tt_model *model, const tt_memory_request *r, tt_vae_tile tile)
{
    uint32_t f = model->vae_config.factor;
    tt_tiling t = tt_tiling_make(r->height / f, r->width / f, tile);
    return t.n_rows * t.n_columns;
}

static tt_status fill_parts(tt_model *model, const tt_memory_plan *p, const tt_rates *rates, tt_plan *plan,
                            tt_error *err)
{
    const tt_memory_request *r = &p->request;
    uint32_t n_encodes = count_tiles(model, r, p->choice.encoder_tile) * (r->has_mask ? 2 : 1);
    uint32_t n_decodes = count_tiles(model, r, p->choice.decoder_tile) * r->n_images;
    tt_status status = fill_part(model, p, TT_PART_TEXT, (tt_passes){r->n_texts, 0}, rates, plan, &plan->text, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_TEXT_2, (tt_passes){r->n_texts, 0}, rates, plan, &plan->text, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_ENCODER, (tt_passes){n_encodes, 0}, rates, plan, &plan->vae_encoder, err);
    if (status == TT_OK)
        status = fill_unet(model, p, rates, plan, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_DECODER, (tt_passes){n_decodes, 0}, rates, plan, &plan->vae_decoder, err);
    if (rates) {
        double programs = tt_rates_load_seconds(rates, 0, tt_memory_programs(model, r));
        plan->load_seconds += programs;
        plan->seconds += programs;
    }
    plan->seconds += plan->text.seconds + plan->vae_encoder.seconds + plan->unet.seconds + plan->vae_decoder.seconds;
    return status;
}

static void fill_memory(const tt_model *model, const tt_memory_plan *p, tt_plan *plan)
{
    const tt_memory_choice *c = &p->choice;
    uint32_t peak = tt_memory_peak_phase(&p->room, &p->phases, &plan->peak_bytes);
    tt_vae_tile usual = {model->vae_tiling ? TT_USUAL_TILE : 0, model->vae_tiling ? TT_USUAL_TILE : 0};
    plan->fits = p->fits;
    plan->mode = c->mode;
    plan->peak_phase = (tt_phase)peak;
    plan->device_bytes = p->phases.device[peak];
    plan->host_bytes = p->phases.host[peak];
    plan->program_bytes = p->phases.programs[peak];
    plan->base_bytes = p->room.base;
    for (uint32_t i = 0; i < TT_N_PHASES; i++)
        plan->phase_bytes[i] = p->phases.runs[i] ? tt_memory_phase_total(&p->room, &p->phases, i) : 0;
    plan->budget_bytes = p->room.budget;
    plan->available_bytes = p->room.available;
    plan->n_unet_calls = p->request.n_calls * p->request.n_images;
    plan->tile_height = c->decoder_tile.height;
    plan->tile_width = c->decoder_tile.width;
    plan->encoder_tile_height = c->encoder_tile.height;
    plan->encoder_tile_width = c->encoder_tile.width;
    plan->is_tiled_to_fit = c->decoder_tile.height != usual.height || c->decoder_tile.width != usual.width ||
                            (p->request.has_image && c->encoder_tile.height != usual.height);
}

/* What does not fit and whether times are wanted are the caller's affairs. */
static tt_status fill(tt_model *model, const tt_memory_plan *memory, const tt_rates *rates, tt_plan *plan,
                      tt_error *err)
{
    fill_memory(model, memory, plan);
    return fill_parts(model, memory, rates, plan, err);
}

static tt_status begin(tt_model *model, const tt_generate_params *params, tt_memory_plan *memory, tt_error *err)
{
    tt_status status = tt_request_check(model, params, err);
    return status == TT_OK ? tt_memory_plan_make(model, params, memory, err) : status;
}

tt_status tt_plan_make(tt_model *model, const tt_generate_params *params, bool with_seconds, tt_plan *plan)
{
    tt_error *err = tt_context_begin(model->context);
    const tt_rates *rates = NULL;
    tt_memory_plan memory;
    *plan = (tt_plan){0};
    tt_status status = begin(model, params, &memory, err);
    if (status == TT_OK && with_seconds && memory.fits)
        status = tt_rates_need(model, &rates, err);
    if (status == TT_OK)
        status = fill(model, &memory, rates, plan, err);
    return status == TT_OK && !plan->fits ? tt_memory_refuse(model, &memory, err) : status;
}

tt_status tt_plan_fill(tt_model *model, const tt_generate_params *params, const tt_rates *rates, tt_plan *plan,
                       tt_error *err)
{
    tt_memory_plan memory;
    tt_status status = begin(model, params, &memory, err);
    return status == TT_OK ? fill(model, &memory, rates, plan, err) : status;
}
