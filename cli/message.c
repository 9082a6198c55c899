/* message.c - sentences on stderr, JSON strings, and the distance between two words. */
#include "cli/message.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

cli_exit cli_fail(cli_exit code, const char *format, ...)
{
    char sentence[4096];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    for (char *c = sentence; *c; c++)
        if (is_control(*c))
            *c = '?';
    (void)fflush(stdout);
    (void)fprintf(stderr, "tintype: %s\n", sentence);
    return code;
}

cli_exit cli_fail_status(const tt_context *context, tt_status status)
{
    const char *sentence = tt_context_message(context);
    if (sentence[0] == '\0')
        sentence = tt_status_name(status);
    return cli_fail(status == TT_ERROR_CANCELLED ? CLI_CANCELLED
                    : status == TT_ERROR_NETWORK ? CLI_NETWORK
                                                 : CLI_FAILED,
                    "%s", sentence);
}

cli_exit cli_fail_memory(void)
{
    return cli_fail(CLI_FAILED, "there is not enough memory to go on; close other programs and try again");
}

void cli_print_json_string(FILE *stream, const char *text)
{
    (void)fputc('"', stream);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            (void)fprintf(stream, "\\%c", *c);
        else if (*c == '\n')
            (void)fputs("\\n", stream);
        else if (is_control(*c))
            (void)fprintf(stream, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            (void)fputc(*c, stream);
    }
    (void)fputc('"', stream);
}

void cli_print_plain(FILE *stream, const char *text)
{
    for (const char *c = text; *c; c++)
        (void)fputc(is_control(*c) && *c != '\n' && *c != '\t' ? '?' : *c, stream);
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance with one row of the table; words longer than the row are simply far away. */
size_t cli_edit_distance(const char *a, const char *b)
{
    enum { MAX_WORD = 64 };
    size_t row[MAX_WORD + 1], n = strlen(b);
    if (n > MAX_WORD || strlen(a) > MAX_WORD)
        return MAX_WORD;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, corner + (a[i] != b[j - 1]));
            corner = above;
        }
    }
    return row[n];
}
