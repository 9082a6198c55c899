/* upscale.h - super-resolution networks as graphs: planes of a small picture in, planes of a larger one out, by tiles.
 *
 * Architectures, told by tensor names and shapes (official key names, and "convN", "preluN" in order):
 *   SRVGGNetCompact (Real-ESRGAN compact): conv, then conv and PReLU n times, conv to 3 s^2, pixel shuffle, plus the
 *       input repeated s times.
 *   RRDBNet (ESRGAN, arXiv 1809.00219; Real-ESRGAN x4plus, x2plus): residual dense blocks of five convolutions, one
 *       convolution behind each upsampling. Key names of Real-ESRGAN ("body.0.rdb1.conv1"), ESRGAN
 *       ("RRDB_trunk.0.RDB1.conv1") and its old form ("model.1.sub.0.RDB1.conv1.0").
 *   upconv_7 (waifu2x): six convolutions without padding and a transposed one of 4x4, stride 2; leaky ReLU 0.1.
 *   FSRCNN (arXiv 1608.00367), ESPCN (arXiv 1609.05158): luma only; of both the forms that end in a pixel shuffle. */
#ifndef TT_UPSCALE_UPSCALE_H
#define TT_UPSCALE_UPSCALE_H

#include "graph/graph.h"

typedef enum tt_upscale_kind {
    TT_UPSCALE_SRVGG = 0,
    TT_UPSCALE_RRDB,
    TT_UPSCALE_UPCONV7,
    TT_UPSCALE_FSRCNN,
    TT_UPSCALE_ESPCN
} tt_upscale_kind;

enum { TT_UPSCALE_MAX_CONVS = 64, TT_UPSCALE_MAX_RRDB = 64 };

/* Everything that tensors tell of a network. */
typedef struct tt_upscale_config {
    tt_upscale_kind kind;
    uint32_t scale;                                 /* 1 .. 4 */
    uint32_t n_channels;                            /* of input and output: 3 (RGB, 0..1), or 1 (luma, 0..1) */
    uint32_t n_convs;                               /* in a row; RRDB: 0 */
    uint32_t n_outs[TT_UPSCALE_MAX_CONVS];          /* outputs of each; the last one's before the pixel shuffle */
    uint32_t first_side;                            /* taps of the first convolution along a side: 3 or 5 */
    float shift;                                    /* FSRCNN: added to the result */
    uint32_t n_features, n_blocks, n_growth, n_ups; /* RRDB: channels, blocks, channels of a dense layer, upsamplings */
    uint32_t unshuffle;                             /* RRDB x2, x1: the input is folded by 2 or 4 first; else 1 */
    uint32_t pad;       /* pixels by which the input is extended by its edges and the result is cropped; else 0: zeros
                           around every layer's input */
    uint32_t margin;    /* pixels of the input around a tile that its result depends on (RRDB: noticeably) */
    const char *layout; /* key names: "plain", "basicsr", "esrgan", "old-esrgan"; static storage */
    const char *prefix; /* before all names: "", "params_ema." or "params."; static storage */
} tt_upscale_config;

/* "srvgg", "rrdb", "upconv7", "fsrcnn", "espcn"; static storage. */
const char *tt_upscale_kind_name(tt_upscale_kind kind);

/* Derives a network from the stored names and shapes of its tensors; sizes are checked, and a file that is none of
 * these fails with a sentence that names what was looked for. */
tt_status tt_upscale_config_derive(const tt_tensor_file *file, tt_upscale_config *config, tt_error *err);

/* Multiplications and additions for one pixel of the input. */
double tt_upscale_flops_per_pixel(const tt_upscale_config *config);

/* A file of one network: its configuration, and its weights under the names and in the forms that graphs ask for. */
typedef struct tt_upscale_file tt_upscale_file;

tt_status tt_upscale_file_open(const char *path, tt_upscale_file **file, tt_error *err);
void tt_upscale_file_close(tt_upscale_file *file);
const tt_upscale_config *tt_upscale_file_config(const tt_upscale_file *file);
tt_weights *tt_upscale_file_weights(tt_upscale_file *file);

typedef struct tt_upscale_net tt_upscale_net;

/* kernels and config are copied, weights stay the caller's. tile: side in pixels of the input, margins included; it is
 * raised where margins would be most of it. Nothing is uploaded yet. */
tt_status tt_upscale_create(const tt_kernels *kernels, const tt_upscale_config *config, tt_weights *weights,
                            uint32_t tile, tt_upscale_net **net, tt_error *err);
void tt_upscale_destroy(tt_upscale_net *net);

/* The tile's side in use. */
uint32_t tt_upscale_tile(const tt_upscale_config *config, uint32_t wanted);

/* The picture to be made larger and where the larger one goes, a row at a time: memory is bounded by the tile and the
 * picture's width. `planes` below: channel c of a run of pixels begins at values + c * stride. */
typedef struct tt_upscale_picture {
    uint32_t height, width; /* 1 or more */
    /* Reads n neighbouring pixels of row y from column x on, in 0..1. */
    void (*read)(void *user, uint32_t y, uint32_t x, uint32_t n, float *values, size_t stride);
    /* Takes row y of the larger picture, in order and each once; not clamped. */
    void (*write)(void *user, uint32_t y, const float *values, size_t stride);
    /* Called before each tile; false stops with TT_ERROR_CANCELLED. May be NULL. */
    bool (*tile)(void *user, uint32_t tile, uint32_t n_tiles);
    void *user;
} tt_upscale_picture;

/* Makes the picture `scale` times larger, from 1x1 on. Tiles overlap by the margin on each side and are blended
 * linearly, so that tiled and untiled agree within 1/255. */
tt_status tt_upscale_run(tt_upscale_net *net, const tt_upscale_picture *picture, tt_error *err);

/* Tiles of a picture of this size. */
uint32_t tt_upscale_count(const tt_upscale_net *net, uint32_t height, uint32_t width);

/* What a whole tile needs, without a device; *weight_bytes may be NULL. */
tt_status tt_upscale_forecast(const tt_kernels *kernels, const tt_upscale_config *config, tt_weights *weights,
                              uint32_t tile, uint64_t *weight_bytes, tt_graph_forecast *forecast, tt_error *err);

#endif
