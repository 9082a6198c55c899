/* test_savers.c - which calls of a run are guided and whole, what values are refused, what an infotext says. No device
 * is needed. */
#include "pipeline/savers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

static const tt_unet_config config = {.n_blocks = 3, .layers_per_block = 1};

/* The calls of a run as letters: guided ones large; whole ones W, others R. */
static void check(const tt_savers *savers, bool is_guided, const char *want)
{
    char got[64];
    uint32_t n = (uint32_t)strlen(want), n_whole = 0, n_guided = 0;
    tt_call_plan plan = tt_call_plan_make(savers, &config, is_guided);
    for (uint32_t call = 0; call < n; call++) {
        bool whole = tt_call_is_whole(&plan, call, n), guided = tt_call_is_guided(&plan, call, n);
        got[call] = (char)((whole ? 'w' : 'r') - (guided ? 'a' - 'A' : 0));
        n_whole += whole;
        n_guided += guided;
    }
    got[n] = '\0';
    assert_string_equal(got, want);
    tt_call_counts counts = tt_call_plan_count(&plan, n);
    assert_int_equal(counts.whole[0] + counts.whole[1], n_whole);
    assert_int_equal(counts.whole[1] + counts.reusing[1], n_guided);
    assert_int_equal(counts.whole[0] + counts.whole[1] + counts.reusing[0] + counts.reusing[1], n);
}

static void test_schedules(void **state)
{
    (void)state;
    tt_savers s = {.guidance_stop = 1.0f};
    check(NULL, true, "WWWWW");
    check(NULL, false, "wwwww");
    check(&(tt_savers){.guidance_stop = 0}, true, "WWWWW");
    check(&(tt_savers){.guidance_start = 0.4f}, true, "wwWWW");
    check(&s, true, "WWWWW");
    check(&s, false, "wwwww");
    s.guidance_stop = 0.4f;
    check(&s, true, "WWWWwwwwww");
    check(&s, false, "wwwwwwwwww"); /* nothing to limit */
    check(&s, true, "w");           /* 0.4 of a call is none */
    s.guidance_stop = 0.5f;
    check(&s, true, "W");
    check(&s, true, "WWWww"); /* 2.5 calls are 3 */
    s.guidance_start = 0.2f;
    check(&s, true, "wwWWWwwwww");
    s.guidance_stop = 1.0f;
    check(&s, true, "wwWWWWWWWW");
    s = (tt_savers){.guidance_stop = 1.0f, .reuse_interval = 3};
    check(&s, true, "WRRWRRWRRW");
    check(&s, false, "wrrwrrwrrw");
    s.reuse_interval = 1;
    check(&s, true, "WWWW");
    s.reuse_interval = 100;
    check(&s, true, "WRRRRR");
    s = (tt_savers){.guidance_start = 0.2f, .guidance_stop = 0.7f, .reuse_interval = 2};
    check(&s, true, "wrWRWRWwrw"); /* whole where guidance begins and ends */
    check(&s, false, "wrwrwrwrwr");
    s.guidance_stop = 0.22f; /* no call between them */
    check(&s, true, "wrwrwrwrwr");
}

static void test_depth(void **state)
{
    (void)state;
    tt_savers s = {.guidance_stop = 1.0f, .reuse_depth = 3, .kv_downsample = 2};
    tt_call_plan plan = tt_call_plan_make(&s, &config, true);
    assert_int_equal(plan.reuse_depth, 0); /* no effect without an interval */
    assert_int_equal(plan.kv_downsample, 2);
    s.reuse_interval = 2;
    assert_int_equal(tt_call_plan_make(&s, &config, true).reuse_depth, 3);
    s.reuse_depth = 0;
    assert_int_equal(tt_call_plan_make(&s, &config, true).reuse_depth, 2); /* the finest resolution */
}

static void refuse(tt_savers savers, const char *mention)
{
    tt_error err = {""};
    assert_int_equal(tt_savers_check(&savers, &config, &err), TT_ERROR_ARGUMENT);
    if (!strstr(err.text, mention))
        fail_msg("no \"%s\" in: %s", mention, err.text);
}

static void test_refusals(void **state)
{
    (void)state;
    tt_error err = {""};
    const tt_savers good[] = {{.guidance_stop = 0},
                              {.guidance_stop = 1.0f},
                              {.guidance_start = 0.1f, .guidance_stop = 0.2f},
                              {.guidance_stop = 1.0f, .reuse_interval = 100, .reuse_depth = 6, .kv_downsample = 8}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(tt_savers_check(&good[i], &config, &err), TT_OK);
    refuse((tt_savers){.guidance_start = -0.1f, .guidance_stop = 1}, "from -0.1 to 1 of the steps is out of range");
    refuse((tt_savers){.guidance_stop = 1.1f}, "out of range");
    refuse((tt_savers){.guidance_stop = NAN}, "out of range");
    refuse((tt_savers){.guidance_start = NAN, .guidance_stop = 1}, "out of range");
    refuse((tt_savers){.guidance_start = 0.5f, .guidance_stop = 0.5f}, "leaves none");
    refuse((tt_savers){.guidance_start = 1}, "from 1 to 1 of the steps leaves none");
    refuse((tt_savers){.guidance_stop = -1}, "out of range");
    refuse((tt_savers){.guidance_stop = 1, .reuse_interval = 101}, "interval of 101");
    refuse((tt_savers){.guidance_stop = 1, .reuse_depth = 7}, "has 6 residual blocks");
    refuse((tt_savers){.guidance_stop = 1, .kv_downsample = 9}, "at 9 resolutions");
}

static void expect_text(tt_savers savers, bool is_guided, const char *want)
{
    tt_text text = {0};
    tt_call_plan plan = tt_call_plan_make(&savers, &config, is_guided);
    tt_text_add_string(&text, "Steps: 1");
    tt_call_plan_write(&plan, &text);
    assert_string_equal(text.bytes + strlen("Steps: 1"), want);
    tt_text_free(&text);
}

static void test_words(void **state)
{
    (void)state;
    expect_text((tt_savers){.guidance_stop = 1}, true, "");
    expect_text((tt_savers){.guidance_stop = 1, .reuse_interval = 1, .reuse_depth = 2}, true, "");
    expect_text((tt_savers){.guidance_stop = 0.5f}, false, ""); /* had no effect */
    expect_text((tt_savers){.guidance_start = 0.25f, .guidance_stop = 0.5f}, true, ", CFG start: 0.25, CFG stop: 0.5");
    expect_text((tt_savers){.guidance_start = 1.0f / 3, .guidance_stop = 0.8f}, true,
                ", CFG start: 0.333333343, CFG stop: 0.8");
    expect_text((tt_savers){.guidance_stop = 1, .reuse_interval = 3}, true, ", Reuse interval: 3, Reuse depth: 2");
    expect_text((tt_savers){.guidance_stop = 0.75f, .reuse_interval = 2, .reuse_depth = 1, .kv_downsample = 1}, true,
                ", CFG start: 0, CFG stop: 0.75, Reuse interval: 2, Reuse depth: 1, KV downsample: 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
