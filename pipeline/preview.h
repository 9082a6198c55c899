/* preview.h - a quick look at a latent without running the decoder; used inside this room. */
#ifndef TT_PIPELINE_PREVIEW_H
#define TT_PIPELINE_PREVIEW_H

#include "pipeline/model.h"

/* Takes the map from the file's metadata "tintype.preview_projection", where there is one: {"rows": [3 of
 * latent_channels coefficients and a constant]}, from latents as the UNet sees them to red, green, blue in -1..1. Fails
 * when it has other counts or holds what is no finite number. */
tt_status tt_preview_read(tt_model *model, tt_error *err);

/* Fits, once per model that brought none, the linear map from latent channels to RGB that fits the model's own decoder
 * best: decodes one smooth random latent of 16 x 16 and solves least squares. */
tt_status tt_preview_fit(tt_model *model, tt_error *err);

/* latent [channels][height][width] as the UNet sees it -> RGB of the same size in image (pixels [height*width*3]
 * exist). */
void tt_preview_draw(const tt_model *model, const float *latent, uint32_t height, uint32_t width, tt_image *image);

#endif
