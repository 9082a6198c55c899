/* test_cancel.c - tt_cancel from another thread ends a running request within one step. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS = 500 };

static tt_context *context;
static tt_model *model;

static int set_up(void **state)
{
    (void)state;
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    context = golden_context();
    model = golden_model(context, &own, "sd1", TT_PRECISION_F32);
    return model == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    tt_model_destroy(model);
    tt_context_destroy(context);
    return 0;
}

/* What the two threads share: all of it atomic. */
typedef struct meeting {
    tt_phase phase; /* constant: where the other thread shall cancel */
    uint32_t step;
    atomic_bool reached, cancelled, finished;
    atomic_uint last_step, steps_after;
} meeting;

static void wait_for(const atomic_bool *flag, const atomic_bool *give_up)
{
    const struct timespec nap = {0, 200000};
    while (!atomic_load(flag) && !atomic_load(give_up))
        nanosleep(&nap, NULL);
}

static void *cancel_when_reached(void *user)
{
    meeting *m = user;
    wait_for(&m->reached, &m->finished);
    tt_cancel(model);
    atomic_store(&m->cancelled, true);
    return NULL;
}

/* The working thread goes on while the other one cancels; steps that end after that are counted. */
static bool watch(void *user, const tt_progress *progress)
{
    meeting *m = user;
    if (progress->phase == TT_PHASE_DENOISE && progress->step > 0) {
        atomic_store(&m->last_step, progress->step);
        if (atomic_load(&m->cancelled))
            atomic_fetch_add(&m->steps_after, 1);
    }
    if (progress->phase == m->phase && progress->step >= m->step)
        atomic_store(&m->reached, true);
    return true;
}

static tt_generate_params request(void)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat";
    p.width = p.height = 16;
    p.n_steps = STEPS;
    p.seed = 3;
    p.sampler = "euler";
    return p;
}

static void check_cancel_at(tt_phase phase, uint32_t step)
{
    meeting m = {.phase = phase, .step = step};
    tt_generate_params p = request();
    tt_image images[2];
    pthread_t other;
    tt_generate_stats stats;
    memset(images, 0xff, sizeof images);
    p.n_images = 2;
    p.progress = watch;
    p.progress_user = &m;
    assert_int_equal(pthread_create(&other, NULL, cancel_when_reached, &m), 0);
    tt_status status = tt_generate(model, &p, images, &stats);
    atomic_store(&m.finished, true);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(atomic_load(&m.reached));
    if (status != TT_ERROR_CANCELLED)
        fail_msg("status %d: %s", (int)status, tt_context_message(context));
    assert_non_null(strstr(tt_context_message(context), "cancelled"));
    assert_null(images[0].pixels);
    assert_null(images[1].pixels);
    assert_true(atomic_load(&m.last_step) < STEPS);
    assert_true(atomic_load(&m.steps_after) <= 1); /* the step under way may end, none begins */
}

static void test_from_another_thread(void **state)
{
    (void)state;
    check_cancel_at(TT_PHASE_DENOISE, 2);
    check_cancel_at(TT_PHASE_TEXT, 0);
    check_cancel_at(TT_PHASE_DENOISE, 40);
}

/* Several threads may cancel at once, again and again. */
static void *cancel_often(void *user)
{
    meeting *m = user;
    wait_for(&m->reached, &m->finished);
    while (!atomic_load(&m->finished))
        tt_cancel(model);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    enum { N = 3 };
    meeting m = {.phase = TT_PHASE_DENOISE, .step = 1};
    tt_generate_params p = request();
    tt_image image;
    pthread_t others[N];
    p.progress = watch;
    p.progress_user = &m;
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&others[i], NULL, cancel_often, &m), 0);
    tt_status status = tt_generate(model, &p, &image, NULL);
    atomic_store(&m.finished, true);
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_join(others[i], NULL), 0);
    assert_int_equal(status, TT_ERROR_CANCELLED);
    assert_null(image.pixels);
}

/* A cancel that comes when nothing runs is forgotten, and what was cancelled can be run again, with the same result. */
static void test_again(void **state)
{
    (void)state;
    tt_generate_params p = request();
    tt_image before, after;
    p.n_steps = 3;
    assert_int_equal(tt_generate(model, &p, &before, NULL), TT_OK);
    check_cancel_at(TT_PHASE_DENOISE, 1);
    tt_cancel(model);
    if (tt_generate(model, &p, &after, NULL) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_memory_equal(before.pixels, after.pixels, 16 * 16 * 3);
    tt_image_free(&before);
    tt_image_free(&after);
}

/* tt_stage_run's denoising loop stops too. */
static void *cancel_soon(void *user)
{
    atomic_bool *done = user;
    const struct timespec nap = {0, 1000000};
    while (!atomic_load(done)) {
        tt_cancel(model); /* again and again: the first ones may come before the stage has begun */
        nanosleep(&nap, NULL);
    }
    return NULL;
}

static void test_stage(void **state)
{
    (void)state;
    const uint64_t dims[4] = {1, 4, 8, 8};
    float noise[4 * 8 * 8];
    tt_arrays in = {0}, out = {0};
    tt_stage_params params;
    atomic_bool done;
    pthread_t other;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        noise[i] = (float)(i % 17) / 8.0f - 1.0f;
    atomic_init(&done, false);
    assert_int_equal(tt_arrays_add(context, &in, "noise0", TT_ARRAY_F32, 4, dims, noise), TT_OK);
    tt_stage_params_default(&params, TT_STAGE_DENOISE);
    params.prompt = "a cat";
    params.n_steps = STEPS;
    assert_int_equal(pthread_create(&other, NULL, cancel_soon, &done), 0);
    tt_status status = tt_stage_run(context, model, &params, &in, &out);
    atomic_store(&done, true);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(status, TT_ERROR_CANCELLED);
    assert_int_equal(out.n_items, 0);
    tt_arrays_free(&in);
    tt_arrays_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_from_another_thread), cmocka_unit_test(test_many_threads),
                                       cmocka_unit_test(test_again), cmocka_unit_test(test_stage)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
