/* small-bodies.h - what clients of the upscale service send, made by hand. */
#ifndef TT_TESTS_SMALL_BODIES_H
#define TT_TESTS_SMALL_BODIES_H

#include "base/text.h"

/* A PNG of one grey; is_true false: its header alone says that size, there are no pixels behind it. */
void small_png(uint32_t width, uint32_t height, bool is_true, tt_text *out);

/* The beginning of a JPEG up to its frame header. */
void small_jpeg(uint16_t width, uint16_t height, tt_text *out);

/* A latent of zeros with this hash. */
void small_latent(uint32_t n_channels, uint32_t height, uint32_t width, uint32_t factor, const char *hash,
                  tt_text *out);

#endif
