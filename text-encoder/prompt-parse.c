/* prompt-parse.c - brackets, weights, escapes and BREAK.
 *
 * The text is first cut into marks: pieces of text, opening and closing brackets, BREAKs. A bracket's factor is only
 * known where it closes, so it is noted at the opening mark; a second walk then multiplies. Round and square brackets
 * nest each among themselves: "(a [b) c]" gives b both factors. */
#include "text-encoder/prompt-parse.h"

#include "text-encoder/tokenizer-characters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double default_factor = 1.1;
static const double max_weight = 10000.0;

typedef enum mark_kind { MARK_TEXT, MARK_OPEN, MARK_CLOSE, MARK_BREAK } mark_kind;
typedef enum bracket { ROUND, SQUARE, N_BRACKETS } bracket;

typedef struct mark {
    mark_kind kind;
    bracket bracket;   /* of OPEN and CLOSE */
    const char *begin; /* of TEXT */
    size_t n_bytes;
    double factor; /* of OPEN */
    size_t outer;  /* of OPEN: the mark that opened the bracket around this one, or NO_MARK */
} mark;

#define NO_MARK SIZE_MAX

typedef struct scanner {
    const char *text, *at, *end;
    mark *marks; /* room for one mark a byte and one more */
    size_t n_marks;
    size_t innermost[N_BRACKETS]; /* open brackets, linked by mark.outer */
} scanner;

static void add_text(scanner *scan, const char *begin, size_t n_bytes)
{
    if (n_bytes > 0)
        scan->marks[scan->n_marks++] = (mark){.kind = MARK_TEXT, .begin = begin, .n_bytes = n_bytes};
}

static void open_bracket(scanner *scan, bracket kind)
{
    const double factor = kind == ROUND ? default_factor : 1 / default_factor; /* also what an unclosed one has */
    scan->marks[scan->n_marks] =
        (mark){.kind = MARK_OPEN, .bracket = kind, .factor = factor, .outer = scan->innermost[kind]};
    scan->innermost[kind] = scan->n_marks++;
}

static void close_bracket(scanner *scan, bracket kind, double factor)
{
    mark *opening = &scan->marks[scan->innermost[kind]];
    opening->factor = factor;
    scan->innermost[kind] = opening->outer;
    scan->marks[scan->n_marks++] = (mark){.kind = MARK_CLOSE, .bracket = kind};
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* Digits with at most one point; NULL when there is no number. Not strtod: it follows the locale. */
static const char *read_number(const char *at, const char *end, double *value)
{
    double digits = 0, scale = 1;
    bool has_point = false, has_digit = false, negative = false;
    if (at < end && (*at == '+' || *at == '-'))
        negative = *at++ == '-';
    for (; at < end && (*at == '.' || (*at >= '0' && *at <= '9')); at++) {
        if (*at == '.') {
            if (has_point)
                return NULL;
            has_point = true;
            continue;
        }
        has_digit = true;
        if (has_point && scale >= 1e15)
            continue; /* digits that a double cannot hold */
        digits = digits * 10 + (*at - '0');
        if (has_point)
            scale *= 10;
    }
    *value = (negative ? -digits : digits) / scale;
    return has_digit ? at : NULL;
}

/* ": 1.3 )" at the scanner; returns its end, or NULL. */
static const char *match_weight(const scanner *scan, double *factor)
{
    const char *at = read_number(skip_blanks(scan->at + 1, scan->end), scan->end, factor);
    if (at == NULL)
        return NULL;
    at = skip_blanks(at, scan->end);
    return at < scan->end && *at == ')' ? at + 1 : NULL;
}

static void scan_colon(scanner *scan)
{
    double factor = 0;
    const char *end = match_weight(scan, &factor);
    if (end != NULL && scan->innermost[ROUND] != NO_MARK) {
        close_bracket(scan, ROUND, factor);
        scan->at = end;
        return;
    }
    if (end == NULL)
        end = scan->at + 1;
    add_text(scan, scan->at, (size_t)(end - scan->at));
    scan->at = end;
}

static bool is_special(char c)
{
    return c == '\\' || c == '(' || c == ')' || c == '[' || c == ']' || c == ':';
}

/* "\(" and the like give the bracket; any other backslash is dropped. */
static void scan_backslash(scanner *scan)
{
    scan->at++;
    if (scan->at < scan->end && is_special(*scan->at) && *scan->at != ':')
        add_text(scan, scan->at++, 1);
}

static void scan_close(scanner *scan, bracket kind)
{
    if (scan->innermost[kind] != NO_MARK)
        close_bracket(scan, kind, kind == ROUND ? default_factor : 1 / default_factor);
    else
        add_text(scan, scan->at, 1);
    scan->at++;
}

/* True when a letter, digit or underscore ends before `at` or begins there (forward). */
static bool touches_word(const char *begin, const char *at, const char *end, bool forward)
{
    const char *first = at, *last = forward ? end : at;
    if (!forward)
        do {
            if (first == begin)
                return false;
            first--;
        } while (((uint8_t)*first & 0xc0) == 0x80);
    if (first >= last)
        return false;
    tt_char_kind kind = TT_CHAR_OTHER;
    return *first == '_' || (tt_first_char_kind(first, (size_t)(last - first), &kind) &&
                             (kind == TT_CHAR_LETTER || kind == TT_CHAR_NUMBER));
}

/* The first BREAK that stands as a word of its own in [begin, end), or NULL. */
static const char *find_break(const char *begin, const char *end)
{
    static const char word[] = "BREAK";
    const size_t n = sizeof word - 1;
    for (const char *at = begin; (size_t)(end - at) >= n; at++) {
        if (memcmp(at, word, n) == 0 && !touches_word(begin, at, end, false) && !touches_word(begin, at + n, end, true))
            return at;
    }
    return NULL;
}

/* Text up to the next special character, cut at BREAKs. */
static void scan_text(scanner *scan)
{
    const char *begin = scan->at, *end = begin;
    while (end < scan->end && !is_special(*end))
        end++;
    for (const char *found = find_break(begin, end); found != NULL; found = find_break(begin, end)) {
        add_text(scan, begin, (size_t)(found - begin));
        scan->marks[scan->n_marks++] = (mark){.kind = MARK_BREAK};
        begin = found + strlen("BREAK");
    }
    add_text(scan, begin, (size_t)(end - begin));
    scan->at = end;
}

static void scan_marks(scanner *scan)
{
    while (scan->at < scan->end) {
        switch (*scan->at) {
        case '\\':
            scan_backslash(scan);
            break;
        case '(':
        case '[':
            open_bracket(scan, *scan->at++ == '(' ? ROUND : SQUARE);
            break;
        case ')':
        case ']':
            scan_close(scan, *scan->at == ')' ? ROUND : SQUARE);
            break;
        case ':':
            scan_colon(scan);
            break;
        default:
            scan_text(scan);
        }
    }
}

/* The product of all open brackets of one kind, kept per level so that closing needs no division. */
typedef struct level_stack {
    double *products;
    size_t n;
} level_stack;

static double top(const level_stack *stack)
{
    return stack->n > 0 ? stack->products[stack->n - 1] : 1.0;
}

static tt_status add_run(tt_prompt_runs *runs, const mark *piece, double weight, tt_error *err)
{
    if (!(fabs(weight) <= max_weight))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the prompt gives \"%.*s\" a weight beyond %g: use smaller numbers or fewer brackets",
                       piece->n_bytes < 40 ? (int)piece->n_bytes : 40, piece->begin, max_weight);
    tt_prompt_run *last = runs->n_runs > 0 ? &runs->runs[runs->n_runs - 1] : NULL;
    if (last == NULL || last->is_break || last->weight < weight || last->weight > weight) {
        last = &runs->runs[runs->n_runs++];
        *last = (tt_prompt_run){.begin = runs->text.n_bytes, .weight = weight};
    }
    tt_text_add(&runs->text, piece->begin, piece->n_bytes);
    last->n_bytes += piece->n_bytes;
    return TT_OK;
}

/* Second walk: multiplies the factors and joins pieces of equal weight. levels[kind].products have room for all marks.
 */
static tt_status weigh_marks(const mark *marks, size_t n_marks, level_stack levels[N_BRACKETS], tt_prompt_runs *runs,
                             tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < n_marks && status == TT_OK; i++) {
        level_stack *level = &levels[marks[i].bracket];
        switch (marks[i].kind) {
        case MARK_OPEN: {
            const double product = top(level) * marks[i].factor;
            level->products[level->n++] = product;
            break;
        }
        case MARK_CLOSE:
            level->n--;
            break;
        case MARK_BREAK:
            runs->runs[runs->n_runs++] = (tt_prompt_run){.is_break = true, .weight = 1};
            break;
        default:
            status = add_run(runs, &marks[i], top(&levels[ROUND]) * top(&levels[SQUARE]), err);
        }
    }
    return status != TT_OK ? status : tt_text_status(&runs->text, err);
}

static tt_status refuse_lora(const char *text, tt_error *err)
{
    const char *begin = strstr(text, "<lora:");
    const char *end = begin == NULL ? NULL : strchr(begin, '>');
    if (end == NULL)
        return TT_OK;
    const int n = end - begin < 64 ? (int)(end - begin) + 1 : 64;
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "the prompt asks for a LoRA, \"%.*s\", which this version does not apply: remove it from the prompt",
                   n, begin);
}

tt_status tt_prompt_parse(const char *text, tt_prompt_runs *runs, tt_error *err)
{
    const size_t n_bytes = strlen(text), n_room = n_bytes + 1;
    tt_status status = refuse_lora(text, err);
    if (status != TT_OK)
        return status;
    mark *marks = calloc(n_room, sizeof *marks);
    double *products = calloc(n_room, N_BRACKETS * sizeof *products);
    runs->runs = calloc(n_room, sizeof *runs->runs);
    if (marks == NULL || products == NULL || runs->runs == NULL) {
        status = tt_fail_memory(err, "parsing a prompt", n_room * (sizeof *marks + sizeof *runs->runs));
    } else {
        scanner scan = {
            .text = text, .at = text, .end = text + n_bytes, .marks = marks, .innermost = {NO_MARK, NO_MARK}};
        level_stack levels[N_BRACKETS] = {{products, 0}, {products + n_room, 0}};
        scan_marks(&scan);
        status = weigh_marks(marks, scan.n_marks, levels, runs, err);
    }
    free(marks);
    free(products);
    return status;
}

void tt_prompt_runs_free(tt_prompt_runs *runs)
{
    tt_text_free(&runs->text);
    free(runs->runs);
    *runs = (tt_prompt_runs){0};
}
