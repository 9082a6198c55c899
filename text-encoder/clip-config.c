/* clip-config.c - the architecture of a CLIP text model, and names in single-file checkpoints. */
#include "base/json.h"
#include "model-file/rename.h"
#include "text-encoder/clip.h"

#include <stdio.h>
#include <string.h>

static tt_status read_activation(const json_t *root, const char *what, tt_clip_config *c, tt_error *err)
{
    const char *name = "quick_gelu";
    tt_status status = tt_json_get_text(root, "hidden_act", &name, err);
    if (status != TT_OK)
        return status;
    if (strcmp(name, "quick_gelu") == 0)
        c->activation = TT_ACT_QUICK_GELU;
    else if (strcmp(name, "gelu") == 0)
        c->activation = TT_ACT_GELU;
    else
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: \"hidden_act\" %s is not known; CLIP has quick_gelu or gelu",
                       what, name);
    return TT_OK;
}

/* True when the config's architecture is the one with a projection. */
static bool has_projection(const json_t *root)
{
    const json_t *list = json_object_get(root, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));
    return name && strcmp(name, "CLIPTextModelWithProjection") == 0;
}

static tt_status check_sizes(const tt_clip_config *c, const char *what, tt_error *err)
{
    if (c->hidden > 0 && c->hidden % c->n_heads == 0 && c->hidden / c->n_heads % 4 == 0)
        return TT_OK;
    return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: hidden size %u in %u heads; the head size must be a multiple of 4",
                   what, c->hidden, c->n_heads);
}

static tt_status read_fields(const json_t *root, const char *what, tt_clip_config *c, tt_error *err)
{
    double eps = 1e-5;
    uint32_t eos = 49407;
    tt_status status = tt_json_get_u32(root, "vocab_size", 1, 1u << 20, &c->n_vocabulary, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "hidden_size", 4, 16384, &c->hidden, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "intermediate_size", 4, 65536, &c->intermediate, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "num_hidden_layers", 1, 128, &c->n_layers, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "num_attention_heads", 1, 1024, &c->n_heads, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "max_position_embeddings", 1, 4096, &c->n_positions, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "eos_token_id", 0, 1u << 20, &eos, err);
    if (status == TT_OK)
        status = tt_json_get_f64(root, "layer_norm_eps", &eps, err);
    if (status == TT_OK && has_projection(root)) {
        c->projection_dim = 512;
        status = tt_json_get_u32(root, "projection_dim", 1, 16384, &c->projection_dim, err);
    }
    if (status == TT_OK)
        status = read_activation(root, what, c, err);
    if (status == TT_OK && !(eps > 0.0 && eps < 1.0))
        status =
            tt_fail(err, TT_ERROR_FORMAT, "%s: \"layer_norm_eps\" is %g; it must be above 0 and below 1", what, eps);
    c->layer_norm_eps = (float)eps;
    c->eos_id = (int32_t)eos;
    return status == TT_OK ? check_sizes(c, what, err) : status;
}

tt_status tt_clip_config_parse(const char *json, const char *what, tt_clip_config *config, tt_error *err)
{
    json_t *root = NULL;
    tt_status status = tt_json_parse(json, strlen(json), what, &root, err);
    if (status != TT_OK)
        return status;
    *config = (tt_clip_config){
        .n_vocabulary = 49408, .hidden = 512, .intermediate = 2048, .n_layers = 12, .n_heads = 8, .n_positions = 77};
    status = read_fields(root, what, config, err);
    json_decref(root);
    return status;
}

/* ---- single-file checkpoints */

static const tt_rename top_names[] = {
    {"text_model.embeddings.token_embedding.weight", "token_embedding.weight"},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
    {"text_model.final_layer_norm.weight", "ln_final.weight"},
    {"text_model.final_layer_norm.bias", "ln_final.bias"},
};

static const tt_rename layer_names[] = {
    {"layer_norm1.", "ln_1."}, {"layer_norm2.", "ln_2."},   {"self_attn.out_proj.", "attn.out_proj."},
    {"mlp.fc1.", "mlp.c_fc."}, {"mlp.fc2.", "mlp.c_proj."},
};

/* q_proj, k_proj and v_proj are thirds of the fused in_proj. */
static bool fused_name(unsigned layer, const char *rest, tt_tensor_place *place)
{
    static const char *const parts[] = {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."};
    for (uint32_t i = 0; i < 3; i++) {
        if (strncmp(rest, parts[i], strlen(parts[i])) != 0)
            continue;
        snprintf(place->name, sizeof place->name, "transformer.resblocks.%u.attn.in_proj_%s", layer,
                 rest + strlen(parts[i]));
        place->n_slices = 3;
        place->slice_index = i;
        return true;
    }
    return false;
}

bool tt_clip_open_clip_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    (void)layout;
    *place = (tt_tensor_place){.n_slices = 1};
    for (size_t i = 0; i < sizeof top_names / sizeof *top_names; i++)
        if (strcmp(canonical, top_names[i].canonical) == 0) {
            snprintf(place->name, sizeof place->name, "%s", top_names[i].stored);
            return true;
        }
    if (strcmp(canonical, "text_projection.weight") == 0) {
        snprintf(place->name, sizeof place->name, "text_projection");
        place->transposed = true;
        return true;
    }
    unsigned layer;
    int n = 0;
    if (sscanf(canonical, "text_model.encoder.layers.%u.%n", &layer, &n) != 1 || n == 0)
        return false;
    const char *rest = canonical + n;
    if (fused_name(layer, rest, place))
        return true;
    char stem[64];
    snprintf(stem, sizeof stem, "transformer.resblocks.%u.", layer);
    return tt_rename_begin(layer_names, sizeof layer_names / sizeof *layer_names, stem, rest, place);
}

bool tt_clip_renamed_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    (void)layout;
    bool is_projection = strcmp(canonical, "text_projection.weight") == 0;
    *place = (tt_tensor_place){.n_slices = 1, .transposed = is_projection};
    return tt_rename_keep("", is_projection ? "text_model.text_projection" : canonical, place);
}

bool tt_clip_short_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    (void)layout;
    const char prefix[] = "text_model.";
    bool prefixed = strncmp(canonical, prefix, sizeof prefix - 1) == 0;
    *place = (tt_tensor_place){.n_slices = 1};
    return tt_rename_keep("", prefixed ? canonical + sizeof prefix - 1 : canonical, place);
}

/* Names by which each layout's architecture is read. */
typedef struct tt_probe_names {
    const char *token, *position, *layer, *fc1, *projection;
} tt_probe_names;

static const tt_probe_names probes[] = {
    {"text_model.embeddings.token_embedding.weight", "text_model.embeddings.position_embedding.weight",
     "text_model.encoder.layers.%u.layer_norm1.weight", "text_model.encoder.layers.0.mlp.fc1.weight",
     "text_projection.weight"},
    {"token_embedding.weight", "positional_embedding", "transformer.resblocks.%u.ln_1.weight",
     "transformer.resblocks.0.mlp.c_fc.weight", "text_projection"},
    {"text_model.embeddings.token_embedding.weight", "text_model.embeddings.position_embedding.weight",
     "text_model.encoder.layers.%u.layer_norm1.weight", "text_model.encoder.layers.0.mlp.fc1.weight",
     "text_model.text_projection"},
};

static uint32_t count_layers(const tt_weights *weights, const char *format)
{
    for (unsigned i = 0; i < 128; i++) {
        char name[TT_MAX_NAME];
        tt_weight weight;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(name, sizeof name, format, i); /* one of the literals above */
#pragma GCC diagnostic pop
        if (!tt_weights_peek(weights, name, &weight))
            return i;
    }
    return 128;
}

tt_status tt_clip_config_derive(const tt_weights *weights, tt_clip_layout_kind kind, bool drop_last_layer,
                                bool with_projection, tt_clip_config *config, tt_error *err)
{
    const tt_probe_names *names = &probes[kind];
    tt_weight token, position, fc1, projection;
    if (!tt_weights_peek(weights, names->token, &token) || token.tensor.n_dims != 2 ||
        !tt_weights_peek(weights, names->position, &position) || position.tensor.n_dims != 2 ||
        !tt_weights_peek(weights, names->fc1, &fc1) || fc1.tensor.n_dims != 2)
        return tt_fail(err, TT_ERROR_FORMAT, "the checkpoint's text encoder lacks %s, %s or %s", names->token,
                       names->position, names->fc1);
    uint32_t n_layers = count_layers(weights, names->layer);
    *config = (tt_clip_config){.n_vocabulary = (uint32_t)token.tensor.dims[0],
                               .hidden = (uint32_t)token.tensor.dims[1],
                               .intermediate = (uint32_t)fc1.tensor.dims[0],
                               .n_layers = drop_last_layer && n_layers > 1 ? n_layers - 1 : n_layers,
                               .n_positions = (uint32_t)position.tensor.dims[0],
                               .activation = kind == TT_CLIP_HF ? TT_ACT_QUICK_GELU : TT_ACT_GELU,
                               .layer_norm_eps = 1e-5f};
    config->n_heads = config->hidden >= 64 ? config->hidden / 64 : 1;
    config->eos_id = (int32_t)config->n_vocabulary - 1;
    if (with_projection && tt_weights_peek(weights, names->projection, &projection) && projection.tensor.n_dims == 2)
        config->projection_dim = (uint32_t)projection.tensor.dims[kind == TT_CLIP_HF ? 0 : 1];
    return check_sizes(config, "the checkpoint's text encoder", err);
}
