/* test_system_memory.c - what the system says of memory, from files as Linux writes them. */
#include "base/system-memory.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    temp_folder folder;
    char proc[TT_TEMP_PATH], groups[TT_TEMP_PATH];
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    temp_folder_make(&p->folder);
    (void)temp_folder_path(&p->folder, "proc", p->proc);
    (void)temp_folder_path(&p->folder, "groups", p->groups);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place *p = *state;
    temp_folder_remove(&p->folder);
    free(p);
    return 0;
}

static uint64_t available(const place *p)
{
    return tt_system_memory_available_in(p->proc, p->groups);
}

static void test_meminfo(void **state)
{
    place *p = *state;
    temp_folder_write_text(&p->folder, "proc/meminfo",
                           "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    3000000 kB\n");
    assert_int_equal(available(p), (uint64_t)3000000 * 1024);
}

static void test_groups(void **state)
{
    place *p = *state;
    temp_folder_write_text(&p->folder, "proc/meminfo", "MemAvailable:    3000000 kB\n");
    temp_folder_write_text(&p->folder, "proc/self/cgroup", "1:name=systemd:/old\n0::/app/one\n");
    assert_int_equal(available(p), (uint64_t)3000000 * 1024); /* no such group: no limit */
    temp_folder_write_text(&p->folder, "groups/app/one/memory.max", "max\n");
    temp_folder_write_text(&p->folder, "groups/app/one/memory.current", "400000000\n");
    assert_int_equal(available(p), (uint64_t)3000000 * 1024);
    temp_folder_write_text(&p->folder, "groups/app/one/memory.max", "1000000000\n");
    assert_int_equal(available(p), 600000000);
    temp_folder_write_text(&p->folder, "groups/app/one/memory.stat", "anon 1\ninactive_file 100000000\n");
    assert_int_equal(available(p), 700000000); /* cached files can go */
    temp_folder_write_text(&p->folder, "groups/app/memory.max", "500000000\n");
    temp_folder_write_text(&p->folder, "groups/app/memory.current", "450000000\n");
    assert_int_equal(available(p), 50000000); /* a parent's limit binds too */
    temp_folder_write_text(&p->folder, "groups/app/memory.current", "600000000\n");
    assert_int_equal(available(p), 0); /* over its limit already */
}

static void test_strange(void **state)
{
    place *p = *state;
    temp_folder_write_text(&p->folder, "proc/meminfo", "MemAvailable\nMemAvailable: lots kB\n");
    temp_folder_write_text(&p->folder, "proc/self/cgroup", "0::/\n");
    temp_folder_write_text(&p->folder, "groups/memory.max", "\n");
    assert_true(available(p) > 0); /* what sysconf says, or unknown */
    char *line = malloc(5000);
    assert_non_null(line);
    memset(line, 'x', 4999);
    memcpy(line, "0::/", 4);
    line[4999] = '\0';
    temp_folder_write_text(&p->folder, "proc/self/cgroup", line);
    assert_true(available(p) > 0);
    free(line);
}

static void test_process(void **state)
{
    (void)state;
    enum { SIZE = 64 << 20, SLACK = 1 << 20 }; /* the system counts pages in batches */
    tt_process_memory before = tt_process_memory_now();
    char *block = malloc(SIZE);
    assert_non_null(block);
    memset(block, 1, SIZE);
    tt_process_memory with = tt_process_memory_now();
    assert_true(block[SIZE / 2] == 1);
    free(block);
    tt_heap_trim();
    tt_process_memory after = tt_process_memory_now();
    assert_true(with.peak + SLACK >= before.peak && after.peak + SLACK >= with.peak && after.peak + SLACK > SIZE);
    if (before.resident > 0) { /* Linux */
        assert_true(with.resident >= before.resident + SIZE * 9 / 10);
        assert_true(after.peak + SLACK >= with.resident);
    }
    assert_true(tt_system_memory_available() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_meminfo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strange, setup, teardown),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
