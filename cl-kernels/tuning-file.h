/* tuning-file.h - tunings as text: what is kept beside the compiled programs and what people send each other.
 *
 *     {"format": "tintype tuning 1", "engine": "0.1.0 1a2b3c4d", "device": ..., "vendor": ..., "platform": ...,
 *      "driver": ..., "version": ...,
 *      "choices": [{"op": "linear", "key": "320x320 n4096 f16 f16", "name": "t8p10", "ms": 1.25, "default_ms": 1.5}],
 *      "disabled": [{"op": "attention", "name": "v3r8k64", "form": "float f16", "reason": "..."}]} */
#ifndef TT_CL_KERNELS_TUNING_FILE_H
#define TT_CL_KERNELS_TUNING_FILE_H

#include "cl-kernels/tuning.h"

/* On what a tuning was made. engine: version, and a digest of the kernels built into it. */
typedef struct tt_tuning_origin {
    char engine[64], device[128], vendor[128], platform[128], driver[128], version[128];
} tt_tuning_origin;

/* This engine on a device. */
tt_status tt_tuning_origin_of(const tt_device *device, tt_tuning_origin *origin, tt_error *err);

/* The tuning as JSON; *text is new (free()). */
tt_status tt_tuning_format(const tt_tuning *tuning, const tt_tuning_origin *origin, char **text, tt_error *err);

/* Reads such a text, from anywhere: every field is checked, and a wrong one fails with a sentence that names it. `what`
 * names the text in it. *tuning is new, and nothing when the call fails. */
tt_status tt_tuning_parse(const char *text, size_t n_bytes, const char *what, tt_tuning **tuning,
                          tt_tuning_origin *origin, tt_error *err);

#endif
