/* savers.c - the schedule of guided and whole UNet calls. */
#include "pipeline/savers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_INTERVAL = 100, MAX_LEVELS = 8 };

/* 0 is not given: a zeroed tt_savers saves nothing. */
static float stop_of(const tt_savers *s)
{
    return s->guidance_stop == 0.0f ? 1.0f : s->guidance_stop;
}

static tt_status check_guidance(const tt_savers *s, tt_error *err)
{
    float stop = stop_of(s);
    if (!(s->guidance_start >= 0.0f && s->guidance_start <= 1.0f && stop >= 0.0f && stop <= 1.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "guidance from %g to %g of the steps is out of range: both go from 0 to 1; 0 and 1 guide all "
                       "steps",
                       (double)s->guidance_start, (double)stop);
    if (s->guidance_start < stop)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "guidance from %g to %g of the steps leaves none; the start must be below the stop, or set the cfg "
                   "scale to 1 for no guidance",
                   (double)s->guidance_start, (double)stop);
}

tt_status tt_savers_check(const tt_savers *s, const tt_unet_config *config, tt_error *err)
{
    uint32_t n_up = tt_unet_n_up(config);
    tt_status status = check_guidance(s, err);
    if (status == TT_OK && s->reuse_interval > MAX_INTERVAL)
        status = tt_fail(err, TT_ERROR_ARGUMENT,
                         "a reuse interval of %u is out of range: 0 and 1 (off) to %d; 2 or 3 is usual",
                         s->reuse_interval, (int)MAX_INTERVAL);
    if (status == TT_OK && s->reuse_depth > n_up)
        status =
            tt_fail(err, TT_ERROR_ARGUMENT,
                    "a reuse depth of %u is out of range: the up path of this UNet has %u residual blocks; 0 takes "
                    "those of the finest resolution",
                    s->reuse_depth, n_up);
    if (status == TT_OK && s->kv_downsample > MAX_LEVELS)
        status = tt_fail(err, TT_ERROR_ARGUMENT,
                         "keys and values cannot be downsampled at %u resolutions: 0 (off) to %d; 1 is usual",
                         s->kv_downsample, (int)MAX_LEVELS);
    return status;
}

tt_call_plan tt_call_plan_make(const tt_savers *s, const tt_unet_config *config, bool is_guided)
{
    tt_call_plan plan = {.is_guided = is_guided, .guidance_stop = 1.0f, .reuse_interval = 1};
    if (!s)
        return plan;
    if (is_guided && (s->guidance_start > 0.0f || stop_of(s) < 1.0f)) {
        plan.limits_guidance = true;
        plan.guidance_start = s->guidance_start;
        plan.guidance_stop = stop_of(s);
    }
    if (s->reuse_interval > 1) {
        plan.reuse_interval = s->reuse_interval;
        plan.reuse_depth = s->reuse_depth ? s->reuse_depth : config->layers_per_block + 1;
    }
    plan.kv_downsample = s->kv_downsample;
    return plan;
}

/* The call at which a share of a run is over. */
static uint32_t call_at(float share, uint32_t n_calls)
{
    return (uint32_t)lround((double)share * n_calls);
}

bool tt_call_is_guided(const tt_call_plan *plan, uint32_t call, uint32_t n_calls)
{
    if (!plan->limits_guidance)
        return plan->is_guided;
    return call >= call_at(plan->guidance_start, n_calls) && call < call_at(plan->guidance_stop, n_calls);
}

bool tt_call_is_whole(const tt_call_plan *plan, uint32_t call, uint32_t n_calls)
{
    uint32_t first = 0;
    if (plan->limits_guidance) {
        uint32_t start = call_at(plan->guidance_start, n_calls), stop = call_at(plan->guidance_stop, n_calls);
        first = start == stop ? 0 : call >= stop ? stop : call >= start ? start : 0;
    }
    return (call - first) % plan->reuse_interval == 0;
}

tt_call_counts tt_call_plan_count(const tt_call_plan *plan, uint32_t n_calls)
{
    tt_call_counts counts = {{0}, {0}};
    for (uint32_t call = 0; call < n_calls; call++) {
        bool is_guided = tt_call_is_guided(plan, call, n_calls);
        bool is_whole = tt_call_is_whole(plan, call, n_calls);
        counts.whole[is_guided] += is_whole;
        counts.reusing[is_guided] += !is_whole;
    }
    return counts;
}

/* With as few digits as give the same number again. */
static void add_share(tt_text *text, const char *name, float share)
{
    char shown[32];
    (void)snprintf(shown, sizeof shown, "%g", (double)share);
    if (strtof(shown, NULL) != share)
        (void)snprintf(shown, sizeof shown, "%.9g", (double)share);
    tt_text_format(text, ", %s: %s", name, shown);
}

void tt_call_plan_write(const tt_call_plan *plan, tt_text *text)
{
    if (plan->limits_guidance) {
        add_share(text, "CFG start", plan->guidance_start);
        add_share(text, "CFG stop", plan->guidance_stop);
    }
    if (plan->reuse_interval > 1)
        tt_text_format(text, ", Reuse interval: %u, Reuse depth: %u", plan->reuse_interval, plan->reuse_depth);
    if (plan->kv_downsample > 0)
        tt_text_format(text, ", KV downsample: %u", plan->kv_downsample);
}
