/* test_tuning.c - the answer to a launcher's question: measured, seeded, disabled; and tunings as text. */
#include "cl-kernels/tuning-file.h"
#include "cl-kernels/tuning-seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"p4l32", "p4l64", "p8l64"};
static const char key[] = "320x320 n4096 q4_k f16";

static tt_tuning *new_tuning(void)
{
    tt_tuning *tuning;
    assert_int_equal(tt_tuning_create(&tuning, NULL), TT_OK);
    return tuning;
}

static size_t ask(tt_tuning *tuning, const char *op, const char *about)
{
    const tt_kernels kernels = {.tuning = tuning};
    return tt_tuning_choose(&kernels, op, about, names, 3);
}

static void put(tt_tuning *tuning, const char *op, const char *about, const char *name)
{
    tt_tuned tuned = {.ms = 1.25, .default_ms = 1.5};
    (void)snprintf(tuned.op, sizeof tuned.op, "%s", op);
    (void)snprintf(tuned.key, sizeof tuned.key, "%s", about);
    (void)snprintf(tuned.name, sizeof tuned.name, "%s", name);
    assert_int_equal(tt_tuning_put(tuning, &tuned, NULL), TT_OK);
}

static void disable(tt_tuning *tuning, const char *op, const char *name, const char *form)
{
    tt_disabled disabled = {.reason = "because"};
    (void)snprintf(disabled.op, sizeof disabled.op, "%s", op);
    (void)snprintf(disabled.name, sizeof disabled.name, "%s", name);
    (void)snprintf(disabled.form, sizeof disabled.form, "%s", form);
    assert_int_equal(tt_tuning_disable(tuning, &disabled, NULL), TT_OK);
}

static void test_first_name_without_measurements(void **state)
{
    (void)state;
    tt_tuning *tuning = new_tuning();
    assert_int_equal(ask(NULL, "linear", key), 0);
    assert_int_equal(ask(tuning, "linear", key), 0);
    tt_tuning_destroy(tuning);
}

static void test_measured_name(void **state)
{
    (void)state;
    tt_tuning *tuning = new_tuning();
    put(tuning, "linear", key, "p8l64");
    assert_int_equal(ask(tuning, "linear", key), 2);
    assert_int_equal(ask(tuning, "conv3x3", key), 0);
    assert_int_equal(ask(tuning, "linear", "320x320 n4096 q4_k f32"), 0);
    put(tuning, "linear", key, "p4l64"); /* replaces */
    assert_int_equal(ask(tuning, "linear", key), 1);
    assert_null(tt_tuning_at(tuning, 1));
    put(tuning, "linear", key, "of another version");
    assert_int_equal(ask(tuning, "linear", key), 0);
    tt_tuning_destroy(tuning);
}

static void test_disabled_names(void **state)
{
    (void)state;
    tt_tuning *tuning = new_tuning();
    assert_string_equal(tt_tuning_form(key), "q4_k f16");
    assert_string_equal(tt_tuning_form("f16"), "f16");
    disable(tuning, "linear", "p4l32", "q4_k f16");
    assert_int_equal(ask(tuning, "linear", key), 1); /* the next one takes over */
    assert_int_equal(ask(tuning, "linear", "320x320 n4096 q8_0 f16"), 0);
    put(tuning, "linear", key, "p8l64");
    assert_int_equal(ask(tuning, "linear", key), 2);
    disable(tuning, "linear", "p8l64", ""); /* for all forms; a measured name too */
    assert_int_equal(ask(tuning, "linear", key), 1);
    disable(tuning, "linear", "p4l64", "");
    assert_int_equal(ask(tuning, "linear", key), 2); /* nothing is left: what would be taken otherwise */
    assert_true(tt_tuning_enable(tuning, "linear", "p4l32", "q4_k f16"));
    assert_false(tt_tuning_enable(tuning, "linear", "p4l32", "q4_k f16"));
    assert_int_equal(ask(tuning, "linear", key), 0);
    assert_false(tt_tuning_is_disabled(NULL, "linear", "p8l64", ""));
    assert_true(tt_tuning_is_disabled(tuning, "linear", "p8l64", NULL));
    tt_tuning_destroy(tuning);
}

static void test_seeds_by_level(void **state)
{
    (void)state;
    static const char *const chunks[] = {"c20l32", "c10l64", "c20l64", "c10l16"};
    const char *a = "attention";
    assert_string_equal(chunks[tt_tuning_seed("QUALCOMM Adreno(TM) OpenCL 2.0 Adreno(TM) 618", a, key, chunks, 4)],
                        "c10l64"); /* the chip */
    assert_string_equal(chunks[tt_tuning_seed("QUALCOMM Adreno(TM) OpenCL 3.0 Adreno(TM) 740", a, key, chunks, 4)],
                        "c20l64"); /* its family */
    assert_string_equal(chunks[tt_tuning_seed("QUALCOMM Adreno(TM) OpenCL 3.0 Adreno(TM) X2", a, key, chunks, 4)],
                        "c20l64"); /* its vendor */
    assert_int_equal(tt_tuning_seed("Mali-G57 r0p1 OpenCL 3.0", a, key, chunks, 4), 3);
    assert_int_equal(tt_tuning_seed("llvmpipe", a, key, chunks, 4), 0);
    assert_int_equal(tt_tuning_seed("QUALCOMM Adreno(TM) 740", "no such op", key, chunks, 4), 0);
    /* A name that the launcher does not know counts for nothing. */
    assert_int_equal(tt_tuning_seed("Adreno(TM) 740", a, key, chunks, 1), 0);
    tt_tuning *tuning = new_tuning();
    tt_tuning_set_device(tuning, "QUALCOMM Adreno(TM) OpenCL 3.0 Adreno(TM) 650");
    assert_int_equal(ask(tuning, "linear", key), 1);
    put(tuning, "linear", key, "p4l32"); /* what was measured comes first */
    assert_int_equal(ask(tuning, "linear", key), 0);
    tt_tuning_destroy(tuning);
}

static size_t take_last(void *user, const char *op, const char *about, const char *const *all, size_t n)
{
    assert_string_equal(op, "linear");
    assert_string_equal(about, key);
    assert_ptr_equal(all, names);
    *(int *)user += 1;
    return *(int *)user == 1 ? n - 1 : SIZE_MAX;
}

static void test_watch_and_markers(void **state)
{
    (void)state;
    tt_tuning *tuning = new_tuning();
    char marker[TT_TUNING_MARKER];
    int asked = 0;
    assert_false(tt_tuning_marker(NULL, marker));
    assert_false(tt_tuning_marker(tuning, marker));
    tt_tuning_watch(tuning, take_last, &asked);
    assert_int_equal(ask(tuning, "linear", key), 2);
    assert_true(tt_tuning_marker(tuning, marker));
    assert_string_equal(marker, "linear\np8l64\nq4_k f16");
    assert_int_equal(ask(tuning, "linear", key), 0);
    tt_tuning_watch(tuning, NULL, NULL);
    tt_tuning_end_op(tuning);
    assert_false(tt_tuning_marker(tuning, marker));
    assert_int_equal(tt_tuning_disable_marked(tuning, "linear\np4l32\nq4_k f16", "it crashed", NULL), TT_OK);
    assert_int_equal(ask(tuning, "linear", key), 1);
    const char *const nonsense[] = {"", "\n", "linear", "linear\n", "linear\n\nq4_k f16", "a\nb\nc\nd"};
    char long_line[300];
    memset(long_line, 'x', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense - 1; i++)
        assert_int_equal(tt_tuning_disable_marked(tuning, nonsense[i], "x", NULL), TT_OK);
    assert_int_equal(tt_tuning_disable_marked(tuning, long_line, "x", NULL), TT_OK);
    assert_non_null(tt_tuning_disabled_at(tuning, 0));
    assert_null(tt_tuning_disabled_at(tuning, 1));
    tt_tuning_destroy(tuning);
}

/* ---- as text */

static const tt_tuning_origin origin = {"0.1.0 12345678", "A \"device\"", "V", "P", "1.2", "OpenCL 3.0"};

static char *sample_text(void)
{
    char *text = NULL;
    tt_tuning *tuning = new_tuning();
    put(tuning, "linear", key, "p4l64");
    put(tuning, "attention", "d40 h8 b2 q4096 k77 float f16", "c10l16");
    disable(tuning, "family", "gpu-plain", "pack gpu-plain f16");
    assert_int_equal(tt_tuning_format(tuning, &origin, &text, NULL), TT_OK);
    tt_tuning_destroy(tuning);
    return text;
}

static void test_round_trip(void **state)
{
    (void)state;
    char *text = sample_text();
    tt_tuning *tuning;
    tt_tuning_origin read;
    tt_error err = {""};
    if (tt_tuning_parse(text, strlen(text), "table", &tuning, &read, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(&read, &origin, sizeof read);
    assert_int_equal(ask(tuning, "linear", key), 1);
    const tt_tuned *t = tt_tuning_find(tuning, "attention", "d40 h8 b2 q4096 k77 float f16");
    assert_non_null(t);
    assert_string_equal(t->name, "c10l16");
    assert_true(t->ms == 1.25 && t->default_ms == 1.5);
    assert_true(tt_tuning_is_disabled(tuning, "family", "gpu-plain", NULL));
    assert_string_equal(tt_tuning_disabled_at(tuning, 0)->reason, "because");
    tt_tuning_destroy(tuning);
    free(text);
}

static void expect_refused(const char *text, size_t n_bytes, const char *mention)
{
    tt_tuning *tuning = (tt_tuning *)&origin;
    tt_tuning_origin read;
    tt_error err = {""};
    assert_int_equal(tt_tuning_parse(text, n_bytes, "table", &tuning, &read, &err), TT_ERROR_FORMAT);
    assert_null(tuning);
    if (strncmp(err.text, "table: ", 7) != 0 || strstr(err.text, mention) == NULL)
        fail_msg("expected \"table: ... %s\", found: %s", mention, err.text);
}

/* The sample with one piece replaced. */
static void expect_replaced_refused(const char *piece, const char *by, const char *mention)
{
    char *text = sample_text(), *changed = calloc(strlen(text) + strlen(by) + 1, 1), *at = strstr(text, piece);
    assert_non_null(at);
    assert_non_null(changed);
    (void)sprintf(changed, "%.*s%s%s", (int)(at - text), text, by, at + strlen(piece));
    expect_refused(changed, strlen(changed), mention);
    free(changed);
    free(text);
}

static void test_hostile_text(void **state)
{
    (void)state;
    expect_refused("", 0, "");
    expect_refused("[]", 2, "");
    expect_refused("{}", 2, "\"format\" is missing");
    expect_replaced_refused("tintype tuning 1", "tintype tuning 9", "the format is");
    expect_replaced_refused("\"linear\"", "17", "choices[0]");
    expect_replaced_refused("\"linear\"", "\"\"", "\"op\" is missing");
    expect_replaced_refused("\"linear\"", "\"0123456789012345678901234567890123\"", "\"op\" has more than 31 bytes");
    expect_replaced_refused("\"linear\"", "\"a\\nb\"", "control character");
    expect_replaced_refused("1.25", "-1", "\"ms\"");
    expect_replaced_refused("1.25", "1e300", "\"ms\"");
    expect_replaced_refused("1.25", "\"soon\"", "\"ms\"");
    expect_replaced_refused("\"choices\": [", "\"choices\": {\"x\": [", "");
    expect_replaced_refused("\"choices\": [", "\"choices\": [7,", "choices[0]: expected an object");
    expect_replaced_refused("\"disabled\"", "\"enabled\"", "\"disabled\" is no list");
    expect_replaced_refused("\"because\"", "null", "disabled[0]: \"reason\" is missing");
}

/* Cut anywhere and changed anywhere: a sentence or a tuning, nothing else. */
static void test_damaged_text(void **state)
{
    (void)state;
    char *text = sample_text();
    size_t n = strlen(text), n_refused = 0;
    for (size_t i = 0; i < 2 * n; i++) {
        tt_tuning *tuning;
        tt_tuning_origin read;
        tt_error err = {""};
        char *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, text, n);
        copy[i % n] = (char)(copy[i % n] ^ (1 << (i % 7)));
        tt_status status = tt_tuning_parse(copy, i < n ? i : n, "table", &tuning, &read, &err);
        assert_true(status == TT_OK ? tuning != NULL : tuning == NULL && err.text[0] != '\0');
        n_refused += status != TT_OK;
        tt_tuning_destroy(tuning);
        free(copy);
    }
    assert_true(n_refused >= n - 1); /* every cut but one before the last newline */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_name_without_measurements),
        cmocka_unit_test(test_measured_name),
        cmocka_unit_test(test_disabled_names),
        cmocka_unit_test(test_seeds_by_level),
        cmocka_unit_test(test_watch_and_markers),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_damaged_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
