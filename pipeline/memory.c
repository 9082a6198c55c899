/* memory.c - counts what a request takes, phase by phase, from forecasts of its parts. */
#include "pipeline/memory.h"
#include "base/system-memory.h"
#include "text-encoder/prompt.h"

/* What a driver keeps beside buffers, measured with PoCL 3.1 (LLVM 15): pages of its libraries touched by the first
 * program, every further program, every kernel object with its arguments. GPU drivers keep less. */
static const uint64_t first_program_bytes = 6500000, program_bytes = 1500000, kernel_bytes = 6000;

/* What nobody can foresee (fragments of the heap, stacks, the driver's own lists): a forecast that is a little too high
 * keeps a budget, one that is a little too low does not. */
static const uint64_t unforeseen_bytes = 4000000;

/* Programs in use up to the end of a phase; a VAE in float beside a half UNet brings its own. */
static const uint32_t programs_used[TT_N_PHASES] = {5, 9, 10, 11};
enum { PROGRAMS_OF_OTHER_STORAGE = 6 };

/* ---- room */

tt_memory_room tt_memory_look(const tt_model *model, uint64_t budget)
{
    const tt_device *device = model->context->device;
    tt_heap_trim();
    tt_process_memory process = tt_process_memory_now();
    uint64_t held = tt_device_bytes(device), free_bytes = tt_system_memory_available();
    const tt_caps *caps = tt_device_caps(device);
    tt_memory_room room = {.budget = budget,
                           .is_shared = tt_device_shares_memory(device),
                           .device_available = caps->global_bytes ? caps->global_bytes : UINT64_MAX,
                           .largest_buffer = caps->max_alloc_bytes ? caps->max_alloc_bytes : UINT64_MAX};
    room.base = process.resident;
    if (room.is_shared)
        room.base -= held < room.base ? held : room.base;
    room.available = free_bytes > UINT64_MAX - process.resident ? UINT64_MAX : free_bytes + process.resident;
    return room;
}

uint64_t tt_memory_phase_total(const tt_memory_room *room, const tt_memory_phases *phases, uint32_t phase)
{
    return room->base + phases->host[phase] + phases->programs[phase] + phases->device[phase];
}

uint32_t tt_memory_peak_phase(const tt_memory_room *room, const tt_memory_phases *phases, uint64_t *n_bytes)
{
    uint32_t peak = TT_PHASE_DENOISE;
    *n_bytes = 0;
    for (uint32_t i = 0; i < TT_N_PHASES; i++) {
        uint64_t total = phases->runs[i] ? tt_memory_phase_total(room, phases, i) : 0;
        if (total > *n_bytes) {
            *n_bytes = total;
            peak = i;
        }
    }
    return peak;
}

uint64_t tt_memory_limit(const tt_memory_room *room)
{
    return room->budget && room->budget < room->available ? room->budget : room->available;
}

static bool phase_fits(const tt_memory_room *room, const tt_memory_phases *phases, uint32_t phase)
{
    uint64_t total = tt_memory_phase_total(room, phases, phase), device = phases->device[phase];
    if (!phases->runs[phase])
        return true;
    if (device > room->device_available || (room->budget && total > room->budget))
        return false;
    return (room->is_shared ? total : total - device) <= room->available;
}

bool tt_memory_fits(const tt_memory_room *room, const tt_memory_phases *phases)
{
    for (uint32_t i = 0; i < TT_N_PHASES; i++)
        if (!phase_fits(room, phases, i))
            return false;
    return phases->largest_buffer <= room->largest_buffer;
}

/* ---- parts */

/* One part under a choice. */
typedef struct tt_part_bytes {
    uint64_t weights; /* on the device, and the ring that the others pass through */
    uint64_t arena, io;
    uint64_t kernels; /* objects of the driver */
    uint64_t packing; /* file pages while weights are packed: before activations are there, or beside them */
} tt_part_bytes;

static uint64_t all_of(const tt_part_bytes *part)
{
    return part->weights + part->arena + part->io;
}

static tt_status count_part(tt_model *model, tt_forecasts *forecasts, tt_part part, const tt_part_shape *shape,
                            uint64_t limit, tt_part_bytes *bytes, tt_memory_phases *phases, tt_error *err)
{
    const tt_graph_forecast *f = NULL;
    tt_status status = tt_model_forecast(model, forecasts, part, shape, &f, err);
    if (status != TT_OK)
        return status;
    tt_weight_sizes sizes = tt_model_part_sizes(model, forecasts, part, limit, TT_STREAM_SLOTS);
    *bytes = (tt_part_bytes){.weights = sizes.resident_bytes + sizes.n_slots * sizes.slot_bytes,
                             .arena = f->arena_bytes,
                             .io = f->io_bytes,
                             .kernels = (f->step.n_ops + f->short_step.n_ops) * kernel_bytes};
    uint64_t packed = sizes.streamed_bytes + sizes.resident_bytes, values = bytes->arena + bytes->io;
    bytes->packing = packed < TT_PACKING_BYTES ? packed : TT_PACKING_BYTES;
    if (sizes.streamed_bytes == 0)
        bytes->packing -= values < bytes->packing ? values : bytes->packing;
    if (f->arena_bytes > phases->largest_buffer)
        phases->largest_buffer = f->arena_bytes;
    return TT_OK;
}

/* Latent positions of a request. */
static tt_part_shape latent_shape(const tt_model *model, const tt_memory_request *r)
{
    return (tt_part_shape){.height = r->height / model->vae_config.factor,
                           .width = r->width / model->vae_config.factor};
}

/* Input of the VAE's half for one tile. */
static tt_part_shape tile_shape(const tt_model *model, const tt_memory_request *r, tt_vae_tile tile, tt_part part)
{
    tt_part_shape latent = latent_shape(model, r);
    tt_tiling t = tt_tiling_make(latent.height, latent.width, tile);
    uint32_t scale = part == TT_PART_ENCODER ? model->vae_config.factor : 1;
    return (tt_part_shape){.height = t.tile_height * scale, .width = t.tile_width * scale};
}

bool tt_memory_part_runs(const tt_model *model, const tt_memory_request *r, tt_part part)
{
    return tt_model_has_part(model, part) && (part != TT_PART_ENCODER || r->has_image);
}

tt_part_shape tt_memory_unet_shape(const tt_model *model, const tt_memory_request *r, bool is_guided)
{
    tt_part_shape shape = latent_shape(model, r);
    shape.batch = is_guided ? 2 : 1;
    shape.n_tokens = r->n_chunks * TT_CHUNK_TOKENS;
    shape.reuse_depth = r->calls.reuse_depth;
    shape.kv_downsample = r->calls.kv_downsample;
    return shape;
}

tt_part_shape tt_memory_part_shape(const tt_model *model, const tt_memory_request *r, const tt_memory_choice *choice,
                                   tt_part part)
{
    switch (part) {
    case TT_PART_TEXT:
    case TT_PART_TEXT_2:
        return (tt_part_shape){.batch = r->n_chunks, .n_tokens = TT_CHUNK_TOKENS};
    case TT_PART_UNET:
        return tt_memory_unet_shape(model, r, r->n_texts > 1);
    case TT_PART_ENCODER:
        return tile_shape(model, r, choice->encoder_tile, part);
    case TT_PART_DECODER:
    case TT_N_PARTS:
        break;
    }
    return tile_shape(model, r, choice->decoder_tile, part);
}

/* Guidance in a part of the run: the graph of the other calls takes the first one's place, and its kernels come on
 * top. */
static tt_status count_unguided(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *r,
                                const tt_memory_choice *choice, tt_part_bytes *unet, tt_memory_phases *phases,
                                tt_error *err)
{
    tt_part_bytes other;
    tt_part_shape shape = tt_memory_unet_shape(model, r, false);
    tt_status status =
        count_part(model, forecasts, TT_PART_UNET, &shape, choice->limits[TT_PART_UNET], &other, phases, err);
    if (status != TT_OK)
        return status;
    unet->kernels += other.kernels;
    if (other.arena + other.io > unet->arena + unet->io) {
        unet->arena = other.arena;
        unet->io = other.io;
    }
    return TT_OK;
}

static tt_status count_parts(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *r,
                             const tt_memory_choice *choice, tt_part_bytes parts[TT_N_PARTS], tt_memory_phases *phases,
                             tt_error *err)
{
    tt_status status = TT_OK;
    for (int i = 0; i < TT_N_PARTS && status == TT_OK; i++) {
        parts[i] = (tt_part_bytes){0};
        if (!tt_memory_part_runs(model, r, (tt_part)i))
            continue;
        tt_part_shape shape = tt_memory_part_shape(model, r, choice, (tt_part)i);
        status = count_part(model, forecasts, (tt_part)i, &shape, choice->limits[i], &parts[i], phases, err);
        if (status == TT_OK && i == TT_PART_UNET && r->calls.limits_guidance)
            status = count_unguided(model, forecasts, r, choice, &parts[i], phases, err);
    }
    return status;
}

/* ---- phases on the device */

/* What is on the device now, by owner. */
typedef struct tt_held {
    bool text[TT_MAX_CLIPS], unet, encoder, decoder;
    uint64_t others; /* buffers of other models */
    uint64_t own;    /* this model's */
} tt_held;

static tt_held look_at_model(const tt_model *model)
{
    tt_held held = {.unet = model->unet && tt_unet_weight_bytes(model->unet) > 0,
                    .encoder = model->vae && tt_vae_half_bytes(model->vae, false) > 0,
                    .decoder = model->vae && tt_vae_half_bytes(model->vae, true) > 0};
    uint64_t known = 0, all = tt_device_bytes(model->context->device);
    for (int i = 0; i < TT_MAX_CLIPS; i++) {
        uint64_t n_bytes = model->text[i].clip ? tt_clip_weight_bytes(model->text[i].clip) : 0;
        held.text[i] = n_bytes > 0;
        known += n_bytes;
    }
    if (held.unet)
        known += tt_unet_weight_bytes(model->unet) + tt_unet_arena_bytes(model->unet);
    if (model->vae)
        known += tt_vae_weight_bytes(model->vae);
    /* With one model everything is its own, also small arrays that no one counts. */
    held.own = model->context->n_models <= 1 || known > all ? all : known;
    held.others = all - held.own;
    return held;
}

/* Everything stays once it is there; large text encoders and large graphs leave. */
static void resident_phases(const tt_model *model, const tt_memory_request *r, const tt_memory_choice *choice,
                            const tt_part_bytes *parts, tt_memory_phases *p)
{
    tt_held held = look_at_model(model);
    uint64_t now = held.others + held.own;
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        now += held.text[i] ? 0 : all_of(&parts[TT_PART_TEXT + i]);
    const tt_part_bytes *unet = &parts[TT_PART_UNET];
    uint64_t new_unet = held.unet ? unet->arena + unet->io - tt_unet_arena_bytes(model->unet) : all_of(unet);
    p->device[TT_PHASE_TEXT] = now + (choice->packs_early ? new_unet : 0);
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        if (parts[TT_PART_TEXT + i].weights > TT_KEEP_TEXT_BYTES)
            now -= all_of(&parts[TT_PART_TEXT + i]);
    const tt_part_bytes *encoder = &parts[TT_PART_ENCODER], *decoder = &parts[TT_PART_DECODER];
    bool has_decoder = held.decoder || r->preview;
    now += has_decoder && !held.decoder ? decoder->weights : 0;
    if (r->has_image) {
        now += held.encoder ? 0 : encoder->weights;
        p->device[TT_PHASE_ENCODE] = now + encoder->arena + encoder->io;
    }
    now += new_unet;
    p->device[TT_PHASE_DENOISE] = now;
    if (unet->arena > TT_KEEP_UNET_BYTES)
        now -= unet->arena + unet->io;
    p->device[TT_PHASE_DECODE] = now + all_of(decoder) - (has_decoder ? decoder->weights : 0);
}

/* One part at a time. */
static void single_phases(const tt_model *model, const tt_part_bytes *parts, tt_memory_phases *p)
{
    uint64_t others = look_at_model(model).others;
    uint64_t first = all_of(&parts[TT_PART_TEXT]), second = all_of(&parts[TT_PART_TEXT_2]);
    p->device[TT_PHASE_TEXT] = others + (first > second ? first : second);
    p->device[TT_PHASE_ENCODE] = others + all_of(&parts[TT_PART_ENCODER]);
    p->device[TT_PHASE_DENOISE] = others + all_of(&parts[TT_PART_UNET]);
    p->device[TT_PHASE_DECODE] = others + all_of(&parts[TT_PART_DECODER]);
}

/* ---- phases in the process */

static void host_phases(const tt_model *model, const tt_memory_request *r, const tt_memory_choice *choice,
                        const tt_part_bytes *parts, tt_memory_phases *p)
{
    enum { FLOAT = sizeof(float), RUN_LATENTS = 12 }; /* noise, model outputs, a scheduler's history */
    uint64_t plane = (uint64_t)r->width * r->height;
    uint64_t positions = plane / model->vae_config.factor / model->vae_config.factor;
    uint64_t latent = positions * model->unet_config.out_channels * FLOAT;
    uint64_t condition = (uint64_t)r->n_texts * r->n_chunks * TT_CHUNK_TOKENS * model->unet_config.cross_attention_dim;
    uint64_t picture = r->has_image ? (3 + (r->has_mask ? 1u : 0u)) * plane * FLOAT : 0;
    uint64_t kept = r->n_images * latent + condition * FLOAT;
    tt_tiling t = tt_tiling_make((uint32_t)(r->height / model->vae_config.factor), r->width / model->vae_config.factor,
                                 choice->decoder_tile);
    bool tiled = t.n_rows > 1 || t.n_columns > 1;
    uint64_t tile = (uint64_t)t.tile_height * t.tile_width * model->vae_config.factor * model->vae_config.factor;
    p->host[TT_PHASE_TEXT] =
        kept + condition * FLOAT + parts[TT_PART_TEXT].packing + (choice->packs_early ? TT_PACKING_BYTES : 0);
    p->host[TT_PHASE_ENCODE] =
        kept + parts[TT_PART_ENCODER].packing + picture + (r->has_mask ? 3 * plane * FLOAT : 0) + 6 * latent;
    p->host[TT_PHASE_DENOISE] = kept + parts[TT_PART_UNET].packing + (RUN_LATENTS + 2u * r->n_texts) * latent;
    p->host[TT_PHASE_DECODE] = kept + parts[TT_PART_DECODER].packing + latent + r->n_images * 3 * plane +
                               3 * plane * FLOAT + (tiled ? 3 * tile * FLOAT : 0);
}

/* Programs in use up to the end of a phase. */
static uint32_t programs_of(const tt_model *model, const tt_memory_request *r, uint32_t phase)
{
    bool other_storage = tt_model_vae_is_half(model) != model->is_half;
    bool has_vae = phase == TT_PHASE_DECODE || (r->has_image && phase >= TT_PHASE_ENCODE);
    return programs_used[phase] + (other_storage && has_vae ? PROGRAMS_OF_OTHER_STORAGE : 0);
}

uint32_t tt_memory_programs(const tt_model *model, const tt_memory_request *request)
{
    return programs_of(model, request, TT_PHASE_DECODE);
}

static void program_phases(const tt_model *model, const tt_memory_request *r, const tt_part_bytes *parts,
                           tt_memory_phases *p)
{
    uint32_t loaded = (uint32_t)tt_device_n_programs(model->context->device);
    uint64_t kernels = 0;
    for (uint32_t i = 0; i < TT_N_PHASES; i++) {
        uint32_t used = programs_of(model, r, i);
        kernels += i == TT_PHASE_TEXT     ? parts[TT_PART_TEXT].kernels + parts[TT_PART_TEXT_2].kernels
                   : i == TT_PHASE_ENCODE ? parts[TT_PART_ENCODER].kernels
                                          : parts[i == TT_PHASE_DENOISE ? TT_PART_UNET : TT_PART_DECODER].kernels;
        p->programs[i] = unforeseen_bytes + kernels + (used > loaded ? (used - loaded) * program_bytes : 0);
        if (loaded == 0)
            p->programs[i] += first_program_bytes;
    }
}

tt_status tt_memory_count(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *request,
                          const tt_memory_choice *choice, tt_memory_phases *phases, tt_error *err)
{
    tt_part_bytes parts[TT_N_PARTS];
    *phases = (tt_memory_phases){.runs = {true, request->has_image, true, true}};
    tt_status status = count_parts(model, forecasts, request, choice, parts, phases, err);
    if (status != TT_OK)
        return status;
    if (choice->mode == TT_MEMORY_RESIDENT)
        resident_phases(model, request, choice, parts, phases);
    else
        single_phases(model, parts, phases);
    host_phases(model, request, choice, parts, phases);
    program_phases(model, request, parts, phases);
    return TT_OK;
}
