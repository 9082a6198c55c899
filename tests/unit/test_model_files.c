/* test_model_files.c - folders and files that are models, and those that are not. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "model-file/model-files.h"
#include "model-file/safetensors.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char model_index[] =
    "{\"_class_name\": \"StableDiffusionPipeline\", \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],"
    " \"vae\": [\"diffusers\", \"AutoencoderKL\"], \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],"
    " \"safety_checker\": [null, null], \"text_encoder_2\": [null, null]}";

/* A file with one F16 tensor of two elements. */
static void write_weights(const temp_folder *folder, const char *name, const char *tensor)
{
    static const uint16_t data[2] = {0x3c00, 0x4000};
    char path[TT_TEMP_PATH];
    tt_error err = {""};
    const tt_tensor item = {tensor, TT_F16, 1, {2}, data, 4};
    temp_folder_write(folder, name, "", 0); /* makes the folders */
    if (tt_safetensors_write(temp_folder_path(folder, name, path), &item, 1, NULL, 0, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void write_diffusers(const temp_folder *folder)
{
    temp_folder_write_text(folder, "model_index.json", model_index);
    temp_folder_write_text(folder, "unet/config.json", "{\"sample_size\": 64}");
    temp_folder_write_text(folder, "vae/config.json", "{\"vae\": 1}");
    temp_folder_write_text(folder, "text_encoder/config.json", "{\"te\": 1}");
    temp_folder_write_text(folder, "scheduler/scheduler_config.json", "{\"sch\": 1}");
    temp_folder_write_text(folder, "tokenizer/vocab.json", "{\"a\": 0}");
    temp_folder_write_text(folder, "tokenizer/merges.txt", "#version: 0.2\na b\n");
    temp_folder_write_text(folder, "tokenizer/tokenizer_config.json", "{\"tok\": 1}");
    write_weights(folder, "unet/diffusion_pytorch_model.safetensors", "conv_in.weight");
    write_weights(folder, "vae/diffusion_pytorch_model.fp16.safetensors", "encoder.x");
    write_weights(folder, "text_encoder/model.safetensors", "text_model.x");
}

static tt_model_files *open_good(const char *path)
{
    tt_model_files *files;
    tt_error err = {""};
    if (tt_model_files_open(path, &files, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_string_equal(tt_model_files_path(files), path);
    return files;
}

/* Opening must fail with this status and a sentence that holds `mention`. */
static void expect_refusal(const char *path, tt_status status, const char *mention)
{
    tt_model_files *files = (tt_model_files *)&status;
    tt_error err = {""};
    tt_status found = tt_model_files_open(path, &files, &err);
    if (found != status || strstr(err.text, mention) == NULL)
        fail_msg("%s: status %d, expected %d with '%s': %s", path, (int)found, (int)status, mention, err.text);
    assert_null(files);
    assert_null(strchr(err.text, '\n'));
}

/* The number of files of a component, and whether it has the tensor under its prefix. */
static size_t component(const tt_model_files *files, const char *role, const char *tensor)
{
    tt_tensor_file *const *list;
    size_t n;
    const char *prefix;
    char name[TT_MAX_NAME];
    bool found = false;
    tt_model_files_component(files, role, &list, &n, &prefix);
    (void)snprintf(name, sizeof(name), "%s%s", prefix, tensor);
    for (size_t i = 0; i < n; i++)
        found = found || tt_tensor_file_find(list[i], name) != NULL;
    assert_int_equal(found, n > 0);
    return n;
}

static void test_diffusers_folder(void **state)
{
    (void)state;
    temp_folder folder;
    temp_folder_make(&folder);
    write_diffusers(&folder);
    tt_model_files *files = open_good(folder.path);
    assert_int_equal(tt_model_files_layout(files), TT_LAYOUT_DIFFUSERS);
    assert_string_equal(tt_model_files_text(files, "model_index"), model_index);
    assert_string_equal(tt_model_files_text(files, "unet"), "{\"sample_size\": 64}");
    assert_string_equal(tt_model_files_text(files, "vae"), "{\"vae\": 1}");
    assert_string_equal(tt_model_files_text(files, "text_encoder"), "{\"te\": 1}");
    assert_string_equal(tt_model_files_text(files, "scheduler"), "{\"sch\": 1}");
    assert_string_equal(tt_model_files_text(files, "vocab"), "{\"a\": 0}");
    assert_string_equal(tt_model_files_text(files, "merges"), "#version: 0.2\na b\n");
    assert_string_equal(tt_model_files_text(files, "tokenizer_config"), "{\"tok\": 1}");
    assert_null(tt_model_files_text(files, "text_encoder_2"));
    assert_null(tt_model_files_text(files, "vocab_2"));
    assert_null(tt_model_files_text(files, "config"));
    assert_null(tt_model_files_text(files, "../secret"));
    assert_string_equal(tt_model_files_class(files, "unet"), "UNet2DConditionModel");
    assert_string_equal(tt_model_files_class(files, "vae"), "AutoencoderKL");
    assert_null(tt_model_files_class(files, "text_encoder_2"));
    assert_null(tt_model_files_class(files, "scheduler"));
    assert_null(tt_model_files_class(files, "_class_name"));
    assert_int_equal(component(files, "unet", "conv_in.weight"), 1);
    assert_int_equal(component(files, "vae", "encoder.x"), 1);
    assert_int_equal(component(files, "text_encoder", "text_model.x"), 1);
    assert_int_equal(component(files, "text_encoder_2", "x"), 0);
    assert_int_equal(component(files, "", "x"), 0);
    assert_int_equal(component(files, "nonsense", "x"), 0);
    assert_null(tt_model_files_metadata(files, "format"));
    tt_model_files_close(files);
    temp_folder_remove(&folder);
}

static void test_component_folder(void **state)
{
    (void)state;
    temp_folder folder;
    temp_folder_make(&folder);
    temp_folder_write_text(&folder, "config.json", "{\"_class_name\": \"AutoencoderTiny\"}");
    write_weights(&folder, "diffusion_pytorch_model.safetensors", "encoder.x");
    tt_model_files *files = open_good(folder.path);
    assert_int_equal(tt_model_files_layout(files), TT_LAYOUT_COMPONENT);
    assert_string_equal(tt_model_files_text(files, "config"), "{\"_class_name\": \"AutoencoderTiny\"}");
    assert_int_equal(component(files, "", "encoder.x"), 1);
    assert_int_equal(component(files, "vae", "encoder.x"), 0);
    assert_null(tt_model_files_class(files, "vae"));
    tt_model_files_close(files);
    temp_folder_remove(&folder);
}

static void test_plain_before_variant(void **state)
{
    (void)state;
    temp_folder folder;
    temp_folder_make(&folder);
    temp_folder_write_text(&folder, "config.json", "{}");
    write_weights(&folder, "model.fp16.safetensors", "variant");
    write_weights(&folder, "model.safetensors", "plain");
    temp_folder_write_text(&folder, "model.bin", "PK\x03\x04 ignored beside the real thing");
    tt_model_files *files = open_good(folder.path);
    assert_int_equal(component(files, "", "plain"), 1);
    tt_model_files_close(files);
    temp_folder_remove(&folder);
}

/* ---- shards ----------------------------------------------------------------------------------------------------- */

static void test_shards(void **state)
{
    (void)state;
    temp_folder folder;
    temp_folder_make(&folder);
    temp_folder_write_text(&folder, "config.json", "{}");
    write_weights(&folder, "model-00001-of-00002.safetensors", "a");
    write_weights(&folder, "model-00002-of-00002.safetensors", "b");
    temp_folder_write_text(
        &folder, "model.safetensors.index.json",
        "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {"
        "\"a\": \"model-00001-of-00002.safetensors\", \"b\": \"model-00002-of-00002.safetensors\"}}");
    tt_model_files *files = open_good(folder.path);
    assert_int_equal(component(files, "", "a"), 2);
    assert_int_equal(component(files, "", "b"), 2);
    tt_model_files_close(files);
    temp_folder_remove(&folder);
}

static void test_shards_by_link(void **state)
{
    (void)state;
    temp_folder folder;
    char target[TT_TEMP_PATH], link[TT_TEMP_PATH];
    temp_folder_make(&folder);
    write_weights(&folder, "blobs/0123abcd", "a");
    temp_folder_write_text(&folder, "model/config.json", "{}");
    temp_folder_path(&folder, "blobs/0123abcd", target);
    assert_int_equal(symlink(target, temp_folder_path(&folder, "model/model.safetensors", link)), 0);
    temp_folder_path(&folder, "model", target);
    tt_model_files *files = open_good(target);
    assert_int_equal(component(files, "", "a"), 1);
    tt_model_files_close(files);
    temp_folder_remove(&folder);
}

static void test_hostile_indexes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        tt_status status;
        const char *mention;
    } cases[] = {
        {"", TT_ERROR_FORMAT, "JSON"},
        {"[]", TT_ERROR_FORMAT, "object"},
        {"{}", TT_ERROR_FORMAT, "weight_map"},
        {"{\"weight_map\": {}}", TT_ERROR_FORMAT, "weight_map"},
        {"{\"weight_map\": []}", TT_ERROR_FORMAT, "weight_map"},
        {"{\"weight_map\": {\"a\": 5}}", TT_ERROR_FORMAT, "tensor \"a\""},
        {"{\"weight_map\": {\"a\": \"\"}}", TT_ERROR_FORMAT, "tensor \"a\""},
        {"{\"weight_map\": {\"a\": \"../outside.safetensors\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \"sub/x.safetensors\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \"..\\\\x.safetensors\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \"..\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \".safetensors\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \"part.bin\"}}", TT_ERROR_FORMAT, "same folder"},
        {"{\"weight_map\": {\"a\": \"missing.safetensors\"}}", TT_ERROR_IO, "missing.safetensors"},
        {"{\"weight_map\": {\"b\": \"part.safetensors\"}}", TT_ERROR_FORMAT, "\"b\" should be in part.safetensors"},
        {"{\"weight_map\": {\"a\": \"part.safetensors\", \"a\": \"part.safetensors\"}}", TT_ERROR_FORMAT, "duplicate"},
        {"{\"weight_map\": {\"a\": \"part.safetensors\", \"c\": \"cut.safetensors\"}}", TT_ERROR_FORMAT, "cut short"},
    };
    temp_folder folder;
    temp_folder_make(&folder);
    write_weights(&folder, "outside.safetensors", "a");
    write_weights(&folder, "m/part.safetensors", "a");
    temp_folder_write(&folder, "m/cut.safetensors", "\x40\0\0\0\0\0\0\0{\"a\":", 13);
    temp_folder_write_text(&folder, "m/config.json", "{}");
    char path[TT_TEMP_PATH];
    temp_folder_path(&folder, "m", path);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        temp_folder_write_text(&folder, "m/model.safetensors.index.json", cases[i].text);
        expect_refusal(path, cases[i].status, cases[i].mention);
    }
    temp_folder_remove(&folder);
}

/* ---- single files ----------------------------------------------------------------------------------------------- */

static void test_tintype_file(void **state)
{
    (void)state;
    static const uint16_t data[2] = {0};
    const tt_tensor tensors[] = {{"unet.conv_in.weight", TT_F16, 1, {2}, data, 4}, {"vae.x", TT_F16, 1, {2}, data, 4}};
    const char *const metadata[][2] = {{"tintype.model_index", model_index}, {"tintype.unet", "{\"u\": 1}"},
                                       {"tintype.vocab_2", "{\"v\": 2}"},    {"tintype.merges", "a b"},
                                       {"tintype.default_steps", "20"},      {"tintype.config", "{\"never\": 1}"}};
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_error err = {""};
    temp_folder_make(&folder);
    temp_folder_path(&folder, "built-in.safetensors", path);
    assert_int_equal(tt_safetensors_write(path, tensors, 2, metadata, 6, &err), TT_OK);
    tt_model_files *files = open_good(path);
    assert_int_equal(tt_model_files_layout(files), TT_LAYOUT_TINTYPE);
    assert_string_equal(tt_model_files_text(files, "unet"), "{\"u\": 1}");
    assert_string_equal(tt_model_files_text(files, "vocab_2"), "{\"v\": 2}");
    assert_string_equal(tt_model_files_text(files, "merges"), "a b");
    assert_null(tt_model_files_text(files, "vae"));
    assert_null(tt_model_files_text(files, "config"));
    assert_string_equal(tt_model_files_class(files, "unet"), "UNet2DConditionModel");
    assert_string_equal(tt_model_files_metadata(files, "tintype.default_steps"), "20");
    assert_null(tt_model_files_metadata(files, "none"));
    assert_int_equal(component(files, "unet", "conv_in.weight"), 1);
    assert_int_equal(component(files, "vae", "x"), 1);
    assert_int_equal(component(files, "text_encoder", "x"), 0);
    assert_int_equal(component(files, "", "vae.x"), 1);
    tt_model_files_close(files);
    const char *const bad[][2] = {{"tintype.model_index", "[]"}};
    assert_int_equal(tt_safetensors_write(path, tensors, 2, bad, 1, &err), TT_OK);
    expect_refusal(path, TT_ERROR_FORMAT, "built-in.safetensors: model_index.json: expected a JSON object");
    temp_folder_remove(&folder);
}

static void test_single_file(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    write_weights(&folder, "v1.5.safetensors", "model.diffusion_model.x");
    temp_folder_path(&folder, "v1.5.safetensors", path);
    tt_model_files *files = open_good(path);
    assert_int_equal(tt_model_files_layout(files), TT_LAYOUT_SINGLE);
    assert_null(tt_model_files_text(files, "config"));
    assert_int_equal(component(files, "", "model.diffusion_model.x"), 1);
    assert_int_equal(component(files, "unet", "x"), 0);
    tt_model_files_close(files);
    temp_folder_write_text(&folder, "v1.5.json", "{\"prediction_type\": \"v_prediction\"}");
    files = open_good(path);
    assert_string_equal(tt_model_files_text(files, "config"), "{\"prediction_type\": \"v_prediction\"}");
    tt_model_files_close(files);
    temp_folder_write(&folder, "v1.5.json", "{}\0", 3);
    expect_refusal(path, TT_ERROR_FORMAT, "v1.5.json: a zero byte");
    temp_folder_remove(&folder);
}

/* A file in the working folder, without an ending, in a folder with a dot in its name. */
static void test_stem_of_the_config_beside(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    write_weights(&folder, "v1.5/model", "x");
    temp_folder_write_text(&folder, "v1.5/model.json", "{\"right\": 1}");
    temp_folder_write_text(&folder, "v1.json", "{\"wrong\": 1}");
    tt_model_files *files = open_good(temp_folder_path(&folder, "v1.5/model", path));
    assert_string_equal(tt_model_files_text(files, "config"), "{\"right\": 1}");
    tt_model_files_close(files);
    temp_folder_remove(&folder);
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

static void test_refused_paths(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    expect_refusal(folder.path, TT_ERROR_FORMAT, "model_index.json");
    expect_refusal(temp_folder_path(&folder, "none.safetensors", path), TT_ERROR_IO, "No such file");
    expect_refusal("", TT_ERROR_IO, "No such file");
    temp_folder_write(&folder, "a.ckpt", "PK\x03\x04 and so on", 14);
    expect_refusal(temp_folder_path(&folder, "a.ckpt", path), TT_ERROR_UNSUPPORTED, "pickle");
    temp_folder_write_text(&folder, "b.pt", "a tar or whatever it was that torch wrote before");
    expect_refusal(temp_folder_path(&folder, "b.pt", path), TT_ERROR_UNSUPPORTED, "pickle");
    temp_folder_write_text(&folder, "c.gguf", "GGUF\3 and so on");
    expect_refusal(temp_folder_path(&folder, "c.gguf", path), TT_ERROR_UNSUPPORTED, "GGUF");
    temp_folder_remove(&folder);
}

/* Each change to a good folder is named by the sentence. */
static void test_damaged_folders(void **state)
{
    (void)state;
    static const struct {
        const char *file, *content; /* NULL: removed */
        tt_status status;
        const char *mention;
    } cases[] = {
        {"model_index.json", "", TT_ERROR_FORMAT, "model_index.json"},
        {"model_index.json", "[1]", TT_ERROR_FORMAT, "expected a JSON object"},
        {"model_index.json", "{\"unet\": [\"a\", \"b\"], \"unet\": [\"a\", \"b\"]}", TT_ERROR_FORMAT, "duplicate"},
        {"model_index.json", "{\"text_encoder_2\": [\"transformers\", \"CLIPTextModel\"]}", TT_ERROR_IO,
         "text_encoder_2"},
        {"unet/diffusion_pytorch_model.safetensors", NULL, TT_ERROR_IO, "unet: no weights found"},
        {"unet/diffusion_pytorch_model.safetensors", "short", TT_ERROR_FORMAT,
         "unet/diffusion_pytorch_model.safetensors: 5 bytes"},
        {"vae/diffusion_pytorch_model.fp16.safetensors", "", TT_ERROR_FORMAT, "is empty"},
        {"text_encoder/model.safetensors", "version https://git-lfs.github.com/spec/v1\n", TT_ERROR_FORMAT,
         "git lfs pull"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        temp_folder folder;
        char path[TT_TEMP_PATH];
        temp_folder_make(&folder);
        write_diffusers(&folder);
        if (cases[i].content == NULL)
            assert_int_equal(unlink(temp_folder_path(&folder, cases[i].file, path)), 0);
        else
            temp_folder_write_text(&folder, cases[i].file, cases[i].content);
        expect_refusal(folder.path, cases[i].status, cases[i].mention);
        temp_folder_remove(&folder);
    }
}

static void test_pickles_only(void **state)
{
    (void)state;
    static const char *const names[] = {"unet/diffusion_pytorch_model.bin", "unet/x.ckpt", "unet/y.pt"};
    for (size_t i = 0; i < 3; i++) {
        temp_folder folder;
        char path[TT_TEMP_PATH];
        temp_folder_make(&folder);
        write_diffusers(&folder);
        assert_int_equal(unlink(temp_folder_path(&folder, "unet/diffusion_pytorch_model.safetensors", path)), 0);
        temp_folder_write_text(&folder, names[i], "PK\x03\x04");
        expect_refusal(folder.path, TT_ERROR_UNSUPPORTED, "unet: holds only pickles");
        temp_folder_remove(&folder);
    }
}

static void test_gigantic_config(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    write_diffusers(&folder);
    assert_int_equal(truncate(temp_folder_path(&folder, "unet/config.json", path), (off_t)1 << 33), 0);
    expect_refusal(folder.path, TT_ERROR_FORMAT, "unet/config.json: 8589934592 bytes");
    temp_folder_remove(&folder);
}

/* The oracle's ready-made model, where it is present. */
static void test_oracle_folder(void **state)
{
    (void)state;
    static const char path[] = "../shared/oracle/models/sd1";
    if (!tt_path_is_folder(path)) {
        print_message("skipped: %s is not present\n", path);
        skip();
    }
    tt_model_files *files = open_good(path);
    assert_int_equal(tt_model_files_layout(files), TT_LAYOUT_DIFFUSERS);
    assert_string_equal(tt_model_files_class(files, "scheduler"), "PNDMScheduler");
    assert_int_equal(component(files, "unet", "conv_in.weight"), 1);
    assert_int_equal(component(files, "vae", "decoder.conv_in.weight"), 1);
    assert_non_null(tt_model_files_text(files, "vocab"));
    assert_non_null(tt_model_files_text(files, "merges"));
    tt_model_files_close(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diffusers_folder),
        cmocka_unit_test(test_component_folder),
        cmocka_unit_test(test_plain_before_variant),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_shards_by_link),
        cmocka_unit_test(test_hostile_indexes),
        cmocka_unit_test(test_tintype_file),
        cmocka_unit_test(test_single_file),
        cmocka_unit_test(test_stem_of_the_config_beside),
        cmocka_unit_test(test_refused_paths),
        cmocka_unit_test(test_damaged_folders),
        cmocka_unit_test(test_pickles_only),
        cmocka_unit_test(test_gigantic_config),
        cmocka_unit_test(test_oracle_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
