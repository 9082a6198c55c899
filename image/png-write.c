/* png-write.c - PNG out through libpng. libpng reports errors by longjmp: all state of a picture that is being written
 * lives in one struct outside the function that calls setjmp, so nothing it changes is lost. */
#include "image/png-write.h"

#include "base/file.h"
#include "image/png-text.h"
#include "image/xmp.h"

#include <png.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SIDE = 16384, MAX_MARKS = 4 };

/* One text chunk. */
typedef struct text_mark {
    const char *key;
    tt_text bytes; /* Latin-1 or UTF-8 */
    bool is_latin1;
} text_mark;

typedef struct writer {
    const tt_image *image;
    text_mark marks[MAX_MARKS];
    int n_marks;
    tt_text *out;
    char reason[128]; /* libpng's words */
    png_structp png;
    png_infop info;
} writer;

/* ---- marks ---- */

static tt_status check_mark(const char *key, const char *text, size_t max_bytes, tt_error *err)
{
    const size_t n_bytes = text == NULL ? 0 : strlen(text);
    size_t bad = 0;
    if (n_bytes > max_bytes)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the picture's mark %s has %zu bytes, at most %zu are allowed", key,
                       n_bytes, max_bytes);
    if (text != NULL && !tt_utf8_valid(text, n_bytes, &bad))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the picture's mark %s is not well-formed UTF-8 at byte %zu", key, bad);
    return TT_OK;
}

/* Lengths that stay readable by tt_inspect_png, also where escapes make the text longer. */
static tt_status check_marks(const tt_image_marks *marks, tt_error *err)
{
    const size_t n_plain = TT_MAX_TEXT_BYTES - 128, n_escaped = TT_MAX_TEXT_BYTES / 16;
    tt_status status = check_mark("Software", marks->software, n_plain, err);
    if (status == TT_OK)
        status = check_mark("parameters", marks->parameters, n_plain, err);
    return status != TT_OK ? status : check_mark("AIGC", marks->aigc_json, n_escaped, err);
}

/* Adds a text chunk: tEXt when Latin-1 can say it and is wished, else iTXt. NULL and empty texts are left out. */
static tt_status add_mark(writer *state, const char *key, const char *text, bool try_latin1, tt_error *err)
{
    if (text == NULL || *text == '\0')
        return TT_OK;
    text_mark *mark = &state->marks[state->n_marks++];
    mark->key = key;
    mark->is_latin1 = try_latin1 && tt_latin1_from_utf8(text, &mark->bytes);
    if (!mark->is_latin1) {
        tt_text_free(&mark->bytes);
        tt_text_add_string(&mark->bytes, text);
    }
    return tt_text_status(&mark->bytes, err);
}

/* In the order of the chunks in the file. */
static tt_status collect_marks(writer *state, const tt_image_marks *marks, tt_error *err)
{
    tt_text packet = {0}, aigc = {0};
    tt_status status = check_marks(marks, err);
    if (status == TT_OK)
        status = tt_xmp_packet(marks, &packet, err);
    if (status == TT_OK)
        status = add_mark(state, "Software", marks->software, true, err);
    if (status == TT_OK)
        status = add_mark(state, "XML:com.adobe.xmp", packet.bytes, false, err);
    if (status == TT_OK && marks->aigc_json != NULL) {
        tt_json_to_ascii(marks->aigc_json, &aigc); /* a tEXt chunk whatever the names in it are written in */
        status = tt_text_status(&aigc, err);
    }
    if (status == TT_OK)
        status = add_mark(state, "AIGC", aigc.bytes, true, err);
    if (status == TT_OK)
        status = add_mark(state, "parameters", marks->parameters, true, err);
    tt_text_free(&packet);
    tt_text_free(&aigc);
    return status;
}

/* ---- libpng ---- */

static void on_error(png_structp png, png_const_charp message)
{
    writer *state = png_get_error_ptr(png);
    snprintf(state->reason, sizeof state->reason, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep bytes, size_t n_bytes)
{
    writer *state = png_get_io_ptr(png);
    tt_text_add(state->out, (const char *)bytes, n_bytes);
    if (state->out->failed)
        png_error(png, "memory ran out");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void write_header(writer *state)
{
    const tt_image *image = state->image;
    const int colour_type = image->n_channels == 1   ? PNG_COLOR_TYPE_GRAY
                            : image->n_channels == 3 ? PNG_COLOR_TYPE_RGB
                                                     : PNG_COLOR_TYPE_RGBA;
    png_text chunks[MAX_MARKS];
    memset(chunks, 0, sizeof chunks);
    for (int i = 0; i < state->n_marks; i++) {
        chunks[i].compression = state->marks[i].is_latin1 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        chunks[i].key = (png_charp)state->marks[i].key;
        chunks[i].text = state->marks[i].bytes.bytes;
    }
    png_set_IHDR(state->png, state->info, image->width, image->height, 8, colour_type, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(state->png, state->info, PNG_sRGB_INTENT_PERCEPTUAL);
    png_set_text(state->png, state->info, chunks, state->n_marks);
    png_write_info(state->png, state->info);
}

/* False when libpng jumped out; state->reason says why. Changes no local variable after setjmp. */
static bool write_picture(writer *state)
{
    if (setjmp(png_jmpbuf(state->png)) != 0)
        return false;
    write_header(state);
    const size_t n_row_bytes = (size_t)state->image->width * state->image->n_channels;
    for (uint32_t y = 0; y < state->image->height; y++)
        png_write_row(state->png, state->image->pixels + y * n_row_bytes);
    png_write_end(state->png, NULL); /* NULL: the texts are not written a second time */
    return true;
}

static tt_status run_libpng(writer *state, tt_error *err)
{
    tt_status status = TT_OK;
    state->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, state, on_error, on_warning);
    if (state->png != NULL)
        state->info = png_create_info_struct(state->png);
    if (state->info == NULL) {
        status = tt_fail_memory(err, "writing a PNG", 1 << 18);
    } else {
        png_set_write_fn(state->png, state, on_write, on_flush);
        if (!write_picture(state))
            status = tt_fail(err, state->out->failed ? TT_ERROR_MEMORY : TT_ERROR_INTERNAL,
                             "the PNG could not be made: %s", state->reason);
    }
    png_destroy_write_struct(&state->png, &state->info);
    return status;
}

static tt_status check_image(const tt_image *image, tt_error *err)
{
    if (image->pixels == NULL || image->width == 0 || image->height == 0 || image->width > MAX_SIDE ||
        image->height > MAX_SIDE)
        return tt_fail(err, TT_ERROR_ARGUMENT, "cannot write a picture of %u x %u pixels: allowed are 1 to %d a side",
                       image->width, image->height, MAX_SIDE);
    if (image->n_channels != 1 && image->n_channels != 3 && image->n_channels != 4)
        return tt_fail(err, TT_ERROR_ARGUMENT, "cannot write a picture of %u channels: allowed are 1, 3 and 4",
                       image->n_channels);
    return TT_OK;
}

tt_status tt_png_encode(const tt_image *image, const tt_image_marks *marks, tt_text *out, tt_error *err)
{
    writer state = {.image = image, .out = out};
    tt_status status = check_image(image, err);
    if (status == TT_OK && marks != NULL)
        status = collect_marks(&state, marks, err);
    if (status == TT_OK)
        status = run_libpng(&state, err);
    for (int i = 0; i < state.n_marks; i++)
        tt_text_free(&state.marks[i].bytes);
    return status;
}

tt_status tt_png_write_file(const char *path, const tt_image *image, const tt_image_marks *marks, tt_error *err)
{
    tt_text bytes = {0};
    tt_new_file file = {0};
    tt_status status = tt_png_encode(image, marks, &bytes, err);
    if (status == TT_OK)
        status = tt_new_file_open(&file, path, err);
    if (status == TT_OK) {
        status = tt_new_file_write(&file, bytes.bytes, bytes.n_bytes, err);
        if (status == TT_OK)
            status = tt_new_file_commit(&file, err);
        else
            tt_new_file_abort(&file);
    }
    tt_text_free(&bytes);
    return status;
}
