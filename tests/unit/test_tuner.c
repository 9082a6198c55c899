/* test_tuner.c - a graph is tuned: every question gets an answer, variants that are wrong or do not build are found,
 * and what the graph computes stays the same. */
#include "cl-kernels/kernel-source.h"
#include "device/program.h"
#include "graph/tuner.h"
#include "tests/support/graph-weights.h"
#include "tests/support/temp-folder.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS = 40, IN = 8, INNER = 12, N_OUT = TOKENS * INNER };

/* A device of its own, with attention kernels that are wrong for one variant and do not build for another. */
typedef struct fixture {
    temp_folder folder;
    tt_device *device;
    tt_kernels kernels;
    tt_weight_store *store;
    tt_graph *graph;
} fixture;

/* Puts text before the place where `mark` is found. */
static void insert(char *source, size_t room, const char *mark, const char *text)
{
    char *at = strstr(source, mark);
    size_t n = strlen(text);
    assert_non_null(at);
    assert_true(strlen(source) + n < room);
    memmove(at + n, at, strlen(at) + 1);
    memcpy(at, text, n);
}

static void write_attention(const temp_folder *folder)
{
    enum { ROOM = 32768 };
    size_t n;
    const char *original = tt_kernel_source_text("attention.cl", &n);
    char *source = calloc(ROOM, 1);
    assert_true(original != NULL && source != NULL && n < ROOM);
    memcpy(source, original, n);
    insert(source, ROOM, "    tile_store_outputs(", "#if TILE_KEYS == 128\n    sum[0] *= 2.0f;\n#endif\n");
    insert(source, ROOM, "#include \"common.clh\"", "#if TILE_KEYS == 32\n#error refused\n#endif\n");
    temp_folder_write_text(folder, "attention.cl", source);
    free(source);
}

/* y = linear(attention(q, k, v)) + ..., keys and values from a static input. */
static void build(fixture *f)
{
    tt_test_ok(tt_graph_create(&f->kernels, "tuned", f->store, &f->graph, tt_test_error()));
    tt_value context = tt_graph_input_tokens(f->graph, "context", true, 1, TOKENS, IN);
    tt_value k = tt_graph_linear(f->graph, context, &(tt_linear_op){.name = "lin8_12", .n_out = INNER});
    tt_value x = tt_graph_input_tokens(f->graph, "x", false, 1, TOKENS, IN);
    tt_value q = tt_graph_linear(f->graph, x, &(tt_linear_op){.name = "lin8_12", .n_out = INNER});
    tt_value y = tt_graph_attention(f->graph, q, k, k, 1, false);
    y = tt_graph_linear(f->graph, y, &(tt_linear_op){.name = "lin12_12", .n_out = INNER});
    tt_graph_output(f->graph, y, "y", true);
    tt_test_ok(tt_graph_compile(f->graph, tt_test_error()));
}

static void run(fixture *f, float *y)
{
    float x[TOKENS * IN];
    tt_test_random(x, TOKENS * IN, 1);
    tt_test_ok(tt_graph_write(f->graph, "context", x, TOKENS * IN, tt_test_error()));
    tt_test_random(x, TOKENS * IN, 2);
    tt_test_ok(tt_graph_write(f->graph, "x", x, TOKENS * IN, tt_test_error()));
    tt_test_ok(tt_graph_run(f->graph, tt_test_error()));
    tt_test_ok(tt_graph_read(f->graph, "y", y, N_OUT, tt_test_error()));
}

static void set_up(fixture *f)
{
    *f = (fixture){0};
    temp_folder_make(&f->folder);
    write_attention(&f->folder);
    tt_device_options options = {.kernel_dir = f->folder.path, .cache_dir = f->folder.path};
    tt_test_ok(tt_device_open(&options, &f->device, tt_test_error()));
    tt_device_set_sources(f->device, tt_kernel_source_text);
    f->kernels = (tt_kernels){.device = f->device, .family = TT_FAMILY_CPU_TILE};
    tt_test_ok(tt_tuning_create(&f->kernels.tuning, tt_test_error()));
    tt_test_ok(tt_weight_store_create(&f->kernels, graph_weights(), &f->store, tt_test_error()));
    build(f);
}

static void tear_down(fixture *f)
{
    tt_graph_destroy(f->graph);
    tt_weight_store_destroy(f->store);
    tt_tuning_destroy(f->kernels.tuning);
    tt_device_close(f->device);
    temp_folder_remove(&f->folder);
}

static const tt_tuned *choice_of(const tt_tuning *tuning, const char *op)
{
    const tt_tuned *t;
    for (size_t i = 0; (t = tt_tuning_at(tuning, i)) != NULL; i++)
        if (strcmp(t->op, op) == 0)
            return t;
    fail_msg("no choice of %s", op);
    return NULL;
}

static void test_tunes_and_stays_right(void **state)
{
    (void)state;
    fixture f;
    float before[N_OUT], after[N_OUT];
    set_up(&f);
    run(&f, before);
    tt_tuner tuner = {.seconds = 600};
    tt_test_ok(tt_graph_tune(f.graph, &tuner, tt_test_error()));
    const tt_tuner_counts *c = &tuner.counts;
    assert_int_equal(c->n_keys, 3); /* 8x12, 12x12, attention: the two layers of one shape share a key */
    assert_int_equal(c->n_measured, 3);
    assert_int_equal(c->n_left + c->n_known, 0);
    assert_int_equal(c->n_refused, 1);
    assert_int_equal(c->n_wrong, 1);
    assert_true(c->after_ms <= c->before_ms);
    const tt_tuned *t = choice_of(f.kernels.tuning, "attention");
    assert_true(strstr(t->name, "k32") == NULL && strstr(t->name, "k128") == NULL);
    assert_string_equal(tt_tuning_form(t->key), "float f32");
    const tt_disabled *d = tt_tuning_disabled_at(f.kernels.tuning, 0);
    assert_true(d != NULL && strstr(d->name, "k128") != NULL && strstr(d->reason, "wrong while tuning") != NULL);
    tt_graph_destroy(f.graph);
    build(&f);
    run(&f, after);
    tt_test_close(after, before, N_OUT, 1e-6, "tuned graph");
    tear_down(&f);
}

/* What is known is left alone unless it is asked for again; no time means no choice. */
static void test_known_and_out_of_time(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    tt_tuner none = {.seconds = 1e-9}, all = {.seconds = 600}, later = {.seconds = 600},
             again = {.seconds = 600, .again = true};
    tt_test_ok(tt_graph_tune(f.graph, &none, tt_test_error()));
    assert_int_equal(none.counts.n_left, 3);
    assert_null(tt_tuning_at(f.kernels.tuning, 0));
    tt_test_ok(tt_graph_tune(f.graph, &all, tt_test_error()));
    assert_int_equal(all.counts.n_measured, 3);
    tt_test_ok(tt_graph_tune(f.graph, &later, tt_test_error()));
    assert_int_equal(later.counts.n_measured, 0);
    assert_int_equal(later.counts.n_known, 3);
    tt_test_ok(tt_graph_tune(f.graph, &again, tt_test_error()));
    assert_int_equal(again.counts.n_measured, 3);
    assert_int_equal(again.counts.n_wrong, 0); /* disabled already: not even tried */
    tear_down(&f);
}

static bool stop_at_second(void *user, const tt_tuner_progress *progress)
{
    (void)user;
    return progress->done < 1;
}

static void test_cancel_keeps_choices(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    tt_tuner tuner = {.seconds = 600, .progress = stop_at_second};
    assert_int_equal(tt_graph_tune(f.graph, &tuner, tt_test_error()), TT_ERROR_CANCELLED);
    assert_non_null(tt_tuning_at(f.kernels.tuning, 0));
    assert_null(tt_tuning_at(f.kernels.tuning, 1));
    tear_down(&f);
}

/* A picture through a convolution and a linear layer, as a graph with a tuning of its own that holds one choice at
 * most. */
static void build_convolution(fixture *f, const tt_tuned *known)
{
    tt_graph_destroy(f->graph);
    tt_tuning_destroy(f->kernels.tuning);
    tt_test_ok(tt_tuning_create(&f->kernels.tuning, tt_test_error()));
    if (known != NULL)
        tt_test_ok(tt_tuning_put(f->kernels.tuning, known, tt_test_error()));
    tt_test_ok(tt_graph_create(&f->kernels, "tuned", f->store, &f->graph, tt_test_error()));
    tt_value x = tt_graph_input(f->graph, "x", false, 1, IN, 32, 32);
    tt_value y = tt_graph_conv3x3(f->graph, x, &(tt_conv_op){.name = "conv8_12", .n_out = INNER});
    y = tt_graph_linear(f->graph, y, &(tt_linear_op){.name = "lin12_12", .n_out = INNER});
    tt_graph_output(f->graph, y, "y", true);
    tt_test_ok(tt_graph_compile(f->graph, tt_test_error()));
}

/* The choice between the forms of a 3x3 convolution, as if `name` had won; false while there is none. */
static bool let_win(tt_tuning *tuning, const char *name, tt_tuned *form)
{
    const tt_tuned *t;
    for (size_t i = 0; (t = tt_tuning_at(tuning, i)) != NULL; i++)
        if (strcmp(t->name, "direct") == 0 || strncmp(t->name, "winograd", 8) == 0) {
            *form = *t;
            snprintf(form->name, sizeof form->name, "%s", name);
            tt_test_ok(tt_tuning_put(tuning, form, tt_test_error()));
            return true;
        }
    return false;
}

static bool direct_wins(void *user, const tt_tuner_progress *progress)
{
    tt_tuned form;
    (void)progress;
    (void)let_win(user, "direct", &form);
    return true;
}

/* The cuts of the direct form are asked for only while that form is the choice: when it wins, they are asked late. */
static void test_asks_the_winner(void **state)
{
    (void)state;
    fixture f;
    tt_tuned form;
    set_up(&f);
    build_convolution(&f, NULL);
    tt_tuner first = {.seconds = 600}, second = {.seconds = 600}, third = {.seconds = 600};
    tt_test_ok(tt_graph_tune(f.graph, &first, tt_test_error()));
    assert_true(let_win(f.kernels.tuning, "winograd2", &form));
    build_convolution(&f, &form);
    second.progress = direct_wins;
    second.user = f.kernels.tuning;
    tt_test_ok(tt_graph_tune(f.graph, &second, tt_test_error()));
    assert_int_equal(second.counts.n_known, 1);    /* the form */
    assert_int_equal(second.counts.n_measured, 2); /* the linear layer, then the cuts */
    assert_int_equal(second.counts.n_keys, 3);
    tt_test_ok(tt_graph_tune(f.graph, &third, tt_test_error()));
    assert_int_equal(third.counts.n_known, 3);
    assert_int_equal(third.counts.n_keys, 3);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tunes_and_stays_right),
        cmocka_unit_test(test_known_and_out_of_time),
        cmocka_unit_test(test_cancel_keeps_choices),
        cmocka_unit_test(test_asks_the_winner),
    };
    return cmocka_run_group_tests(tests, graph_weights_set_up, graph_weights_tear_down);
}
