/* test-scheduler.h - schedulers in tests; the test fails with the library's sentence when a call does. */
#ifndef TT_TESTS_SUPPORT_TEST_SCHEDULER_H
#define TT_TESTS_SUPPORT_TEST_SCHEDULER_H

#include "scheduler/scheduler.h"

/* Values of a sample in these tests. */
enum { TEST_SAMPLE = 8 };

tt_scheduler_config *test_scheduler_parse(const char *json);

/* The config of `base` (JSON text) derived by name. */
tt_scheduler_config *test_scheduler_derive(const char *base, const char *sampler, const char *schedule);

/* A run over TEST_SAMPLE values. */
tt_scheduler *test_scheduler_create(const tt_scheduler_config *config, uint32_t n_steps, float strength, float eta);

#endif
