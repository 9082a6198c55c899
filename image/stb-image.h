/* stb-image.h - the one door to stb_image. Inside the room only. */
#ifndef TT_IMAGE_STB_IMAGE_H
#define TT_IMAGE_STB_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Size and channels of a PNG or JPEG from its header; false when it is neither. */
bool tt_stb_info(const uint8_t *bytes, size_t n_bytes, int *width, int *height, int *n_channels);

/* Decodes to 8 bits with n_channels (1, 3, 4) channels; NULL on failure, else free(). */
uint8_t *tt_stb_decode(const uint8_t *bytes, size_t n_bytes, int n_channels, int *width, int *height);

/* Why the last call on this thread failed: a few words. */
const char *tt_stb_reason(void);

#endif
