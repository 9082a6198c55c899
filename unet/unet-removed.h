/* unet-removed.h - UNets that lack residual blocks, transformer blocks or attention heads: what a config says of it,
 * and names of the parts. The blocks that stay see the shapes that they know:
 *
 * - a removed transformer block is the identity; an attention module without any is gone as a whole, with its norm and
 *   projections;
 * - a removed residual block is the identity where channels stay the same; where they change or a skip is joined, its
 *   conv_shortcut stays alone;
 * - an attention layer with k of n heads has k times the block's head size as rows of to_q, to_k, to_v and as columns
 *   of to_out.0. Which heads were kept is nobody's concern. */
#ifndef TT_UNET_UNET_REMOVED_H
#define TT_UNET_UNET_REMOVED_H

#include "base/json.h"
#include "unet/unet-config.h"

/* A place of the pass: a residual block and the attention module behind it. */
typedef struct tt_unet_place {
    char path[24];     /* "down_blocks.1", "mid_block" */
    uint32_t index;    /* of both in path: "resnets.0", "attentions.0" */
    uint32_t level;    /* of resolution, 0: the finest */
    uint32_t channels; /* behind it */
    uint32_t n_layers; /* transformer blocks, 0: no attention module */
    uint32_t n_heads;
} tt_unet_place;

/* Residual blocks of the architecture, removed ones too; at most TT_UNET_MAX_RESNETS. index is below that. */
uint32_t tt_unet_n_places(const tt_unet_config *config);
tt_unet_place tt_unet_place_at(const tt_unet_config *config, uint32_t index);

/* Places of residual block `layer` of a down or up block and of the mid block. */
uint32_t tt_unet_down_place(const tt_unet_config *config, uint32_t block, uint32_t layer);
uint32_t tt_unet_mid_place(const tt_unet_config *config, uint32_t layer);
uint32_t tt_unet_up_place(const tt_unet_config *config, uint32_t block, uint32_t layer);

/* True when the self-attention behind a place is at one of the n finest resolutions that have attention. */
bool tt_unet_is_fine(const tt_unet_config *config, uint32_t place, uint32_t n);

/* A part that can be named. */
typedef enum tt_unet_unit_kind {
    TT_UNIT_RESIDUAL = 0, /* "down_blocks.1.resnets.0" */
    TT_UNIT_ATTENTION,    /* "mid_block.attentions.0", all transformer blocks of a place */
    TT_UNIT_TRANSFORMER,  /* "mid_block.attentions.0.transformer_blocks.0" */
    TT_UNIT_HEADS         /* "mid_block.attentions.0.transformer_blocks.0.attn1": heads of one attention layer */
} tt_unet_unit_kind;

typedef struct tt_unet_unit {
    tt_unet_unit_kind kind;
    uint32_t place;
    uint32_t layer; /* TRANSFORMER and HEADS */
    bool is_cross;  /* HEADS: attn2 */
} tt_unet_unit;

/* Writes the name; `name` has room for TT_MAX_NAME bytes. */
void tt_unet_unit_name(const tt_unet_config *config, const tt_unet_unit *unit, char *name);

/* The unit of a name; false when the architecture has none of it, removed or not. */
bool tt_unet_unit_find(const tt_unet_config *config, const char *name, tt_unet_unit *unit);

/* What is left. */
bool tt_unet_has_residual(const tt_unet_config *config, uint32_t place);
bool tt_unet_has_transformer(const tt_unet_config *config, uint32_t place, uint32_t layer);
bool tt_unet_has_attention(const tt_unet_config *config, uint32_t place);
uint32_t tt_unet_heads_left(const tt_unet_config *config, uint32_t place, uint32_t layer, bool is_cross);

/* True when anything is removed. */
bool tt_unet_is_pruned(const tt_unet_config *config);

/* Marks a unit that is not HEADS as removed, again or not. The last residual block cannot go: fails. */
tt_status tt_unet_remove(tt_unet_config *config, const tt_unet_unit *unit, tt_error *err);

/* Sets the heads that a HEADS unit keeps, 1 to the block's number. Its transformer block must be there. */
tt_status tt_unet_keep_heads(tt_unet_config *config, const tt_unet_unit *unit, uint32_t n_kept, tt_error *err);

/* Reads "removed_blocks" (list of names) and "attention_heads" (object: name of an attention layer, heads) of a config
 * whose other fields have been read and checked. */
tt_status tt_unet_removed_read(const json_t *root, const char *what, tt_unet_config *config, tt_error *err);

#endif
