/* test_quantize.c - `tintype quantize` as a user runs it: every type on small models, what is refused, what is left
 * behind, and that nothing is lost where nothing should be. */
#include "tests/support/built-in.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include "tintype/tintype.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MODELS "tests/golden/data/models/"
#define SD1 MODELS "sd1"
#define MINI BUILT_IN_MODEL

typedef struct place {
    temp_folder folder;
    tt_context *context;
    char out[TT_TEMP_PATH], other[TT_TEMP_PATH], picture[TT_TEMP_PATH], like[TT_TEMP_PATH];
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    temp_folder_make(&p->folder);
    (void)temp_folder_path(&p->folder, "out.gguf", p->out);
    (void)temp_folder_path(&p->folder, "other.gguf", p->other);
    (void)temp_folder_path(&p->folder, "a.png", p->picture);
    (void)temp_folder_path(&p->folder, "b.png", p->like);
    p->context = tt_context_create();
    assert_non_null(p->context);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place *p = *state;
    tt_context_destroy(p->context);
    temp_folder_remove(&p->folder);
    free(p);
    return 0;
}

static void fine(cli_run run, const char *what)
{
    assert_fine(&run, what);
    cli_run_free(&run);
}

static uint64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* Mean squared difference of two pictures, of 255 squared. */
static double difference(const place *p)
{
    tt_image a, b;
    double sum = 0.0;
    if (tt_image_read(p->context, p->picture, 3, &a) != TT_OK || tt_image_read(p->context, p->like, 3, &b) != TT_OK)
        fail_msg("%s", tt_context_message(p->context));
    assert_true(a.width == b.width && a.height == b.height);
    size_t n = (size_t)a.width * a.height * 3;
    for (size_t i = 0; i < n; i++) {
        double d = ((double)a.pixels[i] - (double)b.pixels[i]) / 255.0;
        sum += d * d;
    }
    tt_image_free(&a);
    tt_image_free(&b);
    return sum / (double)n;
}

#define PAINT(model, extra, out)                                                                                       \
    RUN("-m", model, "-p", "a photo of a cat", "-W", "32", "-H", "32", "--steps", "2", "-s", "7", "-q", "-o", out,     \
        extra[0], extra[1], extra[2], extra[3], NULL)

static const char *const nothing[4] = {NULL};

/* ---- types */

static void test_types(void **state)
{
    place *p = *state;
    static const char *const types[] = {"f32",  "f16",  "q8_0", "q6_k", "q5_1", "q5_k", "q5_0",
                                        "q4_1", "q4_k", "q4_0", "q3_k", "q2_k", "w8c",  "w8ca"};
    uint64_t f16 = 0, q4_0 = 0, q8_0 = 0;
    fine(PAINT(SD1, nothing, p->like), "the model as it is");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        fine(RUN("quantize", SD1, "-o", p->out, "--type", types[i], "-q"), types[i]);
        fine(PAINT(p->out, nothing, p->picture), types[i]);
        if (difference(p) > 0.2)
            fail_msg("%s paints something else: mean squared difference %g", types[i], difference(p));
        uint64_t n = size_of(p->out);
        f16 = strcmp(types[i], "f16") == 0 ? n : f16;
        q8_0 = strcmp(types[i], "q8_0") == 0 ? n : q8_0;
        q4_0 = strcmp(types[i], "q4_0") == 0 ? n : q4_0;
    }
    assert_true(q4_0 < q8_0 && q8_0 < f16);
}

/* What a file of halves says is what the model said: the very pictures, whatever its family and layout. */
static void test_same_pictures(void **state)
{
    place *p = *state;
    static const char *const models[] = {"sd1", "sd2", "sdxl", "lcm", "bks", "sd1.safetensors", "sdxl.safetensors"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, MODELS "%s", models[i]);
        if (strstr(models[i], ".safetensors") != NULL && getenv("TINTYPE_SHARE") == NULL) {
            print_message("%s is left out: CLIP's vocabulary is not here\n", models[i]);
            continue;
        }
        fine(RUN("quantize", path, "-o", p->out, "--type", "f16", "-q"), models[i]);
        fine(PAINT(path, nothing, p->like), models[i]);
        fine(PAINT(p->out, nothing, p->picture), models[i]);
        if (difference(p) > 0.0)
            fail_msg("%s as GGUF of halves paints other pixels", models[i]);
        /* And once more from the file that was just written. */
        fine(RUN("quantize", p->out, "-o", p->other, "--type", "f16", "-q"), models[i]);
        fine(PAINT(p->other, nothing, p->picture), models[i]);
        assert_true(difference(p) <= 0.0);
    }
}

/* A tiny autoencoder in place of the VAE, and a nine-channel model with its picture and mask. */
static void test_same_parts(void **state)
{
    place *p = *state;
    static const char *const taesd[4] = {"--taesd", MODELS "components/taesd", NULL};
    char picture[TT_TEMP_PATH], mask[TT_TEMP_PATH];
    uint8_t pixels[32 * 32 * 3];
    tt_image image = {32, 32, 3, pixels};
    fine(RUN("quantize", SD1, taesd[0], taesd[1], "-o", p->out, "--type", "f16", "-q"), "a tiny autoencoder");
    fine(PAINT(SD1, taesd, p->like), "a tiny autoencoder");
    fine(PAINT(p->out, nothing, p->picture), "a tiny autoencoder");
    assert_true(difference(p) <= 0.0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7 % 256);
    (void)temp_folder_path(&p->folder, "start.png", picture);
    (void)temp_folder_path(&p->folder, "mask.png", mask);
    assert_int_equal(tt_image_write_png(p->context, picture, &image, NULL), TT_OK);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = i % 96 < 48 ? 255 : 0;
    assert_int_equal(tt_image_write_png(p->context, mask, &image, NULL), TT_OK);
    const char *const inputs[4] = {"-i", picture, "--mask", mask};
    fine(RUN("quantize", MODELS "inpaint", "-o", p->out, "--type", "f16", "-q"), "inpaint");
    fine(PAINT(MODELS "inpaint", inputs, p->like), "inpaint");
    fine(PAINT(p->out, inputs, p->picture), "inpaint");
    assert_true(difference(p) <= 0.0);
}

/* ---- options */

static bool json_has(const char *out, const char *text)
{
    return strstr(out, text) != NULL;
}

static void test_rules(void **state)
{
    place *p = *state;
    cli_run run = RUN("quantize", MINI, "-o", p->out, "--type", "q4_0", "--rules",
                      "attn2=q8_0,^vae\\.=f16,ff\\.net=q5_k", "--json");
    assert_fine(&run, "rules");
    assert_true(json_has(run.out, "\"type\": \"q4_0\"") && json_has(run.out, "\"type\": \"q8_0\"") &&
                json_has(run.out, "\"type\": \"f16\"") && json_has(run.out, "\"type\": \"q5_1\""));
    cli_run_free(&run);
    run = RUN("quantize", MINI, "-o", p->out, "--type", "q8_0", "--pure", "--json");
    assert_fine(&run, "pure");
    assert_true(json_has(run.out, "\"type\": \"q8_0\"") && !json_has(run.out, "\"type\": \"q5_0\""));
    cli_run_free(&run);
    run = RUN("quantize", MINI, "-o", p->out, "--type", "q8_0", "--rules", "no_such_layer=q4_0");
    if (run.code != 0 || strstr(run.err, "decided about no weight") == NULL)
        fail_msg("a rule that matches nothing should be said: %d %s", run.code, run.err);
    cli_run_free(&run);
}

static double number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (at == NULL)
        fail_msg("%s is missing in %s", key, text);
    return strtod(at + strlen(key), NULL);
}

static void test_prune(void **state)
{
    place *p = *state;
    cli_run run = RUN("quantize", MINI, "-o", p->out, "--type", "q4_k", "--prune", "0.3", "--json");
    assert_fine(&run, "prune");
    double share = number_after(run.out, "\"n_pruned\": ") / number_after(run.out, "\"n_prunable\": ");
    assert_true(share >= 0.2999 && share < 0.6);
    assert_true(number_after(run.out, "\"compressed_share\": ") < 0.95);
    /* Types that could not hold 0 are not there. */
    assert_true(!json_has(run.out, "q4_k") && !json_has(run.out, "q5_1") && json_has(run.out, "\"type\": \"q4_0\""));
    cli_run_free(&run);
    run = RUN("quantize", MINI, "-o", p->out, "--type", "f16", "--prune", "0.5", "--json");
    assert_fine(&run, "prune");
    share = number_after(run.out, "\"n_pruned\": ") / number_after(run.out, "\"n_prunable\": ");
    assert_true(share >= 0.4999 && share < 0.5001);
    cli_run_free(&run);
    expect_refused(RUN("quantize", MINI, "-o", p->out, "--type", "q4_0", "--prune", "1"), 2, "--prune");
}

static void write_prompts(const place *p, char *path, int n)
{
    char text[8192] = "# prompts\n\n";
    for (int i = 0; i < n; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "a cat number %d\r\n", i);
    temp_folder_write_text(&p->folder, "prompts.txt", text);
    (void)temp_folder_path(&p->folder, "prompts.txt", path);
}

static void test_calibrate(void **state)
{
    place *p = *state;
    char prompts[TT_TEMP_PATH];
    write_prompts(p, prompts, 2);
    cli_run run = RUN("quantize", SD1, "-o", p->out, "--type", "q4_0", "--calibrate", prompts, "--json");
    assert_fine(&run, "calibrate");
    /* Knowing the activations never makes the weighted error larger. */
    assert_true(number_after(run.out, "\"unweighted\": ") >= 1.0);
    cli_run_free(&run);
    temp_folder_write_text(&p->folder, "prompts.txt", "# nothing\n\n");
    expect_refused(RUN("quantize", SD1, "-o", p->out, "--type", "q4_0", "--calibrate", prompts), 1, "no prompts");
    expect_refused(RUN("quantize", SD1, "-o", p->out, "--type", "q4_0", "--calibrate", "/nonexistent"), 1,
                   "/nonexistent");
    expect_refused(RUN("quantize", MODELS "components/taesd", "-o", p->out, "--type", "q4_0", "--calibrate", prompts),
                   1, "");
}

static void test_mixed(void **state)
{
    place *p = *state;
    char table[TT_TEMP_PATH];
    (void)temp_folder_path(&p->folder, "table.json", table);
    fine(RUN("quantize", SD1, "-o", p->out, "--type", "q8_0", "-q"), "q8_0");
    fine(RUN("quantize", SD1, "-o", p->other, "--type", "q4_0", "-q"), "q4_0");
    uint64_t budget = (size_of(p->out) + size_of(p->other)) / 2;
    char size[32];
    (void)snprintf(size, sizeof size, "%llu", (unsigned long long)budget);
    cli_run run = RUN("quantize", SD1, "-o", p->out, "--mixed", size, "--table", table);
    assert_fine(&run, "mixed");
    assert_true(size_of(p->out) <= budget && size_of(p->out) > budget * 9 / 10);
    assert_non_null(strstr(run.out, "most sensitive layers"));
    cli_run_free(&run);
    fine(PAINT(p->out, nothing, p->picture), "mixed");
    /* The table serves without measuring again, and gives the same file. */
    assert_true(size_of(table) > 100);
    run = RUN("quantize", SD1, "-o", p->other, "--mixed", size, "--table", table, "--device", "no such device");
    assert_fine(&run, "a table");
    assert_null(strstr(run.out, "measuring"));
    assert_int_equal(size_of(p->other), size_of(p->out));
    cli_run_free(&run);
    fine(RUN("quantize", SD1, "-o", p->other, "--mixed", "18dB", "--table", table, "-q"), "a fidelity");
    uint64_t rough = size_of(p->other);
    fine(RUN("quantize", SD1, "-o", p->other, "--mixed", "40dB", "--table", table, "-q"), "a fidelity");
    assert_true(size_of(p->other) >= rough);
    expect_refused(RUN("quantize", SD1, "-o", p->other, "--mixed", "10kB", "--table", table), 1, "smallest possible");
    expect_refused(RUN("quantize", MODELS "lcm", "-o", p->other, "--mixed", size, "--table", table), 1,
                   "another model");
    temp_folder_write_text(&p->folder, "table.json", "{\"format\": \"x\"}");
    expect_refused(RUN("quantize", SD1, "-o", p->other, "--mixed", size, "--table", table), 1, "no table");
}

/* ---- refusals */

static void test_refused(void **state)
{
    place *p = *state;
    char copy[TT_TEMP_PATH], link_path[TT_TEMP_PATH];
    expect_refused(RUN("quantize", SD1, "--type", "q8_0"), 2, "-o FILE");
    expect_refused(RUN("quantize", SD1, "-o", p->out), 2, "--type");
    expect_refused(RUN("quantize", "-o", p->out, "--type", "q8_0"), 2, "MODEL");
    expect_refused(RUN("quantize", SD1, "-o", p->out, "--type", "q9_9"), 1, "q9_9");
    expect_refused(RUN("quantize", SD1, "-o", p->out, "--type", "q8_0", "--rules", "(=q4_0"), 1, "regular expression");
    expect_refused(RUN("quantize", SD1, "-o", p->out, "--mixed", "much"), 2, "--mixed");
    expect_refused(RUN("quantize", "/nonexistent", "-o", p->out, "--type", "q8_0"), 1, "/nonexistent");
    expect_refused(RUN("quantize", SD1, "-o", "/nonexistent/out.gguf", "--type", "q8_0"), 1, "no folder");
    expect_refused(RUN("quantize", SD1, "-o", p->folder.path, "--type", "q8_0"), 1, "folder");
    temp_folder_write_text(&p->folder, "garbage.gguf", "GGUF and then nothing that makes sense");
    (void)temp_folder_path(&p->folder, "garbage.gguf", copy);
    expect_refused(RUN("quantize", copy, "-o", p->out, "--type", "q8_0"), 1, "garbage.gguf");
    /* Never over what is read, by any name. */
    fine(RUN("quantize", SD1, "-o", p->other, "--type", "f16", "-q"), "an input");
    (void)temp_folder_path(&p->folder, "link.gguf", link_path);
    assert_int_equal(link(p->other, link_path), 0);
    uint64_t before = size_of(p->other);
    expect_refused(RUN("quantize", p->other, "-o", p->other, "--type", "q4_0"), 1, "cannot be written");
    expect_refused(RUN("quantize", p->other, "-o", link_path, "--type", "q4_0"), 1, "cannot be written");
    assert_int_equal(size_of(p->other), before);
    assert_int_equal(temp_folder_count(&p->folder), 3); /* garbage, input, link */
}

/* A disk that is full: one sentence, nothing left, and what was there before is still there. */
static void test_full_disk(void **state)
{
    place *p = *state;
    struct rlimit old, small;
    temp_folder_write_text(&p->folder, "out.gguf", "what was here");
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 20000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    cli_run run = RUN("quantize", MINI, "-o", p->out, "--type", "f16");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_refused(&run, 1, "out.gguf", "a full disk");
    cli_run_free(&run);
    assert_int_equal(temp_folder_count(&p->folder), 1);
    assert_int_equal(size_of(p->out), strlen("what was here"));
}

static void test_interrupted(void **state)
{
    place *p = *state;
    char prompts[TT_TEMP_PATH];
    write_prompts(p, prompts, 200);
    const char *const arguments[] = {"quantize", SD1, "-o", p->out, "--type", "q4_0", "--calibrate", prompts, NULL};
    cli_run run = run_cli_interrupted(SIGINT, "calibrating 0%", arguments);
    assert_refused(&run, 130, "cancelled", "an interrupt");
    cli_run_free(&run);
    assert_int_equal(temp_folder_count(&p->folder), 1); /* the prompts */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_pictures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prune, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calibrate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mixed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
