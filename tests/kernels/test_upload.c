/* test_upload.c - slots that the host fills while the device computes. */
#include "device/program.h"
#include "device/recorder.h"
#include "device/upload.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { N = 4096, N_ITEMS = 64 };

/* Takes a while, so that a host that does not wait would change what is being read: sum = sum * 3 + all of in, in the
 * order of a chain that cannot be shortened. */
static const char *test_sources(const char *name, size_t *n_bytes)
{
    static const char text[] = "__kernel void digest(__global uint *sum, __global const uint *in)\n"
                               "{\n"
                               "    uint s = sum[get_global_id(0)] * 3 + get_global_id(0);\n"
                               "    for (uint i = 0; i < 4096; i++)\n"
                               "        s = (s ^ in[i]) * 2654435761u + (s >> 7);\n"
                               "    sum[get_global_id(0)] = s;\n"
                               "}\n";
    *n_bytes = sizeof(text) - 1;
    return strcmp(name, "test.cl") == 0 ? text : NULL;
}

static void digest(uint32_t *sums, const uint32_t *in)
{
    for (uint32_t item = 0; item < N_ITEMS; item++) {
        uint32_t s = sums[item] * 3 + item;
        for (uint32_t i = 0; i < N; i++)
            s = (s ^ in[i]) * 2654435761u + (s >> 7);
        sums[item] = s;
    }
}

static void add_digest(tt_recorder *recorder, const tt_buffer *sums, const tt_slot *slot)
{
    const tt_cl *cl = tt_device_cl(tt_test_device());
    cl_kernel kernel;
    tt_device_set_sources(tt_test_device(), test_sources);
    tt_test_ok(tt_kernel_create(tt_test_device(), "test.cl", "", "digest", &kernel, tt_test_error()));
    assert_int_equal(cl->set_kernel_arg(kernel, 0, sizeof(cl_mem), &sums->mem), CL_SUCCESS);
    assert_int_equal(cl->set_kernel_arg(kernel, 1, sizeof(cl_mem), &slot->buffer.mem), CL_SUCCESS);
    tt_launch launch = {.stem = "digest", .kernel = kernel, .n_dims = 1, .global = {N_ITEMS}};
    tt_test_ok(tt_recorder_add(recorder, &launch, tt_test_error()));
}

static void fill(uint32_t *values, uint32_t round)
{
    for (uint32_t i = 0; i < N; i++)
        values[i] = i * 40503u + round * 977u;
}

/* Slots take turns; the host never waits for anything but a free slot. */
static void test_rounds(void **state)
{
    (void)state;
    const tt_cl *cl = tt_device_cl(tt_test_device());
    uint32_t n_rounds = tt_test_small() ? 6 : 60;
    uint32_t want[N_ITEMS] = {0}, got[N_ITEMS] = {0}, *values = malloc(N * sizeof *values);
    tt_slot slots[3];
    tt_buffer sums;
    uint64_t before = tt_device_bytes(tt_test_device());
    tt_recorder *recorder = tt_test_recorder();
    assert_non_null(values);
    tt_test_ok(tt_buffer_create(tt_test_device(), sizeof got, "sums", &sums, tt_test_error()));
    tt_test_ok(tt_buffer_write(tt_test_device(), &sums, 0, got, sizeof got, tt_test_error()));
    for (int i = 0; i < 3; i++) {
        tt_test_ok(tt_slot_create(tt_test_device(), N * sizeof *values, "a slot", &slots[i], tt_test_error()));
        add_digest(recorder, &sums, &slots[i]);
    }
    for (uint32_t round = 0; round < n_rounds; round++) {
        tt_slot *slot = &slots[round % 3];
        void *bytes = NULL;
        cl_event ready, done;
        tt_test_ok(tt_slot_begin(slot, &bytes, tt_test_error()));
        fill(bytes, round);
        tt_test_ok(tt_slot_end(slot, &ready, tt_test_error()));
        tt_test_ok(tt_recorder_replay_range(recorder, round % 3, round % 3 + 1, ready, &done, tt_test_error()));
        tt_test_ok(tt_slot_reuse(slot, done, tt_test_error()));
        (void)cl->release_event(ready);
        (void)cl->release_event(done);
    }
    for (uint32_t round = 0; round < n_rounds; round++) {
        fill(values, round);
        digest(want, values);
    }
    tt_test_ok(tt_buffer_read(tt_test_device(), &sums, 0, got, sizeof got, tt_test_error()));
    assert_memory_equal(got, want, sizeof got);
    for (int i = 0; i < 3; i++)
        tt_slot_release(&slots[i]); /* each is mapped or about to be */
    tt_recorder_destroy(recorder);
    tt_buffer_release(tt_test_device(), &sums);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
    free(values);
}

static void test_life(void **state)
{
    (void)state;
    tt_slot slot = {0};
    void *bytes = NULL, *again = NULL;
    cl_event ready;
    tt_error err = {""};
    uint64_t before = tt_device_bytes(tt_test_device());
    tt_slot_release(&slot);
    tt_test_ok(tt_slot_create(tt_test_device(), 256, "a slot", &slot, tt_test_error()));
    assert_int_equal(tt_device_bytes(tt_test_device()), before + 256);
    tt_slot_reset(&slot);
    assert_int_equal(tt_slot_end(&slot, &ready, &err), TT_ERROR_INTERNAL);
    tt_test_ok(tt_slot_begin(&slot, &bytes, tt_test_error()));
    memset(bytes, 1, 256);
    tt_test_ok(tt_slot_begin(&slot, &again, tt_test_error())); /* mapped already */
    assert_ptr_equal(again, bytes);
    assert_int_equal(tt_slot_reuse(&slot, NULL, &err), TT_ERROR_INTERNAL);
    tt_slot_reset(&slot);
    assert_null(slot.bytes);
    tt_test_ok(tt_slot_begin(&slot, &bytes, tt_test_error()));
    tt_slot_release(&slot);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
    /* A buffer that cannot be made leaves nothing behind either. */
    assert_int_equal(tt_slot_create(tt_test_device(), SIZE_MAX / 2, "the ring", &slot, &err), TT_ERROR_MEMORY);
    assert_non_null(strstr(err.text, "the ring needs"));
    tt_slot_release(&slot);
    assert_int_equal(tt_device_bytes(tt_test_device()), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounds), cmocka_unit_test(test_life)};
    return cmocka_run_group_tests_name("uploads", tests, NULL, tt_test_device_close);
}
