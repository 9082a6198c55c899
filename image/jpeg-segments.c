/* jpeg-segments.c - walks markers: segments with a length, and behind each SOS coded data up to the next marker. */
#include "image/jpeg-segments.h"

#include <string.h>

enum {
    TEM = 0x01,
    SOF0 = 0xc0, /* the first of the frames' headers */
    SOF2 = 0xc2, /* progressive frame */
    DHT = 0xc4,
    JPG = 0xc8, /* reserved */
    DAC = 0xcc,
    SOF15 = 0xcf,
    RST0 = 0xd0,
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    APP1 = 0xe1,
    MAX_SCANS = 100, /* real progressive files have about 10 */
    N_TABLE_HEAD = 17,
    MAX_CODES = 256,
    N_TABLES = 4,
};

/* What the segments so far have set up. */
typedef struct jpeg_state {
    bool is_progressive;
    bool has_table[2][N_TABLES]; /* Huffman tables: DC, AC */
    int n_scans;
} jpeg_state;

bool tt_jpeg_has_signature(const uint8_t *bytes, size_t n_bytes)
{
    return n_bytes >= 3 && bytes[0] == 0xff && bytes[1] == SOI && bytes[2] == 0xff;
}

/* The tables of one DHT segment: a byte with class and number, 16 counts, and as many values as the counts say. */
static bool read_tables(jpeg_state *state, const uint8_t *at, size_t n_left)
{
    while (n_left > 0) {
        size_t n_codes = 0;
        if (n_left < N_TABLE_HEAD || at[0] >> 4 > 1 || (at[0] & 15) >= N_TABLES)
            return false;
        for (int i = 1; i < N_TABLE_HEAD; i++)
            n_codes += at[i];
        if (n_codes > MAX_CODES || n_codes > n_left - N_TABLE_HEAD)
            return false;
        state->has_table[at[0] >> 4][at[0] & 15] = true;
        at += N_TABLE_HEAD + n_codes;
        n_left -= N_TABLE_HEAD + n_codes;
    }
    return true;
}

/* The header of one scan: every table that its components use must be there. Progressive scans have either DC
 * coefficients (of which refinements, with a high bit position before, use no table) or AC coefficients. */
static bool check_scan(const jpeg_state *state, const uint8_t *at, size_t n_bytes)
{
    const size_t n_components = n_bytes > 0 ? at[0] : 0;
    if (n_components == 0 || n_bytes != 4 + 2 * n_components)
        return false;
    const uint8_t *tail = at + 1 + 2 * n_components;
    const bool is_refinement = tail[2] >> 4 != 0;
    const bool needs_dc = !state->is_progressive || (tail[0] == 0 && !is_refinement);
    const bool needs_ac = !state->is_progressive || tail[0] != 0;
    for (size_t i = 0; i < n_components; i++) {
        const uint8_t tables = at[2 + 2 * i];
        const uint8_t dc = tables >> 4, ac = tables & 15;
        if (dc >= N_TABLES || ac >= N_TABLES || (needs_dc && !state->has_table[0][dc]) ||
            (needs_ac && !state->has_table[1][ac]))
            return false;
    }
    return true;
}

/* One segment: its marker's code and the bytes behind the length. */
static tt_status check_segment(jpeg_state *state, uint8_t code, const uint8_t *at, size_t n_bytes, const char *what,
                               tt_error *err)
{
    if (code == SOF2)
        state->is_progressive = true;
    if (code == DHT && !read_tables(state, at, n_bytes))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the JPEG cannot be read: one of its Huffman tables is damaged", what);
    if (code != SOS)
        return TT_OK;
    if (!check_scan(state, at, n_bytes))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: the JPEG cannot be read: the header of a scan is damaged or a Huffman table is missing",
                       what);
    if (++state->n_scans > MAX_SCANS)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: the JPEG has more than %d scans: save it again", what,
                       MAX_SCANS);
    return TT_OK;
}

tt_status tt_jpeg_check(const uint8_t *bytes, size_t n_bytes, const char *what, tt_error *err)
{
    jpeg_state state = {0};
    tt_status status = TT_OK;
    bool is_whole = n_bytes >= 2 && bytes[n_bytes - 2] == 0xff && bytes[n_bytes - 1] == EOI;
    for (size_t at = 0; n_bytes >= 4 && at <= n_bytes - 4 && status == TT_OK;) {
        const uint8_t code = bytes[at + 1];
        if (bytes[at] != 0xff || code == 0 || code == 0xff) { /* coded data, or fill bytes */
            at++;
            continue;
        }
        at += 2;
        if (code == EOI) {
            is_whole = true;
            break;
        }
        if ((code >= RST0 && code <= SOI) || code == TEM)
            continue; /* these have no length */
        const size_t length = (size_t)bytes[at] << 8 | bytes[at + 1];
        if (length < 2 || length > n_bytes - at)
            return tt_fail(err, TT_ERROR_FORMAT, "%s: the JPEG cannot be read: it is cut off or damaged at byte %zu",
                           what, at);
        status = check_segment(&state, code, bytes + at + 2, length - 2, what, err);
        at += length;
    }
    if (status == TT_OK && (!is_whole || state.n_scans == 0))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the JPEG cannot be read: %s", what,
                       is_whole ? "there is no picture in it" : "it is cut off, its end marker is missing");
    return status;
}

static bool is_frame(uint8_t code)
{
    return code >= SOF0 && code <= SOF15 && code != DHT && code != JPG && code != DAC;
}

tt_status tt_jpeg_read_size(const uint8_t *bytes, size_t n_bytes, const char *what, uint32_t *width, uint32_t *height,
                            tt_error *err)
{
    size_t at = 2; /* behind SOI */
    while (n_bytes >= 4 && at <= n_bytes - 4 && bytes[at] == 0xff) {
        const uint8_t code = bytes[at + 1];
        if (code == 0xff) { /* a fill byte */
            at++;
            continue;
        }
        const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (code == SOS || code == EOI || code < SOF0 || length < 2 || length > n_bytes - at - 2)
            break;
        if (is_frame(code) && length >= 8) {
            *height = (uint32_t)bytes[at + 5] << 8 | bytes[at + 6];
            *width = (uint32_t)bytes[at + 7] << 8 | bytes[at + 8];
            if (*width > 0 && *height > 0)
                return TT_OK;
            break;
        }
        at += 2 + length;
    }
    return tt_fail(err, TT_ERROR_FORMAT, "%s: the JPEG cannot be read: no frame with a size stands at its beginning",
                   what);
}

bool tt_jpeg_find_xmp(const uint8_t *bytes, size_t n_bytes, const char **packet, size_t *n_packet)
{
    static const char signature[] = "http://ns.adobe.com/xap/1.0/"; /* its zero belongs to it */
    size_t at = 2;                                                  /* behind SOI */
    while (n_bytes >= 4 && at <= n_bytes - 4 && bytes[at] == 0xff) {
        const uint8_t code = bytes[at + 1];
        const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (code == 0xff) { /* a fill byte */
            at++;
            continue;
        }
        if (code == SOS || code == EOI || code < SOF0 || length < 2 || length > n_bytes - at - 2)
            break;
        if (code == APP1 && length >= 2 + sizeof signature &&
            memcmp(bytes + at + 4, signature, sizeof signature) == 0) {
            *packet = (const char *)bytes + at + 4 + sizeof signature;
            *n_packet = length - 2 - sizeof signature;
            return true;
        }
        at += 2 + length;
    }
    return false;
}
