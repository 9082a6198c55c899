/* fuzz_image.c - pictures in: decoding with the limits of a service, and reading of text marks. CRCs of PNG chunks are
 * put right first, or no search would get past them. */
#include "image/inspect.h"
#include "image/read.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void repair_checksums(uint8_t *bytes, size_t n_bytes)
{
    for (size_t at = 8; n_bytes >= 12 && at <= n_bytes - 12;) {
        const uint32_t length = read_u32(bytes + at);
        if (length > n_bytes - 12 - at)
            break;
        const uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, length + 4);
        for (int i = 0; i < 4; i++)
            bytes[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + (size_t)length;
    }
}

static void decode(const uint8_t *bytes, size_t n_bytes, uint32_t n_channels)
{
    const tt_image_limits limits = {512, 1 << 16, 1 << 20};
    tt_image image;
    tt_error err;
    if (tt_image_decode(bytes, n_bytes, "fuzz", &limits, n_channels, &image, &err) != TT_OK)
        return;
    if (image.width == 0 || image.width > 512 || image.height == 0 || image.height > 512 ||
        (n_channels != 0 && image.n_channels != n_channels))
        abort();
    unsigned sum = 0; /* every pixel must be readable */
    for (size_t i = 0; i < (size_t)image.width * image.height * image.n_channels; i++)
        sum += image.pixels[i];
    if (sum > 255U * 65536 * 4)
        abort();
    tt_image_free(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tt_image_report report;
    tt_error err;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    repair_checksums(bytes, size);
    decode(bytes, size, 0);
    decode(bytes, size, 3);
    if (tt_inspect_png(bytes, size, "fuzz", &report, &err) == TT_OK)
        tt_inspect_free(&report);
    free(bytes);
    return 0;
}
