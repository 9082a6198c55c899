/* test_upscale_golden.c - super-resolution networks against torch's results: small ones of every kind and key naming,
 * and the oracle's real ones where they are beside the checkout. */
#include "base/numbers.h"
#include "tests/support/golden.h"
#include "tests/support/test-device.h"
#include "tests/support/upscale-run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Float storage: rms error over deviation. Half storage and products of bfloat16: the whole picture, input included. */
#define FLOAT_BAR 1e-5
#define HALF_BAR 3e-3
#define DOT_BAR 2e-2

typedef struct sr_case {
    const char *golden, *in, *out, *network;
} sr_case;

static const sr_case oracle_cases[] = {
    {"animevideov3_x4", "in", "out", "realesr_animevideov3_x4"},
    {"upconv7_photo_x2", "in", "out", "waifu2x_upconv7_photo_scale2x"},
    {"FSRCNN_x2", "y_in", "y_out", "fsrcnn_x2"},
    {"FSRCNN_x4", "y_in", "y_out", "fsrcnn_x4"},
    {"ESPCN_x2", "y_in", "y_out", "espcn_x2"},
    {"ESPCN_x4", "y_in", "y_out", "espcn_x4"},
};

static const sr_case own_cases[] = {
    {"srvgg_x2", "in", "out", "srvgg_x2"},      {"srvgg_x2", "in", "out", "srvgg_x2_params"},
    {"srvgg_x3", "in", "out", "srvgg_x3"},      {"rrdb_x4", "in", "out", "rrdb_x4"},
    {"rrdb_x4", "in", "out", "rrdb_x4_esrgan"}, {"rrdb_x4", "in", "out", "rrdb_x4_old"},
    {"rrdb_x2", "in", "out", "rrdb_x2"},        {"rrdb_up2", "in", "out", "rrdb_up2_esrgan"},
    {"rrdb_up2", "in", "out", "rrdb_up2_old"},  {"upconv7_x2", "in", "out", "upconv7_x2"},
    {"fsrcnn_x2", "in", "out", "fsrcnn_x2"},    {"espcn_x3", "in", "out", "espcn_x3"},
};

/* [height][width] or [1][channels][height][width] as a picture. */
static upscale_floats picture_of(const tt_array *array)
{
    const uint64_t *sides = array->dims + array->n_dims - 2;
    return (upscale_floats){array->n_dims == 4 ? (uint32_t)array->dims[1] : 1, (uint32_t)sides[0], (uint32_t)sides[1],
                            array->data};
}

static void check_case(const tt_kernels *form, const tt_arrays *goldens, const sr_case *c, const char *folder,
                       double bar)
{
    char path[256], label[256];
    upscale_floats in = picture_of(golden_array(goldens, "%s.%s", c->golden, c->in)), got;
    upscale_floats want = picture_of(golden_array(goldens, "%s.%s", c->golden, c->out));
    (void)snprintf(path, sizeof path, "%s/%s.safetensors", folder, c->network);
    (void)snprintf(label, sizeof label, "%s, %s", c->network, tt_test_form_name(form));
    upscale_run(form, path, 0, &in, &got);
    assert_int_equal(got.height, want.height);
    assert_int_equal(got.width, want.width);
    size_t n = (size_t)want.n_channels * want.height * want.width;
    golden_check(label, tt_numbers_difference(got.values, want.values, n), bar);
    free(got.values);
}

static void check_set(const char *goldens_path, const sr_case *cases, size_t n_cases, const char *folder)
{
    tt_context *plain = tt_context_create();
    tt_arrays goldens = {0};
    size_t n_forms;
    const tt_kernels *dot_forms = tt_test_dot_forms(&n_forms);
    if (tt_arrays_read(plain, goldens_path, &goldens) != TT_OK)
        fail_msg("%s", tt_context_message(plain));
    for (size_t i = 0; i < n_cases; i++) {
        for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
            check_case(&tt_test_forms()[f], &goldens, &cases[i], folder,
                       tt_test_forms()[f].storage == TT_STORAGE_F32 ? FLOAT_BAR : HALF_BAR);
        for (size_t f = 0; f < n_forms; f++)
            if (dot_forms[f].arithmetic == TT_ARITHMETIC_HALF)
                check_case(&dot_forms[f], &goldens, &cases[i], folder, DOT_BAR);
    }
    golden_finish();
    tt_arrays_free(&goldens);
    tt_context_destroy(plain);
}

static void test_own(void **state)
{
    (void)state;
    check_set("tests/golden/data/upscale.safetensors", own_cases, sizeof own_cases / sizeof *own_cases,
              "tests/golden/data/models/upscale");
}

static void test_oracle(void **state)
{
    static const char goldens[] = "../shared/oracle/goldens/sr.safetensors";
    (void)state;
    if (access(goldens, R_OK) != 0) {
        print_message("no oracle beside the checkout (%s): real networks are not compared\n", goldens);
        skip();
    }
    check_set(goldens, oracle_cases, sizeof oracle_cases / sizeof *oracle_cases, "../shared/weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own), cmocka_unit_test(test_oracle)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
