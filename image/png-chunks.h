/* png-chunks.h - walks the chunks of a PNG (ISO/IEC 15948) in memory, for what needs no pixels. Inside the room only.
 */
#ifndef TT_IMAGE_PNG_CHUNKS_H
#define TT_IMAGE_PNG_CHUNKS_H

#include "base/error.h"

/* One chunk; data points into the file. */
typedef struct tt_png_chunk {
    char type[5];
    const uint8_t *data;
    uint32_t n_bytes;
} tt_png_chunk;

typedef struct tt_png_header {
    uint32_t width, height;
    uint8_t bit_depth, colour_type, interlaced;
} tt_png_header;

typedef struct tt_png_walker {
    const uint8_t *bytes;
    size_t n_bytes, position;
    const char *what; /* names the file in sentences */
    bool at_end;      /* IEND was seen */
} tt_png_walker;

bool tt_png_has_signature(const uint8_t *bytes, size_t n_bytes);

/* Checks signature and IHDR, and leaves the walker behind IHDR. */
tt_status tt_png_begin(const uint8_t *bytes, size_t n_bytes, const char *what, tt_png_walker *walker,
                       tt_png_header *header, tt_error *err);

/* The next chunk, with its CRC checked; IEND sets at_end. A file that ends before IEND is an error. */
tt_status tt_png_next(tt_png_walker *walker, tt_png_chunk *chunk, tt_error *err);

/* Checks that the pixel data do not unpack to more than the header's size needs (a decompression bomb). */
tt_status tt_png_check_pixel_data(const uint8_t *bytes, size_t n_bytes, const char *what, tt_error *err);

#endif
