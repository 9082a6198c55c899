/* test_compare.c - `tintype compare`: tables, JSON and page of tiny models; wrong lines and files. */
#include "tests/support/model-copy.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/stat.h>

#define SD1 "tests/golden/data/models/sd1"
#define SD2 "tests/golden/data/models/sd2"
#define UNET "unet/diffusion_pytorch_model.safetensors"
#define SMALL "-W", "32", "-H", "32", "--steps", "2"

/* A folder with prompts and, when asked for, a copy of the model whose UNet was coarsened. */
typedef struct bench {
    temp_folder folder, copy;
    char prompts[TT_TEMP_PATH], page[TT_TEMP_PATH], accuracy[TT_TEMP_PATH];
} bench;

static float coarse(float value)
{
    return roundf(value * 64.0f) / 64.0f;
}

static bench open_bench(void)
{
    bench b;
    temp_folder_make(&b.folder);
    temp_folder_make(&b.copy);
    model_copy_make(&b.copy, "sd1", NULL);
    model_copy_values(&b.copy, UNET, coarse, true);
    temp_folder_write_text(&b.folder, "prompts.txt",
                           "# two prompts\n\n  a cat <on> a \"blue\" background & more \r\n\ta red apple\n# end");
    (void)temp_folder_path(&b.folder, "prompts.txt", b.prompts);
    (void)temp_folder_path(&b.folder, "page.html", b.page);
    (void)temp_folder_path(&b.folder, "accuracy.json", b.accuracy);
    return b;
}

static void close_bench(bench *b)
{
    temp_folder_remove(&b->folder);
    temp_folder_remove(&b->copy);
}

static json_t *run_json(bench *b, const char *second)
{
    return expect_json(RUN("compare", "-m", SD1, "-m", second, "--prompts", b->prompts, SMALL, "--json"),
                       "compare --json");
}

static const json_t *model_of(const json_t *root, size_t index)
{
    const json_t *model = json_array_get(json_object_get(root, "models"), index);
    assert_non_null(model);
    return model;
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("%s is no number", key);
    return json_number_value(value);
}

/* ---- JSON */

static void test_equal_models(void **state)
{
    (void)state;
    bench b = open_bench();
    json_t *root = run_json(&b, SD1 "/");
    const json_t *m = model_of(root, 1), *picture = json_array_get(json_object_get(m, "pictures"), 0);
    assert_int_equal(json_array_size(json_object_get(root, "models")), 2);
    assert_int_equal(json_array_size(json_object_get(root, "prompts")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "prompts"), 0)),
                        "a cat <on> a \"blue\" background & more");
    assert_true(json_is_null(json_object_get(json_object_get(m, "psnr"), "mean"))); /* infinite */
    assert_true(json_is_true(json_object_get(picture, "equal")));
    assert_true(number_of(picture, "ssim") > 1 - 1e-9);
    assert_true(number_of(json_object_get(m, "unet"), "error") == 0);
    assert_true(number_of(m, "equal_pictures") == 2);
    json_decref(root);
    close_bench(&b);
}

static void test_changed_unet(void **state)
{
    (void)state;
    bench b = open_bench();
    json_t *root = run_json(&b, b.copy.path);
    const json_t *m = model_of(root, 1);
    const json_t *layers = json_object_get(m, "layers"), *passes = json_object_get(root, "timesteps");
    assert_true(number_of(json_object_get(m, "psnr"), "mean") >= number_of(json_object_get(m, "psnr"), "min"));
    assert_true(number_of(json_object_get(m, "unet"), "error") > 0);
    assert_true(number_of(json_object_get(m, "text_encoder"), "error") == 0);
    assert_true(number_of(m, "device_peak_bytes") > 1e5 && number_of(m, "bits_per_weight") > 1);
    assert_true(json_object_size(layers) > 10);
    assert_int_equal(json_array_size(json_object_get(layers, "conv_in")), json_array_size(passes));
    json_decref(root);
    close_bench(&b);
}

/* ---- tables */

static void check_columns(const char *text)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t n = strcspn(line, "\n");
        if (n > 100 && strncmp(line, "reference: ", 11) != 0 && strstr(line, " pictures of ") != line + 1)
            fail_msg("a line of %zu columns: %.*s", n, (int)n, line);
        if (line[n] == '\0')
            break;
    }
}

static void test_tables(void **state)
{
    (void)state;
    bench b = open_bench();
    temp_folder_write_text(&b.folder, "accuracy.json", "{\"sd1\": {\"all\": 0.995, \"two objects\": 0.25}}");
    cli_run run = RUN("compare", "-q", "-m", SD1, "-m", b.copy.path, "-m", SD1, "--prompts", b.prompts, SMALL, "-s",
                      "3", "--accuracy", b.accuracy);
    assert_fine(&run, "compare");
    check_columns(run.out);
    assert_non_null(strstr(run.out, "PSNR dB"));
    assert_non_null(strstr(run.out, "equal"));
    assert_non_null(strstr(run.out, "seed 3"));
    assert_non_null(strstr(run.out, "99.5"));
    assert_non_null(strstr(run.out, "two objects"));
    assert_non_null(strstr(run.out, "largest errors of UNet blocks"));
    assert_null(strstr(run.out, "model 1/3")); /* -q: no progress */
    cli_run_free(&run);
    run = RUN("compare", "-m", SD1, "-m", SD1, "--prompts", b.prompts, SMALL);
    assert_fine(&run, "compare with progress");
    assert_non_null(strstr(run.out, "model 2/2 sd1, picture 1/2"));
    cli_run_free(&run);
    close_bench(&b);
}

/* ---- the page */

static char *read_page(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    FILE *stream = fopen(path, "rb");
    char *text = malloc((size_t)info.st_size + 1);
    assert_non_null(stream);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)info.st_size, stream), info.st_size);
    text[info.st_size] = '\0';
    (void)fclose(stream);
    return text;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

/* Nothing may be loaded from elsewhere: every source is inside, and there is no script. */
static void check_stands_alone(const char *page)
{
    static const char *const ways_out[] = {"http:",   "https:", "<script", "<link",
                                           "@import", "url(",   "<iframe", "//cdn"};
    for (size_t i = 0; i < sizeof ways_out / sizeof *ways_out; i++)
        if (strstr(page, ways_out[i]) != NULL)
            fail_msg("the page holds \"%s\"", ways_out[i]);
    assert_int_equal(count_of(page, " src="), count_of(page, " src=\"data:image/png;base64,iVBORw0KGgo"));
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* No "nan" or "inf" as a word, beside the bytes of pictures. */
static void check_numbers(const char *page)
{
    for (const char *at = page; *at; at++) {
        if (strncmp(at, "base64,", 7) == 0)
            at += strcspn(at, "\"");
        if ((strncmp(at, "nan", 3) == 0 || strncmp(at, "inf", 3) == 0) && at > page && !is_letter(at[-1]) &&
            !is_letter(at[3]))
            fail_msg("the page holds no number: %.40s", at - 10);
    }
}

static void test_page(void **state)
{
    (void)state;
    bench b = open_bench();
    temp_folder_write_text(&b.folder, "accuracy.json", "{\"sd1\": {\"all <b>\": 0.995, \"two objects\": 0.25}}");
    cli_run run = RUN("compare", "-m", SD1, "-m", b.copy.path, "-m", SD1, "--prompts", b.prompts, SMALL, "--report",
                      b.page, "--accuracy", b.accuracy);
    assert_fine(&run, "compare --report");
    cli_run_free(&run);
    char *page = read_page(b.page);
    check_stands_alone(page);
    assert_int_equal(count_of(page, "<img "), 2 * (3 + 2)); /* pictures and differences */
    assert_int_equal(count_of(page, "<svg "), 5);
    assert_int_equal(count_of(page, "<svg "), count_of(page, "</svg>"));
    assert_int_equal(count_of(page, "<table>"), count_of(page, "</table>"));
    assert_int_equal(count_of(page, "<figure"), count_of(page, "</figure>"));
    assert_non_null(strstr(page, "a cat &lt;on&gt; a &quot;blue&quot; background &amp; more"));
    assert_null(strstr(page, "<on>"));
    assert_null(strstr(page, "all <b>"));
    check_numbers(page);
    assert_non_null(strstr(page, "prefers-color-scheme"));
    assert_int_equal(strncmp(page + strlen(page) - 8, "</html>\n", 8), 0);
    free(page);
    assert_int_equal(temp_folder_count(&b.folder), 3); /* prompts, accuracies, page: no temporary file */
    close_bench(&b);
}

/* Equal models only: plots without any finite value must still be drawn. */
static void test_page_of_equals(void **state)
{
    (void)state;
    bench b = open_bench();
    cli_run run = RUN("compare", "-m", SD1, "-m", SD1, "--prompts", b.prompts, SMALL, "--report", b.page, "--json");
    assert_fine(&run, "compare --report --json");
    cli_run_free(&run);
    char *page = read_page(b.page);
    check_stands_alone(page);
    assert_int_equal(count_of(page, "<svg "), 2);
    check_numbers(page);
    free(page);
    close_bench(&b);
}

/* ---- refusals */

static void test_wrong_lines(void **state)
{
    (void)state;
    bench b = open_bench();
    static const char *const many[] = {"compare", "-mA", "-mB", "-mC", "-mD", "-mE", "-mF", "-mG", "-mH", "-mI",
                                       "-mJ",     "-mK", "-mL", "-mM", "-mN", "-mO", "-mP", "-mQ", NULL};
    cli_run runs[] = {RUN("compare"),
                      RUN("compare", "-m", SD1, "--prompts", b.prompts),
                      RUN("compare", "-m", SD1, "-m", SD1),
                      RUN("compare", "-m", SD1, "-m", SD1, "--prompts", b.prompts, "-s", "-4"),
                      RUN("compare", "-m", SD1, "-m", SD1, "--prompts", b.prompts, "--vae", "a", "--taesd", "b"),
                      RUN("compare", "-m", SD1, "-m", SD1, "-p", "a"),
                      RUN("-m", SD1, "-m", SD1, "-p", "a"),
                      RUN("stage", "text", "-m", SD1, "--model", SD1),
                      run_cli_with(NULL, many)};
    static const char *const mentions[] = {"two models", "two models",  "--prompts",   "--seed",      "--taesd",
                                           "-p",         "given twice", "given twice", "more than 16"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        assert_refused(&runs[i], 2, mentions[i], mentions[i]);
        cli_run_free(&runs[i]);
    }
    close_bench(&b);
}

static void expect_failure(cli_run run, const char *mention)
{
    assert_refused(&run, 1, mention, mention);
    cli_run_free(&run);
}

static void test_wrong_files(void **state)
{
    (void)state;
    bench b = open_bench();
    char empty[TT_TEMP_PATH], binary[TT_TEMP_PATH], page[TT_TEMP_PATH];
    temp_folder_write_text(&b.folder, "empty.txt", "# nothing\n\n");
    temp_folder_write(&b.folder, "binary.txt", "a\0b", 3);
    temp_folder_write_text(&b.folder, "accuracy.json", "{\"sd1\": {\"all\": 7}}");
    (void)temp_folder_path(&b.folder, "empty.txt", empty);
    (void)temp_folder_path(&b.folder, "binary.txt", binary);
    (void)temp_folder_path(&b.folder, "no/such/page.html", page);
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", "nowhere", "--prompts", b.prompts, SMALL), "nowhere");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD2, "--prompts", b.prompts, SMALL), "family");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", "no-prompts.txt"), "no-prompts.txt");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", empty), "no prompt");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", binary), "list of prompts");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", b.prompts, "--report", page), "no/such");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", b.prompts, "--report", b.folder.path),
                   "folder");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", b.prompts, "--accuracy", "none.json"),
                   "none.json");
    expect_failure(RUN("compare", "-q", "-m", SD1, "-m", SD1, "--prompts", b.prompts, SMALL, "--accuracy", b.accuracy),
                   "0 to 1");
    close_bench(&b);
}

/* Ctrl-C between two steps: one sentence, no page. */
static void test_interrupt(void **state)
{
    (void)state;
    bench b = open_bench();
    const char *const arguments[] = {"compare", "-m",       SD1,    "-m",      b.copy.path, "--prompts",
                                     b.prompts, "--report", b.page, "--steps", "500",       NULL};
    cli_run run = run_cli_interrupted(SIGINT, "picture 1/2", arguments);
    assert_refused(&run, 130, "cancelled", "an interrupted comparison");
    cli_run_free(&run);
    assert_int_equal(temp_folder_count(&b.folder), 1); /* the prompts */
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_models), cmocka_unit_test(test_changed_unet),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_page),         cmocka_unit_test(test_page_of_equals), cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_wrong_files),  cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
