/* upscale.h - super-resolution networks as graphs: planes of a small picture in, planes of a larger one out, by tiles.
 *
 * Architectures, told by tensor names and shapes (official key names, and "convN", "preluN" in order):
 *   SRVGGNetCompact (Real-ESRGAN compact): conv, then conv and PReLU n times, conv to 3 s^2, pixel shuffle, plus the
 *       input repeated s times.
 *   RRDBNet (ESRGAN, arXiv 1809.00219; Real-ESRGAN x4plus, x2plus): residual dense blocks of five convolutions, two
 *       upsampling convolutions. Key names of Real-ESRGAN ("body.0.rdb1.conv1"), ESRGAN ("RRDB_trunk.0.RDB1.conv1") and
 *       its old form ("model.1.sub.0.RDB1.conv1.0").
 *   upconv_7 (waifu2x): six convolutions without padding and a transposed one of 4x4, stride 2; leaky ReLU 0.1.
 *   FSRCNN (arXiv 1608.00367), ESPCN (arXiv 1609.05158): luma only. */
#ifndef TT_UPSCALE_UPSCALE_H
#define TT_UPSCALE_UPSCALE_H

#include "graph/graph.h"
#include "graph/tuner.h"

typedef enum tt_upscale_kind {
    TT_UPSCALE_SRVGG = 0,
    TT_UPSCALE_RRDB,
    TT_UPSCALE_UPCONV7,
    TT_UPSCALE_FSRCNN,
    TT_UPSCALE_ESPCN
} tt_upscale_kind;

/* Everything that tensors tell of a network. */
typedef struct tt_upscale_config {
    tt_upscale_kind kind;
    uint32_t scale;      /* 1 .. 4 */
    uint32_t n_channels; /* of input and output: 3 (RGB, 0..1), or 1 (luma, 0..1) */
    uint32_t n_features; /* channels inside */
    uint32_t n_blocks;   /* SRVGG: convolutions in the middle; RRDB: blocks; FSRCNN: mapping layers */
    uint32_t n_growth;   /* RRDB: channels that each dense layer adds; FSRCNN: channels of the mapping layers */
    uint32_t unshuffle;  /* RRDB x2, x1: the input is folded by 2 or 4 first; else 1 */
    uint32_t n_outputs;  /* RRDB with other endings than the usual: outputs of the last layer */
    uint32_t margin;     /* pixels of the input around a tile on which its result depends noticeably */
    char layout[16];     /* key names: "basicsr", "esrgan", "old-esrgan", "plain" */
} tt_upscale_config;

/* "srvgg", "rrdb", "upconv7", "fsrcnn", "espcn"; static storage. */
const char *tt_upscale_kind_name(tt_upscale_kind kind);

/* Derives a network from its tensors; every size is checked, and a file that is none of these fails with a sentence
 * that names what was looked for. */
tt_status tt_upscale_config_derive(const tt_weights *weights, tt_upscale_config *config, tt_error *err);

/* Multiplications and additions for one pixel of the input. */
double tt_upscale_flops_per_pixel(const tt_upscale_config *config);

typedef struct tt_upscale tt_upscale_net;

/* kernels and config are copied, weights stay the caller's. tile: side in pixels of the input, margins included.
 * Nothing is uploaded yet. */
tt_status tt_upscale_create(const tt_kernels *kernels, const tt_upscale_config *config, tt_weights *weights,
                            uint32_t tile, tt_upscale_net **net, tt_error *err);
void tt_upscale_destroy(tt_upscale_net *net);

/* Called between tiles; false stops with TT_ERROR_CANCELLED. May be NULL. */
typedef bool (*tt_upscale_tile_fn)(void *user, uint32_t tile, uint32_t n_tiles);

/* in [n_channels][height][width] in 0..1 -> out [n_channels][height * scale][width * scale], not clamped. Any size from
 * 1x1 on: small pictures are extended by their edges, as the network's training did. Tiles overlap by the margin on
 * each side and are blended linearly, so that tiled and untiled agree within 1/255. */
tt_status tt_upscale_run(tt_upscale_net *net, const float *in, uint32_t height, uint32_t width, float *out,
                         tt_upscale_tile_fn tile, void *user, tt_error *err);

/* What a tile needs, without a device; *weight_bytes may be NULL. */
tt_status tt_upscale_forecast(const tt_kernels *kernels, const tt_upscale_config *config, tt_weights *weights,
                              uint32_t height, uint32_t width, uint64_t *weight_bytes, tt_graph_forecast *forecast,
                              tt_error *err);

/* Frees activations; release_device also the weights. */
void tt_upscale_release_device(tt_upscale_net *net);

#endif
