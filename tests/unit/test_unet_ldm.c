/* test_unet_ldm.c - UNets of single-file checkpoints: names of tensors, and architectures from shapes. */
#include "tests/support/config-text.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/test-safetensors.h"
#include "unet/unet-config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"
static const char prefix[] = "model.diffusion_model.";

/* ---- names */

static void check_name(const tt_unet_config *c, const char *canonical, const char *want)
{
    tt_tensor_place place;
    if (!tt_unet_ldm_name(c, canonical, &place))
        fail_msg("%s has no place", canonical);
    assert_string_equal(place.name, want);
    assert_int_equal(place.n_slices, 1);
    assert_false(place.transposed);
}

/* Stable Diffusion 1.5: four blocks of two layers; names as they stand in its published checkpoint. */
static void test_sd15_names(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"conv_in.weight", "input_blocks.0.0.weight"},
        {"time_embedding.linear_1.weight", "time_embed.0.weight"},
        {"time_embedding.linear_2.bias", "time_embed.2.bias"},
        {"down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"},
        {"down_blocks.0.resnets.1.conv1.bias", "input_blocks.2.0.in_layers.2.bias"},
        {"down_blocks.0.attentions.0.norm.weight", "input_blocks.1.1.norm.weight"},
        {"down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight",
         "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"},
        {"down_blocks.0.downsamplers.0.conv.weight", "input_blocks.3.0.op.weight"},
        {"down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"},
        {"down_blocks.1.resnets.0.time_emb_proj.bias", "input_blocks.4.0.emb_layers.1.bias"},
        {"down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"},
        {"down_blocks.3.resnets.1.norm2.weight", "input_blocks.11.0.out_layers.0.weight"},
        {"mid_block.resnets.0.conv2.weight", "middle_block.0.out_layers.3.weight"},
        {"mid_block.attentions.0.proj_in.weight", "middle_block.1.proj_in.weight"},
        {"mid_block.resnets.1.conv1.weight", "middle_block.2.in_layers.2.weight"},
        {"up_blocks.0.resnets.0.conv1.weight", "output_blocks.0.0.in_layers.2.weight"},
        {"up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"},
        {"up_blocks.1.attentions.2.proj_out.bias", "output_blocks.5.1.proj_out.bias"},
        {"up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"},
        {"up_blocks.3.resnets.2.conv_shortcut.bias", "output_blocks.11.0.skip_connection.bias"},
        {"up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.weight",
         "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.weight"},
        {"conv_norm_out.weight", "out.0.weight"},
        {"conv_out.bias", "out.2.bias"},
        {"time_embedding.cond_proj.weight", "time_embed.cond_proj.weight"},
        {"add_embedding.linear_1.weight", "label_emb.0.0.weight"},
        {"add_embedding.linear_2.bias", "label_emb.0.2.bias"},
    };
    tt_unet_config c = {.n_blocks = 4, .layers_per_block = 2, .up_attention = {false, true, true, true}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        check_name(&c, pairs[i][0], pairs[i][1]);
}

static void test_unknown_names(void **state)
{
    (void)state;
    static const char *const unknown[] = {"",
                                          "down_blocks.",
                                          "down_blocks.0.resnets.0.norm9.weight",
                                          "down_blocks.0.other.0.weight",
                                          "up_blocks.x.resnets.0.norm1.weight",
                                          "up_blocks.9.upsamplers.0.conv.weight",
                                          "mid_block.other.0.weight",
                                          "class_embedding.weight"};
    tt_unet_config c = {.n_blocks = 4, .layers_per_block = 2};
    tt_tensor_place place;
    char endless[TT_MAX_NAME + 64] = "mid_block.attentions.0.";
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_false(tt_unet_ldm_name(&c, unknown[i], &place));
    memset(endless + strlen(endless), 'a', sizeof endless - 1 - strlen(endless));
    endless[sizeof endless - 1] = '\0';
    assert_false(tt_unet_ldm_name(&c, endless, &place));
}

/* ---- the tiny models as folders and as single files */

static tt_unet_config read_config(const char *path)
{
    char *text = config_text(path);
    tt_unet_config c = {0};
    tt_error err = {""};
    if (tt_unet_config_parse(text, path, &c, &err) != TT_OK)
        fail_msg("%s", err.text);
    free(text);
    return c;
}

/* Every tensor of the folder has its place in the single file, with the same shape, and none is left over there. */
static void check_every_tensor(const char *folder, const char *single)
{
    char path[256], name[2 * TT_MAX_NAME];
    snprintf(path, sizeof path, MODELS "%s/unet/config.json", folder);
    tt_unet_config c = read_config(path);
    snprintf(path, sizeof path, MODELS "%s/unet/diffusion_pytorch_model.safetensors", folder);
    tt_tensor_file *from = test_safetensors_open(path), *to = test_safetensors_open(single);
    size_t n_stored = 0;
    for (size_t i = 0; i < tt_tensor_file_count(from); i++) {
        const tt_tensor *tensor = tt_tensor_file_at(from, i);
        tt_tensor_place place;
        if (!tt_unet_ldm_name(&c, tensor->name, &place))
            fail_msg("%s has no place", tensor->name);
        snprintf(name, sizeof name, "%s%s", prefix, place.name);
        const tt_tensor *found = tt_tensor_file_find(to, name);
        if (!found)
            fail_msg("%s: %s should be %s, which is not there", single, tensor->name, name);
        assert_int_equal(tt_tensor_count(found), tt_tensor_count(tensor));
    }
    for (size_t i = 0; i < tt_tensor_file_count(to); i++)
        n_stored += strncmp(tt_tensor_file_at(to, i)->name, prefix, strlen(prefix)) == 0;
    assert_int_equal(n_stored, tt_tensor_file_count(from));
    tt_tensor_file_close(from);
    tt_tensor_file_close(to);
}

static void test_every_tensor(void **state)
{
    (void)state;
    check_every_tensor("sd1", MODELS "sd1.safetensors");
    check_every_tensor("sdxl", MODELS "sdxl.safetensors");
}

static void check_derived(const char *folder, const char *single, uint32_t pooled, tt_status want)
{
    char path[256];
    tt_unet_config got, c;
    tt_error err = {""};
    tt_weights *weights;
    snprintf(path, sizeof path, MODELS "%s/unet/config.json", folder);
    c = read_config(path);
    tt_tensor_file *file = test_safetensors_open(single);
    assert_int_equal(tt_weights_create(&file, 1, false, prefix, NULL, NULL, &weights, &err), TT_OK);
    tt_status status = tt_unet_config_derive(weights, pooled, &got, &err);
    if (status != want)
        fail_msg("status %d: %s", (int)status, err.text);
    assert_int_equal(got.in_channels, c.in_channels);
    assert_int_equal(got.out_channels, c.out_channels);
    assert_int_equal(got.n_blocks, c.n_blocks);
    assert_int_equal(got.layers_per_block, c.layers_per_block);
    assert_int_equal(got.cross_attention_dim, c.cross_attention_dim);
    assert_int_equal(got.has_mid, c.has_mid);
    assert_int_equal(got.linear_projection, c.linear_projection);
    assert_int_equal(got.addition_input_dim, c.addition_input_dim);
    assert_int_equal(got.addition_time_dim, c.addition_time_dim);
    for (uint32_t i = 0; i < c.n_blocks; i++) {
        assert_int_equal(got.channels[i], c.channels[i]);
        assert_int_equal(got.down_attention[i], c.down_attention[i]);
        assert_int_equal(got.up_attention[i], c.up_attention[i]);
        if (c.down_attention[i])
            assert_int_equal(got.transformer_layers[i], c.transformer_layers[i]);
    }
    assert_true(got.norm_eps == c.norm_eps && got.flip_sin_to_cos == c.flip_sin_to_cos);
    tt_weights_destroy(weights);
    tt_tensor_file_close(file);
}

static void test_derived(void **state)
{
    (void)state;
    check_derived("sd1", MODELS "sd1.safetensors", 0, TT_OK);
    /* Its eight channels do not divide into the family's 32 groups; everything else is read all the same. */
    check_derived("sdxl", MODELS "sdxl.safetensors", 12, TT_ERROR_UNSUPPORTED);
}

/* ---- architectures from headers alone */

typedef struct source {
    uint8_t *bytes;
    tt_tensor_file *file;
    tt_weights *weights;
} source;

/* Tensors "NAME shape;NAME shape;..." of bytes, zero-filled. */
static source make(const char *list)
{
    char header[8192] = "{", copy[2048];
    size_t used = 1, at = 0, n_bytes;
    source s;
    tt_error err = {""};
    snprintf(copy, sizeof copy, "%s", list);
    for (char *item = strtok(copy, ";"); item; item = strtok(NULL, ";")) {
        char *shape = strchr(item, ' ');
        size_t n = 1;
        *shape++ = '\0';
        for (char *p = shape; *p; p += strcspn(p, ","), p += *p == ',')
            n *= (size_t)strtoul(p, NULL, 10);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                 at || used > 1 ? "," : "", item, shape, at, at + n);
        at += n;
    }
    snprintf(header + used, sizeof header - used, "}");
    s.bytes = safetensors_block(header, at, &n_bytes);
    assert_non_null(s.bytes);
    if (tt_tensor_file_open_memory(s.bytes, n_bytes, "made", &s.file, &err) != TT_OK ||
        tt_weights_create(&s.file, 1, false, "", NULL, NULL, &s.weights, &err) != TT_OK)
        fail_msg("%s", err.text);
    return s;
}

static tt_status derive(const char *list, uint32_t pooled, tt_unet_config *c, tt_error *err)
{
    source s = make(list);
    tt_status status = tt_unet_config_derive(s.weights, pooled, c, err);
    tt_weights_destroy(s.weights);
    tt_tensor_file_close(s.file);
    free(s.bytes);
    return status;
}

#define LEVEL(i, n) "input_blocks." #i ".0.out_layers.3.weight " #n ",1;"
#define ATTENTION(i, dims)                                                                                             \
    "input_blocks." #i ".1.transformer_blocks.0.norm1.weight 1;input_blocks." #i                                       \
    ".1.transformer_blocks.0.attn2.to_k.weight 1,768;input_blocks." #i ".1.proj_in.weight " dims ";"

static void test_heads_by_family(void **state)
{
    (void)state;
    tt_unet_config c;
    tt_error err = {""};
    tt_status status = derive(LEVEL(1, 320) ATTENTION(1, "1,1,1,1"), 0, &c, &err);
    if (status != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c.n_heads[0], 8); /* convolutional projection: SD1 */
    assert_false(c.linear_projection);
    assert_int_equal(c.cross_attention_dim, 768);
    status = derive(LEVEL(1, 320) ATTENTION(1, "1,1") "input_blocks.2.0.op.weight 1;" LEVEL(3, 640) LEVEL(4, 640), 0,
                    &c, &err);
    if (status != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c.n_heads[0], 5); /* linear projection: 64 channels a head */
    assert_int_equal(c.n_heads[1], 10);
    assert_int_equal(c.n_blocks, 2);
    assert_int_equal(c.layers_per_block, 1);
    assert_true(c.down_attention[0] && !c.down_attention[1] && !c.has_mid);
}

static void test_derive_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        uint32_t pooled;
        tt_status status;
        const char *mention;
    } cases[] = {
        {"other 1;", 0, TT_ERROR_FORMAT, "input_blocks"},
        {"input_blocks.1.0.op.weight 1;", 0, TT_ERROR_FORMAT, "input_blocks"},
        {"input_blocks.1.0.out_layers.3.weight 0,1;", 0, TT_ERROR_FORMAT, "input_blocks"},
        {LEVEL(1, 320), 0, TT_ERROR_UNSUPPORTED, "no cross-attention"},
        {LEVEL(1, 320) ATTENTION(1, "1,1") "label_emb.0.0.weight 1,2816;", 0, TT_ERROR_UNSUPPORTED, "2816"},
        {LEVEL(1, 320) ATTENTION(1, "1,1") "label_emb.0.0.weight 1,2560;", 1280, TT_ERROR_UNSUPPORTED, "refiner"},
        {LEVEL(1, 320) ATTENTION(1, "1,1") "label_emb.0.0.weight 1,1280;", 1280, TT_ERROR_UNSUPPORTED, "1280"},
        {LEVEL(1, 100) ATTENTION(1, "1,1"), 0, TT_ERROR_UNSUPPORTED, "100 channels"},
        {LEVEL(1, 32) ATTENTION(1, "1,1") "input_blocks.2.0.op.weight 1;input_blocks.3.0.op.weight 1;" LEVEL(4, 32), 0,
         TT_ERROR_UNSUPPORTED, "block 1 has 0 channels"},
        {"input_blocks.1.0.out_layers.3.weight 4294967328,0;" ATTENTION(1, "1,1"), 0, TT_ERROR_UNSUPPORTED, "channels"},
        {"input_blocks.1.0.out_layers.3.weight 32768,0;" ATTENTION(1, "1,1"), 0, TT_ERROR_UNSUPPORTED, "32768"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_unet_config c;
        tt_error err = {""};
        tt_status status = derive(cases[i].list, cases[i].pooled, &c, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].mention))
            fail_msg("case %zu: status %d, wanted %d with \"%s\": %s", i, (int)status, (int)cases[i].status,
                     cases[i].mention, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd15_names),      cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_every_tensor),    cmocka_unit_test(test_derived),
        cmocka_unit_test(test_heads_by_family), cmocka_unit_test(test_derive_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
