/* small-bodies.c - bytes of PNG, JPEG and latents. */
#include "tests/support/small-bodies.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void add_big(tt_text *out, uint32_t value)
{
    const char bytes[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    tt_text_add(out, bytes, 4);
}

static void add_little(tt_text *out, uint32_t value)
{
    const char bytes[4] = {(char)value, (char)(value >> 8), (char)(value >> 16), (char)(value >> 24)};
    tt_text_add(out, bytes, 4);
}

static void add_chunk(tt_text *out, const char *type, const void *data, size_t n_bytes)
{
    add_big(out, (uint32_t)n_bytes);
    const size_t at = out->n_bytes;
    tt_text_add(out, type, 4);
    tt_text_add(out, data, n_bytes);
    add_big(out, (uint32_t)crc32(0, (const Bytef *)out->bytes + at, (uInt)(n_bytes + 4)));
}

void small_png(uint32_t width, uint32_t height, bool is_true, tt_text *out)
{
    tt_text header = {0};
    add_big(&header, width);
    add_big(&header, height);
    tt_text_add(&header, "\x08\0\0\0\0", 5); /* 8 bits, grey */
    tt_text_add(out, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(out, "IHDR", header.bytes, header.n_bytes);
    const size_t n_raw = is_true ? ((size_t)width + 1) * height : 16;
    uint8_t *raw = calloc(1, n_raw);
    uLongf n_packed = compressBound((uLong)n_raw);
    uint8_t *packed = malloc(n_packed);
    if (raw != NULL && packed != NULL && compress(packed, &n_packed, raw, (uLong)n_raw) == Z_OK)
        add_chunk(out, "IDAT", packed, n_packed);
    add_chunk(out, "IEND", "", 0);
    free(raw);
    free(packed);
    tt_text_free(&header);
}

void small_jpeg(uint16_t width, uint16_t height, tt_text *out)
{
    const char frame[] = {(char)0xff,  (char)0xc0, 0, 11,   8, (char)(height >> 8), (char)height, (char)(width >> 8),
                          (char)width, 1,          1, 0x11, 0};
    tt_text_add(out, "\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", 20);
    tt_text_add(out,
                "\xff\xff\xfe\0\x05"
                "abc",
                8); /* a fill byte and a comment */
    tt_text_add(out, frame, sizeof frame);
    tt_text_add(out, "\xff\xd9", 2);
}

void small_latent(uint32_t n_channels, uint32_t height, uint32_t width, uint32_t factor, const char *hash, tt_text *out)
{
    const uint32_t numbers[] = {n_channels, height, width, factor};
    tt_text_add(out, "TTL1", 4);
    for (int i = 0; i < 4; i++)
        add_little(out, numbers[i]);
    for (size_t i = 0; i < 32; i++)
        tt_text_add(out, i < strlen(hash) ? hash + i : "", 1);
    for (uint64_t i = 0; i < (uint64_t)n_channels * height * width; i++)
        tt_text_add(out, "\0", 2);
}
