/* prune-heads.h - attention heads: which matter least, runs without some of them, and weights without them; used inside
 * this room. */
#ifndef TT_PIPELINE_PRUNE_HEADS_H
#define TT_PIPELINE_PRUNE_HEADS_H

#include "pipeline/prune-measure.h"
#include "unet/unet-removed.h"

/* One attention layer of a UNet. */
typedef struct tt_head_layer {
    tt_unet_unit unit;
    char name[TT_MAX_NAME]; /* "mid_block.attentions.0.transformer_blocks.0.attn1" */
    uint32_t n_heads, size; /* heads that its weights have; channels of one */
    uint32_t width;         /* channels that it reads for queries and writes */
    uint32_t n_source;      /* channels that it reads for keys and values */
    double *power;          /* [n_heads]: squares of what each adds to the output, its channels taken as independent */
    uint32_t *order;        /* [n_heads]: heads by power, smallest first; the first ones are cut first */
    uint32_t n_cut;         /* so many are cut in the end */
} tt_head_layer;

typedef struct tt_head_list {
    tt_prune_probe *probe;
    tt_head_layer *layers;
    size_t n_layers;
    bool can_try; /* false: the weights are quantized, so that tt_head_list_try cannot change them */
} tt_head_list;

/* Lists all attention layers of the probe's model; the probe has nothing but that yet. Free with tt_head_list_free. */
tt_status tt_head_list_create(tt_prune_probe *probe, tt_head_list *list, tt_error *err);
void tt_head_list_free(tt_head_list *list);

/* Runs the probe's states once to see what each head does, and puts them in order. */
tt_status tt_head_list_look(tt_head_list *list, tt_error *err);

/* The layer of a HEADS unit, NULL when its block is not there. */
tt_head_layer *tt_head_list_find(const tt_head_list *list, const tt_unet_unit *unit);

/* Lets the first n_cut heads of the order do nothing from now on, on the device alone; 0: all heads work again. */
tt_status tt_head_list_try(const tt_head_list *list, const tt_head_layer *layer, uint32_t n_cut, tt_error *err);

/* Values that cutting n heads saves. */
uint64_t tt_head_layer_values(const tt_head_layer *layer, uint32_t n);

/* Puts matrices without the cut heads over the model's UNet weights. They pass through a temporary file beside
 * `output`, which has no name any more when this returns. Layers with n_cut 0 are left alone. */
tt_status tt_head_list_cut(const tt_head_list *list, const char *output, tt_error *err);

#endif
