/* unet-removed.c - parts that a UNet may lack: places, names, marks, and the two keys of a config. */
#include "unet/unet-removed.h"

#include <stdio.h>
#include <string.h>

/* ---- places */

uint32_t tt_unet_down_place(const tt_unet_config *c, uint32_t block, uint32_t layer)
{
    return block * c->layers_per_block + layer;
}

uint32_t tt_unet_mid_place(const tt_unet_config *c, uint32_t layer)
{
    return c->n_blocks * c->layers_per_block + layer;
}

uint32_t tt_unet_up_place(const tt_unet_config *c, uint32_t block, uint32_t layer)
{
    return tt_unet_mid_place(c, c->has_mid ? 2 : 0) + block * (c->layers_per_block + 1) + layer;
}

uint32_t tt_unet_n_places(const tt_unet_config *c)
{
    return tt_unet_up_place(c, c->n_blocks, 0);
}

/* The place at down block or mirrored up block `level`, counted from the outermost. */
static tt_unet_place at_level(const tt_unet_config *c, uint32_t level, uint32_t index, bool has_attention)
{
    return (tt_unet_place){.index = index,
                           .level = level,
                           .channels = c->channels[level],
                           .n_layers = has_attention ? c->transformer_layers[level] : 0,
                           .n_heads = c->n_heads[level]};
}

tt_unet_place tt_unet_place_at(const tt_unet_config *c, uint32_t index)
{
    uint32_t mid = tt_unet_mid_place(c, 0), up = tt_unet_up_place(c, 0, 0), n = c->layers_per_block;
    tt_unet_place place;
    if (index < mid) {
        place = at_level(c, index / n, index % n, c->down_attention[index / n]);
        snprintf(place.path, sizeof place.path, "down_blocks.%u", index / n);
    } else if (index < up) {
        place = at_level(c, c->n_blocks - 1, index - mid, index == mid);
        snprintf(place.path, sizeof place.path, "mid_block");
    } else {
        uint32_t block = (index - up) / (n + 1);
        place = at_level(c, c->n_blocks - 1 - block, (index - up) % (n + 1), c->up_attention[block]);
        snprintf(place.path, sizeof place.path, "up_blocks.%u", block);
    }
    return place;
}

bool tt_unet_is_fine(const tt_unet_config *c, uint32_t place, uint32_t n)
{
    uint32_t finest = UINT32_MAX, level = tt_unet_place_at(c, place).level;
    for (uint32_t i = 0; i < tt_unet_n_places(c); i++) {
        tt_unet_place other = tt_unet_place_at(c, i);
        if (other.n_layers > 0 && other.level < finest)
            finest = other.level;
    }
    return finest != UINT32_MAX && level - finest < n;
}

/* ---- names */

void tt_unet_unit_name(const tt_unet_config *c, const tt_unet_unit *unit, char *name)
{
    tt_unet_place p = tt_unet_place_at(c, unit->place);
    if (unit->kind == TT_UNIT_RESIDUAL)
        snprintf(name, TT_MAX_NAME, "%s.resnets.%u", p.path, p.index);
    else if (unit->kind == TT_UNIT_ATTENTION)
        snprintf(name, TT_MAX_NAME, "%s.attentions.%u", p.path, p.index);
    else
        snprintf(name, TT_MAX_NAME, "%s.attentions.%u.transformer_blocks.%u%s", p.path, p.index, unit->layer,
                 unit->kind == TT_UNIT_TRANSFORMER ? ""
                 : unit->is_cross                  ? ".attn2"
                                                   : ".attn1");
}

static bool is_name_of(const tt_unet_config *c, const char *name, const tt_unet_unit *unit)
{
    char own[TT_MAX_NAME];
    tt_unet_unit_name(c, unit, own);
    return strcmp(own, name) == 0;
}

/* Looks among the units of one place. */
static bool find_at(const tt_unet_config *c, const char *name, uint32_t index, tt_unet_unit *unit)
{
    tt_unet_place place = tt_unet_place_at(c, index);
    *unit = (tt_unet_unit){.kind = TT_UNIT_RESIDUAL, .place = index};
    if (is_name_of(c, name, unit))
        return true;
    unit->kind = TT_UNIT_ATTENTION;
    if (place.n_layers > 0 && is_name_of(c, name, unit))
        return true;
    for (unit->layer = 0; unit->layer < place.n_layers; unit->layer++) {
        unit->kind = TT_UNIT_TRANSFORMER;
        if (is_name_of(c, name, unit))
            return true;
        unit->kind = TT_UNIT_HEADS;
        for (int cross = 0; cross < 2; cross++) {
            unit->is_cross = cross == 1;
            if (is_name_of(c, name, unit))
                return true;
        }
    }
    return false;
}

bool tt_unet_unit_find(const tt_unet_config *c, const char *name, tt_unet_unit *unit)
{
    uint32_t n = tt_unet_n_places(c);
    for (uint32_t i = 0; i < n; i++)
        if (find_at(c, name, i, unit))
            return true;
    return false;
}

/* ---- marks */

static uint64_t bits_below(uint32_t n)
{
    return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

bool tt_unet_has_residual(const tt_unet_config *c, uint32_t place)
{
    return (c->removed.residuals >> place & 1) == 0;
}

bool tt_unet_has_transformer(const tt_unet_config *c, uint32_t place, uint32_t layer)
{
    return (c->removed.transformers[place] >> layer & 1) == 0;
}

bool tt_unet_has_attention(const tt_unet_config *c, uint32_t place)
{
    uint64_t all = bits_below(tt_unet_place_at(c, place).n_layers);
    return (c->removed.transformers[place] & all) != all;
}

/* The cut of an attention layer, or n_head_cuts. */
static uint32_t find_cut(const tt_unet_removed *r, uint32_t place, uint32_t layer, bool is_cross)
{
    uint32_t i = 0;
    while (i < r->n_head_cuts &&
           (r->head_cuts[i].place != place || r->head_cuts[i].layer != layer || r->head_cuts[i].is_cross != is_cross))
        i++;
    return i;
}

uint32_t tt_unet_heads_left(const tt_unet_config *c, uint32_t place, uint32_t layer, bool is_cross)
{
    uint32_t i = find_cut(&c->removed, place, layer, is_cross);
    return i < c->removed.n_head_cuts ? c->removed.head_cuts[i].n_kept : tt_unet_place_at(c, place).n_heads;
}

bool tt_unet_is_pruned(const tt_unet_config *c)
{
    bool is_pruned = c->removed.residuals != 0 || c->removed.n_head_cuts > 0;
    for (uint32_t i = 0; i < TT_UNET_MAX_RESNETS; i++)
        is_pruned = is_pruned || c->removed.transformers[i] != 0;
    return is_pruned;
}

static void drop_cut(tt_unet_removed *r, uint32_t i)
{
    if (i < r->n_head_cuts)
        r->head_cuts[i] = r->head_cuts[--r->n_head_cuts];
}

/* Heads of a block that is gone are gone with it. */
static void remove_transformers(tt_unet_config *c, uint32_t place, uint64_t layers)
{
    tt_unet_removed *r = &c->removed;
    r->transformers[place] |= layers;
    for (uint32_t i = r->n_head_cuts; i-- > 0;)
        if (r->head_cuts[i].place == place && (layers >> r->head_cuts[i].layer & 1) != 0)
            drop_cut(r, i);
}

tt_status tt_unet_remove(tt_unet_config *c, const tt_unet_unit *unit, tt_error *err)
{
    uint64_t after = c->removed.residuals | UINT64_C(1) << unit->place;
    if (unit->kind == TT_UNIT_HEADS)
        return tt_fail(err, TT_ERROR_INTERNAL, "heads are kept or not, an attention layer is never removed alone");
    if (unit->kind == TT_UNIT_RESIDUAL && after == bits_below(tt_unet_n_places(c)))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "every residual block is removed; a UNet must keep at least one, or it does not see the time");
    if (unit->kind == TT_UNIT_RESIDUAL)
        c->removed.residuals = after;
    else if (unit->kind == TT_UNIT_ATTENTION)
        remove_transformers(c, unit->place, bits_below(tt_unet_place_at(c, unit->place).n_layers));
    else
        remove_transformers(c, unit->place, UINT64_C(1) << unit->layer);
    return TT_OK;
}

tt_status tt_unet_keep_heads(tt_unet_config *c, const tt_unet_unit *unit, uint32_t n_kept, tt_error *err)
{
    tt_unet_removed *r = &c->removed;
    char name[TT_MAX_NAME];
    uint32_t n_heads = tt_unet_place_at(c, unit->place).n_heads;
    uint32_t i = find_cut(r, unit->place, unit->layer, unit->is_cross);
    tt_unet_unit_name(c, unit, name);
    if (!tt_unet_has_transformer(c, unit->place, unit->layer))
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s belongs to a removed block and cannot have heads", name);
    if (n_kept == 0 || n_kept > n_heads)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s has %u heads, of which 1 to %u can be kept, not %u", name,
                       n_heads, n_heads, n_kept);
    drop_cut(r, i);
    if (n_kept == n_heads)
        return TT_OK;
    if (r->n_head_cuts == TT_UNET_MAX_HEAD_CUTS)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "more than %d attention layers without some of their heads",
                       TT_UNET_MAX_HEAD_CUTS);
    r->head_cuts[r->n_head_cuts++] = (tt_unet_head_cut){.place = (uint8_t)unit->place,
                                                        .layer = (uint8_t)unit->layer,
                                                        .is_cross = unit->is_cross,
                                                        .n_kept = (uint16_t)n_kept};
    return TT_OK;
}

/* ---- the keys of a config */

static tt_status fail_name(const char *what, const char *key, const char *name, const char *kinds, tt_error *err)
{
    return tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" names \"%.100s\", but this UNet has no such %s", what, key, name,
                   kinds);
}

/* Puts the file's name before a sentence of the functions above. */
static tt_status named(tt_status status, const char *what, const tt_error *reason, tt_error *err)
{
    return status == TT_OK ? TT_OK : tt_fail(err, status, "%s: %s", what, reason->text);
}

static tt_status read_blocks(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    static const char key[] = "removed_blocks";
    const json_t *list = json_object_get(root, key);
    tt_error reason = {""};
    if (!list || json_is_null(list))
        return TT_OK;
    if (!json_is_array(list))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" must be a list of names", what, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        tt_unet_unit unit;
        if (!name)
            return tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" must be a list of names", what, key);
        if (!tt_unet_unit_find(c, name, &unit) || unit.kind == TT_UNIT_HEADS)
            return fail_name(what, key, name, "residual block, attention module or transformer block", err);
        tt_status status = named(tt_unet_remove(c, &unit, &reason), what, &reason, err);
        if (status != TT_OK)
            return status;
    }
    return TT_OK;
}

static tt_status read_head_counts(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    static const char key[] = "attention_heads";
    json_t *object = json_object_get(root, key);
    tt_error reason = {""};
    if (!object || json_is_null(object))
        return TT_OK;
    if (!json_is_object(object))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" must be an object of names and numbers", what, key);
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *name = json_object_iter_key(i);
        tt_unet_unit unit;
        uint32_t n_kept = 0;
        if (!tt_unet_unit_find(c, name, &unit) || unit.kind != TT_UNIT_HEADS)
            return fail_name(what, key, name, "attention layer", err);
        tt_status status = tt_json_get_u32(object, name, 1, 1024, &n_kept, err);
        if (status == TT_OK)
            status = named(tt_unet_keep_heads(c, &unit, n_kept, &reason), what, &reason, err);
        if (status != TT_OK)
            return status;
    }
    return TT_OK;
}

tt_status tt_unet_removed_read(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    tt_status status = read_blocks(root, what, c, err);
    return status == TT_OK ? read_head_counts(root, what, c, err) : status;
}
