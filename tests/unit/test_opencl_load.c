/* test_opencl_load.c - finding the OpenCL library and its functions. */
#include "device/opencl-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* True when all pointers of the table are set, or none. */
static bool table_is(const tt_cl *cl, bool set)
{
    const char *bytes = (const char *)cl;
    for (size_t at = 0; at < sizeof(*cl); at += sizeof(void *)) {
        void *pointer;
        memcpy(&pointer, bytes + at, sizeof(pointer));
        if ((pointer != NULL) != set)
            return false;
    }
    return true;
}

static void load_fills_the_whole_table(void **state)
{
    (void)state;
    tt_cl cl;
    tt_error err = {""};
    if (tt_cl_load(&cl, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_true(table_is(&cl, true));
    tt_cl_unload(&cl);
    assert_true(table_is(&cl, false));
    tt_cl_unload(&cl); /* twice is harmless */
}

static void functions_work_after_a_second_load(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tt_cl cl;
        cl_uint n_platforms = 0;
        assert_int_equal(tt_cl_load(&cl, NULL), TT_OK);
        assert_int_equal(cl.get_platform_ids(0, NULL, &n_platforms), CL_SUCCESS);
        assert_true(n_platforms > 0);
        tt_cl_unload(&cl);
    }
}

static void missing_library_says_what_to_install(void **state)
{
    (void)state;
    static const char *const names[] = {"libtintype-does-not-exist.so"};
    tt_cl cl;
    tt_error err = {""};
    assert_int_equal(tt_cl_load_from(&cl, names, 1, &err), TT_ERROR_DEVICE);
    assert_non_null(strstr(err.text, "libtintype-does-not-exist.so"));
    assert_non_null(strstr(err.text, "apt install"));
    assert_true(table_is(&cl, false));
    assert_int_equal(tt_cl_load_from(&cl, names, 0, &err), TT_ERROR_DEVICE);
}

static void other_library_is_not_taken(void **state)
{
    (void)state;
    static const char *const names[] = {"libm.so.6"};
    tt_cl cl;
    tt_error err = {""};
    assert_int_equal(tt_cl_load_from(&cl, names, 1, &err), TT_ERROR_DEVICE);
    assert_non_null(strstr(err.text, "libm.so.6"));
    assert_non_null(strstr(err.text, "clGetPlatformIDs"));
    assert_true(table_is(&cl, false));
}

static void names_are_tried_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"libtintype-does-not-exist.so", "libm.so.6", "libOpenCL.so.1"};
    tt_cl cl;
    assert_int_equal(tt_cl_load_from(&cl, names, 3, NULL), TT_OK);
    assert_true(table_is(&cl, true));
    tt_cl_unload(&cl);
}

static void error_codes_have_names(void **state)
{
    (void)state;
    assert_string_equal(tt_cl_error_name(0), "CL_SUCCESS");
    assert_string_equal(tt_cl_error_name(-5), "CL_OUT_OF_RESOURCES");
    assert_string_equal(tt_cl_error_name(-54), "CL_INVALID_WORK_GROUP_SIZE");
    assert_string_equal(tt_cl_error_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    assert_string_equal(tt_cl_error_name(-9999), "unknown OpenCL error");
    assert_string_equal(tt_cl_error_name(1), "unknown OpenCL error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_fills_the_whole_table),
        cmocka_unit_test(functions_work_after_a_second_load),
        cmocka_unit_test(missing_library_says_what_to_install),
        cmocka_unit_test(other_library_is_not_taken),
        cmocka_unit_test(names_are_tried_in_order),
        cmocka_unit_test(error_codes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
