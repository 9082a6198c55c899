/* test_scheduler_config.c - configs read, derived by name, and refused in one sentence that says why. */
#include "tests/support/test-scheduler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = TEST_SAMPLE };

/* SD1.5's scheduler_config.json. */
static const char sd15[] = "{\"_class_name\": \"PNDMScheduler\", \"beta_end\": 0.012, \"beta_schedule\": "
                           "\"scaled_linear\", \"beta_start\": 0.00085, \"clip_sample\": false, "
                           "\"num_train_timesteps\": 1000, \"set_alpha_to_one\": false, \"skip_prk_steps\": true, "
                           "\"steps_offset\": 1, \"trained_betas\": null}";

static const char *const schedule_names[] = {"default", "karras",   "exponential", "beta",
                                             "leading", "linspace", "trailing",    "sgm_uniform"};
enum { N_SCHEDULES = sizeof(schedule_names) / sizeof(schedule_names[0]) };

static void test_derive_keeps_the_training(void **state)
{
    (void)state;
    tt_error err = {0};
    tt_scheduler_config *base =
        test_scheduler_parse("{\"_class_name\": \"EulerDiscreteScheduler\", \"num_train_timesteps\": 400, "
                             "\"prediction_type\": \"v_prediction\", \"timestep_spacing\": \"trailing\"}");
    tt_scheduler_config *heun = NULL, *same = NULL;
    assert_int_equal(tt_scheduler_config_derive(base, "heun", NULL, &heun, &err), TT_OK);
    assert_string_equal(tt_scheduler_config_class(heun), "HeunDiscreteScheduler");
    assert_int_equal(tt_scheduler_config_prediction(heun), TT_PREDICT_V);
    tt_scheduler *first = test_scheduler_create(base, 4, 1.0f, 0.0f),
                 *second = test_scheduler_create(heun, 4, 1.0f, 0.0f);
    assert_true(tt_scheduler_timestep(first, 0) == 399.0);
    assert_true(tt_scheduler_timestep(second, 0) == 399.0);
    /* Euler's default betas, not Heun's. */
    assert_true(tt_scheduler_init_noise_sigma(first) == tt_scheduler_init_noise_sigma(second));
    assert_int_equal(tt_scheduler_config_derive(base, NULL, "karras", &same, &err), TT_OK);
    assert_string_equal(tt_scheduler_config_class(same), "EulerDiscreteScheduler");
    assert_string_equal(tt_scheduler_config_schedule_name(same), "Karras");
    tt_scheduler_destroy(first);
    tt_scheduler_destroy(second);
    tt_scheduler_config_free(base);
    tt_scheduler_config_free(heun);
    tt_scheduler_config_free(same);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const expected[][3] = {
        {"euler_a", "default", "Euler a"},
        {"dpm++2m", "karras", "DPM++ 2M"},
        {"dpm++3m", NULL, "DPM++ 3M"},
        {"dpm++2m_sde", NULL, "DPM++ 2M SDE"},
        {"plms", NULL, "PLMS"},
        {"dpm2_a", NULL, "DPM2 a"},
        {"dpm++2s", NULL, "DPM++ 2S"},
        {"unipc", NULL, "UniPC"},
        {"dpm++sde", NULL, "DPM++ SDE"},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        tt_scheduler_config *config = test_scheduler_derive(sd15, expected[i][0], expected[i][1]);
        assert_string_equal(tt_scheduler_config_display_name(config), expected[i][2]);
        tt_scheduler_config_free(config);
    }
    tt_scheduler_config *config = test_scheduler_derive(sd15, "euler", "sgm_uniform");
    assert_string_equal(tt_scheduler_config_schedule_name(config), "SGM Uniform");
    tt_scheduler_config_free(config);
    config = test_scheduler_derive(sd15, "euler", NULL);
    assert_string_equal(tt_scheduler_config_schedule_name(config), "Automatic");
    tt_scheduler_config_free(config);
    assert_null(tt_scheduler_sampler_name(1000));
}

static void test_unknown_names_list_the_known(void **state)
{
    (void)state;
    tt_error err = {0};
    tt_scheduler_config *base = test_scheduler_parse(sd15), *config = NULL;
    assert_int_equal(tt_scheduler_config_derive(base, "eulr", NULL, &config, &err), TT_ERROR_ARGUMENT);
    assert_null(config);
    assert_non_null(strstr(err.text, "eulr"));
    for (size_t i = 0; tt_scheduler_sampler_name(i) != NULL; i++)
        assert_non_null(strstr(err.text, tt_scheduler_sampler_name(i)));
    assert_int_equal(tt_scheduler_config_derive(base, "euler", "karas", &config, &err), TT_ERROR_ARGUMENT);
    for (size_t i = 0; i < N_SCHEDULES; i++)
        assert_non_null(strstr(err.text, schedule_names[i]));
    tt_scheduler_config_free(base);
}

/* Python's infinity, as diffusers saves it, and as a text; inside a string the word stays. */
static void test_infinity_is_read(void **state)
{
    (void)state;
    tt_scheduler_config_free(
        test_scheduler_parse("{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": "
                             "-Infinity, \"note\": \"-Infinity \\\" Infinity\"}"));
    tt_scheduler_config_free(
        test_scheduler_parse("{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": \"-inf\"}"));
}

static void test_bad_configs(void **state)
{
    (void)state;
    static const struct {
        const char *json, *word;
        tt_status status;
    } cases[] = {
        {"", "JSON", TT_ERROR_FORMAT},
        {"[]", "object", TT_ERROR_FORMAT},
        {"{}", "_class_name", TT_ERROR_FORMAT},
        {"{\"_class_name\": 3}", "_class_name", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}", "FlowMatch", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 0}", "num_train", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 1000000000}", "num_train", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": -1}", "num_train", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": NaN}", "JSON", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": -Infinity}", "beta_start", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": -0.1}", "beta_start", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_end\": 1e300}", "beta_end", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_end\": \"x\"}", "beta_end", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_schedule\": \"cubic\"}", "cubic", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": []}", "trained_betas", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": [0.1, null]}", "trained_betas[1]", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": [0.1, 2]}", "trained_betas[1]", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": [0.1], \"num_train_timesteps\": 2}", "trained_betas",
         TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"thresholding\": true}", "thresholding", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": \"odd\"}", "odd", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"prediction_type\": \"flow\"}", "flow", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"clip_sample_range\": -1}", "clip_sample_range", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"PNDMScheduler\", \"prediction_type\": \"sample\"}", "sample", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDPMScheduler\", \"variance_type\": \"learned\"}", "learned", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"use_karras_sigmas\": true, \"use_beta_sigmas\": true}",
         "use_beta_sigmas", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"interpolation_type\": \"log_linear\"}", "interpolation_type",
         TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"sigma_min\": 0}", "sigma_min", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"timestep_type\": \"continuous\", \"prediction_type\": "
         "\"v_prediction\"}",
         "timestep_type", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 4}", "solver_order", TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver\"}", "sigma_min",
         TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"use_flow_sigmas\": true}", "use_flow_sigmas",
         TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"variance_type\": \"learned\"}", "variance_type",
         TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DPMSolverSinglestepScheduler\", \"algorithm_type\": \"sde-dpmsolver\"}", "sde-dpmsolver",
         TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"UniPCMultistepScheduler\", \"predict_x0\": false}", "predict_x0", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"UniPCMultistepScheduler\", \"solver_p\": {}}", "solver_p", TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"LCMScheduler\", \"original_inference_steps\": 0}", "original_inference_steps",
         TT_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_error err = {0};
        tt_scheduler_config *config = NULL;
        tt_status status = tt_scheduler_config_parse(cases[i].json, strlen(cases[i].json), &config, &err);
        if (status != cases[i].status || strstr(err.text, cases[i].word) == NULL || config != NULL)
            fail_msg("%s: status %d, \"%s\"", cases[i].json, (int)status, err.text);
    }
}

/* Configs that are well formed and give no usable run. */
static void test_bad_runs(void **state)
{
    (void)state;
    static const struct {
        const char *json, *word;
        uint32_t n_steps;
        float strength, eta;
        tt_status status;
    } cases[] = {
        {"{\"_class_name\": \"DDIMScheduler\"}", "steps is 0", 0, 1.0f, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "steps is 1001", 1001, 1.0f, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 10}", "1 to 10", 11, 1.0f, 0.0f,
         TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "strength", 20, 0.0f, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "strength", 20, 1.5f, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "strength", 20, NAN, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "leaves no step", 20, 0.01f, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "eta", 20, 1.0f, -1.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\"}", "eta", 20, 1.0f, NAN, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\", \"steps_offset\": 999}", "steps_offset 999", 20, 1.0f, 0.0f,
         TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DDIMScheduler\", \"rescale_betas_zero_snr\": true, \"timestep_spacing\": \"trailing\"}",
         "v_prediction", 20, 1.0f, 0.0f, TT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"rescale_betas_zero_snr\": true, \"num_train_timesteps\": 1}", "betas",
         1, 1.0f, 0.0f, TT_ERROR_FORMAT},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": 0.9}", "betas", 20, 1.0f, 0.0f, TT_ERROR_FORMAT},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"beta_end\": 0.9999}", "betas", 20, 1.0f, 0.0f,
         TT_ERROR_FORMAT},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"trained_betas\": [1e-30, 0.1]}", "betas", 1, 1.0f, 0.0f,
         TT_ERROR_FORMAT},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"use_karras_sigmas\": true, \"sigma_max\": 0.001}",
         "sigma_max", 20, 1.0f, 0.0f, TT_ERROR_FORMAT},
        {"{\"_class_name\": \"PNDMScheduler\", \"skip_prk_steps\": false}", "at least 4", 3, 1.0f, 0.0f,
         TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\"}", "same noise level", 1000, 1.0f, 0.0f, TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": 50}", "lambda_min_clipped", 20,
         1.0f, 0.0f, TT_ERROR_FORMAT},
        {"{\"_class_name\": \"LCMScheduler\"}", "at most its original_inference_steps 50", 51, 1.0f, 0.0f,
         TT_ERROR_ARGUMENT},
        {"{\"_class_name\": \"TCDScheduler\", \"original_inference_steps\": 1001}", "original_inference_steps", 4, 1.0f,
         0.0f, TT_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_error err = {0};
        tt_scheduler *scheduler = NULL;
        tt_scheduler_config *config = test_scheduler_parse(cases[i].json);
        tt_status status =
            tt_scheduler_create(config, cases[i].n_steps, cases[i].strength, cases[i].eta, N, &scheduler, &err);
        if (status != cases[i].status || strstr(err.text, cases[i].word) == NULL || scheduler != NULL)
            fail_msg("%s: status %d, \"%s\"", cases[i].json, (int)status, err.text);
        tt_scheduler_config_free(config);
    }
    tt_scheduler_config *config = test_scheduler_parse(sd15);
    tt_scheduler *scheduler = NULL;
    assert_int_equal(tt_scheduler_create(config, 20, 1.0f, 0.0f, 0, &scheduler, NULL), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_scheduler_create(config, 20, 1.0f, 0.0f, SIZE_MAX / 8, &scheduler, NULL), TT_ERROR_ARGUMENT);
    tt_scheduler_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derive_keeps_the_training),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_names_list_the_known),
        cmocka_unit_test(test_infinity_is_read),
        cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_bad_runs),
    };
    return cmocka_run_group_tests_name("scheduler configs", tests, NULL, NULL);
}
