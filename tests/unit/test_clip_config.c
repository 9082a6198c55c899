/* test_clip_config.c - text encoders from config.json and from tensors, and their names in single files. */
#include "tests/support/hostile-safetensors.h"
#include "text-encoder/clip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_clip_config parse(const char *json)
{
    tt_clip_config c;
    tt_error err = {""};
    if (tt_clip_config_parse(json, "text_encoder/config.json", &c, &err) != TT_OK)
        fail_msg("%s: %s", json, err.text);
    return c;
}

static void test_read(void **state)
{
    (void)state;
    tt_clip_config c = parse("{}"); /* transformers' defaults */
    assert_int_equal(c.n_vocabulary, 49408);
    assert_int_equal(c.hidden, 512);
    assert_int_equal(c.intermediate, 2048);
    assert_int_equal(c.n_layers, 12);
    assert_int_equal(c.n_heads, 8);
    assert_int_equal(c.n_positions, 77);
    assert_int_equal(c.activation, TT_ACT_QUICK_GELU);
    assert_int_equal(c.eos_id, 49407);
    assert_int_equal(c.projection_dim, 0);
    c = parse("{\"hidden_size\":1280,\"num_attention_heads\":20,\"hidden_act\":\"gelu\",\"eos_token_id\":2,"
              "\"architectures\":[\"CLIPTextModelWithProjection\"],\"projection_dim\":1280,\"layer_norm_eps\":1e-6}");
    assert_int_equal(c.activation, TT_ACT_GELU);
    assert_int_equal(c.projection_dim, 1280);
    assert_int_equal(c.eos_id, 2);
    assert_true(c.layer_norm_eps < 1.1e-6f);
    c = parse("{\"architectures\":[\"CLIPTextModel\"],\"projection_dim\":768}"); /* has none of its own */
    assert_int_equal(c.projection_dim, 0);
    c = parse("{\"architectures\":[\"CLIPTextModelWithProjection\"]}");
    assert_int_equal(c.projection_dim, 512);
    c = parse("{\"architectures\":\"CLIPTextModelWithProjection\"}"); /* no list: not understood, no crash */
    assert_int_equal(c.projection_dim, 0);
}

static void expect(const char *json, tt_status want, const char *mention)
{
    tt_clip_config c;
    tt_error err = {""};
    tt_status status = tt_clip_config_parse(json, "text_encoder/config.json", &c, &err);
    if (status != want || !strstr(err.text, mention))
        fail_msg("%s: status %d, wanted %d with \"%s\": %s", json, (int)status, (int)want, mention, err.text);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const keys[] = {"vocab_size",        "hidden_size",         "intermediate_size",
                                       "num_hidden_layers", "num_attention_heads", "max_position_embeddings"};
    static const char *const values[] = {"0", "-8", "4294967296", "1e300", "8.5", "\"8\"", "[8]", "false", "9999999"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            char json[96];
            snprintf(json, sizeof json, "{\"%s\":%s}", keys[i], values[j]);
            expect(json, TT_ERROR_FORMAT, keys[i]);
        }
    expect("{\"eos_token_id\":-1}", TT_ERROR_FORMAT, "eos_token_id");
    expect("{\"layer_norm_eps\":\"small\"}", TT_ERROR_FORMAT, "layer_norm_eps");
    expect("{\"layer_norm_eps\":0}", TT_ERROR_FORMAT, "layer_norm_eps");
    expect("{\"layer_norm_eps\":-1e-5}", TT_ERROR_FORMAT, "layer_norm_eps");
    expect("{\"layer_norm_eps\":1e30}", TT_ERROR_FORMAT, "layer_norm_eps");
    expect("{\"hidden_act\":\"relu\"}", TT_ERROR_UNSUPPORTED, "relu");
    expect("{\"hidden_act\":1}", TT_ERROR_FORMAT, "hidden_act");
    expect("{\"architectures\":[\"CLIPTextModelWithProjection\"],\"projection_dim\":0}", TT_ERROR_FORMAT,
           "projection_dim");
    expect("{\"num_attention_heads\":3}", TT_ERROR_UNSUPPORTED, "512 in 3 heads");
    expect("{\"hidden_size\":30,\"num_attention_heads\":5}", TT_ERROR_UNSUPPORTED, "multiple of 4");
    expect("{\"hidden_size\":512,\"num_attention_heads\":256}", TT_ERROR_UNSUPPORTED, "256 heads");
    expect("", TT_ERROR_FORMAT, "text_encoder/config.json");
    expect("[1]", TT_ERROR_FORMAT, "text_encoder/config.json");
}

/* ---- names */

static void check_name(const char *canonical, const char *want, uint32_t slice, uint32_t n_slices, bool transposed)
{
    tt_tensor_place place;
    if (!tt_clip_open_clip_name(NULL, canonical, &place))
        fail_msg("%s has no place", canonical);
    assert_string_equal(place.name, want);
    assert_int_equal(place.n_slices, n_slices);
    assert_int_equal(place.slice_index, slice);
    assert_int_equal(place.transposed, transposed);
}

static void test_open_clip_names(void **state)
{
    (void)state;
    check_name("text_model.embeddings.token_embedding.weight", "token_embedding.weight", 0, 1, false);
    check_name("text_model.embeddings.position_embedding.weight", "positional_embedding", 0, 1, false);
    check_name("text_model.final_layer_norm.bias", "ln_final.bias", 0, 1, false);
    check_name("text_projection.weight", "text_projection", 0, 1, true);
    check_name("text_model.encoder.layers.22.self_attn.q_proj.weight", "transformer.resblocks.22.attn.in_proj_weight",
               0, 3, false);
    check_name("text_model.encoder.layers.0.self_attn.k_proj.bias", "transformer.resblocks.0.attn.in_proj_bias", 1, 3,
               false);
    check_name("text_model.encoder.layers.3.self_attn.v_proj.weight", "transformer.resblocks.3.attn.in_proj_weight", 2,
               3, false);
    check_name("text_model.encoder.layers.3.self_attn.out_proj.bias", "transformer.resblocks.3.attn.out_proj.bias", 0,
               1, false);
    check_name("text_model.encoder.layers.3.layer_norm2.weight", "transformer.resblocks.3.ln_2.weight", 0, 1, false);
    check_name("text_model.encoder.layers.3.mlp.fc1.weight", "transformer.resblocks.3.mlp.c_fc.weight", 0, 1, false);
    check_name("text_model.encoder.layers.3.mlp.fc2.bias", "transformer.resblocks.3.mlp.c_proj.bias", 0, 1, false);
    tt_tensor_place place;
    static const char *const unknown[] = {"", "text_model.encoder.layers.",
                                          "text_model.encoder.layers.x.mlp.fc1.weight",
                                          "text_model.encoder.layers.1.mlp.fc3.weight", "visual.proj"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_false(tt_clip_open_clip_name(NULL, unknown[i], &place));
}

static void test_short_names(void **state)
{
    (void)state;
    tt_tensor_place place;
    char endless[TT_MAX_NAME + 40];
    assert_true(tt_clip_short_name(NULL, "text_model.final_layer_norm.weight", &place));
    assert_string_equal(place.name, "final_layer_norm.weight");
    assert_int_equal(place.n_slices, 1);
    assert_true(tt_clip_short_name(NULL, "text_projection.weight", &place));
    assert_string_equal(place.name, "text_projection.weight");
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_false(tt_clip_short_name(NULL, endless, &place));
    assert_false(tt_clip_short_name(NULL, "text_model.", &place));
}

/* ---- architectures from tensors: headers of files without data hold shapes with a zero side, or tiny ones */

typedef struct source {
    uint8_t *bytes;
    tt_tensor_file *file;
    tt_weights *weights;
} source;

static source open_header(const char *header, size_t n_data)
{
    source s;
    size_t n_bytes;
    tt_error err = {""};
    s.bytes = safetensors_block(header, n_data, &n_bytes);
    assert_non_null(s.bytes);
    if (tt_tensor_file_open_memory(s.bytes, n_bytes, "t.safetensors", &s.file, &err) != TT_OK ||
        tt_weights_create(&s.file, 1, false, "", NULL, NULL, &s.weights, &err) != TT_OK)
        fail_msg("%s", err.text);
    return s;
}

static void close_source(source *s)
{
    tt_weights_destroy(s->weights);
    tt_tensor_file_close(s->file);
    free(s->bytes);
}

/* One-dimensional norms stand for layers: only their presence counts. */
static const char open_clip[] =
    "{\"token_embedding.weight\":{\"dtype\":\"I8\",\"shape\":[10,8],\"data_offsets\":[0,80]},"
    "\"positional_embedding\":{\"dtype\":\"I8\",\"shape\":[7,8],\"data_offsets\":[80,136]},"
    "\"transformer.resblocks.0.mlp.c_fc.weight\":{\"dtype\":\"I8\",\"shape\":[4,8],"
    "\"data_offsets\":[136,168]},"
    "\"transformer.resblocks.0.ln_1.weight\":{\"dtype\":\"I8\",\"shape\":[8],"
    "\"data_offsets\":[168,176]},"
    "\"transformer.resblocks.1.ln_1.weight\":{\"dtype\":\"I8\",\"shape\":[8],"
    "\"data_offsets\":[176,184]},"
    "\"text_projection\":{\"dtype\":\"I8\",\"shape\":[8,12],\"data_offsets\":[184,280]}}";

static void test_derive(void **state)
{
    (void)state;
    source s = open_header(open_clip, 280);
    tt_clip_config c;
    tt_error err = {""};
    assert_int_equal(tt_clip_config_derive(s.weights, TT_CLIP_OPEN_CLIP, false, true, &c, &err), TT_OK);
    assert_int_equal(c.n_vocabulary, 10);
    assert_int_equal(c.hidden, 8);
    assert_int_equal(c.n_positions, 7);
    assert_int_equal(c.intermediate, 4);
    assert_int_equal(c.n_layers, 2);
    assert_int_equal(c.n_heads, 1);
    assert_int_equal(c.projection_dim, 12); /* stored [in, out] */
    assert_int_equal(c.activation, TT_ACT_GELU);
    assert_int_equal(c.eos_id, 9);
    assert_int_equal(tt_clip_config_derive(s.weights, TT_CLIP_OPEN_CLIP, true, false, &c, &err), TT_OK);
    assert_int_equal(c.n_layers, 1);
    assert_int_equal(c.projection_dim, 0);
    assert_int_equal(tt_clip_config_derive(s.weights, TT_CLIP_HF, false, false, &c, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "text_model.embeddings.token_embedding.weight"));
    close_source(&s);
}

static void test_derive_refusals(void **state)
{
    (void)state;
    static const char zero[] =
        "{\"token_embedding.weight\":{\"dtype\":\"F32\",\"shape\":[10,0],\"data_offsets\":[0,0]},"
        "\"positional_embedding\":{\"dtype\":\"F32\",\"shape\":[7,0],\"data_offsets\":[0,0]},"
        "\"transformer.resblocks.0.mlp.c_fc.weight\":{\"dtype\":\"F32\",\"shape\":[4,0],"
        "\"data_offsets\":[0,0]}}";
    static const char odd[] = "{\"token_embedding.weight\":{\"dtype\":\"I8\",\"shape\":[1,6],\"data_offsets\":[0,6]},"
                              "\"positional_embedding\":{\"dtype\":\"I8\",\"shape\":[1,6],\"data_offsets\":[6,12]},"
                              "\"transformer.resblocks.0.mlp.c_fc.weight\":{\"dtype\":\"I8\",\"shape\":[1,6],"
                              "\"data_offsets\":[12,18]}}";
    tt_clip_config c;
    tt_error err = {""};
    source s = open_header(zero, 0);
    assert_int_equal(tt_clip_config_derive(s.weights, TT_CLIP_OPEN_CLIP, false, false, &c, &err), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "hidden size 0"));
    close_source(&s);
    s = open_header(odd, 18);
    assert_int_equal(tt_clip_config_derive(s.weights, TT_CLIP_OPEN_CLIP, false, false, &c, &err), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "hidden size 6"));
    close_source(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),        cmocka_unit_test(test_refusals), cmocka_unit_test(test_open_clip_names),
        cmocka_unit_test(test_short_names), cmocka_unit_test(test_derive),   cmocka_unit_test(test_derive_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
