/* image.h - pictures, their files and marks; part of tintype.h. */
#ifndef TINTYPE_IMAGE_H
#define TINTYPE_IMAGE_H

#include "tintype/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An 8-bit picture, rows top to bottom, [height][width][n_channels], 1 = grey, 3 = RGB, 4 = RGBA. */
typedef struct tt_image {
    uint32_t width, height, n_channels;
    uint8_t *pixels;
} tt_image;

/* Frees the pixels and zeroes the struct. */
TT_API void tt_image_free(tt_image *image);

/* Reads a PNG or JPEG. n_channels 1, 3 or 4 converts; 0 keeps the file's. Limits are checked from the header before
 * anything is decoded: 16384 a side, 64 megapixels. */
TT_API tt_status tt_image_read(tt_context *context, const char *path, uint32_t n_channels, tt_image *image);

/* Bounds for pictures from strangers; zeros: the device's own (16384 a side, 64 megapixels). */
typedef struct tt_image_bounds {
    uint32_t max_side;
    uint64_t max_pixels;
} tt_image_bounds;

/* What the header of a PNG or JPEG in memory says, without decoding: nothing else is checked. */
typedef struct tt_image_header {
    char type[16]; /* "image/png" or "image/jpeg" */
    uint32_t width, height;
} tt_image_header;
TT_API tt_status tt_image_read_header(tt_context *context, const void *bytes, size_t n_bytes, tt_image_header *header);

/* tt_image_read of a file that is in memory. bounds may be NULL. */
TT_API tt_status tt_image_read_bytes(tt_context *context, const void *bytes, size_t n_bytes,
                                     const tt_image_bounds *bounds, uint32_t n_channels, tt_image *image);

/* Makes a copy of the picture resized to width x height (bicubic, averaging when it shrinks), same channels. *out is
 * freed with tt_image_free. */
TT_API tt_status tt_image_resized(tt_context *context, const tt_image *image, uint32_t width, uint32_t height,
                                  tt_image *out);

/* What a picture says of its making. NULL strings are left out of the file. */
typedef struct tt_image_marks {
    const char *parameters;          /* A1111 infotext, PNG chunk `parameters` */
    const char *software;            /* PNG chunk `Software` */
    const char *digital_source_type; /* IPTC code, e.g. "trainedAlgorithmicMedia"; NULL: no XMP source type */
    const char *aigc_json;           /* GB 45438 label as JSON text; PNG chunk `AIGC` and XMP TC260:AIGC */
} tt_image_marks;

/* Writes an RGB or RGBA PNG to a temporary name beside `path` and renames it: no partial file is ever left. */
TT_API tt_status tt_image_write_png(tt_context *context, const char *path, const tt_image *image,
                                    const tt_image_marks *marks);

/* The same into memory: *bytes is a new block of *n_bytes, freed with free(). */
TT_API tt_status tt_image_encode_png(tt_context *context, const tt_image *image, const tt_image_marks *marks,
                                     uint8_t **bytes, size_t *n_bytes);

/* Key and text pairs read back from a PNG: text chunks under their own names, XMP properties as "XMP:...". */
typedef struct tt_text_entry {
    char *key;
    char *text;
} tt_text_entry;

typedef struct tt_image_report {
    uint32_t width, height;
    size_t n_entries;
    tt_text_entry *entries;
} tt_image_report;

/* Reads the size and all text marks of a PNG, or those XMP properties of a JPEG that say how a picture was made,
 * without decoding pixels. Free with tt_image_report_free. */
TT_API tt_status tt_image_inspect(tt_context *context, const char *path, tt_image_report *report);
TT_API void tt_image_report_free(tt_image_report *report);

#ifdef __cplusplus
}
#endif

#endif
