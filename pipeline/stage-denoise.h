/* stage-denoise.h - the denoise stage; used inside this room. */
#ifndef TT_PIPELINE_STAGE_DENOISE_H
#define TT_PIPELINE_STAGE_DENOISE_H

#include "pipeline/model.h"

/* TT_STAGE_DENOISE: the whole loop on noise that is given. */
tt_status tt_stage_denoise(tt_model *model, const tt_stage_params *params, const tt_arrays *in, tt_arrays *out,
                           tt_error *err);

#endif
