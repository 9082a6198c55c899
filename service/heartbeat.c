/* heartbeat.c - a thread that says, three times in a lease, that its worker is alive. */
#define _GNU_SOURCE
#include "service/heartbeat.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tt_heartbeat {
    const char *address, *worker;
    tt_ledger_bounds bounds;
    double beat_seconds;
    tt_ledger *ledger; /* the thread's */
    pthread_t thread;

    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    char id[TT_JOB_ID_BYTES]; /* "": no job */
    bool is_lost, ending;
};

static void add_seconds(struct timespec *time, double seconds)
{
    const double sum = (double)time->tv_nsec * 1e-9 + seconds;
    time->tv_sec += (time_t)sum;
    time->tv_nsec = (long)((sum - (double)(time_t)sum) * 1e9);
}

/* Waits for the next beat of a job; false: the thread is to end. */
static bool next_beat(tt_heartbeat *h, char id[TT_JOB_ID_BYTES])
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    add_seconds(&until, h->beat_seconds);
    (void)pthread_mutex_lock(&h->lock);
    while (!h->ending && pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
        ;
    memcpy(id, h->id, TT_JOB_ID_BYTES);
    const bool goes_on = !h->ending;
    (void)pthread_mutex_unlock(&h->lock);
    return goes_on;
}

static void beat(tt_heartbeat *h, const char *id)
{
    bool is_mine = true;
    if (h->ledger == NULL && tt_ledger_open(h->address, &h->bounds, &h->ledger, NULL) != TT_OK)
        return;
    if (tt_ledger_extend(h->ledger, h->worker, id, &is_mine, NULL) != TT_OK || is_mine)
        return;
    (void)pthread_mutex_lock(&h->lock);
    h->is_lost |= strcmp(h->id, id) == 0; /* it may have ended meanwhile */
    (void)pthread_mutex_unlock(&h->lock);
}

static void *run(void *object)
{
    tt_heartbeat *h = object;
    char id[TT_JOB_ID_BYTES];
    while (next_beat(h, id))
        if (id[0] != '\0')
            beat(h, id);
    tt_ledger_close(h->ledger);
    return NULL;
}

static void free_heartbeat(tt_heartbeat *h)
{
    (void)pthread_cond_destroy(&h->changed);
    (void)pthread_mutex_destroy(&h->lock);
    free(h);
}

tt_status tt_heartbeat_start(const char *address, const tt_ledger_bounds *bounds, const char *worker,
                             tt_heartbeat **heartbeat, tt_error *err)
{
    pthread_condattr_t steady;
    *heartbeat = NULL;
    tt_heartbeat *h = calloc(1, sizeof *h);
    if (h == NULL)
        return tt_fail_memory(err, "a heartbeat", sizeof *h);
    h->address = address;
    h->worker = worker;
    h->bounds = *bounds;
    h->beat_seconds = (bounds->lease_seconds > 0 ? bounds->lease_seconds : 30) / 3;
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_condattr_init(&steady);
    (void)pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&h->changed, &steady);
    (void)pthread_condattr_destroy(&steady);
    if (pthread_create(&h->thread, NULL, run, h) != 0) {
        free_heartbeat(h);
        return tt_fail(err, TT_ERROR_MEMORY, "the system starts no thread for the heartbeat");
    }
    *heartbeat = h;
    return TT_OK;
}

void tt_heartbeat_stop(tt_heartbeat *h)
{
    if (h == NULL)
        return;
    (void)pthread_mutex_lock(&h->lock);
    h->ending = true;
    (void)pthread_cond_signal(&h->changed);
    (void)pthread_mutex_unlock(&h->lock);
    (void)pthread_join(h->thread, NULL);
    free_heartbeat(h);
}

/* The beats go on at their own pace: a job that was taken just now is extended after a third of its lease at most. */
void tt_heartbeat_job(tt_heartbeat *h, const char *id)
{
    (void)pthread_mutex_lock(&h->lock);
    memset(h->id, 0, sizeof h->id);
    if (id != NULL)
        memcpy(h->id, id, sizeof h->id);
    h->is_lost = false;
    (void)pthread_mutex_unlock(&h->lock);
}

bool tt_heartbeat_is_mine(void *object)
{
    tt_heartbeat *h = object;
    (void)pthread_mutex_lock(&h->lock);
    const bool is_mine = !h->is_lost;
    (void)pthread_mutex_unlock(&h->lock);
    return is_mine;
}
