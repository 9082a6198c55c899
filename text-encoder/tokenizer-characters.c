/* tokenizer-characters.c - NFC, white space and lower case on code points. */
#include "text-encoder/tokenizer-characters.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    MAX_DECOMPOSITION = 4, /* longest canonical decomposition of one code point (UAX #15) */
    CAPITAL_I_DOT = 0x130, /* the only character whose lower case is two: i + combining dot above */
    COMBINING_DOT = 0x307,
    BEFORE_HANGUL_TRAILING = 0x11a7,
    LONGEST_EASY_RUN = 32, /* runs of combining marks up to this length are put in order by insertion */
};

tt_char_kind tt_char_kind_of(int32_t point)
{
    if ((point >= '\t' && point <= '\r') || point == 0x85)
        return TT_CHAR_SPACE;
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return TT_CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return TT_CHAR_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return TT_CHAR_SPACE;
    default:
        return TT_CHAR_OTHER;
    }
}

bool tt_first_char_kind(const char *text, size_t n_bytes, tt_char_kind *kind)
{
    int32_t point = 0;
    if (utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)n_bytes, &point) <= 0)
        return false;
    *kind = tt_char_kind_of(point);
    return true;
}

size_t tt_utf8_put(int32_t point, uint8_t bytes[4])
{
    return (size_t)utf8proc_encode_char(point, bytes);
}

/* A combining mark with its class and place, for a stable sort. */
typedef struct mark {
    int32_t point, combining_class;
    size_t place;
} mark;

static int compare_marks(const void *a, const void *b)
{
    const mark *x = a, *y = b;
    if (x->combining_class != y->combining_class)
        return x->combining_class < y->combining_class ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static int32_t combining_class(int32_t point)
{
    return utf8proc_get_property(point)->combining_class;
}

static void order_short_run(int32_t *points, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const int32_t point = points[i];
        size_t at = i;
        for (; at > 0 && combining_class(points[at - 1]) > combining_class(point); at--)
            points[at] = points[at - 1];
        points[at] = point;
    }
}

static tt_status order_long_run(int32_t *points, size_t n, tt_error *err)
{
    mark *marks = calloc(n, sizeof *marks);
    if (marks == NULL)
        return tt_fail_memory(err, "ordering combining marks", n * sizeof *marks);
    for (size_t i = 0; i < n; i++)
        marks[i] = (mark){points[i], combining_class(points[i]), i};
    qsort(marks, n, sizeof *marks, compare_marks);
    for (size_t i = 0; i < n; i++)
        points[i] = marks[i].point;
    free(marks);
    return TT_OK;
}

/* Canonical ordering: each run of combining marks by class, stable. utf8proc's own ordering takes quadratic time on
 * long runs, which a hostile prompt could use. */
static tt_status order_marks(int32_t *points, size_t n, tt_error *err)
{
    for (size_t begin = 0, end; begin < n; begin = end + 1) {
        for (end = begin; end < n && combining_class(points[end]) != 0; end++)
            ;
        if (end - begin <= LONGEST_EASY_RUN)
            order_short_run(points + begin, end - begin);
        else {
            const tt_status status = order_long_run(points + begin, end - begin, err);
            if (status != TT_OK)
                return status;
        }
    }
    return TT_OK;
}

/* Canonical composition in place. U+11A7 stands just before the trailing consonants of Hangul, and utf8proc takes it
 * for one of them and drops it; as it composes with nothing, the text is composed piece by piece around it. */
static tt_status compose_points(int32_t *points, size_t n, size_t *n_composed, tt_error *err)
{
    *n_composed = 0;
    for (size_t begin = 0; begin < n;) {
        size_t end = begin;
        while (end < n && points[end] != BEFORE_HANGUL_TRAILING)
            end++;
        const utf8proc_ssize_t n_piece = utf8proc_normalize_utf32(points + begin, (utf8proc_ssize_t)(end - begin),
                                                                  UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (n_piece < 0)
            return tt_fail(err, TT_ERROR_INTERNAL, "utf8proc could not compose a text of %zu characters", n);
        memmove(points + *n_composed, points + begin, (size_t)n_piece * sizeof *points);
        *n_composed += (size_t)n_piece;
        if (end < n)
            points[(*n_composed)++] = BEFORE_HANGUL_TRAILING;
        begin = end + 1;
    }
    return TT_OK;
}

/* NFC of the text into points (room for MAX_DECOMPOSITION each byte). */
static tt_status compose(const uint8_t *text, size_t n_bytes, int32_t *points, size_t *n_points, tt_error *err)
{
    size_t n = 0;
    int boundary = 0;
    for (size_t at = 0; at < n_bytes;) {
        int32_t point = 0;
        const utf8proc_ssize_t n_used = utf8proc_iterate(text + at, (utf8proc_ssize_t)(n_bytes - at), &point);
        if (n_used <= 0)
            return tt_fail(err, TT_ERROR_ARGUMENT, "the text is not well-formed UTF-8");
        const utf8proc_ssize_t n_out = utf8proc_decompose_char(point, points + n, MAX_DECOMPOSITION,
                                                               UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
        if (n_out < 0 || n_out > MAX_DECOMPOSITION)
            return tt_fail(err, TT_ERROR_INTERNAL, "utf8proc could not decompose U+%04X", (unsigned)point);
        at += (size_t)n_used;
        n += (size_t)n_out;
    }
    const tt_status status = order_marks(points, n, err);
    if (status != TT_OK)
        return status;
    return compose_points(points, n, n_points, err);
}

/* White space runs to one blank, lower case; out has room for 2 n. */
static size_t fold(const int32_t *points, size_t n, int32_t *out)
{
    size_t n_out = 0;
    bool after_space = false;
    for (size_t i = 0; i < n; i++) {
        const bool is_space = tt_char_kind_of(points[i]) == TT_CHAR_SPACE;
        if (is_space) {
            if (!after_space)
                out[n_out++] = ' ';
        } else if (points[i] == CAPITAL_I_DOT) {
            out[n_out++] = 'i';
            out[n_out++] = COMBINING_DOT;
        } else {
            out[n_out++] = utf8proc_tolower(points[i]);
        }
        after_space = is_space;
    }
    return n_out;
}

tt_status tt_normalize(const char *text, size_t n_bytes, tt_points *out, tt_error *err)
{
    *out = (tt_points){0};
    size_t n_composed = 0, n_room = 0;
    tt_status status = TT_OK;
    int32_t *folded = NULL;
    if (!tt_mul_size(n_bytes + 1, MAX_DECOMPOSITION * sizeof(int32_t), &n_room))
        return tt_fail_memory(err, "normalising a text", SIZE_MAX);
    int32_t *composed = malloc(n_room);
    if (composed == NULL)
        return tt_fail_memory(err, "normalising a text", n_room);
    status = compose((const uint8_t *)text, n_bytes, composed, &n_composed, err);
    if (status != TT_OK)
        goto done;
    folded = malloc((2 * n_composed + 1) * sizeof *folded);
    if (folded == NULL) {
        status = tt_fail_memory(err, "normalising a text", (2 * n_composed + 1) * sizeof *folded);
        goto done;
    }
    out->n_points = fold(composed, n_composed, folded);
    out->points = folded;
done:
    free(composed);
    return status;
}
