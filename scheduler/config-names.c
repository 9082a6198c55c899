/* config-names.c - short names of samplers and schedules, and configs made from another by such a name. */
#include "scheduler/config.h"

#include <stdio.h>
#include <string.h>

/* A name of the command line. solver_order and algorithm tell apart the samplers that share a class; 0 and NULL leave
 * the class's own. */
typedef struct short_name {
    const char *name;
    tt_sampler sampler;
    int solver_order;
    const char *algorithm;
} short_name;

static const short_name samplers[] = {
    {"euler", TT_SAMPLER_EULER, 0, NULL},
    {"euler_a", TT_SAMPLER_EULER_A, 0, NULL},
    {"heun", TT_SAMPLER_HEUN, 0, NULL},
    {"dpm2", TT_SAMPLER_KDPM2, 0, NULL},
    {"dpm2_a", TT_SAMPLER_KDPM2_A, 0, NULL},
    {"lms", TT_SAMPLER_LMS, 0, NULL},
    {"ddim", TT_SAMPLER_DDIM, 0, NULL},
    {"ddpm", TT_SAMPLER_DDPM, 0, NULL},
    {"pndm", TT_SAMPLER_PNDM, 0, NULL},
    {"dpm++2m", TT_SAMPLER_DPMPP_MULTISTEP, 2, "dpmsolver++"},
    {"dpm++3m", TT_SAMPLER_DPMPP_MULTISTEP, 3, "dpmsolver++"},
    {"dpm++2m_sde", TT_SAMPLER_DPMPP_MULTISTEP, 2, "sde-dpmsolver++"},
    {"dpm++sde", TT_SAMPLER_DPMPP_SDE, 0, NULL},
    {"dpm++2s", TT_SAMPLER_DPMPP_SINGLESTEP, 2, "dpmsolver++"},
    {"unipc", TT_SAMPLER_UNIPC, 0, NULL},
    {"deis", TT_SAMPLER_DEIS, 0, NULL},
    {"lcm", TT_SAMPLER_LCM, 0, NULL},
    {"tcd", TT_SAMPLER_TCD, 0, NULL},
};
enum { N_NAMES = sizeof(samplers) / sizeof(samplers[0]) };

/* A schedule is either a rule for sigmas (flag) or a spacing of timesteps; "default" is neither. */
typedef struct schedule_name {
    const char *name, *flag, *spacing;
} schedule_name;

static const schedule_name schedules[] = {
    {"default", NULL, NULL},
    {"karras", "use_karras_sigmas", NULL},
    {"exponential", "use_exponential_sigmas", NULL},
    {"beta", "use_beta_sigmas", NULL},
    {"leading", NULL, "leading"},
    {"linspace", NULL, "linspace"},
    {"trailing", NULL, "trailing"},
    {"sgm_uniform", NULL, "trailing"},
};
enum { N_SCHEDULES = sizeof(schedules) / sizeof(schedules[0]) };

static const char *const sigma_flags[] = {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                                          "use_lu_lambdas"};
static const char *const beta_names[] = {"linear", "scaled_linear", "squaredcos_cap_v2"};
static const char *const prediction_names[] = {"epsilon", "v_prediction", "sample"};

const char *tt_scheduler_sampler_name(size_t index)
{
    return index < N_NAMES ? samplers[index].name : NULL;
}

static void append(char *text, size_t n_bytes, const char *name)
{
    size_t used = strlen(text);
    (void)snprintf(text + used, n_bytes - used, "%s%s", used > 0 ? ", " : "", name);
}

static tt_status find_sampler(const char *name, const short_name **found, tt_error *err)
{
    const char *wanted = strcmp(name, "plms") == 0 ? "pndm" : name;
    char known[512] = "";
    for (size_t i = 0; i < N_NAMES; i++) {
        append(known, sizeof(known), samplers[i].name);
        if (strcmp(wanted, samplers[i].name) == 0) {
            *found = &samplers[i];
            return TT_OK;
        }
    }
    return tt_fail(err, TT_ERROR_ARGUMENT, "unknown sampler \"%.60s\", expected one of: %s", name, known);
}

static tt_status find_schedule(const char *name, const schedule_name **found, tt_error *err)
{
    char known[256] = "";
    for (size_t i = 0; i < N_SCHEDULES; i++) {
        append(known, sizeof(known), schedules[i].name);
        if (strcmp(name, schedules[i].name) == 0) {
            *found = &schedules[i];
            return TT_OK;
        }
    }
    return tt_fail(err, TT_ERROR_ARGUMENT, "unknown schedule \"%.60s\", expected one of: %s", name, known);
}

static bool set_text(json_t *fields, const char *key, const char *value)
{
    return json_object_set_new(fields, key, json_string(value)) == 0;
}

/* What the model was trained with must not fall back to another class's defaults. */
static bool set_training(json_t *fields, const tt_scheduler_config *base)
{
    bool ok = json_object_set_new(fields, "num_train_timesteps", json_integer((json_int_t)base->n_train)) == 0;
    ok = ok && set_text(fields, "prediction_type", prediction_names[base->prediction]);
    ok = ok && set_text(fields, "beta_schedule", beta_names[base->beta_schedule]);
    ok = ok && json_object_set_new(fields, "beta_start", json_real(base->beta_start)) == 0;
    return ok && json_object_set_new(fields, "beta_end", json_real(base->beta_end)) == 0;
}

/* Another class reads the fields that it shares with the base's, and takes its own defaults for the rest. Three are
 * given by the name instead: the solver, PNDM without Runge-Kutta steps (what the field calls PLMS), and no clipping
 * where the base says nothing, for latents are not bounded by 1. */
static bool set_sampler(json_t *fields, const tt_scheduler_config *base, const short_name *name)
{
    static const char *const solver_keys[] = {"algorithm_type", "solver_type", "solver_order", "variance_type"};
    bool ok = set_text(fields, "_class_name", tt_scheduler_class_of(name->sampler)->name);
    if (name->sampler != base->sampler || name->solver_order != 0)
        for (size_t i = 0; i < sizeof(solver_keys) / sizeof(solver_keys[0]); i++)
            (void)json_object_del(fields, solver_keys[i]);
    if (name->solver_order != 0)
        ok = ok && json_object_set_new(fields, "solver_order", json_integer(name->solver_order)) == 0;
    if (name->algorithm != NULL)
        ok = ok && set_text(fields, "algorithm_type", name->algorithm);
    if (name->sampler != base->sampler && json_object_get(fields, "skip_prk_steps") == NULL)
        ok = ok && json_object_set_new(fields, "skip_prk_steps", json_true()) == 0;
    if (name->sampler != base->sampler && json_object_get(fields, "clip_sample") == NULL)
        ok = ok && json_object_set_new(fields, "clip_sample", json_false()) == 0;
    return ok;
}

static tt_status check_schedule(tt_sampler sampler, const schedule_name *schedule, tt_error *err)
{
    const tt_scheduler_class *class = tt_scheduler_class_of(sampler);
    bool fits = (schedule->flag == NULL || (class->fields & TT_HAS_SIGMAS) != 0) &&
                (schedule->spacing == NULL || (class->fields & TT_HAS_SPACING) != 0);
    if (fits)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT, "%s has no schedule \"%s\"; use schedule \"default\" or another sampler",
                   class->name, schedule->name);
}

static bool set_schedule(json_t *fields, const schedule_name *schedule)
{
    if (schedule->flag == NULL && schedule->spacing == NULL)
        return true;
    for (size_t i = 0; i < sizeof(sigma_flags) / sizeof(sigma_flags[0]); i++)
        (void)json_object_del(fields, sigma_flags[i]);
    if (schedule->flag != NULL)
        return json_object_set_new(fields, schedule->flag, json_true()) == 0;
    return set_text(fields, "timestep_spacing", schedule->spacing);
}

tt_status tt_scheduler_config_derive(const tt_scheduler_config *base, const char *sampler, const char *schedule,
                                     tt_scheduler_config **config, tt_error *err)
{
    *config = NULL;
    const short_name *name = NULL;
    const schedule_name *rule = &schedules[0];
    tt_status status = sampler != NULL ? find_sampler(sampler, &name, err) : TT_OK;
    if (status == TT_OK && schedule != NULL)
        status = find_schedule(schedule, &rule, err);
    if (status == TT_OK)
        status = check_schedule(name != NULL ? name->sampler : base->sampler, rule, err);
    if (status != TT_OK)
        return status;
    json_t *fields = json_copy(base->fields);
    bool ok = fields != NULL && set_training(fields, base) && (name == NULL || set_sampler(fields, base, name)) &&
              set_schedule(fields, rule);
    status = ok ? tt_scheduler_config_from_object(fields, config, err) : tt_fail_memory(err, "the scheduler config", 0);
    json_decref(fields);
    return status;
}

static const char *multistep_name(const tt_scheduler_config *config)
{
    bool stochastic = config->algorithm == TT_DPM_SOLVER_PP_SDE || config->algorithm == TT_DPM_SOLVER_SDE;
    if (config->solver_order == 3)
        return stochastic ? "DPM++ 3M SDE" : "DPM++ 3M";
    return stochastic ? "DPM++ 2M SDE" : "DPM++ 2M";
}

const char *tt_scheduler_config_display_name(const tt_scheduler_config *config)
{
    static const char *const names[TT_N_SAMPLERS] = {
        [TT_SAMPLER_DDIM] = "DDIM",
        [TT_SAMPLER_DDPM] = "DDPM",
        [TT_SAMPLER_PNDM] = "PLMS",
        [TT_SAMPLER_LMS] = "LMS",
        [TT_SAMPLER_EULER] = "Euler",
        [TT_SAMPLER_EULER_A] = "Euler a",
        [TT_SAMPLER_HEUN] = "Heun",
        [TT_SAMPLER_KDPM2] = "DPM2",
        [TT_SAMPLER_KDPM2_A] = "DPM2 a",
        [TT_SAMPLER_DPMPP_SINGLESTEP] = "DPM++ 2S",
        [TT_SAMPLER_DPMPP_SDE] = "DPM++ SDE",
        [TT_SAMPLER_UNIPC] = "UniPC",
        [TT_SAMPLER_DEIS] = "DEIS",
        [TT_SAMPLER_LCM] = "LCM",
        [TT_SAMPLER_TCD] = "TCD",
    };
    return config->sampler == TT_SAMPLER_DPMPP_MULTISTEP ? multistep_name(config) : names[config->sampler];
}

const char *tt_scheduler_config_schedule_name(const tt_scheduler_config *config)
{
    switch (config->sigma_schedule) {
    case TT_SIGMAS_KARRAS:
        return "Karras";
    case TT_SIGMAS_EXPONENTIAL:
        return "Exponential";
    case TT_SIGMAS_BETA:
        return "Beta";
    case TT_SIGMAS_LU:
    case TT_SIGMAS_DEFAULT:
        break;
    }
    return config->spacing == TT_SPACING_TRAILING ? "SGM Uniform" : "Automatic";
}

const char *tt_scheduler_config_class(const tt_scheduler_config *config)
{
    return tt_scheduler_class_of(config->sampler)->name;
}

tt_prediction tt_scheduler_config_prediction(const tt_scheduler_config *config)
{
    return config->prediction;
}

void tt_scheduler_config_set_prediction(tt_scheduler_config *config, tt_prediction prediction)
{
    config->prediction = prediction;
}
