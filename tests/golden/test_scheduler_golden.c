/* test_scheduler_golden.c - every sampler against diffusers' on the analytic denoiser: the shared oracle's cases and
 * the project's own. Timesteps, sigmas, starting level, number of draws and each step's sample are compared. */
#include "base/file.h"
#include "model-file/safetensors.h"
#include "scheduler/analytic.h"
#include "scheduler/scheduler.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_JSON_BYTES = 4 << 20, N_SAMPLE = 64, MAX_ROWS = 128 };

/* rms(found - golden) / std(golden). One Euler step at t = 0 divides by the smallest sigma: the reference itself is
 * 1.3e-5 away from its float64 result there. */
static const double bar = 1e-5, bar_single_step = 3e-5;

/* Timesteps that are found from sigmas go through a float logarithm in the reference. */
static const double timestep_bar = 2e-3, sigma_bar = 1e-6;

typedef struct golden_set {
    tt_tensor_file *arrays;
    json_t *cases;
    double worst;
    char worst_id[64];
} golden_set;

/* Python writes infinities as bare words, which jansson does not read. */
static json_t *load_cases(const char *path)
{
    tt_error err = {0};
    char *text = NULL;
    size_t n_bytes = 0;
    if (tt_file_read(path, MAX_JSON_BYTES, &text, &n_bytes, &err) != TT_OK)
        fail_msg("%s", err.text);
    for (char *at = text; (at = strstr(at, "-Infinity")) != NULL;)
        memcpy(at, "-1.7e+308", 9);
    json_error_t problem;
    json_t *cases = json_loads(text, 0, &problem);
    if (cases == NULL)
        fail_msg("%s: %s", path, problem.text);
    free(text);
    assert_true(json_array_size(cases) >= 50);
    return cases;
}

static golden_set open_set(const char *folder)
{
    tt_error err = {0};
    golden_set set = {0};
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/schedulers.safetensors", folder);
    if (!tt_path_is_file(path)) {
        printf("skipped: %s is absent\n", path);
        skip();
    }
    if (tt_tensor_file_open(path, &set.arrays, &err) != TT_OK)
        fail_msg("%s", err.text);
    (void)snprintf(path, sizeof(path), "%s/schedulers.json", folder);
    set.cases = load_cases(path);
    return set;
}

static void close_set(golden_set *set)
{
    tt_tensor_file_close(set->arrays);
    json_decref(set->cases);
}

/* Array NN.name of a case as doubles, NULL when the case has none; free(). */
static double *case_array(const golden_set *set, const char *id, const char *name, size_t *n)
{
    char full[64];
    (void)snprintf(full, sizeof(full), "%s.%s", id, name);
    const tt_tensor *tensor = tt_tensor_file_find(set->arrays, full);
    *n = 0;
    if (tensor == NULL)
        return NULL;
    *n = (size_t)tt_tensor_count(tensor);
    double *values = calloc(*n, sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < *n; i++) {
        float value;
        if (tensor->dtype == TT_F64) {
            memcpy(&values[i], (const char *)tensor->data + i * sizeof(double), sizeof(double));
        } else {
            memcpy(&value, (const char *)tensor->data + i * sizeof(float), sizeof(value));
            values[i] = (double)value;
        }
    }
    return values;
}

static tt_scheduler *create(const json_t *item, const char *config_key)
{
    tt_error err = {0};
    json_t *fields = json_copy(json_object_get(item, config_key));
    assert_int_equal(json_object_set(fields, "_class_name", json_object_get(item, "class")), 0);
    char *text = json_dumps(fields, 0);
    assert_non_null(text);
    const json_t *eta = json_object_get(json_object_get(item, "step_kwargs"), "eta");
    tt_scheduler_config *config = NULL;
    tt_scheduler *scheduler = NULL;
    if (tt_scheduler_config_parse(text, strlen(text), &config, &err) != TT_OK ||
        tt_scheduler_create(config, (uint32_t)json_integer_value(json_object_get(item, "steps")), 1.0f,
                            (float)json_number_value(eta), N_SAMPLE, &scheduler, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_scheduler_config_free(config);
    free(text);
    json_decref(fields);
    return scheduler;
}

static void check_timesteps(const golden_set *set, const char *id, const tt_scheduler *scheduler)
{
    size_t n = 0;
    double *golden = case_array(set, id, "timesteps", &n);
    assert_int_equal(n, tt_scheduler_n_calls(scheduler));
    for (size_t i = 0; i < n; i++) {
        double found = tt_scheduler_timestep(scheduler, (uint32_t)i);
        if (!(fabs(found - golden[i]) <= timestep_bar))
            fail_msg("case %s: timestep %zu is %.9g, expected %.9g", id, i, found, golden[i]);
    }
    free(golden);
}

static void check_sigmas(const golden_set *set, const char *id, const tt_scheduler *scheduler)
{
    size_t n = 0, n_found = 0;
    double *golden = case_array(set, id, "sigmas", &n);
    const float *found = tt_scheduler_sigmas(scheduler, &n_found);
    assert_int_equal(n, n_found);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - golden[i]) <= sigma_bar * golden[i]))
            fail_msg("case %s: sigma %zu is %.9g, expected %.9g", id, i, (double)found[i], golden[i]);
    free(golden);
}

static double relative_error(const float *found, const double *golden)
{
    double square = 0.0, sum = 0.0, power = 0.0;
    for (size_t i = 0; i < N_SAMPLE; i++) {
        double difference = (double)found[i] - golden[i];
        square += difference * difference;
        sum += golden[i];
        power += golden[i] * golden[i];
    }
    double mean = sum / N_SAMPLE, variance = power / N_SAMPLE - mean * mean;
    return sqrt(square / N_SAMPLE) / sqrt(variance);
}

/* Runs the case; rows[] receives the sample after each call. Returns the number of draws. */
static size_t run(const golden_set *set, const char *id, tt_scheduler *scheduler, float (*rows)[N_SAMPLE])
{
    tt_error err = {0};
    float x[N_SAMPLE], input[N_SAMPLE], output[N_SAMPLE], noise[N_SAMPLE];
    size_t n_noise = 0, n_draws = 0;
    double *draws = case_array(set, id, "noise", &n_noise);
    const tt_tensor *start = tt_tensor_file_find(set->arrays, "x_init");
    assert_non_null(start);
    assert_int_equal(start->n_bytes, sizeof(x));
    memcpy(x, start->data, sizeof(x));
    for (size_t i = 0; i < N_SAMPLE; i++)
        x[i] *= tt_scheduler_init_noise_sigma(scheduler);
    for (uint32_t call = 0; call < tt_scheduler_n_calls(scheduler); call++) {
        tt_scheduler_scale_input(scheduler, call, x, input);
        tt_analytic_denoiser(tt_scheduler_timestep(scheduler, call), input, output, N_SAMPLE);
        bool noisy = tt_scheduler_needs_noise(scheduler, call);
        if (noisy) {
            assert_true((n_draws + 1) * N_SAMPLE <= n_noise);
            for (size_t i = 0; i < N_SAMPLE; i++)
                noise[i] = (float)draws[n_draws * N_SAMPLE + i];
            n_draws++;
        }
        if (tt_scheduler_step(scheduler, call, output, noisy ? noise : NULL, x, &err) != TT_OK)
            fail_msg("case %s: %s", id, err.text);
        memcpy(rows[call], x, sizeof(x));
    }
    free(draws);
    return n_draws;
}

static void check_rows(golden_set *set, const json_t *item, const char *id, float (*rows)[N_SAMPLE], size_t n_calls)
{
    size_t n = 0;
    double *golden = case_array(set, id, "x", &n);
    size_t n_rows = n / N_SAMPLE;
    assert_true(n_rows >= 1 && n_rows <= n_calls);
    bool single = json_integer_value(json_object_get(item, "steps")) == 1;
    for (size_t i = 0; i < n_rows; i++) {
        size_t call = n_calls - n_rows + i;
        double error = relative_error(rows[call], golden + i * N_SAMPLE);
        if (!(error <= (single ? bar_single_step : bar)))
            fail_msg("case %s: error of the sample after call %zu is %.3g", id, call, error);
        if (error > set->worst) {
            set->worst = error;
            (void)snprintf(set->worst_id, sizeof(set->worst_id), "%s", id);
        }
    }
    free(golden);
}

static void check_case(golden_set *set, const json_t *item, const char *config_key)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    assert_non_null(id);
    tt_scheduler *scheduler = create(item, config_key);
    size_t n_calls = tt_scheduler_n_calls(scheduler);
    float(*rows)[N_SAMPLE] = calloc(MAX_ROWS, sizeof(*rows));
    assert_non_null(rows);
    assert_true(n_calls <= MAX_ROWS);
    check_timesteps(set, id, scheduler);
    check_sigmas(set, id, scheduler);
    double sigma = json_number_value(json_object_get(item, "init_noise_sigma"));
    assert_true(fabs((double)tt_scheduler_init_noise_sigma(scheduler) - sigma) <= sigma_bar * sigma);
    size_t n_draws = run(set, id, scheduler, rows);
    assert_int_equal(n_draws, json_integer_value(json_object_get(item, "noise_draws")));
    check_rows(set, item, id, rows, n_calls);
    free(rows);
    tt_scheduler_destroy(scheduler);
}

/* Both the fields that a case sets and the whole config with every default written out. */
static void check_set(const char *folder)
{
    golden_set set = open_set(folder);
    size_t i;
    json_t *item;
    json_array_foreach(set.cases, i, item)
    {
        check_case(&set, item, "config");
        check_case(&set, item, "effective_config");
    }
    printf("%s: %zu cases, worst error %.2g in case %s\n", folder, i, set.worst, set.worst_id);
    close_set(&set);
}

static void test_oracle(void **state)
{
    (void)state;
    check_set("../shared/oracle/goldens");
}

static void test_own_set(void **state)
{
    (void)state;
    check_set("tests/golden/data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_oracle), cmocka_unit_test(test_own_set)};
    return cmocka_run_group_tests_name("scheduler goldens", tests, NULL, NULL);
}
