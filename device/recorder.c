/* recorder.c - the list of launches, replayed by the driver or by a plain loop. */
#include "device/recorder.h"

#include "base/checked.h"
#include "device/command-buffer-private.h"
#include "device/device-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Launches between two flushes: enough to keep the queue fed, few enough for the device to start at once and for a
 * phone's interface to get its turn. */
enum { LAUNCHES_PER_FLUSH = 16 };

struct tt_recorder {
    tt_device *device;
    tt_launch *launches;
    size_t n_launches, capacity;
    tt_command_buffer *buffer; /* of all launches; NULL: not recorded */
    bool wants_buffer;
};

tt_status tt_recorder_create(tt_device *device, tt_recorder **recorder, tt_error *err)
{
    *recorder = calloc(1, sizeof(**recorder));
    if (*recorder == NULL)
        return tt_fail_memory(err, "a launch list", sizeof(**recorder));
    (*recorder)->device = device;
    (*recorder)->wants_buffer = !device->found.caps.is_cpu;
    return TT_OK;
}

void tt_recorder_destroy(tt_recorder *recorder)
{
    if (recorder == NULL)
        return;
    tt_command_buffer_destroy(recorder->buffer);
    for (size_t i = 0; i < recorder->n_launches; i++)
        (void)tt_device_cl(recorder->device)->release_kernel(recorder->launches[i].kernel);
    free(recorder->launches);
    free(recorder);
}

/* OpenCL 1.2 wants whole work-groups; the limits are the device's and, for this kernel's registers, the driver's. */
static tt_status check_local(const tt_recorder *recorder, const tt_launch *launch, tt_error *err)
{
    size_t group = 1, limit = 0;
    for (uint32_t i = 0; i < launch->n_dims; i++) {
        if (launch->local[i] == 0 || launch->global[i] % launch->local[i] != 0)
            return tt_fail(err, TT_ERROR_INTERNAL,
                           "%s: global size %zu of dimension %u is no multiple of local size %zu; please report this",
                           launch->stem, launch->global[i], (unsigned)i, launch->local[i]);
        if (!tt_mul_size(group, launch->local[i], &group))
            group = SIZE_MAX;
    }
    cl_int code = tt_device_cl(recorder->device)
                      ->get_kernel_work_group_info(launch->kernel, tt_device_id(recorder->device),
                                                   CL_KERNEL_WORK_GROUP_SIZE, sizeof(limit), &limit, NULL);
    if (code != CL_SUCCESS)
        return tt_device_fail(recorder->device, err, code, launch->stem);
    if (group <= limit)
        return TT_OK;
    return tt_fail(err, TT_ERROR_DEVICE, "%s: a work-group of %zu items is needed and %s allows %zu for this kernel",
                   launch->stem, group, tt_device_caps(recorder->device)->info.name, limit);
}

static tt_status check_launch(const tt_recorder *recorder, const tt_launch *launch, tt_error *err)
{
    if (launch->n_dims < 1 || launch->n_dims > 3)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s: a launch has 1 to 3 dimensions, found %u; please report this",
                       launch->stem, (unsigned)launch->n_dims);
    for (uint32_t i = 0; i < launch->n_dims; i++)
        if (launch->global[i] == 0)
            return tt_fail(err, TT_ERROR_INTERNAL, "%s: global size of dimension %u is 0; please report this",
                           launch->stem, (unsigned)i);
    return launch->local[0] == 0 ? TT_OK : check_local(recorder, launch, err);
}

static tt_status reserve(tt_recorder *recorder, tt_error *err)
{
    if (recorder->n_launches < recorder->capacity)
        return TT_OK;
    size_t capacity = recorder->capacity == 0 ? 64 : recorder->capacity * 2, n_bytes;
    if (!tt_mul_size(capacity, sizeof(tt_launch), &n_bytes))
        return tt_fail_memory(err, "a launch list", SIZE_MAX);
    tt_launch *launches = realloc(recorder->launches, n_bytes);
    if (launches == NULL)
        return tt_fail_memory(err, "a launch list", n_bytes);
    recorder->launches = launches;
    recorder->capacity = capacity;
    return TT_OK;
}

tt_status tt_recorder_add(tt_recorder *recorder, const tt_launch *launch, tt_error *err)
{
    tt_status status = check_launch(recorder, launch, err);
    tt_command_buffer_destroy(recorder->buffer);
    recorder->buffer = NULL;
    if (status == TT_OK)
        status = reserve(recorder, err);
    if (status != TT_OK)
        (void)tt_device_cl(recorder->device)->release_kernel(launch->kernel);
    else
        recorder->launches[recorder->n_launches++] = *launch;
    return status;
}

/* after: event to wait for, or NULL; event: NULL when it is not wanted. */
static tt_status enqueue(const tt_recorder *recorder, cl_command_queue queue, const tt_launch *launch, cl_event after,
                         cl_event *event, tt_error *err)
{
    const size_t *local = launch->local[0] == 0 ? NULL : launch->local;
    cl_int code = tt_device_cl(recorder->device)
                      ->enqueue_nd_range_kernel(queue, launch->kernel, launch->n_dims, NULL, launch->global, local,
                                                after != NULL, after != NULL ? &after : NULL, event);
    if (code == CL_SUCCESS)
        return TT_OK;
    char what[128];
    (void)snprintf(what, sizeof(what), "clEnqueueNDRangeKernel for %s", launch->stem);
    return tt_device_fail(recorder->device, err, code, what);
}

static tt_status flush(const tt_recorder *recorder, tt_error *err)
{
    cl_int code = tt_device_cl(recorder->device)->flush(tt_device_queue(recorder->device));
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(recorder->device, err, code, "clFlush");
}

tt_status tt_recorder_replay_range(tt_recorder *recorder, size_t first, size_t end, cl_event after, cl_event *done,
                                   tt_error *err)
{
    if (done != NULL)
        *done = NULL;
    if (first > end || end > recorder->n_launches || (first == end && (after != NULL || done != NULL)))
        return tt_fail(err, TT_ERROR_INTERNAL, "launches %zu to %zu of %zu cannot be replayed; please report this",
                       first, end, recorder->n_launches);
    tt_status status = TT_OK;
    for (size_t i = first; i < end && status == TT_OK; i++) {
        bool is_last = i + 1 == end;
        status = enqueue(recorder, tt_device_queue(recorder->device), &recorder->launches[i], i == first ? after : NULL,
                         is_last ? done : NULL, err);
        if (status == TT_OK && ((i - first + 1) % LAUNCHES_PER_FLUSH == 0 || is_last))
            status = flush(recorder, err);
    }
    if (status != TT_OK && done != NULL && *done != NULL) {
        (void)tt_device_cl(recorder->device)->release_event(*done);
        *done = NULL;
    }
    return status;
}

void tt_recorder_want_buffer(tt_recorder *recorder, bool wanted)
{
    recorder->wants_buffer = wanted;
}

bool tt_recorder_has_buffer(const tt_recorder *recorder)
{
    return recorder->buffer != NULL;
}

/* True when the driver has enqueued its own recording of the whole list. */
static bool replay_recorded(tt_recorder *recorder)
{
    if (!recorder->wants_buffer || recorder->n_launches < 2)
        return false;
    if (recorder->buffer == NULL)
        recorder->buffer = tt_command_buffer_create(recorder->device, recorder->launches, recorder->n_launches);
    recorder->wants_buffer = recorder->buffer != NULL;
    return recorder->buffer != NULL && tt_command_buffer_replay(recorder->buffer);
}

tt_status tt_recorder_replay(tt_recorder *recorder, tt_error *err)
{
    if (replay_recorded(recorder))
        return flush(recorder, err);
    return tt_recorder_replay_range(recorder, 0, recorder->n_launches, NULL, NULL, err);
}

size_t tt_recorder_count(const tt_recorder *recorder)
{
    return recorder->n_launches;
}

/* Enqueues everything with events and waits, before and after too, for the other queue; *n_events says how many there
 * are to release, also on failure. */
static tt_status run_with_events(tt_recorder *recorder, cl_event *events, size_t *n_events, tt_error *err)
{
    cl_command_queue queue;
    tt_status status = tt_device_finish(recorder->device, err);
    if (status == TT_OK)
        status = tt_device_profiling_queue(recorder->device, &queue, err);
    for (*n_events = 0; *n_events < recorder->n_launches && status == TT_OK;) {
        status = enqueue(recorder, queue, &recorder->launches[*n_events], NULL, &events[*n_events], err);
        *n_events += status == TT_OK;
    }
    if (status != TT_OK)
        return status;
    cl_int code = tt_device_cl(recorder->device)->finish(queue);
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(recorder->device, err, code, "clFinish");
}

/* The row of a stem, a new one when it is not there yet. There are as many rows as launches at most. */
static tt_profile_row *find_row(tt_profile_row *rows, size_t *n_rows, const char *stem)
{
    for (size_t i = 0; i < *n_rows; i++)
        if (strcmp(rows[i].stem, stem) == 0)
            return &rows[i];
    tt_profile_row *row = &rows[(*n_rows)++];
    *row = (tt_profile_row){.stem = stem};
    return row;
}

static tt_status sum_rows(const tt_recorder *recorder, const cl_event *events, tt_profile_row *rows, size_t *n_rows,
                          tt_error *err)
{
    const tt_cl *cl = tt_device_cl(recorder->device);
    for (size_t i = 0; i < recorder->n_launches; i++) {
        const tt_launch *launch = &recorder->launches[i];
        cl_ulong start = 0, end = 0;
        cl_int code = cl->get_event_profiling_info(events[i], CL_PROFILING_COMMAND_START, sizeof(start), &start, NULL);
        if (code == CL_SUCCESS)
            code = cl->get_event_profiling_info(events[i], CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL);
        if (code != CL_SUCCESS)
            return tt_device_fail(recorder->device, err, code, "clGetEventProfilingInfo");
        tt_profile_row *row = find_row(rows, n_rows, launch->stem);
        row->n_launches++;
        row->ms += end > start ? (double)(end - start) * 1e-6 : 0;
        row->flops += launch->flops;
        row->bytes += launch->bytes;
    }
    return TT_OK;
}

const tt_launch *tt_recorder_launch(const tt_recorder *recorder, size_t index)
{
    return &recorder->launches[index];
}

void tt_recorder_work(const tt_recorder *recorder, double *flops, double *bytes)
{
    *flops = *bytes = 0;
    for (size_t i = 0; i < recorder->n_launches; i++) {
        *flops += recorder->launches[i].flops;
        *bytes += recorder->launches[i].bytes;
    }
}

uint64_t tt_recorder_private_bytes(const tt_recorder *recorder)
{
    const tt_cl *cl = tt_device_cl(recorder->device);
    cl_ulong most = 0;
    for (size_t i = 0; i < recorder->n_launches; i++) {
        cl_ulong n_bytes = 0;
        cl_int code = cl->get_kernel_work_group_info(recorder->launches[i].kernel, tt_device_id(recorder->device),
                                                     CL_KERNEL_PRIVATE_MEM_SIZE, sizeof(n_bytes), &n_bytes, NULL);
        if (code == CL_SUCCESS && n_bytes > most)
            most = n_bytes;
    }
    return most;
}

tt_status tt_recorder_profile(tt_recorder *recorder, tt_profile_row **rows, size_t *n_rows, tt_error *err)
{
    size_t n = recorder->n_launches, n_events = 0;
    *rows = NULL;
    *n_rows = 0;
    *rows = calloc(n + 1, sizeof(**rows));
    cl_event *events = calloc(n + 1, sizeof(*events));
    tt_status status = TT_OK;
    if (*rows == NULL || events == NULL)
        status = tt_fail_memory(err, "a profile", (n + 1) * (sizeof(**rows) + sizeof(*events)));
    if (status == TT_OK)
        status = run_with_events(recorder, events, &n_events, err);
    if (status == TT_OK)
        status = sum_rows(recorder, events, *rows, n_rows, err);
    for (size_t i = 0; i < n_events; i++)
        (void)tt_device_cl(recorder->device)->release_event(events[i]);
    free(events);
    if (status != TT_OK) {
        free(*rows);
        *rows = NULL;
        *n_rows = 0;
    }
    return status;
}
