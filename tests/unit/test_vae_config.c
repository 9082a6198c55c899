/* test_vae_config.c - autoencoders from config.json: what is read, and every refusal. */
#include "tests/support/config-text.h"
#include "vae/vae.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char kl_path[] = "tests/golden/data/models/sd1/vae/config.json";
static const char tiny_path[] = "tests/golden/data/models/components/taesd/config.json";

static tt_vae_config parse(const char *path, const char *changes)
{
    char *text = config_changed(path, changes);
    tt_vae_config c;
    tt_error err = {""};
    if (tt_vae_config_parse(text, "vae/config.json", &c, &err) != TT_OK)
        fail_msg("%s: %s", changes, err.text);
    free(text);
    return c;
}

static void test_kl(void **state)
{
    (void)state;
    tt_vae_config c = parse(kl_path, "{}");
    assert_int_equal(c.kind, TT_VAE_KL);
    assert_int_equal(c.latent_channels, 4);
    assert_int_equal(c.factor, 2);
    assert_int_equal(c.n_decoder_blocks, 2);
    assert_int_equal(c.decoder_channels[1], 16);
    assert_int_equal(c.encoder_layers[0], 1);
    assert_int_equal(c.n_groups, 4);
    assert_true(c.scaling_factor == 0.18215 && c.shift_factor == 0.0);
    assert_true(c.mid_attention && c.has_quant_conv && c.has_post_quant_conv);
    c = parse(kl_path, "{\"use_quant_conv\":false,\"use_post_quant_conv\":false,\"mid_block_add_attention\":false,"
                       "\"shift_factor\":0.1159,\"scaling_factor\":0.3611,\"latent_channels\":16,\"_class_name\":null,"
                       "\"block_out_channels\":[128,256,512,512],\"norm_num_groups\":32,\"layers_per_block\":2}");
    assert_false(c.has_quant_conv || c.has_post_quant_conv || c.mid_attention);
    assert_int_equal(c.factor, 8);
    assert_int_equal(c.latent_channels, 16);
    assert_true(c.shift_factor == 0.1159);
    assert_int_equal(c.decoder_layers[3], 2);
}

static void test_tiny(void **state)
{
    (void)state;
    tt_vae_config c = parse(tiny_path, "{}");
    assert_int_equal(c.kind, TT_VAE_TINY);
    assert_true(c.scaling_factor == 1.0);
    assert_int_equal(c.factor, 1u << (c.n_decoder_blocks - 1));
    uint32_t factor = c.factor;
    c = parse(tiny_path, "{\"_class_name\":null}"); /* told by its fields */
    assert_int_equal(c.kind, TT_VAE_TINY);
    assert_int_equal(c.factor, factor);
    /* Missing lists are diffusers' defaults. */
    tt_error err = {""};
    if (tt_vae_config_parse("{\"_class_name\":\"AutoencoderTiny\"}", "c", &c, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c.factor, 8);
    assert_int_equal(c.encoder_channels[3], 64);
    assert_int_equal(c.encoder_layers[0], 1);
    assert_int_equal(c.decoder_layers[0], 3);
    assert_int_equal(c.decoder_layers[3], 1);
}

typedef struct refusal {
    const char *changes;
    tt_status status;
    const char *mention;
} refusal;

static void check_refusals(const char *path, const refusal *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *text = config_changed(path, cases[i].changes);
        tt_vae_config c;
        tt_error err = {""};
        tt_status status = tt_vae_config_parse(text, "vae/config.json", &c, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].mention))
            fail_msg("%s: status %d, wanted %d with \"%s\": %s", cases[i].changes, (int)status, (int)cases[i].status,
                     cases[i].mention, err.text);
        free(text);
    }
}

static void test_common_refusals(void **state)
{
    (void)state;
    static const char *const paths[] = {kl_path, tiny_path};
    static const refusal cases[] = {
        {"{\"_class_name\":\"AutoencoderDC\"}", TT_ERROR_UNSUPPORTED, "AutoencoderDC"},
        {"{\"_class_name\":7}", TT_ERROR_FORMAT, "_class_name"},
        {"{\"latent_channels\":0}", TT_ERROR_FORMAT, "latent_channels"},
        {"{\"latent_channels\":65}", TT_ERROR_FORMAT, "latent_channels"},
        {"{\"latent_channels\":\"4\"}", TT_ERROR_FORMAT, "latent_channels"},
        {"{\"in_channels\":1}", TT_ERROR_UNSUPPORTED, "1 picture channels"},
        {"{\"out_channels\":4}", TT_ERROR_UNSUPPORTED, "4 picture channels"},
        {"{\"in_channels\":1e99}", TT_ERROR_FORMAT, "in_channels"},
        {"{\"out_channels\":-3}", TT_ERROR_FORMAT, "out_channels"},
        {"{\"scaling_factor\":0}", TT_ERROR_FORMAT, "scaling_factor"},
        {"{\"scaling_factor\":-1}", TT_ERROR_FORMAT, "scaling_factor"},
        {"{\"scaling_factor\":1e300}", TT_ERROR_FORMAT, "scaling_factor"},
        {"{\"scaling_factor\":[1]}", TT_ERROR_FORMAT, "scaling_factor"},
        {"{\"shift_factor\":1e300}", TT_ERROR_FORMAT, "shift_factor"},
        {"{\"shift_factor\":-1e7}", TT_ERROR_FORMAT, "shift_factor"},
        {"{\"shift_factor\":true}", TT_ERROR_FORMAT, "shift_factor"},
    };
    for (size_t i = 0; i < 2; i++)
        check_refusals(paths[i], cases, sizeof cases / sizeof *cases);
}

static void test_kl_refusals(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"{\"block_out_channels\":null}", TT_ERROR_FORMAT, "config of a VAE"},
        {"{\"block_out_channels\":[]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[8,8,8,8,8,8,8,8,8]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[8,65536]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[8,6]}", TT_ERROR_UNSUPPORTED, "block 1 has 6"},
        {"{\"norm_num_groups\":16}", TT_ERROR_UNSUPPORTED, "block 0 has 8"},
        {"{\"norm_num_groups\":0}", TT_ERROR_FORMAT, "norm_num_groups"},
        {"{\"norm_num_groups\":4294967295}", TT_ERROR_FORMAT, "norm_num_groups"},
        {"{\"layers_per_block\":0}", TT_ERROR_FORMAT, "layers_per_block"},
        {"{\"layers_per_block\":1000000}", TT_ERROR_FORMAT, "layers_per_block"},
        {"{\"mid_block_add_attention\":0}", TT_ERROR_FORMAT, "mid_block_add_attention"},
        {"{\"use_quant_conv\":\"no\"}", TT_ERROR_FORMAT, "use_quant_conv"},
        {"{\"use_post_quant_conv\":[]}", TT_ERROR_FORMAT, "use_post_quant_conv"},
    };
    check_refusals(kl_path, cases, sizeof cases / sizeof *cases);
}

static void test_tiny_refusals(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"{\"act_fn\":\"gelu\"}", TT_ERROR_UNSUPPORTED, "gelu"},
        {"{\"act_fn\":1}", TT_ERROR_FORMAT, "act_fn"},
        {"{\"upsample_fn\":\"bilinear\"}", TT_ERROR_UNSUPPORTED, "bilinear"},
        {"{\"upsample_fn\":false}", TT_ERROR_FORMAT, "upsample_fn"},
        {"{\"upsampling_scaling_factor\":4}", TT_ERROR_UNSUPPORTED, "factor 4"},
        {"{\"upsampling_scaling_factor\":0}", TT_ERROR_FORMAT, "upsampling_scaling_factor"},
        {"{\"encoder_block_out_channels\":[8,8,8,8,8],\"num_encoder_blocks\":[1,1]}", TT_ERROR_FORMAT, "same length"},
        {"{\"decoder_block_out_channels\":[8,8,8,8,8],\"num_decoder_blocks\":[1,1]}", TT_ERROR_FORMAT, "same length"},
        {"{\"decoder_block_out_channels\":[8,16],\"num_decoder_blocks\":[1,1]}", TT_ERROR_UNSUPPORTED,
         "decoder_block_out_channels"},
        {"{\"encoder_block_out_channels\":[6,6],\"num_encoder_blocks\":[1,1]}", TT_ERROR_UNSUPPORTED,
         "encoder_block_out_channels"},
        {"{\"num_encoder_blocks\":[1000]}", TT_ERROR_FORMAT, "num_encoder_blocks"},
        {"{\"num_decoder_blocks\":[1,1,1,1,1,1,1,1,1]}", TT_ERROR_FORMAT, "num_decoder_blocks"},
        {"{\"encoder_block_out_channels\":[8,8],\"num_encoder_blocks\":[1,1],\"decoder_block_out_channels\":[8,8,8],"
         "\"num_decoder_blocks\":[1,1,1]}",
         TT_ERROR_UNSUPPORTED, "2 blocks and the decoder 3"},
    };
    check_refusals(tiny_path, cases, sizeof cases / sizeof *cases);
}

static void test_bad_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "{]", "{\"scaling_factor\": NaN}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tt_vae_config c;
        tt_error err = {""};
        assert_int_equal(tt_vae_config_parse(texts[i], "vae/config.json", &c, &err), TT_ERROR_FORMAT);
        assert_non_null(strstr(err.text, "vae/config.json"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kl),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_common_refusals),
        cmocka_unit_test(test_kl_refusals),
        cmocka_unit_test(test_tiny_refusals),
        cmocka_unit_test(test_bad_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
