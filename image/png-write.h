/* png-write.h - PNG out through libpng with the AI marks that STANDARDS asks for, all before IDAT:
 * sRGB, tEXt Software, iTXt XML:com.adobe.xmp (Iptc4xmpExt:DigitalSourceType and TC260:AIGC), tEXt AIGC, and
 * `parameters` as tEXt when Latin-1, else iTXt. Bytes are deterministic for the same pixels and marks. */
#ifndef TT_IMAGE_PNG_WRITE_H
#define TT_IMAGE_PNG_WRITE_H

#include "base/error.h"
#include "base/text.h"

/* Encodes an RGB or RGBA (or grey) picture into out (a growing string). marks may be NULL. */
tt_status tt_png_encode(const tt_image *image, const tt_image_marks *marks, tt_text *out, tt_error *err);

/* Encodes and replaces `path` atomically. */
tt_status tt_png_write_file(const char *path, const tt_image *image, const tt_image_marks *marks, tt_error *err);

/* The XMP packet of the marks, with XML escapes; empty when there is nothing to say. */
tt_status tt_xmp_packet(const tt_image_marks *marks, tt_text *out, tt_error *err);

#endif
