/* options.c - reads a command line: --name value, --name=value, -x value, -xvalue, words; "--" ends the options. */
#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values */

/* The whole text as a whole number in low..high. */
static bool read_whole(const char *text, long long low, long long high, long long *value)
{
    char *end = NULL;
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9')
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *value >= low && *value <= high;
}

static bool read_real(const char *text, double low, double high, double *value)
{
    char *end = NULL;
    if (text[0] == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
        return false;
    *value = strtod(text, &end);
    return *end == '\0' && *value >= low && *value <= high;
}

/* "HxW" or "T,L": two numbers around the mark that the argument's name has. */
static bool read_pair(const char *text, char mark, uint32_t pair[2])
{
    char first[16];
    const char *middle = strchr(text, mark);
    long long a = 0, b = 0;
    if (middle == NULL || (size_t)(middle - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(middle - text));
    first[middle - text] = '\0';
    if (!read_whole(first, 0, UINT32_MAX, &a) || !read_whole(middle + 1, 0, UINT32_MAX, &b))
        return false;
    pair[0] = (uint32_t)a;
    pair[1] = (uint32_t)b;
    return true;
}

/* "900MB", "1.5GiB": a number and its unit. Decimal units are powers of 1000, binary ones of 1024. */
static bool read_bytes(const char *text, uint64_t *n_bytes)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"B", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char number[32];
    size_t n = strspn(text, "0123456789.");
    double value;
    if (n == 0 || n >= sizeof number)
        return false;
    memcpy(number, text, n);
    number[n] = '\0';
    if (!read_real(number, 0.0, 1e18, &value))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text + n, units[i].name) == 0) {
            value *= units[i].bytes;
            *n_bytes = value >= 1.0 && value < 1e18 ? (uint64_t)value : 0;
            return *n_bytes > 0;
        }
    return false;
}

/* The place of text in "a|b|c". */
static bool read_choice(const char *text, const char *list, uint32_t *place)
{
    size_t length = strlen(text);
    *place = 0;
    for (const char *item = list; length > 0; item = strchr(item, '|') + 1, (*place)++) {
        size_t n = strcspn(item, "|");
        if (n == length && strncmp(item, text, n) == 0)
            return true;
        if (item[n] == '\0')
            break;
    }
    return false;
}

static cli_exit fail_value(const cli_option *option, const char *text)
{
    switch (option->kind) {
    case CLI_COUNT:
        return cli_fail(CLI_USAGE, "--%s takes a whole number from %.0f to %.0f, not \"%s\"", option->name, option->low,
                        option->high, text);
    case CLI_SEED:
        return cli_fail(CLI_USAGE, "--%s takes a whole number of 64 bits, not \"%s\"", option->name, text);
    case CLI_REAL:
    case CLI_MAY_REAL:
        return cli_fail(CLI_USAGE, "--%s takes a number from %g to %g, not \"%s\"", option->name, option->low,
                        option->high, text);
    case CLI_BYTES:
        return cli_fail(CLI_USAGE,
                        "--%s takes a size with its unit (B, KB, MB, GB, KiB, MiB or GiB), such as 900MB, not \"%s\"",
                        option->name, text);
    case CLI_ONCE:
        return cli_fail(CLI_USAGE, "--%s was given twice, the second time as \"%s\"; one is taken", option->name, text);
    case CLI_LIST:
        return cli_fail(CLI_USAGE, "--%s was given more than %d times", option->name, CLI_MAX_LIST);
    case CLI_FLAG:
    case CLI_TEXT:
    case CLI_PAIR:
    case CLI_CHOICE:
        break;
    }
    return cli_fail(CLI_USAGE, "--%s takes %s, not \"%s\"", option->name, option->argument, text);
}

static bool set_once(const char **target, const char *text)
{
    bool is_first = *target == NULL;
    *target = text;
    return is_first;
}

static bool add_to_list(cli_list *list, const char *text)
{
    if (list->n >= CLI_MAX_LIST)
        return false;
    list->items[list->n++] = text;
    return true;
}

static cli_exit set_value(const cli_option *option, const char *text, cli_options *options)
{
    char *target = (char *)options + option->target;
    long long whole = 0;
    bool is_good = true;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)(void *)target = true;
        break;
    case CLI_TEXT:
        *(const char **)(void *)target = text;
        break;
    case CLI_ONCE:
        is_good = set_once((const char **)(void *)target, text);
        break;
    case CLI_LIST:
        is_good = add_to_list((cli_list *)(void *)target, text);
        break;
    case CLI_COUNT:
        is_good = read_whole(text, (long long)option->low, (long long)option->high, &whole);
        *(uint32_t *)(void *)target = (uint32_t)whole;
        break;
    case CLI_SEED:
        is_good = read_whole(text, INT64_MIN, INT64_MAX, &whole);
        *(int64_t *)(void *)target = whole;
        break;
    case CLI_REAL:
    case CLI_MAY_REAL:
        is_good = read_real(text, option->low, option->high, (double *)(void *)target);
        break;
    case CLI_PAIR:
        is_good = read_pair(text, strchr(option->argument, ',') ? ',' : 'x', (uint32_t *)(void *)target);
        break;
    case CLI_BYTES:
        is_good = read_bytes(text, (uint64_t *)(void *)target);
        break;
    case CLI_CHOICE:
        is_good = read_choice(text, option->argument, (uint32_t *)(void *)target);
        break;
    }
    return is_good ? CLI_OK : fail_value(option, text);
}

/* ---- names */

static bool is_named(const char *name, const char *text, size_t n)
{
    return name != NULL && strlen(name) == n && strncmp(name, text, n) == 0;
}

static const cli_option *find_long(unsigned bit, const char *text, size_t n)
{
    const cli_option *option;
    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++)
        if ((option->commands & bit) && (is_named(option->name, text, n) || is_named(option->alias, text, n)))
            return option;
    return NULL;
}

static const cli_option *find_letter(unsigned bit, char letter)
{
    const cli_option *option;
    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++)
        if ((option->commands & bit) && option->letter == letter && letter != '\0')
            return option;
    return NULL;
}

static void prefer_nearer(const char *wanted, const char *name, size_t *distance, const char **nearest)
{
    size_t d = name == NULL ? SIZE_MAX : cli_edit_distance(wanted, name);
    if (d < *distance) {
        *distance = d;
        *nearest = name;
    }
}

static cli_exit fail_unknown(const cli_grammar *grammar, const char *argument)
{
    char wanted[64];
    const char *nearest = NULL, *text = argument + strspn(argument, "-");
    size_t distance = 4;
    const cli_option *option;
    (void)snprintf(wanted, sizeof wanted, "%.*s", (int)(strcspn(text, "=") < 60 ? strcspn(text, "=") : 60), text);
    for (size_t i = 0; (option = cli_option_at(i)) != NULL && wanted[1] != '\0'; i++)
        if (option->commands & grammar->bit) {
            prefer_nearer(wanted, option->name, &distance, &nearest);
            prefer_nearer(wanted, option->alias, &distance, &nearest);
        }
    if (nearest != NULL)
        return cli_fail(CLI_USAGE, "%s knows no option %s; did you mean --%s? (tintype help %s lists all)",
                        grammar->command, argument, nearest, grammar->command);
    return cli_fail(CLI_USAGE, "%s knows no option %s; tintype help %s lists all", grammar->command, argument,
                    grammar->command);
}

/* ---- the line */

typedef struct reader {
    const cli_grammar *grammar;
    int argc, at; /* at: the argument that is read now */
    char **argv;
    cli_options *options;
} reader;

/* attached: the value that stands in the same argument, NULL when none does. */
static cli_exit take_option(reader *r, const cli_option *option, const char *attached)
{
    if (option->kind == CLI_FLAG) {
        if (attached != NULL)
            return cli_fail(CLI_USAGE, "--%s takes no value, but got \"%s\"", option->name, attached);
        return set_value(option, NULL, r->options);
    }
    if (attached == NULL && option->kind == CLI_MAY_REAL) {
        *(double *)(void *)((char *)r->options + option->target) = 0.0;
        return CLI_OK;
    }
    if (attached == NULL) {
        if (r->at + 1 >= r->argc)
            return cli_fail(CLI_USAGE, "%s needs a value: %s", r->argv[r->at], option->argument);
        attached = r->argv[++r->at];
    }
    return set_value(option, attached, r->options);
}

static cli_exit take_long(reader *r, const char *argument)
{
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const cli_option *option = find_long(r->grammar->bit, name, n);
    return option ? take_option(r, option, equals ? equals + 1 : NULL) : fail_unknown(r->grammar, argument);
}

/* "-x value", "-xvalue" or flags together: "-qv". */
static cli_exit take_letters(reader *r, const char *argument)
{
    for (const char *letter = argument + 1; *letter; letter++) {
        const cli_option *option = find_letter(r->grammar->bit, *letter);
        if (option == NULL)
            return fail_unknown(r->grammar, argument);
        if (option->kind != CLI_FLAG)
            return take_option(r, option, letter[1] ? letter + 1 : NULL);
        cli_exit code = take_option(r, option, NULL);
        if (code != CLI_OK)
            return code;
    }
    return CLI_OK;
}

static cli_exit take_word(reader *r, const char *word)
{
    cli_options *options = r->options;
    if (options->n_words >= r->grammar->max_words)
        return cli_fail(CLI_USAGE,
                        "%s does not know what to do with \"%.80s\"; options begin with - and a prompt "
                        "follows -p in quotes",
                        r->grammar->command, word);
    options->words[options->n_words++] = word;
    return CLI_OK;
}

cli_exit cli_options_parse(const cli_grammar *grammar, int argc, char **argv, cli_options *options)
{
    reader r = {.grammar = grammar, .argc = argc, .argv = argv, .options = options};
    cli_exit code = CLI_OK;
    bool only_words = false;
    *options = (cli_options){.seed = -1,
                             .cfg_scale = NAN,
                             .strength = NAN,
                             .eta = NAN,
                             .cfg_start = NAN,
                             .cfg_stop = NAN,
                             .prune = NAN,
                             .seconds = NAN,
                             .upscale = CLI_NOT_GIVEN,
                             .cloud_timeout = NAN,
                             .route = NAN};
    for (r.at = 0; r.at < argc && code == CLI_OK; r.at++) {
        const char *argument = argv[r.at];
        if (only_words || argument[0] != '-' || argument[1] == '\0')
            code = take_word(&r, argument);
        else if (strcmp(argument, "--") == 0)
            only_words = true;
        else
            code = argument[1] == '-' ? take_long(&r, argument) : take_letters(&r, argument);
    }
    return code;
}
