/* inspect.c - text chunks of a PNG and the XMP packet of a JPEG, without decoding pixels. */
#include "image/inspect.h"

#include "base/file.h"
#include "image/jpeg-segments.h"
#include "image/png-chunks.h"
#include "image/png-text.h"
#include "image/xmp.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAX_TEXT_CHUNKS = 64, MAX_KEY_BYTES = 79 };

/* Bytes of a chunk that are still to be read. */
typedef struct reader {
    const uint8_t *at;
    size_t n_left;
    const char *what, *type; /* for sentences */
} reader;

void tt_inspect_free(tt_image_report *report)
{
    if (report == NULL)
        return;
    for (size_t i = 0; i < report->n_entries; i++) {
        free(report->entries[i].key);
        free(report->entries[i].text);
    }
    free(report->entries);
    *report = (tt_image_report){0};
}

/* Takes the key over when it succeeds and the text's bytes in any case. */
static tt_status add_entry(tt_image_report *report, const char *key, tt_text *text, tt_error *err)
{
    tt_text_add(text, "", 0); /* so that an empty text is terminated */
    tt_status status = tt_text_status(text, err);
    tt_text_entry *entries = NULL;
    char *key_copy = NULL;
    if (status == TT_OK) {
        entries = realloc(report->entries, (report->n_entries + 1) * sizeof *entries);
        if (entries != NULL)
            report->entries = entries;
        if (entries == NULL || !tt_string_copy(key, &key_copy))
            status = tt_fail_memory(err, "the text marks of a picture", strlen(key) + sizeof *entries);
    }
    if (status != TT_OK) {
        tt_text_free(text);
        return status;
    }
    entries[report->n_entries++] = (tt_text_entry){key_copy, text->bytes};
    *text = (tt_text){0};
    return TT_OK;
}

static tt_status damaged(const reader *in, const char *problem, tt_error *err)
{
    return tt_fail(err, TT_ERROR_FORMAT, "%s: the %s chunk is damaged: %s", in->what, in->type, problem);
}

/* Takes bytes up to the next zero byte. */
static bool take_string(reader *in, const uint8_t **begin, size_t *n_bytes)
{
    const uint8_t *end = in->n_left == 0 ? NULL : memchr(in->at, 0, in->n_left);
    if (end == NULL)
        return false;
    *begin = in->at;
    *n_bytes = (size_t)(end - in->at);
    in->at = end + 1;
    in->n_left -= *n_bytes + 1;
    return true;
}

static bool take_byte(reader *in, uint8_t *byte)
{
    if (in->n_left == 0)
        return false;
    *byte = *in->at++;
    in->n_left--;
    return true;
}

/* Inflates the rest of the chunk into out, at most TT_MAX_TEXT_BYTES. */
static tt_status inflate_rest(const reader *in, tt_text *out, tt_error *err)
{
    uint8_t scratch[16384];
    z_stream stream = {0};
    int code = inflateInit(&stream);
    if (code != Z_OK)
        return tt_fail_memory(err, "unpacking a text chunk", 1 << 15);
    stream.next_in = (Bytef *)in->at;
    stream.avail_in = (uInt)in->n_left;
    while (code == Z_OK && out->n_bytes <= TT_MAX_TEXT_BYTES) {
        stream.next_out = scratch;
        stream.avail_out = sizeof scratch;
        code = inflate(&stream, Z_NO_FLUSH);
        tt_text_add(out, (const char *)scratch, sizeof scratch - stream.avail_out);
    }
    inflateEnd(&stream);
    if (out->n_bytes > TT_MAX_TEXT_BYTES)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: a %s chunk unpacks to more than %d bytes", in->what, in->type,
                       TT_MAX_TEXT_BYTES);
    return code == Z_STREAM_END ? TT_OK : damaged(in, "its compressed text cannot be unpacked", err);
}

/* The raw text behind the keyword: compressed or not. */
static tt_status take_text(const reader *in, bool compressed, tt_text *raw, tt_error *err)
{
    if (compressed)
        return inflate_rest(in, raw, err);
    tt_text_add(raw, (const char *)in->at, in->n_left);
    return tt_text_status(raw, err);
}

/* Reads the fields between keyword and text: compression of zTXt, and flag, method, language, translation of iTXt. */
static bool take_fields(reader *in, bool *compressed)
{
    uint8_t flag = 0, method = 0;
    const uint8_t *ignored;
    size_t n_ignored = 0;
    if (strcmp(in->type, "tEXt") == 0)
        return true;
    if (strcmp(in->type, "zTXt") == 0) {
        *compressed = true;
        return take_byte(in, &method) && method == 0;
    }
    if (!take_byte(in, &flag) || flag > 1 || !take_byte(in, &method) || (flag == 1 && method != 0))
        return false;
    *compressed = flag == 1;
    return take_string(in, &ignored, &n_ignored) && take_string(in, &ignored, &n_ignored);
}

/* Key and text of a chunk as UTF-8. */
static tt_status read_text_chunk(reader *in, tt_text *key, tt_text *text, tt_error *err)
{
    const uint8_t *name;
    size_t n_name = 0;
    bool compressed = false;
    tt_text raw = {0};
    if (in->n_left > TT_MAX_TEXT_BYTES)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: a %s chunk has %zu bytes, at most %d are read", in->what,
                       in->type, in->n_left, TT_MAX_TEXT_BYTES);
    if (!take_string(in, &name, &n_name) || n_name == 0 || n_name > MAX_KEY_BYTES)
        return damaged(in, "it has no keyword of 1 to 79 bytes", err);
    tt_latin1_to_utf8(name, n_name, key);
    if (!take_fields(in, &compressed))
        return damaged(in, "the fields behind its keyword are not what the format says", err);
    tt_status status = take_text(in, compressed, &raw, err);
    if (status == TT_OK && raw.n_bytes > 0 && memchr(raw.bytes, 0, raw.n_bytes) != NULL)
        status = damaged(in, "its text has a zero byte", err);
    if (status == TT_OK && strcmp(in->type, "iTXt") != 0)
        tt_latin1_to_utf8((const uint8_t *)raw.bytes, raw.n_bytes, text);
    else if (status == TT_OK && !tt_utf8_valid(raw.bytes, raw.n_bytes, NULL))
        status = damaged(in, "its text is not well-formed UTF-8", err);
    else if (status == TT_OK)
        tt_text_add(text, raw.bytes, raw.n_bytes);
    tt_text_free(&raw);
    return status != TT_OK ? status : tt_text_status(key, err);
}

/* Adds the properties that the packet has. */
static tt_status add_xmp(tt_image_report *report, const char *packet, tt_error *err)
{
    static const struct {
        const char *name_space, *name, *key;
    } properties[] = {{TT_XMP_IPTC, "DigitalSourceType", "XMP:Iptc4xmpExt:DigitalSourceType"},
                      {TT_XMP_TC260, "AIGC", "XMP:TC260:AIGC"}};
    tt_status status = TT_OK;
    for (size_t i = 0; i < sizeof properties / sizeof *properties && status == TT_OK; i++) {
        tt_text value = {0};
        if (tt_xmp_find(packet, properties[i].name_space, properties[i].name, &value))
            status = add_entry(report, properties[i].key, &value, err);
        else
            tt_text_free(&value);
    }
    return status;
}

static tt_status add_chunk(tt_image_report *report, const tt_png_chunk *chunk, const char *what, tt_error *err)
{
    tt_text key = {0}, text = {0};
    reader in = {chunk->data, chunk->n_bytes, what, chunk->type};
    const size_t index = report->n_entries;
    tt_status status = read_text_chunk(&in, &key, &text, err);
    if (status == TT_OK)
        status = add_entry(report, key.bytes, &text, err);
    if (status == TT_OK && strcmp(key.bytes, "XML:com.adobe.xmp") == 0)
        status = add_xmp(report, report->entries[index].text, err);
    tt_text_free(&key);
    tt_text_free(&text);
    return status;
}

static bool is_text_chunk(const tt_png_chunk *chunk)
{
    return strcmp(chunk->type, "tEXt") == 0 || strcmp(chunk->type, "zTXt") == 0 || strcmp(chunk->type, "iTXt") == 0;
}

static tt_status read_chunks(tt_png_walker *walker, tt_image_report *report, tt_error *err)
{
    int n_text_chunks = 0;
    while (!walker->at_end) {
        tt_png_chunk chunk;
        tt_status status = tt_png_next(walker, &chunk, err);
        if (status == TT_OK && is_text_chunk(&chunk)) {
            if (++n_text_chunks > MAX_TEXT_CHUNKS)
                return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: the PNG has more than %d text chunks", walker->what,
                               MAX_TEXT_CHUNKS);
            status = add_chunk(report, &chunk, walker->what, err);
        }
        if (status != TT_OK)
            return status;
    }
    return TT_OK;
}

tt_status tt_inspect_png(const uint8_t *bytes, size_t n_bytes, const char *what, tt_image_report *report, tt_error *err)
{
    tt_png_walker walker;
    tt_png_header header;
    *report = (tt_image_report){0};
    tt_status status = tt_png_begin(bytes, n_bytes, what, &walker, &header, err);
    if (status != TT_OK)
        return status;
    report->width = header.width;
    report->height = header.height;
    status = read_chunks(&walker, report, err);
    if (status != TT_OK)
        tt_inspect_free(report);
    return status;
}

tt_status tt_inspect_jpeg(const uint8_t *bytes, size_t n_bytes, const char *what, tt_image_report *report,
                          tt_error *err)
{
    const char *packet;
    size_t n_packet;
    tt_text text = {0};
    *report = (tt_image_report){0};
    tt_status status = tt_jpeg_read_size(bytes, n_bytes, what, &report->width, &report->height, err);
    if (status != TT_OK || !tt_jpeg_find_xmp(bytes, n_bytes, &packet, &n_packet) ||
        memchr(packet, '\0', n_packet) != NULL || !tt_utf8_valid(packet, n_packet, NULL))
        return status;
    tt_text_add(&text, packet, n_packet);
    status = tt_text_status(&text, err);
    if (status == TT_OK)
        status = add_xmp(report, text.bytes, err);
    tt_text_free(&text);
    if (status != TT_OK)
        tt_inspect_free(report);
    return status;
}

tt_status tt_inspect_file(const char *path, tt_image_report *report, tt_error *err)
{
    tt_mapping mapping;
    *report = (tt_image_report){0};
    tt_status status = tt_file_map(path, &mapping, err);
    if (status != TT_OK)
        return status;
    if (mapping.n_bytes > SIZE_MAX)
        status = tt_fail_memory(err, "a picture's file", SIZE_MAX);
    else if (tt_jpeg_has_signature(mapping.bytes, (size_t)mapping.n_bytes))
        status = tt_inspect_jpeg(mapping.bytes, (size_t)mapping.n_bytes, path, report, err);
    else
        status = tt_inspect_png(mapping.bytes, (size_t)mapping.n_bytes, path, report, err);
    tt_file_unmap(&mapping);
    return status;
}
