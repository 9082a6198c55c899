/* test_scheduler.c - what every sampler must do whatever its coefficients are: with a model that knows the clean
 * sample, each ends there, in any parametrisation and from any start. */
#include "tests/support/test-scheduler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = TEST_SAMPLE };

/* SD1.5's scheduler_config.json, but for set_alpha_to_one, which lets DDIM and PNDM end at the clean sample. */
static const char sd15[] = "{\"_class_name\": \"PNDMScheduler\", \"beta_end\": 0.012, \"beta_schedule\": "
                           "\"scaled_linear\", \"beta_start\": 0.00085, \"clip_sample\": false, "
                           "\"num_train_timesteps\": 1000, \"set_alpha_to_one\": true, \"skip_prk_steps\": true, "
                           "\"steps_offset\": 1, \"trained_betas\": null}";

static const float clean[N] = {0.0f, 1.0f, -1.0f, 0.5f, -0.25f, 2.0f, -1.5f, 0.125f};
static const float start[N] = {0.3f, -1.2f, 0.7f, 0.1f, 1.9f, -0.4f, -0.8f, 0.05f};
static const float draw[N] = {-0.6f, 0.2f, 1.1f, -1.4f, 0.9f, 0.35f, -0.15f, 0.75f};

/* alpha of the level that the model sees at a call, as the scheduler itself shows it. */
static double alpha_at(const tt_scheduler *scheduler, uint32_t call)
{
    float ones[N], zeros[N] = {0}, out[N];
    for (size_t i = 0; i < N; i++)
        ones[i] = 1.0f;
    tt_scheduler_scale_input(scheduler, call, ones, out);
    if (out[0] == 1.0f)
        tt_scheduler_add_noise(scheduler, call, ones, zeros, out);
    return (double)out[0];
}

/* What a perfect model says of input x = alpha * clean + sigma * noise. */
static void perfect_model(tt_prediction prediction, double alpha, const float *x, float *out)
{
    double sigma = sqrt(1.0 - alpha * alpha);
    for (size_t i = 0; i < N; i++) {
        double x0 = (double)clean[i], eps = ((double)x[i] - alpha * x0) / sigma;
        out[i] = (float)(prediction == TT_PREDICT_EPSILON  ? eps
                         : prediction == TT_PREDICT_SAMPLE ? x0
                                                           : alpha * eps - sigma * x0);
    }
}

static void run_perfect(tt_scheduler *scheduler, tt_prediction prediction, float *x)
{
    tt_error err = {0};
    float input[N], output[N];
    for (uint32_t call = 0; call < tt_scheduler_n_calls(scheduler); call++) {
        tt_scheduler_scale_input(scheduler, call, x, input);
        perfect_model(prediction, alpha_at(scheduler, call), input, output);
        const float *noise = tt_scheduler_needs_noise(scheduler, call) ? draw : NULL;
        if (tt_scheduler_step(scheduler, call, output, noise, x, &err) != TT_OK)
            fail_msg("%s", err.text);
    }
}

static double distance_from_clean(const float *x)
{
    double worst = 0.0;
    for (size_t i = 0; i < N; i++) {
        assert_true(isfinite(x[i]));
        worst = fmax(worst, fabs((double)x[i] - (double)clean[i]));
    }
    return worst;
}

/* DEIS ends at the lowest training sigma and TCD at timestep 0, which is not quite clean. */
static double end_tolerance(const tt_scheduler_config *config)
{
    const char *class = tt_scheduler_config_class(config);
    bool short_of = strcmp(class, "DEISMultistepScheduler") == 0 || strcmp(class, "TCDScheduler") == 0;
    return short_of ? 0.2 : 5e-3;
}

static const char *const schedule_names[] = {"default", "karras",   "exponential", "beta",
                                             "leading", "linspace", "trailing",    "sgm_uniform"};
enum { N_SCHEDULES = sizeof(schedule_names) / sizeof(schedule_names[0]) };

static void test_every_sampler_finds_the_clean_sample(void **state)
{
    (void)state;
    static const uint32_t steps[] = {1, 2, 7, 20, 50};
    size_t n_names = 0;
    for (const char *name; (name = tt_scheduler_sampler_name(n_names)) != NULL; n_names++) {
        tt_scheduler_config *config = test_scheduler_derive(sd15, name, NULL);
        for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
            tt_scheduler *scheduler = test_scheduler_create(config, steps[k], 1.0f, 0.5f);
            float x[N];
            for (size_t i = 0; i < N; i++)
                x[i] = start[i] * tt_scheduler_init_noise_sigma(scheduler);
            run_perfect(scheduler, TT_PREDICT_EPSILON, x);
            double distance = distance_from_clean(x);
            if (!(distance <= end_tolerance(config)))
                fail_msg("%s, %u steps: ends %g from the clean sample", name, (unsigned)steps[k], distance);
            tt_scheduler_destroy(scheduler);
        }
        tt_scheduler_config_free(config);
    }
    assert_int_equal(n_names, 18);
}

static void test_every_schedule_that_fits_runs(void **state)
{
    (void)state;
    tt_scheduler_config *base = test_scheduler_parse(sd15);
    size_t n_run = 0;
    for (size_t i = 0; tt_scheduler_sampler_name(i) != NULL; i++)
        for (size_t k = 0; k < N_SCHEDULES; k++) {
            tt_error err = {0};
            tt_scheduler_config *config = NULL;
            const char *name = tt_scheduler_sampler_name(i);
            tt_status status = tt_scheduler_config_derive(base, name, schedule_names[k], &config, &err);
            if (status != TT_OK) {
                assert_int_equal(status, TT_ERROR_ARGUMENT);
                assert_non_null(strstr(err.text, "has no schedule"));
                continue;
            }
            tt_scheduler *scheduler = test_scheduler_create(config, 12, 1.0f, 0.0f);
            float x[N];
            for (size_t j = 0; j < N; j++)
                x[j] = start[j] * tt_scheduler_init_noise_sigma(scheduler);
            run_perfect(scheduler, TT_PREDICT_EPSILON, x);
            /* PNDM steps by num_train_timesteps / steps, which is its timesteps' distance with leading spacing only. */
            bool exact = strcmp(name, "pndm") != 0 || strcmp(schedule_names[k], "leading") == 0;
            if (!(distance_from_clean(x) <= (exact ? end_tolerance(config) : 0.5)))
                fail_msg("%s %s: ends %g from the clean sample", name, schedule_names[k], distance_from_clean(x));
            tt_scheduler_destroy(scheduler);
            tt_scheduler_config_free(config);
            n_run++;
        }
    tt_scheduler_config_free(base);
    assert_true(n_run > 80);
}

/* The three predictions of one perfect model give the same run up to rounding. PNDM mixes outputs of several levels
 * before it converts them, so that it has another run for each. */
static void test_predictions_agree(void **state)
{
    (void)state;
    for (size_t i = 0; tt_scheduler_sampler_name(i) != NULL; i++) {
        const char *name = tt_scheduler_sampler_name(i);
        if (strcmp(name, "pndm") == 0)
            continue;
        float results[3][N];
        bool made[3] = {false};
        tt_scheduler_config *config = test_scheduler_derive(sd15, name, NULL);
        for (int prediction = 0; prediction < 3; prediction++) {
            tt_error err = {0};
            tt_scheduler *scheduler = NULL;
            tt_scheduler_config_set_prediction(config, (tt_prediction)prediction);
            assert_int_equal(tt_scheduler_config_prediction(config), prediction);
            tt_status status = tt_scheduler_create(config, 9, 0.6f, 0.5f, N, &scheduler, &err);
            if (status != TT_OK) { /* only the sample form may be missing */
                assert_int_equal(status, TT_ERROR_UNSUPPORTED);
                assert_int_equal(prediction, TT_PREDICT_SAMPLE);
                continue;
            }
            made[prediction] = true;
            tt_scheduler_add_noise(scheduler, 0, clean, start, results[prediction]);
            run_perfect(scheduler, (tt_prediction)prediction, results[prediction]);
            tt_scheduler_destroy(scheduler);
        }
        for (int prediction = 1; prediction < 3; prediction++)
            for (size_t j = 0; j < N && made[prediction]; j++)
                if (!(fabsf(results[prediction][j] - results[0][j]) <= 1e-4f))
                    fail_msg("%s: %g with prediction %d, %g with epsilon", name, (double)results[prediction][j],
                             prediction, (double)results[0][j]);
        tt_scheduler_config_free(config);
    }
}

static void test_strength_starts_later(void **state)
{
    (void)state;
    static const struct {
        const char *sampler;
        uint32_t n_steps;
        float strength;
        uint32_t n_calls;
    } cases[] = {
        {"ddim", 20, 0.75f, 15},   {"ddim", 10, 0.7f, 7},  {"ddim", 100, 0.29f, 28}, /* as 100 * 0.29 is in double */
        {"pndm", 50, 0.75f, 38},   {"heun", 20, 0.3f, 11}, {"dpm2", 20, 0.3f, 11},   {"dpm++sde", 20, 1.0f, 39},
        {"euler", 20, 0.999f, 19}, {"lcm", 4, 0.5f, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_scheduler_config *config = test_scheduler_derive(sd15, cases[i].sampler, "default");
        tt_scheduler *part = test_scheduler_create(config, cases[i].n_steps, cases[i].strength, 0.0f);
        tt_scheduler *whole = test_scheduler_create(config, cases[i].n_steps, 1.0f, 0.0f);
        uint32_t n_calls = tt_scheduler_n_calls(part), skipped = tt_scheduler_n_calls(whole) - n_calls;
        assert_int_equal(n_calls, cases[i].n_calls);
        for (uint32_t call = 0; call < n_calls; call++)
            assert_true(tt_scheduler_timestep(part, call) == tt_scheduler_timestep(whole, call + skipped));
        tt_scheduler_destroy(part);
        tt_scheduler_destroy(whole);
        tt_scheduler_config_free(config);
    }
}

/* PLMS with img2img repeats no timestep, so that only its first call is exact; all others reach the clean sample. */
static void test_strength_ends_clean(void **state)
{
    (void)state;
    for (size_t i = 0; tt_scheduler_sampler_name(i) != NULL; i++) {
        const char *name = tt_scheduler_sampler_name(i);
        if (strcmp(name, "pndm") == 0)
            continue;
        tt_scheduler_config *config = test_scheduler_derive(sd15, name, NULL);
        tt_scheduler *scheduler = test_scheduler_create(config, 20, 0.55f, 0.5f);
        float x[N];
        tt_scheduler_add_noise(scheduler, 0, clean, start, x);
        run_perfect(scheduler, TT_PREDICT_EPSILON, x);
        if (!(distance_from_clean(x) <= end_tolerance(config)))
            fail_msg("%s: ends %g from the clean sample", name, distance_from_clean(x));
        tt_scheduler_destroy(scheduler);
        tt_scheduler_config_free(config);
    }
}

/* Product of 1 - beta up to and with timestep t: sqrt(beta) is linear from sqrt(0.00085) to sqrt(0.012). */
static double sd_alphas_cumprod(int t)
{
    double product = 1.0, first = sqrt(0.00085), last = sqrt(0.012);
    for (int i = 0; i <= t; i++) {
        double root = first + (last - first) * i / 999.0;
        product *= 1.0 - root * root;
    }
    return product;
}

static void test_add_noise_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"ddim", "euler", "dpm++2m"};
    for (size_t k = 0; k < 3; k++) {
        tt_scheduler_config *config = test_scheduler_derive(sd15, names[k], "leading");
        tt_scheduler *scheduler = test_scheduler_create(config, 10, 0.5f, 0.0f);
        double sigma = 0.0, data = 1.0;
        size_t n_sigmas = 0;
        const float *sigmas = tt_scheduler_sigmas(scheduler, &n_sigmas);
        assert_int_equal(n_sigmas, k == 0 ? 0 : 11);
        if (k == 0) {
            assert_true(tt_scheduler_timestep(scheduler, 0) == 401.0);
            double bar = sd_alphas_cumprod(401);
            data = sqrt(bar);
            sigma = sqrt(1.0 - bar);
        } else {
            sigma = (double)sigmas[5];
            data = k == 1 ? 1.0 : 1.0 / sqrt(sigma * sigma + 1.0);
            sigma *= data;
        }
        float out[N];
        tt_scheduler_add_noise(scheduler, 0, clean, draw, out);
        for (size_t i = 0; i < N; i++)
            assert_true(fabs((double)out[i] - data * (double)clean[i] - sigma * (double)draw[i]) < 1e-5);
        tt_scheduler_destroy(scheduler);
        tt_scheduler_config_free(config);
    }
}

/* Beta(0.6, 0.6) has quantiles 0.17568037865 and 0.82431962135 at 1/4 and 3/4. */
static void test_beta_schedule(void **state)
{
    (void)state;
    tt_scheduler_config *config = test_scheduler_derive(sd15, "euler", "beta");
    assert_string_equal(tt_scheduler_config_schedule_name(config), "Beta");
    tt_scheduler *scheduler = test_scheduler_create(config, 5, 1.0f, 0.0f);
    size_t n = 0;
    const float *sigmas = tt_scheduler_sigmas(scheduler, &n);
    assert_int_equal(n, 6);
    const double quantiles[5] = {1.0, 0.82431962134730505, 0.5, 0.17568037865269498, 0.0};
    double low = (double)sigmas[4], high = (double)sigmas[0];
    for (size_t i = 0; i < 5; i++)
        assert_true(fabs((double)sigmas[i] - low - quantiles[i] * (high - low)) < 1e-6);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(config);
}

static void test_starting_levels(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *schedule;
        double sigma;
    } cases[] = {{"euler", "linspace", 14.614647},
                 {"euler", "leading", 11.073581},
                 {"ddim", "default", 1.0},
                 {"dpm++2m", "karras", 1.0},
                 {"lcm", NULL, 1.0},
                 {"heun", "trailing", 14.614647}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_scheduler_config *config = test_scheduler_derive(sd15, cases[i].sampler, cases[i].schedule);
        tt_scheduler *scheduler = test_scheduler_create(config, 20, 1.0f, 0.0f);
        assert_true(fabs((double)tt_scheduler_init_noise_sigma(scheduler) - cases[i].sigma) < 1e-5);
        tt_scheduler_destroy(scheduler);
        tt_scheduler_config_free(config);
    }
}

static void test_steps_go_in_order_with_noise(void **state)
{
    (void)state;
    tt_error err = {0};
    float x[N] = {0}, output[N] = {0};
    tt_scheduler_config *config = test_scheduler_derive(sd15, "euler_a", NULL);
    tt_scheduler *scheduler = test_scheduler_create(config, 3, 1.0f, 0.0f);
    assert_true(tt_scheduler_needs_noise(scheduler, 2));
    assert_int_equal(tt_scheduler_step(scheduler, 1, output, draw, x, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_scheduler_step(scheduler, 0, output, NULL, x, &err), TT_ERROR_ARGUMENT);
    for (uint32_t call = 0; call < 3; call++)
        assert_int_equal(tt_scheduler_step(scheduler, call, output, draw, x, &err), TT_OK);
    assert_int_equal(tt_scheduler_step(scheduler, 3, output, draw, x, &err), TT_ERROR_ARGUMENT);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(config);
}

/* Own betas set the training length; the first alphas_cumprod is 1 - 0.1. */
static void test_trained_betas(void **state)
{
    (void)state;
    tt_scheduler_config *config = test_scheduler_parse("{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": false, "
                                                       "\"trained_betas\": [0.1, 0.2, 0.3, 0.4]}");
    tt_scheduler *scheduler = test_scheduler_create(config, 4, 1.0f, 0.0f);
    float out[N], zeros[N] = {0};
    assert_true(tt_scheduler_timestep(scheduler, 0) == 3.0);
    tt_scheduler_add_noise(scheduler, 3, clean, zeros, out);
    assert_true(fabs((double)out[1] - sqrt(0.9)) < 1e-6);
    tt_scheduler_add_noise(scheduler, 1, clean, zeros, out);
    assert_true(fabs((double)out[1] - sqrt(0.9 * 0.8 * 0.7)) < 1e-6);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(config);
}

/* Forms of the classes that no short name reaches. Those that end at sigma_min keep that much noise, and
 * sde-dpmsolver all the noise of its last step. */
static void test_every_form_finds_the_clean_sample(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "\"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver\", \"final_sigmas_type\": \"sigma_min\"",
        "\"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver\", \"final_sigmas_type\": \"sigma_min\", "
        "\"solver_order\": 3",
        "\"DPMSolverMultistepScheduler\", \"algorithm_type\": \"sde-dpmsolver\", \"final_sigmas_type\": \"sigma_min\", "
        "\"solver_type\": \"heun\"",
        "\"DPMSolverMultistepScheduler\", \"algorithm_type\": \"sde-dpmsolver++\", \"solver_order\": 3",
        "\"DPMSolverMultistepScheduler\", \"solver_type\": \"heun\", \"use_lu_lambdas\": true",
        "\"DPMSolverMultistepScheduler\", \"euler_at_final\": true, \"use_karras_sigmas\": true, "
        "\"final_sigmas_type\": \"sigma_min\"",
        "\"DPMSolverMultistepScheduler\", \"beta_schedule\": \"squaredcos_cap_v2\", \"lambda_min_clipped\": -5.1, "
        "\"timestep_spacing\": \"trailing\"",
        "\"DPMSolverSinglestepScheduler\", \"solver_order\": 3",
        "\"DPMSolverSinglestepScheduler\", \"solver_order\": 3, \"solver_type\": \"heun\"",
        "\"DPMSolverSinglestepScheduler\", \"algorithm_type\": \"sde-dpmsolver++\"",
        "\"UniPCMultistepScheduler\", \"predict_x0\": false, \"final_sigmas_type\": \"sigma_min\", \"solver_order\": 3",
        "\"UniPCMultistepScheduler\", \"solver_type\": \"bh1\"",
        "\"UniPCMultistepScheduler\", \"disable_corrector\": [0, 3], \"lower_order_final\": false, \"solver_order\": 5",
        "\"UniPCMultistepScheduler\", \"use_karras_sigmas\": true, \"final_sigmas_type\": \"sigma_min\"",
        "\"DEISMultistepScheduler\", \"solver_order\": 3, \"use_exponential_sigmas\": true",
        "\"EulerDiscreteScheduler\", \"final_sigmas_type\": \"sigma_min\", \"rescale_betas_zero_snr\": true",
        "\"EulerDiscreteScheduler\", \"use_karras_sigmas\": true, \"sigma_min\": 0.05, \"sigma_max\": 10.0",
        "\"KDPM2DiscreteScheduler\", \"use_karras_sigmas\": true",
        "\"PNDMScheduler\", \"skip_prk_steps\": false, \"set_alpha_to_one\": true",
        "\"DDPMScheduler\", \"clip_sample\": false, \"variance_type\": \"fixed_large\"",
        "\"DDPMScheduler\", \"clip_sample\": false, \"beta_schedule\": \"scaled_linear\", \"timestep_spacing\": "
        "\"linspace\"",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char json[512];
        (void)snprintf(json, sizeof(json), "{\"_class_name\": %s}", forms[i]);
        tt_scheduler_config *config = test_scheduler_parse(json);
        tt_scheduler *scheduler = test_scheduler_create(config, 12, 1.0f, 0.0f);
        float x[N];
        for (size_t j = 0; j < N; j++)
            x[j] = start[j] * tt_scheduler_init_noise_sigma(scheduler);
        run_perfect(scheduler, TT_PREDICT_EPSILON, x);
        double distance = distance_from_clean(x), tolerance = end_tolerance(config);
        if (strstr(json, "\"sde-dpmsolver\"") != NULL)
            tolerance = 2.0;
        else if (strstr(json, "\"sigma_min\"") != NULL)
            tolerance = 0.2;
        if (!(distance <= tolerance))
            fail_msg("%s: ends %g from the clean sample", json, distance);
        tt_scheduler_destroy(scheduler);
        tt_scheduler_config_free(config);
    }
}

static void test_clip_sample(void **state)
{
    (void)state;
    tt_scheduler_config *config =
        test_scheduler_parse("{\"_class_name\": \"DDIMScheduler\", \"clip_sample_range\": 0.5}");
    tt_scheduler *scheduler = test_scheduler_create(config, 5, 1.0f, 0.0f);
    float x[N];
    memcpy(x, start, sizeof(x));
    run_perfect(scheduler, TT_PREDICT_EPSILON, x);
    for (size_t i = 0; i < N; i++)
        assert_true(fabsf(x[i]) <= 0.5f + 1e-4f);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(config);
}

/* Zero terminal SNR: the first timestep holds no signal at all, and v-prediction starts from it. */
static void test_zero_terminal_snr(void **state)
{
    (void)state;
    tt_scheduler_config *config = test_scheduler_parse(
        "{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": false, \"rescale_betas_zero_snr\": true, "
        "\"timestep_spacing\": \"trailing\", \"prediction_type\": \"v_prediction\"}");
    tt_scheduler *scheduler = test_scheduler_create(config, 10, 1.0f, 0.0f);
    float x[N], out[N];
    tt_scheduler_add_noise(scheduler, 0, clean, draw, out);
    assert_memory_equal(out, draw, sizeof(out));
    memcpy(x, start, sizeof(x));
    run_perfect(scheduler, TT_PREDICT_V, x);
    assert_true(distance_from_clean(x) <= 1e-4);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sampler_finds_the_clean_sample),
        cmocka_unit_test(test_every_schedule_that_fits_runs),
        cmocka_unit_test(test_predictions_agree),
        cmocka_unit_test(test_strength_starts_later),
        cmocka_unit_test(test_strength_ends_clean),
        cmocka_unit_test(test_add_noise_levels),
        cmocka_unit_test(test_beta_schedule),
        cmocka_unit_test(test_starting_levels),
        cmocka_unit_test(test_steps_go_in_order_with_noise),
        cmocka_unit_test(test_trained_betas),
        cmocka_unit_test(test_every_form_finds_the_clean_sample),
        cmocka_unit_test(test_clip_sample),
        cmocka_unit_test(test_zero_terminal_snr),
    };
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
