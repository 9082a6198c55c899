/* test_stage.c - `tintype stage` on the project's golden set: every stage as an integrator would run it. */
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"
#include "tests/support/test-device.h"

#include "tintype/tintype.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA "tests/golden/data/"
#define MODELS DATA "models/"

/* rms(found - golden) / std(golden), as tests/golden/README.md sets them. */
static const double float_bar = 5e-6, half_bar = 3e-3, half_worst_bar = 6e-3, pipeline_bar = 2e-4,
                    half_pipeline_bar = 1e-2;
static const double scheduler_bar = 1e-5, single_step_bar = 3e-5, timestep_bar = 2e-3;

/* One test's folder, its input and output, and the golden arrays it compares with. */
typedef struct bench {
    tt_context *context;
    temp_folder folder;
    tt_arrays golden, in, out;
    char in_path[TT_TEMP_PATH], out_path[TT_TEMP_PATH], config_path[TT_TEMP_PATH];
    double worst;
} bench;

static void check(const bench *b, tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", tt_context_message(b->context));
}

static bench open_bench(const char *golden)
{
    char path[512];
    bench b = {.context = tt_context_create()};
    assert_non_null(b.context);
    temp_folder_make(&b.folder);
    (void)temp_folder_path(&b.folder, "in.safetensors", b.in_path);
    (void)temp_folder_path(&b.folder, "out.safetensors", b.out_path);
    (void)temp_folder_path(&b.folder, "scheduler_config.json", b.config_path);
    (void)snprintf(path, sizeof path, DATA "%s.safetensors", golden);
    check(&b, tt_arrays_read(b.context, path, &b.golden));
    return b;
}

static void close_bench(bench *b, const char *what)
{
    print_message("%s: worst error %.2e\n", what, b->worst);
    tt_arrays_free(&b->golden);
    tt_arrays_free(&b->in);
    tt_arrays_free(&b->out);
    temp_folder_remove(&b->folder);
    tt_context_destroy(b->context);
}

static const tt_array *golden_array(const bench *b, const char *prefix, const char *name)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    return tt_arrays_find(&b->golden, full);
}

/* Gives the golden array prefix + name to the stage as `as`; absent ones are left out. */
static bool give(bench *b, const char *prefix, const char *name, const char *as)
{
    const tt_array *a = golden_array(b, prefix, name);
    if (a != NULL)
        check(b, tt_arrays_add(b->context, &b->in, as, a->type, a->n_dims, a->dims, a->data));
    return a != NULL;
}

/* Writes the input, runs, reads the output. */
static void run_stage(bench *b, const char *stage, const char *const *more)
{
    const char *arguments[52] = {"stage", stage, "--input", b->in_path, "--output", b->out_path};
    size_t n = 6;
    for (; *more != NULL && n < 51; more++)
        arguments[n++] = *more;
    tt_arrays_free(&b->out);
    check(b, tt_arrays_write(b->context, b->in_path, &b->in));
    cli_run run = run_cli_with(NULL, arguments);
    assert_fine(&run, stage);
    cli_run_free(&run);
    check(b, tt_arrays_read(b->context, b->out_path, &b->out));
    tt_arrays_free(&b->in);
}

#define STAGE(b, stage, ...) run_stage((b), (stage), (const char *const[]){__VA_ARGS__, NULL})

/* ---- comparing */

static uint64_t count(const tt_array *a)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < a->n_dims; i++)
        n *= a->dims[i];
    return n;
}

static double value(const tt_array *a, uint64_t i)
{
    return a->type == TT_ARRAY_F64 ? ((const double *)a->data)[i] : (double)((const float *)a->data)[i];
}

/* Error of the last n values of found against golden. */
static double error_of(const tt_array *found, const tt_array *golden, uint64_t n)
{
    uint64_t skip_found = count(found) - n, skip_golden = count(golden) - n;
    double square = 0, sum = 0, sum_square = 0;
    for (uint64_t i = 0; i < n; i++) {
        double g = value(golden, skip_golden + i), d = value(found, skip_found + i) - g;
        square += d * d;
        sum += g;
        sum_square += g * g;
    }
    double variance = sum_square / (double)n - sum / (double)n * (sum / (double)n);
    return sqrt(square / (double)n / (variance > 0 ? variance : 1.0));
}

static void compare(bench *b, const char *name, const tt_array *golden, double bar, const char *what)
{
    const tt_array *found = tt_arrays_find(&b->out, name);
    assert_non_null(golden);
    if (found == NULL)
        fail_msg("%s: the output has no array %s", what, name);
    assert_int_equal(found->n_dims, golden->n_dims);
    for (uint32_t i = 0; i < golden->n_dims; i++)
        assert_int_equal(found->dims[i], golden->dims[i]);
    double error = error_of(found, golden, count(golden));
    if (!(error <= bar))
        fail_msg("%s: %s is off by %.3g of the standard deviation, allowed are %.1g", what, name, error, bar);
    b->worst = error > b->worst ? error : b->worst;
}

/* ---- tokenize */

static void check_ids(const char *prompt, const char *pad, const json_t *wanted)
{
    cli_run run = pad ? RUN("stage", "tokenize", "-m", MODELS "sd1", "-p", prompt, "--pad", pad)
                      : RUN("stage", "tokenize", "-m", MODELS "sd1", "-p", prompt);
    assert_fine(&run, prompt);
    json_t *found = json_loads(run.out, 0, NULL);
    if (!json_equal(found, wanted))
        fail_msg("wrong tokens for \"%s\": %s", prompt, run.out);
    json_decref(found);
    cli_run_free(&run);
}

static void test_tokenize(void **state)
{
    (void)state;
    json_t *prompts = json_load_file(DATA "tokens.json", JSON_ALLOW_NUL, NULL);
    size_t n = 0;
    assert_true(json_array_size(prompts) > 20);
    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const json_t *item = json_array_get(prompts, i), *prompt = json_object_get(item, "prompt");
        if (strlen(json_string_value(prompt)) != json_string_length(prompt))
            continue; /* a zero byte cannot be an argument */
        check_ids(json_string_value(prompt), NULL, json_object_get(item, "tiny1024"));
        check_ids(json_string_value(prompt), "77", json_object_get(item, "tiny1024_77"));
        n++;
    }
    assert_true(n > 20);
    json_decref(prompts);
}

/* ---- text */

static const struct text_case {
    const char *golden, *model, *encoder;
} text_cases[] = {{"sd1_te.", MODELS "sd1", "1"},    {"sd1_te.", MODELS "sd1.safetensors", "1"},
                  {"sd2_te.", MODELS "sd2", "1"},    {"sdxl_te1.", MODELS "sdxl", "1"},
                  {"sdxl_te2.", MODELS "sdxl", "2"}, {"sdxl_te2.", MODELS "sdxl.safetensors", "2"}};

static void run_text(bench *b, const struct text_case *t, const char *precision, double bar)
{
    assert_true(give(b, t->golden, "ids", "input_ids"));
    STAGE(b, "text", "-m", t->model, "--encoder", t->encoder, "--precision", precision);
    compare(b, "last_hidden_state", golden_array(b, t->golden, "last_hidden"), bar, t->model);
    compare(b, "penultimate", golden_array(b, t->golden, "penultimate"), bar, t->model);
    compare(b, "clip_skip_2", golden_array(b, t->golden, "clip_skip2"), bar, t->model);
    const tt_array *embeds = golden_array(b, t->golden, "text_embeds");
    compare(b, embeds ? "text_embeds" : "pooled", embeds ? embeds : golden_array(b, t->golden, "pooled"), bar,
            t->model);
}

static void test_text(void **state)
{
    (void)state;
    bench b = open_bench("text");
    for (size_t i = 0; i < sizeof text_cases / sizeof text_cases[0]; i++)
        run_text(&b, &text_cases[i], "f32", float_bar);
    close_bench(&b, "text f32");
}

/* Half storage differs in kernels alone: where sanitizers make every process slow, float shows the host's errors too.
 */
static void skip_when_small(void)
{
    if (tt_test_small()) {
        print_message("half storage is left out by TT_TEST_SMALL\n");
        skip();
    }
}

static void test_text_half(void **state)
{
    (void)state;
    skip_when_small();
    bench b = open_bench("text");
    for (size_t i = 0; i < sizeof text_cases / sizeof text_cases[0]; i++)
        run_text(&b, &text_cases[i], "f16", half_bar);
    close_bench(&b, "text f16");
}

/* ---- UNet */

/* One golden output "8x12.t261.out": its shape prefix and timestep. False for other arrays. */
static bool parse_unet_name(const char *name, char prefix[16], float *timestep)
{
    unsigned height, width, t;
    char end[8];
    if (sscanf(name, "%3ux%3u.t%4u.%7s", &height, &width, &t, end) != 4 || strcmp(end, "out") != 0)
        return false;
    (void)snprintf(prefix, 16, "%u%c%u.", height, 'x', width);
    *timestep = (float)t;
    return true;
}

/* Runs one golden case; returns its error. */
static double run_unet(bench *b, const char *model, const tt_array *golden, const char *precision)
{
    const uint64_t one = 1;
    char prefix[16];
    float timestep = 0;
    assert_true(parse_unet_name(golden->name, prefix, &timestep));
    assert_true(give(b, prefix, "x", "sample"));
    assert_true(give(b, prefix, "ctx", "encoder_hidden_states"));
    (void)give(b, prefix, "text_embeds", "text_embeds");
    (void)give(b, prefix, "time_ids", "time_ids");
    (void)give(b, prefix, "timestep_cond", "timestep_cond");
    check(b, tt_arrays_add(b->context, &b->in, "timestep", TT_ARRAY_F32, 1, &one, &timestep));
    STAGE(b, "unet", "-m", model, "--precision", precision);
    b->worst = 0;
    compare(b, "sample", golden, precision[1] == '3' ? float_bar : half_worst_bar, golden->name);
    return b->worst;
}

/* All shapes and timesteps. Each pass must hold the float bar; half storage must hold its bar on the average, as
 * single passes scatter around it (torch's own half does), and twice the bar everywhere. */
static void check_unet(const char *golden, const char *model, const char *precision)
{
    char prefix[16];
    float timestep;
    double worst = 0, square = 0;
    size_t n = 0;
    bench b = open_bench(golden);
    for (size_t i = 0; i < b.golden.n_items; i++)
        if (parse_unet_name(b.golden.items[i].name, prefix, &timestep)) {
            double error = run_unet(&b, model, &b.golden.items[i], precision);
            worst = error > worst ? error : worst;
            square += error * error;
            n++;
        }
    assert_true(n >= 7);
    if (!(sqrt(square / (double)n) <= half_bar))
        fail_msg("%s %s: the mean error of %zu passes is %.3g", golden, precision, n, sqrt(square / (double)n));
    b.worst = worst;
    close_bench(&b, golden);
}

static const struct unet_case {
    const char *golden, *model;
} unet_cases[] = {{"unet_sd1_unet", MODELS "sd1"},   {"unet_sd1_unet", MODELS "sd1.safetensors"},
                  {"unet_sd2_unet", MODELS "sd2"},   {"unet_bks_unet", MODELS "bks"},
                  {"unet_lcm_unet", MODELS "lcm"},   {"unet_inpaint_unet", MODELS "inpaint"},
                  {"unet_sdxl_unet", MODELS "sdxl"}, {"unet_sdxl_unet", MODELS "sdxl.safetensors"}};

static void test_unets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unet_cases / sizeof unet_cases[0]; i++)
        check_unet(unet_cases[i].golden, unet_cases[i].model, "f32");
}

static void test_unets_half(void **state)
{
    (void)state;
    skip_when_small();
    for (size_t i = 0; i < sizeof unet_cases / sizeof unet_cases[0]; i++)
        check_unet(unet_cases[i].golden, unet_cases[i].model, "f16");
}

/* ---- VAE */

static void run_vae(bench *b, const char *model, const char *taesd, const char *prefix, const char *precision,
                    double bar)
{
    const char *option = taesd ? "--taesd" : NULL;
    assert_true(give(b, prefix, "z", "latent"));
    STAGE(b, "vae-decode", "-m", model, "--precision", precision, option, taesd);
    compare(b, "image", golden_array(b, prefix, "decoded"), bar, model);
    assert_true(give(b, prefix, "image", "image"));
    STAGE(b, "vae-encode", "-m", model, "--precision", precision, option, taesd);
    if (taesd != NULL) {
        compare(b, "latent", golden_array(b, prefix, "latents"), bar, taesd);
        return;
    }
    compare(b, "mean", golden_array(b, prefix, "mean"), bar, model);
    compare(b, "logvar", golden_array(b, prefix, "logvar"), bar, model);
}

static void check_vae(const char *golden, const char *model, const char *taesd)
{
    bench b = open_bench(golden);
    run_vae(&b, model, taesd, "8x8.", "f32", float_bar);
    run_vae(&b, model, taesd, "6x9.", "f32", float_bar);
    print_message("%s f32: worst error %.2e\n", golden, b.worst);
    b.worst = 0;
    run_vae(&b, model, taesd, "8x8.", "f16", half_bar);
    close_bench(&b, "f16");
}

static void test_vaes(void **state)
{
    (void)state;
    check_vae("vae_sd1_vae", MODELS "sd1", NULL);
    check_vae("vae_sd1_vae", MODELS "sd1.safetensors", NULL);
    check_vae("vae_sdxl_vae", MODELS "sdxl", NULL);
    check_vae("taesd", MODELS "sd1", MODELS "components/taesd");
}

/* ---- sample */

/* Python writes infinities as bare words, which JSON does not have. */
static json_t *load_cases(const char *path)
{
    char *text = malloc(4 << 20);
    FILE *stream = fopen(path, "rb");
    assert_non_null(text);
    assert_non_null(stream);
    text[fread(text, 1, (4 << 20) - 1, stream)] = '\0';
    (void)fclose(stream);
    for (char *at = text; (at = strstr(at, "-Infinity")) != NULL;)
        (void)memcpy(at, "-1.7e+308", 9);
    json_t *cases = json_loads(text, 0, NULL);
    free(text);
    assert_non_null(cases);
    return cases;
}

static void write_config(bench *b, const char *class_name, const json_t *fields)
{
    json_t *config = json_copy((json_t *)(uintptr_t)fields);
    assert_int_equal(json_object_set_new(config, "_class_name", json_string(class_name)), 0);
    assert_int_equal(json_dump_file(config, b->config_path, 0), 0);
    json_decref(config);
}

/* Goldens of long runs keep the last row only. */
static void compare_rows(bench *b, const char *id, double bar)
{
    char name[32];
    const tt_array *x = tt_arrays_find(&b->out, "x"), *golden;
    (void)snprintf(name, sizeof name, "%s.x", id);
    golden = tt_arrays_find(&b->golden, name);
    assert_non_null(x);
    assert_non_null(golden);
    assert_true(count(x) >= count(golden));
    double error = error_of(x, golden, count(golden));
    if (!(error <= bar))
        fail_msg("scheduler case %s is off by %.3g, allowed are %.1g", id, error, bar);
    b->worst = error > b->worst ? error : b->worst;
}

static void compare_timesteps(const bench *b, const tt_array *golden, const char *what)
{
    const tt_array *found = tt_arrays_find(&b->out, "timesteps");
    assert_non_null(found);
    assert_non_null(golden);
    assert_int_equal(found->type, TT_ARRAY_F64);
    assert_true(count(found) <= count(golden)); /* img2img runs the last ones only */
    for (uint64_t i = 0, skipped = count(golden) - count(found); i < count(found); i++)
        if (!(fabs(value(found, i) - value(golden, skipped + i)) <= timestep_bar))
            fail_msg("%s: timestep %llu is %.6f, expected %.6f", what, (unsigned long long)i, value(found, i),
                     value(golden, skipped + i));
}

static void run_sample(bench *b, const json_t *item)
{
    char prefix[16], steps[24], eta[32];
    const char *id = json_string_value(json_object_get(item, "id"));
    const long long n = json_integer_value(json_object_get(item, "steps"));
    (void)snprintf(prefix, sizeof prefix, "%s.", id);
    (void)snprintf(steps, sizeof steps, "%lld", n);
    (void)snprintf(eta, sizeof eta, "%g",
                   json_number_value(json_object_get(json_object_get(item, "step_kwargs"), "eta")));
    write_config(b, json_string_value(json_object_get(item, "class")), json_object_get(item, "config"));
    assert_true(give(b, "", "x_init", "x_init"));
    (void)give(b, prefix, "noise", "noise");
    STAGE(b, "sample", "--scheduler-config", b->config_path, "--steps", steps, "--eta", eta);
    compare_timesteps(b, golden_array(b, prefix, "timesteps"), id);
    if (golden_array(b, prefix, "sigmas") != NULL)
        compare(b, "sigmas", golden_array(b, prefix, "sigmas"), 1e-6, id);
    compare_rows(b, id, n == 1 ? single_step_bar : scheduler_bar);
}

static void test_sample(void **state)
{
    (void)state;
    bench b = open_bench("schedulers");
    json_t *cases = load_cases(DATA "schedulers.json");
    assert_true(json_array_size(cases) >= 50);
    for (size_t i = 0; i < json_array_size(cases); i++)
        run_sample(&b, json_array_get(cases, i));
    json_decref(cases);
    close_bench(&b, "sample");
}

/* ---- denoise */

/* "name": [a, b] of an object as "AmarkB"; false when it is absent. */
static bool pair_text(const json_t *object, const char *name, char mark, char text[32])
{
    const json_t *pair = json_object_get(object, name);
    if (pair == NULL)
        return false;
    (void)snprintf(text, 32, "%lld%c%lld", json_integer_value(json_array_get(pair, 0)), mark,
                   json_integer_value(json_array_get(pair, 1)));
    return true;
}

typedef struct denoise_line {
    const char *arguments[44];
    size_t n;
    char model[64], steps[24], cfg[32], strength[32], clip_skip[24], original[32], crop[32], target[32];
    char savers[5][24];
} denoise_line;

static void add(denoise_line *line, const char *option, const char *argument)
{
    line->arguments[line->n++] = option;
    line->arguments[line->n++] = argument;
}

/* The options of the step savers that a golden pipeline was made with. */
static void add_savers(denoise_line *line, const json_t *savers)
{
    static const struct {
        const char *option, *name;
        size_t place; /* in an array, else SIZE_MAX */
    } known[] = {{"--cfg-start", "guidance", 0},
                 {"--cfg-stop", "guidance", 1},
                 {"--reuse", "reuse_interval", SIZE_MAX},
                 {"--reuse-depth", "reuse_depth", SIZE_MAX},
                 {"--kv-downsample", "kv_downsample", SIZE_MAX}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const json_t *value = json_object_get(savers, known[i].name);
        if (value != NULL && known[i].place != SIZE_MAX)
            value = json_array_get(value, known[i].place);
        if (value == NULL)
            continue;
        (void)snprintf(line->savers[i], sizeof line->savers[i], "%g", json_number_value(value));
        add(line, known[i].option, line->savers[i]);
    }
}

/* The command line of one golden pipeline. */
static void make_line(denoise_line *line, const bench *b, const json_t *item, const char *precision)
{
    const json_t *extra = json_object_get(item, "extra"), *skip = json_object_get(extra, "clip_skip");
    (void)snprintf(line->model, sizeof line->model, MODELS "%s", json_string_value(json_object_get(item, "model")));
    (void)snprintf(line->steps, sizeof line->steps, "%lld", json_integer_value(json_object_get(item, "steps")));
    (void)snprintf(line->cfg, sizeof line->cfg, "%g", json_number_value(json_object_get(item, "cfg")));
    add(line, "-m", line->model);
    add(line, "--precision", precision);
    add(line, "-p", json_string_value(json_object_get(item, "prompt")));
    add(line, "--scheduler-config", b->config_path);
    add(line, "--steps", line->steps);
    add(line, "--cfg-scale", line->cfg);
    if (json_is_string(json_object_get(item, "negative")))
        add(line, "-n", json_string_value(json_object_get(item, "negative")));
    if (json_object_get(item, "strength") != NULL) {
        (void)snprintf(line->strength, sizeof line->strength, "%g",
                       json_number_value(json_object_get(item, "strength")));
        add(line, "--strength", line->strength);
    }
    if (skip != NULL) { /* diffusers counts skipped layers, the field counts from 1 */
        (void)snprintf(line->clip_skip, sizeof line->clip_skip, "%lld", json_integer_value(skip) + 1);
        add(line, "--clip-skip", line->clip_skip);
    }
    if (pair_text(extra, "original_size", 'x', line->original))
        add(line, "--original-size", line->original);
    if (pair_text(extra, "crops_coords_top_left", ',', line->crop))
        add(line, "--crop", line->crop);
    if (pair_text(extra, "target_size", 'x', line->target))
        add(line, "--target-size", line->target);
    add_savers(line, json_object_get(item, "savers"));
}

static void give_noises(bench *b)
{
    char name[16];
    size_t n = 0;
    do
        (void)snprintf(name, sizeof name, "noise%zu", n++);
    while (give(b, "", name, name));
    assert_true(n > 1);
    (void)give(b, "", "image", "image");
    (void)give(b, "", "mask", "mask");
}

static void check_pipeline(const json_t *item, const char *precision, double bar)
{
    char golden[64];
    denoise_line line = {.n = 0};
    const json_t *scheduler = json_object_get(item, "scheduler");
    (void)snprintf(golden, sizeof golden, "pipe_%s", json_string_value(json_object_get(item, "name")));
    bench b = open_bench(golden);
    write_config(&b, json_string_value(json_array_get(scheduler, 0)), json_array_get(scheduler, 1));
    give_noises(&b);
    make_line(&line, &b, item, precision);
    run_stage(&b, "denoise", line.arguments);
    compare_timesteps(&b, tt_arrays_find(&b.golden, "timesteps"), golden);
    compare(&b, "latents_final", tt_arrays_find(&b.golden, "latents_final"), bar, golden);
    compare(&b, "latents_steps", tt_arrays_find(&b.golden, "latents_steps"), bar, golden);
    compare(&b, "image_out", tt_arrays_find(&b.golden, "image_out"), bar, golden);
    close_bench(&b, golden);
}

static void check_pipelines(const char *precision, double bar)
{
    json_t *items = json_load_file(DATA "pipes.json", 0, NULL);
    assert_true(json_array_size(items) >= 15);
    for (size_t i = 0; i < json_array_size(items); i++)
        check_pipeline(json_array_get(items, i), precision, bar);
    json_decref(items);
}

static void test_denoise(void **state)
{
    (void)state;
    check_pipelines("f32", pipeline_bar);
}

static void test_denoise_half(void **state)
{
    (void)state;
    skip_when_small();
    check_pipelines("f16", half_pipeline_bar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenize), cmocka_unit_test(test_text),       cmocka_unit_test(test_text_half),
        cmocka_unit_test(test_unets),    cmocka_unit_test(test_unets_half), cmocka_unit_test(test_vaes),
        cmocka_unit_test(test_sample),   cmocka_unit_test(test_denoise),    cmocka_unit_test(test_denoise_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
