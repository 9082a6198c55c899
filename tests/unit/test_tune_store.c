/* test_tune_store.c - what is kept of a device between runs: choices, and variants that crashed the driver. */
#include "cl-kernels/tuning.h"
#include "device/crash-marker.h"
#include "device/device-private.h"
#include "pipeline/context.h"
#include "pipeline/tune-store.h"
#include "tests/support/temp-folder.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = {"first", "second"};
static const char key[] = "1x1 n1 f32 f32";

static tt_context *open_context(const temp_folder *cache)
{
    tt_context *context = tt_context_create();
    tt_device_params params;
    assert_non_null(context);
    tt_device_params_default(&params);
    params.cache_dir = cache->path;
    if (tt_context_open_device(context, &params) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return context;
}

static tt_kernels kernels_of(const tt_context *context)
{
    return (tt_kernels){.device = context->device, .family = TT_FAMILY_CPU_TILE, .tuning = context->tuning};
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
    abort();
}

static size_t choose(const tt_context *context)
{
    const tt_kernels kernels = kernels_of(context);
    return tt_tuning_choose(&kernels, "pack", key, names, 2);
}

/* In a child: a driver that dies while it builds the program of the variant that was chosen. */
static void crash_in_child(const temp_folder *cache)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        tt_context *context = open_context(cache);
        const tt_kernels kernels = kernels_of(context);
        cl_kernel kernel;
        context->device->cl.build_program = crash;
        context->device->found.caps.is_cpu = false; /* compilers for CPUs are trusted */
        (void)choose(context);
        (void)tt_kernels_make(&kernels, "pack.cl", "-DSEGMENT=1024", "pack", &kernel, NULL);
        _exit(0);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

static size_t count_ending(const temp_folder *folder, const char *ending)
{
    size_t n = 0;
    DIR *entries = opendir(folder->path);
    for (struct dirent *e = entries ? readdir(entries) : NULL; e != NULL; e = readdir(entries)) {
        size_t length = strlen(e->d_name), n_ending = strlen(ending);
        n += length > n_ending && strcmp(e->d_name + length - n_ending, ending) == 0;
    }
    if (entries)
        (void)closedir(entries);
    return n;
}

/* First of all tests: the children use OpenCL, so this process must not have done so before. */
static void test_crash_disables_the_variant(void **state)
{
    (void)state;
    temp_folder cache;
    tt_disabled disabled;
    temp_folder_make(&cache);
    crash_in_child(&cache);
    assert_int_equal(count_ending(&cache, ".trying"), 1);
    tt_context *context = open_context(&cache);
    assert_int_equal(count_ending(&cache, ".trying"), 0);
    assert_int_equal(choose(context), 1); /* the next one takes over */
    assert_true(tt_context_disabled_at(context, 0, &disabled));
    assert_string_equal(disabled.name, "first");
    assert_string_equal(disabled.form, "f32 f32");
    assert_false(tt_context_disabled_at(context, 1, &disabled));
    tt_context_destroy(context);
    context = open_context(&cache); /* and it is remembered */
    assert_int_equal(choose(context), 1);
    tt_context_destroy(context);
    temp_folder_remove(&cache);
}

/* A marker that a living process holds says nothing yet. */
static void test_living_process_is_left_alone(void **state)
{
    (void)state;
    temp_folder cache;
    temp_folder_make(&cache);
    tt_context *first = open_context(&cache);
    tt_crash_marker marker;
    tt_crash_marker_begin(first->device, "pack\nfirst\nf32 f32", &marker);
    assert_non_null(marker.path);
    tt_context *second = open_context(&cache);
    assert_int_equal(choose(second), 0);
    assert_int_equal(count_ending(&cache, ".trying"), 1);
    tt_crash_marker_release(&marker);
    assert_int_equal(count_ending(&cache, ".trying"), 0);
    tt_context_destroy(second);
    tt_context_destroy(first);
    temp_folder_remove(&cache);
}

static void put(tt_context *context, const char *name)
{
    tt_tuned tuned = {.op = "pack", .key = "1x1 n1 f32 f32", .ms = 1, .default_ms = 2};
    (void)snprintf(tuned.name, sizeof tuned.name, "%s", name);
    assert_int_equal(tt_tuning_put(context->tuning, &tuned, NULL), TT_OK);
}

static void test_choices_are_kept(void **state)
{
    (void)state;
    temp_folder cache;
    temp_folder_make(&cache);
    tt_context *context = open_context(&cache);
    put(context, "second");
    tt_tune_store_save(context);
    tt_context_destroy(context);
    context = open_context(&cache);
    assert_int_equal(choose(context), 1);
    tt_context_destroy(context);
    temp_folder_remove(&cache);
}

/* The path of the one tuning file. */
static void find_file(const temp_folder *cache, char path[TT_TEMP_PATH])
{
    DIR *entries = opendir(cache->path);
    assert_non_null(entries);
    path[0] = '\0';
    for (struct dirent *e = readdir(entries); e != NULL; e = readdir(entries))
        if (strncmp(e->d_name, "tuning-", 7) == 0)
            (void)temp_folder_path(cache, e->d_name, path);
    (void)closedir(entries);
    assert_true(path[0] != '\0');
}

static void test_stale_and_damaged_files_are_ignored(void **state)
{
    (void)state;
    temp_folder cache;
    char path[TT_TEMP_PATH], text[8192];
    temp_folder_make(&cache);
    tt_context *context = open_context(&cache);
    put(context, "second");
    tt_tune_store_save(context);
    tt_context_destroy(context);
    find_file(&cache, path);
    FILE *file = fopen(path, "rb");
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
    char *engine = strstr(text, tt_version());
    assert_non_null(engine);
    const char *const name = path + strlen(cache.path) + 1;
    engine[0] = '9'; /* another version */
    temp_folder_write(&cache, name, text, n);
    context = open_context(&cache);
    assert_int_equal(choose(context), 0);
    tt_context_destroy(context);
    for (size_t cut = 0; cut < n; cut += n / 7 + 1) {
        temp_folder_write(&cache, name, text, cut);
        context = open_context(&cache);
        assert_int_equal(choose(context), 0);
        tt_context_destroy(context);
    }
    temp_folder_remove(&cache);
}

static void test_import_and_export(void **state)
{
    (void)state;
    temp_folder cache;
    char table[TT_TEMP_PATH], other[TT_TEMP_PATH], text[8192];
    temp_folder_make(&cache);
    tt_context *context = open_context(&cache);
    put(context, "second");
    assert_int_equal(tt_tuning_export(context, temp_folder_path(&cache, "table.json", table)), TT_OK);
    put(context, "first");
    assert_int_equal(choose(context), 0);
    assert_int_equal(tt_tuning_import(context, table), TT_OK);
    assert_int_equal(choose(context), 1);
    FILE *file = fopen(table, "rb");
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
    char *device = strstr(text, "\"device\": \"");
    assert_non_null(device);
    device[11] = '?';
    temp_folder_write(&cache, "other.json", text, n);
    assert_int_equal(tt_tuning_import(context, temp_folder_path(&cache, "other.json", other)), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tt_context_message(context), "choices of one do not suit the other"));
    temp_folder_write(&cache, "other.json", text, n / 2);
    assert_int_equal(tt_tuning_import(context, other), TT_ERROR_FORMAT);
    assert_non_null(strstr(tt_context_message(context), "other.json: "));
    assert_int_equal(tt_tuning_import(context, "no/such/file"), TT_ERROR_IO);
    tt_context_destroy(context);
    temp_folder_remove(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_disables_the_variant), cmocka_unit_test(test_living_process_is_left_alone),
        cmocka_unit_test(test_choices_are_kept),           cmocka_unit_test(test_stale_and_damaged_files_are_ignored),
        cmocka_unit_test(test_import_and_export),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
