/* ledger-postgres-connection.c - the connection to the ledger's server, and what happens when it is cut. */
#include "service/ledger-postgres-private.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A server that is started again is back within that time; a call does not keep its client longer. */
static const double patience_seconds = 6;

/* ---- sentences */

/* libpq's messages have several lines: makes one of them. */
static void one_line(const char *message, char *line, size_t n_bytes)
{
    size_t n = 0;
    for (; *message != '\0' && n + 1 < n_bytes; message++) {
        bool is_space = *message == '\n' || *message == '\t' || *message == ' ';
        if (!is_space)
            line[n++] = *message;
        else if (n > 0 && line[n - 1] != ' ')
            line[n++] = ' ';
    }
    while (n > 0 && line[n - 1] == ' ')
        n--;
    line[n] = '\0';
}

/* The SQLSTATE of a result; "" when the server had no say. */
static const char *state_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state == NULL ? "" : state;
}

/* The server is going down, coming up, a standby now, or the connection is gone. A failure without a SQLSTATE is
 * libpq's own: where writing failed and a farewell of the server could still be read, it calls the connection good. */
static bool is_cut(const tt_pg *pg, const PGresult *result)
{
    const char *state = state_of(result);
    return PQstatus(pg->connection) != CONNECTION_OK || state[0] == '\0' || strncmp(state, "08", 2) == 0 ||
           strncmp(state, "57P", 3) == 0 || strcmp(state, "25006") == 0;
}

tt_status tt_pg_fail(const tt_pg *pg, const PGresult *result, tt_error *err)
{
    char line[512];
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    one_line(primary == NULL ? PQerrorMessage(pg->connection) : primary, line, sizeof(line));
    const char *state = state_of(result);
    if (is_cut(pg, result))
        return tt_fail(err, TT_ERROR_NETWORK, "the ledger's PostgreSQL server is not there: %s", line);
    return tt_fail(err, strcmp(state, "53200") == 0 ? TT_ERROR_MEMORY : TT_ERROR_IO,
                   "the ledger's PostgreSQL server says: %s (%s)", line, state);
}

/* ---- connect */

static void ignore_notice(void *unused, const char *message)
{
    (void)unused, (void)message;
}

/* What stands before the address can be overridden in it, what stands behind cannot. */
static PGconn *open_connection(const char *address)
{
    const char *const pairs[][2] = {
        {"connect_timeout", "5"},
        {"tcp_user_timeout", "10000"},
        {"keepalives_idle", "10"},
        {"fallback_application_name", "tintype"},
        {"target_session_attrs", "read-write"},
        {"dbname", address},
        {"client_encoding", "UTF8"},
        {NULL, NULL},
    };
    const char *keys[sizeof(pairs) / sizeof(pairs[0])], *values[sizeof(pairs) / sizeof(pairs[0])];
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        keys[i] = pairs[i][0];
        values[i] = pairs[i][1];
    }
    return PQconnectdbParams(keys, values, 1);
}

tt_status tt_pg_exec(tt_pg *pg, const char *sql, tt_error *err)
{
    PGresult *result = PQexec(pg->connection, sql);
    ExecStatusType code = PQresultStatus(result);
    bool is_fine = code == PGRES_COMMAND_OK || code == PGRES_TUPLES_OK;
    tt_status status = is_fine ? TT_OK : tt_pg_fail(pg, result, err);
    PQclear(result);
    return status;
}

/* Every statement has an index that serves it, but statistics of a young or empty table say otherwise. Acknowledged
 * means on disk, whatever the database's default. */
static const char session[] =
    "SET client_min_messages = warning; SET default_transaction_isolation = 'read committed';"
    "SET enable_seqscan = off; SET jit = off; SET idle_in_transaction_session_timeout = '60s';"
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

tt_status tt_pg_connect(tt_pg *pg, tt_error *err)
{
    tt_pg_disconnect(pg);
    pg->connection = open_connection(pg->address);
    if (pg->connection == NULL)
        return tt_fail_memory(err, "a connection", 1);
    tt_status status = TT_OK;
    if (PQstatus(pg->connection) != CONNECTION_OK)
        status = tt_pg_fail(pg, NULL, err);
    if (status == TT_OK) {
        (void)PQsetNoticeProcessor(pg->connection, ignore_notice, NULL);
        status = tt_pg_exec(pg, session, err);
    }
    if (status == TT_OK)
        status = tt_pg_prepare_schema(pg, err);
    if (status != TT_OK)
        tt_pg_disconnect(pg);
    return status;
}

void tt_pg_disconnect(tt_pg *pg)
{
    PQfinish(pg->connection);
    pg->connection = NULL;
    memset(pg->is_prepared, 0, sizeof(pg->is_prepared));
    memset(pg->is_listening, 0, sizeof(pg->is_listening));
}

static void pause_seconds(double seconds)
{
    const struct timespec pause = {.tv_nsec = (long)(seconds * 1e9)};
    (void)nanosleep(&pause, NULL);
}

/* Tries until `end`, at least once. Only a server that is not there is tried again. */
static tt_status connect_until(tt_pg *pg, double end, tt_error *err)
{
    tt_status status = TT_OK;
    for (double pause = 0.05; pg->connection == NULL; pause = pause < 0.4 ? 2 * pause : pause) {
        status = tt_pg_connect(pg, err);
        if (status != TT_ERROR_NETWORK || tt_clock_seconds() + pause > end)
            break;
        pause_seconds(pause);
    }
    return pg->connection == NULL ? status : TT_OK;
}

tt_status tt_pg_need_connection(tt_pg *pg, tt_error *err)
{
    return connect_until(pg, tt_clock_seconds() + patience_seconds, err);
}

/* ---- queries */

void tt_pg_add_text(tt_pg_query *query, const char *text)
{
    query->values[query->n++] = text;
}

void tt_pg_add_int(tt_pg_query *query, int64_t value)
{
    char *number = query->numbers[query->n];
    (void)snprintf(number, sizeof(query->numbers[0]), "%lld", (long long)value);
    query->values[query->n++] = number;
}

void tt_pg_add_bytes(tt_pg_query *query, const void *bytes, size_t n_bytes)
{
    query->values[query->n] = n_bytes == 0 ? "" : bytes; /* NULL would be NULL */
    query->lengths[query->n] = (int)n_bytes;             /* ledger.c lets no more than 512 MiB pass */
    query->formats[query->n++] = 1;
}

static PGresult *execute(tt_pg *pg, const tt_pg_query *query)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "tt%d", query->index);
    if (!pg->is_prepared[query->index]) {
        PGresult *result = PQprepare(pg->connection, name, query->text, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            return result;
        PQclear(result);
        pg->is_prepared[query->index] = true;
    }
    return PQexecPrepared(pg->connection, name, query->n, query->values, query->lengths, query->formats, 1);
}

/* One run of a query. *is_worth_it: a failure that another run may not meet. */
static tt_status run_once(tt_pg *pg, const tt_pg_query *query, PGresult **result, bool *is_worth_it, tt_error *err)
{
    tt_status status = TT_OK;
    if (query->is_locked)
        status = tt_pg_exec(pg, "BEGIN; SELECT pg_advisory_xact_lock(x'54544c47'::int, 1)", err);
    *result = status == TT_OK ? execute(pg, query) : NULL;
    if (status == TT_OK && PQresultStatus(*result) != PGRES_TUPLES_OK)
        status = tt_pg_fail(pg, *result, err);
    if (status == TT_OK && query->is_locked)
        status = tt_pg_exec(pg, "COMMIT", err);
    if (status == TT_OK)
        return TT_OK;
    /* 40: the server ended the transaction because of another one. */
    *is_worth_it = status == TT_ERROR_NETWORK || (*result != NULL && strncmp(state_of(*result), "40", 2) == 0);
    PQclear(*result);
    *result = NULL;
    if (PQstatus(pg->connection) == CONNECTION_OK && PQtransactionStatus(pg->connection) != PQTRANS_IDLE)
        (void)tt_pg_exec(pg, "ROLLBACK", NULL);
    if (status == TT_ERROR_NETWORK)
        tt_pg_disconnect(pg);
    return status;
}

tt_status tt_pg_run(tt_pg *pg, const tt_pg_query *query, PGresult **result, bool *was_cut, tt_error *err)
{
    double end = tt_clock_seconds() + patience_seconds;
    *result = NULL;
    if (was_cut != NULL)
        *was_cut = false;
    for (;;) {
        bool is_worth_it = false;
        tt_status status = connect_until(pg, end, err);
        if (status == TT_OK)
            status = run_once(pg, query, result, &is_worth_it, err);
        if (status == TT_OK || !is_worth_it || tt_clock_seconds() > end)
            return status;
        if (was_cut != NULL)
            *was_cut = true;
        pause_seconds(0.02);
    }
}

/* ---- values: binary form, most significant byte first */

static uint64_t big_endian(const char *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | (unsigned char)bytes[i];
    return value;
}

int64_t tt_pg_int(const PGresult *result, int column)
{
    bool is_there = PQntuples(result) > 0 && PQgetlength(result, 0, column) == 8;
    return is_there ? (int64_t)big_endian(PQgetvalue(result, 0, column)) : 0;
}

double tt_pg_double(const PGresult *result, int column)
{
    uint64_t bits = (uint64_t)tt_pg_int(result, column);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void tt_pg_text(const PGresult *result, int column, char *text, size_t n_bytes)
{
    int n = PQntuples(result) > 0 ? PQgetlength(result, 0, column) : 0;
    (void)snprintf(text, n_bytes, "%.*s", n, n > 0 ? PQgetvalue(result, 0, column) : "");
}

tt_status tt_pg_block(const PGresult *result, int column, void **bytes, size_t *n_bytes, tt_error *err)
{
    size_t n = (size_t)PQgetlength(result, 0, column);
    *bytes = malloc(n + (n == 0));
    if (*bytes == NULL)
        return tt_fail_memory(err, "a picture from the ledger", n);
    memcpy(*bytes, PQgetvalue(result, 0, column), n);
    *n_bytes = n;
    return TT_OK;
}
