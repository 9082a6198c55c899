/* model.h - what a tt_model holds; used inside this room. */
#ifndef TT_PIPELINE_MODEL_H
#define TT_PIPELINE_MODEL_H

#include "model-file/model-files.h"
#include "pipeline/context.h"
#include "pipeline/forecasts.h"
#include "scheduler/scheduler.h"
#include "text-encoder/clip.h"
#include "text-encoder/tokenizer.h"
#include "unet/unet.h"
#include "vae/vae.h"

#include <stdatomic.h>

typedef struct tt_condition tt_condition;

/* A UNet call of a running request, as it is told to a watcher. Arrays are valid during the call. */
typedef struct tt_watched_call {
    uint32_t call, n_calls;
    double timestep;
    const tt_condition *condition;
    const float *input;  /* what the UNet saw, without the copies for guidance: [in_channels][h][w] */
    const float *latent; /* after the step: [latent_channels][h][w] */
} tt_watched_call;

/* Sees what goes through a model while it runs requests (comparisons, calibration); a zeroed one sees nothing. */
typedef struct tt_watcher {
    void (*call)(void *user, const tt_watched_call *call);
    void *user;
} tt_watcher;

typedef enum tt_family_kind { TT_FAMILY_SD1 = 0, TT_FAMILY_SD2, TT_FAMILY_SDXL } tt_family_kind;

enum { TT_MAX_CLIPS = 2 };

/* One text encoder with its tokenizer. */
typedef struct tt_text_part {
    bool present;
    tt_clip_config config;
    tt_weights *weights;
    tt_clip *clip;
    tt_tokenizer *tokenizer; /* made when first used */
} tt_text_part;

struct tt_model {
    tt_context *context;
    tt_model_files *files;
    tt_model_files *vae_files, *encoder_files; /* of a VAE given apart; encoder_files only for TAESD pairs */
    char *vocabulary_path;
    char name[128];
    char hash[16], file_digest[65]; /* made when first asked for */
    bool hash_known;
    tt_family_kind family;
    tt_precision wanted_precision;
    bool is_half;             /* storage in use */
    tt_arithmetic arithmetic; /* of the UNet, where the device can */
    tt_text_part text[TT_MAX_CLIPS];
    bool has_unet, has_vae;
    tt_unet_config unet_config;
    tt_weights *unet_weights;
    tt_unet *unet;
    tt_vae_config vae_config;
    tt_weights *vae_weights, *vae_encoder_weights;
    bool taesd_is_decoder[2]; /* layouts of original TAESD names: {true, false} */
    bool vae_tiling;
    tt_vae_tile decoder_tile, encoder_tile; /* of the request that runs; zeros: whole pictures */
    tt_vae *vae;
    tt_scheduler_config *scheduler;
    bool force_zeros; /* SDXL: no negative prompt means zero embeddings */
    uint32_t default_steps, default_width, default_height;
    float default_cfg_scale;
    uint64_t n_ignored;
    bool counted; /* counts as alive in the context */
    tt_watcher watcher;
    float *preview_projection; /* [3][latent_channels + 1], the file's or fitted when first used */
    tt_forecasts *forecasts;   /* made when first used */
    atomic_bool cancelled;
};

/* load.c / checkpoint.c: fill in a model from its files. */
tt_status tt_model_read_folder(tt_model *model, tt_error *err);     /* diffusers folder or tintype file */
tt_status tt_model_read_checkpoint(tt_model *model, tt_error *err); /* bare single file */
tt_status tt_model_read_component(tt_model *model, tt_error *err);  /* one component's folder */

/* Replaces the VAE by the one of a file or folder. */
tt_status tt_model_read_vae(tt_model *model, const char *path, tt_error *err);

/* Checks that the parts fit together, so that a later stage cannot meet a wrong width. */
tt_status tt_model_check_fit(const tt_model *model, tt_error *err);

/* Config text of one VAE and its tensors, in diffusers or old names. */
tt_status tt_model_take_vae(tt_model *model, const tt_model_files *files, const char *config, const char *role,
                            tt_error *err);

/* Wraps a component's files as tensors; translate and layout as in tt_weights_create. */
tt_status tt_model_component(const tt_model_files *files, const char *role, const char *extra_prefix,
                             tt_translate_fn translate, const void *layout, tt_weights **weights, tt_error *err);

/* The tensor of that name in a single file, NULL when there is none. */
const tt_tensor *tt_model_file_tensor(const tt_model_files *files, const char *name);

/* True when a single file holds a tensor of that name. */
bool tt_model_file_has(const tt_model_files *files, const char *name);

/* Devices objects, made on first use. Fail with a sentence when the model lacks the part or no device is open. */
tt_status tt_model_need_text(tt_model *model, uint32_t index, tt_error *err);
tt_status tt_model_need_unet(tt_model *model, tt_error *err);
tt_status tt_model_need_vae(tt_model *model, tt_error *err);
tt_status tt_model_need_tokenizer(tt_model *model, uint32_t index, tt_error *err);

/* Texts of the tokenizer that a model without one gets from CLIP's vocabulary (all new, free()). Fails where
 * tt_model_need_tokenizer would. */
tt_status tt_model_vocabulary_texts(tt_model *model, uint32_t index, char **vocab, char **merges, char **config,
                                    tt_error *err);

/* "sd1", "sd2", "sdxl"; static storage. */
const char *tt_model_family_name(const tt_model *model);

/* Weights of the UNet, without one of the VAE, without that of the text encoder. */
const tt_weights *tt_model_main_weights(const tt_model *model);
/* Device, forms and kernel family. takes_int8: the UNet and VAEs, which choose their int8 layers themselves; text
 * encoders are a small part of the work. Fails when no device is open. */
tt_status tt_model_kernels(const tt_model *model, bool is_half, bool takes_int8, tt_kernels *kernels, tt_error *err);

/* AUTO multiplies in float from now on: for measurements of weights, where other products would add noise. To be called
 * before the first stage runs. */
void tt_model_pin_float(tt_model *model);

/* The form in use: what the wanted one comes down to on the open device. */
tt_precision tt_model_precision(const tt_model *model);

/* Its name and, in brackets, the instructions that multiply: "int8 (amx)". Made for tt_resume_request. */
void tt_model_form_name(const tt_model *model, char name[32]);

/* True when the VAE stores half: SDXL's KL autoencoder leaves half's range inside its decoder and stays float unless
 * half was asked for by name. */
bool tt_model_vae_is_half(const tt_model *model);

/* All 64 digits of the hash; "" for folders and where the file cannot be read. */
const char *tt_model_file_digest(tt_model *model);

#endif
