/* test_device.c - finding, choosing and opening devices; buffers and their account. */
#define _POSIX_C_SOURCE 200809L
#include "device/device-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- devices that do not exist, behind a function table ---- */

typedef struct fake_device {
    const char *name, *version, *driver, *extensions;
    cl_device_type type;
    cl_uint n_compute_units;
    cl_bool available, little_endian;
} fake_device;

static const fake_device fakes[] = {
    {"Old Chip", "OpenCL 1.1 old", "1", "", CL_DEVICE_TYPE_GPU, 99, CL_TRUE, CL_TRUE},
    {"Plain CPU", "OpenCL 3.0 x", "2", "cl_khr_fp64 cl_khr_command_buffer", CL_DEVICE_TYPE_CPU, 64, CL_TRUE, CL_TRUE},
    {"Small\tGPU\x01 \n", "OpenCL 1.2 x", "3", "cl_khr_fp16", CL_DEVICE_TYPE_GPU, 2, CL_TRUE, CL_TRUE},
    {"Absent GPU", "OpenCL 2.0 x", "4", "", CL_DEVICE_TYPE_GPU, 50, CL_FALSE, CL_TRUE},
    {"Big GPU", "OpenCL 2.0 x", "5", "cl_arm_integer_dot_product_int8 cl_khr_subgroups", CL_DEVICE_TYPE_GPU, 8, CL_TRUE,
     CL_TRUE},
    {"Dsp \xff\xfe", "OpenCL 1.2 x", "6", "xcl_khr_fp16 cl_khr_fp16x", CL_DEVICE_TYPE_ACCELERATOR, 100, CL_TRUE,
     CL_TRUE},
    {"llvmpipe (LLVM)", "OpenCL 3.0 x", "7", "", CL_DEVICE_TYPE_GPU, 128, CL_TRUE, CL_TRUE},
    {"Big Endian GPU", "OpenCL 3.0 x", "8", "", CL_DEVICE_TYPE_GPU, 70, CL_TRUE, CL_FALSE},
    {"QUALCOMM Adreno(TM)", "OpenCL 3.0 Adreno(TM) 740", "9", "cl_qcom_dot_product8", CL_DEVICE_TYPE_GPU, 6, CL_TRUE,
     CL_TRUE},
};
enum { N_FAKES = sizeof(fakes) / sizeof(fakes[0]) };

/* OpenCL handles are pointers that only the driver looks behind. */
static char handles[N_FAKES];

static cl_int fake_platform_ids(cl_uint n, cl_platform_id *ids, cl_uint *n_ids)
{
    if (n > 0 && ids != NULL)
        ids[0] = (cl_platform_id)(void *)handles;
    *n_ids = 1;
    return CL_SUCCESS;
}

static cl_int no_platform_ids(cl_uint n, cl_platform_id *ids, cl_uint *n_ids)
{
    (void)n;
    (void)ids;
    *n_ids = 0;
    return -1001;
}

static cl_int give(const void *value, size_t n_value, size_t n_bytes, void *out, size_t *n_needed)
{
    if (n_needed != NULL)
        *n_needed = n_value;
    if (out != NULL && n_bytes < n_value)
        return CL_INVALID_VALUE;
    if (out != NULL)
        memcpy(out, value, n_value);
    return CL_SUCCESS;
}

static cl_int fake_platform_info(cl_platform_id id, cl_platform_info what, size_t n_bytes, void *out, size_t *n_needed)
{
    (void)id;
    const char *text = what == CL_PLATFORM_NAME ? "Fake Platform" : "OpenCL 3.0 fakes";
    return give(text, strlen(text) + 1, n_bytes, out, n_needed);
}

static cl_int fake_device_ids(cl_platform_id id, cl_device_type type, cl_uint n, cl_device_id *ids, cl_uint *n_ids)
{
    (void)id;
    (void)type;
    for (cl_uint i = 0; i < N_FAKES && i < n; i++)
        ids[i] = (cl_device_id)(void *)&handles[i];
    *n_ids = N_FAKES;
    return CL_SUCCESS;
}

static cl_int fake_device_text(const fake_device *fake, cl_device_info what, size_t n_bytes, void *out,
                               size_t *n_needed)
{
    const char *text = what == CL_DEVICE_NAME         ? fake->name
                       : what == CL_DEVICE_VERSION    ? fake->version
                       : what == CL_DRIVER_VERSION    ? fake->driver
                       : what == CL_DEVICE_EXTENSIONS ? fake->extensions
                                                      : "Fake Vendor";
    return give(text, strlen(text) + 1, n_bytes, out, n_needed);
}

static cl_int fake_device_info(cl_device_id id, cl_device_info what, size_t n_bytes, void *out, size_t *n_needed)
{
    const fake_device *fake = &fakes[(char *)id - handles];
    cl_ulong memory = (cl_ulong)4 << 30;
    size_t group = 256;
    switch (what) {
    case CL_DEVICE_TYPE:
        return give(&fake->type, sizeof(fake->type), n_bytes, out, n_needed);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        return give(&fake->n_compute_units, sizeof(cl_uint), n_bytes, out, n_needed);
    case CL_DEVICE_AVAILABLE:
    case CL_DEVICE_COMPILER_AVAILABLE:
        return give(&fake->available, sizeof(cl_bool), n_bytes, out, n_needed);
    case CL_DEVICE_ENDIAN_LITTLE:
        return give(&fake->little_endian, sizeof(cl_bool), n_bytes, out, n_needed);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
    case CL_DEVICE_LOCAL_MEM_SIZE:
        return give(&memory, sizeof(memory), n_bytes, out, n_needed);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return give(&group, sizeof(group), n_bytes, out, n_needed);
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
        return CL_INVALID_VALUE;
    default:
        return fake_device_text(fake, what, n_bytes, out, n_needed);
    }
}

static const tt_cl fake_cl = {.get_platform_ids = fake_platform_ids,
                              .get_platform_info = fake_platform_info,
                              .get_device_ids = fake_device_ids,
                              .get_device_info = fake_device_info};

static void usable_devices_are_found_best_first(void **state)
{
    (void)state;
    static const char *const order[] = {"Big GPU", "QUALCOMM Adreno(TM)", "Small GPU", "Plain CPU",
                                        "Dsp",     "llvmpipe (LLVM)"};
    tt_found *found;
    size_t n_found;
    assert_int_equal(tt_devices_find(&fake_cl, &found, &n_found, NULL), TT_OK);
    assert_int_equal(n_found, sizeof(order) / sizeof(order[0]));
    for (size_t i = 0; i < n_found; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%u", (unsigned)i);
        assert_string_equal(found[i].caps.info.name, order[i]);
        assert_string_equal(found[i].caps.info.id, id);
        assert_string_equal(found[i].caps.info.platform, "Fake Platform");
    }
    free(found);
}

static void capabilities_are_whole_words(void **state)
{
    (void)state;
    tt_found *found;
    size_t n_found;
    assert_int_equal(tt_devices_find(&fake_cl, &found, &n_found, NULL), TT_OK);
    const tt_caps *big = &found[0].caps, *adreno = &found[1].caps, *small = &found[2].caps, *cpu = &found[3].caps,
                  *dsp = &found[4].caps;
    assert_true(big->has_int_dot && big->has_subgroups && !big->has_fp16 && big->info.is_gpu);
    assert_true(adreno->has_int_dot);
    assert_true(small->has_fp16 && small->info.has_fp16 && !small->has_int_dot);
    assert_true(cpu->has_command_buffer && cpu->is_cpu && !cpu->info.is_gpu && found[3].shared_memory);
    assert_false(dsp->has_fp16); /* "xcl_khr_fp16 cl_khr_fp16x" */
    assert_false(dsp->is_cpu);
    assert_int_equal(big->family, TT_FAMILY_GPU_PLAIN);
    assert_int_equal(cpu->family, TT_FAMILY_GPU_PLAIN); /* an unknown CPU runtime */
    assert_string_equal(cpu->info.variant, "gpu-plain");
    assert_int_equal(big->max_work_group, 256);
    free(found);
}

static void quirks_limit_a_device(void **state)
{
    (void)state;
    tt_found *found;
    size_t n_found;
    assert_int_equal(tt_devices_find(&fake_cl, &found, &n_found, NULL), TT_OK);
    assert_true(found[0].caps.max_alloc_bytes == (uint64_t)4 << 30);
    assert_true(found[1].caps.max_alloc_bytes == (uint64_t)1 << 30); /* Adreno */
    assert_true(found[1].caps.info.max_alloc_bytes == (uint64_t)1 << 30);
    free(found);
    tt_device_info info = {.platform = "Oclgrind", .name = "Oclgrind Simulator"};
    assert_true(tt_quirks_find(&info).last_choice);
    info = (tt_device_info){.platform = "Portable Computing Language", .name = "pthread-x"};
    assert_true(tt_quirks_find(&info).slow_binaries && !tt_quirks_find(&info).last_choice);
    assert_true(tt_quirks_find(&info).mixes_local);
    info = (tt_device_info){.platform = "ARM Platform", .name = "Mali-G78"};
    assert_false(tt_quirks_find(&info).last_choice || tt_quirks_find(&info).mixes_local);
    assert_true(tt_quirks_find(&info).max_alloc_bytes == 0);
}

static void device_is_chosen_by_index_or_name(void **state)
{
    (void)state;
    static const struct {
        const char *wanted;
        size_t index;
    } cases[] = {{NULL, 0},     {"", 0},    {"0", 0},         {"3", 3},    {"cpu", 3},
                 {"adreno", 1}, {"GPU", 0}, {"small gpu", 2}, {"fake", 0}, {"LLVMPIPE", 5}};
    tt_found *found;
    size_t n_found, index;
    assert_int_equal(tt_devices_find(&fake_cl, &found, &n_found, NULL), TT_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tt_devices_choose(found, n_found, cases[i].wanted, &index, NULL), TT_OK);
        assert_int_equal(index, cases[i].index);
    }
    static const char *const wrong[] = {"6", "99999999999999999999", "-1", "geforce", "0x0"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tt_error err = {""};
        assert_int_equal(tt_devices_choose(found, n_found, wrong[i], &index, &err), TT_ERROR_DEVICE);
        assert_non_null(strstr(err.text, wrong[i]));
        assert_non_null(strstr(err.text, "1: QUALCOMM Adreno(TM) (Fake Platform)"));
    }
    free(found);
}

static void no_device_is_an_error(void **state)
{
    (void)state;
    tt_cl empty = fake_cl;
    tt_error err = {""};
    tt_found *found;
    size_t n_found;
    empty.get_platform_ids = no_platform_ids;
    assert_int_equal(tt_devices_find(&empty, &found, &n_found, &err), TT_ERROR_DEVICE);
    assert_null(found);
    assert_non_null(strstr(err.text, "apt install"));
}

/* ---- the machine's own devices ---- */

/* A process whose loader finds no driver. First test: the loader reads its environment once. */
static void machine_without_drivers_says_so(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        tt_device_info *infos;
        size_t n_infos;
        tt_error err = {""};
        (void)setenv("OCL_ICD_VENDORS", "/nonexistent-folder/", 1);
        tt_status status = tt_device_list(&infos, &n_infos, &err);
        _exit(status == TT_ERROR_DEVICE && strstr(err.text, "install") != NULL ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
}

static tt_device *open_device(const char *wanted)
{
    tt_device *device;
    tt_error err = {""};
    tt_device_options options = {.device = wanted, .cache_dir = ""};
    if (tt_device_open(&options, &device, &err) != TT_OK)
        fail_msg("%s", err.text);
    return device;
}

static void list_describes_devices(void **state)
{
    (void)state;
    tt_device_info *infos;
    size_t n_infos;
    tt_error err = {""};
    if (tt_device_list(&infos, &n_infos, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_true(n_infos > 0);
    for (size_t i = 0; i < n_infos; i++) {
        assert_true(infos[i].name[0] != '\0' && infos[i].platform[0] != '\0' && infos[i].driver[0] != '\0');
        assert_memory_equal(infos[i].version, "OpenCL ", 7);
        assert_true(infos[i].global_bytes >= infos[i].max_alloc_bytes && infos[i].max_alloc_bytes > 0);
        assert_true(infos[i].n_compute_units > 0 && infos[i].max_work_group > 0);
        assert_true(strcmp(infos[i].variant, "cpu-tile") == 0 || strcmp(infos[i].variant, "gpu-plain") == 0);
        bool pocl = strstr(infos[i].platform, "Portable Computing Language") != NULL;
        assert_int_equal(pocl && !infos[i].is_gpu, strcmp(infos[i].variant, "cpu-tile") == 0);
    }
    free(infos);
}

static void open_fills_everything(void **state)
{
    (void)state;
    tt_device *device = open_device(NULL);
    assert_non_null(tt_device_context(device));
    assert_non_null(tt_device_queue(device));
    assert_non_null(tt_device_id(device));
    assert_null(tt_device_log(device));
    assert_string_equal(tt_device_caps(device)->info.id, "0");
    assert_int_equal(tt_device_finish(device, NULL), TT_OK);
    tt_device *again = open_device(tt_device_caps(device)->info.name); /* two at a time, by full name */
    tt_device_close(again);
    tt_device_close(device);
    tt_device_close(NULL);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    tt_device *device;
    tt_error err = {""};
    tt_device_options options = {.device = "no such device", .cache_dir = ""};
    assert_int_equal(tt_device_open(&options, &device, &err), TT_ERROR_DEVICE);
    assert_null(device);
    assert_non_null(strstr(err.text, "no such device"));
    assert_non_null(strstr(err.text, "0: "));
    options = (tt_device_options){.cache_dir = "", .kernel_dir = "/nonexistent-folder"};
    assert_int_equal(tt_device_open(&options, &device, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "/nonexistent-folder"));
}

static void buffers_keep_bytes(void **state)
{
    (void)state;
    tt_device *device = open_device(NULL);
    tt_buffer buffer;
    unsigned char bytes[1000], back[1000];
    void *mapped;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7);
    assert_int_equal(tt_buffer_create(device, sizeof(bytes), "test", &buffer, NULL), TT_OK);
    assert_int_equal(tt_buffer_write(device, &buffer, 0, bytes, sizeof(bytes), NULL), TT_OK);
    assert_int_equal(tt_buffer_write(device, &buffer, 100, bytes, 10, NULL), TT_OK);
    assert_int_equal(tt_buffer_write(device, &buffer, 1000, bytes, 0, NULL), TT_OK);
    assert_int_equal(tt_buffer_read(device, &buffer, 0, back, sizeof(back), NULL), TT_OK);
    assert_memory_equal(back, bytes, 100);
    assert_memory_equal(back + 100, bytes, 10);
    assert_memory_equal(back + 110, bytes + 110, sizeof(bytes) - 110);
    assert_int_equal(tt_buffer_map(device, &buffer, &mapped, NULL), TT_OK);
    memset(mapped, 0x5a, sizeof(bytes));
    assert_int_equal(tt_buffer_unmap(device, &buffer, mapped, NULL), TT_OK);
    assert_int_equal(tt_buffer_read(device, &buffer, 990, back, 10, NULL), TT_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(back[i], 0x5a);
    tt_buffer_release(device, &buffer);
    tt_device_close(device);
}

static void copies_stay_inside(void **state)
{
    (void)state;
    tt_device *device = open_device(NULL);
    tt_buffer buffer;
    char bytes[16] = {0};
    assert_int_equal(tt_buffer_create(device, 16, "test", &buffer, NULL), TT_OK);
    assert_int_equal(tt_buffer_write(device, &buffer, 1, bytes, 16, NULL), TT_ERROR_INTERNAL);
    assert_int_equal(tt_buffer_read(device, &buffer, 17, bytes, 1, NULL), TT_ERROR_INTERNAL);
    assert_int_equal(tt_buffer_read(device, &buffer, SIZE_MAX, bytes, 2, NULL), TT_ERROR_INTERNAL);
    tt_buffer_release(device, &buffer);
    tt_device_close(device);
}

static void account_follows_buffers(void **state)
{
    (void)state;
    tt_device *device = open_device(NULL);
    tt_buffer a, b;
    assert_int_equal(tt_buffer_create(device, 3000, "a", &a, NULL), TT_OK);
    assert_int_equal(tt_buffer_create(device, 500, "b", &b, NULL), TT_OK);
    assert_int_equal(tt_device_bytes(device), 3500);
    tt_buffer_release(device, &a);
    assert_null(a.mem);
    tt_buffer_release(device, &a);
    assert_int_equal(tt_device_bytes(device), 500);
    assert_int_equal(tt_device_peak_bytes(device), 3500);
    tt_buffer_release(device, &b);
    assert_int_equal(tt_device_bytes(device), 0);
    tt_device_close(device);
}

static void too_large_buffers_are_refused_with_figures(void **state)
{
    (void)state;
    tt_device *device = open_device(NULL);
    tt_buffer a, b;
    tt_error err = {""};
    assert_int_equal(tt_buffer_create(device, 0, "nothing", &a, NULL), TT_ERROR_INTERNAL);
    device->found.caps.max_alloc_bytes = (uint64_t)8 << 20;
    device->found.caps.global_bytes = (uint64_t)10 << 20;
    assert_int_equal(tt_buffer_create(device, ((size_t)8 << 20) + 1, "UNet activations", &a, &err), TT_ERROR_MEMORY);
    assert_non_null(strstr(err.text, "UNet activations needs a buffer of 9 MiB"));
    assert_non_null(strstr(err.text, "at most 8 MiB"));
    assert_null(a.mem);
    assert_int_equal(tt_buffer_create(device, (size_t)8 << 20, "weights", &a, &err), TT_OK);
    assert_int_equal(tt_buffer_create(device, (size_t)3 << 20, "VAE", &b, &err), TT_ERROR_MEMORY);
    assert_non_null(strstr(err.text, "VAE needs 3 MiB beside 8 MiB in use"));
    assert_non_null(strstr(err.text, "has 10 MiB"));
    assert_int_equal(tt_device_bytes(device), (uint64_t)8 << 20);
    assert_int_equal(tt_buffer_create(device, (size_t)2 << 20, "VAE", &b, &err), TT_OK);
    tt_buffer_release(device, &a);
    tt_buffer_release(device, &b);
    tt_device_close(device);
}

static cl_mem refuse_buffer(cl_context context, cl_mem_flags flags, size_t n_bytes, void *host, cl_int *code)
{
    (void)context;
    (void)flags;
    (void)n_bytes;
    (void)host;
    *code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return NULL;
}

static void driver_errors_become_sentences(void **state)
{
    (void)state;
    tt_device *device = open_device(NULL);
    tt_error err = {""};
    assert_int_equal(tt_device_fail(device, &err, -5, "clFinish"), TT_ERROR_DEVICE);
    assert_non_null(strstr(err.text, "clFinish: CL_OUT_OF_RESOURCES (-5) on "));
    assert_non_null(strstr(err.text, tt_device_caps(device)->info.name));
    tt_buffer buffer;
    device->cl.create_buffer = refuse_buffer;
    assert_int_equal(tt_buffer_create(device, 64, "weights", &buffer, &err), TT_ERROR_MEMORY);
    assert_non_null(strstr(err.text, "weights: CL_MEM_OBJECT_ALLOCATION_FAILURE"));
    assert_int_equal(tt_device_bytes(device), 0);
    tt_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machine_without_drivers_says_so),
        cmocka_unit_test(usable_devices_are_found_best_first),
        cmocka_unit_test(capabilities_are_whole_words),
        cmocka_unit_test(quirks_limit_a_device),
        cmocka_unit_test(device_is_chosen_by_index_or_name),
        cmocka_unit_test(no_device_is_an_error),
        cmocka_unit_test(list_describes_devices),
        cmocka_unit_test(open_fills_everything),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(buffers_keep_bytes),
        cmocka_unit_test(copies_stay_inside),
        cmocka_unit_test(account_follows_buffers),
        cmocka_unit_test(too_large_buffers_are_refused_with_figures),
        cmocka_unit_test(driver_errors_become_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
