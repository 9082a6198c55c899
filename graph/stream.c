/* stream.c - replays a list of launches whose weights pass through a ring of device buffers.
 *
 * The host walks the list. Before an op with a streamed matrix it waits until the op that used the slot before is done,
 * packs the matrix straight into the mapped slot and enqueues the op behind the unmapping. Enqueueing does not wait:
 * with n slots the host is up to n matrices ahead of the device. */
#include "graph/stream-private.h"

#include "device/upload.h"

#include <stdio.h>
#include <stdlib.h>

/* One op with a streamed matrix. */
typedef struct tt_use {
    size_t first, end; /* its launches */
    const tt_matrix *matrix;
    uint32_t slot;
    bool fills; /* the slot holds another matrix before */
    bool frees; /* no later op reads what the slot holds */
} tt_use;

/* One list of launches. */
typedef struct tt_schedule {
    tt_use *uses;
    size_t n_uses, capacity;
    uint32_t next_slot;
} tt_schedule;

struct tt_stream {
    tt_device *device;
    const tt_weight_store *store;
    tt_slot *slots;
    uint32_t n_slots;
    tt_schedule schedules[TT_N_LISTS];
};

tt_status tt_stream_create(tt_device *device, const tt_weight_store *store, const char *name, tt_stream **stream,
                           tt_error *err)
{
    tt_weight_sizes sizes = tt_weight_store_sizes(store);
    *stream = NULL;
    if (sizes.slot_bytes == 0)
        return TT_OK;
    tt_stream *made = calloc(1, sizeof *made);
    tt_slot *slots = calloc(sizes.n_slots, sizeof *slots);
    if (!made || !slots) {
        free(made);
        free(slots);
        return tt_fail_memory(err, "a ring of weights", sizeof *made + sizes.n_slots * sizeof *slots);
    }
    *made = (tt_stream){.device = device, .store = store, .slots = slots, .n_slots = sizes.n_slots};
    char what[96];
    snprintf(what, sizeof what, "the ring of weights of %s", name);
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < made->n_slots && status == TT_OK; i++)
        status = tt_slot_create(device, sizes.slot_bytes, what, &slots[i], err);
    if (status == TT_OK)
        *stream = made;
    else
        tt_stream_destroy(made);
    return status;
}

void tt_stream_destroy(tt_stream *stream)
{
    if (!stream)
        return;
    for (uint32_t i = 0; i < stream->n_slots; i++)
        tt_slot_release(&stream->slots[i]);
    for (int list = 0; list < TT_N_LISTS; list++)
        free(stream->schedules[list].uses);
    free(stream->slots);
    free(stream);
}

/* Room for one more use. */
static tt_status reserve(tt_schedule *schedule, tt_error *err)
{
    if (schedule->n_uses < schedule->capacity)
        return TT_OK;
    size_t capacity = schedule->capacity ? schedule->capacity * 2 : 64;
    tt_use *larger = realloc(schedule->uses, capacity * sizeof *larger);
    if (!larger)
        return tt_fail_memory(err, "the order of streamed weights", capacity * sizeof *larger);
    schedule->uses = larger;
    schedule->capacity = capacity;
    return TT_OK;
}

/* The last use of a slot that is not free, NULL when there is none. */
static tt_use *holder(tt_schedule *schedule, uint32_t slot)
{
    for (size_t i = schedule->n_uses; i-- > 0;)
        if (schedule->uses[i].slot == slot)
            return &schedule->uses[i];
    return NULL;
}

tt_status tt_stream_begin_use(tt_stream *stream, tt_list list, const tt_matrix *matrix, size_t first, tt_buffer *slot,
                              tt_error *err)
{
    tt_schedule *schedule = &stream->schedules[list];
    tt_status status = reserve(schedule, err);
    if (status != TT_OK)
        return status;
    tt_use use = {.first = first, .matrix = matrix, .slot = schedule->next_slot, .fills = true, .frees = true};
    for (uint32_t i = 0; i < stream->n_slots; i++) {
        tt_use *held = holder(schedule, i);
        if (!held || held->matrix != matrix)
            continue;
        held->frees = false;
        use.slot = i;
        use.fills = false;
    }
    if (use.fills)
        schedule->next_slot = (schedule->next_slot + 1) % stream->n_slots;
    schedule->uses[schedule->n_uses++] = use;
    *slot = stream->slots[use.slot].buffer;
    return TT_OK;
}

void tt_stream_end_use(tt_stream *stream, tt_list list, size_t end)
{
    tt_schedule *schedule = &stream->schedules[list];
    schedule->uses[schedule->n_uses - 1].end = end;
}

static void release_event(const tt_stream *stream, cl_event event)
{
    if (event != NULL)
        (void)tt_device_cl(stream->device)->release_event(event);
}

/* Packs the matrix of a use into its slot; *ready tells when launches may read it. */
static tt_status fill(tt_stream *stream, const tt_use *use, cl_event *ready, tt_error *err)
{
    tt_slot *slot = &stream->slots[use->slot];
    void *bytes = NULL;
    tt_status status = tt_slot_begin(slot, &bytes, err);
    if (status != TT_OK)
        return status;
    tt_weight_store_fill(stream->store, use->matrix, bytes);
    return tt_slot_end(slot, ready, err);
}

static tt_status replay_use(tt_stream *stream, const tt_use *use, tt_recorder *recorder, tt_error *err)
{
    cl_event ready = NULL, done = NULL;
    tt_status status = use->fills ? fill(stream, use, &ready, err) : TT_OK;
    if (status == TT_OK)
        status = tt_recorder_replay_range(recorder, use->first, use->end, ready, use->frees ? &done : NULL, err);
    if (status == TT_OK && use->frees)
        status = tt_slot_reuse(&stream->slots[use->slot], done, err);
    release_event(stream, ready);
    release_event(stream, done);
    return status;
}

tt_status tt_stream_replay(tt_stream *stream, tt_list list, tt_recorder *recorder, tt_error *err)
{
    const tt_schedule *schedule = &stream->schedules[list];
    tt_status status = TT_OK;
    size_t at = 0;
    for (size_t i = 0; i < schedule->n_uses && status == TT_OK; i++) {
        const tt_use *use = &schedule->uses[i];
        if (i + 1 < schedule->n_uses && use[1].fills)
            tt_weight_store_prefetch(use[1].matrix); /* the disk works while the host waits and packs */
        status = tt_recorder_replay_range(recorder, at, use->first, NULL, NULL, err);
        if (status == TT_OK)
            status = replay_use(stream, use, recorder, err);
        at = use->end;
    }
    if (status == TT_OK)
        status = tt_recorder_replay_range(recorder, at, tt_recorder_count(recorder), NULL, NULL, err);
    for (uint32_t i = 0; status != TT_OK && i < stream->n_slots; i++)
        tt_slot_reset(&stream->slots[i]);
    return status;
}
