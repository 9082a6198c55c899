/* weights.h - the tensors of one component (UNet, VAE, text encoder) wherever they are stored.
 *
 * Stages ask for tensors by their canonical name: the diffusers/transformers state-dict name without any component
 * prefix, e.g. "down_blocks.0.resnets.0.conv1.weight" or "text_model.embeddings.token_embedding.weight". A weight
 * source finds them in one or more files, through an optional translation of names (LDM checkpoints). */
#ifndef TT_MODEL_FILE_WEIGHTS_H
#define TT_MODEL_FILE_WEIGHTS_H

#include "model-file/tensor-file.h"

/* Where a canonical tensor is found in a file. */
typedef struct tt_tensor_place {
    char name[TT_MAX_NAME]; /* without the source's prefix */
    uint32_t slice_index,
        n_slices;    /* n_slices > 1: this tensor is part slice_index of dims[0] of the stored one (fused in_proj) */
    bool transposed; /* the stored 2-D tensor is [in, out] instead of [out, in] */
} tt_tensor_place;

/* Writes the place of a canonical name; false when the layout has no such tensor. Pure function of its arguments. */
typedef bool (*tt_translate_fn)(const void *layout, const char *canonical, tt_tensor_place *place);

typedef struct tt_weights tt_weights;

/* A found tensor. `transposed` as in tt_tensor_place (dims are the canonical ones, data is as stored).
 *
 * w8c, int8 per output channel: the tensor NAME is I8 and stands in one file with NAME_scale (F32, [dims[0]]) and, when
 * it is asymmetric, NAME_offset (F32, [dims[0]]): value = scale * q + offset. dims[0] is the canonical one. A slice of
 * such a tensor gets the same slice of scale and offset. */
typedef struct tt_weight {
    tt_tensor tensor;
    bool transposed;
    const void *scale, *offset; /* w8c: floats, may be unaligned; NULL for other types, offset also when symmetric */
} tt_weight;

/* Makes a source over n_files open files (kept by the caller, or owned when owns_files). `prefix` (may be "") stands
 * before every stored name. translate may be NULL (identity); layout is kept by reference. */
tt_status tt_weights_create(tt_tensor_file *const *files, size_t n_files, bool owns_files, const char *prefix,
                            tt_translate_fn translate, const void *layout, tt_weights **weights, tt_error *err);
void tt_weights_destroy(tt_weights *weights);

/* From now on tensors that `over` has are taken from there, by their canonical names, before those of `weights` itself,
 * which owns it from now on; NULL: none any more. Counts and sums stay those of the files. */
void tt_weights_put_over(tt_weights *weights, tt_weights *over);

/* Gives the pages of all files of the source back to the system (tt_tensor_file_drop_pages). */
void tt_weights_drop_pages(const tt_weights *weights);

/* True when the canonical tensor is there. */
bool tt_weights_has(const tt_weights *weights, const char *canonical);

/* Shape and data of a canonical tensor, no expectation (deriving an architecture). False when missing. */
bool tt_weights_peek(const tt_weights *weights, const char *canonical, tt_weight *weight);

/* Finds a canonical tensor and checks its shape. n_dims 2 accepts a stored [o, i, 1, 1] and n_dims 4 with dims[2..3] of
 * 1 a stored [o, i] (1x1 convolution or linear, both are in use for the same layer); n_dims 4 accepts a stored
 * [o, i * kh * kw], which is how convolutions are kept in blocks; and n_dims 2 a stored [o, i, kh, kw] whose rows are
 * as long: a convolution of unfolded inputs. Floating types and block types are accepted, and w8c but for vectors; a
 * tensor of blocks is not cut across one. The sentence names file, stored name, expected and found shape. Marks the
 * tensor (and the scale and offset of w8c) as used. */
tt_status tt_weights_get(tt_weights *weights, const char *canonical, uint32_t n_dims, const uint64_t *dims,
                         tt_weight *weight, tt_error *err);

/* Stored tensors under this source's prefix that no stage has asked for, and all tensors under it. */
size_t tt_weights_unused(const tt_weights *weights);
size_t tt_weights_count(const tt_weights *weights);

/* Sum of elements of all used tensors so far. */
uint64_t tt_weights_parameters(const tt_weights *weights);

/* Sum of elements of all floating and quantized tensors under the prefix, used or not, without scales and offsets. */
uint64_t tt_weights_elements(const tt_weights *weights);

/* True when every tensor of weights under the prefix is F16 or quantized (vectors, that is norms and biases, of
 * quantized models may be wider): half storage loses nothing that the file still has. */
bool tt_weights_all_half(const tt_weights *weights);

/* Name of the type that holds most elements under the prefix ("F16", "Q4_K", "w8c"), "" without tensors. */
const char *tt_weights_type(const tt_weights *weights);

/* Bytes of all tensors under the prefix, used or not. */
uint64_t tt_weights_bytes(const tt_weights *weights);

#endif
