/* unet-window.c - the timesteps whose embeddings are computed together, and where a pass finds its own. */
#include "unet/unet-window.h"

#include <stdlib.h>
#include <string.h>

tt_status tt_unet_window_create(const tt_unet_config *config, uint32_t batch, tt_unet_window *window, tt_error *err)
{
    *window = (tt_unet_window){.times = tt_unet_times_of(config, batch), .batch = batch};
    size_t n = (size_t)window->times.n_images * window->times.n_slots * config->channels[0];
    window->slots = calloc(window->times.n_slots, sizeof *window->slots);
    window->sinusoids = calloc(n, sizeof *window->sinusoids);
    window->index = calloc(batch, sizeof *window->index);
    if (window->slots && window->sinusoids && window->index)
        return TT_OK;
    tt_unet_window_free(window);
    return tt_fail_memory(err, "time embeddings", n * sizeof *window->sinusoids);
}

void tt_unet_window_free(tt_unet_window *window)
{
    free(window->slots);
    free(window->planned);
    free(window->sinusoids);
    free(window->index);
    *window = (tt_unet_window){0};
}

tt_status tt_unet_window_plan(tt_unet_window *window, const double *timesteps, size_t n, tt_error *err)
{
    double *planned = malloc((n ? n : 1) * sizeof *planned);
    if (!planned)
        return tt_fail_memory(err, "timesteps", n * sizeof *planned);
    memcpy(planned, timesteps, n * sizeof *planned);
    free(window->planned);
    window->planned = planned;
    window->n_planned = n;
    return TT_OK;
}

/* The slot of a timestep, n_known when there is none. */
static uint32_t slot_of(const tt_unet_window *window, double timestep)
{
    uint32_t slot = 0;
    while (slot < window->n_known && window->slots[slot] != timestep)
        slot++;
    return slot;
}

bool tt_unet_window_find(tt_unet_window *window, const double *timesteps)
{
    for (uint32_t i = 0; i < window->batch; i++) {
        uint32_t slot = slot_of(window, timesteps[i]), image = window->times.n_images > 1 ? i : 0;
        if (slot == window->n_known)
            return false;
        window->index[i] = (float)(image * window->times.n_slots + slot);
    }
    return true;
}

/* Adds timesteps that are not there yet while there is room. */
static void add(tt_unet_window *window, const double *timesteps, size_t n)
{
    for (size_t i = 0; i < n && window->n_known < window->times.n_slots; i++) {
        uint32_t slot = slot_of(window, timesteps[i]);
        window->slots[slot] = timesteps[i];
        window->n_known += slot == window->n_known;
    }
}

void tt_unet_window_fill(tt_unet_window *window, const tt_unet_config *config, const double *timesteps)
{
    uint32_t n_slots = window->times.n_slots, n = config->channels[0];
    size_t first = 0;
    while (first < window->n_planned && window->planned[first] != timesteps[0])
        first++;
    window->n_known = 0;
    if (first < window->n_planned)
        add(window, window->planned + first, window->n_planned - first);
    if (!tt_unet_window_find(window, timesteps)) {
        window->n_known = 0;
        add(window, timesteps, window->batch);
    }
    for (uint32_t i = window->n_known; i < n_slots; i++)
        window->slots[i] = window->slots[i % window->n_known];
    for (uint32_t i = 0; i < window->times.n_images; i++)
        tt_timestep_embedding(window->slots, n_slots, n, config->flip_sin_to_cos, config->freq_shift,
                              window->sinusoids + (size_t)i * n_slots * n);
    (void)tt_unet_window_find(window, timesteps);
}
