/* device.c - opening and closing a device, and the sentences of its failures. */
#include "device/device-private.h"

#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

tt_status tt_device_list(tt_device_info **infos, size_t *n_infos, tt_error *err)
{
    tt_cl cl;
    tt_found *found = NULL;
    size_t n_found = 0;
    *infos = NULL;
    *n_infos = 0;
    tt_status status = tt_cl_load(&cl, err);
    if (status != TT_OK)
        return status;
    status = tt_devices_find(&cl, &found, &n_found, err);
    if (status == TT_OK) {
        *infos = malloc(n_found * sizeof(**infos));
        if (*infos == NULL)
            status = tt_fail_memory(err, "the list of devices", n_found * sizeof(**infos));
    }
    for (size_t i = 0; status == TT_OK && i < n_found; i++)
        (*infos)[i] = found[i].caps.info;
    if (status == TT_OK)
        *n_infos = n_found;
    free(found);
    tt_cl_unload(&cl);
    return status;
}

/* $XDG_CACHE_HOME/tintype (absolute paths only, says the XDG base directory specification) or ~/.cache/tintype; NULL in
 * *folder when neither variable is set. */
static bool default_cache_dir(char **folder)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *folder = NULL;
    if (xdg != NULL && xdg[0] == '/')
        *folder = tt_path_join(xdg, "tintype");
    else if (home != NULL && home[0] == '/')
        *folder = tt_path_join(home, ".cache/tintype");
    else
        return true;
    return *folder != NULL;
}

/* Copies the folders that the options or the environment name. */
static tt_status set_folders(tt_device *device, const tt_device_options *options, tt_error *err)
{
    bool copied = true;
    if (options->cache_dir == NULL)
        copied = default_cache_dir(&device->cache_dir);
    else if (options->cache_dir[0] != '\0')
        copied = tt_string_copy(options->cache_dir, &device->cache_dir);
    const char *kernel_dir = options->kernel_dir != NULL ? options->kernel_dir : getenv("TINTYPE_KERNEL_DIR");
    if (copied && kernel_dir != NULL && kernel_dir[0] != '\0')
        copied = tt_string_copy(kernel_dir, &device->kernel_dir);
    if (!copied)
        return tt_fail_memory(err, "folder names", 4096);
    if (device->kernel_dir != NULL && !tt_path_is_folder(device->kernel_dir))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%s: expected a folder of kernel sources, found none; correct kernel_dir or "
                       "TINTYPE_KERNEL_DIR or leave it out",
                       device->kernel_dir);
    return TT_OK;
}

static tt_status create_queue(tt_device *device, tt_error *err)
{
    cl_int code;
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->found.platform, 0};
    device->context = device->cl.create_context(properties, 1, &device->found.id, NULL, NULL, &code);
    if (device->context == NULL)
        return tt_device_fail(device, err, code, "clCreateContext");
    cl_command_queue_properties flags = device->profiling ? CL_QUEUE_PROFILING_ENABLE : 0;
    device->queue = device->cl.create_command_queue(device->context, device->found.id, flags, &code);
    if (device->queue == NULL)
        return tt_device_fail(device, err, code, "clCreateCommandQueue");
    return TT_OK;
}

static tt_status choose(tt_device *device, const char *wanted, tt_error *err)
{
    tt_found *found = NULL;
    size_t n_found = 0, index = 0;
    tt_status status = tt_devices_find(&device->cl, &found, &n_found, err);
    if (status == TT_OK)
        status = tt_devices_choose(found, n_found, wanted, &index, err);
    if (status == TT_OK)
        device->found = found[index];
    free(found);
    return status;
}

tt_status tt_device_open(const tt_device_options *options, tt_device **device, tt_error *err)
{
    *device = NULL;
    tt_device *opened = calloc(1, sizeof(*opened));
    if (opened == NULL)
        return tt_fail_memory(err, "a device", sizeof(*opened));
    opened->log = options->log;
    opened->profiling = options->profiling;
    tt_status status = tt_cl_load(&opened->cl, err);
    if (status == TT_OK)
        status = choose(opened, options->device, err);
    if (status == TT_OK)
        status = set_folders(opened, options, err);
    if (status == TT_OK)
        status = create_queue(opened, err);
    if (status != TT_OK) {
        tt_device_close(opened);
        return status;
    }
    const tt_device_info *info = &opened->found.caps.info;
    tt_log_write(opened->log, TT_LOG_INFO, "device %s: %s, %s, driver %s, %s kernels", info->id, info->name,
                 info->platform, info->driver, info->variant);
    *device = opened;
    return TT_OK;
}

void tt_device_close(tt_device *device)
{
    if (device == NULL)
        return;
    if (device->queue != NULL) {
        (void)device->cl.finish(device->queue);
        tt_programs_release(device);
        if (device->profiling_queue != NULL && device->profiling_queue != device->queue)
            (void)device->cl.release_command_queue(device->profiling_queue);
        (void)device->cl.release_command_queue(device->queue);
    }
    tt_texels_release(device, NULL);
    if (device->context != NULL)
        (void)device->cl.release_context(device->context);
    tt_cl_unload(&device->cl);
    free(device->cache_dir);
    free(device->kernel_dir);
    free(device);
}

const tt_caps *tt_device_caps(const tt_device *device)
{
    return &device->found.caps;
}

const tt_cl *tt_device_cl(const tt_device *device)
{
    return &device->cl;
}

cl_context tt_device_context(const tt_device *device)
{
    return device->context;
}

cl_device_id tt_device_id(const tt_device *device)
{
    return device->found.id;
}

cl_command_queue tt_device_queue(const tt_device *device)
{
    return device->queue;
}

tt_status tt_device_profiling_queue(tt_device *device, cl_command_queue *queue, tt_error *err)
{
    cl_int code = CL_SUCCESS;
    if (device->profiling_queue == NULL && device->profiling)
        device->profiling_queue = device->queue;
    if (device->profiling_queue == NULL)
        device->profiling_queue =
            device->cl.create_command_queue(device->context, device->found.id, CL_QUEUE_PROFILING_ENABLE, &code);
    *queue = device->profiling_queue;
    return *queue != NULL ? TT_OK : tt_device_fail(device, err, code, "clCreateCommandQueue for times");
}

const char *tt_device_cache_dir(const tt_device *device)
{
    return device->cache_dir;
}

void tt_device_add_part(tt_text *text, const char *part, size_t n_bytes)
{
    tt_text_format(text, "%zu:", n_bytes);
    tt_text_add(text, part, n_bytes);
}

void tt_device_add_identity(const tt_device *device, tt_text *text)
{
    const tt_device_info *info = &device->found.caps.info;
    const char *parts[] = {info->platform, device->found.platform_version, info->name, info->vendor, info->driver,
                           info->version};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        tt_device_add_part(text, parts[i], strlen(parts[i]));
}

tt_status tt_device_key(const tt_device *device, char key[TT_DEVICE_KEY], tt_error *err)
{
    char hex[65] = "";
    tt_text text = {0};
    tt_device_add_identity(device, &text);
    tt_status status = tt_text_status(&text, err);
    if (status == TT_OK)
        status = tt_sha256_hex(text.bytes, text.n_bytes, hex, err);
    tt_text_free(&text);
    memcpy(key, hex, TT_DEVICE_KEY - 1);
    key[TT_DEVICE_KEY - 1] = '\0';
    return status;
}

const tt_log *tt_device_log(const tt_device *device)
{
    return device->log;
}

uint32_t *tt_device_note(tt_device *device, tt_device_note_kind kind)
{
    return &device->notes[kind];
}

tt_status tt_device_finish(tt_device *device, tt_error *err)
{
    cl_int code = device->cl.finish(device->queue);
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(device, err, code, "clFinish");
}

tt_status tt_device_fail(const tt_device *device, tt_error *err, cl_int code, const char *what)
{
    const char *name = device->found.caps.info.name;
    bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY;
    if (memory)
        return tt_fail(err, TT_ERROR_MEMORY,
                       "%s: %s (%d) on %s; ask for a smaller picture, half precision or VAE tiling, or free memory",
                       what, tt_cl_error_name(code), (int)code, name);
    return tt_fail(err, TT_ERROR_DEVICE, "%s: %s (%d) on %s", what, tt_cl_error_name(code), (int)code, name);
}
