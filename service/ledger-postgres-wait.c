/* ledger-postgres-wait.c - LISTEN and NOTIFY. */
#include "service/ledger-postgres-private.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static const char *const channels[2] = {
    [TT_LEDGER_JOB_QUEUED] = "tintype_queued", [TT_LEDGER_JOB_ENDED] = "tintype_ended"};

void tt_pg_notify(tt_pg *pg, tt_ledger_event event)
{
    /* After the commit, not within it: a transaction that notifies keeps all others that do so out until it is on
     * disk, so that a server would commit one job at a time. */
    static const char *const statements[2] = {
        [TT_LEDGER_JOB_QUEUED] = "NOTIFY tintype_queued", [TT_LEDGER_JOB_ENDED] = "NOTIFY tintype_ended"};
    if (pg->connection != NULL)
        (void)tt_pg_exec(pg, statements[event], NULL);
}

/* Sorts what has arrived. */
static void drain(tt_pg *pg)
{
    PGnotify *notice;
    while ((notice = PQnotifies(pg->connection)) != NULL) {
        for (int i = 0; i < 2; i++)
            pg->has_event[i] = pg->has_event[i] || strcmp(notice->relname, channels[i]) == 0;
        PQfreemem(notice);
    }
}

/* Whatever happened before is unknown: that counts as an event. */
static tt_status listen_to(tt_pg *pg, tt_ledger_event event, tt_error *err)
{
    static const char *const statements[2] = {
        [TT_LEDGER_JOB_QUEUED] = "LISTEN tintype_queued", [TT_LEDGER_JOB_ENDED] = "LISTEN tintype_ended"};
    tt_status status = tt_pg_exec(pg, statements[event], err);
    pg->is_listening[event] = status == TT_OK;
    pg->has_event[event] = true;
    return status;
}

/* Waits for bytes of the server. False: the connection is gone. */
static bool wait_for_bytes(tt_pg *pg, double seconds)
{
    struct pollfd socket = {.fd = PQsocket(pg->connection), .events = POLLIN};
    int n = poll(&socket, 1, (int)(seconds * 1000) + 1);
    if (n < 0)
        return errno == EINTR;
    return n == 0 || PQconsumeInput(pg->connection) == 1;
}

tt_status tt_pg_wait(tt_pg *pg, tt_ledger_event event, double seconds, tt_error *err)
{
    double end = tt_clock_seconds() + seconds;
    for (;;) {
        tt_status status = tt_pg_need_connection(pg, err);
        if (status == TT_OK && !pg->is_listening[event])
            status = listen_to(pg, event, err);
        if (status != TT_OK && status != TT_ERROR_NETWORK)
            return status;
        if (status == TT_OK)
            drain(pg);
        double left = end - tt_clock_seconds();
        if (pg->has_event[event] || left <= 0) {
            pg->has_event[event] = false;
            return status;
        }
        if (status != TT_OK || !wait_for_bytes(pg, left))
            tt_pg_disconnect(pg); /* and connect again */
    }
}
