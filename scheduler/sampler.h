/* sampler.h - what the files of scheduler/ share: the parsed config, the state of a run, and one table of functions
 * per sampler. Private to scheduler/.
 *
 * Notation: ac[t] is alphas_cumprod (alpha bar) of training timestep t; sigma = sqrt((1 - ac) / ac) is the noise level
 * of Karras et al.; alpha = 1 / sqrt(sigma^2 + 1). "Index" counts the calls of the whole run; with img2img strength
 * the run starts at index `begin` and call i has index begin + i. */
#ifndef TT_SCHEDULER_SAMPLER_H
#define TT_SCHEDULER_SAMPLER_H

#include "base/json.h"
#include "scheduler/scheduler.h"

typedef enum tt_beta_schedule { TT_BETAS_LINEAR = 0, TT_BETAS_SCALED_LINEAR, TT_BETAS_COSINE } tt_beta_schedule;
typedef enum tt_spacing { TT_SPACING_LINSPACE = 0, TT_SPACING_LEADING, TT_SPACING_TRAILING } tt_spacing;
typedef enum tt_sigma_schedule {
    TT_SIGMAS_DEFAULT = 0, /* the training sigmas at the timesteps */
    TT_SIGMAS_KARRAS,
    TT_SIGMAS_EXPONENTIAL,
    TT_SIGMAS_BETA,
    TT_SIGMAS_LU
} tt_sigma_schedule;
typedef enum tt_final_sigma { TT_FINAL_SIGMA_ZERO = 0, TT_FINAL_SIGMA_MIN } tt_final_sigma;
typedef enum tt_algorithm { TT_DPM_SOLVER_PP = 0, TT_DPM_SOLVER, TT_DPM_SOLVER_PP_SDE, TT_DPM_SOLVER_SDE } tt_algorithm;
typedef enum tt_solver { TT_SOLVER_MIDPOINT = 0, TT_SOLVER_HEUN, TT_SOLVER_BH1, TT_SOLVER_BH2 } tt_solver;
typedef enum tt_variance { TT_VARIANCE_FIXED_SMALL = 0, TT_VARIANCE_FIXED_LARGE } tt_variance;

enum {
    TT_MAX_TRAIN_TIMESTEPS = 10000,
    TT_MAX_STEPS = 1000,
    TT_MAX_SOLVER_ORDER = 5,
    TT_MAX_BUFFERS = TT_MAX_SOLVER_ORDER + 1,
    TT_MAX_UNCORRECTED = 64 /* entries of UniPC's disable_corrector */
};

/* Fields that a class does not have keep values that its sampler never reads. */
struct tt_scheduler_config {
    json_t *fields; /* the object as it was given: what tt_scheduler_config_derive hands on */
    tt_sampler sampler;
    uint32_t n_train;
    double beta_start, beta_end;
    tt_beta_schedule beta_schedule;
    double *trained_betas; /* [n_train] or NULL */
    tt_prediction prediction;
    tt_spacing spacing;
    uint32_t steps_offset;
    tt_sigma_schedule sigma_schedule;
    tt_final_sigma final_sigma;
    double sigma_min, sigma_max; /* 0: from the schedule */
    double lambda_min_clipped;
    bool rescale_zero_snr, set_alpha_to_one, clip_sample;
    double clip_range;
    bool skip_prk_steps, lower_order_final, euler_at_final, predict_x0;
    uint32_t solver_order;
    tt_algorithm algorithm;
    tt_solver solver;
    tt_variance variance;
    uint32_t original_steps; /* LCM, TCD: length of the distilled schedule */
    double timestep_scaling;
    uint32_t uncorrected[TT_MAX_UNCORRECTED]; /* UniPC: steps after which the corrector is off */
    uint32_t n_uncorrected;
};

/* One sampler. */
typedef struct tt_sampler_ops {
    uint32_t n_buffers;      /* sample-sized buffers that the run needs; 0: solver_order + 1 */
    uint32_t calls_per_step; /* diffusers' `order`: img2img skips this many calls per step */
    bool scales_input;       /* the model sees x / sqrt(sigma^2 + 1) */

    /* The level that the model sees at odd indices where a method evaluates between two; NULL: sigmas[index]. */
    double (*middle_sigma)(const tt_scheduler *s, uint32_t index);

    /* Fills timesteps and, where the class has them, sigmas of the whole run. */
    tt_status (*prepare)(tt_scheduler *s, tt_error *err);
    bool (*needs_noise)(const tt_scheduler *s, uint32_t index);
    void (*step)(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x);
} tt_sampler_ops;

struct tt_scheduler {
    tt_scheduler_config config; /* values only: fields and trained_betas are NULL */
    const tt_sampler_ops *ops;
    uint32_t n_steps;
    double strength, eta;
    size_t n_sample;

    double *alphas_cumprod; /* [n_train] */
    float *train_sigmas;    /* [n_train], ascending */
    double final_alpha;     /* ac "before" timestep 0 */

    double *timesteps; /* [n_timesteps], the whole run */
    uint32_t n_timesteps;
    float *sigmas; /* [n_sigmas] or NULL */
    uint32_t n_sigmas;
    double init_noise_sigma;
    uint32_t begin; /* index of call 0 */

    /* State of the run. */
    uint32_t n_done;  /* calls made */
    uint32_t n_known; /* valid entries of history, newest first */
    uint32_t last_order;
    float *buffers; /* the block behind history and spare */
    float *history[TT_MAX_BUFFERS];
    uint32_t n_history;
    float *spare[2];
};

extern const tt_sampler_ops tt_ddim_ops, tt_ddpm_ops, tt_pndm_ops, tt_lms_ops, tt_euler_ops, tt_euler_a_ops,
    tt_heun_ops, tt_kdpm2_ops, tt_kdpm2_a_ops, tt_dpm_multistep_ops, tt_dpm_singlestep_ops, tt_dpm_sde_ops,
    tt_unipc_ops, tt_deis_ops, tt_lcm_ops, tt_tcd_ops;

/* ---- schedule.c: betas, alphas_cumprod and the spacing of timesteps ---- */

/* Fills alphas_cumprod, train_sigmas and final_alpha from the betas of `config`. */
tt_status tt_noise_table_build(tt_scheduler *s, const tt_scheduler_config *config, tt_error *err);

typedef enum tt_spacing_form {
    TT_SPACE_ROUNDED = 0, /* DDIM, DDPM, PNDM: whole timesteps */
    TT_SPACE_FRACTIONAL,  /* the samplers of Karras et al.: linspace is not rounded */
    TT_SPACE_SOLVER       /* multistep solvers: n + 1 points, the one at 0 is the end of the last step */
} tt_spacing_form;

/* Writes at most n_steps timesteps, descending, to t and returns their number. `last` is one more than the highest
 * timestep: n_train, or less with lambda_min_clipped. */
uint32_t tt_space_timesteps(const tt_scheduler *s, tt_spacing_form form, uint32_t last, double *t);

/* Timesteps of DDIM and DDPM. */
tt_status tt_prepare_rounded(tt_scheduler *s, tt_error *err);

/* Timesteps of LCM and TCD: every k-th of the schedule that the model was distilled with. */
tt_status tt_prepare_consistency(tt_scheduler *s, tt_error *err);

/* Checks that every timestep of the run is one the table has and, where the model predicts noise, has signal left. */
tt_status tt_check_timesteps(const tt_scheduler *s, tt_error *err);

/* ac[t], final_alpha where t < 0. */
double tt_alpha_cumprod(const tt_scheduler *s, int64_t t);

/* ---- sigmas.c: noise levels ---- */

/* Timesteps and levels of n steps, before a family lays them out. */
typedef struct tt_levels {
    uint32_t n;
    double *timesteps, *sigmas; /* [n] each, one block: free with tt_levels_free */
} tt_levels;

/* Levels for Euler, Heun, KDPM2, LMS and DPM++ SDE; for the multistep and singlestep solvers. */
tt_status tt_levels_karras_family(const tt_scheduler *s, tt_levels *levels, tt_error *err);
tt_status tt_levels_solver(const tt_scheduler *s, tt_levels *levels, tt_error *err);
void tt_levels_free(tt_levels *levels);

typedef enum tt_layout {
    TT_LAYOUT_PLAIN = 0, /* s0 s1 ... last, one call per level */
    TT_LAYOUT_PAIRED,    /* s0 s1 s1 s2 s2 ... last, two calls per step but the last */
    TT_LAYOUT_PAIRED_END /* the same with `last` three times, as KDPM2 keeps it */
} tt_layout;

/* Lays levels out as the run's timesteps and sigmas and sets init_noise_sigma. In the paired layouts odd timesteps
 * repeat the next level's; a family that evaluates between levels overwrites them. Frees levels in any case. */
tt_status tt_store_levels(tt_scheduler *s, tt_levels *levels, tt_layout layout, double last, tt_error *err);

/* Fails when two levels of the run are equal, where a method would divide by their distance. The last pair may be. */
tt_status tt_check_levels_differ(const tt_scheduler *s, tt_error *err);

/* Fractional training timestep whose log sigma is that of sigma. */
double tt_timestep_of_sigma(const tt_scheduler *s, double sigma);

/* The first half of a two-call step has an even index. */
bool tt_is_first_half(uint32_t index);

/* Prepares a method of two calls a step on the levels of the Karras family, ending at zero. middle (or NULL: both calls
 * are at levels of the schedule) gives the level of a step's second call. */
tt_status tt_prepare_pairs(tt_scheduler *s, tt_layout layout, double (*middle)(const tt_scheduler *s, uint32_t index),
                           tt_error *err);

/* ---- step-math.c: predictions and linear combinations ---- */

/* value = sample * x + output * model_output */
typedef struct tt_linear {
    double sample, output;
} tt_linear;

/* The predicted clean sample and the predicted noise where x = alpha * x0 + sigma * noise. */
tt_linear tt_predicted_data(tt_prediction prediction, double alpha, double sigma);
tt_linear tt_predicted_noise(tt_prediction prediction, double alpha, double sigma);

/* The predicted clean sample where x = x0 + sigma * noise and the model saw x / sqrt(sigma^2 + 1). */
tt_linear tt_denoised(tt_prediction prediction, double sigma);

/* (x - denoised) / sigma: the derivative dx/dsigma. */
tt_linear tt_derivative(tt_prediction prediction, double sigma);

typedef struct tt_term {
    double weight;
    const float *values; /* [n]; not read when weight is 0 */
} tt_term;

/* out[i] = sum of weight * values[i] in double; out may be one of the values. */
void tt_combine(float *out, size_t n, const tt_term *terms, size_t n_terms);

/* x = data * clip(x0) + sample * x + output * model_output + noise_weight * noise, clipped where the config says so. */
typedef struct tt_update {
    tt_linear x0;
    double data, sample, output, noise;
} tt_update;
void tt_apply_update(const tt_scheduler *s, const tt_update *update, const float *output, const float *noise, float *x);

double tt_clip(const tt_scheduler *s, double value);

/* Makes history[0] a free buffer: the older entries move on, the oldest is dropped. */
float *tt_history_push(tt_scheduler *s);

/* alpha, sigma and lambda = log(alpha / sigma) of the level sigmas[index]; lambda is infinite at level 0. */
typedef struct tt_level {
    double alpha, sigma, lambda;
} tt_level;
tt_level tt_level_at(const tt_scheduler *s, uint32_t index);

bool tt_always(const tt_scheduler *s, uint32_t index);
bool tt_never(const tt_scheduler *s, uint32_t index);

/* ---- dpm-solver.c: the exponential integrators that multistep and singlestep share ---- */

/* x' = sample * x + d0 * D0 + d1 * D1 + d2 * D2 + noise * z over the step from `from` to `to`. D0 is the model value,
 * D1 and D2 its scaled first and second differences. */
typedef struct tt_dpm_weights {
    double sample, d0, d1, d2, noise;
} tt_dpm_weights;
tt_dpm_weights tt_dpm_solver_weights(tt_algorithm algorithm, tt_solver solver, uint32_t order, tt_level to,
                                     tt_level from);

/* Pushes x0 (dpmsolver++) or noise (dpmsolver) predicted from x onto the history. */
void tt_dpm_push_prediction(tt_scheduler *s, uint32_t index, const float *output, const float *x);
bool tt_dpm_needs_noise(const tt_scheduler *s, uint32_t index);

#endif
