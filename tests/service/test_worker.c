/* test_worker.c - one job's work, the loop over a ledger, and the heartbeat. */
#include "base/sha256.h"
#include "service/heartbeat.h"
#include "service/worker.h"
#include "tests/support/built-in.h"
#include "tests/support/ledger-fixture.h"
#include "tests/support/small-bodies.h"
#include "tests/support/small-jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char latents[] = "application/x-tintype-latent";
static const char *const models[] = {BUILT_IN_MODEL};

/* A worker with a model, and pictures with what must come of them. */
typedef struct worker_test {
    tt_worker *worker;
    small_jobs jobs;
    char hash[65]; /* of the model */
    tt_model_info info;
} worker_test;

static void read_model(worker_test *t)
{
    tt_error err = {""};
    tt_context *context = tt_context_create();
    tt_model *model = NULL;
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = models[0];
    ledger_expect_ok(tt_sha256_file_hex(models[0], t->hash, &err), &err);
    assert_int_equal(tt_model_load(context, &params, &model), TT_OK);
    assert_int_equal(tt_model_get_info(model, &t->info), TT_OK);
    tt_model_destroy(model);
    tt_context_destroy(context);
}

static int open_worker(void **state)
{
    tt_error err = {""};
    tt_worker_params params;
    worker_test *t = calloc(1, sizeof *t);
    assert_non_null(t);
    tt_worker_params_default(&params);
    params.models = models;
    params.n_models = 1;
    ledger_expect_ok(tt_worker_open(&params, &t->worker, &err), &err);
    small_jobs_make(&t->jobs);
    small_jobs_solve(&t->jobs);
    read_model(t);
    *state = t;
    return 0;
}

static int close_worker(void **state)
{
    worker_test *t = *state;
    if (t == NULL) /* it was not opened */
        return 0;
    tt_worker_close(t->worker);
    small_jobs_free(&t->jobs);
    free(t);
    return 0;
}

static tt_job make_job(const char *type, uint32_t width, uint32_t height, uint32_t scale)
{
    tt_job job = {.stage = TT_JOB_WORKING, .scale = scale, .width = width, .height = height};
    memcpy(job.type, type, strlen(type));
    return job;
}

/* Size of a picture as its own header has it. */
static tt_image_header header_of(const void *bytes, size_t n_bytes)
{
    tt_image_header header;
    tt_context *context = tt_context_create();
    assert_int_equal(tt_image_read_header(context, bytes, n_bytes, &header), TT_OK);
    tt_context_destroy(context);
    return header;
}

static void expect_done(worker_test *t, const tt_job *job, const void *body, size_t n_bytes, tt_work *work)
{
    tt_error err = {""};
    ledger_expect_ok(tt_worker_do(t->worker, job, body, n_bytes, NULL, NULL, work, &err), &err);
    assert_int_equal(work->code, 0);
    const tt_image_header header = header_of(work->png, work->n_png_bytes);
    assert_string_equal(header.type, "image/png");
    assert_int_equal(header.width, job->width * job->scale);
    assert_int_equal(header.height, job->height * job->scale);
}

static void test_pictures(void **state)
{
    worker_test *t = *state;
    for (size_t i = 0; i < SMALL_JOBS_KINDS; i += 3) {
        const struct small_job *kind = &t->jobs.kinds[i];
        const tt_image_header header = header_of(kind->body, kind->n_body);
        const tt_job job = make_job("image/png", header.width, header.height, 2);
        tt_work work;
        expect_done(t, &job, kind->body, kind->n_body, &work);
        assert_int_equal(work.n_png_bytes, kind->n_result);
        assert_memory_equal(work.png, kind->result, kind->n_result);
        free(work.png);
    }
    const struct small_job *kind = &t->jobs.kinds[0];
    for (uint32_t scale = 3; scale <= 4; scale++) {
        const tt_job job = make_job("image/png", 16, 16, scale);
        tt_work work;
        expect_done(t, &job, kind->body, kind->n_body, &work);
        free(work.png);
    }
}

static void test_latents(void **state)
{
    worker_test *t = *state;
    tt_text body = {0};
    tt_work work;
    small_latent(t->info.latent_channels, 4, 6, t->info.vae_factor, t->hash, &body);
    const tt_job job = make_job(latents, 6 * t->info.vae_factor, 4 * t->info.vae_factor, 2);
    expect_done(t, &job, body.bytes, body.n_bytes, &work);
    free(work.png);
    tt_text_free(&body);
}

static void expect_final(worker_test *t, const tt_job *job, const void *body, size_t n_bytes, const char *mention)
{
    tt_error err = {""};
    tt_work work;
    assert_int_not_equal(tt_worker_do(t->worker, job, body, n_bytes, NULL, NULL, &work, &err), TT_OK);
    assert_true(work.is_final && !work.is_broken);
    assert_int_equal(work.code, 422);
    assert_null(work.png);
    if (strstr(err.text, mention) == NULL)
        fail_msg("the sentence should mention \"%s\": %s", mention, err.text);
}

/* What a client is to blame for ends its job at once, and the worker goes on. */
static void test_refusals(void **state)
{
    worker_test *t = *state;
    const struct small_job *kind = &t->jobs.kinds[0];
    tt_job job = make_job("image/png", 16, 16, 2);
    expect_final(t, &job, kind->body, kind->n_body - 20, "");
    expect_final(t, &job, "no picture at all", 17, "neither");
    job.width = 17;
    expect_final(t, &job, kind->body, kind->n_body, "size");
    job.width = 60000;
    job.height = 60000;
    expect_final(t, &job, kind->body, kind->n_body, "more than this worker");

    static const struct {
        const char *hash, *mention;
        uint32_t channels, factor;
    } bad[] = {{"0011223344", "no model", 0, 0}, {NULL, "channels", 1, 0}, {NULL, "one of this model", 0, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tt_text body = {0};
        const uint32_t factor = t->info.vae_factor - bad[i].factor;
        small_latent(t->info.latent_channels + bad[i].channels, 4, 4, factor,
                     bad[i].hash != NULL ? bad[i].hash : t->hash, &body);
        job = make_job(latents, 4 * factor, 4 * factor, 2);
        expect_final(t, &job, body.bytes, body.n_bytes, bad[i].mention);
        tt_text_free(&body);
    }
    tt_text body = {0};
    small_latent(t->info.latent_channels, 4, 4, t->info.vae_factor, t->hash, &body);
    job = make_job(latents, 4 * t->info.vae_factor, 4 * t->info.vae_factor, 2);
    expect_final(t, &job, body.bytes, body.n_bytes - 2, "bytes");
    body.bytes[body.n_bytes - 1] = 0x7e; /* a half that is no number */
    expect_final(t, &job, body.bytes, body.n_bytes, "no number");
    tt_text_free(&body);
    test_pictures(state);
}

/* Bytes that this process has in memory. */
static size_t resident(void)
{
    unsigned long n_all = 0, n_resident = 0;
    FILE *stream = fopen("/proc/self/statm", "r");
    assert_non_null(stream);
    assert_int_equal(fscanf(stream, "%lu %lu", &n_all, &n_resident), 2);
    (void)fclose(stream);
    return n_resident * 4096;
}

/* Hostile bodies by the hundred leave nothing behind, in the worker or in its sandbox. */
static void test_no_memory_grows(void **state)
{
    enum { N = 200, MOST = 4 << 20 };
    worker_test *t = *state;
    tt_text bomb = {0};
    uint8_t *noise = malloc(1 << 20);
    assert_non_null(noise);
    for (size_t i = 0; i < 1 << 20; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    memcpy(noise, "\x89PNG\r\n\x1a\n", 8);
    small_png(2048, 2048, false, &bomb);
    const tt_job large = make_job("image/png", 2048, 2048, 2);
    expect_final(t, &large, noise, 1 << 20, "");
    expect_final(t, &large, bomb.bytes, bomb.n_bytes, "");
    const size_t before = resident();
    for (int i = 0; i < N; i++) {
        expect_final(t, &large, noise, 1 << 20, "");
        expect_final(t, &large, bomb.bytes, bomb.n_bytes, "");
    }
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory to see it used */
    assert_true(resident() < before + MOST);
#else
    (void)before;
#endif
    free(noise);
    tt_text_free(&bomb);
}

static bool say_no(void *user)
{
    ++*(int *)user;
    return false;
}

static void test_given_up(void **state)
{
    worker_test *t = *state;
    tt_error err = {""};
    tt_work work;
    int n_asked = 0;
    const tt_job job = make_job("image/png", 16, 16, 2);
    const struct small_job *kind = &t->jobs.kinds[0];
    assert_int_equal(tt_worker_do(t->worker, &job, kind->body, kind->n_body, say_no, &n_asked, &work, &err),
                     TT_ERROR_CANCELLED);
    assert_int_equal(n_asked, 1);
    assert_null(work.png);
}

/* ---- the loop */

static void put_body(tt_ledger *ledger, const void *bytes, size_t n_bytes, uint32_t side, char id[TT_JOB_ID_BYTES])
{
    char sha256[65];
    tt_error err = {""};
    tt_job job;
    tt_put_outcome outcome;
    ledger_expect_ok(tt_sha256_hex(bytes, n_bytes, sha256, &err), &err);
    const tt_job_input input = {.owner = "ann",
                                .type = "image/png",
                                .sha256 = sha256,
                                .scale = 2,
                                .width = side,
                                .height = side,
                                .body = bytes,
                                .n_body_bytes = n_bytes};
    ledger_expect_ok(tt_ledger_put(ledger, &input, &outcome, &job, &err), &err);
    assert_int_equal(outcome, TT_PUT_ACCEPTED);
    memcpy(id, job.id, TT_JOB_ID_BYTES);
}

static void test_loop(void **state)
{
    const ledger_fixture *fixture = *state;
    char ids[3][TT_JOB_ID_BYTES], type[48];
    tt_error err = {""};
    small_jobs jobs;
    tt_worker_params params;
    uint64_t n_jobs = 0;
    void *result;
    size_t n_bytes;
    bool found;
    small_jobs_make(&jobs);
    put_body(fixture->ledger, jobs.kinds[0].body, jobs.kinds[0].n_body, 16, ids[0]);
    put_body(fixture->ledger, "damaged", 7, 16, ids[1]);
    put_body(fixture->ledger, jobs.kinds[0].body, jobs.kinds[0].n_body, 16, ids[2]);
    tt_worker_params_default(&params);
    params.ledger = fixture->address;
    params.max_jobs = 3;
    ledger_expect_ok(tt_worker_run(&params, &n_jobs, &err), &err);
    assert_int_equal(n_jobs, 3);
    small_jobs_solve(&jobs);
    for (int i = 0; i < 3; i += 2) {
        (void)ledger_expect_stage(fixture->ledger, ids[i], TT_JOB_DONE);
        ledger_expect_ok(tt_ledger_result(fixture->ledger, ids[i], &found, type, &result, &n_bytes, &err), &err);
        assert_true(found);
        assert_int_equal(n_bytes, jobs.kinds[0].n_result);
        assert_memory_equal(result, jobs.kinds[0].result, n_bytes);
        free(result);
    }
    const tt_job failed = ledger_expect_stage(fixture->ledger, ids[1], TT_JOB_FAILED);
    assert_int_equal(failed.failure_code, 422);
    assert_non_null(strstr(failed.failure, "neither"));
    assert_int_equal(failed.n_tries, 1);
    small_jobs_free(&jobs);
}

/* A worker that is told to stop takes nothing more. */
static void test_stop(void **state)
{
    const ledger_fixture *fixture = *state;
    const volatile int stop = 1;
    tt_error err = {""};
    tt_worker_params params;
    uint64_t n_jobs = 9;
    tt_job job = ledger_expect_put(fixture->ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    tt_worker_params_default(&params);
    params.ledger = fixture->address;
    params.stop = &stop;
    ledger_expect_ok(tt_worker_run(&params, &n_jobs, &err), &err);
    assert_int_equal(n_jobs, 0);
    (void)ledger_expect_stage(fixture->ledger, job.id, TT_JOB_QUEUED);
}

static void test_cannot_work(void **state)
{
    (void)state;
    tt_error err = {""};
    tt_worker_params params;
    tt_worker_params_default(&params);
    assert_int_equal(tt_worker_run(&params, NULL, &err), TT_ERROR_ARGUMENT);
    params.ledger = "sqlite:/nonexistent/folder/jobs";
    assert_int_not_equal(tt_worker_run(&params, NULL, &err), TT_OK);
    params.device = "no such device";
    assert_int_equal(tt_worker_run(&params, NULL, &err), TT_ERROR_DEVICE);
    const volatile int stop = 1;
    params.stop = &stop; /* a device that fails then is no failure of the worker */
    assert_int_equal(tt_worker_run(&params, NULL, &err), TT_OK);
    params.stop = NULL;
    params.device = NULL;
    params.upscale_model = "/nonexistent/network.safetensors";
    assert_int_equal(tt_worker_run(&params, NULL, &err), TT_ERROR_IO);
    params.upscale_model = NULL;
    params.ledger = "postgresql:///x?host=/nonexistent";
    params.patience_seconds = 1;
    const tt_status status = tt_worker_run(&params, NULL, &err);
    assert_true(status == TT_ERROR_NETWORK || status == TT_ERROR_UNSUPPORTED);
}

/* ---- the heartbeat */

static void test_heartbeat(void **state)
{
    const ledger_fixture *fixture = *state;
    const tt_ledger_bounds bounds = {.lease_seconds = 0.6};
    tt_error err = {""};
    tt_heartbeat *heartbeat = NULL;
    bool found;
    tt_ledger *ledger = ledger_connect(fixture, bounds);
    (void)ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    tt_job job = ledger_expect_take(ledger, "me", "body");
    ledger_expect_ok(tt_heartbeat_start(fixture->address, &bounds, "me", &heartbeat, &err), &err);
    tt_heartbeat_job(heartbeat, job.id);
    for (int i = 0; i < 8; i++) { /* longer than two leases: nobody else gets it */
        ledger_pause(0.2);
        (void)ledger_expect_take(ledger, "other", NULL);
        assert_true(tt_heartbeat_is_mine(heartbeat));
    }
    ledger_expect_ok(tt_ledger_remove(ledger, job.id, &found, &err), &err);
    for (int i = 0; i < 50 && tt_heartbeat_is_mine(heartbeat); i++)
        ledger_pause(0.1);
    assert_false(tt_heartbeat_is_mine(heartbeat));
    tt_heartbeat_job(heartbeat, NULL);
    assert_true(tt_heartbeat_is_mine(heartbeat));
    tt_heartbeat_stop(heartbeat);

    /* Without beats the lease runs out. */
    (void)ledger_expect_put(ledger, "ann", NULL, "body 2", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "me", "body 2");
    ledger_pause(0.8);
    (void)ledger_expect_take(ledger, "other", "body 2");
    tt_ledger_close(ledger);
}

static const struct CMUnitTest ledger_cases[] = {
    cmocka_unit_test_setup_teardown(test_loop, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_stop, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_heartbeat, ledger_fresh, ledger_gone),
};

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures), cmocka_unit_test(test_latents),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_given_up), cmocka_unit_test(test_no_memory_grows),
    };
    const struct CMUnitTest refusals[] = {cmocka_unit_test(test_cannot_work)};
    int n_failed = cmocka_run_group_tests_name("a worker", tests, open_worker, close_worker);
    n_failed += cmocka_run_group_tests_name("workers that cannot work", refusals, NULL, NULL);
    return n_failed + ledger_run_cases("a worker's loop", ledger_cases, sizeof ledger_cases / sizeof ledger_cases[0]);
}
