/* upscale-build.c - the networks as graphs. */
#include "upscale/upscale-build.h"

#include <stdio.h>
#include <string.h>

tt_upscale_form tt_upscale_form_of(const tt_upscale_config *c)
{
    if (c->kind == TT_UPSCALE_RRDB)
        return (tt_upscale_form){.unfold = 1, .fold = c->unshuffle, .grow = c->scale * c->unshuffle, .shuffle = 1};
    return (tt_upscale_form){.unfold = c->first_side == 5 ? 5 : 1, .fold = 1, .grow = 1, .shuffle = c->scale};
}

uint32_t tt_upscale_in_channels(const tt_upscale_config *c)
{
    tt_upscale_form form = tt_upscale_form_of(c);
    return c->n_channels * form.unfold * form.unfold * form.fold * form.fold;
}

uint32_t tt_upscale_out_channels(const tt_upscale_config *c)
{
    tt_upscale_form form = tt_upscale_form_of(c);
    return c->n_channels * form.shuffle * form.shuffle;
}

/* ---- names */

static bool set_name(tt_tensor_place *place, const char *name, int n)
{
    *place = (tt_tensor_place){.n_slices = 1};
    if (n < 0 || (size_t)n >= sizeof place->name)
        return false;
    memcpy(place->name, name, (size_t)n + 1);
    return true;
}

/* "convN.PART" of convolutions in a row. */
static bool row_name(const tt_upscale_config *c, uint32_t index, const char *part, tt_tensor_place *place)
{
    char name[TT_MAX_NAME];
    bool is_slope = strcmp(part, "slope") == 0;
    int n = strcmp(c->layout, "basicsr") == 0 ? snprintf(name, sizeof name, "body.%u.%s",
                                                         (unsigned)(2 * index + is_slope), is_slope ? "weight" : part)
            : strcmp(c->layout, "plain") == 0
                ? snprintf(name, sizeof name, "%s%u.%s", is_slope ? "prelu" : "conv", (unsigned)index, part)
                : -1;
    return set_name(place, name, n);
}

/* Key names of RRDBNet outside of its blocks. */
typedef struct tt_rrdb_name {
    const char *canonical, *basicsr, *esrgan;
} tt_rrdb_name;

static const tt_rrdb_name rrdb_names[] = {
    {"first", "conv_first", "conv_first"}, {"trunk", "conv_body", "trunk_conv"}, {"up1", "conv_up1", "upconv1"},
    {"up2", "conv_up2", "upconv2"},        {"hr", "conv_hr", "HRconv"},          {"last", "conv_last", "conv_last"},
};

/* Numbers of those layers in "model.N" of ESRGAN's old form; its trunk is behind the blocks inside "model.1.sub". */
static unsigned old_number(const tt_upscale_config *c, const char *layer)
{
    unsigned ups = (unsigned)c->n_ups;
    if (strncmp(layer, "up", 2) == 0)
        return layer[2] == '1' ? 3 : 6;
    return strcmp(layer, "hr") == 0 ? 3 * ups + 2 : strcmp(layer, "last") == 0 ? 3 * ups + 4 : 0;
}

/* "LAYER.PART" outside of the blocks. */
static bool rrdb_layer_name(const tt_upscale_config *c, const char *layer, const char *part, tt_tensor_place *place)
{
    char name[TT_MAX_NAME];
    bool is_old = strcmp(c->layout, "old-esrgan") == 0;
    for (size_t i = 0; i < sizeof rrdb_names / sizeof *rrdb_names; i++) {
        const tt_rrdb_name *known = &rrdb_names[i];
        if (strcmp(layer, known->canonical) != 0)
            continue;
        int n = !is_old ? snprintf(name, sizeof name, "%s.%s",
                                   strcmp(c->layout, "basicsr") == 0 ? known->basicsr : known->esrgan, part)
                : strcmp(layer, "trunk") == 0
                    ? snprintf(name, sizeof name, "model.1.sub.%u.%s", (unsigned)c->n_blocks, part)
                    : snprintf(name, sizeof name, "model.%u.%s", old_number(c, layer), part);
        return set_name(place, name, n);
    }
    return false;
}

static bool rrdb_block_name(const tt_upscale_config *c, const unsigned at[3], const char *part, tt_tensor_place *place)
{
    char name[TT_MAX_NAME];
    const char *layout = c->layout;
    int n = strcmp(layout, "basicsr") == 0
                ? snprintf(name, sizeof name, "body.%u.rdb%u.conv%u.%s", at[0], at[1], at[2], part)
            : strcmp(layout, "esrgan") == 0
                ? snprintf(name, sizeof name, "RRDB_trunk.%u.RDB%u.conv%u.%s", at[0], at[1], at[2], part)
                : snprintf(name, sizeof name, "model.1.sub.%u.RDB%u.conv%u.0.%s", at[0], at[1], at[2], part);
    return set_name(place, name, n);
}

/* Builders' names: "convN.PART" in a row; RRDBNet: "LAYER.PART" and "block N.M.K.PART" (block, dense block, layer). */
bool tt_upscale_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    const tt_upscale_config *c = layout;
    unsigned at[3] = {0};
    char layer[8];
    int end = 0;
    if (strcmp(c->layout, "plain") == 0 && strcmp(canonical, "out.bias") == 0)
        return set_name(place, canonical, (int)strlen(canonical));
    if (sscanf(canonical, "conv%3u.%n", &at[0], &end) == 1 && end > 0)
        return row_name(c, at[0], canonical + end, place);
    if (strcmp(c->layout, "plain") == 0)
        return false;
    if (sscanf(canonical, "block %3u.%1u.%1u.%n", &at[0], &at[1], &at[2], &end) == 3 && end > 0)
        return rrdb_block_name(c, at, canonical + end, place);
    return sscanf(canonical, "%7[a-z0-9].%n", layer, &end) == 1 && end > 0 &&
           rrdb_layer_name(c, layer, canonical + end, place);
}

/* ---- graphs */

typedef struct tt_conv_names {
    char layer[16], slope[32];
} tt_conv_names;

static tt_conv_names conv_names(uint32_t index)
{
    tt_conv_names names;
    (void)snprintf(names.layer, sizeof names.layer, "conv%u", (unsigned)index);
    (void)snprintf(names.slope, sizeof names.slope, "conv%u.slope", (unsigned)index);
    return names;
}

/* What follows convolution i of a row: nothing behind the last. */
static tt_activation row_activation(const tt_upscale_config *c, uint32_t index)
{
    return index + 1 == c->n_convs ? TT_ACT_NONE : c->kind == TT_UPSCALE_ESPCN ? TT_ACT_RELU : TT_ACT_PRELU;
}

/* Convolution i of a row: 3x3, or a linear layer over what the host unfolded or over single pixels. */
static tt_value row_conv(tt_graph *g, tt_value x, const tt_upscale_config *c, uint32_t index)
{
    tt_conv_names names = conv_names(index);
    tt_activation activation = row_activation(c, index);
    bool is_leaky = c->kind == TT_UPSCALE_UPCONV7, has_slope = activation == TT_ACT_PRELU && !is_leaky;
    float leak = is_leaky && activation == TT_ACT_PRELU ? 0.1f : 0.0f;
    /* upconv_7's transposed convolution is arranged as an ordinary one with the outputs of four pixels. */
    uint32_t n_out = index + 1 == c->n_convs ? tt_upscale_out_channels(c) : c->n_outs[index];
    bool is_luma = c->n_channels == 1; /* little work, and they do not add their input: multiplied in float */
    if (tt_upscale_conv_side(c, index) != 1 && (index > 0 || c->first_side == 3))
        return tt_graph_conv3x3(g, x,
                                &(tt_conv_op){.name = names.layer,
                                              .n_out = n_out,
                                              .keep_float = is_luma,
                                              .activation = activation,
                                              .slope = has_slope ? names.slope : NULL,
                                              .leak = leak});
    return tt_graph_linear(g, x,
                           &(tt_linear_op){.name = names.layer,
                                           .n_out = n_out,
                                           .keep_float = is_luma,
                                           .no_bias = c->kind == TT_UPSCALE_FSRCNN && index + 1 == c->n_convs,
                                           .activation = activation,
                                           .slope = has_slope ? names.slope : NULL,
                                           .leak = leak});
}

static tt_value build_row(tt_graph *g, tt_value x, const tt_upscale_config *c)
{
    for (uint32_t i = 0; i < c->n_convs; i++)
        x = row_conv(g, x, c, i);
    return x;
}

/* ---- RRDBNet */

static const float rrdb_leak = 0.2f, rrdb_share = 0.2f;

static tt_value rrdb_conv(tt_graph *g, tt_value x, const char *name, uint32_t n_out, tt_conv_mode mode, bool is_leaky)
{
    return tt_graph_conv3x3(g, x,
                            &(tt_conv_op){.name = name,
                                          .n_out = n_out,
                                          .mode = mode,
                                          .activation = is_leaky ? TT_ACT_PRELU : TT_ACT_NONE,
                                          .leak = is_leaky ? rrdb_leak : 0.0f});
}

/* What five dense layers add to x, the first channels of a room whose others they fill. */
static tt_value dense_layers(tt_graph *g, tt_value room, const tt_upscale_config *c, uint32_t block, uint32_t part)
{
    char name[48];
    for (uint32_t k = 1; k <= 5; k++) {
        uint32_t n_in = c->n_features + (k - 1) * c->n_growth;
        tt_value in = tt_graph_channels(g, room, 0, n_in);
        (void)snprintf(name, sizeof name, "block %u.%u.%u", (unsigned)block, (unsigned)part, (unsigned)k);
        if (k == 5)
            return rrdb_conv(g, in, name, c->n_features, TT_CONV_SAME, false);
        tt_graph_aim(g, room, n_in);
        (void)rrdb_conv(g, in, name, c->n_growth, TT_CONV_SAME, true);
    }
    return TT_NONE;
}

/* x + 0.2 * (three dense blocks, each d + 0.2 * dense layers). x: the first channels of *room; the result is so, too.
 */
static tt_value rrdb_block(tt_graph *g, tt_value x, tt_value *room, const tt_upscale_config *c, uint32_t block)
{
    uint32_t n_room = c->n_features + 4 * c->n_growth;
    tt_value d = x;
    for (uint32_t part = 1; part <= 3; part++) {
        tt_value added = dense_layers(g, *room, c, block, part), next = tt_graph_room(g, x, n_room);
        if (part < 3)
            tt_graph_aim(g, next, 0);
        d = tt_graph_elementwise(g, added, d, rrdb_share, 1.0f, 0.0f, TT_ACT_NONE);
        *room = next;
    }
    tt_graph_aim(g, *room, 0);
    return tt_graph_elementwise(g, d, x, rrdb_share, 1.0f, 0.0f, TT_ACT_NONE);
}

static tt_value build_rrdb(tt_graph *g, tt_value x, const tt_upscale_config *c)
{
    tt_value first = rrdb_conv(g, x, "first", c->n_features, TT_CONV_SAME, false);
    tt_value room = tt_graph_room(g, first, c->n_features + 4 * c->n_growth);
    tt_graph_aim(g, room, 0);
    x = tt_graph_elementwise(g, first, TT_NONE, 1.0f, 0.0f, 0.0f, TT_ACT_NONE);
    for (uint32_t i = 0; i < c->n_blocks; i++)
        x = rrdb_block(g, x, &room, c, i);
    x = tt_graph_conv3x3(
        g, x, &(tt_conv_op){.name = "trunk", .n_out = c->n_features, .add_residual = true, .residual = first});
    for (uint32_t i = 1; i <= c->n_ups; i++)
        x = rrdb_conv(g, x, i == 1 ? "up1" : "up2", c->n_features, TT_CONV_UP, true);
    x = rrdb_conv(g, x, "hr", c->n_features, TT_CONV_SAME, true);
    return rrdb_conv(g, x, "last", c->n_channels, TT_CONV_SAME, false);
}

void tt_upscale_build(tt_graph *g, const tt_upscale_config *c, uint32_t height, uint32_t width)
{
    tt_value x = tt_graph_input(g, "in", false, 1, tt_upscale_in_channels(c), height, width);
    x = c->kind == TT_UPSCALE_RRDB ? build_rrdb(g, x, c) : build_row(g, x, c);
    tt_graph_output(g, x, "out", false);
}
