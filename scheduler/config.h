/* config.h - what is known of each scheduler class: shared by config.c and config-names.c, private to scheduler/. */
#ifndef TT_SCHEDULER_CONFIG_H
#define TT_SCHEDULER_CONFIG_H

#include "scheduler/sampler.h"

/* Which groups of fields a class has. A field that the class lacks is ignored, as the reference does. */
enum {
    TT_HAS_SPACING = 1u << 0,     /* timestep_spacing, steps_offset */
    TT_HAS_SIGMAS = 1u << 1,      /* use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas */
    TT_HAS_LU = 1u << 2,          /* use_lu_lambdas, euler_at_final */
    TT_HAS_FINAL_SIGMA = 1u << 3, /* final_sigmas_type */
    TT_HAS_RESCALE = 1u << 4,     /* rescale_betas_zero_snr */
    TT_HAS_CLIP = 1u << 5,        /* clip_sample, clip_sample_range */
    TT_HAS_ALPHA_ONE = 1u << 6,   /* set_alpha_to_one */
    TT_HAS_THRESHOLD = 1u << 7,   /* thresholding */
    TT_HAS_SOLVER = 1u << 8,      /* solver_order, solver_type, lower_order_final */
    TT_HAS_ALGORITHM = 1u << 9,   /* algorithm_type, lambda_min_clipped, variance_type of the DPM-Solver classes */
    TT_HAS_ORIGINAL = 1u << 10    /* original_inference_steps, timestep_scaling */
};

typedef struct tt_scheduler_class {
    const char *name;
    uint32_t fields;
    uint32_t predictions; /* bit 1 << tt_prediction */
    /* Defaults that differ between classes. */
    double beta_start, beta_end;
    tt_beta_schedule beta_schedule;
    tt_spacing spacing;
    bool clip_sample, alpha_to_one, lower_order_final;
} tt_scheduler_class;

/* The description of a class; static storage. */
const tt_scheduler_class *tt_scheduler_class_of(tt_sampler sampler);

/* Makes a config of a parsed object and keeps a reference to it. */
tt_status tt_scheduler_config_from_object(json_t *fields, tt_scheduler_config **config, tt_error *err);

/* Fails when the sampler cannot work with the config's prediction type. */
tt_status tt_scheduler_check_prediction(const tt_scheduler_config *config, tt_error *err);

#endif
