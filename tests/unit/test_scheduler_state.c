/* test_scheduler_state.c - a run that is saved after any call goes on in another scheduler with the same bits. */
#include "scheduler/analytic.h"
#include "tests/support/test-scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { N = TEST_SAMPLE, MAX_CALLS = 64 };

static const char base_json[] = "{\"_class_name\": \"PNDMScheduler\", \"beta_end\": 0.012, \"beta_schedule\": "
                                "\"scaled_linear\", \"beta_start\": 0.00085, \"num_train_timesteps\": 1000, "
                                "\"set_alpha_to_one\": false, \"skip_prk_steps\": true, \"steps_offset\": 1}";

/* Noise of a call: any numbers that differ from call to call. */
static void noise_of(uint32_t call, float *noise)
{
    for (uint32_t i = 0; i < N; i++)
        noise[i] = (float)((call * 37u + i * 101u) % 64u) / 32.0f - 1.0f;
}

/* Calls first .. end - 1; rows[call] (may be NULL) receives the sample after each. */
static void run_calls(tt_scheduler *scheduler, uint32_t first, uint32_t end, float *x, float (*rows)[N])
{
    for (uint32_t call = first; call < end; call++) {
        tt_error err = {0};
        float output[N], noise[N];
        tt_scheduler_scale_input(scheduler, call, x, output);
        tt_analytic_denoiser(tt_scheduler_timestep(scheduler, call), output, output, N);
        noise_of(call, noise);
        if (tt_scheduler_step(scheduler, call, output, noise, x, &err) != TT_OK)
            fail_msg("%s", err.text);
        if (rows)
            memcpy(rows[call], x, N * sizeof *x);
    }
}

static void start_sample(float *x)
{
    for (uint32_t i = 0; i < N; i++)
        x[i] = (float)i * 0.7f - 2.5f;
}

static float *new_values(const tt_scheduler *scheduler)
{
    float *values = malloc(tt_scheduler_state_samples(scheduler) * N * sizeof *values);
    assert_non_null(values);
    return values;
}

/* Stops after every number of calls; each rest must have the whole run's bits, call by call. */
static void check_every_stop(const tt_scheduler_config *config, uint32_t n_steps, float strength, float eta,
                             const char *what)
{
    float whole[MAX_CALLS][N], rest[MAX_CALLS][N], x[N];
    tt_scheduler *scheduler = test_scheduler_create(config, n_steps, strength, eta);
    uint32_t n_calls = tt_scheduler_n_calls(scheduler);
    assert_in_range(n_calls, 1, MAX_CALLS);
    start_sample(x);
    run_calls(scheduler, 0, n_calls, x, whole);
    tt_scheduler_destroy(scheduler);
    for (uint32_t stop = 0; stop <= n_calls; stop++) {
        tt_error err = {0};
        uint32_t counters[TT_SCHEDULER_COUNTERS];
        tt_scheduler *first = test_scheduler_create(config, n_steps, strength, eta);
        tt_scheduler *second = test_scheduler_create(config, n_steps, strength, eta);
        float *values = new_values(first);
        start_sample(x);
        run_calls(first, 0, stop, x, NULL);
        tt_scheduler_save(first, values, counters);
        tt_scheduler_destroy(first);
        if (tt_scheduler_restore(second, values, counters, &err) != TT_OK)
            fail_msg("%s after %u calls: %s", what, (unsigned)stop, err.text);
        free(values);
        run_calls(second, stop, n_calls, x, rest);
        tt_scheduler_destroy(second);
        for (uint32_t call = stop; call < n_calls; call++)
            if (memcmp(rest[call], whole[call], sizeof rest[call]) != 0)
                fail_msg("%s stopped after %u of %u calls: call %u has other bits", what, (unsigned)stop,
                         (unsigned)n_calls, (unsigned)call);
    }
}

/* Every sampler in every schedule that it has, from the start and from an img2img start. */
static void test_every_sampler_goes_on(void **state)
{
    (void)state;
    static const char *const schedules[] = {"default", "karras", "exponential", "beta", "trailing", "linspace"};
    tt_scheduler_config *base = test_scheduler_parse(base_json);
    size_t n_run = 0;
    for (size_t i = 0; tt_scheduler_sampler_name(i) != NULL; i++)
        for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++) {
            tt_scheduler_config *config = NULL;
            if (tt_scheduler_config_derive(base, tt_scheduler_sampler_name(i), schedules[k], &config, NULL) != TT_OK)
                continue;
            check_every_stop(config, 12, 1.0f, 0.5f, tt_scheduler_sampler_name(i));
            check_every_stop(config, 20, 0.55f, 0.0f, tt_scheduler_sampler_name(i));
            tt_scheduler_config_free(config);
            n_run++;
        }
    tt_scheduler_config_free(base);
    assert_true(n_run > 50);
}

/* Forms that no short name gives: Runge-Kutta start, orders up to the highest, orders without a lower end. */
static void test_other_forms_go_on(void **state)
{
    (void)state;
#define SD "\"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085"
    static const char *const configs[] = {
        "{\"_class_name\": \"PNDMScheduler\", " SD ", \"skip_prk_steps\": false}",
        "{\"_class_name\": \"UniPCMultistepScheduler\", " SD ", \"solver_order\": 4, \"solver_type\": \"bh1\"}",
        "{\"_class_name\": \"UniPCMultistepScheduler\", " SD ", \"solver_order\": 3, \"disable_corrector\": [2, 3]}",
        "{\"_class_name\": \"DPMSolverSinglestepScheduler\", " SD ", \"solver_order\": 3}",
        "{\"_class_name\": \"DPMSolverMultistepScheduler\", " SD ", \"solver_order\": 3, \"algorithm_type\": "
        "\"sde-dpmsolver++\", \"solver_type\": \"heun\"}",
        "{\"_class_name\": \"DEISMultistepScheduler\", " SD ", \"solver_order\": 3}",
        "{\"_class_name\": \"HeunDiscreteScheduler\", " SD ", \"clip_sample\": true}",
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        tt_scheduler_config *config = test_scheduler_parse(configs[i]);
        check_every_stop(config, 12, 1.0f, 0.0f, configs[i]);
        check_every_stop(config, 17, 0.8f, 0.0f, configs[i]);
        tt_scheduler_config_free(config);
    }
}

/* Saving twice gives the same numbers, wherever the history's blocks have rotated to. */
static void test_save_is_logical(void **state)
{
    (void)state;
    tt_scheduler_config *config = test_scheduler_derive(base_json, "unipc", NULL);
    tt_scheduler *one = test_scheduler_create(config, 12, 1.0f, 0.0f);
    tt_scheduler *two = test_scheduler_create(config, 12, 1.0f, 0.0f);
    uint32_t a[TT_SCHEDULER_COUNTERS], b[TT_SCHEDULER_COUNTERS];
    float *first = new_values(one), *second = new_values(one), x[N];
    start_sample(x);
    run_calls(one, 0, 7, x, NULL);
    tt_scheduler_save(one, first, a);
    assert_int_equal(tt_scheduler_restore(two, first, a, NULL), TT_OK);
    tt_scheduler_save(two, second, b);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(first, second, tt_scheduler_state_samples(one) * N * sizeof *first);
    free(first);
    free(second);
    tt_scheduler_destroy(one);
    tt_scheduler_destroy(two);
    tt_scheduler_config_free(config);
}

/* Whatever counters a file gives, a run either refuses them or goes on inside its arrays (asan watches). */
static void test_hostile_counters(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 64, 1u << 31, UINT32_MAX};
    enum { N_VALUES = sizeof values / sizeof *values };
    size_t n_refused = 0, n_taken = 0;
    for (size_t i = 0; tt_scheduler_sampler_name(i) != NULL; i++) {
        tt_scheduler_config *config = test_scheduler_derive(base_json, tt_scheduler_sampler_name(i), NULL);
        for (size_t k = 0; k < (size_t)N_VALUES * N_VALUES * N_VALUES; k++) {
            tt_scheduler *scheduler = test_scheduler_create(config, 12, 1.0f, 0.0f);
            uint32_t n_calls = tt_scheduler_n_calls(scheduler);
            const uint32_t counters[] = {values[k % N_VALUES], values[k / N_VALUES % N_VALUES],
                                         values[k / N_VALUES / N_VALUES]};
            float *state_values = new_values(scheduler), x[N];
            tt_error err = {0};
            memset(state_values, 0, tt_scheduler_state_samples(scheduler) * N * sizeof *state_values);
            start_sample(x);
            if (tt_scheduler_restore(scheduler, state_values, counters, &err) == TT_OK) {
                assert_true(counters[0] <= n_calls && counters[1] <= counters[0] && counters[2] <= counters[0]);
                run_calls(scheduler, counters[0], n_calls, x, NULL);
                n_taken++;
            } else {
                assert_non_null(strstr(err.text, "sampler's state"));
                n_refused++;
            }
            free(state_values);
            tt_scheduler_destroy(scheduler);
        }
        tt_scheduler_config_free(config);
    }
    assert_true(n_refused > 10000 && n_taken > 100);
}

/* The digest tells configs apart and does not see the order of fields. */
static void test_config_digest(void **state)
{
    (void)state;
    static const char *const alike[] = {"{\"_class_name\": \"EulerDiscreteScheduler\", \"beta_start\": 0.001}",
                                        "{\"beta_start\": 0.001, \"_class_name\": \"EulerDiscreteScheduler\"}"};
    char a[65], b[65], c[65];
    tt_scheduler_config *one = test_scheduler_parse(alike[0]), *two = test_scheduler_parse(alike[1]);
    tt_scheduler_config *three = test_scheduler_derive(alike[0], "euler", "karras");
    assert_int_equal(tt_scheduler_config_digest(one, a, NULL), TT_OK);
    assert_int_equal(tt_scheduler_config_digest(two, b, NULL), TT_OK);
    assert_string_equal(a, b);
    assert_int_equal(tt_scheduler_config_digest(three, c, NULL), TT_OK);
    assert_string_not_equal(a, c);
    tt_scheduler_config_set_prediction(two, TT_PREDICT_V);
    assert_int_equal(tt_scheduler_config_digest(two, b, NULL), TT_OK);
    assert_string_not_equal(a, b);
    tt_scheduler_config_free(one);
    tt_scheduler_config_free(two);
    tt_scheduler_config_free(three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sampler_goes_on), cmocka_unit_test(test_other_forms_go_on),
        cmocka_unit_test(test_save_is_logical),       cmocka_unit_test(test_hostile_counters),
        cmocka_unit_test(test_config_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
