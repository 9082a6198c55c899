/* ledger-sqlite-schema.c - the tables of the SQLite ledger, and their version. */
#include "service/ledger-sqlite-private.h"

/* "TTLG" in the file's header says whose it is. */
enum { APPLICATION_ID = 0x54544c47, VERSION = 1 };

/* Times are milliseconds since 1970. Bodies and results stand apart, so that looking through jobs reads no pictures.
 * stage as in tt_job_stage: 0 queued, 1 working, 2 done, 3 failed, 4 expired. */
static const char tables[] = "CREATE TABLE jobs ("
                             "  seq INTEGER PRIMARY KEY AUTOINCREMENT," /* the order of the queue */
                             "  id TEXT NOT NULL UNIQUE,"
                             "  owner TEXT NOT NULL,"
                             "  key TEXT,"
                             "  type TEXT NOT NULL,"
                             "  body_sha256 TEXT NOT NULL,"
                             "  scale INTEGER NOT NULL,"
                             "  width INTEGER NOT NULL,"
                             "  height INTEGER NOT NULL,"
                             "  created INTEGER NOT NULL,"
                             "  stage INTEGER NOT NULL DEFAULT 0,"
                             "  n_tries INTEGER NOT NULL DEFAULT 0,"
                             "  worker TEXT,"       /* who has, or had, the last lease */
                             "  leased INTEGER,"    /* when it began */
                             "  lease_end INTEGER," /* when it runs out */
                             "  ended INTEGER,"     /* done, failed or expired */
                             "  result_type TEXT,"
                             "  result_sha256 TEXT,"
                             "  failure TEXT,"
                             "  failure_code INTEGER) STRICT;"
                             "CREATE TABLE bodies ("
                             "  seq INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE, bytes BLOB NOT NULL) STRICT;"
                             "CREATE TABLE results ("
                             "  seq INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE, bytes BLOB NOT NULL) STRICT;"
                             "CREATE UNIQUE INDEX jobs_key ON jobs (owner, key) WHERE key IS NOT NULL;"
                             "CREATE INDEX jobs_open ON jobs (seq, stage, lease_end, owner) WHERE stage < 2;"
                             "CREATE INDEX jobs_stage ON jobs (stage, ended);"
                             "PRAGMA application_id = 1414810695;"
                             "PRAGMA user_version = 1;";

static bool is_new(tt_sqlite *s)
{
    return tt_sqlite_number(s, "PRAGMA application_id") == 0 && tt_sqlite_number(s, "PRAGMA user_version") == 0 &&
           tt_sqlite_number(s, "SELECT count(*) FROM sqlite_master") == 0;
}

static tt_status check_owner(tt_sqlite *s, tt_error *err)
{
    int64_t application = tt_sqlite_number(s, "PRAGMA application_id");
    int64_t version = tt_sqlite_number(s, "PRAGMA user_version");
    if (s->code == SQLITE_OK && application != APPLICATION_ID)
        return tt_fail(err, TT_ERROR_FORMAT, "the ledger %s: this SQLite file belongs to another program", s->path);
    if (s->code == SQLITE_OK && version != VERSION)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "the ledger %s has version %lld and this program knows version %d: use the newer program",
                       s->path, (long long)version, VERSION);
    return TT_OK;
}

tt_status tt_sqlite_check_schema(tt_sqlite *s, tt_error *err)
{
    tt_sqlite_clear(s);
    tt_status refused = is_new(s) ? TT_OK : check_owner(s, err);
    return refused != TT_OK ? refused : tt_sqlite_status(s, err);
}

tt_status tt_sqlite_make_schema(tt_sqlite *s, tt_error *err)
{
    /* All inside one transaction: of two processes one makes the tables and the other finds them. */
    tt_sqlite_begin(s);
    if (is_new(s))
        tt_sqlite_exec(s, tables);
    return tt_sqlite_commit(s, err);
}
