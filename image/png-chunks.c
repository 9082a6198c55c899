/* png-chunks.c - chunk lengths, CRCs and the size of the unpacked pixel data. */
#include "image/png-chunks.h"

#include <string.h>
#include <zlib.h>

enum { N_SIGNATURE = 8, N_FRAME = 12 /* length, type and CRC */, N_HEADER = 13 };

static const uint8_t signature[N_SIGNATURE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

bool tt_png_has_signature(const uint8_t *bytes, size_t n_bytes)
{
    return n_bytes >= N_SIGNATURE && memcmp(bytes, signature, N_SIGNATURE) == 0;
}

static bool is_letter(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

tt_status tt_png_next(tt_png_walker *walker, tt_png_chunk *chunk, tt_error *err)
{
    const uint8_t *at = walker->bytes + walker->position;
    const size_t n_left = walker->n_bytes - walker->position;
    if (n_left < N_FRAME)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the PNG is cut off: it ends at byte %zu without an IEND chunk",
                       walker->what, walker->n_bytes);
    chunk->n_bytes = read_u32(at);
    if (chunk->n_bytes > n_left - N_FRAME)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: the PNG is cut off or damaged: the chunk at byte %zu wants %u bytes, %zu are left",
                       walker->what, walker->position, chunk->n_bytes, n_left - N_FRAME);
    for (int i = 0; i < 4; i++) {
        if (!is_letter(at[4 + i]))
            return tt_fail(err, TT_ERROR_FORMAT, "%s: the PNG is damaged: no chunk name at byte %zu", walker->what,
                           walker->position + 4);
        chunk->type[i] = (char)at[4 + i];
    }
    chunk->type[4] = '\0';
    chunk->data = at + 8;
    const uint32_t found = (uint32_t)crc32_z(0, at + 4, (z_size_t)chunk->n_bytes + 4);
    if (found != read_u32(at + 8 + chunk->n_bytes))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the PNG is damaged: the %s chunk at byte %zu has a wrong checksum",
                       walker->what, chunk->type, walker->position);
    walker->position += (size_t)chunk->n_bytes + N_FRAME;
    walker->at_end = strcmp(chunk->type, "IEND") == 0;
    return TT_OK;
}

tt_status tt_png_begin(const uint8_t *bytes, size_t n_bytes, const char *what, tt_png_walker *walker,
                       tt_png_header *header, tt_error *err)
{
    tt_png_chunk chunk;
    if (!tt_png_has_signature(bytes, n_bytes))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: is not a PNG (its first bytes are not a PNG's)", what);
    *walker = (tt_png_walker){.bytes = bytes, .n_bytes = n_bytes, .position = N_SIGNATURE, .what = what};
    const tt_status status = tt_png_next(walker, &chunk, err);
    if (status != TT_OK)
        return status;
    if (strcmp(chunk.type, "IHDR") != 0 || chunk.n_bytes != N_HEADER)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the PNG does not begin with an IHDR chunk of 13 bytes", what);
    *header = (tt_png_header){.width = read_u32(chunk.data),
                              .height = read_u32(chunk.data + 4),
                              .bit_depth = chunk.data[8],
                              .colour_type = chunk.data[9],
                              .interlaced = chunk.data[12]};
    if (header->width == 0 || header->height == 0 || header->width > INT32_MAX || header->height > INT32_MAX)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the PNG says it is %u x %u pixels", what, header->width,
                       header->height);
    return TT_OK;
}

/* Upper bound of the unpacked bytes: rows with their filter bytes, and the seven passes' rounding when interlaced. */
static uint64_t pixel_data_bound(const tt_png_header *header)
{
    static const uint8_t n_channels_of[] = {1, 4, 3, 1, 2, 4, 4}; /* 1 and 5 do not exist */
    const uint64_t n_channels = header->colour_type < sizeof n_channels_of ? n_channels_of[header->colour_type] : 4;
    const uint64_t row_bytes = ((uint64_t)header->width * n_channels * header->bit_depth + 7) / 8 + 1;
    return header->interlaced != 0 ? 2 * (row_bytes + 8) * ((uint64_t)header->height + 8) : row_bytes * header->height;
}

/* Unpacks one IDAT chunk into nothing; *n_out counts. False when zlib finds an error or the bound is passed. */
static bool skim(z_stream *stream, const tt_png_chunk *chunk, uint64_t bound, uint64_t *n_out, bool *ended)
{
    uint8_t scratch[32768];
    stream->next_in = (Bytef *)chunk->data;
    stream->avail_in = chunk->n_bytes;
    while (!*ended) {
        stream->next_out = scratch;
        stream->avail_out = sizeof scratch;
        const int code = inflate(stream, Z_NO_FLUSH);
        *n_out += sizeof scratch - stream->avail_out;
        *ended = code == Z_STREAM_END;
        if (*n_out > bound || (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR))
            return false;
        if (stream->avail_out > 0)
            break; /* all input is used */
    }
    return true;
}

static tt_status check_stream(z_stream *stream, tt_png_walker *walker, uint64_t bound, tt_error *err)
{
    uint64_t n_out = 0;
    bool ended = false;
    while (!walker->at_end) {
        tt_png_chunk chunk;
        const tt_status status = tt_png_next(walker, &chunk, err);
        if (status != TT_OK)
            return status;
        if (strcmp(chunk.type, "IDAT") != 0 || skim(stream, &chunk, bound, &n_out, &ended))
            continue;
        if (n_out > bound)
            return tt_fail(err, TT_ERROR_FORMAT,
                           "%s: the PNG's pixel data unpack to more than the %llu bytes that its size needs",
                           walker->what, (unsigned long long)bound);
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the PNG's pixel data are damaged (%s)", walker->what,
                       stream->msg != NULL ? stream->msg : "zlib gives no reason");
    }
    return TT_OK;
}

tt_status tt_png_check_pixel_data(const uint8_t *bytes, size_t n_bytes, const char *what, tt_error *err)
{
    tt_png_walker walker;
    tt_png_header header;
    z_stream stream = {0};
    tt_status status = tt_png_begin(bytes, n_bytes, what, &walker, &header, err);
    if (status != TT_OK)
        return status;
    if (inflateInit(&stream) != Z_OK)
        return tt_fail_memory(err, "unpacking a PNG", 1 << 15);
    status = check_stream(&stream, &walker, pixel_data_bound(&header), err);
    inflateEnd(&stream);
    return status;
}
