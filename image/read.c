/* read.c - limits first, then stb_image. */
#include "image/read.h"

#include "base/checked.h"
#include "base/file.h"
#include "image/jpeg-segments.h"
#include "image/png-chunks.h"
#include "image/stb-image.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 16384 };

tt_image_limits tt_image_limits_device(void)
{
    return (tt_image_limits){.max_side = MAX_SIDE, .max_pixels = 64000000, .max_bytes = (uint64_t)256 << 20};
}

static tt_status check_size(uint64_t width, uint64_t height, const char *what, const tt_image_limits *limits,
                            tt_error *err)
{
    const uint32_t max_side = limits->max_side < MAX_SIDE ? limits->max_side : MAX_SIDE;
    if (width == 0 || height == 0 || width > max_side || height > max_side || width * height > limits->max_pixels)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "%s: the picture is %llu x %llu pixels, allowed are %u a side and %llu in all: make it smaller",
                       what, (unsigned long long)width, (unsigned long long)height, max_side,
                       (unsigned long long)limits->max_pixels);
    return TT_OK;
}

static tt_status fail_type(const char *what, tt_error *err)
{
    return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: is neither a PNG nor a JPEG: convert it to one of them", what);
}

tt_status tt_image_header_read(const uint8_t *bytes, size_t n_bytes, const char *what, tt_image_header *header,
                               tt_error *err)
{
    *header = (tt_image_header){0};
    if (tt_png_has_signature(bytes, n_bytes)) {
        tt_png_walker walker;
        tt_png_header png;
        const tt_status status = tt_png_begin(bytes, n_bytes, what, &walker, &png, err);
        if (status != TT_OK)
            return status;
        *header = (tt_image_header){.type = "image/png", .width = png.width, .height = png.height};
        return TT_OK;
    }
    if (!tt_jpeg_has_signature(bytes, n_bytes))
        return fail_type(what, err);
    memcpy(header->type, "image/jpeg", sizeof "image/jpeg");
    return tt_jpeg_read_size(bytes, n_bytes, what, &header->width, &header->height, err);
}

/* The size that the PNG's header names, then whether its data fit that size. */
static tt_status check_png(const uint8_t *bytes, size_t n_bytes, const char *what, const tt_image_limits *limits,
                           tt_error *err)
{
    tt_png_walker walker;
    tt_png_header header;
    tt_status status = tt_png_begin(bytes, n_bytes, what, &walker, &header, err);
    if (status == TT_OK)
        status = check_size(header.width, header.height, what, limits, err);
    return status != TT_OK ? status : tt_png_check_pixel_data(bytes, n_bytes, what, err);
}

static tt_status check_jpeg(const uint8_t *bytes, size_t n_bytes, const char *what, const tt_image_limits *limits,
                            tt_error *err)
{
    int width = 0, height = 0, n_channels = 0;
    const tt_status status = tt_jpeg_check(bytes, n_bytes, what, err);
    if (status != TT_OK)
        return status;
    if (!tt_stb_info(bytes, n_bytes, &width, &height, &n_channels) || width < 0 || height < 0)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the JPEG cannot be read: %s", what, tt_stb_reason());
    return check_size((uint64_t)width, (uint64_t)height, what, limits, err);
}

static tt_status check_bytes(const uint8_t *bytes, size_t n_bytes, const char *what, const tt_image_limits *limits,
                             tt_error *err)
{
    if (n_bytes > limits->max_bytes)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: the picture's file has %zu bytes, at most %llu are read", what,
                       n_bytes, (unsigned long long)limits->max_bytes);
    if (tt_png_has_signature(bytes, n_bytes))
        return check_png(bytes, n_bytes, what, limits, err);
    if (tt_jpeg_has_signature(bytes, n_bytes))
        return check_jpeg(bytes, n_bytes, what, limits, err);
    return fail_type(what, err);
}

tt_status tt_image_decode(const uint8_t *bytes, size_t n_bytes, const char *what, const tt_image_limits *limits,
                          uint32_t n_channels, tt_image *image, tt_error *err)
{
    int width = 0, height = 0, n_found = 0;
    *image = (tt_image){0};
    if (n_channels == 2 || n_channels > 4)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s: %u channels were asked for, allowed are 0, 1, 3 and 4", what,
                       n_channels);
    const tt_status status = check_bytes(bytes, n_bytes, what, limits, err);
    if (status != TT_OK)
        return status;
    if (!tt_stb_info(bytes, n_bytes, &width, &height, &n_found))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the picture cannot be read: %s", what, tt_stb_reason());
    if (n_channels == 0)
        n_channels = n_found == 2 ? 4 : (uint32_t)n_found; /* grey with alpha has no form of its own */
    uint8_t *pixels = tt_stb_decode(bytes, n_bytes, (int)n_channels, &width, &height);
    if (pixels == NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the picture cannot be decoded: %s", what, tt_stb_reason());
    *image = (tt_image){(uint32_t)width, (uint32_t)height, n_channels, pixels};
    return TT_OK;
}

tt_status tt_image_read_file(const char *path, const tt_image_limits *limits, uint32_t n_channels, tt_image *image,
                             tt_error *err)
{
    tt_mapping mapping;
    *image = (tt_image){0};
    tt_status status = tt_file_map(path, &mapping, err);
    if (status != TT_OK)
        return status;
    if (mapping.n_bytes > SIZE_MAX)
        status = tt_fail_memory(err, "a picture's file", SIZE_MAX);
    else
        status = tt_image_decode(mapping.bytes, (size_t)mapping.n_bytes, path, limits, n_channels, image, err);
    tt_file_unmap(&mapping);
    return status;
}
