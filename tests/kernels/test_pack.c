/* test_pack.c - channel arrays to planes and back, in both orders. */
#include "cl-kernels/pack.h"
#include "cl-kernels/reference/pack.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct pack_case {
    uint32_t channels, batch, height, width, border;
} pack_case;

static const pack_case cases[] = {
    {1, 1, 1, 1, 0},  {4, 1, 8, 8, 1},  {3, 2, 5, 7, 1},    {9, 1, 4, 6, 0},
    {6, 3, 1, 77, 0}, {7, 2, 33, 3, 1}, {5, 1, 1, 1100, 1}, {321, 2, 1, 3, 0},
};

static void check_case(const tt_kernels *form, const pack_case *c, bool channels_last)
{
    char label[128];
    uint32_t n_positions = c->height * c->width;
    tt_test_tensor tensor = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->border);
    size_t n = tt_test_count(&tensor);
    float *array = tt_test_random_new(n, 51), *nchw = tt_test_random_new(n, 1), *back = tt_test_random_new(n, 1);
    tt_test_round(form, array, n);
    tt_test_array from = tt_test_array_create(array, n), to = tt_test_array_create(NULL, n);
    tt_pack_args args = {
        .array = from.buffer.mem, .array_offset = from.first, .channels_last = channels_last, .plane = tensor.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_pack_record(form, &args, recorder, tt_test_error()));
    args.array = to.buffer.mem;
    args.array_offset = to.first;
    tt_test_ok(tt_unpack_record(form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);

    (void)snprintf(label, sizeof(label), "pack %s: [%u, %u, %u, %u]%s", tt_test_form_name(form), c->batch, c->channels,
                   c->height, c->width, channels_last ? " channels last" : "");
    float *got = tt_test_download(&tensor);
    tt_reference_pack(array, channels_last, c->batch, c->channels, n_positions, nchw);
    tt_test_close(got, nchw, n, 0, label);
    tt_test_array_read(&to, got);
    tt_reference_unpack(nchw, channels_last, c->batch, c->channels, n_positions, back);
    tt_test_close(got, back, n, 0, label);
    float *arrays[] = {array, nchw, back, got};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    tt_test_array_release(&from);
    tt_test_array_release(&to);
    tt_test_tensor_release(&tensor);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            check_case(&tt_test_forms()[f], &cases[i], false);
            check_case(&tt_test_forms()[f], &cases[i], true);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
