/* parallel.c - shares of a loop on threads of their own, and crews. */
#include "base/parallel.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct share {
    tt_parallel_fn run;
    void *user;
    size_t first, last;
    uint32_t thread;
} share;

static void *work(void *argument)
{
    const share *s = argument;
    s->run(s->user, s->first, s->last, s->thread);
    return NULL;
}

uint32_t tt_parallel_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > TT_MAX_THREADS ? TT_MAX_THREADS : (uint32_t)n;
}

void tt_parallel_run(uint32_t n_threads, size_t n_items, tt_parallel_fn run, void *user)
{
    pthread_t threads[TT_MAX_THREADS];
    bool started[TT_MAX_THREADS] = {false};
    share shares[TT_MAX_THREADS];
    for (uint32_t i = 0; i < n_threads; i++) {
        shares[i] = (share){run, user, n_items * i / n_threads, n_items * (i + 1) / n_threads, i};
        bool has_work = i > 0 && shares[i].first < shares[i].last;
        started[i] = has_work && pthread_create(&threads[i], NULL, work, &shares[i]) == 0;
    }
    for (uint32_t i = 0; i < n_threads; i++)
        if (!started[i] && shares[i].first < shares[i].last)
            work(&shares[i]);
    for (uint32_t i = 0; i < n_threads; i++)
        if (started[i])
            (void)pthread_join(threads[i], NULL);
}

struct tt_crew {
    tt_crew_fn run;
    void *user;
    uint32_t n_threads;
    pthread_t threads[TT_MAX_THREADS];
};

static void *work_in_crew(void *argument)
{
    const tt_crew *crew = argument;
    crew->run(crew->user);
    return NULL;
}

tt_crew *tt_crew_start(uint32_t n_threads, tt_crew_fn run, void *user)
{
    tt_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return NULL;
    crew->run = run;
    crew->user = user;
    for (uint32_t i = 0; i < n_threads && i < TT_MAX_THREADS; i++)
        if (pthread_create(&crew->threads[crew->n_threads], NULL, work_in_crew, crew) == 0)
            crew->n_threads++;
    if (crew->n_threads > 0)
        return crew;
    free(crew);
    return NULL;
}

void tt_crew_end(tt_crew *crew)
{
    if (crew == NULL)
        return;
    for (uint32_t i = 0; i < crew->n_threads; i++)
        (void)pthread_join(crew->threads[i], NULL);
    free(crew);
}
