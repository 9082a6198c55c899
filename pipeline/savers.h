/* savers.h - which calls of a run are guided, which compute the whole UNet: the schedule of tt_savers; used inside this
 * room. */
#ifndef TT_PIPELINE_SAVERS_H
#define TT_PIPELINE_SAVERS_H

#include "base/text.h"
#include "unet/unet.h"

/* Checks the values for a UNet. */
tt_status tt_savers_check(const tt_savers *savers, const tt_unet_config *config, tt_error *err);

/* What the passes of a run are, with its savers (NULL: none) and whether it has guidance at all. */
typedef struct tt_call_plan {
    bool is_guided, limits_guidance; /* guided: where guidance is not limited, all calls */
    float guidance_start, guidance_stop;
    uint32_t reuse_interval; /* 1: every call is whole */
    uint32_t reuse_depth;    /* of the UNet's shape; 0 where every call is whole */
    uint32_t kv_downsample;
} tt_call_plan;
tt_call_plan tt_call_plan_make(const tt_savers *savers, const tt_unet_config *config, bool is_guided);

/* True when call `call` of n_calls runs with both conditions. */
bool tt_call_is_guided(const tt_call_plan *plan, uint32_t call, uint32_t n_calls);

/* True when it computes the whole UNet: the first call, every reuse_interval-th after it, and where guidance begins or
 * ends, for the kept feature is of the batch that made it. */
bool tt_call_is_whole(const tt_call_plan *plan, uint32_t call, uint32_t n_calls);

/* Calls of each kind in a run. */
typedef struct tt_call_counts {
    uint32_t whole[2], reusing[2]; /* [is guided] */
} tt_call_counts;
tt_call_counts tt_call_plan_count(const tt_call_plan *plan, uint32_t n_calls);

/* Appends what is not off as ", Name: value" pairs of an infotext. */
void tt_call_plan_write(const tt_call_plan *plan, tt_text *text);

#endif
