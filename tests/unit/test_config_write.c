/* test_config_write.c - configs written from what was derived: read again, each gives the same architecture. */
#include "pipeline/config-write.h"
#include "tests/support/config-text.h"
#include "tests/support/test-safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"

static void ok(tt_status status, const tt_error *err)
{
    if (status != TT_OK)
        fail_msg("%s", err->text);
}

static void same_unet(const tt_unet_config *a, const tt_unet_config *b)
{
    assert_int_equal(a->in_channels, b->in_channels);
    assert_int_equal(a->out_channels, b->out_channels);
    assert_int_equal(a->n_blocks, b->n_blocks);
    for (uint32_t i = 0; i < a->n_blocks; i++) {
        assert_int_equal(a->channels[i], b->channels[i]);
        assert_int_equal(a->n_heads[i], b->n_heads[i]);
        assert_int_equal(a->transformer_layers[i], b->transformer_layers[i]);
        assert_int_equal(a->down_attention[i], b->down_attention[i]);
        assert_int_equal(a->up_attention[i], b->up_attention[i]);
    }
    assert_int_equal(a->layers_per_block, b->layers_per_block);
    assert_int_equal(a->has_mid, b->has_mid);
    assert_int_equal(a->linear_projection, b->linear_projection);
    assert_int_equal(a->cross_attention_dim, b->cross_attention_dim);
    assert_int_equal(a->n_groups, b->n_groups);
    assert_memory_equal(&a->norm_eps, &b->norm_eps, sizeof a->norm_eps);
    assert_int_equal(a->flip_sin_to_cos, b->flip_sin_to_cos);
    assert_memory_equal(&a->freq_shift, &b->freq_shift, sizeof a->freq_shift);
    assert_int_equal(a->time_cond_dim, b->time_cond_dim);
    assert_int_equal(a->addition_time_dim, b->addition_time_dim);
    assert_int_equal(a->addition_input_dim, b->addition_input_dim);
}

static void unet_round_trip(const tt_unet_config *config)
{
    tt_error err = {""};
    tt_unet_config back;
    char *json = NULL;
    ok(tt_config_write_unet(config, &json, &err), &err);
    ok(tt_unet_config_parse(json, "written", &back, &err), &err);
    same_unet(config, &back);
    free(json);
}

static void test_unet(void **state)
{
    (void)state;
    static const char *const names[] = {"sd1", "sd2", "sdxl", "lcm", "inpaint", "bks"};
    static const char *const changes[] = {"{}", "{\"norm_eps\":1e-6,\"freq_shift\":0.1,\"flip_sin_to_cos\":false}",
                                          "{\"norm_eps\":3.3333333e-5,\"layers_per_block\":2,\"out_channels\":8}"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t j = 0; j < sizeof changes / sizeof *changes; j++) {
            char path[256];
            tt_error err = {""};
            tt_unet_config config;
            snprintf(path, sizeof path, MODELS "%s/unet/config.json", names[i]);
            char *text = config_changed(path, changes[j]);
            ok(tt_unet_config_parse(text, path, &config, &err), &err);
            unet_round_trip(&config);
            free(text);
        }
}

/* Of the published sizes, which no file here has: what tt_unet_config_derive makes of SD1.5 and SDXL. */
static void test_full_size(void **state)
{
    (void)state;
    unet_round_trip(&(tt_unet_config){.in_channels = 4,
                                      .out_channels = 4,
                                      .n_blocks = 4,
                                      .channels = {320, 640, 1280, 1280},
                                      .n_heads = {8, 8, 8, 8},
                                      .transformer_layers = {1, 1, 1, 1},
                                      .down_attention = {true, true, true, false},
                                      .up_attention = {false, true, true, true},
                                      .layers_per_block = 2,
                                      .has_mid = true,
                                      .cross_attention_dim = 768,
                                      .n_groups = 32,
                                      .norm_eps = 1e-5f,
                                      .flip_sin_to_cos = true});
    unet_round_trip(&(tt_unet_config){.in_channels = 4,
                                      .out_channels = 4,
                                      .n_blocks = 3,
                                      .channels = {320, 640, 1280},
                                      .n_heads = {5, 10, 20},
                                      .transformer_layers = {1, 2, 10},
                                      .down_attention = {false, true, true},
                                      .up_attention = {true, true, false},
                                      .layers_per_block = 2,
                                      .has_mid = true,
                                      .linear_projection = true,
                                      .cross_attention_dim = 2048,
                                      .n_groups = 32,
                                      .norm_eps = 1e-5f,
                                      .flip_sin_to_cos = true,
                                      .addition_time_dim = 256,
                                      .addition_input_dim = 2816});
}

static void same_vae(const tt_vae_config *a, const tt_vae_config *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->latent_channels, b->latent_channels);
    assert_int_equal(a->factor, b->factor);
    assert_memory_equal(&a->scaling_factor, &b->scaling_factor, sizeof(double));
    assert_memory_equal(&a->shift_factor, &b->shift_factor, sizeof(double));
    assert_int_equal(a->n_groups, b->n_groups);
    assert_int_equal(a->n_encoder_blocks, b->n_encoder_blocks);
    assert_int_equal(a->n_decoder_blocks, b->n_decoder_blocks);
    for (uint32_t i = 0; i < a->n_decoder_blocks; i++) {
        assert_int_equal(a->encoder_channels[i], b->encoder_channels[i]);
        assert_int_equal(a->encoder_layers[i], b->encoder_layers[i]);
        assert_int_equal(a->decoder_channels[i], b->decoder_channels[i]);
        assert_int_equal(a->decoder_layers[i], b->decoder_layers[i]);
    }
    assert_int_equal(a->mid_attention, b->mid_attention);
    assert_int_equal(a->has_quant_conv, b->has_quant_conv);
    assert_int_equal(a->has_post_quant_conv, b->has_post_quant_conv);
}

static void test_vae(void **state)
{
    (void)state;
    static const char *const paths[] = {MODELS "sd1/vae/config.json", MODELS "sdxl/vae/config.json",
                                        MODELS "components/taesd/config.json"};
    static const char *const changes[] = {
        "{}", "{\"scaling_factor\":0.3611,\"shift_factor\":0.1159,\"latent_channels\":16}",
        "{\"use_quant_conv\":false,\"mid_block_add_attention\":false,\"layers_per_block\":2}"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (size_t j = 0; j < sizeof changes / sizeof *changes; j++) {
            tt_error err = {""};
            tt_vae_config config, back;
            char *text = config_changed(paths[i], changes[j]), *json = NULL;
            ok(tt_vae_config_parse(text, paths[i], &config, &err), &err);
            ok(tt_config_write_vae(&config, &json, &err), &err);
            ok(tt_vae_config_parse(json, "written", &back, &err), &err);
            same_vae(&config, &back);
            free(json);
            free(text);
        }
}

/* Of an original TAESD file one half is known: what is known must come back. */
static void test_half_vae(void **state)
{
    (void)state;
    static const char *const files[] = {MODELS "taesd_decoder.safetensors", MODELS "taesd_encoder.safetensors"};
    for (int i = 0; i < 2; i++) {
        tt_error err = {""};
        bool is_decoder = i == 0;
        tt_weights *weights = NULL;
        tt_vae_config config, back;
        char *json = NULL;
        tt_tensor_file *file = test_safetensors_open(files[i]);
        ok(tt_weights_create(&file, 1, false, "", NULL, NULL, &weights, &err), &err);
        ok(tt_vae_tiny_derive(weights, true, is_decoder, &config, &err), &err);
        ok(tt_config_write_vae(&config, &json, &err), &err);
        ok(tt_vae_config_parse(json, "written", &back, &err), &err);
        const uint32_t *want = is_decoder ? config.decoder_layers : config.encoder_layers;
        const uint32_t *got = is_decoder ? back.decoder_layers : back.encoder_layers;
        assert_int_equal(back.factor, config.factor);
        assert_int_equal(back.latent_channels, config.latent_channels);
        for (uint32_t k = 0; k < back.n_decoder_blocks; k++)
            assert_int_equal(got[k], want[k]);
        free(json);
        tt_weights_destroy(weights);
        tt_tensor_file_close(file);
    }
}

static void test_clip(void **state)
{
    (void)state;
    static const char *const paths[] = {MODELS "sd1/text_encoder/config.json", MODELS "sd2/text_encoder/config.json",
                                        MODELS "sdxl/text_encoder/config.json",
                                        MODELS "sdxl/text_encoder_2/config.json"};
    static const char *const changes[] = {"{}", "{\"eos_token_id\":2,\"layer_norm_eps\":1e-6}",
                                          "{\"layer_norm_eps\":1.2345678e-5,\"vocab_size\":49408}"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (size_t j = 0; j < sizeof changes / sizeof *changes; j++) {
            tt_error err = {""};
            tt_clip_config a, b;
            char *text = config_changed(paths[i], changes[j]), *json = NULL;
            ok(tt_clip_config_parse(text, paths[i], &a, &err), &err);
            ok(tt_config_write_clip(&a, &json, &err), &err);
            ok(tt_clip_config_parse(json, "written", &b, &err), &err);
            assert_int_equal(a.n_vocabulary, b.n_vocabulary);
            assert_int_equal(a.hidden, b.hidden);
            assert_int_equal(a.intermediate, b.intermediate);
            assert_int_equal(a.n_layers, b.n_layers);
            assert_int_equal(a.n_heads, b.n_heads);
            assert_int_equal(a.n_positions, b.n_positions);
            assert_int_equal(a.activation, b.activation);
            assert_memory_equal(&a.layer_norm_eps, &b.layer_norm_eps, sizeof(float));
            assert_int_equal(a.projection_dim, b.projection_dim);
            assert_int_equal(a.eos_id, b.eos_id);
            free(json);
            free(text);
        }
}

static void test_scheduler(void **state)
{
    (void)state;
    static const char given[] =
        "{\"_class_name\":\"DPMSolverMultistepScheduler\",\"lambda_min_clipped\":-Infinity,\"beta_start\":0.00085,"
        "\"trained_betas\":null,\"use_karras_sigmas\":true,\"prediction_type\":\"epsilon\",\"an_unknown\":[1]}";
    tt_error err = {""};
    tt_scheduler_config *config = NULL, *back = NULL;
    char *json = NULL;
    ok(tt_scheduler_config_parse(given, strlen(given), &config, &err), &err);
    tt_scheduler_config_set_prediction(config, TT_PREDICT_V);
    ok(tt_scheduler_config_write(config, &json, &err), &err);
    ok(tt_scheduler_config_parse(json, strlen(json), &back, &err), &err);
    assert_string_equal(tt_scheduler_config_class(back), "DPMSolverMultistepScheduler");
    assert_int_equal(tt_scheduler_config_prediction(back), TT_PREDICT_V);
    assert_string_equal(tt_scheduler_config_schedule_name(back), "Karras");
    free(json);
    tt_scheduler_config_free(config);
    tt_scheduler_config_free(back);
}

static void test_index(void **state)
{
    (void)state;
    tt_error err = {""};
    char *json = NULL;
    tt_model model = {.family = TT_FAMILY_SDXL, .has_unet = true, .has_vae = true, .force_zeros = false};
    model.unet_config.in_channels = model.unet_config.out_channels = 4;
    model.text[1].present = true;
    model.text[1].config.projection_dim = 8;
    ok(tt_config_write_index(&model, &json, &err), &err);
    assert_non_null(strstr(json, "\"_class_name\": \"StableDiffusionXLPipeline\""));
    assert_non_null(strstr(json, "\"force_zeros_for_empty_prompt\": false"));
    assert_non_null(strstr(json, "\"text_encoder_2\": [\"transformers\", \"CLIPTextModelWithProjection\"]"));
    assert_null(strstr(json, "\"text_encoder\":"));
    assert_non_null(strstr(json, "\"vae\": [\"diffusers\", \"AutoencoderKL\"]"));
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet),     cmocka_unit_test(test_full_size), cmocka_unit_test(test_vae),
        cmocka_unit_test(test_half_vae), cmocka_unit_test(test_clip),      cmocka_unit_test(test_scheduler),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
