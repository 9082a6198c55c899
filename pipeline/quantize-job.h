/* quantize-job.h - what the steps of tt_quantize share; used inside this room. */
#ifndef TT_PIPELINE_QUANTIZE_JOB_H
#define TT_PIPELINE_QUANTIZE_JOB_H

#include "pipeline/model.h"
#include "quantize/importance.h"
#include "quantize/rows.h"
#include "quantize/rules.h"

/* One tensor of the file to be written. */
typedef struct tt_job_tensor {
    char *name;            /* with the part's prefix: "unet.conv_in.weight" */
    const char *canonical; /* inside name, without it */
    tt_weights *weights;
    tt_weight weight; /* where it is read */
    tt_tensor_role role;
    uint32_t n_dims;
    uint64_t dims[4];
    uint64_t n_rows, n_columns; /* as a matrix; vectors are one row */
    uint32_t n_taps;
    size_t group;    /* tensors of one packed matrix share it, over all parts of the model */
    bool is_on_host; /* a matrix that the host multiplies with (text projection): stays plain */
    bool is_fixed;   /* its type is settled by its kind or a rule, no budget changes it */
    bool is_fragile; /* kept from pruning */
    tt_weight_type type;
} tt_job_tensor;

typedef struct tt_quantize_job {
    tt_context *context;
    const tt_quantize_params *params;
    tt_quantize_report *report;
    tt_model *model;
    tt_weight_type base; /* the type that was asked for, or the one that a budget starts from */
    tt_fit fit;
    uint32_t n_threads;
    tt_rules *rules;
    tt_importance *importance; /* NULL: not calibrated */
    tt_job_tensor *tensors;
    size_t n_tensors, capacity, n_groups;
    char source_hash[65];      /* SHA-256 of the file, or of the hashes of a folder's files */
    uint64_t n_bytes_left_out; /* by structural pruning: read of the input, but not listed */
    double phase_started_ms;
} tt_quantize_job;

/* Monotonic clock. */
double tt_job_now_ms(void);

/* Starts a phase's clock; reports progress; fails with TT_ERROR_CANCELLED when the caller wants to stop. */
void tt_job_begin_phase(tt_quantize_job *job);
tt_status tt_job_report(tt_quantize_job *job, tt_quantize_phase phase, uint64_t done, uint64_t total, const char *name,
                        tt_error *err);

/* prune-structured.c: leaves parts of the UNet out of the model, before its tensors are listed. */
tt_status tt_job_prune_structured(tt_quantize_job *job, tt_error *err);

/* quantize-list.c: every tensor that the model's graphs use. */
tt_status tt_job_list(tt_quantize_job *job, tt_error *err);
void tt_job_free_list(tt_quantize_job *job);

/* Importance of a tensor's columns (free()); NULL when none was measured. */
tt_status tt_job_columns(const tt_quantize_job *job, const tt_job_tensor *tensor, float **columns, tt_error *err);

/* quantize-types.c: the type of every tensor from base, rules and exceptions. */
void tt_job_choose_types(tt_quantize_job *job);

/* The type that a tensor gets when `type` is wanted for it: what its rows can hold and pruning needs. */
tt_weight_type tt_job_type_for(const tt_quantize_job *job, const tt_job_tensor *tensor, tt_weight_type type);

/* quantize-metadata.c: the texts of the file; free with tt_job_free_metadata. */
typedef struct tt_job_pair {
    char *key, *text; /* text NULL: number */
    uint32_t number;
} tt_job_pair;
typedef struct tt_job_metadata {
    tt_job_pair *pairs;
    size_t n, capacity;
} tt_job_metadata;
tt_status tt_job_make_metadata(tt_quantize_job *job, tt_job_metadata *metadata, tt_error *err);
void tt_job_free_metadata(tt_job_metadata *metadata);

/* quantize-source.c: the files that the model is read from: refuses to overwrite one, hashes them. */
tt_status tt_job_check_output(const tt_quantize_job *job, tt_error *err);
tt_status tt_job_hash_source(tt_quantize_job *job, tt_error *err);

/* quantize-write.c: encodes and writes everything. */
tt_status tt_job_write(tt_quantize_job *job, const tt_job_metadata *metadata, tt_error *err);

/* quantize-calibrate.c: runs the prompts and fills importance. */
tt_status tt_job_calibrate(tt_quantize_job *job, tt_error *err);

/* quantize-mixed.c: chooses the types that fit a budget. n_metadata_bytes is what the file holds besides tensors. */
tt_status tt_job_mix(tt_quantize_job *job, uint64_t n_metadata_bytes, tt_error *err);

#endif
