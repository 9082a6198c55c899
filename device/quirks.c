/* quirks.c - the table of driver quirks. Every entry says what was seen; nothing else in the engine names a driver,
 * except the choice of the variant family in discover.c.
 *
 * Traps that need no entry because the engine avoids them on every device: fma() that runs in software (kernels write
 * a * b + c), pointer casts of private vectors that are miscompiled and required work-group sizes that cost speed (no
 * kernel has them), crashes inside clBuildProgram or clCreateProgramWithBinary (crash markers, program-cache.c), and
 * clock rates reported as 1 MHz (never read). */
#include "device/quirks-private.h"

#include <string.h>

/* A NULL field matches everything; others match when the device's string contains them. */
typedef struct quirk {
    const char *platform, *driver, *name;
    tt_quirks quirks;
} quirk;

static const quirk table[] = {
    /* An interpreter that checks every access: thousands of times slower than any device. */
    {"Oclgrind", NULL, NULL, {.last_choice = true}},
    /* PoCL keeps compiled programs and kernels itself (POCL_CACHE_DIR), and asking it for a binary makes it compile
     * every kernel a second time, for work-groups of any size: that doubles the time to the first picture. Once there,
     * a binary loads ten times as fast as PoCL finds the program in its cache, for which it preprocesses the source.
     * PoCL 3.1: a kernel that fills the same local array from two places gives wrong sums in one run of four when its
     * work-groups run on several threads, none on one thread; rusticl and Oclgrind find nothing wrong with it. */
    {"Portable Computing Language", NULL, NULL, {.slow_binaries = true, .mixes_local = true}},
    /* Mesa's software rasteriser: correct, but far slower than PoCL on the same CPU. */
    {NULL, NULL, "llvmpipe", {.last_choice = true}},
    {NULL, NULL, "softpipe", {.last_choice = true}},
    /* Adreno: buffers above about 1.07 GB lose data silently on some driver versions, whatever
     * CL_DEVICE_MAX_MEM_ALLOC_SIZE says. */
    {NULL, NULL, "Adreno", {.max_alloc_bytes = (uint64_t)1 << 30}},
    {"QUALCOMM", NULL, NULL, {.max_alloc_bytes = (uint64_t)1 << 30}},
};

static bool contains(const char *text, const char *part)
{
    return part == NULL || strstr(text, part) != NULL;
}

tt_quirks tt_quirks_find(const tt_device_info *info)
{
    tt_quirks all = {0};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const quirk *entry = &table[i];
        /* Qualcomm calls every device "QUALCOMM Adreno(TM)" and names the chip in the version string. */
        bool named = contains(info->name, entry->name) || contains(info->version, entry->name);
        if (!contains(info->platform, entry->platform) || !contains(info->driver, entry->driver) || !named)
            continue;
        all.last_choice |= entry->quirks.last_choice;
        all.slow_binaries |= entry->quirks.slow_binaries;
        all.mixes_local |= entry->quirks.mixes_local;
        uint64_t limit = entry->quirks.max_alloc_bytes;
        if (limit != 0 && (all.max_alloc_bytes == 0 || limit < all.max_alloc_bytes))
            all.max_alloc_bytes = limit;
    }
    return all;
}
