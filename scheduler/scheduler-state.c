/* scheduler-state.c - the state of a run as plain numbers, and back.
 *
 * All that a sampler carries from call to call is in the history, the two spare samples and three counters; tables and
 * coefficients follow from the config. History entries are kept in their logical order, newest first: which block of
 * memory holds which changes with every push and means nothing. */
#include "scheduler/sampler.h"

#include <string.h>

enum { N_SPARE = sizeof(((tt_scheduler *)0)->spare) / sizeof(((tt_scheduler *)0)->spare[0]) };

uint32_t tt_scheduler_state_samples(const tt_scheduler *scheduler)
{
    return scheduler->n_history + N_SPARE;
}

void tt_scheduler_save(const tt_scheduler *scheduler, float *values, uint32_t counters[TT_SCHEDULER_COUNTERS])
{
    size_t n = scheduler->n_sample;
    for (uint32_t i = 0; i < scheduler->n_history; i++)
        memcpy(values + i * n, scheduler->history[i], n * sizeof *values);
    for (uint32_t i = 0; i < N_SPARE; i++)
        memcpy(values + (scheduler->n_history + i) * n, scheduler->spare[i], n * sizeof *values);
    counters[0] = scheduler->n_done;
    counters[1] = scheduler->n_known;
    counters[2] = scheduler->last_order;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The counters become indices into the history and the levels: none may reach back beyond the calls made. Only UniPC
 * keeps an order, that of the step which its next call corrects. */
static tt_status check_counters(const tt_scheduler *s, uint32_t n_done, uint32_t n_known, uint32_t last_order,
                                tt_error *err)
{
    uint32_t n_calls = tt_scheduler_n_calls(s);
    bool has_order = s->config.sampler == TT_SAMPLER_UNIPC && n_done > 0;
    uint32_t most_known = smaller(n_done, s->n_history);
    uint32_t most_order = has_order ? smaller(n_done, s->config.solver_order) : 0;
    if (n_done > n_calls)
        return tt_fail(err, TT_ERROR_FORMAT, "the sampler's state says that %u of %u calls are made", (unsigned)n_done,
                       (unsigned)n_calls);
    if (n_known > most_known)
        return tt_fail(err, TT_ERROR_FORMAT, "the sampler's state says that %u outputs are kept, expected at most %u",
                       (unsigned)n_known, (unsigned)most_known);
    if (last_order > most_order || (has_order && last_order == 0))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the sampler's state says that its last step was of order %u, expected %s%u",
                       (unsigned)last_order, has_order ? "1 to " : "", (unsigned)most_order);
    return TT_OK;
}

tt_status tt_scheduler_restore(tt_scheduler *scheduler, const float *values,
                               const uint32_t counters[TT_SCHEDULER_COUNTERS], tt_error *err)
{
    size_t n = scheduler->n_sample;
    tt_status status = check_counters(scheduler, counters[0], counters[1], counters[2], err);
    if (status != TT_OK)
        return status;
    for (uint32_t i = 0; i < scheduler->n_history; i++)
        memcpy(scheduler->history[i], values + i * n, n * sizeof *values);
    for (uint32_t i = 0; i < N_SPARE; i++)
        memcpy(scheduler->spare[i], values + (scheduler->n_history + i) * n, n * sizeof *values);
    scheduler->n_done = counters[0];
    scheduler->n_known = counters[1];
    scheduler->last_order = counters[2];
    return TT_OK;
}
