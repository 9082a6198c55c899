/* test_unet_config.c - UNet architectures from config.json: what is read, and every refusal. */
#include "tests/support/config-text.h"
#include "unet/unet-config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sd1_config[] = "tests/golden/data/models/sd1/unet/config.json";
static const char sdxl_config[] = "tests/golden/data/models/sdxl/unet/config.json";

static tt_unet_config parse(const char *path, const char *changes)
{
    char *text = config_changed(path, changes);
    tt_unet_config c;
    tt_error err = {""};
    if (tt_unet_config_parse(text, "unet/config.json", &c, &err) != TT_OK)
        fail_msg("%s: %s", changes, err.text);
    free(text);
    return c;
}

static void test_read(void **state)
{
    (void)state;
    tt_unet_config c = parse(sd1_config, "{}");
    assert_int_equal(c.in_channels, 4);
    assert_int_equal(c.out_channels, 4);
    assert_int_equal(c.n_blocks, 2);
    assert_int_equal(c.channels[0], 32);
    assert_int_equal(c.n_heads[0], 8);
    assert_int_equal(c.n_heads[1], 8);
    assert_int_equal(c.transformer_layers[1], 1);
    assert_true(c.down_attention[0] && !c.down_attention[1] && !c.up_attention[0] && c.up_attention[1]);
    assert_int_equal(c.layers_per_block, 1);
    assert_true(c.has_mid && c.flip_sin_to_cos && !c.linear_projection);
    assert_int_equal(c.cross_attention_dim, 32);
    assert_int_equal(c.time_cond_dim, 0);
    assert_int_equal(c.addition_input_dim, 0);
    c = parse(sdxl_config, "{}");
    assert_int_equal(c.n_blocks, 3);
    assert_int_equal(c.n_heads[2], 2);
    assert_int_equal(c.transformer_layers[2], 2);
    assert_int_equal(c.addition_time_dim, 8);
    assert_int_equal(c.addition_input_dim, 60);
    assert_true(c.linear_projection);
}

/* Fields may be missing, null, written as 8.0, or one number for all blocks. */
static void test_variants(void **state)
{
    (void)state;
    tt_unet_config c = parse(sd1_config, "{\"attention_head_dim\":[4,2.0],\"norm_eps\":null}");
    assert_int_equal(c.n_heads[0], 4);
    assert_int_equal(c.n_heads[1], 2);
    assert_true(c.norm_eps > 0.9e-5f && c.norm_eps < 1.1e-5f);
    c = parse(sd1_config, "{\"num_attention_heads\":4}"); /* wins over attention_head_dim */
    assert_int_equal(c.n_heads[0], 4);
    c = parse(sd1_config, "{\"mid_block_type\":null,\"down_block_types\":[\"CrossAttnDownBlock2D\",\"DownBlock2D\"]}");
    assert_false(c.has_mid);
    c = parse(sd1_config, "{\"time_cond_proj_dim\":16,\"in_channels\":9}");
    assert_int_equal(c.time_cond_dim, 16);
    assert_int_equal(c.in_channels, 9);
    c = parse(sd1_config, "{\"flip_sin_to_cos\":false,\"freq_shift\":1,\"use_linear_projection\":true,"
                          "\"unknown_field\":{\"a\":[1,2]}}");
    assert_true(!c.flip_sin_to_cos && c.freq_shift == 1.0 && c.linear_projection);
    tt_error err = {""};
    tt_status status = tt_unet_config_parse("{\"block_out_channels\":[320,640],\"down_block_types\":[\"DownBlock2D\","
                                            "\"CrossAttnDownBlock2D\"],\"up_block_types\":[\"CrossAttnUpBlock2D\","
                                            "\"UpBlock2D\"]}",
                                            "c", &c, &err);
    if (status != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c.layers_per_block, 2); /* diffusers' defaults */
    assert_int_equal(c.cross_attention_dim, 1280);
    assert_int_equal(c.n_groups, 32);
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
        tt_unet_config c;
        tt_error err = {""};
        tt_status status = tt_unet_config_parse(text, "unet/config.json", &c, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].mention))
            fail_msg("%s: status %d, wanted %d with \"%s\": %s", cases[i].changes, (int)status, (int)cases[i].status,
                     cases[i].mention, err.text);
        free(text);
    }
}

static void test_other_architectures(void **state)
{
    (void)state;
    static const char *const keys[] = {"class_embed_type",        "num_class_embeds",
                                       "encoder_hid_dim_type",    "encoder_hid_dim",
                                       "dual_cross_attention",    "cross_attention_norm",
                                       "center_input_sample",     "resnet_skip_time_act",
                                       "timestep_post_act",       "time_embedding_act_fn",
                                       "only_cross_attention",    "mid_block_only_cross_attention",
                                       "class_embeddings_concat", "reverse_transformer_layers_per_block",
                                       "time_embedding_type",     "resnet_time_scale_shift",
                                       "attention_type",          "act_fn"};
    static const char *const values[] = {"true", "7", "\"other\"", "[true]"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            char changes[128];
            snprintf(changes, sizeof changes, "{\"%s\":%s}", keys[i], values[j]);
            check_refusals(sd1_config, &(refusal){changes, TT_ERROR_UNSUPPORTED, keys[i]}, 1);
        }
    static const refusal cases[] = {
        {"{\"downsample_padding\":0}", TT_ERROR_UNSUPPORTED, "downsample_padding"},
        {"{\"mid_block_scale_factor\":1.41}", TT_ERROR_UNSUPPORTED, "mid_block_scale_factor"},
        {"{\"resnet_out_scale_factor\":2}", TT_ERROR_UNSUPPORTED, "resnet_out_scale_factor"},
        {"{\"conv_in_kernel\":5}", TT_ERROR_UNSUPPORTED, "conv_in_kernel"},
        {"{\"conv_out_kernel\":1}", TT_ERROR_UNSUPPORTED, "conv_out_kernel"},
        {"{\"conv_out_kernel\":\"3\"}", TT_ERROR_FORMAT, "conv_out_kernel"},
        {"{\"mid_block_type\":\"UNetMidBlock2DSimpleCrossAttn\"}", TT_ERROR_UNSUPPORTED, "mid_block_type"},
        {"{\"mid_block_type\":5}", TT_ERROR_UNSUPPORTED, "mid_block_type"},
        {"{\"down_block_types\":[\"AttnDownBlock2D\",\"DownBlock2D\"]}", TT_ERROR_UNSUPPORTED, "AttnDownBlock2D"},
        {"{\"down_block_types\":[1,\"DownBlock2D\"]}", TT_ERROR_UNSUPPORTED, "no text"},
        {"{\"up_block_types\":[\"UpBlock2D\",\"DownBlock2D\"]}", TT_ERROR_UNSUPPORTED, "up_block_types"},
        {"{\"addition_embed_type\":\"image\"}", TT_ERROR_UNSUPPORTED, "image"},
        {"{\"addition_embed_type\":3}", TT_ERROR_FORMAT, "addition_embed_type"},
    };
    check_refusals(sd1_config, cases, sizeof cases / sizeof *cases);
}

static void test_bad_numbers(void **state)
{
    (void)state;
    static const char *const counts[] = {"in_channels",         "out_channels",        "layers_per_block",
                                         "cross_attention_dim", "norm_num_groups",     "time_cond_proj_dim",
                                         "attention_head_dim",  "num_attention_heads", "transformer_layers_per_block"};
    static const char *const values[] = {"0", "-1", "4294967296", "1e300", "2.5", "\"4\"", "true", "{}", "99999999"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            char changes[128];
            snprintf(changes, sizeof changes, "{\"%s\":%s}", counts[i], values[j]);
            check_refusals(sd1_config, &(refusal){changes, TT_ERROR_FORMAT, counts[i]}, 1);
        }
    static const refusal cases[] = {
        {"{\"norm_eps\":0}", TT_ERROR_FORMAT, "norm_eps"},
        {"{\"norm_eps\":-1e-5}", TT_ERROR_FORMAT, "norm_eps"},
        {"{\"norm_eps\":1e300}", TT_ERROR_FORMAT, "norm_eps"},
        {"{\"norm_eps\":\"NaN\"}", TT_ERROR_FORMAT, "norm_eps"},
        {"{\"freq_shift\":16}", TT_ERROR_FORMAT, "freq_shift"}, /* would divide by zero at 32 channels */
        {"{\"freq_shift\":-1}", TT_ERROR_FORMAT, "freq_shift"},
        {"{\"freq_shift\":[]}", TT_ERROR_FORMAT, "freq_shift"},
        {"{\"flip_sin_to_cos\":1}", TT_ERROR_FORMAT, "flip_sin_to_cos"},
        {"{\"use_linear_projection\":\"yes\"}", TT_ERROR_FORMAT, "use_linear_projection"},
    };
    check_refusals(sd1_config, cases, sizeof cases / sizeof *cases);
}

static void test_bad_blocks(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"{\"block_out_channels\":null}", TT_ERROR_FORMAT, "config of a UNet"},
        {"{\"block_out_channels\":[]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[32,32,32,32,32,32,32,32,32]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[32,32768]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[0,32]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[32,[32]]}", TT_ERROR_FORMAT, "block_out_channels"},
        {"{\"block_out_channels\":[32,32,32]}", TT_ERROR_FORMAT, "down_block_types"},
        {"{\"block_out_channels\":[32,48]}", TT_ERROR_UNSUPPORTED, "48 channels"},
        {"{\"block_out_channels\":[32,30],\"norm_num_groups\":2}", TT_ERROR_UNSUPPORTED, "30 channels"},
        {"{\"down_block_types\":[\"DownBlock2D\"]}", TT_ERROR_FORMAT, "down_block_types"},
        {"{\"down_block_types\":\"DownBlock2D\"}", TT_ERROR_FORMAT, "down_block_types"},
        {"{\"up_block_types\":null}", TT_ERROR_FORMAT, "up_block_types"},
        {"{\"attention_head_dim\":[8,8,8]}", TT_ERROR_FORMAT, "attention_head_dim"},
        {"{\"transformer_layers_per_block\":[1,1,1]}", TT_ERROR_FORMAT, "transformer_layers_per_block"},
        {"{\"attention_head_dim\":16}", TT_ERROR_UNSUPPORTED, "16 attention heads"}, /* two channels a head */
        {"{\"attention_head_dim\":3}", TT_ERROR_UNSUPPORTED, "3 attention heads"},
        {"{\"attention_head_dim\":[8,3]}", TT_ERROR_UNSUPPORTED, "block 1"}, /* the mid block's */
        {"{\"block_out_channels\":[32,32,32,32,32,32,32,32],\"layers_per_block\":8,\"down_block_types\":["
         "\"DownBlock2D\",\"DownBlock2D\",\"DownBlock2D\",\"DownBlock2D\",\"DownBlock2D\",\"DownBlock2D\","
         "\"DownBlock2D\",\"DownBlock2D\"],\"up_block_types\":[\"UpBlock2D\",\"UpBlock2D\",\"UpBlock2D\","
         "\"UpBlock2D\",\"UpBlock2D\",\"UpBlock2D\",\"UpBlock2D\",\"UpBlock2D\"]}",
         TT_ERROR_UNSUPPORTED, "8 blocks of 8 layers"},
    };
    check_refusals(sd1_config, cases, sizeof cases / sizeof *cases);
    /* Heads that do not divide are nobody's concern in a block without attention. */
    tt_unet_config c = parse(sd1_config, "{\"attention_head_dim\":[8,3],\"mid_block_type\":null}");
    assert_int_equal(c.n_heads[1], 3);
}

static void test_bad_addition(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"{\"addition_time_embed_dim\":null}", TT_ERROR_UNSUPPORTED, "six time ids"},
        {"{\"addition_time_embed_dim\":1}", TT_ERROR_FORMAT, "addition_time_embed_dim"},
        {"{\"addition_time_embed_dim\":10}", TT_ERROR_UNSUPPORTED, "60 inputs"}, /* nothing left for the text */
        {"{\"projection_class_embeddings_input_dim\":null}", TT_ERROR_UNSUPPORTED, "six time ids"},
        {"{\"projection_class_embeddings_input_dim\":1e9}", TT_ERROR_FORMAT, "projection_class_embeddings_input_dim"},
    };
    check_refusals(sdxl_config, cases, sizeof cases / sizeof *cases);
}

static void test_bad_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "[]", "{", "{\"a\":1,\"a\":2}", "null", "{\"norm_eps\": NaN}", "{\"norm_eps\": 1e999}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tt_unet_config c;
        tt_error err = {""};
        assert_int_equal(tt_unet_config_parse(texts[i], "unet/config.json", &c, &err), TT_ERROR_FORMAT);
        assert_non_null(strstr(err.text, "unet/config.json"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_bad_numbers), cmocka_unit_test(test_other_architectures),
        cmocka_unit_test(test_bad_blocks),  cmocka_unit_test(test_bad_addition),
        cmocka_unit_test(test_bad_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
