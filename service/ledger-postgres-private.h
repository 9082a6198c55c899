/* ledger-postgres-private.h - one connection to the ledger's server: statements that are made again after the
 * connection was cut. */
#ifndef TT_SERVICE_LEDGER_POSTGRES_PRIVATE_H
#define TT_SERVICE_LEDGER_POSTGRES_PRIVATE_H

#include "service/ledger.h"

#include <libpq-fe.h>

enum { TT_PG_STATEMENTS = 20, TT_PG_PARAMETERS = 14 };

typedef struct tt_pg {
    PGconn *connection;
    char *address;
    tt_ledger_bounds bounds;
    bool is_prepared[TT_PG_STATEMENTS]; /* on this connection */
    bool is_listening[2], has_event[2]; /* by tt_ledger_event */
} tt_pg;

/* A statement with its parameters; zero-initialise, then name it and add parameters in order. */
typedef struct tt_pg_query {
    int index; /* its place among the prepared statements */
    const char *text;
    bool is_locked; /* runs in a transaction that keeps all other locked queries out */
    int n;
    const char *values[TT_PG_PARAMETERS];
    int lengths[TT_PG_PARAMETERS], formats[TT_PG_PARAMETERS];
    char numbers[TT_PG_PARAMETERS][24];
} tt_pg_query;

void tt_pg_add_text(tt_pg_query *query, const char *text); /* NULL: NULL */
void tt_pg_add_int(tt_pg_query *query, int64_t value);
void tt_pg_add_bytes(tt_pg_query *query, const void *bytes, size_t n_bytes);

/* Runs it; *result is cleared with PQclear. *was_cut (may be NULL): the connection was lost on the way and the query
 * made again, so that its first run may have counted. */
tt_status tt_pg_run(tt_pg *pg, const tt_pg_query *query, PGresult **result, bool *was_cut, tt_error *err);

/* Connects, checks the tables and makes them where there are none. */
tt_status tt_pg_connect(tt_pg *pg, tt_error *err);
void tt_pg_disconnect(tt_pg *pg);

/* Connects when there is no connection, and tries again for a few seconds. */
tt_status tt_pg_need_connection(tt_pg *pg, tt_error *err);

/* Runs statements without parameters. */
tt_status tt_pg_exec(tt_pg *pg, const char *sql, tt_error *err);

/* The sentence of a failed result, or of the connection when result is NULL. */
tt_status tt_pg_fail(const tt_pg *pg, const PGresult *result, tt_error *err);

/* The tables, on a connection. */
tt_status tt_pg_prepare_schema(tt_pg *pg, tt_error *err);

/* Tells listeners; a failure is of no consequence, they look again by themselves. */
void tt_pg_notify(tt_pg *pg, tt_ledger_event event);
tt_status tt_pg_wait(tt_pg *pg, tt_ledger_event event, double seconds, tt_error *err);

/* Values of a result's first row in binary form: int8, float8, text and bytea. NULL is 0 and "". */
int64_t tt_pg_int(const PGresult *result, int column);
double tt_pg_double(const PGresult *result, int column);
void tt_pg_text(const PGresult *result, int column, char *text, size_t n_bytes);
tt_status tt_pg_block(const PGresult *result, int column, void **bytes, size_t *n_bytes, tt_error *err);

#endif
