/* test_resume_files.c - state files that are damaged, hostile or of another device. */
#include "base/rng.h"
#include "scheduler/scheduler.h"
#include "tests/support/golden.h"
#include "tests/support/resume-run.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_context *context;
static tt_model *sd1;
static temp_folder folder;
static char path[TT_TEMP_PATH];

static tt_model *load(const char *name)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, TT_PRECISION_F32);
    assert_non_null(model);
    return model;
}

static int set_up_all(void **state)
{
    (void)state;
    context = golden_context();
    sd1 = load("sd1");
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    tt_model_destroy(sd1);
    tt_context_destroy(context);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "state", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_context_set_log(context, NULL, NULL);
    temp_folder_remove(&folder);
    return 0;
}

/* Whatever bytes are changed or missing: one sentence, and the file stays. */
static void test_damaged_files(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1);
    size_t n = 0;
    tt_image image;
    p.resume_path = path;
    resume_run_until(sd1, &p, 0, 2);
    char *sound = resume_read(path, &n), *bytes = malloc(n + 8);
    assert_non_null(bytes);
    for (size_t i = 0; i < 160; i++) {
        size_t at = i < 32 ? i : i * 7919 % n;
        memcpy(bytes, sound, n);
        bytes[at] = (char)(bytes[at] ^ 1 << i % 7);
        temp_folder_write(&folder, "state", bytes, n);
        tt_status status = tt_generate(sd1, &p, &image, NULL);
        if (status == TT_OK || tt_context_message(context)[0] == '\0')
            fail_msg("a changed byte %zu of %zu was taken", at, n);
    }
    for (size_t i = 0; i < 40; i++) {
        size_t kept = i < 12 ? i : n * i / 40;
        temp_folder_write(&folder, "state", sound, kept);
        assert_int_equal(tt_generate(sd1, &p, &image, NULL), TT_ERROR_FORMAT);
        assert_non_null(strstr(tt_context_message(context), "damaged or no resume file"));
    }
    memcpy(bytes, sound, n);
    memset(bytes + n, 0, 8);
    temp_folder_write(&folder, "state", bytes, n + 8);
    resume_refuse(context, sd1, &p, TT_ERROR_FORMAT, "damaged or no resume file");
    temp_folder_write(&folder, "state", sound, n);
    resume_run(context, sd1, &p, &image, NULL);
    tt_image_free(&image);
    free(sound);
    free(bytes);
}

/* The forger's own digest is right: an unchanged state is taken, and another device is only worth a warning. */
static void test_other_device(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1);
    tt_image whole, rest;
    resume_log lines = {0};
    resume_run(context, sd1, &p, &whole, NULL);
    p.resume_path = path;
    resume_run_until(sd1, &p, 0, 2);
    resume_forgery f = resume_forgery_begin(path);
    resume_forgery_write(&f, path);
    tt_context_set_log(context, resume_keep_log, &lines);
    resume_run_until(sd1, &p, 0, 3);
    assert_int_equal(lines.n_warnings, 0);
    f = resume_forgery_begin(path);
    resume_forgery_set(&f, "device", "another phone");
    resume_forgery_write(&f, path);
    resume_run(context, sd1, &p, &rest, NULL);
    assert_int_equal(lines.n_warnings, 1);
    assert_non_null(strstr(lines.last, "the device \"another phone\""));
    resume_assert_same(&whole, &rest, "another device", 0);
    tt_image_free(&whole);
    tt_image_free(&rest);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text;
        tt_status status;
        const char *mention;
    } cases[] = {
        {"format", "2", TT_ERROR_UNSUPPORTED, "format 2"},
        {"seed", "", TT_ERROR_FORMAT, "no numbers"},
        {"seed", "-7", TT_ERROR_FORMAT, "no numbers"},
        {"seed", "9223372036854775808", TT_ERROR_FORMAT, "no numbers"},
        {"seed", "99999999999999999999999", TT_ERROR_FORMAT, "no numbers"},
        {"number", "1000000001", TT_ERROR_FORMAT, "no numbers"},
        {"number", "1", TT_ERROR_ARGUMENT, "stands at picture 2"},
        {"calls", "3", TT_ERROR_FORMAT, "counts of calls"},
        {"calls", "5", TT_ERROR_FORMAT, "counts of calls"},
        {"calls", "4294967300", TT_ERROR_FORMAT, "no numbers"},
        {"calls_done", "3", TT_ERROR_FORMAT, "counts of calls"},
        {"calls_done", "4", TT_ERROR_FORMAT, "counts of calls"},
        {"calls_done", "5", TT_ERROR_FORMAT, "no numbers"},
        {"calls_done", "2x", TT_ERROR_FORMAT, "no numbers"},
        {"calls_done", "", TT_ERROR_FORMAT, "no numbers"},
    };
    tt_generate_params p = resume_request(sd1);
    p.resume_path = path;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)remove(path);
        resume_run_until(sd1, &p, 0, 2);
        resume_forgery f = resume_forgery_begin(path);
        resume_forgery_set(&f, cases[i].key, cases[i].text);
        resume_forgery_write(&f, path);
        resume_refuse(context, sd1, &p, cases[i].status, cases[i].mention);
    }
}

static void test_hostile_tensors(void **state)
{
    (void)state;
    static float zeros[1 << 16];
    static const uint32_t counters[][3] = {{2, 3, 0}, {3, 1, 0}, {UINT32_MAX, 0, 0}, {2, 1, 1}, {2, 1, UINT32_MAX}};
    tt_generate_params p = resume_request(sd1);
    uint32_t words[TT_RNG_WORDS];
    p.resume_path = path;
    for (size_t i = 0; i < 14; i++) {
        const char *mention = "but this run needs";
        (void)remove(path);
        resume_run_until(sd1, &p, 0, 2);
        resume_forgery f = resume_forgery_begin(path);
        tt_tensor *latent = resume_forgery_tensor(&f, "latent"), *rng = resume_forgery_tensor(&f, "rng");
        memcpy(words, rng->data, sizeof words);
        if (i < 5) {
            resume_forgery_tensor(&f, "sampler_counters")->data = counters[i];
            mention = i == 1 || i == 2 ? "counts of calls" : "sampler's state";
        } else if (i < 8) {
            words[i == 5 ? 0 : i == 6 ? 3 : 1] += i == 6 ? 1000 : 1;
            rng->data = words;
            mention = i == 6 ? "random generator's state" : "another seed";
        } else if (i == 8) {
            latent->dims[1] *= 2;
            latent->n_bytes *= 2;
            latent->data = zeros;
        } else if (i == 9) {
            latent->dims[1] = 0;
            latent->n_bytes = 0;
        } else if (i == 10) {
            uint64_t swapped = latent->dims[1];
            latent->dims[1] = latent->dims[2];
            latent->dims[2] = swapped;
        } else if (i == 11) {
            latent->dtype = TT_I32;
        } else if (i == 12) {
            resume_forgery_tensor(&f, "sampler")->name = "sampled";
        } else {
            f.tensors[f.n_tensors++] = (tt_tensor){"extra", TT_F32, 1, {4}, zeros, 16};
            mention = "tensors, but this run has";
        }
        resume_forgery_write(&f, path);
        resume_refuse(context, sd1, &p, TT_ERROR_FORMAT, mention);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_damaged_files),
        TEST(test_other_device),
        TEST(test_hostile_texts),
        TEST(test_hostile_tensors),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
