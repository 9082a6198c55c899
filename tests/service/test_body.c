/* test_body.c - bodies are judged by their first bytes: types, sizes, bombs, damage. */
#include "service/body.h"

#include "tests/support/small-bodies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A copy of exactly n bytes, so that a sanitizer sees what is read behind them. Returns the code of the refusal. */
static uint32_t judge_bytes(const void *bytes, size_t n, const char *type, uint32_t scale, tt_body_info *info)
{
    const tt_body_limits limits = tt_body_limits_default();
    tt_error err = {""};
    uint32_t code = 999;
    uint8_t *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, bytes, n);
    const tt_status status = tt_body_check(copy, n, type, scale, &limits, info, &code, &err);
    assert_int_equal(status == TT_OK, code == 0);
    assert_int_equal(status == TT_OK, err.text[0] == '\0');
    free(copy);
    return code;
}

static uint32_t judge(tt_text *body, const char *type, uint32_t scale, tt_body_info *info)
{
    const uint32_t code = judge_bytes(body->bytes, body->n_bytes, type, scale, info);
    tt_text_free(body);
    return code;
}

static uint32_t judge_png(uint32_t width, uint32_t height, uint32_t scale)
{
    tt_text body = {0};
    tt_body_info info;
    small_png(width, height, false, &body);
    return judge(&body, "image/png", scale, &info);
}

static void test_good(void **state)
{
    (void)state;
    tt_text body = {0};
    tt_body_info info;
    small_png(33, 20, true, &body);
    assert_int_equal(judge(&body, "image/png", 4, &info), 0);
    assert_int_equal(info.kind, TT_BODY_PNG);
    assert_int_equal(info.width, 33);
    assert_int_equal(info.height, 20);
    small_jpeg(640, 480, &body);
    assert_int_equal(judge(&body, "Image/JPEG; q=1", 2, &info), 0);
    assert_int_equal(info.kind, TT_BODY_JPEG);
    assert_int_equal(info.width, 640);
    assert_int_equal(info.height, 480);
    small_latent(4, 32, 24, 8, "0123456789", &body);
    assert_int_equal(body.n_bytes, 52 + 4 * 32 * 24 * 2);
    assert_int_equal(judge(&body, "application/x-tintype-latent", 2, &info), 0);
    assert_int_equal(info.kind, TT_BODY_LATENT);
    assert_int_equal(info.width, 192);
    assert_int_equal(info.height, 256);
    assert_string_equal(info.model_hash, "0123456789");
}

static void test_types(void **state)
{
    (void)state;
    tt_text body = {0};
    tt_body_info info;
    static const char *const types[] = {NULL, "", "image/webp", "image/pngg", "image/pn", "text/html", "image/jpeg"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        small_png(8, 8, true, &body);
        assert_int_equal(judge(&body, types[i], 2, &info), 415);
    }
    assert_int_equal(judge_bytes("", 0, "image/png", 2, &info), 415);
    assert_int_equal(judge_bytes("GIF89a..............", 20, "image/png", 2, &info), 415);
    assert_int_equal(judge_bytes("\x89PNG\r\n\x1a", 7, "image/png", 2, &info), 415);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(judge_png(2048, 2048, 2), 0);
    assert_int_equal(judge_png(2048, 2048, 3), 422); /* the result */
    assert_int_equal(judge_png(1024, 1024, 4), 0);
    assert_int_equal(judge_png(1025, 1024, 4), 422);
    assert_int_equal(judge_png(2049, 1, 2), 422);
    assert_int_equal(judge_png(1, 2049, 2), 422);
    assert_int_equal(judge_png(0, 5, 2), 422);
    assert_int_equal(judge_png(5, 0, 2), 422);
    assert_int_equal(judge_png(65535, 65535, 2), 422); /* a bomb */
    assert_int_equal(judge_png(UINT32_MAX, UINT32_MAX, 2), 422);
    tt_text body = {0};
    tt_body_info info;
    small_jpeg(65535, 65535, &body);
    assert_int_equal(judge(&body, "image/jpeg", 2, &info), 422);
    small_jpeg(100, 0, &body);
    assert_int_equal(judge(&body, "image/jpeg", 2, &info), 422);
}

static void test_too_long(void **state)
{
    (void)state;
    tt_body_info info;
    const size_t n = ((size_t)8 << 20) + 1;
    uint8_t *noise = calloc(1, n);
    assert_non_null(noise);
    assert_int_equal(judge_bytes(noise, n, "image/png", 2, &info), 413);
    assert_int_equal(judge_bytes(noise, n - 1, "image/png", 2, &info), 415);
    free(noise);
}

/* Cut anywhere, a body is refused or its header was whole; nothing behind its end is read. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const types[] = {"image/png", "image/jpeg", "application/x-tintype-latent"};
    for (int kind = 0; kind < 3; kind++) {
        tt_text body = {0};
        tt_body_info info;
        if (kind == TT_BODY_PNG)
            small_png(16, 16, true, &body);
        else if (kind == TT_BODY_JPEG)
            small_jpeg(16, 16, &body);
        else
            small_latent(4, 2, 2, 8, "0123456789abcdef", &body);
        const size_t n_head = kind == TT_BODY_PNG ? 33 : kind == TT_BODY_JPEG ? 41 : body.n_bytes;
        for (size_t n = 0; n < body.n_bytes; n++) {
            const uint32_t code = judge_bytes(body.bytes, n, types[kind], 2, &info);
            if ((n < n_head) != (code != 0) || (code != 0 && code != 415 && code != 422))
                fail_msg("kind %d cut after %zu bytes: %u", kind, n, code);
        }
        tt_text_free(&body);
    }
}

static void test_latents(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } damages[] = {{4, 0},  {4, 5},   {7, 0xff},  {8, 0},    {11, 0xff}, {12, 3},   {15, 0xff},
                   {16, 0}, {16, 65}, {19, 0xff}, {20, 'g'}, {20, 0},    {36, 'x'}, {51, 1}};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        tt_text body = {0};
        tt_body_info info;
        small_latent(4, 2, 2, 8, "0123456789abcdef", &body);
        body.bytes[damages[i].at] = (char)damages[i].value;
        if (judge(&body, "application/x-tintype-latent", 2, &info) != 422)
            fail_msg("byte %zu as %u was taken", damages[i].at, damages[i].value);
    }
    tt_text body = {0};
    tt_body_info info;
    small_latent(1, 300, 2, 8, "0123456789abcdef", &body);
    assert_int_equal(judge(&body, "application/x-tintype-latent", 2, &info), 422);
}

/* Any byte of a header may be anything: an answer, never a crash. */
static void test_flipped(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        tt_text body = {0};
        tt_body_info info;
        if (kind == TT_BODY_PNG)
            small_png(16, 16, true, &body);
        else
            small_jpeg(16, 16, &body);
        for (size_t at = 0; at < body.n_bytes; at++)
            for (int bit = 0; bit < 8; bit++) {
                body.bytes[at] = (char)(body.bytes[at] ^ 1 << bit);
                const uint32_t code =
                    judge_bytes(body.bytes, body.n_bytes, tt_body_kind_type((tt_body_kind)kind), 2, &info);
                assert_true(code == 0 || code == 415 || code == 422);
                body.bytes[at] = (char)(body.bytes[at] ^ 1 << bit);
            }
        tt_text_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_types),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_latents), cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
