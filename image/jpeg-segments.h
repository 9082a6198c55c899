/* jpeg-segments.h - checks of a JPEG's segments (ITU-T T.81, annex B) before a decoder sees them. Inside the room only.
 */
#ifndef TT_IMAGE_JPEG_SEGMENTS_H
#define TT_IMAGE_JPEG_SEGMENTS_H

#include "base/error.h"

bool tt_jpeg_has_signature(const uint8_t *bytes, size_t n_bytes);

/* Refuses what stb_image (before 2.28) takes for granted: Huffman tables of more than 256 codes, which it writes beyond
 * its array, scans with tables that were never defined, which it reads uninitialised, and segments that are cut off.
 * Also pictures of more than 100 scans, each of which costs a pass over all pixels, and files that are cut off or have
 * no scan at all, which it would fill with grey. */
tt_status tt_jpeg_check(const uint8_t *bytes, size_t n_bytes, const char *what, tt_error *err);

/* Width and height of the first frame header; segments before it are skipped, what follows is not looked at. */
tt_status tt_jpeg_read_size(const uint8_t *bytes, size_t n_bytes, const char *what, uint32_t *width, uint32_t *height,
                            tt_error *err);

/* The XMP packet (ISO 16684-3, an APP1 segment before the first scan): its text, not terminated. False where there is
 * none. */
bool tt_jpeg_find_xmp(const uint8_t *bytes, size_t n_bytes, const char **packet, size_t *n_packet);

#endif
