/* ledger-sqlite-connection.c - opens the ledger's file and runs statements on it. */
#define _DEFAULT_SOURCE /* S_IFREG */
#include "service/ledger-sqlite-private.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Others hold the lock for a commit, a few milliseconds. SQLite's own handler sleeps up to a tenth of a second, which
 * clients would notice; this one looks again every 2 ms, for 15 seconds. */
enum { BUSY_PAUSE_MS = 2, BUSY_TRIES = 7500 };

static int wait_while_busy(void *unused, int n_calls)
{
    const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * 1000000L};
    (void)unused;
    if (n_calls >= BUSY_TRIES)
        return 0;
    (void)nanosleep(&pause, NULL);
    return 1;
}

/* ---- errors */

static void keep_error(tt_sqlite *s, int code)
{
    if (s->code != SQLITE_OK || code == SQLITE_OK)
        return;
    int cause = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
    bool has_cause = cause != 0 && ((code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_IOERR);
    s->code = code;
    (void)snprintf(s->message, sizeof(s->message), "%s%s%s", s->db == NULL ? "no connection" : sqlite3_errmsg(s->db),
                   has_cause ? ": " : "", has_cause ? strerror(cause) : "");
}

static tt_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return TT_ERROR_MEMORY;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return TT_ERROR_FORMAT;
    default:
        return TT_ERROR_IO;
    }
}

tt_status tt_sqlite_status(const tt_sqlite *s, tt_error *err)
{
    if (s->code == SQLITE_OK)
        return TT_OK;
    if ((s->code & 0xff) == SQLITE_BUSY)
        return tt_fail(err, TT_ERROR_IO, "the ledger %s: another process has locked it for more than %d seconds",
                       s->path, BUSY_PAUSE_MS * BUSY_TRIES / 1000);
    return tt_fail(err, status_of(s->code), "the ledger %s: %s", s->path, s->message);
}

/* ---- open and close */

/* SQLite would make the file readable by everybody, and people's pictures are inside. mknod leaves no descriptor:
 * closing one would take away the locks that other connections of this process hold on the file. Where the file system
 * does not know the call (EPERM), SQLite makes the file. */
static tt_status make_private_file(const char *path, tt_error *err)
{
    if (mknod(path, S_IFREG | S_IRUSR | S_IWUSR, 0) == 0 || errno == EEXIST || errno == EPERM)
        return TT_OK;
    return tt_fail(err, TT_ERROR_IO, "the ledger %s cannot be made: %s", path, strerror(errno));
}

/* Changing to WAL takes a lock for which SQLite does not call its busy handler when several processes try at once. */
static tt_status use_wal(tt_sqlite *s, tt_error *err)
{
    char mode[16] = "";
    for (int n_calls = 0;; n_calls++) {
        sqlite3_stmt *statement = NULL;
        tt_sqlite_clear(s);
        keep_error(s, sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL));
        if (tt_sqlite_row(s, statement))
            tt_sqlite_column_text(statement, 0, mode, sizeof(mode));
        (void)sqlite3_finalize(statement);
        if ((s->code & 0xff) != SQLITE_BUSY || !wait_while_busy(NULL, n_calls))
            break;
    }
    if (s->code == SQLITE_OK && strcmp(mode, "wal") != 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "the ledger %s: its file system has no shared memory for a write-ahead log; use a local disk",
                       s->path);
    return tt_sqlite_status(s, err);
}

static tt_status open_file(tt_sqlite *s, tt_error *err)
{
    tt_status status = make_private_file(s->path, err);
    if (status != TT_OK)
        return status;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    keep_error(s, sqlite3_open_v2(s->path, &s->db, flags, NULL));
    if (s->code == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(s->db, 1);
        keep_error(s, sqlite3_busy_handler(s->db, wait_while_busy, NULL));
    }
    if (s->code == SQLITE_OK && sqlite3_db_readonly(s->db, "main") == 1)
        return tt_fail(err, TT_ERROR_IO, "the ledger %s: the file may not be written", s->path);
    return tt_sqlite_status(s, err);
}

tt_status tt_sqlite_connect(tt_sqlite *s, const char *path, tt_error *err)
{
    *s = (tt_sqlite){.seen_version = {-1, -1}};
    if (!tt_string_copy(path, &s->path))
        return tt_fail_memory(err, "a path", strlen(path));
    tt_status status = open_file(s, err);
    /* The first look at the file: what is no ledger says so here, before anything is changed. */
    if (status == TT_OK)
        status = tt_sqlite_check_schema(s, err);
    if (status == TT_OK)
        status = use_wal(s, err);
    if (status == TT_OK) {
        tt_sqlite_exec(s, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
        status = tt_sqlite_status(s, err);
    }
    if (status == TT_OK)
        status = tt_sqlite_make_schema(s, err);
    if (status != TT_OK)
        tt_sqlite_disconnect(s);
    return status;
}

void tt_sqlite_disconnect(tt_sqlite *s)
{
    for (int i = 0; i < TT_SQLITE_STATEMENTS; i++)
        (void)sqlite3_finalize(s->statements[i]);
    (void)sqlite3_close(s->db);
    free(s->path);
    *s = (tt_sqlite){0};
}

/* ---- transactions */

void tt_sqlite_exec(tt_sqlite *s, const char *sql)
{
    if (s->code == SQLITE_OK)
        keep_error(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

int64_t tt_sqlite_number(tt_sqlite *s, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = 0;
    if (s->code == SQLITE_OK)
        keep_error(s, sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL));
    if (tt_sqlite_row(s, statement))
        number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

void tt_sqlite_clear(tt_sqlite *s)
{
    s->code = SQLITE_OK;
}

void tt_sqlite_begin(tt_sqlite *s)
{
    tt_sqlite_clear(s);
    tt_sqlite_exec(s, "BEGIN IMMEDIATE");
}

tt_status tt_sqlite_commit(tt_sqlite *s, tt_error *err)
{
    tt_sqlite_exec(s, "COMMIT");
    /* Some failures have rolled back already. */
    if (s->code != SQLITE_OK && s->db != NULL && sqlite3_get_autocommit(s->db) == 0)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return tt_sqlite_status(s, err);
}

/* ---- statements */

sqlite3_stmt *tt_sqlite_statement(tt_sqlite *s, int index, const char *sql)
{
    if (s->code != SQLITE_OK)
        return NULL;
    if (s->statements[index] == NULL)
        keep_error(s, sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->statements[index], NULL));
    return s->statements[index];
}

void tt_sqlite_int(tt_sqlite *s, sqlite3_stmt *statement, int parameter, int64_t value)
{
    if (s->code == SQLITE_OK)
        keep_error(s, sqlite3_bind_int64(statement, parameter, value));
}

void tt_sqlite_string(tt_sqlite *s, sqlite3_stmt *statement, int parameter, const char *text)
{
    if (s->code == SQLITE_OK && text != NULL) /* unbound parameters are NULL */
        keep_error(s, sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC));
}

void tt_sqlite_bytes(tt_sqlite *s, sqlite3_stmt *statement, int parameter, const void *bytes, size_t n_bytes)
{
    if (s->code != SQLITE_OK)
        return;
    if (n_bytes == 0) /* a NULL pointer would bind NULL */
        keep_error(s, sqlite3_bind_zeroblob(statement, parameter, 0));
    else
        keep_error(s, sqlite3_bind_blob64(statement, parameter, bytes, n_bytes, SQLITE_STATIC));
}

bool tt_sqlite_row(tt_sqlite *s, sqlite3_stmt *statement)
{
    if (s->code != SQLITE_OK)
        return false;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        keep_error(s, code);
    return false;
}

void tt_sqlite_reset(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    if (statement != NULL)
        (void)sqlite3_clear_bindings(statement);
}

uint64_t tt_sqlite_run(tt_sqlite *s, sqlite3_stmt *statement)
{
    while (tt_sqlite_row(s, statement))
        continue;
    tt_sqlite_reset(statement);
    return s->code == SQLITE_OK ? (uint64_t)sqlite3_changes(s->db) : 0;
}

void tt_sqlite_column_text(sqlite3_stmt *statement, int column, char *text, size_t n_bytes)
{
    const unsigned char *value = sqlite3_column_text(statement, column);
    (void)snprintf(text, n_bytes, "%s", value == NULL ? "" : (const char *)value);
}

void tt_sqlite_column_block(tt_sqlite *s, sqlite3_stmt *statement, int column, void **bytes, size_t *n_bytes)
{
    const void *value = sqlite3_column_blob(statement, column);
    size_t n = (size_t)sqlite3_column_bytes(statement, column);
    *bytes = malloc(n + (n == 0));
    if (*bytes == NULL || (value == NULL && n > 0)) {
        free(*bytes);
        *bytes = NULL;
        s->code = SQLITE_NOMEM;
        (void)snprintf(s->message, sizeof(s->message), "out of memory for %zu bytes", n);
        return;
    }
    if (n > 0)
        memcpy(*bytes, value, n);
    *n_bytes = n;
}
