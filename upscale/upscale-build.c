/* upscale-build.c - the networks as graphs. */
#include "upscale/upscale-build.h"

#include <stdio.h>
#include <string.h>

tt_upscale_form tt_upscale_form_of(const tt_upscale_config *c)
{
    tt_upscale_form form = {.unfold = c->first_side == 5 ? 5 : 1, .fold = 1, .grow = 1, .shuffle = c->scale};
    return form;
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
    int n = strcmp(c->layout, "basicsr") == 0
                ? snprintf(name, sizeof name, "body.%u.%s", (unsigned)(2 * index + is_slope), is_slope ? "weight" : part)
            : strcmp(c->layout, "plain") == 0
                ? snprintf(name, sizeof name, "%s%u.%s", is_slope ? "prelu" : "conv", (unsigned)index, part)
                : -1;
    return set_name(place, name, n);
}

bool tt_upscale_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    const tt_upscale_config *c = layout;
    unsigned index = 0;
    int end = 0;
    if (strcmp(c->layout, "plain") == 0 && strcmp(canonical, "out.bias") == 0)
        return set_name(place, canonical, (int)strlen(canonical));
    if (sscanf(canonical, "conv%3u.%n", &index, &end) == 1 && end > 0)
        return row_name(c, index, canonical + end, place);
    return false;
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

void tt_upscale_build(tt_graph *g, const tt_upscale_config *c, uint32_t height, uint32_t width)
{
    tt_value x = tt_graph_input(g, "in", false, 1, tt_upscale_in_channels(c), height, width);
    for (uint32_t i = 0; i < c->n_convs; i++)
        x = row_conv(g, x, c, i);
    tt_graph_output(g, x, "out", false);
}
