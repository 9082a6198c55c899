/* test_vae_names.c - names of VAE tensors in LDM checkpoints, old folders and TAESD files, and architectures from them.
 */
#include "tests/support/config-text.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/test-safetensors.h"
#include "vae/vae.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"
static const char prefix[] = "first_stage_model.";

static void check_names(tt_translate_fn translate, const void *layout, const char *const (*pairs)[2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tt_tensor_place place;
        if (!translate(layout, pairs[i][0], &place))
            fail_msg("%s has no place", pairs[i][0]);
        assert_string_equal(place.name, pairs[i][1]);
        assert_int_equal(place.n_slices, 1);
        assert_false(place.transposed);
    }
}

/* Stable Diffusion's VAE: four blocks; the LDM decoder numbers its blocks from the picture, diffusers from the latent.
 */
static void test_ldm_names(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"quant_conv.weight", "quant_conv.weight"},
        {"post_quant_conv.bias", "post_quant_conv.bias"},
        {"encoder.conv_in.weight", "encoder.conv_in.weight"},
        {"encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "encoder.down.1.block.0.nin_shortcut.weight"},
        {"encoder.down_blocks.3.resnets.1.norm2.bias", "encoder.down.3.block.1.norm2.bias"},
        {"encoder.down_blocks.2.downsamplers.0.conv.weight", "encoder.down.2.downsample.conv.weight"},
        {"encoder.mid_block.resnets.0.conv1.weight", "encoder.mid.block_1.conv1.weight"},
        {"encoder.mid_block.attentions.0.to_q.weight", "encoder.mid.attn_1.q.weight"},
        {"encoder.conv_norm_out.weight", "encoder.norm_out.weight"},
        {"decoder.mid_block.resnets.1.norm1.weight", "decoder.mid.block_2.norm1.weight"},
        {"decoder.mid_block.attentions.0.group_norm.bias", "decoder.mid.attn_1.norm.bias"},
        {"decoder.mid_block.attentions.0.to_k.weight", "decoder.mid.attn_1.k.weight"},
        {"decoder.mid_block.attentions.0.to_v.bias", "decoder.mid.attn_1.v.bias"},
        {"decoder.mid_block.attentions.0.to_out.0.weight", "decoder.mid.attn_1.proj_out.weight"},
        {"decoder.up_blocks.0.resnets.2.conv2.weight", "decoder.up.3.block.2.conv2.weight"},
        {"decoder.up_blocks.0.upsamplers.0.conv.bias", "decoder.up.3.upsample.conv.bias"},
        {"decoder.up_blocks.2.resnets.0.conv_shortcut.bias", "decoder.up.1.block.0.nin_shortcut.bias"},
        {"decoder.up_blocks.3.resnets.0.conv1.weight", "decoder.up.0.block.0.conv1.weight"},
        {"decoder.conv_norm_out.bias", "decoder.norm_out.bias"},
        {"decoder.conv_out.weight", "decoder.conv_out.weight"},
    };
    tt_vae_config c = {.n_decoder_blocks = 4, .n_encoder_blocks = 4};
    check_names(tt_vae_ldm_name, &c, pairs, sizeof pairs / sizeof *pairs);
    tt_tensor_place place; /* a block that the decoder does not have keeps its name: no file has such a tensor */
    assert_true(tt_vae_ldm_name(&c, "decoder.up_blocks.4.resnets.0.conv1.weight", &place));
    assert_string_equal(place.name, "decoder.up_blocks.4.resnets.0.conv1.weight");
}

static void test_other_names(void **state)
{
    (void)state;
    static const char *const old[][2] = {
        {"decoder.mid_block.attentions.0.to_q.weight", "decoder.mid_block.attentions.0.query.weight"},
        {"decoder.mid_block.attentions.0.to_k.bias", "decoder.mid_block.attentions.0.key.bias"},
        {"encoder.mid_block.attentions.0.to_v.weight", "encoder.mid_block.attentions.0.value.weight"},
        {"encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid_block.attentions.0.proj_attn.bias"},
        {"encoder.mid_block.attentions.0.group_norm.bias", "encoder.mid_block.attentions.0.group_norm.bias"},
        {"decoder.conv_in.weight", "decoder.conv_in.weight"},
    };
    static const char *const decoder[][2] = {{"decoder.layers.0.weight", "1.weight"},
                                             {"decoder.layers.2.conv.4.bias", "3.conv.4.bias"},
                                             {"decoder.layers.18.weight", "19.weight"}};
    static const char *const encoder[][2] = {{"encoder.layers.0.weight", "0.weight"},
                                             {"encoder.layers.14.conv.0.bias", "14.conv.0.bias"}};
    static const bool is_decoder[] = {true, false};
    tt_tensor_place place;
    check_names(tt_vae_old_attention_name, NULL, old, sizeof old / sizeof *old);
    check_names(tt_vae_taesd_name, &is_decoder[0], decoder, sizeof decoder / sizeof *decoder);
    check_names(tt_vae_taesd_name, &is_decoder[1], encoder, sizeof encoder / sizeof *encoder);
    assert_false(tt_vae_taesd_name(&is_decoder[0], "encoder.layers.0.weight", &place));
    assert_false(tt_vae_taesd_name(&is_decoder[1], "encoder.conv_in.weight", &place));
}

/* Names that do not fit are refused, whichever way they are renamed. */
static void test_long_names(void **state)
{
    (void)state;
    static const char *const heads[] = {"decoder.mid_block.attentions.0.to_q.", "decoder.mid_block.attentions.0.x",
                                        "encoder.down_blocks.0.resnets.0.conv_shortcut.", "decoder.conv_norm_out.",
                                        "other"};
    tt_vae_config c = {.n_decoder_blocks = 4};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char name[TT_MAX_NAME + 100];
        tt_tensor_place place;
        snprintf(name, sizeof name, "%s", heads[i]);
        memset(name + strlen(name), 'w', sizeof name - 1 - strlen(name));
        name[sizeof name - 1] = '\0';
        if (tt_vae_ldm_name(&c, name, &place))
            assert_true(strlen(place.name) < sizeof place.name);
        if (tt_vae_old_attention_name(NULL, name, &place))
            assert_true(strlen(place.name) < sizeof place.name);
    }
}

/* ---- the tiny models */

static tt_weights *weights_of(tt_tensor_file *const *file, const char *under)
{
    tt_weights *weights = NULL;
    tt_error err = {""};
    if (tt_weights_create(file, 1, false, under, NULL, NULL, &weights, &err) != TT_OK)
        fail_msg("%s", err.text);
    return weights;
}

static tt_vae_config read_config(const char *path)
{
    char *text = config_text(path);
    tt_vae_config c = {0};
    tt_error err = {""};
    if (tt_vae_config_parse(text, path, &c, &err) != TT_OK)
        fail_msg("%s", err.text);
    free(text);
    return c;
}

static void check_model(const char *folder, const char *single, double scaling)
{
    char path[256], name[2 * TT_MAX_NAME];
    tt_error err = {""};
    tt_vae_config derived;
    snprintf(path, sizeof path, MODELS "%s/vae/config.json", folder);
    tt_vae_config c = read_config(path);
    snprintf(path, sizeof path, MODELS "%s/vae/diffusion_pytorch_model.safetensors", folder);
    tt_tensor_file *from = test_safetensors_open(path), *to = test_safetensors_open(single);
    for (size_t i = 0; i < tt_tensor_file_count(from); i++) {
        const tt_tensor *tensor = tt_tensor_file_at(from, i);
        tt_tensor_place place;
        assert_true(tt_vae_ldm_name(&c, tensor->name, &place));
        snprintf(name, sizeof name, "%s%s", prefix, place.name);
        const tt_tensor *found = tt_tensor_file_find(to, name);
        if (!found)
            fail_msg("%s: %s should be %s, which is not there", single, tensor->name, name);
        assert_int_equal(tt_tensor_count(found), tt_tensor_count(tensor));
    }
    tt_weights *weights = weights_of(&to, prefix);
    assert_int_equal(tt_vae_config_derive(weights, scaling, &derived, &err), TT_OK);
    assert_int_equal(derived.kind, TT_VAE_KL);
    assert_int_equal(derived.latent_channels, c.latent_channels);
    assert_int_equal(derived.factor, c.factor);
    assert_int_equal(derived.n_decoder_blocks, c.n_decoder_blocks);
    assert_int_equal(derived.n_encoder_blocks, c.n_encoder_blocks);
    assert_true(derived.scaling_factor == c.scaling_factor && derived.mid_attention && derived.has_quant_conv &&
                derived.has_post_quant_conv && derived.has_encoder && derived.has_decoder);
    for (uint32_t i = 0; i < c.n_decoder_blocks; i++) {
        assert_int_equal(derived.decoder_channels[i], c.decoder_channels[i]);
        assert_int_equal(derived.encoder_channels[i], c.encoder_channels[i]);
        assert_int_equal(derived.decoder_layers[i], c.decoder_layers[i]);
        assert_int_equal(derived.encoder_layers[i], c.encoder_layers[i]);
    }
    tt_weights_destroy(weights);
    tt_tensor_file_close(from);
    tt_tensor_file_close(to);
}

static void test_models(void **state)
{
    (void)state;
    check_model("sd1", MODELS "sd1.safetensors", 0.18215);
    check_model("sdxl", MODELS "sdxl.safetensors", 0.13025);
}

/* An AutoencoderTiny from its own names, and its halves from the original ones. */
static void test_tiny(void **state)
{
    (void)state;
    tt_vae_config c = read_config(MODELS "components/taesd/config.json"), derived;
    tt_error err = {""};
    static const char *const halves[] = {MODELS "taesd_encoder.safetensors", MODELS "taesd_decoder.safetensors"};
    tt_tensor_file *file = test_safetensors_open(MODELS "components/taesd/diffusion_pytorch_model.safetensors");
    tt_weights *weights = weights_of(&file, "");
    assert_int_equal(tt_vae_tiny_derive(weights, false, false, &derived, &err), TT_OK);
    assert_true(derived.kind == TT_VAE_TINY && derived.has_encoder && derived.has_decoder);
    assert_int_equal(derived.factor, c.factor);
    assert_int_equal(derived.latent_channels, c.latent_channels);
    for (uint32_t i = 0; i < c.n_decoder_blocks; i++) {
        assert_int_equal(derived.decoder_layers[i], c.decoder_layers[i]);
        assert_int_equal(derived.encoder_layers[i], c.encoder_layers[i]);
        assert_int_equal(derived.encoder_channels[i], c.encoder_channels[i]);
    }
    tt_weights_destroy(weights);
    tt_tensor_file_close(file);
    for (int i = 0; i < 2; i++) {
        file = test_safetensors_open(halves[i]);
        weights = weights_of(&file, "");
        if (tt_vae_tiny_derive(weights, true, i == 1, &derived, &err) != TT_OK)
            fail_msg("%s", err.text);
        assert_int_equal(derived.has_decoder, i == 1);
        assert_int_equal(derived.has_encoder, i == 0);
        assert_int_equal(derived.factor, c.factor);
        assert_int_equal(derived.latent_channels, c.latent_channels);
        for (uint32_t j = 0; j < c.n_decoder_blocks; j++)
            assert_int_equal((i ? derived.decoder_layers : derived.encoder_layers)[j],
                             (i ? c.decoder_layers : c.encoder_layers)[j]);
        tt_weights_destroy(weights);
        tt_tensor_file_close(file);
    }
}

/* ---- refusals of derived architectures */

static tt_weights *from_header(const char *header, size_t n_data, uint8_t **bytes, tt_tensor_file **file)
{
    size_t n_bytes;
    tt_error err = {""};
    *bytes = safetensors_block(header, n_data, &n_bytes);
    assert_non_null(*bytes);
    if (tt_tensor_file_open_memory(*bytes, n_bytes, "made", file, &err) != TT_OK)
        fail_msg("%s", err.text);
    return weights_of(file, "");
}

#define TENSOR(name, shape) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[0,0]}"

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int how; /* 0: KL, 1: tiny in its own names, 2: original decoder, 3: original encoder */
        tt_status status;
        const char *mention;
    } cases[] = {
        {"{" TENSOR("x", "0") "}", 0, TT_ERROR_FORMAT, "first_stage_model.decoder"},
        {"{" TENSOR("decoder.up.0.block.0.conv2.weight", "0,4") "}", 0, TT_ERROR_FORMAT, "first_stage_model.decoder"},
        {"{" TENSOR("decoder.up.0.block.0.conv2.weight", "0,4") "," TENSOR("decoder.up.0.block.1.conv2.weight",
                                                                           "0,4") "}",
         0, TT_ERROR_FORMAT, "first_stage_model.decoder"},
        {"{" TENSOR("x", "0") "}", 1, TT_ERROR_FORMAT, "neither half"},
        {"{" TENSOR("decoder.layers.0.weight", "8,0") "}", 1, TT_ERROR_FORMAT, "decoder"},
        {"{" TENSOR("encoder.layers.0.weight", "6,0") "," TENSOR("encoder.layers.1.weight", "6,0") "}", 1,
         TT_ERROR_FORMAT, "encoder"},
        {"{" TENSOR("1.pool.0.weight", "4,0") "}", 2, TT_ERROR_UNSUPPORTED, "pooling"},
        {"{" TENSOR("0.weight", "8192,0") "," TENSOR("2.weight", "4,0") "}", 3, TT_ERROR_FORMAT, "encoder"},
        {"{" TENSOR("encoder.layers.0.weight", "4,0") "," TENSOR("encoder.layers.1.weight", "4,0") "," TENSOR(
             "decoder.layers.0.weight", "4,0") "," TENSOR("decoder.layers.1.weight",
                                                          "4,0") ","
                                                                 "" TENSOR("decoder.layers.2."
                                                                           "weight",
                                                                           "4,0") "}",
         1, TT_ERROR_FORMAT, "1 and 2 blocks"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *bytes;
        tt_tensor_file *file;
        tt_weights *weights = from_header(cases[i].header, 0, &bytes, &file);
        tt_vae_config c;
        tt_error err = {""};
        int how = cases[i].how;
        tt_status status = how == 0 ? tt_vae_config_derive(weights, 0.18215, &c, &err)
                                    : tt_vae_tiny_derive(weights, how >= 2, how == 2, &c, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].mention))
            fail_msg("case %zu: status %d, wanted %d with \"%s\": %s", i, (int)status, (int)cases[i].status,
                     cases[i].mention, err.text);
        tt_weights_destroy(weights);
        tt_tensor_file_close(file);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ldm_names), cmocka_unit_test(test_other_names), cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_models),    cmocka_unit_test(test_tiny),        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
