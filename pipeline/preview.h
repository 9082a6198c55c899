/* preview.h - a quick look at a latent without running the decoder; used inside this room. */
#ifndef TT_PIPELINE_PREVIEW_H
#define TT_PIPELINE_PREVIEW_H

#include "pipeline/model.h"

/* Fits, once per model, the linear map from latent channels to RGB that fits the model's own decoder best: decodes one
 * smooth random latent of 16 x 16 and solves least squares. */
tt_status tt_preview_fit(tt_model *model, tt_error *err);

/* latent [channels][height][width] as the UNet sees it -> RGB of the same size in image (pixels [height*width*3]
 * exist). */
void tt_preview_draw(const tt_model *model, const float *latent, uint32_t height, uint32_t width, tt_image *image);

#endif
