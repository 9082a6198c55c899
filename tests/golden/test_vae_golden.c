/* test_vae_golden.c - AutoencoderKL and AutoencoderTiny, both directions, against independent goldens. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

typedef struct vae_case {
    const char *golden, *decoder, *encoder; /* golden file, models of the set */
    bool tiny;
} vae_case;

static const vae_case cases[] = {
    {"vae_sd1_vae", "sd1", "sd1", false},
    {"vae_sd1_vae", "sd1.safetensors", "sd1.safetensors", false},
    {"vae_sdxl_vae", "sdxl", "sdxl", false},
    {"vae_tiny_vae", "bks", "bks", false},
    {"taesd", "components/taesd", "components/taesd", true},
    {"taesd", "taesd_decoder.safetensors", "taesd_encoder.safetensors", true},
};

static const char *const sizes[] = {"8x8", "6x9"};

/* Runs one stage on one golden input and checks the named outputs (golden name, our name; up to two). */
static void check_stage(tt_context *context, tt_model *model, tt_stage stage, const tt_arrays *golden, const char *size,
                        const char *const names[][2], int n_names, const char *label, double bar)
{
    tt_arrays in = {0}, out;
    bool decode = stage == TT_STAGE_VAE_DECODE;
    golden_copy(context, &in, decode ? "latent" : "image", golden_array(golden, "%s.%s", size, decode ? "z" : "image"));
    tt_stage_params params;
    tt_stage_params_default(&params, stage);
    golden_run(context, model, &params, &in, &out);
    for (int i = 0; i < n_names; i++) {
        char what[192];
        snprintf(what, sizeof what, "%s %s.%s", label, size, names[i][0]);
        golden_check(
            what, golden_error(golden_array(&out, "%s", names[i][1]), golden_array(golden, "%s.%s", size, names[i][0])),
            bar);
    }
    tt_arrays_free(&in);
    tt_arrays_free(&out);
}

static void check_vae(tt_context *context, const golden_set *set, const vae_case *c, tt_precision precision)
{
    static const char *const decoded[][2] = {{"decoded", "image"}};
    static const char *const moments[][2] = {{"mean", "mean"}, {"logvar", "logvar"}};
    static const char *const latents[][2] = {{"latents", "latent"}};
    bool half = precision == TT_PRECISION_F16;
    char file[64], label[128];
    tt_arrays golden;
    snprintf(file, sizeof file, "%s.safetensors", c->golden);
    if (!golden_read(context, set, file, &golden))
        return;
    tt_model *decoder = golden_model(context, set, c->decoder, precision);
    tt_model *encoder = golden_model(context, set, c->encoder, precision);
    snprintf(label, sizeof label, "%s %s %s", set->name, c->decoder, half ? "half" : "float");
    double bar = half ? 3e-3 : 5e-6;
    for (int i = 0; i < 2; i++) {
        if (decoder)
            check_stage(context, decoder, TT_STAGE_VAE_DECODE, &golden, sizes[i], decoded, 1, label, bar);
        if (encoder)
            check_stage(context, encoder, TT_STAGE_VAE_ENCODE, &golden, sizes[i], c->tiny ? latents : moments,
                        c->tiny ? 1 : 2, label, bar);
    }
    tt_model_destroy(decoder);
    tt_model_destroy(encoder);
    tt_arrays_free(&golden);
}

static void check_all(tt_precision precision)
{
    golden_set sets[GOLDEN_SETS];
    tt_context *context = golden_context();
    int n = golden_sets(sets);
    for (int s = 0; s < n; s++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_vae(context, &sets[s], &cases[i], precision);
    tt_context_destroy(context);
    golden_finish();
}

static void vaes_match_in_float(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F32);
}

static void vaes_match_in_half(void **state)
{
    (void)state;
    check_all(TT_PRECISION_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vaes_match_in_float), cmocka_unit_test(vaes_match_in_half)};
    return cmocka_run_group_tests_name("vae goldens", tests, NULL, NULL);
}
