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

/* Convolution i of a row, with PReLU unless it is the last. */
static tt_value srvgg_conv(tt_graph *g, tt_value x, const tt_upscale_config *c, uint32_t index)
{
    tt_conv_names names = conv_names(index);
    bool is_last = index + 1 == c->n_convs;
    return tt_graph_conv3x3(g, x,
                            &(tt_conv_op){.name = names.layer,
                                          .n_out = c->n_outs[index],
                                          .activation = is_last ? TT_ACT_NONE : TT_ACT_PRELU,
                                          .slope = is_last ? NULL : names.slope});
}

static tt_value build_srvgg(tt_graph *g, tt_value x, const tt_upscale_config *c)
{
    for (uint32_t i = 0; i < c->n_convs; i++)
        x = srvgg_conv(g, x, c, i);
    return x;
}

void tt_upscale_build(tt_graph *g, const tt_upscale_config *c, uint32_t height, uint32_t width)
{
    tt_value x = tt_graph_input(g, "in", false, 1, tt_upscale_in_channels(c), height, width);
    switch (c->kind) {
    case TT_UPSCALE_SRVGG:
        x = build_srvgg(g, x, c);
        break;
    default:
        break;
    }
    tt_graph_output(g, x, "out", false);
}
