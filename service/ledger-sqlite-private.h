/* ledger-sqlite-private.h - one connection to the ledger's file, and statements whose first error sticks.
 *
 * An operation begins a transaction, binds and steps statements without looking at results, and commits: after a
 * failure every call does nothing, and the commit rolls back and gives the sentence. */
#ifndef TT_SERVICE_LEDGER_SQLITE_PRIVATE_H
#define TT_SERVICE_LEDGER_SQLITE_PRIVATE_H

#include "service/ledger.h"

#include <sqlite3.h>

enum { TT_SQLITE_STATEMENTS = 40 };

typedef struct tt_sqlite {
    sqlite3 *db;
    char *path;
    tt_ledger_bounds bounds;
    sqlite3_stmt *statements[TT_SQLITE_STATEMENTS]; /* prepared when they are first needed */
    int code;                                       /* SQLITE_OK, or the first failure since the operation began */
    char message[512];
    int64_t seen_version[2]; /* of the file's data, when a wait for the event last ended; -1: never */
    bool has_own_event[2];   /* what this connection did itself: the data version does not show it */
} tt_sqlite;

/* Opens or makes the file and its tables. On failure there is nothing to close. */
tt_status tt_sqlite_connect(tt_sqlite *s, const char *path, tt_error *err);
void tt_sqlite_disconnect(tt_sqlite *s);

/* Refuses files of other programs and newer versions; changes nothing. */
tt_status tt_sqlite_check_schema(tt_sqlite *s, tt_error *err);

/* Makes the tables in a new file. */
tt_status tt_sqlite_make_schema(tt_sqlite *s, tt_error *err);

/* Runs statements that return nothing; the first error sticks. */
void tt_sqlite_exec(tt_sqlite *s, const char *sql);

/* A number that one statement returns; 0 after a failure. */
int64_t tt_sqlite_number(tt_sqlite *s, const char *sql);

/* An operation that changes something is begun and committed; one that only reads is begun with tt_sqlite_clear and
 * ended with tt_sqlite_status. */
void tt_sqlite_clear(tt_sqlite *s);
void tt_sqlite_begin(tt_sqlite *s);
tt_status tt_sqlite_commit(tt_sqlite *s, tt_error *err);
tt_status tt_sqlite_status(const tt_sqlite *s, tt_error *err);

/* Statement `index` with its text, ready to be bound; NULL after a failure, which the functions below take. */
sqlite3_stmt *tt_sqlite_statement(tt_sqlite *s, int index, const char *sql);
void tt_sqlite_int(tt_sqlite *s, sqlite3_stmt *statement, int parameter, int64_t value);
void tt_sqlite_string(tt_sqlite *s, sqlite3_stmt *statement, int parameter, const char *text);
void tt_sqlite_bytes(tt_sqlite *s, sqlite3_stmt *statement, int parameter, const void *bytes, size_t n_bytes);

/* True: there is a row. Bound texts and bytes must live until the statement is reset. */
bool tt_sqlite_row(tt_sqlite *s, sqlite3_stmt *statement);
void tt_sqlite_reset(sqlite3_stmt *statement);

/* Runs a statement that returns nothing to its end; the number of rows that it changed. */
uint64_t tt_sqlite_run(tt_sqlite *s, sqlite3_stmt *statement);

/* Columns of the row: a text that is cut to its room, and bytes as a new block. */
void tt_sqlite_column_text(sqlite3_stmt *statement, int column, char *text, size_t n_bytes);
void tt_sqlite_column_block(tt_sqlite *s, sqlite3_stmt *statement, int column, void **bytes, size_t *n_bytes);

#endif
