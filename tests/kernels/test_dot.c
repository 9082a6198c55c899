/* test_dot.c - the probe of dot product units: what it finds works, limits are kept, answers last. */
#include "cl-kernels/dot-gpu.h"
#include "cl-kernels/dot.h"
#include "cl-kernels/tuning.h"
#include "device/program.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void limit_to(const char *limit)
{
    assert_int_equal(limit != NULL ? setenv("TINTYPE_DOT", limit, 1) : unsetenv("TINTYPE_DOT"), 0);
}

/* The answer of a device that is opened for it, with TINTYPE_DOT set to a limit (NULL: unset). */
static tt_dot probe_under(const char *limit)
{
    tt_device_options options = {0};
    tt_device *device = NULL;
    tt_dot dot;
    tt_test_ok(tt_device_open(&options, &device, tt_test_error()));
    tt_device_set_sources(device, tt_kernel_source_text);
    limit_to(limit);
    tt_test_ok(tt_dot_probe(device, NULL, &dot, tt_test_error()));
    tt_device_close(device);
    return dot;
}

static bool is_cpu_tile(void)
{
    return tt_device_caps(tt_test_device())->family == TT_FAMILY_CPU_TILE;
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(tt_dot_name(TT_DOT_NONE), "none");
    assert_string_equal(tt_dot_name(TT_DOT_AMX), "amx");
    assert_string_equal(tt_dot_name(TT_DOT_GPU_ARM), "arm");
}

/* The answer is the processor's, and asking again gives the same without building anything. */
static void test_answer_is_kept(void **state)
{
    (void)state;
    tt_dot first, second;
    tt_test_ok(tt_dot_probe(tt_test_device(), NULL, &first, tt_test_error()));
    size_t n_programs = tt_device_n_programs(tt_test_device());
    tt_test_ok(tt_dot_probe(tt_test_device(), NULL, &second, tt_test_error()));
    assert_int_equal(first.half, second.half);
    assert_int_equal(first.int8, second.int8);
    assert_int_equal(tt_device_n_programs(tt_test_device()), n_programs);
    print_message("half: %s, int8: %s\n", tt_dot_name(first.half), tt_dot_name(first.int8));
}

/* A unit that is disabled is passed over, also where the device's answer is known already; the other form keeps its
 * own. */
static void test_disabled(void **state)
{
    (void)state;
    tt_tuning *tuning = NULL;
    tt_dot best, next;
    tt_disabled disabled = {.op = "dot", .form = "one check of several", .reason = "a test"};
    tt_device_options options = {0};
    tt_device *device = NULL;
    tt_test_ok(tt_device_open(&options, &device, tt_test_error()));
    tt_device_set_sources(device, tt_kernel_source_text);
    tt_test_ok(tt_tuning_create(&tuning, tt_test_error()));
    tt_test_ok(tt_dot_probe(device, tuning, &best, tt_test_error()));
    if (best.int8 == TT_DOT_AMX || best.int8 == TT_DOT_AVX512) {
        tt_dot_form_name(best.int8, false, disabled.name);
        tt_test_ok(tt_tuning_disable(tuning, &disabled, tt_test_error()));
        tt_test_ok(tt_dot_probe(device, tuning, &next, tt_test_error()));
        assert_true(next.int8 < best.int8);
        assert_int_equal(next.half, best.half);
        tt_test_ok(tt_dot_probe(device, tuning, &best, tt_test_error()));
        assert_int_equal(next.int8, best.int8);
    }
    tt_tuning_destroy(tuning);
    tt_device_close(device);
}

/* A limit lowers the choice and never raises it. */
static void test_limits(void **state)
{
    (void)state;
    const char *before = getenv("TINTYPE_DOT");
    char *kept = before != NULL ? strdup(before) : NULL;
    tt_dot best = probe_under(NULL), none = probe_under("none"), wide = probe_under("avx512");
    tt_dot plain = probe_under("plain"), unknown = probe_under("something else");
    limit_to(kept);
    free(kept);
    assert_int_equal(none.half, TT_DOT_NONE);
    assert_int_equal(none.int8, TT_DOT_NONE);
    assert_int_equal(unknown.half, best.half);
    assert_int_equal(unknown.int8, best.int8);
    if (!is_cpu_tile())
        return;
    assert_int_equal(plain.half, TT_DOT_PLAIN);
    assert_int_equal(plain.int8, TT_DOT_PLAIN);
    assert_true(wide.half <= best.half && wide.half <= TT_DOT_AVX512);
    assert_true(wide.int8 <= best.int8 && wide.int8 <= TT_DOT_AVX512);
}

/* What a GPU's probe finds is what the device says that it has; a device that says nothing has nothing. */
static void test_gpu_units(void **state)
{
    (void)state;
    tt_dot dot;
    const tt_caps *caps = tt_device_caps(tt_test_device());
    tt_test_ok(tt_dot_gpu_probe(tt_test_device(), &dot, tt_test_error()));
    print_message("as a GPU: half: %s, int8: %s\n", tt_dot_name(dot.half), tt_dot_name(dot.int8));
    assert_int_equal(dot.half, caps->has_fp16 ? TT_DOT_GPU_FP16 : TT_DOT_NONE);
    if (!caps->has_int_dot)
        assert_int_equal(dot.int8, TT_DOT_NONE);
    else
        assert_true(dot.int8 >= TT_DOT_GPU_KHR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),  cmocka_unit_test(test_answer_is_kept), cmocka_unit_test(test_disabled),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_gpu_units),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
