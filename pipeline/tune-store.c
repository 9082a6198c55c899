/* tune-store.c - tunings in the cache folder, and as files that people pass on. */
#include "pipeline/tune-store.h"
#include "base/file.h"
#include "device/crash-marker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TUNING_BYTES = 8 << 20 };

/* Path of the device's file (free()), NULL when there is no folder or no memory. */
static char *file_path(const tt_device *device)
{
    char key[TT_DEVICE_KEY], name[64];
    const char *folder = tt_device_cache_dir(device);
    if (folder == NULL || tt_device_key(device, key, NULL) != TT_OK)
        return NULL;
    (void)snprintf(name, sizeof name, "tuning-%s.json", key);
    return tt_path_join(folder, name);
}

static bool same_origin(const tt_tuning_origin *a, const tt_tuning_origin *b)
{
    return strcmp(a->engine, b->engine) == 0 && strcmp(a->device, b->device) == 0 &&
           strcmp(a->platform, b->platform) == 0 && strcmp(a->driver, b->driver) == 0 &&
           strcmp(a->version, b->version) == 0;
}

static tt_status read_file(const char *path, tt_tuning **tuning, tt_tuning_origin *origin, tt_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    *tuning = NULL;
    tt_status status = tt_file_read(path, MAX_TUNING_BYTES, &text, &n_bytes, err);
    if (status == TT_OK)
        status = tt_tuning_parse(text, n_bytes, path, tuning, origin, err);
    free(text);
    return status;
}

static tt_status write_file(const char *path, const tt_tuning *tuning, const tt_device *device, tt_error *err)
{
    char *text = NULL;
    tt_tuning_origin origin;
    tt_new_file file = {0};
    tt_status status = tt_tuning_origin_of(device, &origin, err);
    if (status == TT_OK)
        status = tt_tuning_format(tuning, &origin, &text, err);
    if (status == TT_OK)
        status = tt_new_file_open(&file, path, err);
    if (status == TT_OK) {
        status = tt_new_file_write(&file, text, strlen(text), err);
        if (status == TT_OK)
            status = tt_new_file_commit(&file, err);
        else
            tt_new_file_abort(&file);
    }
    free(text);
    return status;
}

/* Adds what one tuning holds to another. with_disabled: its disabled variants too. */
static tt_status merge(tt_tuning *into, const tt_tuning *from, bool with_disabled, tt_error *err)
{
    const tt_tuned *tuned;
    const tt_disabled *disabled;
    tt_status status = TT_OK;
    for (size_t i = 0; status == TT_OK && (tuned = tt_tuning_at(from, i)) != NULL; i++)
        status = tt_tuning_put(into, tuned, err);
    for (size_t i = 0; with_disabled && status == TT_OK && (disabled = tt_tuning_disabled_at(from, i)) != NULL; i++)
        status = tt_tuning_disable(into, disabled, err);
    return status;
}

/* ---- the cache folder */

static tt_status load(const tt_context *context, tt_device *device, tt_tuning *tuning, tt_error *err)
{
    tt_tuning *stored = NULL;
    tt_tuning_origin origin, here;
    tt_error reason = {""};
    char *path = file_path(device);
    tt_status status = TT_OK;
    if (path == NULL || !tt_path_is_file(path)) {
        free(path);
        return TT_OK;
    }
    if (read_file(path, &stored, &origin, &reason) != TT_OK)
        tt_log_write(&context->log, TT_LOG_WARNING, "stored kernel choices are ignored: %s", reason.text);
    else {
        status = tt_tuning_origin_of(device, &here, err);
        if (status == TT_OK && same_origin(&origin, &here))
            status = merge(tuning, stored, true, err);
        else if (status == TT_OK)
            tt_log_write(&context->log, TT_LOG_INFO, "%s: made by engine %s, ignored", path, origin.engine);
    }
    tt_tuning_destroy(stored);
    free(path);
    return status;
}

/* What crash markers are told to. */
typedef struct tt_marked {
    const tt_context *context;
    tt_tuning *tuning;
    bool any;
} tt_marked;

static void disable_marked(void *user, const char *text)
{
    tt_marked *marked = user;
    tt_log_write(
        &marked->context->log, TT_LOG_WARNING,
        "an earlier run ended while the driver worked on %.*s: that variant is not used; tintype selftest says "
        "more",
        (int)strcspn(text, "\n"), text);
    if (tt_tuning_disable_marked(marked->tuning, text, "a run ended while it was built or tried", NULL) == TT_OK)
        marked->any = true;
}

static void save(const tt_context *context, const tt_device *device, const tt_tuning *tuning)
{
    tt_error reason = {""};
    const char *folder = tt_device_cache_dir(device);
    char *path = file_path(device);
    tt_status status = path != NULL ? tt_folder_make(folder, &reason) : TT_OK;
    if (path != NULL && status == TT_OK)
        status = write_file(path, tuning, device, &reason);
    if (status != TT_OK)
        tt_log_write(&context->log, TT_LOG_WARNING, "kernel choices are not kept: %s", reason.text);
    free(path);
}

/* The strings that name a chip, whichever of them a driver uses for it. */
static void set_device(tt_tuning *tuning, const tt_device *device)
{
    const tt_device_info *info = &tt_device_caps(device)->info;
    char text[sizeof info->name + sizeof info->version + 1];
    (void)snprintf(text, sizeof text, "%s %s", info->name, info->version);
    tt_tuning_set_device(tuning, text);
}

tt_family tt_tune_store_family(const tt_device *device, const tt_tuning *tuning)
{
    tt_family family = tt_device_caps(device)->family;
    tt_family other = family == TT_FAMILY_CPU_TILE ? TT_FAMILY_GPU_PLAIN : TT_FAMILY_CPU_TILE;
    bool is_wrong = tt_tuning_is_disabled(tuning, "family", tt_family_name(family), NULL);
    bool has_other = !tt_tuning_is_disabled(tuning, "family", tt_family_name(other), NULL);
    return is_wrong && has_other ? other : family;
}

/* Says what is not used, and why. */
static void log_disabled(const tt_context *context, const tt_device *device, const tt_tuning *tuning)
{
    const tt_disabled *d;
    for (size_t i = 0; (d = tt_tuning_disabled_at(tuning, i)) != NULL; i++)
        tt_log_write(&context->log, TT_LOG_INFO, "%s %s (%s) is not used: %s", d->op, d->name, d->form, d->reason);
    tt_family family = tt_tune_store_family(device, tuning);
    if (family != tt_device_caps(device)->family)
        tt_log_write(&context->log, TT_LOG_INFO, "%s kernels take over", tt_family_name(family));
}

tt_status tt_tune_store_open(const tt_context *context, tt_device *device, tt_tuning **tuning, tt_error *err)
{
    tt_status status = tt_tuning_create(tuning, err);
    if (status != TT_OK)
        return status;
    tt_marked marked = {.context = context, .tuning = *tuning};
    set_device(*tuning, device);
    status = load(context, device, *tuning, err);
    if (status == TT_OK)
        status = tt_crash_markers_collect(device, disable_marked, &marked, err);
    if (marked.any)
        save(context, device, *tuning);
    if (status == TT_OK)
        log_disabled(context, device, *tuning);
    if (status != TT_OK) {
        tt_tuning_destroy(*tuning);
        *tuning = NULL;
    }
    return status;
}

void tt_tune_store_save(const tt_context *context)
{
    if (context->device != NULL && context->tuning != NULL)
        save(context, context->device, context->tuning);
}

/* ---- files that people pass on */

static tt_status need_device(const tt_context *context, tt_error *err)
{
    return context->device != NULL
               ? TT_OK
               : tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
}

tt_status tt_tuning_export(tt_context *context, const char *path)
{
    tt_error *err = tt_context_begin(context);
    tt_status status = need_device(context, err);
    return status == TT_OK ? write_file(path, context->tuning, context->device, err) : status;
}

tt_status tt_tuning_import(tt_context *context, const char *path)
{
    tt_error *err = tt_context_begin(context);
    tt_tuning *given = NULL;
    tt_tuning_origin origin, here;
    tt_status status = need_device(context, err);
    if (status == TT_OK)
        status = tt_tuning_origin_of(context->device, &here, err);
    if (status == TT_OK)
        status = read_file(path, &given, &origin, err);
    if (status == TT_OK && (strcmp(origin.device, here.device) != 0 || strcmp(origin.version, here.version) != 0))
        status = tt_fail(err, TT_ERROR_UNSUPPORTED,
                         "%s: made on %s (%s), but the open device is %s (%s); choices of one do not suit the other",
                         path, origin.device, origin.version, here.device, here.version);
    if (status == TT_OK && !same_origin(&origin, &here))
        tt_log_write(&context->log, TT_LOG_INFO, "%s: made by engine %s with driver %s; times may differ here", path,
                     origin.engine, origin.driver);
    if (status == TT_OK)
        status = merge(context->tuning, given, same_origin(&origin, &here), err);
    tt_tuning_destroy(given);
    if (status == TT_OK)
        tt_tune_store_save(context);
    return status;
}

bool tt_context_tuned_at(const tt_context *context, size_t index, tt_tuned *tuned)
{
    const tt_tuned *found = context->tuning != NULL ? tt_tuning_at(context->tuning, index) : NULL;
    if (found != NULL)
        *tuned = *found;
    return found != NULL;
}

bool tt_context_disabled_at(const tt_context *context, size_t index, tt_disabled *disabled)
{
    const tt_disabled *found = context->tuning != NULL ? tt_tuning_disabled_at(context->tuning, index) : NULL;
    if (found != NULL)
        *disabled = *found;
    return found != NULL;
}
