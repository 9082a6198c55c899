/* upscale.h - small pictures made larger by a network; part of tintype.h. */
#ifndef TINTYPE_UPSCALE_H
#define TINTYPE_UPSCALE_H

#include "tintype/image.h"
#include "tintype/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A super-resolution network: SRVGGNetCompact (Real-ESRGAN compact), RRDBNet (ESRGAN, Real-ESRGAN), upconv_7
 * (waifu2x), FSRCNN or ESPCN. Belongs to one context, which must outlive it, and to one thread at a time. */
typedef struct tt_upscaler tt_upscaler;

/* Fill with tt_upscaler_params_default first. Strings are copied. */
typedef struct tt_upscaler_params {
    const char *path;       /* a safetensors file; NULL: the small x2 network that comes with the library, looked for in
                               $TINTYPE_SHARE, the install's share folder and ./models */
    tt_precision precision; /* AUTO: HALF where the device multiplies halves, else F16 */
    uint32_t tile; /* side of the tiles in pixels of the input, 32 .. 1024: memory grows with its square, not with the
                      picture; 0: 256 */
} tt_upscaler_params;

TT_API void tt_upscaler_params_default(tt_upscaler_params *params);

/* Opens a network: reads and checks the file and derives the architecture from its tensors. Weights go to the device at
 * the first use. */
TT_API tt_status tt_upscaler_load(tt_context *context, const tt_upscaler_params *params, tt_upscaler **upscaler);

/* Frees the network and its device memory. NULL is allowed. */
TT_API void tt_upscaler_destroy(tt_upscaler *upscaler);

typedef struct tt_upscaler_info {
    char name[128];        /* file name without extension */
    char architecture[32]; /* "srvgg", "rrdb", "upconv7", "fsrcnn", "espcn" */
    uint32_t scale;        /* of the network itself: 1 .. 4 */
    uint32_t n_channels;   /* 3: RGB; 1: luma, colours are resized bicubically */
    uint64_t n_parameters, n_bytes;
    double flops_per_pixel; /* multiplications and additions for one pixel of the input */
    uint32_t tile;          /* in use */
    uint64_t peak_bytes;    /* forecast: weights and activations on the device while a tile is made */
} tt_upscaler_info;

TT_API tt_status tt_upscaler_get_info(tt_upscaler *upscaler, tt_upscaler_info *info);

/* Called between tiles; return false to cancel. */
typedef bool (*tt_upscale_progress_fn)(void *user, uint32_t tile, uint32_t n_tiles);

/* Makes `image` (grey, RGB or RGBA, at most 64 megapixels after enlarging) `scale` times larger, 2 .. 4, into *out
 * (same channels; free with tt_image_free). Where the network's own scale is another it is run again, and the result is
 * averaged down. Alpha is resized bicubically. Tiles overlap and are blended, so that seams do not show. Same device,
 * same network, same picture: same bytes. progress may be NULL. On failure there is no picture. */
TT_API tt_status tt_upscale(tt_upscaler *upscaler, const tt_image *image, uint32_t scale,
                            tt_upscale_progress_fn progress, void *user, tt_image *out);

/* Fills *marks (strings point into report and static storage) for a picture that was made from the one in report by
 * upscaling alone: the input's parameters, AIGC label and source type stay; a picture without a source type that says
 * AI becomes "algorithmicallyEnhanced". */
TT_API void tt_image_marks_upscaled(const tt_image_report *report, tt_image_marks *marks);

#ifdef __cplusplus
}
#endif

#endif
