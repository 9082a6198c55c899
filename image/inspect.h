/* inspect.h - reads size and text marks of a PNG (tEXt, zTXt, iTXt chunks and the XMP properties we write) or of a JPEG
 * (those properties). */
#ifndef TT_IMAGE_INSPECT_H
#define TT_IMAGE_INSPECT_H

#include "base/error.h"

/* At most 64 text chunks of at most 1 MiB each (also after inflating) are read; more is an error. */
tt_status tt_inspect_png(const uint8_t *bytes, size_t n_bytes, const char *what, tt_image_report *report,
                         tt_error *err);
tt_status tt_inspect_jpeg(const uint8_t *bytes, size_t n_bytes, const char *what, tt_image_report *report,
                          tt_error *err);
tt_status tt_inspect_file(const char *path, tt_image_report *report, tt_error *err);

/* Frees the entries and zeroes the struct. */
void tt_inspect_free(tt_image_report *report);

#endif
