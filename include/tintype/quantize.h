/* quantize.h - a model made smaller; part of tintype.h. */
#ifndef TINTYPE_QUANTIZE_H
#define TINTYPE_QUANTIZE_H

#include "tintype/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What tt_quantize is doing. */
typedef enum tt_quantize_phase {
    TT_QUANTIZE_CALIBRATE = 0, /* running prompts through the model to see how large its activations are */
    TT_QUANTIZE_MEASURE = 1,   /* finding out how much each layer's rounding changes pictures */
    TT_QUANTIZE_WRITE = 2
} tt_quantize_phase;

/* Given to the progress callback. `done` of `total` pictures (CALIBRATE), measurements (MEASURE) or bytes of the input
 * (WRITE) are finished; `name` is the prompt, layer or tensor in work, valid during the call. */
typedef struct tt_quantize_progress {
    tt_quantize_phase phase;
    uint64_t done, total;
    const char *name;
    double phase_ms; /* time spent in this phase so far */
} tt_quantize_progress;

/* Return false to cancel: the call ends with TT_ERROR_CANCELLED and leaves no file. */
typedef bool (*tt_quantize_progress_fn)(void *user, const tt_quantize_progress *progress);

/* One job. Fill with tt_quantize_params_default first. Pointers must stay valid during the call.
 *
 * Types are "f32", "f16", "q8_0", "q6_k", "q5_1", "q5_k", "q5_0", "q4_1", "q4_k", "q4_0", "q3_k", "q2_k", "w8c" (int8
 * with a scale for each output channel) and "w8ca" (and an offset). Where a row of weights has no whole number of
 * blocks the next larger type of smaller blocks is taken, then f16. Norms and biases stay as they are, and so do,
 * unless `pure` is set, the few weights that cost little and matter much: first and last convolutions as f16, time
 * embeddings as q8_0. */
typedef struct tt_quantize_params {
    tt_model_params model; /* the input, anything that tt_model_load reads; precision is used for calibration */
    const char *output;    /* the GGUF file to write; never one that is read */
    const char *type;      /* of matrices and token tables; may be NULL with a budget */
    const char *rules;     /* NULL, or "REGEX=TYPE,...": POSIX extended expressions on names such as
                              "unet.mid_block.attentions.0.proj_in.weight"; the first that matches decides */
    bool pure;             /* no exceptions but those of `rules` */
    bool plain_fit;        /* plain rounding, byte for byte what gguf-py writes; else the least (weighted) error */
    const char *prompts;   /* NULL, or prompts, one a line: the model is run on them and errors are weighted by the
                              activations that each weight meets; needs an open device */
    float prune;           /* 0..1: this share of each layer's weights, the smallest, becomes 0. The file compresses
                              better; it gets no faster. Types that cannot hold 0 exactly are replaced by others. */
    const char *prune_structured; /* NULL, a share as "0.25", or names as
                              "mid_block.resnets.1,up_blocks.1.attentions.0": residual blocks, transformer blocks and
                              attention heads of the UNet that are left out, so that it is smaller and faster. Of a
                              share those that change its output least are found by measuring, and the ranking is
                              written to the output's name with ".pruning.json". A named attention layer takes the
                              number of heads to keep, "...attn1:4". Needs an open device and a whole model */
    uint64_t size_budget;         /* > 0: types are chosen for each layer so that the file is at most this long ... */
    double fidelity_db; /* > 0: ... or so that pictures are expected to have this PSNR to the input's; both need an
                           open device, or a table */
    const char *table;  /* NULL, or a file that keeps the measured sensitivity of all layers: read when it is there,
                           else written. NULL with a budget: written to the output's name with ".sensitivity.json" */
    uint32_t n_threads; /* 0: all processors */
    tt_quantize_progress_fn progress; /* may be NULL */
    void *progress_user;
} tt_quantize_params;

TT_API void tt_quantize_params_default(tt_quantize_params *params);

enum { TT_QUANTIZE_MAX_TYPES = 16 };

/* What became of the weights of one type. Errors are sums of squares over sums of squares, weighted by activations
 * where those were measured. */
typedef struct tt_quantize_type_report {
    char type[8];
    uint64_t n_tensors, n_values, n_bytes;
    double error; /* as written */
    double plain; /* what plain rounding would have given over what the fit gave, from a sample of rows; 1: no better,
                     0: nothing was sampled */
    double unweighted; /* the same for the fit that does not know the activations */
} tt_quantize_type_report;

/* A layer's place in the table of a budget. */
typedef struct tt_quantize_layer {
    char name[256]; /* of the first of the layers that share it */
    char type[8];   /* chosen */
    uint64_t n_values;
    double sensitivity; /* mean squared change of the picture (0..1) per squared relative error of the weights */
    double error;       /* expected of the chosen type, mean squared */
} tt_quantize_layer;

/* A part of the UNet in the ranking of prune_structured. */
typedef struct tt_quantize_unit {
    char name[256];
    double change; /* of the UNet's output without this part alone: squared, relative; INFINITY where it broke */
    uint64_t n_values;
    double flops;    /* that it takes of a pass */
    bool is_removed; /* alone or with what it is in */
    uint32_t n_heads,
        n_heads_kept; /* attention layers: change, n_values and flops are those of a quarter of its heads */
} tt_quantize_unit;

/* What was done. Free with tt_quantize_report_free. */
typedef struct tt_quantize_report {
    uint64_t bytes_in, bytes_out; /* tensors read; the file written */
    uint32_t n_types;
    tt_quantize_type_report types[TT_QUANTIZE_MAX_TYPES]; /* largest first */
    double error;                                         /* of all quantized weights */
    uint64_t n_pruned, n_prunable; /* zeros in the written layers that were pruned; their values */
    double compressed_share;       /* pruned: what zlib makes of a sample of the file, of 1; 0: not tried */
    size_t n_layers;               /* of a budget: most sensitive first */
    tt_quantize_layer *layers;
    double predicted_db, measured_db; /* of a budget: PSNR from the table, and of a few small pictures with the weights
                                         as chosen (0 when a table was used) */
    size_t n_units;                   /* of prune_structured with a share: what costs least for what it saves first */
    tt_quantize_unit *units;
    uint64_t unet_values_in, unet_values_out; /* of prune_structured: parameters of the UNet ... */
    double unet_flops_in, unet_flops_out;     /* ... work of a pass over one picture ... */
    double structure_change;                  /* ... and relative squared change of its output, before anything is
                                                 rounded */
    double structure_ms, calibrate_ms, measure_ms, write_ms;
} tt_quantize_report;

/* Writes the model as one GGUF file in tintype's own layout, tensor by tensor: memory does not grow with the model
 * unless it is run (prompts, budgets). The file appears whole or not at all. report may be NULL. */
TT_API tt_status tt_quantize(tt_context *context, const tt_quantize_params *params, tt_quantize_report *report);
TT_API void tt_quantize_report_free(tt_quantize_report *report);

#ifdef __cplusplus
}
#endif

#endif
