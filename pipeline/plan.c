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

static tt_status fill_part(tt_model *model, const tt_memory_plan *p, tt_part part, uint32_t n_passes,
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
    out->n_passes += n_passes;
    out->flops += f->step_flops;
    out->bytes_moved += f->step_bytes;
    plan->flops += f->static_flops + n_passes * f->step_flops;
    if (rates) {
        bool is_vae = part == TT_PART_ENCODER || part == TT_PART_DECODER;
        double load = tt_rates_load_seconds(rates, sizes.resident_bytes, 0);
        plan->load_seconds += load;
        out->seconds += n_passes * tt_rates_pass_seconds(rates, is_vae, f, sizes.streamed_bytes);
        plan->seconds += load;
    }
    return TT_OK;
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
    tt_status status = fill_part(model, p, TT_PART_TEXT, r->n_texts, rates, plan, &plan->text, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_TEXT_2, r->n_texts, rates, plan, &plan->text, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_ENCODER, n_encodes, rates, plan, &plan->vae_encoder, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_UNET, r->n_calls * r->n_images, rates, plan, &plan->unet, err);
    if (status == TT_OK)
        status = fill_part(model, p, TT_PART_DECODER, n_decodes, rates, plan, &plan->vae_decoder, err);
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
