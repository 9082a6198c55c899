/* tokenizer-split.c - the split pattern, written out. */
#include "text-encoder/tokenizer-split.h"

#include <string.h>

/* Length of `literal` (ASCII) when the text has it at `position`, else 0. */
static size_t match_literal(const tt_points *text, size_t position, const char *literal)
{
    const size_t n = strlen(literal);
    if (text->n_points - position < n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (text->points[position + i] != literal[i])
            return 0;
    return n;
}

static size_t match_special(const tt_points *text, size_t position)
{
    const size_t n = match_literal(text, position, "<|startoftext|>");
    return n > 0 ? n : match_literal(text, position, "<|endoftext|>");
}

static size_t match_contraction(const tt_points *text, size_t position)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = match_literal(text, position, endings[i]);
        if (n > 0)
            return n;
    }
    return 0;
}

/* Characters of the same kind from position up to limit; a number stands alone. */
static size_t match_run(const tt_points *text, size_t position, size_t limit)
{
    const tt_char_kind kind = tt_char_kind_of(text->points[position]);
    size_t end = position + 1;
    if (kind == TT_CHAR_NUMBER)
        return 1;
    while (end < limit && tt_char_kind_of(text->points[end]) == kind)
        end++;
    return end - position;
}

bool tt_splitter_next(tt_splitter *splitter, size_t *begin, size_t *end)
{
    const tt_points *text = splitter->text;
    size_t at = splitter->position;
    while (at < text->n_points && tt_char_kind_of(text->points[at]) == TT_CHAR_SPACE)
        at++;
    if (at >= text->n_points)
        return false;
    size_t n = 0;
    if (at >= splitter->fence && text->points[at] == '<')
        splitter->fence = at + match_special(text, at);
    if (text->points[at] == '\'')
        n = match_contraction(text, at);
    if (n == 0)
        n = match_run(text, at, at < splitter->fence ? splitter->fence : text->n_points);
    *begin = at;
    *end = splitter->position = at + n;
    return true;
}
