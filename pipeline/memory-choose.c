/* memory-choose.c - which mode, which VAE tiles and how many resident weights make a request fit. */
#include "pipeline/memory.h"

#include <string.h>

/* Everything of one search. */
typedef struct tt_search {
    tt_model *model;
    tt_forecasts *forecasts;
    const tt_memory_request *request;
    const tt_memory_room *room;
} tt_search;

static tt_status count(const tt_search *s, const tt_memory_choice *choice, tt_memory_phases *phases, tt_error *err)
{
    return tt_memory_count(s->model, s->forecasts, s->request, choice, phases, err);
}

static void keep_all(tt_memory_choice *choice)
{
    for (int i = 0; i < TT_N_PARTS; i++)
        choice->limits[i] = UINT64_MAX;
}

static uint32_t phase_of(int part)
{
    return part == TT_PART_UNET      ? TT_PHASE_DENOISE
           : part == TT_PART_ENCODER ? TT_PHASE_ENCODE
           : part == TT_PART_DECODER ? TT_PHASE_DECODE
                                     : TT_PHASE_TEXT;
}

/* ---- tiles: the whole picture, full-width bands, squares */

static const uint32_t tile_sides[] = {64, 48, 32, 24, 16};
enum { N_SIDES = sizeof tile_sides / sizeof *tile_sides, N_TILES = 1 + 2 * N_SIDES };

static tt_vae_tile tile_at(int index)
{
    if (index == 0)
        return (tt_vae_tile){0, 0};
    uint32_t side = tile_sides[(index - 1) % N_SIDES];
    return (tt_vae_tile){side, index <= N_SIDES ? 0 : side};
}

/* True when the tile is no larger than the caller wants and not the same as the one before it in the list. */
static bool is_candidate(const tt_search *s, int index)
{
    tt_vae_tile tile = tile_at(index), forced = s->request->forced_tile;
    uint32_t height = s->request->height / s->model->vae_config.factor;
    uint32_t width = s->request->width / s->model->vae_config.factor;
    if (forced.width && (tile.width == 0 || tile.width > forced.width))
        return false;
    return index == 0 || tile.height < height || (tile.width && tile.width < width);
}

/* True when the phase of a VAE half fits by itself. */
static bool half_fits(const tt_search *s, tt_part half, const tt_memory_phases *phases)
{
    tt_memory_phases alone = *phases;
    for (uint32_t i = 0; i < TT_N_PHASES; i++)
        alone.runs[i] = i == phase_of((int)half);
    return tt_memory_fits(s->room, &alone);
}

static tt_vae_tile *tile_of(tt_memory_choice *choice, tt_part half)
{
    return half == TT_PART_DECODER ? &choice->decoder_tile : &choice->encoder_tile;
}

/* Takes the first tile with which one half of the VAE fits by itself; the smallest when none does. */
static tt_status choose_tile(const tt_search *s, tt_part half, tt_memory_choice *choice, tt_error *err)
{
    if (!tt_memory_part_runs(s->model, s->request, half)) {
        *tile_of(choice, half) = (tt_vae_tile){0, 0};
        return TT_OK;
    }
    for (int i = 0; i < N_TILES; i++) {
        tt_memory_phases phases;
        if (!is_candidate(s, i))
            continue;
        *tile_of(choice, half) = tile_at(i);
        tt_status status = count(s, choice, &phases, err);
        if (status != TT_OK || half_fits(s, half, &phases))
            return status;
    }
    return TT_OK;
}

static void take_smallest_tiles(const tt_search *s, tt_memory_choice *choice)
{
    choice->decoder_tile = s->request->forced_tile;
    for (int i = N_TILES - 1; i >= 0; i--)
        if (is_candidate(s, i)) {
            choice->decoder_tile = tile_at(i);
            break;
        }
    choice->encoder_tile = s->request->has_image ? choice->decoder_tile : (tt_vae_tile){0, 0};
}

/* ---- streamed weights */

static uint64_t part_bytes(const tt_search *s, int part, uint64_t limit)
{
    tt_weight_sizes sizes = tt_model_part_sizes(s->model, s->forecasts, (tt_part)part, limit, TT_STREAM_SLOTS);
    return sizes.resident_bytes + sizes.n_slots * sizes.slot_bytes;
}

/* The limit with which a part takes least: letting the largest matrices stay makes slots smaller. */
static uint64_t smallest_limit(const tt_search *s, int part)
{
    enum { MAX_TRIES = 64 };
    uint64_t limit = 0, best = 0, least = part_bytes(s, part, 0);
    for (int i = 0; i < MAX_TRIES; i++) {
        tt_weight_sizes sizes = tt_model_part_sizes(s->model, s->forecasts, (tt_part)part, limit, TT_STREAM_SLOTS);
        if (sizes.slot_bytes == 0)
            break;
        limit += sizes.slot_bytes;
        uint64_t n_bytes = part_bytes(s, part, limit);
        if (n_bytes < least) {
            least = n_bytes;
            best = limit;
        }
    }
    uint64_t all = part_bytes(s, part, UINT64_MAX);
    return all <= least + TT_PACKING_BYTES ? UINT64_MAX : best;
}

/* The largest limit with which a part takes at most n_bytes, not below the smallest one. */
static uint64_t filling_limit(const tt_search *s, int part, uint64_t n_bytes)
{
    uint64_t low = smallest_limit(s, part), high = part_bytes(s, part, UINT64_MAX);
    if (low == UINT64_MAX || high <= n_bytes)
        return UINT64_MAX;
    for (int i = 0; i < 40 && high > low + 1; i++) {
        uint64_t middle = low + (high - low) / 2;
        if (part_bytes(s, part, middle) <= n_bytes)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Both halves of the VAE have one limit. */
static void share_limit(const tt_search *s, tt_memory_choice *choice)
{
    uint64_t *encoder = &choice->limits[TT_PART_ENCODER], *decoder = &choice->limits[TT_PART_DECODER];
    if (!tt_memory_part_runs(s->model, s->request, TT_PART_ENCODER))
        *encoder = *decoder;
    *encoder = *decoder = *encoder < *decoder ? *encoder : *decoder;
}

/* Gives each part whose phase does not fit what its phase leaves it. */
static tt_status choose_limits(const tt_search *s, tt_memory_choice *choice, tt_error *err)
{
    tt_memory_phases phases;
    tt_status status = count(s, choice, &phases, err);
    for (int part = 0; part < TT_N_PARTS && status == TT_OK; part++) {
        if (!tt_memory_part_runs(s->model, s->request, (tt_part)part))
            continue;
        uint64_t now = part_bytes(s, part, choice->limits[part]), limit = tt_memory_limit(s->room);
        uint64_t device = phases.device[phase_of(part)], room = s->room->device_available;
        uint64_t others = tt_memory_phase_total(s->room, &phases, phase_of(part)) - now;
        uint64_t left = limit > others ? limit - others : 0;
        if (now > left) /* packing at each use holds file pages */
            left -= left > TT_PACKING_BYTES ? TT_PACKING_BYTES : left;
        uint64_t left_on_device = room > device - now ? room - (device - now) : 0;
        choice->limits[part] = filling_limit(s, part, left < left_on_device ? left : left_on_device);
    }
    share_limit(s, choice);
    return status;
}

/* ---- the choice */

tt_status tt_memory_smallest(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *request,
                             const tt_memory_room *room, tt_memory_choice *choice, tt_memory_phases *phases,
                             tt_error *err)
{
    const tt_search s = {model, forecasts, request, room};
    *choice = (tt_memory_choice){.mode = TT_MEMORY_STREAMED};
    keep_all(choice);
    take_smallest_tiles(&s, choice);
    tt_status status = count(&s, choice, phases, err); /* makes the forecasts that sizes come from */
    for (int part = 0; part < TT_N_PARTS && status == TT_OK; part++)
        if (tt_memory_part_runs(model, request, (tt_part)part))
            choice->limits[part] = smallest_limit(&s, part);
    share_limit(&s, choice);
    bool streams = false;
    for (int part = 0; part < TT_N_PARTS; part++)
        streams = streams || choice->limits[part] != UINT64_MAX;
    choice->mode = streams ? TT_MEMORY_STREAMED : TT_MEMORY_SEQUENTIAL;
    return status == TT_OK ? count(&s, choice, phases, err) : status;
}

/* The streamed mode: limits, and where the VAE does not fit with all its weights, smaller tiles beside its ring. Asked
 * for without a budget, as little as possible stays. */
static tt_status choose_streamed(const tt_search *s, tt_memory_choice *choice, tt_memory_phases *phases, bool *fits,
                                 tt_error *err)
{
    tt_status status = TT_OK;
    choice->mode = TT_MEMORY_STREAMED;
    if (s->request->has_mode && s->room->budget == 0) {
        for (int part = 0; part < TT_N_PARTS; part++)
            if (tt_memory_part_runs(s->model, s->request, (tt_part)part))
                choice->limits[part] = 0;
    } else
        status = choose_limits(s, choice, err);
    if (status == TT_OK)
        status = count(s, choice, phases, err);
    *fits = status == TT_OK && tt_memory_fits(s->room, phases);
    if (status != TT_OK || *fits)
        return status;
    status = tt_memory_smallest(s->model, s->forecasts, s->request, s->room, choice, phases, err);
    *fits = status == TT_OK && tt_memory_fits(s->room, phases);
    return status;
}

/* One mode with the tiles as they are. */
static tt_status try_mode(const tt_search *s, tt_memory_mode mode, tt_memory_choice *choice, tt_memory_phases *phases,
                          bool *fits, tt_error *err)
{
    choice->mode = mode;
    if (mode == TT_MEMORY_STREAMED)
        return choose_streamed(s, choice, phases, fits, err);
    tt_status status = count(s, choice, phases, err);
    *fits = status == TT_OK && tt_memory_fits(s->room, phases);
    return status;
}

/* Everything stays because the caller wants it so: the decoder works in the largest tiles that fit beside. */
static tt_status force_resident(const tt_search *s, tt_memory_choice *choice, tt_memory_phases *phases, bool *fits,
                                tt_error *err)
{
    tt_status status = TT_OK;
    for (int i = 0; i < N_TILES && status == TT_OK && !*fits; i++) {
        if (!is_candidate(s, i))
            continue;
        choice->decoder_tile = tile_at(i);
        status = try_mode(s, TT_MEMORY_RESIDENT, choice, phases, fits, err);
    }
    return status;
}

/* Lets the UNet be packed while the text encoder runs where that does not raise the run's highest moment. A start
 * picture and a preview need the VAE in between: then it waits. */
static tt_status choose_early(const tt_search *s, tt_memory_choice *choice, tt_memory_phases *phases, tt_error *err)
{
    tt_memory_choice early = *choice;
    tt_memory_phases with;
    uint64_t peak, peak_with;
    if (choice->mode != TT_MEMORY_RESIDENT || s->request->has_image || s->request->preview)
        return TT_OK;
    early.packs_early = true;
    tt_status status = count(s, &early, &with, err);
    if (status != TT_OK || !tt_memory_fits(s->room, &with))
        return status;
    (void)tt_memory_peak_phase(s->room, phases, &peak);
    (void)tt_memory_peak_phase(s->room, &with, &peak_with);
    if (peak_with <= peak) {
        *choice = early;
        *phases = with;
    }
    return TT_OK;
}

tt_status tt_memory_choose(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *request,
                           const tt_memory_room *room, tt_memory_choice *choice, tt_memory_phases *phases, bool *fits,
                           tt_error *err)
{
    const tt_search s = {model, forecasts, request, room};
    *choice = (tt_memory_choice){.mode = TT_MEMORY_SEQUENTIAL};
    *fits = false;
    keep_all(choice);
    take_smallest_tiles(&s, choice);
    tt_status status = choose_tile(&s, TT_PART_ENCODER, choice, err);
    if (status == TT_OK)
        status = choose_tile(&s, TT_PART_DECODER, choice, err);
    for (int mode = TT_MEMORY_RESIDENT; mode <= TT_MEMORY_STREAMED && status == TT_OK && !*fits; mode++)
        if (!request->has_mode || request->mode == (tt_memory_mode)mode)
            status = try_mode(&s, (tt_memory_mode)mode, choice, phases, fits, err);
    if (status == TT_OK && !*fits && request->has_mode && request->mode == TT_MEMORY_RESIDENT)
        status = force_resident(&s, choice, phases, fits, err);
    return status == TT_OK && *fits ? choose_early(&s, choice, phases, err) : status;
}
