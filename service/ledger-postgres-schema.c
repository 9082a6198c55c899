/* ledger-postgres-schema.c - the tables of the PostgreSQL ledger, and their version. */
#include "service/ledger-postgres-private.h"

enum { VERSION = 1 };

/* Pictures do not get smaller by compression, and they stand apart, so that looking through jobs reads none of them.
 * stage as in tt_job_stage: 0 queued, 1 working, 2 done, 3 failed, 4 expired. */
static const char tables[] =
    "CREATE TABLE tintype_ledger (version int NOT NULL);"
    "CREATE TABLE tintype_jobs ("
    "  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY," /* the order of the queue */
    "  id text COLLATE \"C\" NOT NULL UNIQUE,"
    "  owner text COLLATE \"C\" NOT NULL,"
    "  key text COLLATE \"C\","
    "  type text NOT NULL,"
    "  body_sha256 text NOT NULL,"
    "  scale int NOT NULL,"
    "  width int NOT NULL,"
    "  height int NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT clock_timestamp(),"
    "  stage smallint NOT NULL DEFAULT 0,"
    "  n_tries int NOT NULL DEFAULT 0,"
    "  worker text,"           /* who has, or had, the last lease */
    "  leased timestamptz,"    /* when it began */
    "  lease_end timestamptz," /* when it runs out */
    "  ended timestamptz,"     /* done or failed */
    "  result_type text,"
    "  result_sha256 text,"
    "  failure text,"
    "  failure_code int);"
    "CREATE UNIQUE INDEX tintype_jobs_key ON tintype_jobs (owner, key) WHERE key IS NOT NULL;"
    "CREATE INDEX tintype_jobs_open ON tintype_jobs (seq) INCLUDE (stage, lease_end, owner) WHERE stage < 2;"
    "CREATE INDEX tintype_jobs_stage ON tintype_jobs (stage, ended);"
    "CREATE TABLE tintype_bodies ("
    "  seq bigint PRIMARY KEY REFERENCES tintype_jobs ON DELETE CASCADE, bytes bytea NOT NULL);"
    "CREATE TABLE tintype_results ("
    "  seq bigint PRIMARY KEY REFERENCES tintype_jobs ON DELETE CASCADE, bytes bytea NOT NULL);"
    "ALTER TABLE tintype_bodies ALTER bytes SET STORAGE EXTERNAL;"
    "ALTER TABLE tintype_results ALTER bytes SET STORAGE EXTERNAL;"
    "INSERT INTO tintype_ledger VALUES (1);";

/* The one number of a statement without parameters. */
static tt_status number(tt_pg *pg, const char *sql, int64_t *value, tt_error *err)
{
    PGresult *result = PQexecParams(pg->connection, sql, 0, NULL, NULL, NULL, NULL, 1);
    tt_status status = PQresultStatus(result) == PGRES_TUPLES_OK ? TT_OK : tt_pg_fail(pg, result, err);
    *value = status == TT_OK ? tt_pg_int(result, 0) : 0;
    PQclear(result);
    return status;
}

/* 0: there are no tables. to_regclass alone would answer from what this session knew before it waited for the lock;
 * reading pg_class makes it look again. */
static tt_status read_version(tt_pg *pg, int64_t *version, tt_error *err)
{
    tt_status status =
        number(pg, "SELECT count(*) FROM pg_class WHERE oid = to_regclass('tintype_ledger')", version, err);
    if (status == TT_OK && *version != 0)
        status = number(pg, "SELECT max(version)::int8 FROM tintype_ledger", version, err);
    return status;
}

/* Of two processes one makes the tables, and the other waits for the lock and finds them. */
static tt_status make_tables(tt_pg *pg, int64_t *version, tt_error *err)
{
    tt_status status = tt_pg_exec(pg, "BEGIN; SELECT pg_advisory_xact_lock(x'54544c47'::int, 2)", err);
    if (status == TT_OK)
        status = read_version(pg, version, err);
    if (status == TT_OK && *version == 0) {
        status = tt_pg_exec(pg, tables, err);
        *version = VERSION;
    }
    tt_status ended = tt_pg_exec(pg, status == TT_OK ? "COMMIT" : "ROLLBACK", status == TT_OK ? err : NULL);
    return status != TT_OK ? status : ended;
}

tt_status tt_pg_prepare_schema(tt_pg *pg, tt_error *err)
{
    int64_t version = 0;
    tt_status status = read_version(pg, &version, err);
    if (status == TT_OK && version == 0)
        status = make_tables(pg, &version, err);
    if (status == TT_OK && version != VERSION)
        status = tt_fail(err, TT_ERROR_UNSUPPORTED,
                         "the ledger's PostgreSQL tables have version %lld and this program knows version %d: use the "
                         "newer program",
                         (long long)version, VERSION);
    return status;
}
