/* profiles.c - phone GPUs by their data sheets, and tt_plan_predict.
 *
 * Peaks are computed from shader counts and clocks as recalled, for half and float; memory speed is the whole chip's.
 * None of them was measured by us. */
#include "pipeline/profiles.h"
#include "pipeline/request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const tt_device_profile profiles[] = {
    {"adreno618", "Adreno 618 (Snapdragon 720G)", 717e9, 358e9, 15e9},
    {"adreno642l", "Adreno 642L (Snapdragon 778G)", 1126e9, 563e9, 26e9},
    {"adreno650", "Adreno 650 (Snapdragon 865)", 2404e9, 1202e9, 44e9},
    {"adreno660", "Adreno 660 (Snapdragon 888)", 3440e9, 1720e9, 51e9},
    {"adreno730", "Adreno 730 (Snapdragon 8 Gen 1)", 3686e9, 1843e9, 51e9},
    {"adreno740", "Adreno 740 (Snapdragon 8 Gen 2)", 4178e9, 2089e9, 67e9},
    {"adreno750", "Adreno 750 (Snapdragon 8 Gen 3)", 5548e9, 2774e9, 77e9},
    {"adreno830", "Adreno 830 (Snapdragon 8 Elite)", 6758e9, 3379e9, 85e9},
    {"malig57mc2", "Mali-G57 MC2", 243e9, 122e9, 17e9},
    {"malig78mp14", "Mali-G78 MP14", 1530e9, 765e9, 51e9},
    {"malig710mc10", "Mali-G710 MC10", 2176e9, 1088e9, 60e9},
    {"malig720mc12", "Mali-G720 MC12", 7987e9, 3994e9, 77e9},
    {"malig925mc12", "Mali-G925 MC12", 9904e9, 4952e9, 85e9},
};

/* Seconds of a launch on a phone, of loading a program, and bytes a second of packing weights on its CPU. */
static const double launch_seconds = 20e-6, program_seconds = 10e-3, packing_rate = 1e9;

bool tt_device_profile_at(size_t index, tt_device_profile *profile)
{
    if (index >= sizeof profiles / sizeof *profiles)
        return false;
    *profile = profiles[index];
    return true;
}

/* The next letter or digit in lower case, '\0' at the end. */
static char next_letter(const char **at)
{
    while (**at != '\0' && !isalnum((unsigned char)**at))
        (*at)++;
    return **at == '\0' ? '\0' : (char)tolower((unsigned char)*(*at)++);
}

static bool is_name(const char *wanted, const char *name)
{
    char a, b;
    do {
        a = next_letter(&wanted);
        b = next_letter(&name);
    } while (a == b && a != '\0');
    return a == b;
}

const tt_device_profile *tt_profile_find(const char *name)
{
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        if (is_name(name, profiles[i].name))
            return &profiles[i];
    return NULL;
}

tt_rates tt_profile_rates(const tt_device_profile *profile, bool is_half, double share)
{
    double flops = share * (is_half ? profile->half_flops : profile->float_flops);
    return (tt_rates){.linear = flops,
                      .conv3x3 = flops,
                      .attention = flops,
                      .vae_conv3x3 = flops,
                      .other = share * profile->read_bytes,
                      .packing = packing_rate,
                      .launch_seconds = launch_seconds,
                      .program_seconds = program_seconds};
}

tt_status tt_plan_predict(tt_model *model, const tt_generate_params *params, const char *profile, double share,
                          tt_plan *plan)
{
    tt_error *err = tt_context_begin(model->context);
    const tt_device_profile *found = tt_profile_find(profile);
    *plan = (tt_plan){0};
    if (!found) {
        char names[400] = "";
        for (size_t i = 0, n = 0; i < sizeof profiles / sizeof *profiles && n < sizeof names; i++)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", profiles[i].name);
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no profile of a device \"%s\"; there are %s", profile, names);
    }
    if (!(share > 0.0 && share <= 1.0))
        return tt_fail(err, TT_ERROR_ARGUMENT, "a share of %g of a device's peak: expected more than 0, at most 1",
                       share);
    tt_rates rates = tt_profile_rates(found, model->is_half, share);
    return tt_plan_fill(model, params, &rates, plan, err);
}
