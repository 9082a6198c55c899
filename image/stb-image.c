/* stb-image.c - stb_image, compiled for PNG and JPEG in memory only, with no names for the linker. */
#include "image/stb-image.h"

#include <limits.h>
#include <stdlib.h>

/* Memory is zeroed, so that a damaged picture cannot show what was in it before; checks never end the program. */
#define STBI_MALLOC(n_bytes) calloc(1, n_bytes)
#define STBI_REALLOC(block, n_bytes) realloc(block, n_bytes)
#define STBI_FREE(block) free(block)
#define STBI_ASSERT(condition) ((void)0)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 65535 /* what a JPEG can say: our own limits come first and say it better */
#pragma GCC diagnostic ignored "-Wunused-function" /* of stb_image, to the end of this file */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* gcc 12 follows a path of stb's that callbacks alone take */
#endif
#include <stb/stb_image.h>

bool tt_stb_info(const uint8_t *bytes, size_t n_bytes, int *width, int *height, int *n_channels)
{
    return n_bytes <= INT_MAX && stbi_info_from_memory(bytes, (int)n_bytes, width, height, n_channels) != 0;
}

uint8_t *tt_stb_decode(const uint8_t *bytes, size_t n_bytes, int n_channels, int *width, int *height)
{
    int n_found = 0;
    return n_bytes <= INT_MAX ? stbi_load_from_memory(bytes, (int)n_bytes, width, height, &n_found, n_channels) : NULL;
}

const char *tt_stb_reason(void)
{
    const char *reason = stbi_failure_reason();
    return reason != NULL ? reason : "no reason given";
}
