/* unet-window.h - which timesteps' embeddings the graph of a UNet holds; used inside this room. */
#ifndef TT_UNET_UNET_WINDOW_H
#define TT_UNET_UNET_WINDOW_H

#include "unet/unet-build.h"

/* Arrays are owned; a zeroed window is empty. */
typedef struct tt_unet_window {
    tt_unet_times times;
    uint32_t batch;
    double *slots; /* [n_slots], of which the first n_known are different timesteps and the others repeat them */
    uint32_t n_known;
    double *planned; /* timesteps of a run, in the order of its calls */
    size_t n_planned;
    float *sinusoids; /* [n_images][n_slots][channels[0]]: the graph's input "time" */
    float *index;     /* [batch]: its input "time_index" */
} tt_unet_window;

tt_status tt_unet_window_create(const tt_unet_config *config, uint32_t batch, tt_unet_window *window, tt_error *err);
void tt_unet_window_free(tt_unet_window *window);

/* Notes the timesteps of a run. */
tt_status tt_unet_window_plan(tt_unet_window *window, const double *timesteps, size_t n, tt_error *err);

/* Sets `index` for a pass at timesteps[batch]; false when the window does not hold all of them. */
bool tt_unet_window_find(tt_unet_window *window, const double *timesteps);

/* Fills the window with the planned timesteps from timesteps[0] on, or with the batch's own when that would not give
 * all of them, and computes the sinusoids. No allocation. */
void tt_unet_window_fill(tt_unet_window *window, const tt_unet_config *config, const double *timesteps);

#endif
