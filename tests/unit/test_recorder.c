/* test_recorder.c - lists of launches: order, checks, ownership, profile. */
#include "tests/support/test-device.h"

#include "device/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* advance: x = x * factor + 1, which depends on the order; dawdle: slow; spread: every item writes its own id. */
static const char *test_sources(const char *name, size_t *n_bytes)
{
    static const char text[] =
        "__kernel void advance(__global uint *x, uint factor)\n"
        "{\n"
        "    x[get_global_id(0)] = x[get_global_id(0)] * factor + 1;\n"
        "}\n"
        "__kernel void dawdle(__global uint *x)\n"
        "{\n"
        "    uint s = x[0] + 5;\n"
        "    for (uint i = 0; i < 3000000; i++)\n"
        "        s = (s ^ i) * 2654435761u + (s >> 7);\n"
        "    x[0] = s;\n"
        "}\n"
        "__kernel void spread(__global uint *x)\n"
        "{\n"
        "    uint row = get_global_id(1) + get_global_id(2) * get_global_size(1);\n"
        "    x[get_global_id(0) + row * get_global_size(0)] = get_local_size(0) * 1000 + get_global_id(0) + row * 16;\n"
        "}\n";
    *n_bytes = sizeof(text) - 1;
    return strcmp(name, "test.cl") == 0 ? text : NULL;
}

static cl_kernel make_kernel(const char *entry, const tt_test_array *array)
{
    cl_kernel kernel;
    tt_device_set_sources(tt_test_device(), test_sources);
    tt_test_ok(tt_kernel_create(tt_test_device(), "test.cl", "", entry, &kernel, tt_test_error()));
    cl_int code = tt_device_cl(tt_test_device())->set_kernel_arg(kernel, 0, sizeof(cl_mem), &array->buffer.mem);
    assert_int_equal(code, CL_SUCCESS);
    return kernel;
}

static void add_step(tt_recorder *recorder, const tt_test_array *array, uint32_t factor, const char *stem)
{
    cl_kernel kernel = make_kernel("advance", array);
    cl_int code = tt_device_cl(tt_test_device())->set_kernel_arg(kernel, 1, sizeof(factor), &factor);
    assert_int_equal(code, CL_SUCCESS);
    tt_launch launch = {
        .stem = stem, .kernel = kernel, .n_dims = 1, .global = {array->n + array->first}, .flops = 10, .bytes = 4};
    tt_test_ok(tt_recorder_add(recorder, &launch, tt_test_error()));
}

/* An array that begins at the buffer's first element, without guards. */
static tt_test_array plain_array(size_t n)
{
    tt_test_array array = {.n = n};
    uint32_t *zeros = calloc(n, sizeof(*zeros));
    assert_non_null(zeros);
    tt_test_ok(tt_buffer_create(tt_test_device(), n * sizeof(*zeros), "test", &array.buffer, tt_test_error()));
    tt_test_ok(tt_buffer_write(tt_test_device(), &array.buffer, 0, zeros, n * sizeof(*zeros), tt_test_error()));
    free(zeros);
    return array;
}

static void launches_run_in_order_every_time(void **state)
{
    (void)state;
    enum { N_LAUNCHES = 50, N = 8 };
    tt_test_array array = plain_array(N);
    uint32_t got[N], want = 0;
    tt_recorder *recorder = tt_test_recorder();
    for (uint32_t i = 0; i < N_LAUNCHES; i++)
        add_step(recorder, &array, i % 5 + 2, "step");
    assert_int_equal(tt_recorder_count(recorder), N_LAUNCHES);
    for (int replay = 0; replay < 3; replay++)
        tt_test_ok(tt_recorder_replay(recorder, tt_test_error()));
    tt_test_ok(tt_device_finish(tt_test_device(), tt_test_error()));
    tt_recorder_destroy(recorder);
    for (uint32_t i = 0; i < 3 * N_LAUNCHES; i++)
        want = want * (i % N_LAUNCHES % 5 + 2) + 1;
    tt_test_array_read(&array, got);
    for (int i = 0; i < N; i++)
        assert_int_equal(got[i], want);
    tt_test_array_release(&array);
}

/* A device without profiling, which command buffers need; closed by the caller. */
static tt_device *open_plain_device(void)
{
    tt_device *device;
    tt_test_ok(tt_device_open(&(tt_device_options){.device = NULL}, &device, tt_test_error()));
    tt_device_set_sources(device, test_sources);
    return device;
}

static uint32_t replay_on(tt_device *device, bool wants_buffer, bool *has_buffer)
{
    uint32_t x = 3;
    tt_buffer buffer;
    tt_recorder *recorder;
    tt_test_ok(tt_recorder_create(device, &recorder, tt_test_error()));
    tt_test_ok(tt_buffer_create(device, sizeof x, "test", &buffer, tt_test_error()));
    tt_test_ok(tt_buffer_write(device, &buffer, 0, &x, sizeof x, tt_test_error()));
    tt_recorder_want_buffer(recorder, wants_buffer);
    for (uint32_t i = 0; i < 80; i++) {
        uint32_t factor = i % 7 + 2;
        tt_launch launch = {.stem = "step", .n_dims = 1, .global = {1}};
        tt_test_ok(tt_kernel_create(device, "test.cl", "", "advance", &launch.kernel, tt_test_error()));
        assert_int_equal(tt_device_cl(device)->set_kernel_arg(launch.kernel, 0, sizeof(cl_mem), &buffer.mem), 0);
        assert_int_equal(tt_device_cl(device)->set_kernel_arg(launch.kernel, 1, sizeof factor, &factor), 0);
        tt_test_ok(tt_recorder_add(recorder, &launch, tt_test_error()));
        if (i == 40) /* a list that grows after a replay is recorded anew */
            tt_test_ok(tt_recorder_replay(recorder, tt_test_error()));
    }
    for (int i = 0; i < 3; i++) /* without waiting in between */
        tt_test_ok(tt_recorder_replay(recorder, tt_test_error()));
    *has_buffer = tt_recorder_has_buffer(recorder);
    tt_test_ok(tt_buffer_read(device, &buffer, 0, &x, sizeof x, tt_test_error()));
    tt_recorder_destroy(recorder);
    tt_buffer_release(device, &buffer);
    return x;
}

/* Where the driver records lists, its replays are those of the plain loop; elsewhere asking for them changes nothing.
 */
static void recorded_lists_run_like_the_loop(void **state)
{
    (void)state;
    tt_device *device = open_plain_device();
    bool has_buffer, can_record = tt_device_caps(device)->has_command_buffer;
    uint32_t want = replay_on(device, false, &has_buffer);
    assert_false(has_buffer);
    assert_int_equal(replay_on(device, true, &has_buffer), want);
    assert_int_equal(has_buffer, can_record);
    tt_device_close(device);
}

/* Ranges in turn are the whole list; events order them. */
static void ranges_are_parts_of_the_list(void **state)
{
    (void)state;
    enum { N_LAUNCHES = 40, N = 8 };
    static const size_t ends[] = {1, 1, 18, 19, N_LAUNCHES};
    const tt_cl *cl = tt_device_cl(tt_test_device());
    tt_test_array array = plain_array(N);
    uint32_t got[N], want = 0;
    tt_recorder *recorder = tt_test_recorder();
    cl_event before = NULL;
    for (uint32_t i = 0; i < N_LAUNCHES; i++) {
        add_step(recorder, &array, i % 5 + 2, "step");
        want = want * (i % 5 + 2) + 1;
    }
    for (size_t i = 0, first = 0; i < sizeof(ends) / sizeof(ends[0]); first = ends[i++]) {
        cl_event done = NULL;
        bool is_empty = ends[i] == first;
        tt_test_ok(tt_recorder_replay_range(recorder, first, ends[i], is_empty ? NULL : before, is_empty ? NULL : &done,
                                            tt_test_error()));
        if (is_empty)
            continue;
        assert_non_null(done);
        if (before != NULL)
            assert_int_equal(cl->release_event(before), CL_SUCCESS);
        before = done;
    }
    assert_int_equal(cl->wait_for_events(1, &before), CL_SUCCESS);
    assert_int_equal(cl->release_event(before), CL_SUCCESS);
    tt_recorder_destroy(recorder);
    tt_test_array_read(&array, got);
    for (int i = 0; i < N; i++)
        assert_int_equal(got[i], want);
    tt_test_array_release(&array);
}

/* A range waits for an event of another queue. */
static void ranges_wait_for_events(void **state)
{
    (void)state;
    if (tt_test_small())
        skip();
    const tt_cl *cl = tt_device_cl(tt_test_device());
    const size_t one = 1;
    uint32_t n_loops = 3000000, want = 5, got;
    cl_int code;
    cl_event slow;
    tt_test_array array = plain_array(1);
    tt_recorder *recorder = tt_test_recorder();
    for (uint32_t i = 0; i < n_loops; i++)
        want = (want ^ i) * 2654435761u + (want >> 7);
    add_step(recorder, &array, 3, "step");
    cl_kernel kernel = make_kernel("dawdle", &array);
    cl_command_queue other =
        cl->create_command_queue(tt_device_context(tt_test_device()), tt_device_id(tt_test_device()), 0, &code);
    assert_non_null(other);
    assert_int_equal(cl->enqueue_nd_range_kernel(other, kernel, 1, NULL, &one, NULL, 0, NULL, &slow), CL_SUCCESS);
    assert_int_equal(cl->flush(other), CL_SUCCESS);
    tt_test_ok(tt_recorder_replay_range(recorder, 0, 1, slow, NULL, tt_test_error()));
    tt_test_ok(tt_device_finish(tt_test_device(), tt_test_error()));
    tt_test_array_read(&array, &got);
    assert_int_equal(got, want * 3 + 1);
    (void)cl->release_event(slow);
    (void)cl->release_kernel(kernel);
    (void)cl->release_command_queue(other);
    tt_recorder_destroy(recorder);
    tt_test_array_release(&array);
}

static void wrong_ranges_are_refused(void **state)
{
    (void)state;
    tt_test_array array = plain_array(8);
    tt_recorder *recorder = tt_test_recorder();
    tt_error err = {""};
    cl_event done;
    add_step(recorder, &array, 2, "step");
    add_step(recorder, &array, 2, "step");
    assert_int_equal(tt_recorder_replay_range(recorder, 0, 3, NULL, NULL, &err), TT_ERROR_INTERNAL);
    assert_non_null(strstr(err.text, "launches 0 to 3 of 2"));
    assert_int_equal(tt_recorder_replay_range(recorder, 2, 1, NULL, NULL, &err), TT_ERROR_INTERNAL);
    assert_int_equal(tt_recorder_replay_range(recorder, 1, 1, NULL, &done, &err), TT_ERROR_INTERNAL);
    assert_null(done);
    tt_test_ok(tt_recorder_replay_range(recorder, 2, 2, NULL, NULL, tt_test_error()));
    tt_test_run(recorder);
    tt_test_array_release(&array);
}

static void sizes_reach_the_device(void **state)
{
    (void)state;
    tt_test_array array = plain_array(8 * 3 * 2);
    uint32_t got[8 * 3 * 2];
    tt_recorder *recorder = tt_test_recorder();
    tt_launch launch = {.stem = "spread",
                        .kernel = make_kernel("spread", &array),
                        .n_dims = 3,
                        .global = {8, 3, 2},
                        .local = {4, 1, 1}};
    tt_test_ok(tt_recorder_add(recorder, &launch, tt_test_error()));
    tt_test_run(recorder);
    tt_test_array_read(&array, got);
    for (uint32_t i = 0; i < 48; i++)
        assert_int_equal(got[i], 4000 + i % 8 + i / 8 * 16);
    tt_test_array_release(&array);
}

static void wrong_launches_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_dims;
        size_t global[3], local[3];
        const char *part; /* of the sentence */
    } cases[] = {
        {0, {8, 1, 1}, {0, 0, 0}, "1 to 3 dimensions, found 0"},
        {4, {8, 1, 1}, {0, 0, 0}, "1 to 3 dimensions, found 4"},
        {2, {8, 0, 1}, {0, 0, 0}, "global size of dimension 1 is 0"},
        {1, {8, 1, 1}, {3, 0, 0}, "no multiple of local size 3"},
        {2, {8, 8, 1}, {4, 0, 0}, "no multiple of local size 0"},
        {2, {(size_t)1 << 20, (size_t)1 << 20, 1}, {(size_t)1 << 20, (size_t)1 << 20, 1}, "a work-group of"},
    };
    tt_test_array array = plain_array(64);
    tt_recorder *recorder = tt_test_recorder();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_error err = {""};
        tt_launch launch = {.stem = "spread", .kernel = make_kernel("spread", &array), .n_dims = cases[i].n_dims};
        memcpy(launch.global, cases[i].global, sizeof(launch.global));
        memcpy(launch.local, cases[i].local, sizeof(launch.local));
        assert_int_not_equal(tt_recorder_add(recorder, &launch, &err), TT_OK);
        assert_non_null(strstr(err.text, "spread"));
        assert_non_null(strstr(err.text, cases[i].part));
    }
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_test_run(recorder); /* an empty list is fine */
    tt_test_array_release(&array);
}

static void missing_argument_is_reported_with_the_stem(void **state)
{
    (void)state;
    /* Oclgrind enqueues such a kernel and reports it in its own log. */
    if (strcmp(tt_device_caps(tt_test_device())->info.platform, "Oclgrind") == 0)
        skip();
    tt_test_array array = plain_array(8);
    tt_recorder *recorder = tt_test_recorder();
    tt_error err = {""};
    tt_launch launch = {.stem = "my op", .kernel = make_kernel("advance", &array), .n_dims = 1, .global = {8}};
    tt_test_ok(tt_recorder_add(recorder, &launch, tt_test_error()));
    assert_int_equal(tt_recorder_replay(recorder, &err), TT_ERROR_DEVICE);
    assert_non_null(strstr(err.text, "clEnqueueNDRangeKernel for my op: CL_INVALID_KERNEL_ARGS"));
    tt_recorder_destroy(recorder);
    tt_test_array_release(&array);
}

static void profile_sums_per_stem(void **state)
{
    (void)state;
    tt_test_array array = plain_array(64);
    tt_profile_row *rows;
    size_t n_rows;
    tt_recorder *recorder = tt_test_recorder();
    for (uint32_t i = 0; i < 5; i++)
        add_step(recorder, &array, 3, i % 2 == 0 ? "even" : "odd");
    tt_test_ok(tt_recorder_profile(recorder, &rows, &n_rows, tt_test_error()));
    assert_int_equal(n_rows, 2);
    assert_string_equal(rows[0].stem, "even");
    assert_string_equal(rows[1].stem, "odd");
    assert_int_equal(rows[0].n_launches, 3);
    assert_int_equal(rows[1].n_launches, 2);
    assert_true(rows[0].flops == 30 && rows[1].flops == 20 && rows[0].bytes == 12 && rows[1].bytes == 8);
    assert_true(rows[0].ms >= 0 && rows[0].ms < 10000);
    free(rows);
    tt_recorder_destroy(recorder);
    tt_test_array_release(&array);
}

static void profile_makes_its_own_queue(void **state)
{
    (void)state;
    tt_device *device;
    tt_recorder *recorder;
    tt_profile_row *rows;
    size_t n_rows;
    cl_kernel kernel;
    cl_uint factor = 1;
    tt_buffer buffer;
    tt_device_options options = {.cache_dir = ""};
    tt_test_ok(tt_device_open(&options, &device, tt_test_error()));
    tt_device_set_sources(device, test_sources);
    tt_test_ok(tt_buffer_create(device, 64, "test", &buffer, tt_test_error()));
    tt_test_ok(tt_kernel_create(device, "test.cl", "", "advance", &kernel, tt_test_error()));
    assert_int_equal(tt_device_cl(device)->set_kernel_arg(kernel, 0, sizeof(cl_mem), &buffer.mem), CL_SUCCESS);
    assert_int_equal(tt_device_cl(device)->set_kernel_arg(kernel, 1, sizeof(factor), &factor), CL_SUCCESS);
    tt_test_ok(tt_recorder_create(device, &recorder, tt_test_error()));
    tt_launch launch = {.stem = "step", .kernel = kernel, .n_dims = 1, .global = {16}};
    tt_test_ok(tt_recorder_add(recorder, &launch, tt_test_error()));
    for (int i = 0; i < 2; i++) {
        tt_test_ok(tt_recorder_replay(recorder, tt_test_error()));
        tt_test_ok(tt_recorder_profile(recorder, &rows, &n_rows, tt_test_error()));
        assert_int_equal(n_rows, 1);
        assert_true(rows[0].ms >= 0 && rows[0].ms < 10000);
        free(rows);
    }
    tt_recorder_destroy(recorder);
    tt_buffer_release(device, &buffer);
    tt_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launches_run_in_order_every_time),
        cmocka_unit_test(recorded_lists_run_like_the_loop),
        cmocka_unit_test(ranges_are_parts_of_the_list),
        cmocka_unit_test(ranges_wait_for_events),
        cmocka_unit_test(wrong_ranges_are_refused),
        cmocka_unit_test(sizes_reach_the_device),
        cmocka_unit_test(wrong_launches_are_refused),
        cmocka_unit_test(missing_argument_is_reported_with_the_stem),
        cmocka_unit_test(profile_sums_per_stem),
        cmocka_unit_test(profile_makes_its_own_queue),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
