/* test_sandbox.c - pictures are decoded in a child; whatever a child tries beyond that, it is stopped and the next
 * picture is decoded. What a broken decoder might do is a task of this test's own, run in the same jail. */
#define _GNU_SOURCE
#include "service/jail.h"
#include "service/sandbox.h"
#include "tests/support/small-bodies.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_ok(tt_status status, const tt_error *err)
{
    if (status != TT_OK)
        fail_msg("status %d: %s", (int)status, err->text);
}

/* ---- the jail: tasks that are told by the block's first byte what to try */

enum { BLOCK_BYTES = 1 << 20 };

typedef enum attempt {
    NOTHING = 1,
    OPEN,
    OPEN_RELATIVE,
    SOCKET,
    EXEC,
    FORK,
    VFORK,
    KILL_PARENT,
    READ_MAPPING,
    MAP_CODE,
    MAKE_CODE,
    PRINT,
    REMOVE,
    SLEEP,
    SPIN,
    EAT,
    CRASH,
    N_ATTEMPTS
} attempt;

/* Memory until there is none; every page is touched. */
static void eat(char *said)
{
    size_t n = 0;
    for (void *part; n < 4096 && (part = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                                              0)) != MAP_FAILED;
         n++)
        memset(part, 1, 1 << 20);
    memcpy(said, &n, sizeof n);
}

static void be_busy(void)
{
    for (volatile unsigned n = 0;; n++)
        ;
}

/* The child's end. What comes back is in block[1 ..]. */
static void try_it(void *block, size_t n_bytes)
{
    char *const nobody[] = {NULL};
    char *said = block;
    (void)n_bytes;
    switch ((attempt)said[0]) {
    case OPEN:
        said[1] = (char)(open("/etc/passwd", O_RDONLY) >= 0);
        break;
    case OPEN_RELATIVE:
        said[1] = (char)(openat(AT_FDCWD, "x", O_RDWR | O_CREAT, 0600) >= 0);
        break;
    case SOCKET:
        said[1] = (char)(socket(AF_INET, SOCK_STREAM, 0) >= 0);
        break;
    case EXEC:
        (void)execve("/bin/true", nobody, nobody);
        break;
    case FORK:
        said[1] = (char)(fork() >= 0);
        break;
    case VFORK:
        said[1] = (char)(vfork() >= 0);
        break;
    case KILL_PARENT:
        said[1] = (char)(kill(getppid(), SIGKILL) == 0);
        break;
    case READ_MAPPING:
        said[1] = (char)(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0) != MAP_FAILED);
        break;
    case MAP_CODE:
        said[1] = (char)(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
        break;
    case MAKE_CODE:
        said[1] = (char)(mprotect(block, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
        break;
    case PRINT:
        said[1] = (char)(write(STDERR_FILENO, "out\n", 4) == 4);
        break;
    case REMOVE:
        said[1] = (char)(unlink("/tmp/x") == 0);
        break;
    case SLEEP:
        (void)pause();
        break;
    case SPIN:
        be_busy();
        break;
    case EAT:
        eat(said + 1);
        break;
    case CRASH:
        raise(SIGSEGV); /* a filtered call, so the child ends in either way */
        break;
    default:
        said[1] = 42;
    }
}

static const tt_confinement tight = {.max_memory = 64 << 20, .seconds = 0.4};

static tt_jail *make_jail(const tt_confinement *confinement)
{
    tt_error err = {""};
    tt_jail *jail = NULL;
    expect_ok(tt_jail_open(try_it, BLOCK_BYTES, confinement, &jail, &err), &err);
    return jail;
}

static tt_jail_end run(tt_jail *jail, attempt what)
{
    tt_error err = {""};
    tt_jail_end end;
    tt_jail_forget(jail);
    *(char *)tt_jail_block(jail) = (char)what;
    expect_ok(tt_jail_run(jail, &end, &err), &err);
    return end;
}

static void expect_alive(tt_jail *jail)
{
    assert_int_equal(run(jail, NOTHING), TT_JAIL_DONE);
    assert_int_equal(((const char *)tt_jail_block(jail))[1], 42);
}

static void test_filter(void **state)
{
    (void)state;
    tt_jail *jail = make_jail(&tight);
    expect_alive(jail);
    for (attempt what = OPEN; what <= SLEEP; what++) {
        const tt_jail_end end = run(jail, what);
        if (end != TT_JAIL_FILTERED)
            fail_msg("attempt %d ended with %d, expected that the filter stops it", (int)what, (int)end);
        assert_int_equal(((const char *)tt_jail_block(jail))[1], 0);
    }
    assert_int_not_equal(run(jail, CRASH), TT_JAIL_DONE);
    expect_alive(jail);
    tt_jail_close(jail);
}

/* Without the filter the limits alone must hold: no file can be opened, no program can be started. */
static void test_limits_alone(void **state)
{
    (void)state;
    tt_confinement confinement = tight;
    confinement.without_seccomp = true;
    tt_jail *jail = make_jail(&confinement);
    static const attempt harmless[] = {OPEN, OPEN_RELATIVE, SOCKET, READ_MAPPING, PRINT};
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        assert_int_equal(run(jail, harmless[i]), TT_JAIL_DONE);
        assert_int_equal(((const char *)tt_jail_block(jail))[1], 0);
    }
    assert_int_equal(run(jail, SLEEP), TT_JAIL_OUT_OF_TIME);
    expect_alive(jail);
    tt_jail_close(jail);
}

static void test_time(void **state)
{
    (void)state;
    /* By the clock, which ends first here, and by processor time. */
    static const double seconds[] = {0.4, 1};
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        const tt_confinement confinement = {.max_memory = 64 << 20, .seconds = seconds[i]};
        tt_jail *jail = make_jail(&confinement);
        assert_int_equal(run(jail, SPIN), TT_JAIL_OUT_OF_TIME);
        expect_alive(jail);
        tt_jail_close(jail);
    }
}

static void test_memory(void **state)
{
    (void)state;
    tt_jail *jail = make_jail(&tight);
    size_t n = 0;
    assert_int_equal(run(jail, EAT), TT_JAIL_DONE);
    memcpy(&n, (const char *)tt_jail_block(jail) + 1, sizeof n);
    assert_in_range(n, 16, 64); /* megabytes */
    tt_jail_close(jail);
}

/* A program whose helper is gone is told so: the task ends the process that it is a child of. */
static void test_helper_gone(void **state)
{
    (void)state;
    tt_error err = {""};
    tt_jail_end end;
    tt_confinement confinement = tight;
    confinement.without_seccomp = true;
    tt_jail *jail = make_jail(&confinement);
    *(char *)tt_jail_block(jail) = KILL_PARENT;
    assert_int_equal(tt_jail_run(jail, &end, &err), TT_ERROR_INTERNAL);
    assert_int_equal(tt_jail_run(jail, &end, &err), TT_ERROR_INTERNAL);
    tt_jail_close(jail);
}

/* ---- pictures */

static int open_sandbox(void **state)
{
    tt_error err = {""};
    tt_sandbox *sandbox = NULL;
    tt_sandbox_limits limits = tt_sandbox_limits_default();
    limits.seconds = 5;
    expect_ok(tt_sandbox_open(&limits, &sandbox, &err), &err);
    *state = sandbox;
    return 0;
}

static int close_sandbox(void **state)
{
    tt_sandbox_close(*state);
    return 0;
}

static void expect_refused(tt_sandbox *sandbox, const void *bytes, size_t n_bytes, uint32_t width, uint32_t height)
{
    tt_error err = {""};
    tt_image image;
    const tt_status status = tt_sandbox_decode(sandbox, bytes, n_bytes, width, height, &image, &err);
    if (status != TT_ERROR_FORMAT)
        fail_msg("%u x %u, %zu bytes: status %d, expected a refusal", width, height, n_bytes, (int)status);
    assert_true(strlen(err.text) > 10);
    assert_null(image.pixels);
}

/* A PNG with colours in it, as bytes, from the library's own encoder. */
static void make_picture(uint32_t width, uint32_t height, uint32_t n_channels, tt_image *image, uint8_t **bytes,
                         size_t *n_bytes)
{
    const size_t n = (size_t)width * height * n_channels;
    *image = (tt_image){width, height, n_channels, malloc(n)};
    assert_non_null(image->pixels);
    for (size_t i = 0; i < n; i++)
        image->pixels[i] = (uint8_t)(i * 2654435761u >> 11);
    tt_context *context = tt_context_create();
    assert_int_equal(tt_image_encode_png(context, image, NULL, bytes, n_bytes), TT_OK);
    tt_context_destroy(context);
}

static void test_pictures(void **state)
{
    tt_sandbox *sandbox = *state;
    static const uint32_t sizes[][3] = {{1, 1, 3}, {17, 5, 4}, {64, 64, 3}, {33, 2, 1}, {600, 400, 4}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        tt_error err = {""};
        tt_image picture, found;
        uint8_t *bytes;
        size_t n_bytes;
        make_picture(sizes[i][0], sizes[i][1], sizes[i][2], &picture, &bytes, &n_bytes);
        expect_ok(tt_sandbox_decode(sandbox, bytes, n_bytes, picture.width, picture.height, &found, &err), &err);
        assert_int_equal(found.n_channels, picture.n_channels == 1 ? 3 : picture.n_channels);
        const size_t n = (size_t)picture.width * picture.height;
        if (picture.n_channels != 1)
            assert_memory_equal(found.pixels, picture.pixels, n * picture.n_channels);
        for (size_t at = 0; at < 3 * n && picture.n_channels == 1; at++)
            assert_int_equal(found.pixels[at], picture.pixels[at / 3]);
        expect_refused(sandbox, bytes, n_bytes, picture.width + 1, picture.height); /* it is not what it said */
        tt_image_free(&found);
        tt_image_free(&picture);
        free(bytes);
    }
}

/* Every way to cut a picture short, and every byte of its first part changed. */
static void test_damaged(void **state)
{
    tt_sandbox *sandbox = *state;
    tt_error err = {""};
    tt_image picture, found;
    uint8_t *bytes;
    size_t n_bytes;
    make_picture(40, 30, 3, &picture, &bytes, &n_bytes);
    for (size_t n = 0; n < n_bytes; n += 1 + n / 8)
        expect_refused(sandbox, bytes, n, 40, 30);
    for (size_t i = 0; i < 60; i++) {
        bytes[i] ^= 0x55;
        const tt_status status = tt_sandbox_decode(sandbox, bytes, n_bytes, 40, 30, &found, &err);
        assert_true(status == TT_OK || status == TT_ERROR_FORMAT);
        tt_image_free(&found);
        bytes[i] ^= 0x55;
    }
    expect_ok(tt_sandbox_decode(sandbox, bytes, n_bytes, 40, 30, &found, &err), &err);
    tt_image_free(&found);
    tt_image_free(&picture);
    free(bytes);
}

static void test_bombs_and_noise(void **state)
{
    tt_sandbox *sandbox = *state;
    tt_text png = {0}, jpeg = {0};
    small_png(2048, 2048, false, &png); /* the header's size, and nothing behind it */
    expect_refused(sandbox, png.bytes, png.n_bytes, 2048, 2048);
    small_png(65535, 65535, false, &png);
    expect_refused(sandbox, png.bytes, png.n_bytes, 65535, 65535);
    small_jpeg(2000, 2000, &jpeg);
    expect_refused(sandbox, jpeg.bytes, jpeg.n_bytes, 2000, 2000);
    tt_text_free(&png);
    tt_text_free(&jpeg);
    uint8_t *noise = malloc(8 << 20);
    assert_non_null(noise);
    for (size_t i = 0; i < 8 << 20; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    expect_refused(sandbox, noise, 8 << 20, 512, 512);
    memcpy(noise, "\x89PNG\r\n\x1a\n", 8);
    expect_refused(sandbox, noise, 8 << 20, 512, 512);
    memcpy(noise, "\xff\xd8\xff\xe0", 4);
    expect_refused(sandbox, noise, 8 << 20, 512, 512);
    free(noise);
    expect_refused(sandbox, "", 0, 512, 512);
}

/* What one picture left in the shared memory, the next one's decoder does not see. */
static void test_forgets(void **state)
{
    (void)state;
    tt_jail *jail = make_jail(&tight);
    memset(tt_jail_block(jail), 7, BLOCK_BYTES);
    tt_jail_forget(jail);
    const char *block = tt_jail_block(jail);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        assert_int_equal(block[i], 0);
    tt_jail_close(jail);
}

static void test_bad_limits(void **state)
{
    (void)state;
    tt_error err = {""};
    tt_sandbox *sandbox;
    tt_sandbox_limits limits = tt_sandbox_limits_default();
    limits.seconds = 0;
    assert_int_equal(tt_sandbox_open(&limits, &sandbox, &err), TT_ERROR_ARGUMENT);
    limits = tt_sandbox_limits_default();
    limits.max_bytes = UINT64_MAX;
    assert_int_equal(tt_sandbox_open(&limits, &sandbox, &err), TT_ERROR_ARGUMENT);
    assert_null(sandbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_limits_alone),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_helper_gone),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_bad_limits),
        cmocka_unit_test_setup_teardown(test_pictures, open_sandbox, close_sandbox),
        cmocka_unit_test_setup_teardown(test_damaged, open_sandbox, close_sandbox),
        cmocka_unit_test_setup_teardown(test_bombs_and_noise, open_sandbox, close_sandbox),
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
