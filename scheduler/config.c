/* config.c - reading diffusers' scheduler_config.json. */
#include "scheduler/config.h"

#include "base/sha256.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREDICT_NOISE (1u << TT_PREDICT_EPSILON | 1u << TT_PREDICT_V)
#define PREDICT_ALL (PREDICT_NOISE | 1u << TT_PREDICT_SAMPLE)
#define KARRAS_FAMILY (TT_HAS_SPACING | TT_HAS_SIGMAS)
#define SOLVER_FAMILY (TT_HAS_SIGMAS | TT_HAS_SOLVER | TT_HAS_THRESHOLD)

static const tt_scheduler_class classes[TT_N_SAMPLERS] = {
    [TT_SAMPLER_DDIM] = {"DDIMScheduler",
                         TT_HAS_SPACING | TT_HAS_RESCALE | TT_HAS_CLIP | TT_HAS_ALPHA_ONE | TT_HAS_THRESHOLD,
                         PREDICT_ALL, 0.0001, 0.02, TT_BETAS_LINEAR, TT_SPACING_LEADING, true, true, true},
    [TT_SAMPLER_DDPM] = {"DDPMScheduler", TT_HAS_SPACING | TT_HAS_RESCALE | TT_HAS_CLIP | TT_HAS_THRESHOLD, PREDICT_ALL,
                         0.0001, 0.02, TT_BETAS_LINEAR, TT_SPACING_LEADING, true, true, true},
    [TT_SAMPLER_PNDM] = {"PNDMScheduler", TT_HAS_SPACING | TT_HAS_ALPHA_ONE, PREDICT_NOISE, 0.0001, 0.02,
                         TT_BETAS_LINEAR, TT_SPACING_LEADING, false, false, true},
    [TT_SAMPLER_LMS] = {"LMSDiscreteScheduler", KARRAS_FAMILY, PREDICT_ALL, 0.0001, 0.02, TT_BETAS_LINEAR,
                        TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_EULER] = {"EulerDiscreteScheduler", KARRAS_FAMILY | TT_HAS_RESCALE | TT_HAS_FINAL_SIGMA, PREDICT_ALL,
                          0.0001, 0.02, TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_EULER_A] = {"EulerAncestralDiscreteScheduler", TT_HAS_SPACING | TT_HAS_RESCALE, PREDICT_NOISE, 0.0001,
                            0.02, TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_HEUN] = {"HeunDiscreteScheduler", KARRAS_FAMILY | TT_HAS_CLIP, PREDICT_ALL, 0.00085, 0.012,
                         TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_KDPM2] = {"KDPM2DiscreteScheduler", KARRAS_FAMILY, PREDICT_NOISE, 0.00085, 0.012, TT_BETAS_LINEAR,
                          TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_KDPM2_A] = {"KDPM2AncestralDiscreteScheduler", KARRAS_FAMILY, PREDICT_NOISE, 0.00085, 0.012,
                            TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_DPMPP_MULTISTEP] = {"DPMSolverMultistepScheduler",
                                    SOLVER_FAMILY | TT_HAS_SPACING | TT_HAS_LU | TT_HAS_FINAL_SIGMA | TT_HAS_RESCALE |
                                        TT_HAS_ALGORITHM,
                                    PREDICT_ALL, 0.0001, 0.02, TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_DPMPP_SINGLESTEP] = {"DPMSolverSinglestepScheduler",
                                     SOLVER_FAMILY | TT_HAS_FINAL_SIGMA | TT_HAS_ALGORITHM, PREDICT_ALL, 0.0001, 0.02,
                                     TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, false},
    [TT_SAMPLER_DPMPP_SDE] = {"DPMSolverSDEScheduler", KARRAS_FAMILY, PREDICT_NOISE, 0.00085, 0.012, TT_BETAS_LINEAR,
                              TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_UNIPC] = {"UniPCMultistepScheduler",
                          SOLVER_FAMILY | TT_HAS_SPACING | TT_HAS_FINAL_SIGMA | TT_HAS_RESCALE, PREDICT_ALL, 0.0001,
                          0.02, TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_DEIS] = {"DEISMultistepScheduler", SOLVER_FAMILY | TT_HAS_SPACING, PREDICT_ALL, 0.0001, 0.02,
                         TT_BETAS_LINEAR, TT_SPACING_LINSPACE, false, true, true},
    [TT_SAMPLER_LCM] = {"LCMScheduler",
                        TT_HAS_RESCALE | TT_HAS_CLIP | TT_HAS_ALPHA_ONE | TT_HAS_THRESHOLD | TT_HAS_ORIGINAL,
                        PREDICT_ALL, 0.00085, 0.012, TT_BETAS_SCALED_LINEAR, TT_SPACING_LEADING, false, true, true},
    [TT_SAMPLER_TCD] = {"TCDScheduler", TT_HAS_RESCALE | TT_HAS_ALPHA_ONE | TT_HAS_THRESHOLD | TT_HAS_ORIGINAL,
                        PREDICT_ALL, 0.00085, 0.012, TT_BETAS_SCALED_LINEAR, TT_SPACING_LEADING, false, true, true},
};

const tt_scheduler_class *tt_scheduler_class_of(tt_sampler sampler)
{
    return &classes[sampler];
}

/* Finds a text value in a list of n names and stores its index; a missing key leaves *choice. */
static tt_status get_choice(const json_t *fields, const char *key, const char *const *names, int n, int *choice,
                            tt_error *err)
{
    const char *text = NULL;
    tt_status status = tt_json_get_text(fields, key, &text, err);
    if (status != TT_OK || text == NULL)
        return status;
    for (int i = 0; i < n; i++)
        if (strcmp(text, names[i]) == 0) {
            *choice = i;
            return TT_OK;
        }
    char known[256] = "";
    for (int i = 0; i < n; i++) {
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s \"%.60s\" is not supported, expected one of: %s", key, text, known);
}

static tt_status get_positive(const json_t *fields, const char *key, double *value, tt_error *err)
{
    double given = 1.0;
    const json_t *item = json_object_get(fields, key);
    tt_status status = tt_json_get_f64(fields, key, &given, err);
    if (status != TT_OK || item == NULL || json_is_null(item))
        return status;
    if (!(given > 0.0 && given < 1e30))
        return tt_fail(err, TT_ERROR_FORMAT, "%s is %g, expected a positive number", key, given);
    *value = given;
    return TT_OK;
}

static tt_status get_beta(const json_t *fields, const char *key, double *value, tt_error *err)
{
    tt_status status = tt_json_get_f64(fields, key, value, err);
    if (status == TT_OK && !(*value > 0.0 && *value < 1.0))
        return tt_fail(err, TT_ERROR_FORMAT, "%s is %g, expected a number between 0 and 1", key, *value);
    return status;
}

/* A list of betas sets the training length where num_train_timesteps is missing, and must agree with it otherwise. */
static tt_status parse_trained_betas(tt_scheduler_config *c, const json_t *fields, const json_t *list, tt_error *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < 1 || n > TT_MAX_TRAIN_TIMESTEPS)
        return tt_fail(err, TT_ERROR_FORMAT, "trained_betas is expected to be a list of 1 to %d numbers",
                       TT_MAX_TRAIN_TIMESTEPS);
    if (json_object_get(fields, "num_train_timesteps") == NULL)
        c->n_train = (uint32_t)n;
    if (n != c->n_train)
        return tt_fail(err, TT_ERROR_FORMAT, "trained_betas has %zu numbers, expected num_train_timesteps = %u", n,
                       (unsigned)c->n_train);
    c->trained_betas = calloc(n, sizeof(*c->trained_betas));
    if (c->trained_betas == NULL)
        return tt_fail_memory(err, "trained_betas", n * sizeof(*c->trained_betas));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        double beta = json_is_number(item) ? json_number_value(item) : -1.0;
        if (!(beta > 0.0 && beta <= 1.0))
            return tt_fail(err, TT_ERROR_FORMAT, "trained_betas[%zu] is expected to be a number above 0, at most 1", i);
        c->trained_betas[i] = beta;
    }
    return TT_OK;
}

static tt_status parse_betas(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static const char *const schedules[] = {"linear", "scaled_linear", "squaredcos_cap_v2"};
    tt_status status = tt_json_get_u32(fields, "num_train_timesteps", 1, TT_MAX_TRAIN_TIMESTEPS, &c->n_train, err);
    if (status == TT_OK && (tt_scheduler_class_of(c->sampler)->fields & TT_HAS_RESCALE) != 0)
        status = tt_json_get_bool(fields, "rescale_betas_zero_snr", &c->rescale_zero_snr, err);
    const json_t *list = json_object_get(fields, "trained_betas");
    if (status == TT_OK && list != NULL && !json_is_null(list))
        return parse_trained_betas(c, fields, list, err);
    int schedule = (int)c->beta_schedule;
    if (status == TT_OK)
        status = get_choice(fields, "beta_schedule", schedules, 3, &schedule, err);
    c->beta_schedule = (tt_beta_schedule)schedule;
    if (status == TT_OK)
        status = get_beta(fields, "beta_start", &c->beta_start, err);
    return status == TT_OK ? get_beta(fields, "beta_end", &c->beta_end, err) : status;
}

static tt_status parse_spacing(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static const char *const spacings[] = {"linspace", "leading", "trailing"};
    if ((tt_scheduler_class_of(c->sampler)->fields & TT_HAS_SPACING) == 0)
        return TT_OK;
    int spacing = (int)c->spacing;
    tt_status status = get_choice(fields, "timestep_spacing", spacings, 3, &spacing, err);
    c->spacing = (tt_spacing)spacing;
    return status == TT_OK ? tt_json_get_u32(fields, "steps_offset", 0, TT_MAX_TRAIN_TIMESTEPS, &c->steps_offset, err)
                           : status;
}

/* One of the flags that choose a rule for sigmas. */
static tt_status parse_sigma_flag(tt_scheduler_config *c, const json_t *fields, const char *key,
                                  tt_sigma_schedule schedule, tt_error *err)
{
    bool wanted = false;
    tt_status status = tt_json_get_bool(fields, key, &wanted, err);
    if (status != TT_OK || !wanted)
        return status;
    if (c->sigma_schedule != TT_SIGMAS_DEFAULT)
        return tt_fail(err, TT_ERROR_FORMAT, "%s is true beside another use_..._sigmas, expected at most one", key);
    c->sigma_schedule = schedule;
    return TT_OK;
}

static tt_status parse_sigmas(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static const char *const ends[] = {"zero", "sigma_min"};
    uint32_t has = tt_scheduler_class_of(c->sampler)->fields;
    tt_status status = TT_OK;
    int end = TT_FINAL_SIGMA_ZERO;
    if ((has & TT_HAS_FINAL_SIGMA) != 0)
        status = get_choice(fields, "final_sigmas_type", ends, 2, &end, err);
    c->final_sigma = (tt_final_sigma)end;
    if (status != TT_OK || (has & TT_HAS_SIGMAS) == 0)
        return status;
    status = parse_sigma_flag(c, fields, "use_karras_sigmas", TT_SIGMAS_KARRAS, err);
    if (status == TT_OK)
        status = parse_sigma_flag(c, fields, "use_exponential_sigmas", TT_SIGMAS_EXPONENTIAL, err);
    if (status == TT_OK)
        status = parse_sigma_flag(c, fields, "use_beta_sigmas", TT_SIGMAS_BETA, err);
    if (status == TT_OK && (has & TT_HAS_LU) != 0)
        status = parse_sigma_flag(c, fields, "use_lu_lambdas", TT_SIGMAS_LU, err);
    if (status == TT_OK)
        status = get_positive(fields, "sigma_min", &c->sigma_min, err);
    return status == TT_OK ? get_positive(fields, "sigma_max", &c->sigma_max, err) : status;
}

static tt_status parse_algorithm(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static const char *const algorithms[] = {"dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"};
    bool singlestep = c->sampler == TT_SAMPLER_DPMPP_SINGLESTEP;
    int algorithm = TT_DPM_SOLVER_PP;
    tt_status status = get_choice(fields, "algorithm_type", algorithms, 5, &algorithm, err);
    if (status != TT_OK)
        return status;
    /* "deis" comes from a config of the DEIS class, which these classes read as their own default. */
    c->algorithm = algorithm == 4 ? TT_DPM_SOLVER_PP : (tt_algorithm)algorithm;
    if (c->algorithm == TT_DPM_SOLVER_SDE && (singlestep || c->solver_order > 2))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "algorithm_type sde-dpmsolver is supported by the multistep class up to solver_order 2; use "
                       "sde-dpmsolver++");
    bool data = c->algorithm == TT_DPM_SOLVER_PP || c->algorithm == TT_DPM_SOLVER_PP_SDE;
    if (!data && c->final_sigma == TT_FINAL_SIGMA_ZERO)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "algorithm_type %s cannot end at sigma 0; set final_sigmas_type to sigma_min or use %s++",
                       algorithms[algorithm], algorithms[algorithm]);
    /* Python writes minus infinity as a bare word, which reaches here as a huge number, or as a text. */
    const json_t *clipped = json_object_get(fields, "lambda_min_clipped");
    return json_is_string(clipped) ? TT_OK : tt_json_get_f64(fields, "lambda_min_clipped", &c->lambda_min_clipped, err);
}

static tt_status parse_solver(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static const char *const solvers[] = {"midpoint", "heun", "bh1", "bh2", "logrho"};
    uint32_t has = tt_scheduler_class_of(c->sampler)->fields;
    if ((has & TT_HAS_SOLVER) == 0)
        return TT_OK;
    bool unipc = c->sampler == TT_SAMPLER_UNIPC;
    tt_status status =
        tt_json_get_u32(fields, "solver_order", 1, unipc ? TT_MAX_SOLVER_ORDER : 3, &c->solver_order, err);
    int solver = unipc ? TT_SOLVER_BH2 : TT_SOLVER_MIDPOINT;
    if (status == TT_OK)
        status = get_choice(fields, "solver_type", solvers, 5, &solver, err);
    /* Names of other classes' solvers mean this class's default. */
    if (unipc)
        c->solver = solver == TT_SOLVER_BH1 ? TT_SOLVER_BH1 : TT_SOLVER_BH2;
    else
        c->solver = solver == TT_SOLVER_HEUN ? TT_SOLVER_HEUN : TT_SOLVER_MIDPOINT;
    if (status == TT_OK)
        status = tt_json_get_bool(fields, "lower_order_final", &c->lower_order_final, err);
    if (status == TT_OK && (has & TT_HAS_LU) != 0)
        status = tt_json_get_bool(fields, "euler_at_final", &c->euler_at_final, err);
    return status == TT_OK && (has & TT_HAS_ALGORITHM) != 0 ? parse_algorithm(c, fields, err) : status;
}

static tt_status parse_unipc(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    tt_status status = tt_json_get_bool(fields, "predict_x0", &c->predict_x0, err);
    if (status == TT_OK && !c->predict_x0 && c->final_sigma == TT_FINAL_SIGMA_ZERO)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "predict_x0 false cannot end at sigma 0; set final_sigmas_type to sigma_min");
    const json_t *list = json_object_get(fields, "disable_corrector");
    if (status == TT_OK && json_array_size(list) > 0)
        status = tt_json_get_u32_list(fields, "disable_corrector", 0, TT_MAX_STEPS, c->uncorrected, TT_MAX_UNCORRECTED,
                                      &c->n_uncorrected, err);
    return status;
}

static tt_status parse_variance(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    /* The two forms of the small variance differ only in how the reference computes them. */
    static const char *const variances[] = {"fixed_small", "fixed_small_log", "fixed_large"};
    int variance = 0;
    tt_status status = get_choice(fields, "variance_type", variances, 3, &variance, err);
    c->variance = variance == 2 ? TT_VARIANCE_FIXED_LARGE : TT_VARIANCE_FIXED_SMALL;
    return status;
}

static tt_status parse_sample_fields(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    uint32_t has = tt_scheduler_class_of(c->sampler)->fields;
    tt_status status = TT_OK;
    if ((has & TT_HAS_CLIP) != 0)
        status = tt_json_get_bool(fields, "clip_sample", &c->clip_sample, err);
    if (status == TT_OK && (has & TT_HAS_CLIP) != 0)
        status = get_positive(fields, "clip_sample_range", &c->clip_range, err);
    if (status == TT_OK && (has & TT_HAS_ALPHA_ONE) != 0)
        status = tt_json_get_bool(fields, "set_alpha_to_one", &c->set_alpha_to_one, err);
    if (status == TT_OK && (has & TT_HAS_ORIGINAL) != 0)
        status =
            tt_json_get_u32(fields, "original_inference_steps", 1, TT_MAX_TRAIN_TIMESTEPS, &c->original_steps, err);
    if (status == TT_OK && (has & TT_HAS_ORIGINAL) != 0)
        status = get_positive(fields, "timestep_scaling", &c->timestep_scaling, err);
    if (status == TT_OK && c->sampler == TT_SAMPLER_PNDM)
        status = tt_json_get_bool(fields, "skip_prk_steps", &c->skip_prk_steps, err);
    if (status == TT_OK && c->sampler == TT_SAMPLER_DDPM)
        status = parse_variance(c, fields, err);
    if (status == TT_OK && c->sampler == TT_SAMPLER_UNIPC)
        status = parse_unipc(c, fields, err);
    return status;
}

tt_status tt_scheduler_check_prediction(const tt_scheduler_config *config, tt_error *err)
{
    static const char *const names[] = {"epsilon", "v_prediction", "sample"};
    const tt_scheduler_class *class = tt_scheduler_class_of(config->sampler);
    if ((class->predictions & 1u << config->prediction) == 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s does not support prediction_type \"%s\"; choose another sampler",
                       class->name, names[config->prediction]);
    return TT_OK;
}

static tt_status parse_prediction(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    int prediction = TT_PREDICT_EPSILON;
    tt_status status = get_choice(fields, "prediction_type", predictions, 3, &prediction, err);
    c->prediction = (tt_prediction)prediction;
    return status == TT_OK ? tt_scheduler_check_prediction(c, err) : status;
}

/* Fields whose other values would change the result and are not supported. */
static tt_status refuse_unsupported(const tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    uint32_t has = tt_scheduler_class_of(c->sampler)->fields;
    const char *refused = NULL, *text = NULL;
    if ((has & TT_HAS_THRESHOLD) != 0 && json_is_true(json_object_get(fields, "thresholding")))
        refused = "thresholding true";
    if ((has & TT_HAS_SOLVER) != 0 && json_is_true(json_object_get(fields, "use_flow_sigmas")))
        refused = "use_flow_sigmas true";
    if (c->sampler == TT_SAMPLER_UNIPC && json_is_object(json_object_get(fields, "solver_p")))
        refused = "solver_p";
    text = json_string_value(json_object_get(fields, "interpolation_type"));
    if (c->sampler == TT_SAMPLER_EULER && text != NULL && strcmp(text, "linear") != 0)
        refused = "interpolation_type other than \"linear\"";
    text = json_string_value(json_object_get(fields, "timestep_type"));
    if (c->sampler == TT_SAMPLER_EULER && text != NULL && strcmp(text, "discrete") != 0 &&
        c->prediction == TT_PREDICT_V)
        refused = "timestep_type other than \"discrete\"";
    text = json_string_value(json_object_get(fields, "variance_type"));
    if ((has & TT_HAS_ALGORITHM) != 0 && text != NULL && strncmp(text, "learned", 7) == 0)
        refused = "a learned variance_type";
    return refused == NULL ? TT_OK : tt_fail(err, TT_ERROR_UNSUPPORTED, "%s is not supported; remove it", refused);
}

static tt_status find_class(const json_t *fields, tt_sampler *sampler, tt_error *err)
{
    const char *name = NULL;
    tt_status status = tt_json_get_text(fields, "_class_name", &name, err);
    if (status != TT_OK)
        return status;
    if (name == NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "_class_name is missing, expected a class such as %s", classes[0].name);
    for (int i = 0; i < TT_N_SAMPLERS; i++)
        if (strcmp(name, classes[i].name) == 0) {
            *sampler = (tt_sampler)i;
            return TT_OK;
        }
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "_class_name \"%.80s\" is not supported; choose a sampler by name instead", name);
}

static void set_defaults(tt_scheduler_config *c, tt_sampler sampler)
{
    const tt_scheduler_class *class = tt_scheduler_class_of(sampler);
    c->sampler = sampler;
    c->n_train = 1000;
    c->beta_start = class->beta_start;
    c->beta_end = class->beta_end;
    c->beta_schedule = class->beta_schedule;
    c->spacing = class->spacing;
    c->clip_sample = class->clip_sample;
    c->clip_range = 1.0;
    c->set_alpha_to_one = class->alpha_to_one;
    c->lower_order_final = class->lower_order_final;
    c->lambda_min_clipped = -(double)INFINITY;
    c->solver_order = 2;
    c->predict_x0 = true;
    c->original_steps = 50;
    c->timestep_scaling = 10.0;
}

static tt_status parse_fields(tt_scheduler_config *c, const json_t *fields, tt_error *err)
{
    static tt_status (*const parts[])(tt_scheduler_config *, const json_t *, tt_error *) = {
        parse_betas, parse_spacing, parse_sigmas, parse_solver, parse_sample_fields, parse_prediction};
    tt_status status = TT_OK;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && status == TT_OK; i++)
        status = parts[i](c, fields, err);
    return status == TT_OK ? refuse_unsupported(c, fields, err) : status;
}

tt_status tt_scheduler_config_from_object(json_t *fields, tt_scheduler_config **config, tt_error *err)
{
    *config = NULL;
    tt_sampler sampler = TT_SAMPLER_DDIM;
    tt_scheduler_config *c = NULL;
    tt_status status = find_class(fields, &sampler, err);
    if (status == TT_OK) {
        c = calloc(1, sizeof(*c));
        if (c == NULL)
            return tt_fail_memory(err, "the scheduler config", sizeof(*c));
        c->fields = json_incref(fields);
        set_defaults(c, sampler);
        status = parse_fields(c, fields, err);
    }
    if (status != TT_OK) {
        tt_scheduler_config_free(c);
        tt_error_prefix(err, "scheduler config");
        return status;
    }
    *config = c;
    return TT_OK;
}

/* Python's json module writes infinities as bare words, which JSON does not have, and diffusers saves
 * `"lambda_min_clipped": -Infinity`. Outside of strings each is replaced by a number of the same length. */
static void replace_infinities(char *text, size_t n_bytes)
{
    static const char word[] = "Infinity", number[] = "1.7e+308";
    const size_t n_word = sizeof(word) - 1;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && n_bytes - i >= n_word && memcmp(text + i, word, n_word) == 0)
            memcpy(text + i, number, n_word);
    }
}

tt_status tt_scheduler_config_parse(const char *json, size_t n_bytes, tt_scheduler_config **config, tt_error *err)
{
    *config = NULL;
    char *text = malloc(n_bytes + 1);
    if (text == NULL)
        return tt_fail_memory(err, "the scheduler config", n_bytes);
    memcpy(text, json, n_bytes);
    replace_infinities(text, n_bytes);
    json_t *fields = NULL;
    tt_status status = tt_json_parse(text, n_bytes, "scheduler config", &fields, err);
    free(text);
    if (status != TT_OK)
        return status;
    status = tt_scheduler_config_from_object(fields, config, err);
    json_decref(fields);
    return status;
}

/* The prediction can be set apart from the fields. */
tt_status tt_scheduler_config_digest(const tt_scheduler_config *config, char hex[65], tt_error *err)
{
    char *text = json_dumps(config->fields, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return tt_fail_memory(err, "the scheduler config", 0);
    tt_text all = {0};
    tt_text_format(&all, "%s %d", text, (int)config->prediction);
    free(text);
    tt_status status = tt_text_status(&all, err);
    if (status == TT_OK)
        status = tt_sha256_hex(all.bytes, all.n_bytes, hex, err);
    tt_text_free(&all);
    return status;
}

void tt_scheduler_config_free(tt_scheduler_config *config)
{
    if (config == NULL)
        return;
    json_decref(config->fields);
    free(config->trained_betas);
    free(config);
}
