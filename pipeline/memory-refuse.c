/* memory-refuse.c - the sentence of a request that does not fit, with ways that would. */
#include "base/text.h"
#include "pipeline/memory.h"

#include <stdio.h>

enum { MAX_WAYS = 3, MAX_FOUND = 8 };

/* Megabytes, rounded up so that a budget of that many is enough. */
static unsigned long long megabytes(uint64_t n_bytes)
{
    return n_bytes / 1000000 + (n_bytes % 1000000 != 0);
}

/* A change of the request or model, and what it takes then. */
typedef struct tt_way {
    char text[160];
    uint64_t n_bytes;
    bool fits;
} tt_way;

typedef struct tt_ways {
    tt_model *model;
    const tt_memory_plan *plan;
    tt_way found[MAX_FOUND];
    int n_found;
} tt_ways;

/* The least that a changed request takes. */
static tt_status weigh(const tt_ways *w, tt_forecasts *forecasts, const tt_memory_request *request, tt_way *way,
                       tt_error *err)
{
    tt_memory_choice choice;
    tt_memory_phases phases;
    tt_status status = tt_memory_smallest(w->model, forecasts, request, &w->plan->room, &choice, &phases, err);
    if (status != TT_OK)
        return status;
    (void)tt_memory_peak_phase(&w->plan->room, &phases, &way->n_bytes);
    way->fits = tt_memory_fits(&w->plan->room, &phases);
    return TT_OK;
}

/* The request as it is, with more room. */
static void more_room(tt_ways *w)
{
    const tt_memory_room *room = &w->plan->room;
    tt_way *way = &w->found[w->n_found++];
    (void)tt_memory_peak_phase(room, &w->plan->phases, &way->n_bytes);
    way->fits = true;
    (void)snprintf(way->text, sizeof way->text,
                   way->n_bytes <= room->available ? "a budget of at least %llu MB" : "%llu MB of free memory",
                   megabytes(way->n_bytes));
}

/* The largest smaller picture that fits, or the smallest one looked at. */
static tt_status smaller_picture(tt_ways *w, tt_error *err)
{
    const tt_memory_request *asked = &w->plan->request;
    uint32_t factor = w->model->vae_config.factor, unit = factor < 64 ? 64 : factor;
    tt_memory_request r = *asked;
    tt_way way = {.n_bytes = 0};
    for (uint32_t eighths = 7; eighths >= 1 && !way.fits; eighths--) {
        uint32_t width = asked->width * eighths / 8, height = asked->height * eighths / 8;
        uint32_t step = width >= unit && height >= unit ? unit : factor;
        width = width / step * step;
        height = height / step * step;
        if (width == 0 || height == 0 || (width == r.width && height == r.height))
            continue;
        r.width = width;
        r.height = height;
        tt_status status = weigh(w, NULL, &r, &way, err);
        if (status != TT_OK)
            return status;
    }
    if (way.n_bytes == 0)
        return TT_OK;
    (void)snprintf(way.text, sizeof way.text, "-W %u -H %u", r.width, r.height);
    w->found[w->n_found++] = way;
    return TT_OK;
}

/* Another model: every matrix in blocks of 4 bits, or a tiny autoencoder. */
static tt_status other_model(tt_ways *w, bool tiny_vae, const char *text, tt_error *err)
{
    tt_forecasts *assumed = NULL;
    tt_way way = {.n_bytes = 0};
    tt_status status = tt_forecasts_create_assumed(tiny_vae ? TT_F16 : TT_Q4_0, tiny_vae, &assumed, err);
    if (status == TT_OK)
        status = weigh(w, assumed, &w->plan->request, &way, err);
    tt_forecasts_destroy(assumed);
    (void)snprintf(way.text, sizeof way.text, "%s", text);
    if (status == TT_ERROR_UNSUPPORTED) /* a model that could not be made */
        return TT_OK;
    if (status == TT_OK && way.n_bytes < w->found[0].n_bytes)
        w->found[w->n_found++] = way;
    return status;
}

static tt_status without_guidance(tt_ways *w, tt_error *err)
{
    tt_memory_request r = w->plan->request;
    tt_way way = {.text = "--cfg-scale 1"};
    if (r.n_texts < 2)
        return TT_OK;
    r.n_texts = 1;
    tt_status status = weigh(w, NULL, &r, &way, err);
    if (status == TT_OK && way.n_bytes < w->found[0].n_bytes)
        w->found[w->n_found++] = way;
    return status;
}

/* The mode that was asked for is not the only one. */
static tt_status any_mode(tt_ways *w, tt_error *err)
{
    tt_way way = {.text = "another memory mode"};
    if (!w->plan->request.has_mode || w->plan->request.mode == TT_MEMORY_STREAMED)
        return TT_OK;
    tt_status status = weigh(w, NULL, &w->plan->request, &way, err);
    if (status == TT_OK && way.n_bytes < w->found[0].n_bytes)
        w->found[w->n_found++] = way;
    return status;
}

static tt_status find_ways(tt_ways *w, tt_error *err)
{
    const tt_vae_config *vae = &w->model->vae_config;
    more_room(w);
    tt_status status = any_mode(w, err);
    if (status == TT_OK)
        status = smaller_picture(w, err);
    if (status == TT_OK)
        status = other_model(w, false, "a q4_0 model (tintype quantize)", err);
    if (status == TT_OK && vae->kind == TT_VAE_KL && vae->factor == 8 && vae->latent_channels == 4)
        status = other_model(w, true, "--taesd", err);
    return status == TT_OK ? without_guidance(w, err) : status;
}

/* Ways that fit first, then the others as they are. */
static void write_ways(const tt_ways *w, tt_text *text)
{
    int n_written = 0;
    for (int pass = 1; pass >= 0; pass--)
        for (int i = 0; i < w->n_found && n_written < MAX_WAYS; i++) {
            const tt_way *way = &w->found[i];
            if (way->fits != (pass == 1))
                continue;
            tt_text_format(text, "%s%s", n_written == 0 ? "" : ", ", way->text);
            if (i > 0)
                tt_text_format(text, way->fits ? " (takes %llu MB)" : " (still takes %llu MB)",
                               megabytes(way->n_bytes));
            n_written++;
        }
}

/* The largest of what is alive in the peak phase. */
static const char *largest_part(tt_model *model, const tt_memory_plan *plan, uint64_t *n_bytes)
{
    static const char *const weights[] = {"the weights of the text encoder", "the weights of the VAE encoder",
                                          "the weights of the UNet", "the weights of the VAE decoder"};
    static const char *const values[] = {"the activations of the text encoder", "the activations of the VAE encoder",
                                         "the activations of the UNet", "the activations of the VAE decoder"};
    static const tt_part parts[] = {TT_PART_TEXT, TT_PART_ENCODER, TT_PART_UNET, TT_PART_DECODER};
    uint64_t total, part;
    uint32_t peak = tt_memory_peak_phase(&plan->room, &plan->phases, &total);
    tt_weight_sizes sizes =
        tt_model_part_sizes(model, NULL, parts[peak], plan->choice.limits[parts[peak]], TT_STREAM_SLOTS);
    part = sizes.resident_bytes + sizes.n_slots * sizes.slot_bytes;
    uint64_t activations = plan->phases.device[peak] > part ? plan->phases.device[peak] - part : 0;
    const char *name = part >= activations ? weights[peak] : values[peak];
    *n_bytes = part >= activations ? part : activations;
    if (plan->phases.host[peak] > *n_bytes) {
        *n_bytes = plan->phases.host[peak];
        name = "pictures and latents in the process";
    }
    if (plan->room.base + plan->phases.programs[peak] > *n_bytes) {
        *n_bytes = plan->room.base + plan->phases.programs[peak];
        name = "the process itself with its OpenCL driver";
    }
    return name;
}

tt_status tt_memory_refuse(tt_model *model, const tt_memory_plan *plan, tt_error *err)
{
    tt_ways w = {.model = model, .plan = plan};
    tt_text text = {0};
    uint64_t total, largest;
    const tt_memory_room *room = &plan->room;
    const char *part = largest_part(model, plan, &largest);
    bool is_budget = room->budget && room->budget <= room->available;
    (void)tt_memory_peak_phase(room, &plan->phases, &total);
    tt_status status = find_ways(&w, err);
    if (status != TT_OK)
        return status;
    write_ways(&w, &text);
    if ((status = tt_text_status(&text, err)) == TT_OK)
        status = tt_fail(err, TT_ERROR_MEMORY,
                         "a picture of %u x %u takes at least %llu MB (%s: %llu MB), but %s %llu MB; ways to fit: %s",
                         plan->request.width, plan->request.height, megabytes(total), part, megabytes(largest),
                         is_budget ? "the memory budget is" : "the system can give",
                         (unsigned long long)(tt_memory_limit(room) / 1000000), text.bytes);
    tt_text_free(&text);
    return status;
}
