/* test-scheduler.c - see test-scheduler.h. */
#include "tests/support/test-scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

tt_scheduler_config *test_scheduler_parse(const char *json)
{
    tt_error err = {0};
    tt_scheduler_config *config = NULL;
    if (tt_scheduler_config_parse(json, strlen(json), &config, &err) != TT_OK)
        fail_msg("%s: %s", json, err.text);
    return config;
}

tt_scheduler_config *test_scheduler_derive(const char *base, const char *sampler, const char *schedule)
{
    tt_error err = {0};
    tt_scheduler_config *parsed = test_scheduler_parse(base), *config = NULL;
    if (tt_scheduler_config_derive(parsed, sampler, schedule, &config, &err) != TT_OK)
        fail_msg("%s, %s: %s", sampler, schedule, err.text);
    tt_scheduler_config_free(parsed);
    return config;
}

tt_scheduler *test_scheduler_create(const tt_scheduler_config *config, uint32_t n_steps, float strength, float eta)
{
    tt_error err = {0};
    tt_scheduler *scheduler = NULL;
    if (tt_scheduler_create(config, n_steps, strength, eta, TEST_SAMPLE, &scheduler, &err) != TT_OK)
        fail_msg("%s, %u steps: %s", tt_scheduler_config_class(config), (unsigned)n_steps, err.text);
    return scheduler;
}
