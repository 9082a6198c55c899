/* tuner.c - the measuring itself: every key of a graph, the most expensive first, every name of a key. */
#include "base/clock.h"
#include "base/numbers.h"
#include "device/crash-marker.h"
#include "graph/tuner-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Timed runs of a variant, and how much slower than the best the first of them may be for the others to be worth it. */
enum { RUNS = 3 };
static const double hopeless = 1.25;

/* How often a graph is asked: a form, its cuts, and once to see that nothing new comes. */
enum { MAX_ROUNDS = 3 };

/* A choice that gains less than this is not worth another program. */
static const double least_gain = 0.02;

/* The key in work. */
typedef struct tt_contest {
    tt_graph *graph;
    tt_tuner *tuner;
    const tt_question *question;
    float *want; /* the first name's result */
    size_t n;
    uint64_t private_bytes; /* of the first name's kernels */
    double default_ms, best_ms;
    size_t best;
} tt_contest;

/* True when what a variant gives is what the first name gave. */
static tt_status is_right(tt_contest *c, bool *right, double *error, tt_error *err)
{
    float *got = NULL;
    size_t n = 0;
    tt_status status = tt_trial_read(c->graph, c->question, &got, &n, err);
    if (status == TT_OK)
        *error = tt_numbers_difference(got, c->want, n);
    *right = status == TT_OK && *error <= tt_tuning_tolerance(c->question->key);
    free(got);
    return status;
}

static tt_status disable_wrong(tt_contest *c, size_t index, double error, tt_error *err)
{
    const tt_question *q = c->question;
    tt_disabled disabled = {.op = ""};
    snprintf(disabled.op, sizeof disabled.op, "%s", q->op);
    snprintf(disabled.name, sizeof disabled.name, "%s", q->names[index]);
    snprintf(disabled.form, sizeof disabled.form, "%s", tt_tuning_form(q->key));
    snprintf(disabled.reason, sizeof disabled.reason, "wrong while tuning %s: error %.2g", q->key, error);
    tt_log_write(tt_device_log(c->graph->kernels.device), TT_LOG_WARNING, "%s %s (%s) is not used: %s", q->op,
                 disabled.name, disabled.form, disabled.reason);
    c->tuner->counts.n_wrong++;
    return tt_tuning_disable(c->graph->kernels.tuning, &disabled, err);
}

/* The least of some runs; fewer when the first is far behind the best so far. */
static tt_status take_times(const tt_contest *c, const tt_trial *trial, double *ms, tt_error *err)
{
    tt_status status = tt_trial_run(trial, ms, err);
    for (int i = 1; i < RUNS && status == TT_OK && (c->best_ms <= 0 || *ms < hopeless * c->best_ms); i++) {
        double again = 0;
        status = tt_trial_run(trial, &again, err);
        *ms = again < *ms ? again : *ms;
    }
    return status;
}

/* Runs a recorded variant: once for its result, then for its time. */
static tt_status run_variant(tt_contest *c, size_t index, const tt_trial *trial, tt_error *err)
{
    bool right = true;
    double error = 0, ms = 0;
    tt_status status = tt_trial_fill(c->graph, c->question, err);
    if (status == TT_OK)
        status = tt_trial_run(trial, &ms, err);
    if (status == TT_OK && index == c->question->first)
        status = tt_trial_read(c->graph, c->question, &c->want, &c->n, err);
    else if (status == TT_OK)
        status = is_right(c, &right, &error, err);
    if (status == TT_OK && !right)
        return disable_wrong(c, index, error, err);
    if (status == TT_OK)
        status = take_times(c, trial, &ms, err);
    if (status != TT_OK)
        return status;
    if (index == c->question->first)
        c->default_ms = c->best_ms = ms;
    else if (ms < c->best_ms * (1 - least_gain)) {
        c->best_ms = ms;
        c->best = index;
    }
    return TT_OK;
}

/* Records and runs one name, under a crash marker. Driver failures only mean that this variant is not taken. */
static tt_status try_variant(tt_contest *c, size_t index, tt_error *err)
{
    char text[TT_TUNING_MARKER];
    tt_crash_marker marker;
    tt_trial trial;
    tt_device *device = c->graph->kernels.device;
    const tt_question *q = c->question;
    tt_tuning_make_marker(q->op, q->names[index], tt_tuning_form(q->key), text);
    tt_crash_marker_begin(device, text, &marker);
    tt_status status = tt_trial_begin(c->graph, q, index, &trial, err);
    bool is_first = index == q->first;
    bool spills =
        status == TT_OK && !is_first && tt_device_caps(device)->info.is_gpu && trial.private_bytes > c->private_bytes;
    if (status == TT_OK && is_first)
        c->private_bytes = trial.private_bytes;
    if (status == TT_OK && !spills)
        status = run_variant(c, index, &trial, err);
    tt_trial_end(c->graph, &trial);
    tt_crash_marker_release(&marker);
    bool refused = !is_first && (spills || status == TT_ERROR_DEVICE);
    if (!refused)
        return status;
    tt_log_write(tt_device_log(device), TT_LOG_INFO, "%s %s of %s is left out: %s", q->op, q->names[index], q->key,
                 spills ? "it spills registers" : err->text);
    c->tuner->counts.n_refused++;
    return TT_OK;
}

static bool is_disabled(const tt_graph *graph, const tt_question *question, size_t index)
{
    return tt_tuning_is_disabled(graph->kernels.tuning, question->op, question->names[index],
                                 tt_tuning_form(question->key));
}

/* The name that the others are measured against; a key whose names are all disabled keeps its first. */
static void choose_first(const tt_graph *graph, tt_question *question)
{
    question->first = 0;
    while (question->first < question->n_names && is_disabled(graph, question, question->first))
        question->first++;
    if (question->first == question->n_names)
        question->first = 0;
}

bool tt_tuner_is_over(const tt_tuner *tuner)
{
    return tuner->begun > 0 && tt_clock_seconds() - tuner->begun > tuner->seconds;
}

/* Takes the least time of a name that has run before. */
static tt_status run_again(const tt_contest *c, size_t index, double *least, tt_error *err)
{
    tt_trial trial;
    double ms = 0;
    tt_status status = tt_trial_begin(c->graph, c->question, index, &trial, err);
    if (status == TT_OK)
        status = tt_trial_run(&trial, &ms, err);
    tt_trial_end(c->graph, &trial);
    if (status == TT_OK && (*least <= 0 || ms < *least))
        *least = ms;
    return status;
}

/* The winner against the first name once more, in turns: what runs later on a busy or a hot device is not slower by
 * itself. */
static tt_status confirm(tt_contest *c, tt_error *err)
{
    double first = 0, best = 0;
    tt_status status = TT_OK;
    for (int i = 0; i < RUNS && status == TT_OK && c->best != c->question->first; i++) {
        status = run_again(c, c->question->first, &first, err);
        if (status == TT_OK)
            status = run_again(c, c->best, &best, err);
    }
    if (status != TT_OK || c->best == c->question->first)
        return status;
    c->default_ms = first;
    c->best_ms = best;
    if (best >= first * (1 - least_gain)) {
        c->best = c->question->first;
        c->best_ms = first;
    }
    return TT_OK;
}

static tt_status keep(const tt_contest *c, tt_error *err)
{
    const tt_question *q = c->question;
    tt_tuned tuned = {.ms = c->best_ms, .default_ms = c->default_ms};
    snprintf(tuned.op, sizeof tuned.op, "%s", q->op);
    snprintf(tuned.key, sizeof tuned.key, "%s", q->key);
    snprintf(tuned.name, sizeof tuned.name, "%s", q->names[c->best]);
    c->tuner->counts.n_measured++;
    c->tuner->counts.before_ms += c->default_ms * (double)q->n_step;
    c->tuner->counts.after_ms += c->best_ms * (double)q->n_step;
    return tt_tuning_put(c->graph->kernels.tuning, &tuned, err);
}

/* All names of a key; a choice is kept only when every name had its turn. */
static tt_status hold_contest(tt_graph *graph, tt_tuner *tuner, const tt_question *question, tt_error *err)
{
    tt_contest c = {.graph = graph, .tuner = tuner, .question = question, .best = question->first};
    tt_status status = try_variant(&c, question->first, err);
    bool over = false;
    for (size_t i = question->first + 1; i < question->n_names && status == TT_OK && !over; i++) {
        over = tt_tuner_is_over(tuner);
        if (!over && !is_disabled(graph, question, i))
            status = try_variant(&c, i, err);
    }
    if (status == TT_OK && !over)
        status = confirm(&c, err);
    if (status == TT_OK && !over)
        status = keep(&c, err);
    tuner->counts.n_left += over;
    free(c.want);
    return status;
}

static int by_cost(const void *a, const void *b)
{
    const tt_question *x = a, *y = b;
    double p = x->cost * (double)(x->n_step + 1), q = y->cost * (double)(y->n_step + 1);
    return p != q ? (p < q) - (p > q) : strcmp(x->key, y->key);
}

static bool tell(const tt_graph *graph, const tt_tuner *tuner, const tt_question *question, size_t done, size_t total)
{
    tt_tuner_progress progress = {.graph = graph->name, .done = done, .total = total};
    if (question) {
        progress.op = question->op;
        progress.key = question->key;
    }
    return !tuner->progress || tuner->progress(tuner->user, &progress);
}

/* Puts questions that have an answer behind the others and returns how many are open. earlier: asked in this run
 * already, so neither open nor counted again. */
static size_t set_aside(const tt_graph *graph, tt_tuner *tuner, const tt_questions *earlier, tt_questions *questions)
{
    size_t n = 0;
    for (size_t i = 0; i < questions->n; i++) {
        tt_question q = questions->items[i];
        if (tt_questions_find(earlier, q.op, q.key))
            continue;
        tuner->counts.n_keys++;
        if (!tuner->again && tt_tuning_find(graph->kernels.tuning, q.op, q.key)) {
            tuner->counts.n_known++;
            continue;
        }
        questions->items[i] = questions->items[n];
        questions->items[n++] = q;
    }
    return n;
}

/* Measures the first n questions. */
static tt_status answer_all(tt_graph *graph, tt_tuner *tuner, tt_question *questions, size_t n, tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < n; i++)
        choose_first(graph, &questions[i]);
    if (n > 0)
        qsort(questions, n, sizeof *questions, by_cost);
    for (size_t i = 0; i < n && status == TT_OK; i++) {
        if (tt_tuner_is_over(tuner))
            tuner->counts.n_left++;
        else if (!tell(graph, tuner, &questions[i], i, n))
            status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled while tuning");
        else
            status = hold_contest(graph, tuner, &questions[i], err);
    }
    if (status == TT_OK && !tell(graph, tuner, NULL, n, n))
        status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled while tuning");
    return status;
}

/* Asks and measures. A form that has just won may ask about its cuts, which no one asked while another form was the
 * choice: so the graph is asked until it has nothing new. asked: what was asked before; takes what is asked now. */
static tt_status hold_round(tt_graph *graph, tt_tuner *tuner, tt_questions *asked, bool *is_new, tt_error *err)
{
    tt_questions now = {0};
    tt_status status = tt_questions_ask(graph, &now, err);
    size_t n = status == TT_OK ? set_aside(graph, tuner, asked, &now) : 0;
    *is_new = n > 0;
    if (status == TT_OK)
        status = answer_all(graph, tuner, now.items, n, err);
    free(asked->items);
    *asked = now;
    return status;
}

tt_status tt_graph_tune(tt_graph *graph, tt_tuner *tuner, tt_error *err)
{
    tt_questions asked = {0};
    bool is_new = true;
    tt_status status = TT_OK;
    if (!graph->compiled || !graph->kernels.tuning)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s: only a compiled graph with a tuning can be tuned", graph->name);
    if (tuner->begun <= 0)
        tuner->begun = tt_clock_seconds();
    for (int round = 0; round < MAX_ROUNDS && is_new && status == TT_OK; round++) {
        if (round > 0 && tt_tuner_is_over(tuner))
            break;
        status = hold_round(graph, tuner, &asked, &is_new, err);
    }
    graph->static_is_stale = true;
    free(asked.items);
    return status;
}
