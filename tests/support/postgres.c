/* postgres.c - runs postgres-server.sh for tests. */
#include "tests/support/postgres.h"

#include "service/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs the script and keeps the first line that it prints; its exit status. */
static int run_script(const test_postgres *server, const char *command, const char *argument, char *line, int n_bytes)
{
    char shell[2 * TT_TEMP_PATH];
    int n = snprintf(shell, sizeof(shell), "tests/support/postgres-server.sh %s '%s' \"%s\"", command,
                     server->folder.path, argument);
    assert_in_range(n, 1, sizeof(shell) - 1);
    FILE *stream = popen(shell, "r");
    assert_non_null(stream);
    if (fgets(line, n_bytes, stream) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    int status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool test_postgres_is_there(void)
{
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    bool is_built = tt_ledger_open("postgresql:///?port=x", NULL, &ledger, &err) != TT_ERROR_UNSUPPORTED;
    if (is_built && system("tests/support/postgres-server.sh look /") == 0)
        return true;
    print_message("SKIPPED: %s, the cases of PostgreSQL do not run\n",
                  is_built ? "no PostgreSQL server is installed here" : "the service was built without PostgreSQL");
    return false;
}

void test_postgres_start(test_postgres *server)
{
    char pid[24];
    temp_folder_make(&server->folder);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    int status = run_script(server, "start", pid, server->address, (int)sizeof(server->address));
    assert_int_equal(status, 0);
}

void test_postgres_command(const test_postgres *server, const char *command)
{
    char line[256];
    assert_int_equal(run_script(server, command, "", line, (int)sizeof(line)), 0);
}

bool test_postgres_run(const test_postgres *server, const char *command)
{
    char shell[2 * TT_TEMP_PATH];
    (void)snprintf(shell, sizeof(shell), "tests/support/postgres-server.sh %s '%s'", command, server->folder.path);
    return system(shell) == 0;
}

void test_postgres_sql(const test_postgres *server, const char *sql)
{
    char line[256];
    assert_int_equal(run_script(server, "sql", sql, line, (int)sizeof(line)), 0);
}

void test_postgres_end(test_postgres *server)
{
    test_postgres_command(server, "crash"); /* nothing of it is wanted any more */
    temp_folder_remove(&server->folder);
}
