/* postgres.h - a private PostgreSQL server for a test (postgres-server.sh). Failures end the test through cmocka. */
#ifndef TT_TESTS_SUPPORT_POSTGRES_H
#define TT_TESTS_SUPPORT_POSTGRES_H

#include "tests/support/temp-folder.h"

#include <stdbool.h>

typedef struct test_postgres {
    temp_folder folder;
    char address[TT_TEMP_PATH + 64];
} test_postgres;

/* False, and a line that says so: no server is installed, or the service was built without PostgreSQL. */
bool test_postgres_is_there(void);

/* Starts a server that ends with this process. */
void test_postgres_start(test_postgres *server);

/* "stop", "crash" or "again". */
void test_postgres_command(const test_postgres *server, const char *command);

/* The same, without ending a test that fails; for processes that are none. */
bool test_postgres_run(const test_postgres *server, const char *command);

/* Runs statements; no '"' and no '$' in them. */
void test_postgres_sql(const test_postgres *server, const char *sql);

/* Ends the server and removes its folder. */
void test_postgres_end(test_postgres *server);

#endif
