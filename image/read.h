/* read.h - PNG and JPEG pictures in, through stb_image, with limits judged from the header before decoding. */
#ifndef TT_IMAGE_READ_H
#define TT_IMAGE_READ_H

#include "base/error.h"

typedef struct tt_image_limits {
    uint32_t max_side;   /* pixels */
    uint64_t max_pixels; /* width * height */
    uint64_t max_bytes;  /* of the file */
} tt_image_limits;

/* 16384 a side, 64 MP, 256 MiB: what a device accepts. */
tt_image_limits tt_image_limits_device(void);

/* Type and size that the header of a PNG or JPEG block names; nothing behind it is looked at. */
tt_status tt_image_header_read(const uint8_t *bytes, size_t n_bytes, const char *what, tt_image_header *header,
                               tt_error *err);

/* Decodes a PNG or JPEG block; n_channels 1, 3, 4 converts, 0 keeps. 16-bit pictures become 8-bit. `what` names the
 * source in sentences. image is freed with tt_image_free. */
tt_status tt_image_decode(const uint8_t *bytes, size_t n_bytes, const char *what, const tt_image_limits *limits,
                          uint32_t n_channels, tt_image *image, tt_error *err);

/* The same from a file. */
tt_status tt_image_read_file(const char *path, const tt_image_limits *limits, uint32_t n_channels, tt_image *image,
                             tt_error *err);

/* Resizes with an area/bicubic filter (separable, in float, clamped edges) to width x height, same channels. */
tt_status tt_image_resize(const tt_image *image, uint32_t width, uint32_t height, tt_image *out, tt_error *err);

#endif
