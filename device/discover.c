/* discover.c - finding OpenCL devices, asking them what they can do, and choosing one. */
#include "device/device-private.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_PLATFORMS = 32, MAX_DEVICES = 64 };

const char *tt_family_name(tt_family family)
{
    return family == TT_FAMILY_CPU_TILE ? "cpu-tile" : "gpu-plain";
}

/* Copies a driver's string: printable ASCII and well-formed UTF-8 stay, runs of anything else become one space, none at
 * the ends. */
static void copy_clean(char *out, size_t n_bytes, const char *text)
{
    size_t used = 0;
    bool valid = tt_utf8_valid(text, strlen(text), NULL), gap = false;
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= 0x20 || c == 0x7f || (c >= 0x80 && !valid)) {
            gap = used > 0;
            continue;
        }
        if (used + (gap ? 1 : 0) + 1 >= n_bytes)
            break;
        if (gap)
            out[used++] = ' ';
        out[used++] = (char)c;
        gap = false;
    }
    /* Cut off a sequence that the size limit has split. */
    size_t bad;
    out[used] = '\0';
    if (!tt_utf8_valid(out, used, &bad))
        out[bad] = '\0';
}

static void platform_text(const tt_cl *cl, cl_platform_id id, cl_platform_info what, char *out, size_t n_bytes)
{
    char raw[512] = "";
    if (cl->get_platform_info(id, what, sizeof(raw) - 1, raw, NULL) != CL_SUCCESS)
        raw[0] = '\0';
    raw[sizeof(raw) - 1] = '\0';
    copy_clean(out, n_bytes, raw);
}

static void device_text(const tt_cl *cl, cl_device_id id, cl_device_info what, char *out, size_t n_bytes)
{
    char raw[512] = "";
    if (cl->get_device_info(id, what, sizeof(raw) - 1, raw, NULL) != CL_SUCCESS)
        raw[0] = '\0';
    raw[sizeof(raw) - 1] = '\0';
    copy_clean(out, n_bytes, raw);
}

/* A number of the device that OpenCL gives as bool, uint, ulong or size_t; 0 when it cannot be asked. */
static uint64_t device_number(const tt_cl *cl, cl_device_id id, cl_device_info what)
{
    uint64_t wide = 0;
    size_t n_bytes = 0;
    if (cl->get_device_info(id, what, sizeof(wide), &wide, &n_bytes) != CL_SUCCESS)
        return 0;
    if (n_bytes >= sizeof(wide))
        return wide;
    uint32_t narrow;
    memcpy(&narrow, &wide, sizeof(narrow));
    return narrow;
}

/* True when the list of words holds one that begins with `start` and, unless `prefix`, ends there. */
static bool has_word(const char *list, const char *start, bool prefix)
{
    size_t n = strlen(start);
    for (const char *p = strstr(list, start); p != NULL; p = strstr(p + 1, start))
        if ((p == list || p[-1] == ' ') && (prefix || p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

static void probe_extensions(const tt_cl *cl, tt_found *found)
{
    size_t n_bytes = 0;
    if (cl->get_device_info(found->id, CL_DEVICE_EXTENSIONS, 0, NULL, &n_bytes) != CL_SUCCESS || n_bytes == 0)
        return;
    char *list = calloc(n_bytes + 1, 1);
    if (list == NULL)
        return; /* no extension is used, which always works */
    if (cl->get_device_info(found->id, CL_DEVICE_EXTENSIONS, n_bytes, list, NULL) == CL_SUCCESS) {
        tt_caps *caps = &found->caps;
        caps->has_fp16 = has_word(list, "cl_khr_fp16", false);
        caps->has_subgroups = has_word(list, "cl_khr_subgroups", false) || has_word(list, "cl_intel_subgroups", false);
        caps->has_khr_dot = has_word(list, "cl_khr_integer_dot_product", false);
        caps->has_qcom_dot = has_word(list, "cl_qcom_dot_product8", false);
        caps->has_arm_dot = has_word(list, "cl_arm_integer_dot_product_accumulate_int8", false);
        caps->has_int_dot =
            caps->has_khr_dot || caps->has_qcom_dot || has_word(list, "cl_arm_integer_dot_product", true);
        caps->has_command_buffer = has_word(list, "cl_khr_command_buffer", false);
    }
    free(list);
}

static void probe_strings(const tt_cl *cl, tt_found *found)
{
    tt_device_info *info = &found->caps.info;
    device_text(cl, found->id, CL_DEVICE_NAME, info->name, sizeof(info->name));
    device_text(cl, found->id, CL_DEVICE_VENDOR, info->vendor, sizeof(info->vendor));
    device_text(cl, found->id, CL_DRIVER_VERSION, info->driver, sizeof(info->driver));
    device_text(cl, found->id, CL_DEVICE_VERSION, info->version, sizeof(info->version));
    platform_text(cl, found->platform, CL_PLATFORM_NAME, info->platform, sizeof(info->platform));
    platform_text(cl, found->platform, CL_PLATFORM_VERSION, found->platform_version, sizeof(found->platform_version));
}

static void probe_limits(const tt_cl *cl, tt_found *found)
{
    tt_caps *caps = &found->caps;
    caps->global_bytes = device_number(cl, found->id, CL_DEVICE_GLOBAL_MEM_SIZE);
    caps->max_alloc_bytes = device_number(cl, found->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    caps->local_bytes = device_number(cl, found->id, CL_DEVICE_LOCAL_MEM_SIZE);
    caps->max_work_group = (size_t)device_number(cl, found->id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    caps->has_local_memory = device_number(cl, found->id, CL_DEVICE_LOCAL_MEM_TYPE) == CL_LOCAL;
    if (device_number(cl, found->id, CL_DEVICE_IMAGE_SUPPORT) != 0)
        caps->max_texels = (size_t)device_number(cl, found->id, CL_DEVICE_IMAGE_MAX_BUFFER_SIZE);
    caps->n_compute_units = (uint32_t)device_number(cl, found->id, CL_DEVICE_MAX_COMPUTE_UNITS);
    caps->mixes_local = found->quirks.mixes_local;
    uint64_t limit = found->quirks.max_alloc_bytes;
    if (limit != 0 && caps->max_alloc_bytes > limit)
        caps->max_alloc_bytes = limit;
}

/* Register tiles with wide vectors pay where the compiler maps one work item to one CPU core: PoCL and Intel's CPU
 * runtime. Everything else spreads work items over lanes, and so do the software GPUs. */
static tt_family choose_family(const tt_found *found)
{
    const char *platform = found->caps.info.platform;
    bool tile = strstr(platform, "Portable Computing Language") != NULL || strstr(platform, "Intel") != NULL;
    return found->caps.is_cpu && tile ? TT_FAMILY_CPU_TILE : TT_FAMILY_GPU_PLAIN;
}

/* Copies what the public struct repeats. */
static void fill_info(tt_caps *caps, cl_device_type type)
{
    tt_device_info *info = &caps->info;
    info->is_gpu = (type & CL_DEVICE_TYPE_GPU) != 0;
    info->has_fp16 = caps->has_fp16;
    info->has_subgroups = caps->has_subgroups;
    info->has_int_dot = caps->has_int_dot;
    info->n_compute_units = caps->n_compute_units;
    info->global_bytes = caps->global_bytes;
    info->max_alloc_bytes = caps->max_alloc_bytes;
    info->local_bytes = caps->local_bytes;
    info->max_work_group = caps->max_work_group;
    (void)snprintf(info->variant, sizeof(info->variant), "%s", tt_family_name(caps->family));
}

static void probe(const tt_cl *cl, tt_found *found)
{
    probe_strings(cl, found);
    found->quirks = tt_quirks_find(&found->caps.info);
    found->type = device_number(cl, found->id, CL_DEVICE_TYPE);
    probe_limits(cl, found);
    probe_extensions(cl, found);
    found->caps.is_cpu = (found->type & CL_DEVICE_TYPE_CPU) != 0;
    found->shared_memory = found->caps.is_cpu || device_number(cl, found->id, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    found->caps.family = choose_family(found);
    fill_info(&found->caps, found->type);
}

/* The engine needs a compiler for OpenCL C 1.2 and a little-endian device with memory. */
static bool is_usable(const tt_cl *cl, const tt_found *found)
{
    unsigned major = 0, minor = 0;
    if (sscanf(found->caps.info.version, "OpenCL %u.%u", &major, &minor) != 2 || major * 10 + minor < 12)
        return false;
    return device_number(cl, found->id, CL_DEVICE_AVAILABLE) != 0 &&
           device_number(cl, found->id, CL_DEVICE_COMPILER_AVAILABLE) != 0 &&
           device_number(cl, found->id, CL_DEVICE_ENDIAN_LITTLE) != 0 && found->caps.global_bytes > 0 &&
           found->caps.max_alloc_bytes > 0;
}

/* Lower is better. */
static int rank(const tt_found *found)
{
    int kind = (found->type & CL_DEVICE_TYPE_GPU) != 0 ? 0 : found->caps.is_cpu ? 1 : 2;
    return found->quirks.last_choice ? kind + 3 : kind;
}

static bool is_better(const tt_found *a, const tt_found *b)
{
    if (rank(a) != rank(b))
        return rank(a) < rank(b);
    return a->caps.n_compute_units > b->caps.n_compute_units;
}

/* Insertion sort: stable, so equal devices stay in the driver's order. */
static void sort_found(tt_found *found, size_t n_found)
{
    for (size_t i = 1; i < n_found; i++) {
        tt_found moving = found[i];
        size_t j = i;
        for (; j > 0 && is_better(&moving, &found[j - 1]); j--)
            found[j] = found[j - 1];
        found[j] = moving;
    }
    for (size_t i = 0; i < n_found; i++)
        (void)snprintf(found[i].caps.info.id, sizeof(found[i].caps.info.id), "%u", (unsigned)i);
}

/* Adds the usable devices of one platform. */
static size_t find_in_platform(const tt_cl *cl, cl_platform_id platform, tt_found *found, size_t n_room)
{
    cl_device_id ids[MAX_DEVICES];
    cl_uint n_ids = 0;
    size_t n_found = 0;
    if (cl->get_device_ids(platform, CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &n_ids) != CL_SUCCESS)
        return 0;
    if (n_ids > MAX_DEVICES)
        n_ids = MAX_DEVICES;
    for (cl_uint i = 0; i < n_ids && n_found < n_room; i++) {
        tt_found *next = &found[n_found];
        *next = (tt_found){.platform = platform, .id = ids[i]};
        probe(cl, next);
        if (is_usable(cl, next))
            n_found++;
    }
    return n_found;
}

tt_status tt_devices_find(const tt_cl *cl, tt_found **found, size_t *n_found, tt_error *err)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    *found = NULL;
    *n_found = 0;
    cl_int code = cl->get_platform_ids(MAX_PLATFORMS, platforms, &n_platforms);
    if (code != CL_SUCCESS)
        n_platforms = 0;
    if (n_platforms > MAX_PLATFORMS)
        n_platforms = MAX_PLATFORMS;
    tt_found *list = malloc(MAX_DEVICES * sizeof(*list));
    if (list == NULL)
        return tt_fail_memory(err, "the list of devices", MAX_DEVICES * sizeof(*list));
    for (cl_uint i = 0; i < n_platforms; i++)
        *n_found += find_in_platform(cl, platforms[i], list + *n_found, MAX_DEVICES - *n_found);
    if (*n_found == 0) {
        free(list);
        return tt_fail(err, TT_ERROR_DEVICE,
                       "no usable OpenCL device: %u platforms were found and none has a device with an OpenCL 1.2 "
                       "compiler; install an OpenCL driver, on Debian and Ubuntu `apt install pocl-opencl-icd` for the "
                       "CPU",
                       (unsigned)n_platforms);
    }
    sort_found(list, *n_found);
    *found = list;
    return TT_OK;
}

static bool contains_case(const char *text, const char *part)
{
    size_t n_text = strlen(text), n_part = strlen(part);
    for (size_t i = 0; i + n_part <= n_text; i++)
        if (strncasecmp(text + i, part, n_part) == 0)
            return true;
    return false;
}

/* "0: NAME (PLATFORM), 1: ..." */
static void list_text(const tt_found *found, size_t n_found, char *text, size_t n_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n_found && used < n_bytes; i++) {
        const tt_device_info *info = &found[i].caps.info;
        int n = snprintf(text + used, n_bytes - used, "%s%s: %s (%s)", i == 0 ? "" : ", ", info->id, info->name,
                         info->platform);
        used += n > 0 ? (size_t)n : 0;
    }
}

/* Index of the device meant; n_found when there is none. Names of devices go before names of platforms. */
static size_t match(const tt_found *found, size_t n_found, const char *wanted)
{
    if (wanted == NULL || wanted[0] == '\0')
        return 0;
    if (wanted[strspn(wanted, "0123456789")] == '\0') {
        for (size_t i = 0; i < n_found; i++)
            if (strcmp(wanted, found[i].caps.info.id) == 0)
                return i;
        return n_found;
    }
    for (size_t i = 0; i < n_found; i++)
        if (contains_case(found[i].caps.info.name, wanted))
            return i;
    for (size_t i = 0; i < n_found; i++)
        if (contains_case(found[i].caps.info.platform, wanted) || contains_case(found[i].platform_version, wanted))
            return i;
    return n_found;
}

tt_status tt_devices_choose(const tt_found *found, size_t n_found, const char *wanted, size_t *index, tt_error *err)
{
    *index = match(found, n_found, wanted);
    if (*index < n_found)
        return TT_OK;
    char list[700];
    list_text(found, n_found, list, sizeof(list));
    return tt_fail(err, TT_ERROR_DEVICE, "no device \"%.100s\": expected an index or a part of a name, found %s",
                   wanted, list);
}
