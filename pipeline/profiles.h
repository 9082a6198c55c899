/* profiles.h - devices that are known by their data sheets, for predictions; used inside this room. */
#ifndef TT_PIPELINE_PROFILES_H
#define TT_PIPELINE_PROFILES_H

#include "pipeline/rates.h"
#include "tintype/tintype.h"

/* The profile of that name ("adreno740"; case, spaces, dashes and underscores do not matter), or NULL. */
const tt_device_profile *tt_profile_find(const char *name);

/* What a device would reach if kernels used this share of its peak and of its memory's speed. */
tt_rates tt_profile_rates(const tt_device_profile *profile, bool is_half, double share);

#endif
