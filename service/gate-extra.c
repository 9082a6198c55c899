/* gate-extra.c - A1111's form of a job: base64 in JSON, both ways. */
#include "service/gate-private.h"

#include "base/base64.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* A picture and some settings: a body with more values than that is no form of A1111's but an attempt to fill memory.
 */
enum { MAX_VALUES = 1024 };

static bool has_many_values(const uint8_t *text, size_t n_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++)
        n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return n > MAX_VALUES;
}

/* Behind "data:image/png;base64," where that stands. */
static const char *skip_data_url(const char *text)
{
    const char *comma = strncmp(text, "data:", 5) == 0 ? strchr(text, ',') : NULL;
    return comma != NULL ? comma + 1 : text;
}

/* The decoded picture takes the body's place; it is smaller, so the bytes that are counted stay enough. */
static bool take_picture(gate_request *request, const char *text)
{
    static const uint8_t png_begins = 0x89;
    size_t n_bytes = 0;
    text = skip_data_url(text);
    const size_t n_text = strlen(text);
    if (n_text / 4 * 3 + 3 > request->capacity || !tt_base64_decode(text, n_text, request->body, &n_bytes) ||
        n_bytes == 0) {
        gate_refuse(request, 422, "\"image\" is not base64");
        return false;
    }
    request->n_body = n_bytes;
    const char *type = tt_body_kind_type(request->body[0] == png_begins ? TT_BODY_PNG : TT_BODY_JPEG);
    memcpy(request->type, type, strlen(type) + 1);
    return true;
}

bool gate_extra_read(gate_request *request)
{
    json_t *form = NULL;
    const char *image = NULL;
    double scale = 2;
    tt_error err = {""};
    if (has_many_values(request->body, request->n_body)) {
        gate_refuse(request, 422, "the form has too many values");
        return false;
    }
    tt_status status = tt_json_parse((const char *)request->body, request->n_body, "the form", &form, &err);
    if (status == TT_OK)
        status = tt_json_get_text(form, "image", &image, &err);
    if (status == TT_OK)
        status = tt_json_get_f64(form, "upscaling_resize", &scale, &err);
    bool is_fine = false;
    if (status != TT_OK)
        gate_refuse(request, 422, "%s", err.text);
    else if (image == NULL)
        gate_refuse(request, 422, "\"image\" is missing");
    else if (scale != 2 && scale != 3 && scale != 4)
        gate_refuse(request, 422, "\"upscaling_resize\" must be 2, 3 or 4");
    else
        is_fine = take_picture(request, image);
    request->scale = is_fine ? (uint32_t)scale : 0;
    json_decref(form);
    return is_fine;
}

void gate_extra_answer(gate_request *request, const void *result, size_t n_bytes)
{
    static const char before[] = "{\"image\":\"", behind[] = "\",\"html_info\":\"\"}";
    const size_t n_text = tt_base64_length(n_bytes);
    tt_text text = {.bytes = malloc(sizeof before + n_text + sizeof behind)};
    if (text.bytes == NULL) {
        gate_refuse(request, 503, "memory is short: try again");
        return;
    }
    memcpy(text.bytes, before, sizeof before - 1);
    tt_base64_encode(result, n_bytes, text.bytes + sizeof before - 1);
    memcpy(text.bytes + sizeof before - 1 + n_text, behind, sizeof behind);
    text.n_bytes = sizeof before - 1 + n_text + sizeof behind - 1;
    gate_answer_text(request, 200, "application/json", &text);
    gate_answer_count(request);
}
