/* test_graph_stream.c - graphs whose weights pass through a ring of buffers: the results of resident weights bit by
 * bit, the sizes that were forecast, and failures of the driver in the middle of a run. */
#include "graph/graph.h"
#include "tests/support/graph-weights.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, SIDE = 6, N_POSITIONS = BATCH * SIDE * SIDE, TOKENS = 5, N_OUT = N_POSITIONS * 20 };

static tt_value linear(tt_graph *g, tt_value in, const char *name, uint32_t n_out)
{
    return tt_graph_linear(g, in, &(tt_linear_op){.name = name, .n_out = n_out});
}

/* Many matrices: convolutions of all kinds, GEGLU, two sources, stacked layers; one is used twice in a row and again
 * when the ring has long moved on; two depend on the static input alone. */
static void build(tt_graph *g, const void *user)
{
    (void)user;
    static const char *const stacked[] = {"lin20_20", "lin20_8"};
    static const uint32_t widths[] = {20, 8};
    tt_value context = tt_graph_input_tokens(g, "context", true, BATCH, TOKENS, 8);
    tt_value k = linear(g, linear(g, context, "lin8_20", 20), "lin20_12", 12);
    tt_value x = tt_graph_input(g, "x", false, BATCH, 8, SIDE, SIDE);
    tt_value a = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = "conv8_12", .n_out = 12, .activation = TT_ACT_SILU});
    tt_value b = linear(g, a, "lin12_12", 12);
    b = linear(g, b, "lin12_12", 12);
    tt_value down = tt_graph_conv3x3(g, b, &(tt_conv_op){.name = "conv12_12", .n_out = 12, .mode = TT_CONV_DOWN});
    tt_value up = tt_graph_conv3x3(g, down, &(tt_conv_op){.name = "conv12_20", .n_out = 20, .mode = TT_CONV_UP});
    up = tt_graph_linear(g, up, &(tt_linear_op){.names = stacked, .n_outs = widths, .n_names = 2});
    tt_value wide = tt_graph_channels(g, up, 0, 20), narrow = tt_graph_channels(g, up, 20, 8);
    wide = tt_graph_linear(g, wide, &(tt_linear_op){.name = "geglu20", .n_out = 40, .geglu = true});
    tt_value joined = tt_graph_linear(
        g, narrow, &(tt_linear_op){.name = "cat8_20_12", .n_out = 12, .extra_input = true, .in2 = wide});
    joined = linear(g, joined, "lin12_12", 12);
    joined = tt_graph_attention(g, joined, k, k, 3, false);
    joined = tt_graph_group_norm(g, joined, TT_NONE, "norm12", 4, 1e-5f, true);
    tt_graph_output(g, linear(g, joined, "lin12_20", 20), "y", false);
}

typedef struct bench {
    tt_weight_store *store;
    tt_graph *graph;
} bench;

static bench start(const tt_kernels *kernels, uint64_t resident_bytes, uint32_t n_slots)
{
    bench b;
    tt_test_ok(tt_weight_store_create(kernels, graph_weights(), &b.store, tt_test_error()));
    tt_weight_store_set_limit(b.store, resident_bytes, n_slots);
    tt_test_ok(tt_graph_create(kernels, "streamed", b.store, &b.graph, tt_test_error()));
    build(b.graph, NULL);
    return b;
}

static void finish(bench *b)
{
    tt_graph_destroy(b->graph);
    tt_weight_store_destroy(b->store);
}

/* Four runs; the static input changes before the third. */
enum { N_RUNS = 4 };

static void run(tt_graph *g, int index, float *y)
{
    float x[N_POSITIONS * 8], context[BATCH * TOKENS * 8];
    tt_test_random(x, N_POSITIONS * 8, 10 + (uint64_t)index);
    if (index % 2 == 0) {
        tt_test_random(context, BATCH * TOKENS * 8, 90 + (uint64_t)index);
        tt_test_ok(tt_graph_write(g, "context", context, BATCH * TOKENS * 8, tt_test_error()));
    }
    tt_test_ok(tt_graph_write(g, "x", x, N_POSITIONS * 8, tt_test_error()));
    tt_test_ok(tt_graph_run(g, tt_test_error()));
    tt_test_ok(tt_graph_read(g, "y", y, N_OUT, tt_test_error()));
}

/* Results of resident weights, and what they take. */
static float *expected(const tt_kernels *kernels, tt_weight_sizes *sizes)
{
    float *y = malloc(N_RUNS * N_OUT * sizeof *y);
    assert_non_null(y);
    bench b = start(kernels, UINT64_MAX, 2);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    assert_non_null(tt_graph_recorder(b.graph));
    for (int i = 0; i < N_RUNS; i++)
        run(b.graph, i, y + i * N_OUT);
    *sizes = tt_weight_store_sizes(b.store);
    finish(&b);
    assert_memory_not_equal(y, y + N_OUT, N_OUT * sizeof *y);
    assert_memory_not_equal(y + N_OUT, y + 2 * N_OUT, N_OUT * sizeof *y);
    return y;
}

static void expect_sizes(const tt_weight_sizes *got, const tt_weight_sizes *want)
{
    assert_int_equal(got->resident_bytes, want->resident_bytes);
    assert_int_equal(got->streamed_bytes, want->streamed_bytes);
    assert_int_equal(got->slot_bytes, want->slot_bytes);
    assert_int_equal(got->n_slots, want->n_slots);
}

static void check_streamed(const tt_kernels *kernels, uint64_t limit, uint32_t n_slots, const float *want)
{
    float y[N_OUT];
    uint64_t before = tt_device_bytes(tt_test_device());
    bench b = start(kernels, limit, n_slots);
    uint64_t with_io = tt_device_bytes(tt_test_device()); /* and vectors, which are counted once more below */
    tt_weight_sizes planned = tt_weight_store_sizes(b.store);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    tt_weight_sizes sizes = tt_weight_store_sizes(b.store);
    expect_sizes(&sizes, &planned);
    assert_true(tt_device_bytes(tt_test_device()) - with_io <=
                sizes.resident_bytes + sizes.slot_bytes * sizes.n_slots + tt_graph_arena_bytes(b.graph));
    assert_true((tt_graph_recorder(b.graph) == NULL) == (sizes.streamed_bytes > 0));
    for (int i = 0; i < N_RUNS; i++) {
        memset(y, 0xff, sizeof y);
        run(b.graph, i, y);
        if (memcmp(y, want + i * N_OUT, sizeof y) != 0)
            fail_msg("%s, run %d with a limit of %llu and %u slots differs from resident weights",
                     tt_test_form_name(kernels), i, (unsigned long long)limit, n_slots);
    }
    finish(&b);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
}

static void test_same_bits(void **state)
{
    (void)state;
    const tt_kernels *forms = tt_test_forms();
    for (size_t i = 0; i < TT_TEST_N_FORMS; i++) {
        tt_weight_sizes all;
        float *want = expected(&forms[i], &all);
        const uint64_t limits[] = {0, all.resident_bytes / 4, all.resident_bytes / 2};
        for (size_t j = 0; j < 3; j++)
            for (uint32_t n_slots = 2; n_slots <= 3; n_slots++)
                check_streamed(&forms[i], limits[j], n_slots, want);
        check_streamed(&forms[i], 0, 100, want);
        check_streamed(&forms[i], all.resident_bytes, 2, want);
        free(want);
    }
}

/* Two graphs of one store, run in turns, each with a ring of its own. */
static void test_two_graphs(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    float y[N_OUT];
    tt_weight_sizes all;
    tt_graph *other;
    float *want = expected(kernels, &all);
    bench b = start(kernels, all.resident_bytes / 2, 2);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    tt_test_ok(tt_graph_create(kernels, "second", b.store, &other, tt_test_error()));
    build(other, NULL);
    uint64_t n_bytes = tt_weight_store_bytes(b.store);
    tt_test_ok(tt_graph_compile(other, tt_test_error()));
    assert_int_equal(tt_weight_store_bytes(b.store), n_bytes);
    for (int i = 0; i < N_RUNS; i++) {
        run(b.graph, i, y);
        assert_memory_equal(y, want + i * N_OUT, sizeof y);
        run(other, i, y);
        assert_memory_equal(y, want + i * N_OUT, sizeof y);
    }
    tt_graph_destroy(other);
    finish(&b);
    free(want);
}

/* A plan without a device forecasts what the device then holds, for every limit and slot number asked of it. */
static void test_forecast(void **state)
{
    (void)state;
    for (size_t form = 0; form < 2; form++) {
        const tt_kernels *kernels = &tt_test_forms()[form];
        tt_weight_store *plan = NULL;
        tt_graph_forecast forecast;
        tt_test_ok(
            tt_graph_forecast_of(kernels, "streamed", graph_weights(), build, NULL, &plan, &forecast, tt_test_error()));
        tt_weight_sizes all = tt_weight_store_sizes(plan), sizes;
        assert_int_equal(all.streamed_bytes, 0);
        assert_int_equal(all.slot_bytes, 0);
        for (uint64_t eighth = 0; eighth <= 8; eighth++) {
            uint64_t limit = all.resident_bytes * eighth / 8;
            tt_weight_store_set_limit(plan, limit, 2 + (uint32_t)eighth % 2);
            sizes = tt_weight_store_sizes(plan);
            assert_int_equal(sizes.resident_bytes + sizes.streamed_bytes, all.resident_bytes);
            bench b = start(kernels, limit, 2 + (uint32_t)eighth % 2);
            tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
            tt_weight_sizes real_sizes = tt_weight_store_sizes(b.store);
            expect_sizes(&real_sizes, &sizes);
            finish(&b);
        }
        assert_int_equal(sizes.streamed_bytes, 0);
        tt_weight_store_destroy(plan);
    }
}

/* Bytes of a matrix of one part, packed as float. */
static uint64_t packed(uint64_t n_out, uint64_t n_in, uint64_t taps)
{
    return (n_out + 31) / 32 * 32 * ((n_in + 3) / 4 * 4) * taps * 4;
}

/* Large matrices stay before small ones, static ones come last. */
static void test_choice(void **state)
{
    (void)state;
    bench b = start(&tt_test_forms()[0], UINT64_MAX, 3);
    uint64_t conv = packed(12, 12, 9), small = packed(12, 8, 1);
    tt_weight_sizes sizes = tt_weight_store_sizes(b.store);
    uint64_t all = sizes.resident_bytes;
    tt_weight_store_set_limit(b.store, 0, 3);
    sizes = tt_weight_store_sizes(b.store);
    uint64_t matrices = sizes.streamed_bytes;
    assert_int_equal(sizes.slot_bytes, conv);
    assert_int_equal(sizes.n_slots, 3);
    /* Two convolutions of 12 inputs stay (their outputs are padded to 32), then the one of 8 inputs sizes the slots. */
    tt_weight_store_set_limit(b.store, 2 * conv + small, 3);
    sizes = tt_weight_store_sizes(b.store);
    assert_int_equal(sizes.slot_bytes, packed(12, 8, 9));
    assert_true(sizes.resident_bytes >= all - matrices + 2 * conv);
    assert_true(sizes.resident_bytes <= all - matrices + 2 * conv + small);
    /* One byte too little for all: the smaller static matrix goes. */
    tt_weight_store_set_limit(b.store, matrices - 1, 3);
    sizes = tt_weight_store_sizes(b.store);
    assert_int_equal(sizes.streamed_bytes, packed(20, 8, 1));
    assert_int_equal(sizes.n_slots, 1);
    tt_weight_store_set_limit(b.store, matrices, 0);
    assert_int_equal(tt_weight_store_sizes(b.store).streamed_bytes, 0);
    finish(&b);
}

/* ---- failures of the driver */

static cl_int countdown; /* calls that still go well */
static tt_cl real;

static bool fails(void)
{
    return countdown-- <= 0;
}

static void *failing_map(cl_command_queue queue, cl_mem mem, cl_bool blocking, cl_map_flags flags, size_t offset,
                         size_t n_bytes, cl_uint n_events, const cl_event *events, cl_event *event, cl_int *code)
{
    *code = CL_MAP_FAILURE;
    return fails()
               ? NULL
               : real.enqueue_map_buffer(queue, mem, blocking, flags, offset, n_bytes, n_events, events, event, code);
}

static cl_int failing_unmap(cl_command_queue queue, cl_mem mem, void *bytes, cl_uint n_events, const cl_event *events,
                            cl_event *event)
{
    return fails() ? CL_OUT_OF_RESOURCES : real.enqueue_unmap_mem_object(queue, mem, bytes, n_events, events, event);
}

static cl_int failing_wait(cl_uint n, const cl_event *events)
{
    return fails() ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : real.wait_for_events(n, events);
}

static cl_int failing_launch(cl_command_queue queue, cl_kernel kernel, cl_uint n_dims, const size_t *offset,
                             const size_t *global, const size_t *local, cl_uint n_events, const cl_event *events,
                             cl_event *event)
{
    return fails()
               ? CL_OUT_OF_RESOURCES
               : real.enqueue_nd_range_kernel(queue, kernel, n_dims, offset, global, local, n_events, events, event);
}

static cl_int failing_flush(cl_command_queue queue)
{
    return fails() ? CL_OUT_OF_HOST_MEMORY : real.flush(queue);
}

static cl_command_queue failing_queue(cl_context context, cl_device_id id, cl_command_queue_properties properties,
                                      cl_int *code)
{
    *code = CL_OUT_OF_HOST_MEMORY;
    return fails() ? NULL : real.create_command_queue(context, id, properties, code);
}

/* The table that the test device calls through. */
static tt_cl *table(void)
{
    return (tt_cl *)(uintptr_t)tt_device_cl(tt_test_device());
}

static void expect(tt_status got, tt_status want, const char *mention)
{
    if (got != want || !strstr(tt_test_error()->text, mention))
        fail_msg("status %d, wanted %d with \"%s\": %s", (int)got, (int)want, mention, tt_test_error()->text);
}

/* Whatever call of a run fails, and at whatever place: a sentence, and the next run is right again. */
static void test_failing_driver(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    float y[N_OUT];
    tt_weight_sizes all;
    float *want = expected(kernels, &all);
    bench b = start(kernels, 0, 2);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    run(b.graph, 0, y);
    real = *table();
    for (int kind = 0; kind < 5; kind++)
        for (int good = 0; good < 9; good += 4) {
            static const char *const mentions[] = {"clEnqueueMapBuffer for weights",
                                                   "clEnqueueUnmapMemObject for weights", "clWaitForEvents for weights",
                                                   "clEnqueueNDRangeKernel for", "clFlush"};
            if (kind == 0)
                table()->enqueue_map_buffer = failing_map;
            else if (kind == 1)
                table()->enqueue_unmap_mem_object = failing_unmap;
            else if (kind == 2)
                table()->wait_for_events = failing_wait;
            else if (kind == 3)
                table()->enqueue_nd_range_kernel = failing_launch;
            else
                table()->flush = failing_flush;
            countdown = good;
            tt_status status = tt_graph_run(b.graph, tt_test_error());
            *table() = real;
            expect(status, kind == 4 ? TT_ERROR_MEMORY : TT_ERROR_DEVICE, mentions[kind]);
            run(b.graph, 0, y);
            assert_memory_equal(y, want, sizeof y);
        }
    finish(&b);
    free(want);
}

static void test_failing_compile(void **state)
{
    (void)state;
    uint64_t before = tt_device_bytes(tt_test_device());
    for (int good = 0; good < 2; good++) {
        bench b = start(&tt_test_forms()[0], 0, 2);
        real = *table();
        table()->create_command_queue = failing_queue;
        countdown = good;
        tt_status status = tt_graph_compile(b.graph, tt_test_error());
        *table() = real;
        expect(status, TT_ERROR_MEMORY, "streamed: clCreateCommandQueue for uploads");
        expect(tt_graph_run(b.graph, tt_test_error()), TT_ERROR_INTERNAL, "not compiled");
        finish(&b);
    }
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
}

/* Packing what stays, biases first: the sentence names graph and layer, and the next graph over the store is right. */
static void test_failing_packing(void **state)
{
    (void)state;
    static const struct {
        bool unmaps;
        int good;
        const char *mention;
    } cases[] = {{false, 1, "streamed: lin20_12: clEnqueueMapBuffer"},
                 {false, 11, "streamed: lin20_12: clEnqueueMapBuffer"},
                 {true, 11, "streamed: lin20_12: clEnqueueUnmapMemObject"}};
    const tt_kernels *kernels = &tt_test_forms()[0];
    uint64_t before = tt_device_bytes(tt_test_device());
    float y[N_OUT];
    tt_weight_sizes all;
    float *want = expected(kernels, &all);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = start(kernels, UINT64_MAX, 2);
        real = *table();
        if (cases[i].unmaps)
            table()->enqueue_unmap_mem_object = failing_unmap;
        else
            table()->enqueue_map_buffer = failing_map;
        countdown = cases[i].good;
        tt_status status = tt_graph_compile(b.graph, tt_test_error());
        *table() = real;
        expect(status, TT_ERROR_DEVICE, cases[i].mention);
        tt_graph_destroy(b.graph);
        tt_test_ok(tt_graph_create(kernels, "streamed", b.store, &b.graph, tt_test_error()));
        build(b.graph, NULL);
        tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
        run(b.graph, 0, y);
        assert_memory_equal(y, want, sizeof y);
        finish(&b);
    }
    free(want);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
}

/* A store may be destroyed while threads pack for it, and asked for the rest more than once. */
static void test_packing_begun(void **state)
{
    (void)state;
    uint64_t before = tt_device_bytes(tt_test_device());
    const tt_kernels *kernels = &tt_test_forms()[0];
    float y[N_OUT];
    tt_weight_sizes all;
    float *want = expected(kernels, &all);
    bench b = start(kernels, UINT64_MAX, 2);
    tt_test_ok(tt_weight_store_begin_packing(b.store, tt_test_error()));
    finish(&b);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
    b = start(kernels, UINT64_MAX, 2);
    tt_test_ok(tt_weight_store_begin_packing(b.store, tt_test_error()));
    tt_test_ok(tt_weight_store_begin_packing(b.store, tt_test_error()));
    tt_test_ok(tt_weight_store_pack_rest(b.store, tt_test_error()));
    tt_test_ok(tt_weight_store_pack_rest(b.store, tt_test_error()));
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    run(b.graph, 0, y);
    assert_memory_equal(y, want, sizeof y);
    finish(&b);
    free(want);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_two_graphs),
        cmocka_unit_test(test_forecast),        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_failing_driver),  cmocka_unit_test(test_failing_compile),
        cmocka_unit_test(test_failing_packing), cmocka_unit_test(test_packing_begun),
    };
    return cmocka_run_group_tests_name("streamed graphs", tests, graph_weights_set_up, graph_weights_tear_down);
}
