/* tuning-seeds.c - the table of seeds.
 *
 * No line of it was measured with this engine: all are UNTESTED and follow from what is published of the chips. Waves
 * of an Adreno have 64 lanes (7xx and 8xx also 128), subgroups of a Mali 16; a work-group of one wave is the smallest
 * that fills one and leaves the most freedom to the scheduler. Chips with many registers for each lane (7xx and later,
 * Mali from G610 on) gain from more outputs for each item; older ones spill early.
 * A table that `tintype tune --export` wrote on such a chip replaces these guesses: please send it.
 *
 * Patterns are those of the shell. The device's text is its name and its version string, because Qualcomm's drivers
 * name the chip in the latter only. Lines of one level are tried in order. */
#include "cl-kernels/tuning-seeds.h"

#include <fnmatch.h>
#include <string.h>

enum { CHIP = 0, FAMILY, VENDOR, N_LEVELS };

typedef struct seed {
    int level;
    const char *device, *op, *key, *name;
} seed;

static const seed table[] = {
    /* level, device, op, key, name (of tile.c and attention.c, family gpu-plain) */
    {CHIP, "*Adreno(TM) 618*", "attention", "*", "c10l64"}, /* two small shader processors, few registers */
    {CHIP, "*Mali-G57*", "attention", "*", "c10l16"},
    {FAMILY, "*Adreno(TM) 6[0-9][0-9]*", "linear", "*", "p4l64"},
    {FAMILY, "*Adreno(TM) 6[0-9][0-9]*", "conv3x3", "*", "p4l64"},
    {FAMILY, "*Adreno(TM) 6[0-9][0-9]*", "attention", "*", "c10l64"},
    {FAMILY, "*Adreno(TM) 7[0-9][0-9]*", "linear", "*", "p8l64"},
    {FAMILY, "*Adreno(TM) 7[0-9][0-9]*", "conv3x3", "*", "p4l64"}, /* these compilers spill wide f32 convolutions */
    {FAMILY, "*Adreno(TM) 7[0-9][0-9]*", "attention", "*", "c20l64"},
    {FAMILY, "*Adreno(TM) 8[0-9][0-9]*", "linear", "*", "p8l64"},
    {FAMILY, "*Adreno(TM) 8[0-9][0-9]*", "conv3x3", "*", "p8l64"},
    {FAMILY, "*Adreno(TM) 8[0-9][0-9]*", "attention", "*", "c20l64"},
    {FAMILY, "*Mali-G[57][0-9] *", "attention", "*", "c10l16"},     /* Bifrost and first Valhall: G51 to G78 */
    {FAMILY, "*Mali-G[67][0-9][0-9]*", "attention", "*", "c20l32"}, /* Valhall from G610 and G710 on */
    {FAMILY, "*Immortalis-G[79]*", "attention", "*", "c20l32"},
    {VENDOR, "*Adreno*", "linear", "*", "p4l64"},
    {VENDOR, "*Adreno*", "conv3x3", "*", "p4l64"},
    {VENDOR, "*Adreno*", "attention", "*", "c20l64"},
    {VENDOR, "*Mali*", "linear", "*", "p4l16"},
    {VENDOR, "*Mali*", "conv3x3", "*", "p4l16"},
    {VENDOR, "*Mali*", "attention", "*", "c20l16"},
    {VENDOR, "*Immortalis*", "linear", "*", "p4l16"},
    {VENDOR, "*Immortalis*", "conv3x3", "*", "p4l16"},
};

/* The first line of a level that matches, or NULL. */
static const seed *find(int level, const char *device, const char *op, const char *key)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const seed *s = &table[i];
        if (s->level == level && strcmp(s->op, op) == 0 && fnmatch(s->device, device, 0) == 0 &&
            fnmatch(s->key, key, 0) == 0)
            return s;
    }
    return NULL;
}

size_t tt_tuning_seed(const char *device, const char *op, const char *key, const char *const *names, size_t n_names)
{
    for (int level = CHIP; level < N_LEVELS; level++) {
        const seed *s = find(level, device, op, key);
        for (size_t i = 0; s != NULL && i < n_names; i++)
            if (strcmp(names[i], s->name) == 0)
                return i;
    }
    return 0;
}
