/* test_generate_savers.c - requests with step savers: off is off bit by bit, a loop in plain C gives the same latents,
 * every sampler and form runs, memory modes agree, plans count what is saved. */
#include "pipeline/condition.h"
#include "pipeline/memory.h"
#include "tests/support/golden.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static tt_error err;

static void ok(tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", err.text);
}

static tt_model *load(const char *name, tt_precision precision)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, precision);
    assert_non_null(model);
    return model;
}

enum { WIDTH = 32, HEIGHT = 24 };

static tt_generate_params request(tt_model *model)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat on a blue background";
    p.negative_prompt = "rain";
    p.width = WIDTH;
    p.height = HEIGHT;
    p.n_steps = 6;
    p.cfg_scale = 5.0f;
    p.seed = 7;
    p.sampler = "euler";
    return p;
}

static tt_image run(tt_model *model, const tt_generate_params *p)
{
    tt_image image;
    if (tt_generate(model, p, &image, NULL) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return image;
}

static bool is_same(const tt_image *a, const tt_image *b)
{
    return memcmp(a->pixels, b->pixels, (size_t)3 * WIDTH * HEIGHT) == 0;
}

/* Runs twice, on a model that has run other requests; frees nothing of `want`. */
static void expect(tt_model *model, const tt_generate_params *p, const tt_image *want, bool is_equal, const char *what)
{
    for (int i = 0; i < 2; i++) {
        tt_image got = run(model, p);
        if (is_same(&got, want) != is_equal)
            fail_msg("%s: the picture is %s", what, is_equal ? "another" : "the same");
        tt_image_free(&got);
    }
}

static void test_off_is_off(void **state)
{
    (void)state;
    tt_model *model = load("sd1", TT_PRECISION_F32);
    tt_generate_params p = request(model), q;
    tt_image plain = run(model, &p);
    q = p;
    q.savers.reuse_interval = 1;
    q.savers.reuse_depth = 2;
    expect(model, &q, &plain, true, "interval 1");
    q = p;
    q.savers.guidance_stop = 0.5f;
    expect(model, &q, &plain, false, "guidance in the first half");
    q = p;
    q.savers.reuse_interval = 2;
    expect(model, &q, &plain, false, "interval 2");
    q = p;
    q.savers.kv_downsample = 1;
    expect(model, &q, &plain, false, "fewer keys");
    expect(model, &p, &plain, true, "off again");
    /* Without guidance there is none to limit. */
    p.cfg_scale = 1.0f;
    tt_image unguided = run(model, &p);
    q = p;
    q.savers.guidance_stop = 0.5f;
    expect(model, &q, &unguided, true, "no guidance");
    tt_image_free(&plain);
    tt_image_free(&unguided);
    tt_model_destroy(model);
}

/* ---- against a loop in plain C */

enum { N_LATENT = 4 * 12 * 16, MAX_CALLS = 8 };

typedef struct record {
    uint32_t n_calls;
    float inputs[MAX_CALLS][N_LATENT], latents[MAX_CALLS][N_LATENT];
    size_t n;
} record;

static void note_call(void *user, const tt_watched_call *call)
{
    record *r = user;
    assert_true(call->call < MAX_CALLS);
    r->n_calls = call->n_calls;
    memcpy(r->inputs[call->call], call->input, r->n * sizeof(float));
    memcpy(r->latents[call->call], call->latent, r->n * sizeof(float));
}

/* Both conditions or the prompt's alone; a graph of another batch is made where that changes. */
static void set_batch(tt_model *model, const tt_condition *c, uint32_t batch, uint32_t depth)
{
    const tt_unet_shape shape = {.batch = batch,
                                 .height = HEIGHT / model->vae_config.factor,
                                 .width = WIDTH / model->vae_config.factor,
                                 .n_tokens = c->n_tokens,
                                 .reuse_depth = depth};
    size_t one = (size_t)c->n_tokens * model->unet_config.cross_attention_dim;
    ok(tt_unet_prepare(model->unet, &shape, &err));
    ok(tt_unet_set_condition(model->unet, &(tt_unet_condition){.context = c->context + (2 - batch) * one}, &err));
}

/* What the loop in plain C works with: a model of its own. */
typedef struct reference {
    tt_model *model;
    tt_condition condition;
    tt_scheduler_config *config;
    tt_scheduler *scheduler;
    uint32_t n, batch;
    float latent[N_LATENT], in[2 * N_LATENT], out[2 * N_LATENT];
} reference;

static reference *make_reference(const tt_generate_params *p)
{
    reference *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->model = load("sd1", TT_PRECISION_F32);
    r->n = 4 * (HEIGHT / r->model->vae_config.factor) * (WIDTH / r->model->vae_config.factor);
    assert_true(r->n <= N_LATENT && r->model->unet_config.in_channels == 4);
    ok(tt_condition_make(
        r->model,
        &(tt_condition_request){.prompt = p->prompt, .negative = p->negative_prompt, .grammar = true, .guided = true},
        &r->condition, &err));
    ok(tt_scheduler_config_derive(r->model->scheduler, "euler", NULL, &r->config, &err));
    ok(tt_scheduler_create(r->config, p->n_steps, 1.0f, 0.0f, r->n, &r->scheduler, &err));
    ok(tt_model_need_unet(r->model, &err));
    return r;
}

static void free_reference(reference *r)
{
    tt_scheduler_destroy(r->scheduler);
    tt_scheduler_config_free(r->config);
    tt_condition_free(&r->condition);
    tt_model_destroy(r->model);
    free(r);
}

/* The start latent is what makes the first input. */
static void take_start(reference *r, const float *input)
{
    for (uint32_t i = 0; i < r->n; i++)
        r->latent[i] = 1.0f;
    tt_scheduler_scale_input(r->scheduler, 0, r->latent, r->in);
    for (uint32_t i = 0; i < r->n; i++)
        r->latent[i] = input[i] / r->in[i];
}

/* One call; `letter` as in check_loop. */
static void call_reference(reference *r, char letter, uint32_t call, const tt_savers *savers, float scale,
                           const float *first_input)
{
    uint32_t batch = letter < 'a' ? 2 : 1;
    double timesteps[2] = {tt_scheduler_timestep(r->scheduler, call), tt_scheduler_timestep(r->scheduler, call)};
    if (batch != r->batch)
        set_batch(r->model, &r->condition, batch, savers->reuse_depth);
    r->batch = batch;
    tt_scheduler_scale_input(r->scheduler, call, r->latent, r->in);
    if (call == 0) /* which a start that was rounded twice may miss */
        memcpy(r->in, first_input, r->n * sizeof *r->in);
    memcpy(r->in + r->n, r->in, r->n * sizeof *r->in);
    if (letter == 'w' || letter == 'W')
        ok(tt_unet_run(r->model->unet, r->in, timesteps, r->out, &err));
    else
        ok(tt_unet_run_reusing(r->model->unet, r->in, timesteps, r->out, &err));
    for (uint32_t i = 0; batch == 2 && i < r->n; i++)
        r->out[i] += scale * (r->out[r->n + i] - r->out[i]);
    ok(tt_scheduler_step(r->scheduler, call, r->out, NULL, r->latent, &err));
}

/* calls: large letters are guided; w and W are whole. */
static void check_loop(const char *calls, tt_savers savers)
{
    tt_model *model = load("sd1", TT_PRECISION_F32);
    tt_generate_params p = request(model);
    record *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    p.savers = savers;
    p.n_steps = (uint32_t)strlen(calls);
    reference *r = make_reference(&p);
    seen->n = r->n;
    model->watcher = (tt_watcher){note_call, seen};
    tt_image image = run(model, &p);
    assert_int_equal(seen->n_calls, strlen(calls));
    take_start(r, seen->inputs[0]);
    for (uint32_t call = 0; calls[call]; call++) {
        float bar = call > 0 ? 0.0f : 1e-3f;
        call_reference(r, calls[call], call, &savers, p.cfg_scale, seen->inputs[0]);
        for (uint32_t i = 0; i < r->n; i++)
            if (!(r->latent[i] - seen->latents[call][i] <= bar && seen->latents[call][i] - r->latent[i] <= bar))
                fail_msg("%s, call %u: %g instead of %g", calls, (unsigned)call, (double)seen->latents[call][i],
                         (double)r->latent[i]);
        memcpy(r->latent, seen->latents[call], r->n * sizeof *r->latent);
    }
    tt_image_free(&image);
    free(seen);
    free_reference(r);
    tt_model_destroy(model);
}

static void test_loops(void **state)
{
    (void)state;
    check_loop("WWWWWW", (tt_savers){.guidance_stop = 1.0f});
    check_loop("WWWwww", (tt_savers){.guidance_stop = 0.5f});
    check_loop("wWWWww", (tt_savers){.guidance_start = 0.2f, .guidance_stop = 0.7f});
    check_loop("WRRWRR", (tt_savers){.guidance_stop = 1.0f, .reuse_interval = 3, .reuse_depth = 1});
    check_loop("wWRWRw",
               (tt_savers){.guidance_start = 0.2f, .guidance_stop = 0.8f, .reuse_interval = 2, .reuse_depth = 2});
}

/* ---- everything else that a request can be */

static const tt_savers all = {
    .guidance_start = 0.1f, .guidance_stop = 0.6f, .reuse_interval = 2, .reuse_depth = 2, .kv_downsample = 1};

static void test_every_sampler(void **state)
{
    (void)state;
    tt_model *model = load("sd1", TT_PRECISION_F16);
    tt_generate_params p = request(model);
    p.savers = all;
    for (size_t i = 0; (p.sampler = tt_sampler_name(i)) != NULL; i++) {
        tt_image picture = run(model, &p);
        expect(model, &p, &picture, true, p.sampler);
        tt_image_free(&picture);
    }
    tt_model_destroy(model);
}

/* Modes of memory agree, in every form; with a start picture, a mask and two images too. */
static void check_modes(tt_model *model, bool has_start)
{
    tt_generate_params p = request(model);
    uint8_t pixels[3 * WIDTH * HEIGHT], marks[WIDTH * HEIGHT];
    tt_image start = {WIDTH, HEIGHT, 3, pixels}, mask = {WIDTH, HEIGHT, 1, marks}, pictures[3][2];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37 % 256);
    for (size_t i = 0; i < sizeof marks; i++)
        marks[i] = i % WIDTH < WIDTH / 2 ? 255 : 0;
    p.savers = all;
    p.n_images = 2;
    p.init_image = has_start ? &start : NULL;
    p.mask = has_start ? &mask : NULL;
    for (int mode = 0; mode < 3; mode++) {
        p.memory_mode = tt_memory_mode_name((tt_memory_mode)mode);
        if (tt_generate(model, &p, pictures[mode], NULL) != TT_OK)
            fail_msg("%s", tt_context_message(context));
        assert_true(is_same(&pictures[mode][0], &pictures[0][0]) && is_same(&pictures[mode][1], &pictures[0][1]));
        assert_false(is_same(&pictures[mode][0], &pictures[mode][1]));
    }
    for (int i = 0; i < 6; i++)
        tt_image_free(&pictures[i / 2][i % 2]);
}

static void test_modes(void **state)
{
    (void)state;
    static const tt_precision forms[] = {TT_PRECISION_F32, TT_PRECISION_F16, TT_PRECISION_HALF, TT_PRECISION_INT8};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        tt_model *model = load("sd1", forms[i]);
        check_modes(model, false);
        check_modes(model, true);
        tt_model_destroy(model);
    }
    tt_model *model = load("sdxl", TT_PRECISION_F32);
    check_modes(model, false);
    tt_model_destroy(model);
}

/* ---- plans */

static tt_plan plan_of(tt_model *model, const tt_generate_params *p)
{
    tt_plan plan;
    if (tt_plan_make(model, p, false, &plan) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return plan;
}

/* What was forecast is what the device held. */
static void check_account(tt_model *model, const tt_generate_params *p)
{
    tt_generate_stats stats;
    tt_memory_plan forecast;
    tt_image image;
    uint64_t device = 0;
    ok(tt_memory_plan_make(model, p, &forecast, &err));
    for (int i = 0; i < TT_N_PHASES; i++)
        if (forecast.phases.runs[i] && forecast.phases.device[i] > device)
            device = forecast.phases.device[i];
    if (tt_generate(model, p, &image, &stats) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_int_equal(stats.device_bytes, device);
    tt_image_free(&image);
}

static void test_plans(void **state)
{
    (void)state;
    tt_model *model = load("sd1", TT_PRECISION_F32);
    tt_generate_params p = request(model), q;
    p.memory_mode = "sequential";
    tt_plan plain = plan_of(model, &p);
    q = p;
    q.savers.guidance_stop = 0.5f;
    tt_plan half = plan_of(model, &q);
    double share = half.unet.flops / plain.unet.flops;
    assert_true(share > 0.74 && share < 0.76 && half.flops < plain.flops);
    assert_int_equal(half.unet.n_passes, plain.unet.n_passes);
    assert_int_equal(half.unet.activation_bytes, plain.unet.activation_bytes);
    q = p;
    q.savers.reuse_interval = 6;
    q.savers.reuse_depth = 1;
    tt_plan reuse = plan_of(model, &q);
    assert_true(reuse.unet.flops < 0.6 * plain.unet.flops && reuse.unet.bytes_moved < plain.unet.bytes_moved);
    assert_true(reuse.unet.activation_bytes >= plain.unet.activation_bytes);
    assert_int_equal(reuse.unet.weight_bytes, plain.unet.weight_bytes);
    check_account(model, &q);
    q = p;
    q.savers.kv_downsample = 1;
    tt_plan keys = plan_of(model, &q);
    assert_true(keys.unet.flops < plain.unet.flops);
    check_account(model, &q);
    check_account(model, &p);
    tt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off_is_off), cmocka_unit_test(test_loops), cmocka_unit_test(test_every_sampler),
        cmocka_unit_test(test_modes),      cmocka_unit_test(test_plans),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
