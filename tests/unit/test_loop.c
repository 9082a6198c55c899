/* test_loop.c - what happens inside the sampling loop: a counting layer in the device's table of functions and around
 * the C library's allocations (the linker's --wrap, tests/CMakeLists.txt) sees one wait and no allocation per step. */
#include "device/device.h"
#include "pipeline/context.h"
#include "pipeline/model.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

typedef struct counts {
    int waits;    /* clFinish, clWaitForEvents, blocking reads, writes and maps */
    int finishes; /* those of them that are clFinish or clWaitForEvents */
    int launches, buffers, kernels, allocations;
} counts;

static counts now;
static tt_cl real;

/* ---- the device's functions */

static cl_int count_finish(cl_command_queue queue)
{
    now.waits++;
    now.finishes++;
    return real.finish(queue);
}

static cl_int count_wait(cl_uint n, const cl_event *events)
{
    now.waits++;
    now.finishes++;
    return real.wait_for_events(n, events);
}

static cl_int count_read(cl_command_queue queue, cl_mem mem, cl_bool is_blocking, size_t offset, size_t n, void *to,
                         cl_uint n_events, const cl_event *events, cl_event *event)
{
    now.waits += is_blocking == CL_TRUE;
    return real.enqueue_read_buffer(queue, mem, is_blocking, offset, n, to, n_events, events, event);
}

static cl_int count_write(cl_command_queue queue, cl_mem mem, cl_bool is_blocking, size_t offset, size_t n,
                          const void *from, cl_uint n_events, const cl_event *events, cl_event *event)
{
    now.waits += is_blocking == CL_TRUE;
    return real.enqueue_write_buffer(queue, mem, is_blocking, offset, n, from, n_events, events, event);
}

static void *count_map(cl_command_queue queue, cl_mem mem, cl_bool is_blocking, cl_map_flags flags, size_t offset,
                       size_t n, cl_uint n_events, const cl_event *events, cl_event *event, cl_int *code)
{
    now.waits += is_blocking == CL_TRUE;
    return real.enqueue_map_buffer(queue, mem, is_blocking, flags, offset, n, n_events, events, event, code);
}

static cl_int count_launch(cl_command_queue queue, cl_kernel kernel, cl_uint n_dims, const size_t *offset,
                           const size_t *global, const size_t *local, cl_uint n_events, const cl_event *events,
                           cl_event *event)
{
    now.launches++;
    return real.enqueue_nd_range_kernel(queue, kernel, n_dims, offset, global, local, n_events, events, event);
}

static cl_mem count_buffer(cl_context in, cl_mem_flags flags, size_t n, void *host, cl_int *code)
{
    now.buffers++;
    return real.create_buffer(in, flags, n, host, code);
}

static cl_kernel count_kernel(cl_program program, const char *name, cl_int *code)
{
    now.kernels++;
    return real.create_kernel(program, name, code);
}

static void lay_over(tt_cl *cl)
{
    real = *cl;
    cl->finish = count_finish;
    cl->wait_for_events = count_wait;
    cl->enqueue_read_buffer = count_read;
    cl->enqueue_write_buffer = count_write;
    cl->enqueue_map_buffer = count_map;
    cl->enqueue_nd_range_kernel = count_launch;
    cl->create_buffer = count_buffer;
    cl->create_kernel = count_kernel;
}

/* ---- the C library's allocations, as far as the library itself asks for them */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

void *__wrap_malloc(size_t n)
{
    now.allocations++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    now.allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t n)
{
    now.allocations++;
    return __real_realloc(old, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    now.allocations++;
    return __real_aligned_alloc(alignment, n);
}

/* ---- a run under the layer */

enum { MAX_CALLS = 200 };

typedef struct run_record {
    uint32_t n_calls;
    counts at[MAX_CALLS + 1]; /* when a call was done; [0]: before the first */
} run_record;

static bool note_progress(void *user, const tt_progress *progress)
{
    run_record *record = user;
    if (progress->phase == TT_PHASE_DENOISE && progress->step <= MAX_CALLS) {
        record->n_calls = progress->step;
        record->at[progress->step] = now;
    }
    return true;
}

static tt_context *context;
static tt_model *model, *guided_embedding;

static int set_up(void **state)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    (void)state;
    context = golden_context();
    model = golden_model(context, &own, "sd1", TT_PRECISION_F16);
    guided_embedding = golden_model(context, &own, "sdxl", TT_PRECISION_F32);
    assert_non_null(model);
    assert_non_null(guided_embedding);
    lay_over((tt_cl *)(void *)(uintptr_t)tt_device_cl(context->device));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_model_destroy(model);
    tt_model_destroy(guided_embedding);
    tt_context_destroy(context);
    return 0;
}

static run_record run(tt_model *used, const char *sampler, uint32_t n_steps)
{
    run_record record = {.n_calls = 0};
    tt_generate_params p;
    tt_image image;
    assert_int_equal(tt_generate_params_default(used, &p), TT_OK);
    p.prompt = "a cat";
    p.width = p.height = 32;
    p.n_steps = n_steps;
    p.seed = 3;
    p.sampler = sampler;
    p.progress = note_progress;
    p.progress_user = &record;
    if (tt_generate(used, &p, &image, NULL) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    tt_image_free(&image);
    return record;
}

/* Calls first .. n_calls: each waits once, for the UNet's output, and allocates nothing. */
static void check_calls(const run_record *record, uint32_t first, const char *label)
{
    for (uint32_t call = first; call <= record->n_calls; call++) {
        const counts *a = &record->at[call - 1], *b = &record->at[call];
        if (b->waits - a->waits != 1 || b->finishes != a->finishes || b->buffers != a->buffers ||
            b->kernels != a->kernels || b->allocations != a->allocations)
            fail_msg("%s, call %u: %d waits, %d of them clFinish or clWaitForEvents, %d buffers, %d kernels, %d "
                     "allocations",
                     label, (unsigned)call, b->waits - a->waits, b->finishes - a->finishes, b->buffers - a->buffers,
                     b->kernels - a->kernels, b->allocations - a->allocations);
    }
}

/* From the second call on: the first one comes behind the making of graph and kernels. */
static void one_wait_and_no_allocation(void **state)
{
    (void)state;
    static const char *const samplers[] = {"euler", "euler_a", "heun",     "dpm2",    "lms",   "ddim", "ddpm",
                                           "pndm",  "dpm++2m", "dpm++sde", "dpm++2s", "unipc", "deis"};
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++) {
        run_record record = run(model, samplers[i], 4);
        assert_true(record.n_calls >= 4);
        check_calls(&record, 2, samplers[i]);
        assert_true(now.launches > 0 && now.buffers > 0 && now.kernels > 0 && now.allocations > 0);
    }
}

/* More timesteps than are embedded at once: the window moves without a wait, and only the step that moves it has more
 * launches. */
static void long_runs_move_on(void **state)
{
    (void)state;
    tt_model *models[] = {model, guided_embedding};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        run_record record = run(models[m], "euler", 70);
        int usual = record.at[3].launches - record.at[2].launches, n_moves = 0;
        assert_int_equal(record.n_calls, 70);
        check_calls(&record, 2, "long run");
        for (uint32_t call = 2; call <= record.n_calls; call++)
            n_moves += record.at[call].launches - record.at[call - 1].launches > usual;
        assert_int_equal(n_moves, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wait_and_no_allocation),
        cmocka_unit_test(long_runs_move_on),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
