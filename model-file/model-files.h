/* model-files.h - what a user calls "a model": a diffusers folder, one component's folder, or a single file, which may
 * be safetensors or GGUF.
 *
 * This room finds and opens files and hands out texts; it knows nothing of architectures.
 * - Diffusers folder: model_index.json names the components; each has config.json (or scheduler_config.json,
 *   tokenizer files) and weights: diffusion_pytorch_model.safetensors or model.safetensors, variants ".fp16", or
 *   sharded with *.safetensors.index.json (every shard must be inside the folder: no "/" or ".." in its name).
 * - Tintype's own single file: metadata keys "tintype.model_index", "tintype.unet", "tintype.vae",
 *   "tintype.text_encoder", "tintype.text_encoder_2", "tintype.scheduler", "tintype.vocab", "tintype.merges",
 *   "tintype.tokenizer_config" (and "..._2") hold the same JSON texts; tensors are "unet.NAME", "vae.NAME",
 *   "text_encoder.NAME", ... in canonical names.
 * - Single-file LDM checkpoint: only tensors (and optional metadata); a JSON file beside it with the same stem is read
 *   as its config text when present.
 * Folders that hold only pickles (.bin/.ckpt/.pt) are refused with the reason and the way out. */
#ifndef TT_MODEL_FILE_MODEL_FILES_H
#define TT_MODEL_FILE_MODEL_FILES_H

#include "model-file/weights.h"

typedef enum tt_model_layout {
    TT_LAYOUT_DIFFUSERS = 0, /* folder with model_index.json */
    TT_LAYOUT_COMPONENT,     /* folder with config.json and weights of one component */
    TT_LAYOUT_TINTYPE,       /* one file that carries all configs in its metadata */
    TT_LAYOUT_SINGLE         /* one bare file */
} tt_model_layout;

typedef struct tt_model_files tt_model_files;

/* Opens PATH. Free with tt_model_files_close. */
tt_status tt_model_files_open(const char *path, tt_model_files **files, tt_error *err);
void tt_model_files_close(tt_model_files *files);

tt_model_layout tt_model_files_layout(const tt_model_files *files);
const char *tt_model_files_path(const tt_model_files *files);

/* Text of a config by role, NULL when the model has none: "model_index", "unet", "vae", "text_encoder",
 * "text_encoder_2", "scheduler", "vocab", "merges", "tokenizer_config", "vocab_2", "merges_2", "tokenizer_config_2",
 * "special_tokens", "special_tokens_2" (special_tokens_map.json),
 * "config" (the JSON beside a single file, or a component folder's config.json). */
const char *tt_model_files_text(const tt_model_files *files, const char *role);

/* Class name of a component in model_index.json ("UNet2DConditionModel"), NULL when absent. */
const char *tt_model_files_class(const tt_model_files *files, const char *role);

/* The open files of a component role ("unet", "vae", "text_encoder", "text_encoder_2"; "" for single files and
 * component folders). *list stays owned by files; *prefix is what stands before canonical names ("unet." in
 * tintype files, "" in folders and single files). Missing: n_list 0. */
void tt_model_files_component(const tt_model_files *files, const char *role, tt_tensor_file *const **list,
                              size_t *n_list, const char **prefix);

/* Metadata of a single file ("tintype.default_steps", "modelspec.title"), NULL when absent. */
const char *tt_model_files_metadata(const tt_model_files *files, const char *key);

#endif
