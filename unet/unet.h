/* unet.h - the denoising network: UNet2DConditionModel (Rombach et al., arXiv 2112.10752; SDXL, 2307.01952). */
#ifndef TT_UNET_UNET_H
#define TT_UNET_UNET_H

#include "graph/graph.h"
#include "graph/tuner.h"
#include "unet/unet-config.h"

typedef struct tt_unet tt_unet;

/* Shape of a pass; a graph is built for each new shape and kept until the next. */
typedef struct tt_unet_shape {
    uint32_t batch, height, width; /* latent positions */
    uint32_t n_tokens;             /* rows of the context: 77 per prompt chunk */
    bool trace;                    /* keep the outputs of the blocks readable, for debugging and checks */
    uint32_t reuse_depth;   /* 0, or: keep what comes up from below the last reuse_depth residual blocks of the up path
                               (1 to tt_unet_n_up), so that tt_unet_run_reusing can run */
    uint32_t kv_downsample; /* resolutions, from the finest with attention on, whose self-attention takes keys and
                               values from every second row and column */
} tt_unet_shape;

/* What a pass is conditioned on, constant over the steps of a run. Arrays are plain float. */
typedef struct tt_unet_condition {
    const float *context;       /* [batch][n_tokens][cross_attention_dim] */
    const float *text_embeds;   /* SDXL: [batch][addition_input_dim - 6 * addition_time_dim], else NULL */
    const float *time_ids;      /* SDXL: [batch][6], else NULL */
    const float *timestep_cond; /* LCM: [batch][time_cond_dim], NULL: zeros */
} tt_unet_condition;

/* kernels and config are copied; weights stay the caller's and must outlive the object. Nothing is uploaded yet. */
tt_status tt_unet_create(const tt_kernels *kernels, const tt_unet_config *config, tt_weights *weights, tt_unet **unet,
                         tt_error *err);
void tt_unet_destroy(tt_unet *unet);

/* Builds (or keeps) the graph of a shape; uploads the weights the first time. */
tt_status tt_unet_prepare(tt_unet *unet, const tt_unet_shape *shape, tt_error *err);

/* The first half of it: returns while other threads pack the weights. tt_unet_prepare, for this shape or another, waits
 * for them; tt_unet_abandon stops them when it will not come, and does nothing when it has. */
tt_status tt_unet_begin(tt_unet *unet, const tt_unet_shape *shape, tt_error *err);
void tt_unet_abandon(tt_unet *unet);

/* From the next prepare on graphs lack what `removed` says, which must be at least what the config given to
 * tt_unet_create lacks, with the same heads; no weights are packed anew. For finding out what can be removed. */
void tt_unet_try(tt_unet *unet, const tt_unet_removed *removed);

/* Measures the variants of a shape's ops (graph/tuner.h). The next prepare builds the graph anew. */
tt_status tt_unet_tune(tt_unet *unet, const tt_unet_shape *shape, tt_tuner *tuner, tt_error *err);

/* Sets the condition for the following runs. SDXL models need text_embeds and time_ids. */
tt_status tt_unet_set_condition(tt_unet *unet, const tt_unet_condition *condition, tt_error *err);

/* Tells all timesteps of a run in the order of its passes, so that their embeddings are computed together before the
 * first one. Passes at other timesteps are possible too; each computes its own then. */
tt_status tt_unet_set_timesteps(tt_unet *unet, const double *timesteps, size_t n, tt_error *err);

/* One pass: sample [batch][in_channels][h][w] at timesteps[batch] -> out [batch][out_channels][h][w]. Blocking. */
tt_status tt_unet_run(tt_unet *unet, const float *sample, const double *timesteps, float *out, tt_error *err);

/* The same with less work, for shapes with a reuse_depth: conv_in, the blocks of the down path whose skips are needed,
 * the last reuse_depth residual blocks of the up path (with their attention) and conv_out run; what is deeper is taken
 * from the last tt_unet_run of this shape, which must have been (DeepCache: Ma et al., arXiv 2312.00858). */
tt_status tt_unet_run_reusing(tt_unet *unet, const float *sample, const double *timesteps, float *out, tt_error *err);

/* Residual blocks of the up path: the largest reuse_depth. */
uint32_t tt_unet_n_up(const tt_unet_config *config);

/* Outputs of blocks after a run of a traced shape, named as diffusers names the modules. Index 0, 1, ...; false past
 * the last. Pictures are [batch][channels][h][w]; with *channels_last the values are [batch][h * w][channels]. */
bool tt_unet_trace_at(const tt_unet *unet, size_t index, const char **name, tt_plane *shape, bool *channels_last);
tt_status tt_unet_trace_read(tt_unet *unet, const char *name, float *values, size_t n, tt_error *err);

/* Limits the weights on the device from the next prepare on, see tt_weight_store_set_limit. A limit other than the one
 * in force frees weights and graph. */
void tt_unet_set_weight_limit(tt_unet *unet, uint64_t resident_bytes, uint32_t n_slots);

/* Frees the graph's activations (weights stay); release_device also the weights: the next prepare uploads again and the
 * condition must be set again. */
void tt_unet_release_graph(tt_unet *unet);
void tt_unet_release_device(tt_unet *unet);

/* What a pass of a shape needs and does, and (in *store, see tt_graph_forecast_of) which weights it uses; without a
 * device. */
tt_status tt_unet_forecast(const tt_kernels *kernels, const tt_unet_config *config, tt_weights *weights,
                           const tt_unet_shape *shape, tt_weight_store **store, tt_graph_forecast *forecast,
                           tt_error *err);

/* Device bytes of weights that stay there and of the current graph's activations; launches of one pass. */
uint64_t tt_unet_weight_bytes(const tt_unet *unet);
size_t tt_unet_arena_bytes(const tt_unet *unet);
size_t tt_unet_launches(const tt_unet *unet);

/* The launches of a pass, for profiles; NULL before prepare and when weights pass through. */
tt_recorder *tt_unet_recorder(tt_unet *unet);

/* The store of its weights, to observe or replace them (graph/observe.h); made when it is not there yet, and gone after
 * tt_unet_release_device. */
tt_status tt_unet_store(tt_unet *unet, tt_weight_store **store, tt_error *err);

/* Sinusoidal embedding of timesteps [n] -> out [n][dim] (Vaswani et al. 2017; cos first when flip_sin_to_cos). */
void tt_timestep_embedding(const double *timesteps, size_t n, uint32_t dim, bool flip_sin_to_cos, double freq_shift,
                           float *out);

#endif
