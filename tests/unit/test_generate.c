/* test_generate.c - tt_generate on tiny models: seeds, batches, guidance, pictures to start from, masks, prompts,
 * progress, refusals. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_context *context;
static tt_model *sd1, *sd1_half, *inpaint;

static tt_model *load(const char *name, tt_precision precision)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, precision);
    assert_non_null(model);
    return model;
}

static int set_up(void **state)
{
    (void)state;
    context = golden_context();
    sd1 = load("sd1", TT_PRECISION_F32);
    sd1_half = load("sd1", TT_PRECISION_F16);
    inpaint = load("inpaint", TT_PRECISION_F32);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_model_destroy(sd1);
    tt_model_destroy(sd1_half);
    tt_model_destroy(inpaint);
    tt_context_destroy(context);
    return 0;
}

static tt_generate_params request(tt_model *model)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat on a blue background";
    p.width = 32;
    p.height = 16;
    p.n_steps = 3;
    p.seed = 7;
    p.sampler = "euler";
    return p;
}

static void run(tt_model *model, const tt_generate_params *p, tt_image *images, tt_generate_stats *stats)
{
    if (tt_generate(model, p, images, stats) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    for (uint32_t i = 0; i < p->n_images; i++) {
        assert_int_equal(images[i].width, p->width);
        assert_int_equal(images[i].height, p->height);
        assert_int_equal(images[i].n_channels, 3);
        assert_non_null(images[i].pixels);
    }
}

static tt_image one(tt_model *model, const tt_generate_params *p)
{
    tt_image image;
    run(model, p, &image, NULL);
    return image;
}

/* Mean absolute difference of two pictures, in steps of 1/255. */
static double difference(const tt_image *a, const tt_image *b)
{
    size_t n = (size_t)a->width * a->height * 3;
    double sum = 0;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)a->pixels[i] - b->pixels[i]);
    return sum / (double)n;
}

/* Makes two pictures and gives their difference. */
static double changed(tt_model *model, const tt_generate_params *p, const tt_generate_params *q)
{
    tt_image a = one(model, p), b = one(model, q);
    double d = difference(&a, &b);
    tt_image_free(&a);
    tt_image_free(&b);
    return d;
}

static void test_seeds(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1), q = p;
    tt_generate_stats stats;
    tt_image batch[3];
    assert_true(changed(sd1, &p, &q) == 0.0);
    q.seed = 8;
    assert_true(changed(sd1, &p, &q) > 1.0);
    q = p;
    q.rng = TT_RNG_CUDA;
    assert_true(changed(sd1, &p, &q) > 1.0);
    p.n_images = 3;
    run(sd1, &p, batch, &stats);
    assert_int_equal(stats.seed, 7);
    assert_int_equal(stats.n_unet_calls, 9);
    assert_true(stats.total_ms > 0 && stats.denoise_ms > 0 && stats.decode_ms > 0 && stats.encode_ms == 0);
    assert_true(stats.device_bytes > 0);
    for (uint32_t i = 0; i < 3; i++) { /* image i is that of seed + i */
        q = request(sd1);
        q.seed = 7 + (int64_t)i;
        tt_image alone = one(sd1, &q);
        assert_true(difference(&alone, &batch[i]) == 0.0);
        tt_image_free(&alone);
        tt_image_free(&batch[i]);
    }
    q = request(sd1);
    q.seed = -1; /* taken from the clock, and told */
    run(sd1, &q, batch, &stats);
    tt_image_free(&batch[0]);
    assert_true(stats.seed >= 0);
}

/* Ancestral samplers draw noise at every step: equal seeds must still give equal pictures. */
static void test_samplers(void **state)
{
    (void)state;
    for (size_t i = 0; tt_sampler_name(i); i++) {
        tt_generate_params p = request(sd1), q;
        p.width = p.height = 16;
        p.sampler = tt_sampler_name(i);
        p.n_steps = 4;
        q = p;
        if (changed(sd1, &p, &q) != 0.0)
            fail_msg("%s: the same seed gives another picture", p.sampler);
    }
    tt_generate_params p = request(sd1), q = p;
    p.sampler = "dpm++2m";
    q.sampler = "dpm++2m";
    q.schedule = "karras";
    assert_true(changed(sd1, &p, &q) > 0.0);
    q = request(sd1);
    q.scheduler_config = "{\"_class_name\":\"EulerDiscreteScheduler\",\"beta_start\":0.00085,\"beta_end\":0.012,"
                         "\"beta_schedule\":\"scaled_linear\",\"timestep_spacing\":\"trailing\"}";
    assert_true(changed(sd1, &p, &q) > 0.0);
}

static void test_guidance(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1), q = p;
    p.cfg_scale = 1.0f;
    q.cfg_scale = 5.0f;
    assert_true(changed(sd1, &p, &q) > 0.0);
    q.cfg_scale = 1.0f;
    q.negative_prompt = "rain"; /* without guidance nothing reads it */
    assert_true(changed(sd1, &p, &q) == 0.0);
    p.cfg_scale = q.cfg_scale = 5.0f;
    assert_true(changed(sd1, &p, &q) > 0.0);
    p.negative_prompt = "";
    q.negative_prompt = NULL; /* the same for families without zeroed embeddings */
    assert_true(changed(sd1, &p, &q) == 0.0);
}

static void test_prompts(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1), q = p;
    char endless[2048] = "";
    p.cfg_scale = q.cfg_scale = 7.0f;
    q.prompt = "a (cat:1.5) on a blue background";
    assert_true(changed(sd1, &p, &q) > 0.0);
    q.prompt = "a (cat:1.0) on a blue background";
    assert_true(changed(sd1, &p, &q) == 0.0);
    q.prompt = "a cat BREAK on a blue background";
    assert_true(changed(sd1, &p, &q) > 0.0);
    for (int i = 0; i < 120; i++) /* two chunks, whatever the vocabulary */
        strcat(endless, "cat ");
    q.prompt = endless;
    tt_image two = one(sd1, &q), again = one(sd1, &q);
    assert_true(difference(&two, &again) == 0.0);
    tt_image_free(&two);
    tt_image_free(&again);
    q = p; /* only the negative prompt is long: the prompt is padded to as many chunks */
    q.negative_prompt = endless;
    assert_true(changed(sd1, &p, &q) > 0.0);
    q = p;
    q.clip_skip = 2;
    assert_true(changed(sd1, &p, &q) > 0.0);
    q.clip_skip = 1;
    assert_true(changed(sd1, &p, &q) == 0.0);
    q.prompt = "";
    assert_true(changed(sd1, &p, &q) > 0.0);
}

static void test_precision(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1);
    tt_image whole = one(sd1, &p), half = one(sd1_half, &p);
    double d = difference(&whole, &half);
    assert_true(d < 3.0);
    tt_image_free(&whole);
    tt_image_free(&half);
    tt_model_info info;
    assert_int_equal(tt_model_get_info(sd1_half, &info), TT_OK);
    assert_int_equal(info.precision, TT_PRECISION_F16);
}

/* Every family once, at its smallest sensible size. */
static void test_families(void **state)
{
    (void)state;
    static const char *const names[] = {"sd2", "sdxl", "bks", "lcm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tt_model *model = load(names[i], TT_PRECISION_F32);
        tt_generate_params p = request(model), q;
        p.sampler = NULL;
        p.width = p.height = 16;
        p.n_steps = 2;
        q = p;
        q.prompt = "something else";
        if (changed(model, &p, &q) == 0.0)
            fail_msg("%s: the prompt changes nothing", names[i]);
        if (strcmp(names[i], "sdxl") == 0) { /* an empty negative prompt is encoded, none is zero */
            q = p;
            q.negative_prompt = "";
            assert_true(changed(model, &p, &q) > 0.0);
        }
        tt_model_destroy(model);
    }
}

/* ---- pictures to start from */

static tt_image picture(uint32_t width, uint32_t height, uint32_t n_channels, uint8_t first)
{
    tt_image image = {width, height, n_channels, malloc((size_t)width * height * n_channels)};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < (size_t)width * height * n_channels; i++)
        image.pixels[i] = (uint8_t)(first + i * 5);
    return image;
}

static void test_strength(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1), q;
    tt_generate_stats stats;
    tt_image start = picture(32, 16, 3, 10), other = picture(32, 16, 3, 90), made;
    p.init_image = &start;
    p.n_steps = 10;
    p.strength = 0.5f;
    run(sd1, &p, &made, &stats);
    assert_int_equal(stats.n_unet_calls, 5);
    assert_true(stats.encode_ms > 0.0);
    tt_image_free(&made);
    q = p;
    assert_true(changed(sd1, &p, &q) == 0.0);
    q.init_image = &other;
    assert_true(changed(sd1, &p, &q) > 0.0);
    q = p;
    q.strength = 1.0f;
    assert_true(changed(sd1, &p, &q) > 0.0);
    p.strength = 0.01f;
    assert_int_equal(tt_generate(sd1, &p, &made, NULL), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(context), "leaves no step"));
    tt_image_free(&start);
    tt_image_free(&other);
}

/* What the mask leaves out comes back as the autoencoder gives it, whatever seed and prompt say. */
static void test_mask(void **state)
{
    (void)state;
    tt_image start = picture(32, 16, 3, 10), mask = {32, 16, 1, calloc(32, 16)};
    assert_non_null(mask.pixels);
    for (int y = 0; y < 16; y++)
        memset(mask.pixels + y * 32 + 24, 255, 8); /* repaint the right quarter */
    tt_generate_params p = request(sd1), q;
    p.init_image = &start;
    p.mask = &mask;
    p.strength = 1.0f;
    q = p;
    q.prompt = "a red house";
    tt_image a = one(sd1, &p), b = one(sd1, &q);
    double kept = 0, painted = 0;
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 32 * 3; x++) {
            double d = fabs((double)a.pixels[y * 96 + x] - b.pixels[y * 96 + x]);
            if (x < 3 * 12)
                kept += d / (16 * 36);
            else if (x >= 3 * 24)
                painted += d / (16 * 24);
        }
    tt_image_free(&a);
    tt_image_free(&b);
    assert_true(painted > 0.0);
    assert_true(kept < 0.5 * painted);
    memset(mask.pixels, 0, 32 * 16); /* nothing to repaint: the picture's own latent */
    assert_true(changed(sd1, &p, &q) == 0.0);
    tt_generate_params r = request(inpaint); /* a nine-channel model */
    memset(mask.pixels, 255, 32 * 8);
    r.init_image = &start;
    r.mask = &mask;
    r.strength = 0.8f;
    q = r;
    q.seed = 99;
    assert_true(changed(inpaint, &r, &q) > 0.0);
    tt_image_free(&start);
    tt_image_free(&mask);
}

/* ---- progress */

typedef struct event {
    tt_phase phase;
    uint32_t image, step, n_steps;
} event;

typedef struct record {
    event events[128];
    size_t n;
    uint32_t preview_width, preview_height;
    size_t n_previews;
    bool blank;  /* every preview was of one colour */
    int stop_at; /* event at which to return false; -1: never */
} record;

static bool note(void *user, const tt_progress *progress)
{
    record *r = user;
    assert_true(r->n < 128);
    assert_true(progress->phase_ms >= 0.0 && progress->step_ms >= 0.0);
    r->events[r->n] = (event){progress->phase, progress->image, progress->step, progress->n_steps};
    if (progress->preview) {
        const tt_image *v = progress->preview;
        assert_int_equal(progress->phase, TT_PHASE_DENOISE);
        assert_int_equal(v->n_channels, 3);
        r->preview_width = v->width;
        r->preview_height = v->height;
        r->n_previews++;
        for (size_t i = 3; i < (size_t)v->width * v->height * 3; i++)
            r->blank = r->blank && v->pixels[i] == v->pixels[i % 3];
    }
    return (int)r->n++ != r->stop_at;
}

static void check_events(const record *r, const event *want, size_t n)
{
    assert_int_equal(r->n, n);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&r->events[i], &want[i], sizeof *want) != 0)
            fail_msg("event %zu: phase %d image %u step %u of %u", i, (int)r->events[i].phase, r->events[i].image,
                     r->events[i].step, r->events[i].n_steps);
}

static void test_progress(void **state)
{
    (void)state;
    static const event text_to_image[] = {
        {TT_PHASE_TEXT, 0, 0, 0},    {TT_PHASE_TEXT, 0, 1, 1},    {TT_PHASE_DENOISE, 0, 0, 0},
        {TT_PHASE_DENOISE, 0, 1, 2}, {TT_PHASE_DENOISE, 0, 2, 2}, {TT_PHASE_DENOISE, 1, 0, 0},
        {TT_PHASE_DENOISE, 1, 1, 2}, {TT_PHASE_DENOISE, 1, 2, 2}, {TT_PHASE_DECODE, 0, 0, 0},
        {TT_PHASE_DONE, 0, 1, 1},    {TT_PHASE_DECODE, 1, 0, 0},  {TT_PHASE_DONE, 1, 1, 1}};
    static const event image_to_image[] = {
        {TT_PHASE_TEXT, 0, 0, 0},    {TT_PHASE_TEXT, 0, 1, 1},   {TT_PHASE_ENCODE, 0, 0, 0}, {TT_PHASE_ENCODE, 0, 1, 1},
        {TT_PHASE_DENOISE, 0, 1, 1}, {TT_PHASE_DECODE, 0, 0, 0}, {TT_PHASE_DONE, 0, 1, 1}};
    tt_generate_params p = request(sd1);
    tt_image images[2], start = picture(32, 16, 3, 10);
    record r = {.stop_at = -1};
    p.progress = note;
    p.progress_user = &r;
    p.n_steps = 2;
    p.n_images = 2;
    run(sd1, &p, images, NULL);
    check_events(&r, text_to_image, sizeof text_to_image / sizeof *text_to_image);
    assert_int_equal(r.n_previews, 0);
    tt_image_free(&images[0]);
    tt_image_free(&images[1]);
    r = (record){.stop_at = -1};
    p.n_images = 1;
    p.init_image = &start;
    p.strength = 0.5f;
    run(sd1, &p, images, NULL);
    check_events(&r, image_to_image, sizeof image_to_image / sizeof *image_to_image);
    tt_image_free(&images[0]);
    r = (record){.stop_at = -1}; /* the model's own PNDM calls the network once more than there are steps */
    p = request(sd1);
    p.sampler = NULL;
    p.progress = note;
    p.progress_user = &r;
    run(sd1, &p, images, NULL);
    assert_int_equal(r.n, 2 + 1 + 4 + 2);
    assert_int_equal(r.events[6].n_steps, 4);
    tt_image_free(&images[0]);
    tt_image_free(&start);
}

static void test_previews(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1), q = p;
    record r = {.stop_at = -1, .blank = true};
    tt_image image;
    p.preview = true;
    p.progress = note;
    p.progress_user = &r;
    run(sd1, &p, &image, NULL);
    assert_int_equal(r.n_previews, 3);
    assert_int_equal(r.preview_width, 16); /* this VAE halves each side */
    assert_int_equal(r.preview_height, 8);
    assert_false(r.blank);
    tt_image plain = one(sd1, &q); /* looking on changes nothing */
    assert_true(difference(&image, &plain) == 0.0);
    tt_image_free(&plain);
    tt_image_free(&image);
}

/* Returning false at any event ends the request there, leaves no picture, and the model works on. */
static void test_stop_at_every_event(void **state)
{
    (void)state;
    tt_image start = picture(32, 16, 3, 10);
    for (int with_image = 0; with_image < 2; with_image++) {
        tt_generate_params p = request(sd1);
        record all = {.stop_at = -1};
        tt_image images[2];
        p.progress = note;
        p.progress_user = &all;
        p.n_steps = 2;
        p.n_images = 2;
        p.init_image = with_image ? &start : NULL;
        run(sd1, &p, images, NULL);
        tt_image_free(&images[0]);
        tt_image_free(&images[1]);
        for (int i = 0; i < (int)all.n; i++) {
            record r = {.stop_at = i};
            p.progress_user = &r;
            tt_status status = tt_generate(sd1, &p, images, NULL);
            if (status != TT_ERROR_CANCELLED || (int)r.n != i + 1)
                fail_msg("stopping at event %d of %zu: status %d after %zu events", i, all.n, (int)status, r.n);
            assert_non_null(strstr(tt_context_message(context), "cancelled"));
            assert_null(images[0].pixels);
            assert_null(images[1].pixels);
        }
    }
    tt_generate_params p = request(sd1), q = p;
    assert_true(changed(sd1, &p, &q) == 0.0);
    tt_image_free(&start);
}

/* ---- refusals */

static void refuse(tt_model *model, const tt_generate_params *p, const char *mention)
{
    tt_image images[1];
    tt_status status = tt_generate(model, p, images, NULL);
    if (status != TT_ERROR_ARGUMENT || !strstr(tt_context_message(context), mention))
        fail_msg("status %d, wanted \"%s\": %s", (int)status, mention, tt_context_message(context));
}

static void test_bad_numbers(void **state)
{
    (void)state;
    tt_image start = picture(32, 16, 3, 0);
    static const float strengths[] = {0.0f, -1.0f, 1.01f, NAN}, scales[] = {-1.0f, 1001.0f, NAN, INFINITY},
                       etas[] = {-0.5f, 1.5f, NAN};
    static const struct {
        uint32_t width, height;
        const char *mention;
    } sizes[] = {{0, 16, "out of range"},
                 {16, 0, "out of range"},
                 {16400, 16, "out of range"},
                 {16, 1, "out of range"},
                 {33, 16, "32 x 16 is near"},
                 {32, 17, "multiples of 2"},
                 {UINT32_MAX, UINT32_MAX, "out of range"}};
    tt_generate_params p = request(sd1);
    p.prompt = NULL;
    refuse(sd1, &p, "no prompt");
    for (uint32_t i = 0; i < 2; i++) {
        p = request(sd1);
        p.n_steps = i ? 1001 : 0;
        refuse(sd1, &p, "steps are out of range");
        p = request(sd1);
        p.n_images = i ? 10001 : 0;
        refuse(sd1, &p, "images are out of range");
    }
    for (size_t i = 0; i < 4; i++) {
        p = request(sd1);
        p.cfg_scale = scales[i];
        refuse(sd1, &p, "cfg scale");
        p = request(sd1);
        p.init_image = &start;
        p.strength = strengths[i];
        refuse(sd1, &p, "strength");
    }
    for (size_t i = 0; i < 3; i++) {
        p = request(sd1);
        p.eta = etas[i];
        refuse(sd1, &p, "eta");
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        p = request(sd1);
        p.width = sizes[i].width;
        p.height = sizes[i].height;
        refuse(sd1, &p, sizes[i].mention);
    }
    tt_image_free(&start);
}

static void test_bad_pictures(void **state)
{
    (void)state;
    tt_image start = picture(32, 16, 3, 0), small = picture(16, 16, 3, 0), grey = picture(32, 16, 1, 0),
             empty = {32, 16, 3, NULL};
    tt_generate_params p = request(sd1);
    p.init_image = &small;
    refuse(sd1, &p, "16 x 16 with 3 channels, but 32 x 16 with 3");
    p.init_image = &grey;
    refuse(sd1, &p, "picture to start from");
    p.init_image = &empty;
    refuse(sd1, &p, "picture to start from");
    p.init_image = &start;
    p.mask = &start;
    refuse(sd1, &p, "mask is 32 x 16 with 3 channels");
    p.init_image = NULL;
    p.mask = &grey;
    refuse(sd1, &p, "mask needs a picture");
    p = request(inpaint);
    refuse(inpaint, &p, "inpainting model");
    p.init_image = &start;
    refuse(inpaint, &p, "inpainting model");
    tt_image_free(&start);
    tt_image_free(&small);
    tt_image_free(&grey);
}

static void test_bad_words(void **state)
{
    (void)state;
    tt_generate_params p = request(sd1);
    p.sampler = "eular";
    refuse(sd1, &p, "eular");
    p = request(sd1);
    p.schedule = "fast";
    refuse(sd1, &p, "fast");
    p = request(sd1);
    p.clip_skip = 3;
    refuse(sd1, &p, "clip skip 3");
    p = request(sd1);
    p.prompt = "a <lora:style:1> cat";
    assert_true(tt_generate(sd1, &p, &(tt_image){0}, NULL) != TT_OK);
    assert_non_null(strstr(tt_context_message(context), "lora"));
    p = request(sd1);
    p.scheduler_config = "{";
    assert_true(tt_generate(sd1, &p, &(tt_image){0}, NULL) != TT_OK);
    assert_true(tt_context_message(context)[0] != '\0');
    p = request(sd1);
    p.prompt = "broken \xff\xfe bytes \xc3";
    tt_image image = {0};
    if (tt_generate(sd1, &p, &image, NULL) != TT_OK)
        assert_true(tt_context_message(context)[0] != '\0');
    tt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_samplers),
        cmocka_unit_test(test_guidance),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_precision),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_strength),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_previews),
        cmocka_unit_test(test_stop_at_every_event),
        cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_bad_pictures),
        cmocka_unit_test(test_bad_words),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
