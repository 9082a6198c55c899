/* tuning-file.c - tunings to JSON and back. */
#include "cl-kernels/tuning-file.h"

#include "base/json.h"
#include "base/sha256.h"
#include "base/text.h"
#include "cl-kernels/kernel-source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "tintype tuning 1";

/* Longest time that a launch is believed to take. */
static const double max_ms = 1e7;

tt_status tt_tuning_origin_of(const tt_device *device, tt_tuning_origin *origin, tt_error *err)
{
    const tt_device_info *info = &tt_device_caps(device)->info;
    char hex[65] = "";
    tt_text all = {0};
    for (size_t i = 0; i < tt_n_kernel_sources; i++)
        tt_text_add(&all, tt_kernel_sources[i].text, tt_kernel_sources[i].n_bytes);
    tt_status status = tt_text_status(&all, err);
    if (status == TT_OK)
        status = tt_sha256_hex(all.bytes, all.n_bytes, hex, err);
    tt_text_free(&all);
    *origin = (tt_tuning_origin){.engine = ""};
    (void)snprintf(origin->engine, sizeof(origin->engine), "%s %.8s", tt_version(), hex);
    (void)snprintf(origin->device, sizeof(origin->device), "%s", info->name);
    (void)snprintf(origin->vendor, sizeof(origin->vendor), "%s", info->vendor);
    (void)snprintf(origin->platform, sizeof(origin->platform), "%s", info->platform);
    (void)snprintf(origin->driver, sizeof(origin->driver), "%s", info->driver);
    (void)snprintf(origin->version, sizeof(origin->version), "%s", info->version);
    return status;
}

/* ---- writing */

/* Six digits are more than any clock gives, and read well. */
static double rounded(double ms)
{
    return round(ms * 1e4) * 1e-4;
}

tt_status tt_tuning_format(const tt_tuning *tuning, const tt_tuning_origin *origin, char **text, tt_error *err)
{
    const tt_tuned *t;
    const tt_disabled *d;
    json_t *choices = json_array(), *disabled = json_array();
    bool good = choices != NULL && disabled != NULL;
    for (size_t i = 0; good && (t = tt_tuning_at(tuning, i)) != NULL; i++)
        good = json_array_append_new(choices,
                                     json_pack("{s:s, s:s, s:s, s:f, s:f}", "op", t->op, "key", t->key, "name", t->name,
                                               "ms", rounded(t->ms), "default_ms", rounded(t->default_ms))) == 0;
    for (size_t i = 0; good && (d = tt_tuning_disabled_at(tuning, i)) != NULL; i++)
        good = json_array_append_new(disabled, json_pack("{s:s, s:s, s:s, s:s}", "op", d->op, "name", d->name, "form",
                                                         d->form, "reason", d->reason)) == 0;
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "format", format_name, "engine", origin->engine,
                  "device", origin->device, "vendor", origin->vendor, "platform", origin->platform, "driver",
                  origin->driver, "version", origin->version, "choices", choices, "disabled", disabled);
    *text = good && root != NULL ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(8)) : NULL;
    json_decref(root);
    return *text != NULL ? TT_OK : tt_fail_memory(err, "the text of tuned choices", 0);
}

/* ---- reading */

/* Text of an object that fits out and holds nothing but printable characters. may_be_empty: or nothing at all. */
static tt_status take(const json_t *object, const char *key, bool may_be_empty, char *out, size_t n_bytes,
                      tt_error *err)
{
    const char *text = NULL;
    tt_status status = tt_json_get_text(object, key, &text, err);
    if (status != TT_OK)
        return status;
    if (text == NULL || (text[0] == '\0' && !may_be_empty))
        return tt_fail(err, TT_ERROR_FORMAT, "\"%s\" is missing", key);
    if (strlen(text) >= n_bytes)
        return tt_fail(err, TT_ERROR_FORMAT, "\"%s\" has more than %zu bytes", key, n_bytes - 1);
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return tt_fail(err, TT_ERROR_FORMAT, "\"%s\" holds a control character", key);
    (void)snprintf(out, n_bytes, "%s", text);
    return TT_OK;
}

static tt_status take_ms(const json_t *object, const char *key, double *ms, tt_error *err)
{
    *ms = -1;
    tt_status status = tt_json_get_f64(object, key, ms, err);
    if (status == TT_OK && !(*ms >= 0 && *ms <= max_ms))
        return tt_fail(err, TT_ERROR_FORMAT, "\"%s\" is missing or no time in milliseconds", key);
    return status;
}

static tt_status take_choice(const json_t *object, tt_tuning *tuning, tt_error *err)
{
    tt_tuned t = {.op = ""};
    tt_status status = take(object, "op", false, t.op, sizeof(t.op), err);
    if (status == TT_OK)
        status = take(object, "key", false, t.key, sizeof(t.key), err);
    if (status == TT_OK)
        status = take(object, "name", false, t.name, sizeof(t.name), err);
    if (status == TT_OK)
        status = take_ms(object, "ms", &t.ms, err);
    if (status == TT_OK)
        status = take_ms(object, "default_ms", &t.default_ms, err);
    return status == TT_OK ? tt_tuning_put(tuning, &t, err) : status;
}

static tt_status take_disabled(const json_t *object, tt_tuning *tuning, tt_error *err)
{
    tt_disabled d = {.op = ""};
    tt_status status = take(object, "op", false, d.op, sizeof(d.op), err);
    if (status == TT_OK)
        status = take(object, "name", false, d.name, sizeof(d.name), err);
    if (status == TT_OK)
        status = take(object, "form", true, d.form, sizeof(d.form), err);
    if (status == TT_OK)
        status = take(object, "reason", true, d.reason, sizeof(d.reason), err);
    return status == TT_OK ? tt_tuning_disable(tuning, &d, err) : status;
}

typedef tt_status (*take_fn)(const json_t *object, tt_tuning *tuning, tt_error *err);

static tt_status take_list(const json_t *root, const char *key, take_fn take_item, tt_tuning *tuning, tt_error *err)
{
    const json_t *list = json_object_get(root, key);
    if (!json_is_array(list))
        return tt_fail(err, TT_ERROR_FORMAT, "\"%s\" is no list", key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char place[64];
        const json_t *item = json_array_get(list, i);
        tt_status status =
            json_is_object(item) ? take_item(item, tuning, err) : tt_fail(err, TT_ERROR_FORMAT, "expected an object");
        if (status != TT_OK) {
            (void)snprintf(place, sizeof(place), "%s[%zu]", key, i);
            tt_error_prefix(err, place);
            return status;
        }
    }
    return TT_OK;
}

static tt_status take_origin(const json_t *root, tt_tuning_origin *origin, tt_error *err)
{
    char format[64];
    tt_status status = take(root, "format", false, format, sizeof(format), err);
    if (status == TT_OK && strcmp(format, format_name) != 0)
        return tt_fail(err, TT_ERROR_FORMAT, "the format is \"%s\", not \"%s\"", format, format_name);
    if (status == TT_OK)
        status = take(root, "engine", false, origin->engine, sizeof(origin->engine), err);
    if (status == TT_OK)
        status = take(root, "device", false, origin->device, sizeof(origin->device), err);
    if (status == TT_OK)
        status = take(root, "vendor", true, origin->vendor, sizeof(origin->vendor), err);
    if (status == TT_OK)
        status = take(root, "platform", true, origin->platform, sizeof(origin->platform), err);
    if (status == TT_OK)
        status = take(root, "driver", true, origin->driver, sizeof(origin->driver), err);
    if (status == TT_OK)
        status = take(root, "version", true, origin->version, sizeof(origin->version), err);
    return status;
}

tt_status tt_tuning_parse(const char *text, size_t n_bytes, const char *what, tt_tuning **tuning,
                          tt_tuning_origin *origin, tt_error *err)
{
    json_t *root = NULL;
    *tuning = NULL;
    *origin = (tt_tuning_origin){.engine = ""};
    tt_status status = tt_json_parse(text, n_bytes, what, &root, err);
    if (status != TT_OK)
        return status;
    status = tt_tuning_create(tuning, err);
    if (status == TT_OK)
        status = take_origin(root, origin, err);
    if (status == TT_OK)
        status = take_list(root, "choices", take_choice, *tuning, err);
    if (status == TT_OK)
        status = take_list(root, "disabled", take_disabled, *tuning, err);
    json_decref(root);
    if (status != TT_OK) {
        tt_tuning_destroy(*tuning);
        *tuning = NULL;
        tt_error_prefix(err, what);
    }
    return status;
}
