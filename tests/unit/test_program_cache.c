/* test_program_cache.c - sources with includes, builds, and compiled programs on disk: whole, broken, foreign, crashed.
 */
#define _DEFAULT_SOURCE
#include "device/device-private.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what the tests share: a folder, a log, a device whose builds are counted ---- */

typedef struct fixture {
    char folder[256], cache[300];
    int n_warnings;
    char log[4000]; /* all lines */
    tt_log receiver;
} fixture;

/* Calls that reach the driver; the function table has no room for a user pointer. */
static int n_source_builds, n_binary_loads;
static tt_cl real_cl;

static cl_program count_source(cl_context context, cl_uint n, const char **texts, const size_t *lengths, cl_int *code)
{
    n_source_builds++;
    return real_cl.create_program_with_source(context, n, texts, lengths, code);
}

static cl_program count_binary(cl_context context, cl_uint n, const cl_device_id *ids, const size_t *lengths,
                               const unsigned char **binaries, cl_int *states, cl_int *code)
{
    n_binary_loads++;
    return real_cl.create_program_with_binary(context, n, ids, lengths, binaries, states, code);
}

static cl_program refuse_binary(cl_context context, cl_uint n, const cl_device_id *ids, const size_t *lengths,
                                const unsigned char **binaries, cl_int *states, cl_int *code)
{
    (void)context;
    (void)n;
    (void)ids;
    (void)lengths;
    (void)binaries;
    n_binary_loads++;
    *states = CL_INVALID_BINARY;
    *code = CL_INVALID_BINARY;
    return NULL;
}

static cl_int crash(cl_program program, cl_uint n, const cl_device_id *ids, const char *options,
                    void(CL_CALLBACK *done)(cl_program, void *), void *user)
{
    (void)program;
    (void)n;
    (void)ids;
    (void)options;
    (void)done;
    (void)user;
    _exit(42);
}

static void keep_line(void *user, tt_log_level level, const char *line)
{
    fixture *f = user;
    size_t used = strlen(f->log);
    f->n_warnings += level == TT_LOG_WARNING;
    (void)snprintf(f->log + used, sizeof(f->log) - used, "%s\n", line);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    const char *base = getenv("TMPDIR");
    if (f == NULL)
        return -1;
    (void)snprintf(f->folder, sizeof(f->folder), "%s/tintype-cache-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(f->folder) == NULL)
        return -1;
    (void)snprintf(f->cache, sizeof(f->cache), "%s/deep/cache", f->folder);
    f->receiver = (tt_log){keep_line, f};
    n_source_builds = n_binary_loads = 0;
    *state = f;
    return 0;
}

/* Removes a folder that holds files only. */
static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char file[600];
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' || strstr(entry->d_name, ".tmp") != NULL)
            (void)unlink(file);
    }
    (void)closedir(folder);
    (void)rmdir(path);
}

static int tear_down(void **state)
{
    fixture *f = *state;
    char deep[300];
    (void)snprintf(deep, sizeof(deep), "%s/deep", f->folder);
    remove_folder(f->cache);
    remove_folder(deep);
    remove_folder(f->folder);
    free(f);
    return 0;
}

static const char *test_sources(const char *name, size_t *n_bytes)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"test.cl", "/* first line */\n#include \"value.clh\"\n__kernel void one(__global int *x)\n{\n    x[0] = "
                    "VALUE;\n}\n"},
        {"value.clh", "#ifndef VALUE\n#define VALUE 17\n#endif"},
        {"broken.cl", "#include \"value.clh\"\n\n__kernel void one(__global int *x)\n{\n    x[0] = no_such_name;\n}\n"},
        {"lost.cl", "#include \"absent.clh\"\n__kernel void one(__global int *x)\n{\n    x[0] = 1;\n}\n"},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strcmp(files[i].name, name) == 0) {
            *n_bytes = strlen(files[i].text);
            return files[i].text;
        }
    return NULL;
}

static tt_device *open_device(fixture *f, const char *cache_dir, const char *kernel_dir)
{
    tt_device *device;
    tt_error err = {""};
    tt_device_options options = {.cache_dir = cache_dir, .kernel_dir = kernel_dir, .log = &f->receiver};
    if (tt_device_open(&options, &device, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_device_set_sources(device, test_sources);
    device->found.quirks.slow_binaries = false; /* the cache works on every driver */
    real_cl = device->cl;
    device->cl.create_program_with_source = count_source;
    device->cl.create_program_with_binary = count_binary;
    return device;
}

/* What the kernel `one` of test.cl stores. */
static int run_kernel(tt_device *device, const char *options)
{
    cl_kernel kernel;
    tt_buffer buffer;
    tt_error err = {""};
    int value = -1;
    size_t one = 1;
    if (tt_kernel_create(device, "test.cl", options, "one", &kernel, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(tt_buffer_create(device, sizeof(value), "test", &buffer, NULL), TT_OK);
    assert_int_equal(device->cl.set_kernel_arg(kernel, 0, sizeof(cl_mem), &buffer.mem), CL_SUCCESS);
    assert_int_equal(device->cl.enqueue_nd_range_kernel(device->queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL),
                     CL_SUCCESS);
    assert_int_equal(tt_buffer_read(device, &buffer, 0, &value, sizeof(value), NULL), TT_OK);
    (void)device->cl.release_kernel(kernel);
    tt_buffer_release(device, &buffer);
    return value;
}

/* A device opened, used once and closed; returns the kernel's value. */
static int run_once(fixture *f, const char *options)
{
    tt_device *device = open_device(f, f->cache, NULL);
    int value = run_kernel(device, options);
    tt_device_close(device);
    return value;
}

/* Number of files of the cache that end so; the last one's path in `path`. */
static int count_files(const fixture *f, const char *ending, char path[600])
{
    int n = 0;
    DIR *folder = opendir(f->cache);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        size_t n_name = strlen(entry->d_name), n_ending = strlen(ending);
        if (n_name < n_ending || strcmp(entry->d_name + n_name - n_ending, ending) != 0)
            continue;
        n++;
        if (path != NULL)
            (void)snprintf(path, 600, "%s/%s", f->cache, entry->d_name);
    }
    (void)closedir(folder);
    return n;
}

static void write_file(const char *path, const char *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

/* ---- tests ---- */

/* First: the child uses OpenCL, so this process must not have done so before. */
static void crash_while_building_is_remembered(void **state)
{
    fixture *f = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        tt_device *device = open_device(f, f->cache, NULL);
        cl_kernel kernel;
        device->cl.build_program = crash;
        (void)tt_kernel_create(device, "test.cl", "", "one", &kernel, NULL);
        _exit(0);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 42);
    assert_int_equal(count_files(f, ".building", NULL), 1);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(f->n_warnings, 1);
    assert_non_null(strstr(f->log, "an earlier run ended"));
    assert_int_equal(count_files(f, ".building", NULL), 0);
    assert_int_equal(run_once(f, ""), 17); /* and forgotten */
    assert_int_equal(f->n_warnings, 1);
}

static void second_start_loads_the_binary(void **state)
{
    fixture *f = *state;
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_source_builds, 1);
    assert_int_equal(count_files(f, ".bin", NULL), 1);
    assert_int_equal(count_files(f, "", NULL), 3); /* with . and .. : no marker, no temporary file */
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_source_builds, 1);
    assert_int_equal(n_binary_loads, 1);
    assert_int_equal(f->n_warnings, 0);
}

static void programs_are_built_once_per_options(void **state)
{
    fixture *f = *state;
    tt_device *device = open_device(f, f->cache, NULL);
    assert_int_equal(run_kernel(device, ""), 17);
    assert_int_equal(run_kernel(device, "-DVALUE=5"), 5);
    assert_int_equal(run_kernel(device, ""), 17);
    assert_int_equal(run_kernel(device, "-DVALUE=5"), 5);
    tt_device_close(device);
    assert_int_equal(n_source_builds, 2);
    assert_int_equal(count_files(f, ".bin", NULL), 2);
}

/* A change of driver, platform, device or source asks for another binary. */
static void key_covers_driver_and_source(void **state)
{
    fixture *f = *state;
    assert_int_equal(run_once(f, ""), 17);
    for (int change = 0; change < 4; change++) {
        tt_device *device = open_device(f, f->cache, NULL);
        tt_device_info *info = &device->found.caps.info;
        char *texts[] = {info->driver, device->found.platform_version, info->name, info->version};
        texts[change][0] ^= 1;
        assert_int_equal(run_kernel(device, ""), 17);
        tt_device_close(device);
        assert_int_equal(n_source_builds, 2 + change);
        assert_int_equal(count_files(f, ".bin", NULL), 2 + change);
    }
}

static void damaged_files_are_replaced(void **state)
{
    fixture *f = *state;
    char path[600], *whole, *now;
    size_t n_whole, n_now;
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(count_files(f, ".bin", path), 1);
    assert_int_equal(tt_file_read(path, 1 << 26, &whole, &n_whole, NULL), TT_OK);
    static const struct {
        size_t at;     /* byte that is changed; SIZE_MAX: none */
        size_t length; /* of the file afterwards; 0: as it was */
        const char *word;
    } cases[] = {{0, 0, "not a program"},
                 {10, 0, "another program"},
                 {80, 0, "damaged"},
                 {136, 0, "cut off"},
                 {143, 0, "cut off"},
                 {200, 0, "damaged"},
                 {SIZE_MAX, 150, "cut off"},
                 {SIZE_MAX, 144, "not a program"},
                 {SIZE_MAX, 100, "not a program"},
                 {SIZE_MAX, 1, "not a program"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *bytes = malloc(n_whole);
        assert_non_null(bytes);
        memcpy(bytes, whole, n_whole);
        if (cases[i].at != SIZE_MAX)
            bytes[cases[i].at] ^= 0x11;
        write_file(path, bytes, cases[i].length == 0 ? n_whole : cases[i].length);
        free(bytes);
        n_source_builds = n_binary_loads = 0;
        f->log[0] = '\0';
        assert_int_equal(run_once(f, ""), 17);
        assert_int_equal(n_source_builds, 1);
        assert_int_equal(n_binary_loads, 0);
        assert_non_null(strstr(f->log, cases[i].word));
        assert_int_equal(run_once(f, ""), 17); /* replaced by a good one */
        assert_int_equal(n_source_builds, 1);
        assert_int_equal(tt_file_read(path, 1 << 26, &now, &n_now, NULL), TT_OK);
        assert_memory_equal(now, whole, 80); /* magic and key */
        free(now);
    }
    assert_int_equal(f->n_warnings, 0);
    free(whole);
}

static void empty_file_and_folder_in_its_place_are_survived(void **state)
{
    fixture *f = *state;
    char path[600];
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(count_files(f, ".bin", path), 1);
    write_file(path, "", 0);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_source_builds, 2);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_source_builds, 3);
    assert_int_equal(f->n_warnings, 1);
    assert_int_equal(rmdir(path), 0);
}

static void file_of_another_program_is_not_loaded(void **state)
{
    fixture *f = *state;
    char one[600], *bytes;
    size_t n_bytes;
    assert_int_equal(run_once(f, "-DVALUE=5"), 5);
    assert_int_equal(count_files(f, ".bin", one), 1);
    assert_int_equal(tt_file_read(one, 1 << 26, &bytes, &n_bytes, NULL), TT_OK);
    assert_int_equal(unlink(one), 0);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(count_files(f, ".bin", one), 1);
    write_file(one, bytes, n_bytes);
    free(bytes);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_binary_loads, 0);
    assert_non_null(strstr(f->log, "another program"));
}

static void refused_binary_is_built_again(void **state)
{
    fixture *f = *state;
    assert_int_equal(run_once(f, ""), 17);
    tt_device *device = open_device(f, f->cache, NULL);
    device->cl.create_program_with_binary = refuse_binary;
    assert_int_equal(run_kernel(device, ""), 17);
    tt_device_close(device);
    assert_int_equal(n_source_builds, 2);
    assert_int_equal(n_binary_loads, 1);
    assert_non_null(strstr(f->log, "refused by the driver (CL_INVALID_BINARY)"));
}

/* Path of the marker that belongs to the only binary. */
static void marker_path(const fixture *f, char path[600])
{
    assert_int_equal(count_files(f, ".bin", path), 1);
    char *ending = strrchr(path, '.');
    assert_non_null(ending);
    (void)snprintf(ending, 600 - (size_t)(ending - path), ".building");
}

static void left_marker_drops_the_binary(void **state)
{
    fixture *f = *state;
    char marker[600];
    assert_int_equal(run_once(f, ""), 17);
    marker_path(f, marker);
    write_file(marker, "1", 1);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_binary_loads, 0);
    assert_int_equal(n_source_builds, 2);
    assert_int_equal(f->n_warnings, 1);
    assert_false(tt_path_is_file(marker));
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_binary_loads, 1);
}

/* A marker that a living process holds is no crash. */
static void held_marker_is_respected(void **state)
{
    fixture *f = *state;
    char marker[600];
    assert_int_equal(run_once(f, ""), 17);
    marker_path(f, marker);
    write_file(marker, "1", 1);
    int holder = open(marker, O_RDWR | O_CLOEXEC);
    assert_true(holder >= 0);
    assert_int_equal(flock(holder, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(run_once(f, ""), 17);
    assert_int_equal(n_binary_loads, 1);
    assert_int_equal(f->n_warnings, 0);
    assert_true(tt_path_is_file(marker));
    (void)close(holder);
}

static void unusable_folder_is_one_warning(void **state)
{
    fixture *f = *state;
    char file[300];
    (void)snprintf(file, sizeof(file), "%s/file", f->folder);
    write_file(file, "x", 1);
    tt_device *device = open_device(f, file, NULL);
    assert_int_equal(run_kernel(device, ""), 17);
    assert_int_equal(run_kernel(device, "-DVALUE=5"), 5);
    tt_device_close(device);
    assert_int_equal(f->n_warnings, 1);
    assert_non_null(strstr(f->log, "compiled programs are not cached"));
}

/* Where binaries are made slowly none is written at a build, but all that are missing when asked for. */
static void slow_binaries_are_stored_when_asked_for(void **state)
{
    fixture *f = *state;
    uint32_t n_stored = 0;
    tt_error err = {""};
    for (int round = 0; round < 3; round++) {
        tt_device *device = open_device(f, f->cache, NULL);
        device->found.quirks.slow_binaries = true;
        assert_int_equal(run_kernel(device, ""), 17);
        assert_int_equal(n_source_builds, round == 0 ? 1 : 2);
        assert_int_equal(n_binary_loads, round == 2);
        if (round > 0) {
            assert_int_equal(tt_programs_store(device, &n_stored, &err), TT_OK);
            assert_int_equal(n_stored, round == 1);
            assert_int_equal(tt_programs_store(device, &n_stored, &err), TT_OK);
            assert_int_equal(n_stored, 0);
        }
        tt_device_close(device);
    }
}

static void nothing_is_stored_without_a_cache(void **state)
{
    fixture *f = *state;
    uint32_t n_stored = 7;
    tt_error err = {""};
    tt_device *device = open_device(f, "", NULL);
    device->found.quirks.slow_binaries = true;
    assert_int_equal(run_kernel(device, ""), 17);
    assert_int_equal(tt_programs_store(device, &n_stored, &err), TT_OK);
    assert_int_equal(n_stored, 0);
    tt_device_close(device);
}

static void empty_name_means_no_cache(void **state)
{
    fixture *f = *state;
    tt_device *device = open_device(f, "", NULL);
    assert_null(device->cache_dir);
    assert_int_equal(run_kernel(device, ""), 17);
    tt_device_close(device);
    assert_int_equal(n_source_builds, 1);
    assert_int_equal(f->n_warnings, 0);
}

static void default_folder_follows_the_environment(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *xdg, *home, *folder;
    } cases[] = {{"/somewhere/cache", "/home/x", "/somewhere/cache/tintype"},
                 {"", "/home/x", "/home/x/.cache/tintype"},
                 {"relative", "/home/x", "/home/x/.cache/tintype"},
                 {"", "", NULL}};
    char *xdg = NULL, *home = NULL;
    const char *old_xdg = getenv("XDG_CACHE_HOME"), *old_home = getenv("HOME");
    if (old_xdg != NULL)
        xdg = strdup(old_xdg);
    if (old_home != NULL)
        home = strdup(old_home);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(setenv("XDG_CACHE_HOME", cases[i].xdg, 1), 0);
        assert_int_equal(setenv("HOME", cases[i].home, 1), 0);
        tt_device *device = open_device(f, NULL, NULL);
        if (cases[i].folder == NULL)
            assert_null(device->cache_dir);
        else
            assert_string_equal(device->cache_dir, cases[i].folder);
        tt_device_close(device);
    }
    (void)(xdg != NULL ? setenv("XDG_CACHE_HOME", xdg, 1) : unsetenv("XDG_CACHE_HOME"));
    (void)(home != NULL ? setenv("HOME", home, 1) : unsetenv("HOME"));
    free(xdg);
    free(home);
}

static void developer_folder_overrides_file_by_file(void **state)
{
    fixture *f = *state;
    char file[300];
    (void)snprintf(file, sizeof(file), "%s/value.clh", f->folder);
    write_file(file, "#define VALUE 23", 16);
    tt_device *device = open_device(f, "", f->folder);
    assert_int_equal(run_kernel(device, ""), 23); /* test.cl is still the embedded one */
    tt_device_close(device);
    assert_int_equal(setenv("TINTYPE_KERNEL_DIR", f->folder, 1), 0);
    device = open_device(f, "", NULL);
    assert_int_equal(run_kernel(device, ""), 23);
    tt_device_close(device);
    assert_int_equal(unsetenv("TINTYPE_KERNEL_DIR"), 0);
}

static void build_failures_quote_the_log(void **state)
{
    fixture *f = *state;
    tt_device *device = open_device(f, f->cache, NULL);
    cl_kernel kernel;
    tt_error err = {""};
    assert_int_equal(tt_kernel_create(device, "broken.cl", "-DX=1", "one", &kernel, &err), TT_ERROR_DEVICE);
    assert_null(kernel);
    assert_non_null(strstr(err.text, "broken.cl"));
    assert_non_null(strstr(err.text, "-DX=1"));
    assert_non_null(strstr(err.text, "no_such_name"));
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(count_files(f, ".bin", NULL), 0);
    assert_int_equal(count_files(f, ".building", NULL), 0);
    assert_int_equal(tt_kernel_create(device, "lost.cl", "", "one", &kernel, &err), TT_ERROR_INTERNAL);
    assert_non_null(strstr(err.text, "absent.clh"));
    assert_int_equal(tt_kernel_create(device, "absent.cl", "", "one", &kernel, &err), TT_ERROR_INTERNAL);
    assert_non_null(strstr(err.text, "absent.cl"));
    assert_int_equal(tt_kernel_create(device, "test.cl", "", "two", &kernel, &err), TT_ERROR_DEVICE);
    assert_non_null(strstr(err.text, "two of test.cl: CL_INVALID_KERNEL_NAME"));
    tt_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(crash_while_building_is_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(second_start_loads_the_binary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(programs_are_built_once_per_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(key_covers_driver_and_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_file_and_folder_in_its_place_are_survived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_of_another_program_is_not_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_binary_is_built_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(left_marker_drops_the_binary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(held_marker_is_respected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unusable_folder_is_one_warning, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slow_binaries_are_stored_when_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_stored_without_a_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_name_means_no_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(default_folder_follows_the_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(developer_folder_overrides_file_by_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(build_failures_quote_the_log, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
