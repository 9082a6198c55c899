/* allocate.c - greedy steps along each group's lower convex hull of (bytes, error). */
#include "quantize/allocate.h"

#include <stdlib.h>

/* The step from a group's present choice that gains most for its bytes, and that ratio; 0 when no step gains. */
static uint32_t best_step(const tt_choices *group, uint64_t room, double *ratio)
{
    const tt_choice *now = &group->items[group->chosen];
    uint32_t best = 0;
    *ratio = 0.0;
    for (uint32_t i = group->chosen + 1; i < group->n; i++) {
        const tt_choice *next = &group->items[i];
        double gain = now->error - next->error;
        uint64_t cost = next->n_bytes > now->n_bytes ? next->n_bytes - now->n_bytes : 0;
        double r = gain / (cost > 0 ? (double)cost : 1e-9);
        if (gain <= 0.0 || cost > room || r < *ratio)
            continue;
        best = i;
        *ratio = r;
    }
    return best;
}

static void start(tt_choices *groups, size_t n_groups, uint64_t *n_bytes, double *error)
{
    *n_bytes = 0;
    *error = 0.0;
    for (size_t i = 0; i < n_groups; i++) {
        groups[i].chosen = 0;
        *n_bytes += groups[i].items[0].n_bytes;
        *error += groups[i].items[0].error;
    }
}

/* Makes the best step of all groups that costs at most `room` bytes; false when there is none. */
static bool step(tt_choices *groups, size_t n_groups, uint64_t room, uint64_t *n_bytes, double *error)
{
    size_t group = 0;
    uint32_t choice = 0;
    double best = 0.0;
    for (size_t i = 0; i < n_groups; i++) {
        double ratio;
        uint32_t candidate = best_step(&groups[i], room, &ratio);
        if (candidate == 0 || ratio <= best)
            continue;
        group = i;
        choice = candidate;
        best = ratio;
    }
    if (choice == 0)
        return false;
    const tt_choice *from = &groups[group].items[groups[group].chosen], *to = &groups[group].items[choice];
    *n_bytes = *n_bytes - from->n_bytes + to->n_bytes;
    *error = *error - from->error + to->error;
    groups[group].chosen = choice;
    return true;
}

uint64_t tt_allocate_least(const tt_choices *groups, size_t n_groups)
{
    uint64_t n = 0;
    for (size_t i = 0; i < n_groups; i++)
        n += groups[i].items[0].n_bytes;
    return n;
}

tt_status tt_allocate_bytes(tt_choices *groups, size_t n_groups, uint64_t budget, uint64_t *n_bytes, double *error,
                            tt_error *err)
{
    start(groups, n_groups, n_bytes, error);
    if (*n_bytes > budget)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%llu bytes are too few: the smallest possible are %llu",
                       (unsigned long long)budget, (unsigned long long)*n_bytes);
    while (step(groups, n_groups, budget - *n_bytes, n_bytes, error))
        continue;
    return TT_OK;
}

void tt_allocate_error(tt_choices *groups, size_t n_groups, double target, uint64_t *n_bytes, double *error)
{
    start(groups, n_groups, n_bytes, error);
    while (*error > target && step(groups, n_groups, UINT64_MAX, n_bytes, error))
        continue;
}
