/* scheduler.h - noise schedules and samplers: pure arithmetic on the host.
 *
 * Behaviour follows diffusers 0.42.1's classes of the same names, configured by its scheduler_config.json, including
 * its defaults for missing fields. Tables and coefficients are computed in double; samples are float32.
 * Papers: DDPM arXiv 2006.11239, DDIM 2010.02502, PNDM 2202.09778, Karras et al. 2206.00364 (Euler, Heun, KDPM2, Karras
 * sigmas), LMS (crowsonkb k-diffusion), DPM-Solver++ 2211.01095, UniPC 2302.04867, DEIS 2204.13902, LCM 2310.04378,
 * TCD 2402.19159, zero terminal SNR 2305.08891.
 *
 * A run is a list of model calls. Call i: timestep t_i = tt_scheduler_timestep(i); the model sees
 * tt_scheduler_scale_input(x); its output goes to tt_scheduler_step, which replaces x by the next sample. Second-order
 * methods (Heun, KDPM2, DPM++ SDE) and PNDM have more calls than steps. */
#ifndef TT_SCHEDULER_SCHEDULER_H
#define TT_SCHEDULER_SCHEDULER_H

#include "base/error.h"

typedef enum tt_sampler {
    TT_SAMPLER_DDIM = 0,
    TT_SAMPLER_DDPM,
    TT_SAMPLER_PNDM,
    TT_SAMPLER_LMS,
    TT_SAMPLER_EULER,
    TT_SAMPLER_EULER_A,
    TT_SAMPLER_HEUN,
    TT_SAMPLER_KDPM2,
    TT_SAMPLER_KDPM2_A,
    TT_SAMPLER_DPMPP_MULTISTEP,
    TT_SAMPLER_DPMPP_SINGLESTEP,
    TT_SAMPLER_DPMPP_SDE,
    TT_SAMPLER_UNIPC,
    TT_SAMPLER_DEIS,
    TT_SAMPLER_LCM,
    TT_SAMPLER_TCD,
    TT_N_SAMPLERS
} tt_sampler;

typedef enum tt_prediction { TT_PREDICT_EPSILON = 0, TT_PREDICT_V, TT_PREDICT_SAMPLE } tt_prediction;

/* A parsed scheduler_config.json: opaque, copyable by the functions below only. */
typedef struct tt_scheduler_config tt_scheduler_config;

/* Reads the JSON text of a diffusers scheduler config (`_class_name` + fields; missing fields take that class's
 * defaults, unknown fields are ignored). Unknown classes and values fail with TT_ERROR_UNSUPPORTED naming them.
 * Free with tt_scheduler_config_free. */
tt_status tt_scheduler_config_parse(const char *json, size_t n_bytes, tt_scheduler_config **config, tt_error *err);
void tt_scheduler_config_free(tt_scheduler_config *config);

/* The config as JSON text: the fields it was read from, with the prediction type in use. *json is new (free()). */
tt_status tt_scheduler_config_write(const tt_scheduler_config *config, char **json, tt_error *err);

/* A config for `sampler` by its short CLI name ("euler", "euler_a", "heun", "dpm2", "dpm2_a", "lms", "ddim", "ddpm",
 * "pndm" (alias "plms"), "dpm++2m", "dpm++3m", "dpm++2m_sde", "dpm++sde", "dpm++2s", "unipc", "deis", "lcm", "tcd") and
 * schedule ("default", "karras", "exponential", "beta", "leading", "linspace", "trailing" with alias "sgm_uniform")
 * that keeps the betas, prediction type and training length of `base`, as diffusers' from_config does. Unknown names
 * fail with TT_ERROR_ARGUMENT listing the known ones. NULL sampler keeps base's class. */
tt_status tt_scheduler_config_derive(const tt_scheduler_config *base, const char *sampler, const char *schedule,
                                     tt_scheduler_config **config, tt_error *err);

/* CLI name of sampler `index`, NULL past the last; static storage. */
const char *tt_scheduler_sampler_name(size_t index);

/* How A1111's infotext names this config: "Euler a", "DPM++ 2M", and "Karras", "Automatic", ...; static storage. */
const char *tt_scheduler_config_display_name(const tt_scheduler_config *config);
const char *tt_scheduler_config_schedule_name(const tt_scheduler_config *config);

/* diffusers class name, e.g. "EulerDiscreteScheduler"; static storage. */
const char *tt_scheduler_config_class(const tt_scheduler_config *config);
tt_prediction tt_scheduler_config_prediction(const tt_scheduler_config *config);

/* SHA-256 of the config's fields, whatever their order in the text: equal for configs that were given alike. 64 hex
 * digits and a terminator. */
tt_status tt_scheduler_config_digest(const tt_scheduler_config *config, char hex[65], tt_error *err);

void tt_scheduler_config_set_prediction(tt_scheduler_config *config, tt_prediction prediction);

typedef struct tt_scheduler tt_scheduler;

/* Builds the run of n_steps (1..1000) over samples of n_sample floats. strength in (0, 1]: img2img starts later, as
 * diffusers' get_timesteps does; 1 is the whole run. eta: DDIM/TCD stochasticity (TCD's gamma). Free with destroy. */
tt_status tt_scheduler_create(const tt_scheduler_config *config, uint32_t n_steps, float strength, float eta,
                              size_t n_sample, tt_scheduler **scheduler, tt_error *err);
void tt_scheduler_destroy(tt_scheduler *scheduler);

/* Number of model calls and the timestep of call i (float: Euler's linspace timesteps are fractional). */
uint32_t tt_scheduler_n_calls(const tt_scheduler *scheduler);
double tt_scheduler_timestep(const tt_scheduler *scheduler, uint32_t call);

/* diffusers' `scheduler.sigmas` of this run (whole run, before strength); NULL and 0 for classes without. */
const float *tt_scheduler_sigmas(const tt_scheduler *scheduler, size_t *n_sigmas);

/* Multiplies unit noise to make the starting sample. */
float tt_scheduler_init_noise_sigma(const tt_scheduler *scheduler);

/* out[n] = the model's input for call i from sample x[n]; in place is allowed. */
void tt_scheduler_scale_input(const tt_scheduler *scheduler, uint32_t call, const float *sample, float *out);

/* True when call i draws noise (Euler a also draws at its last step, as diffusers does). */
bool tt_scheduler_needs_noise(const tt_scheduler *scheduler, uint32_t call);

/* One step: model_output[n] at call i, sample[n] is replaced by the next sample. noise[n] is read when
 * tt_scheduler_needs_noise. Calls must be made in order. */
tt_status tt_scheduler_step(tt_scheduler *scheduler, uint32_t call, const float *model_output, const float *noise,
                            float *sample, tt_error *err);

/* out = original noised to the level of call i (img2img start, inpaint blending). */
void tt_scheduler_add_noise(const tt_scheduler *scheduler, uint32_t call, const float *original, const float *noise,
                            float *out);

/* ---- scheduler-state.c: a run that is stopped and goes on elsewhere ---- */

enum { TT_SCHEDULER_COUNTERS = 3 };

/* Number of samples that the state holds: it is this times n_sample floats. The product fits: the scheduler itself
 * holds as many. */
uint32_t tt_scheduler_state_samples(const tt_scheduler *scheduler);

/* Writes the state after the calls made so far to values[samples][n_sample] and counters. */
void tt_scheduler_save(const tt_scheduler *scheduler, float *values, uint32_t counters[TT_SCHEDULER_COUNTERS]);

/* Takes a saved state: a scheduler made with the same arguments goes on after the calls that were made, and every later
 * sample has the bits that it would have had. Counters that cannot be (from a damaged or hostile file) fail with
 * TT_ERROR_FORMAT and change nothing. */
tt_status tt_scheduler_restore(tt_scheduler *scheduler, const float *values,
                               const uint32_t counters[TT_SCHEDULER_COUNTERS], tt_error *err);

#endif
