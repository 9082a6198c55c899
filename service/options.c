/* options.c - finds an option in its table and reads its value. */
#include "service/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The option that `argument` begins, and what stands behind a '=' (else NULL). */
static const tt_option *find(const tt_option *options, size_t n, const char *argument, const char **value)
{
    const size_t n_name = strncmp(argument, "--", 2) == 0 ? strcspn(argument + 2, "=") : 0;
    *value = n_name > 0 && argument[2 + n_name] == '=' ? argument + 3 + n_name : NULL;
    for (size_t i = 0; i < n && n_name > 0; i++)
        if (strlen(options[i].name) == n_name && strncmp(options[i].name, argument + 2, n_name) == 0)
            return &options[i];
    return NULL;
}

static bool read_u64(const char *text, uint64_t *value)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0)
        return false;
    const char *unit = *end != '\0' && end[1] == '\0' ? strchr(units, *end) : NULL;
    const int shift = unit != NULL ? 10 * (int)(unit - units + 1) : 0;
    if ((*end != '\0' && unit == NULL) || *value > UINT64_MAX >> shift)
        return false;
    *value <<= shift;
    return true;
}

static bool read_seconds(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return ((text[0] >= '0' && text[0] <= '9') || text[0] == '.') && *end == '\0' && isfinite(*value);
}

static tt_status add_text(tt_option_list *list, const tt_option *option, const char *value, tt_error *err)
{
    if (list->n == TT_OPTION_LIST_MAX)
        return tt_fail(err, TT_ERROR_ARGUMENT, "--%s can be given %d times at most", option->name, TT_OPTION_LIST_MAX);
    list->texts[list->n++] = value;
    return TT_OK;
}

static tt_status read_value(const tt_option *option, const char *value, tt_error *err)
{
    uint64_t number = 0;
    bool is_fine = true;
    switch (option->kind) {
    case TT_OPTION_FLAG:
        *(bool *)option->target = true;
        break;
    case TT_OPTION_TEXT:
        *(const char **)option->target = value;
        break;
    case TT_OPTION_LIST:
        return add_text(option->target, option, value, err);
    case TT_OPTION_U32:
        is_fine = read_u64(value, &number) && number <= UINT32_MAX;
        *(uint32_t *)option->target = (uint32_t)number;
        break;
    case TT_OPTION_U64:
        is_fine = read_u64(value, option->target);
        break;
    case TT_OPTION_SECONDS:
        is_fine = read_seconds(value, option->target);
        break;
    }
    return is_fine ? TT_OK
                   : tt_fail(err, TT_ERROR_ARGUMENT, "--%s is \"%s\", expected %s", option->name, value, option->value);
}

tt_status tt_options_read(const tt_option *options, size_t n, int argc, char *const *argv, tt_error *err)
{
    tt_status status = TT_OK;
    for (int i = 1; i < argc && status == TT_OK; i++) {
        const char *value;
        const tt_option *option = find(options, n, argv[i], &value);
        if (option == NULL)
            return tt_fail(err, TT_ERROR_ARGUMENT, "there is no option %s; --help lists all", argv[i]);
        if (option->kind == TT_OPTION_FLAG && value != NULL)
            return tt_fail(err, TT_ERROR_ARGUMENT, "--%s takes no value", option->name);
        if (option->kind != TT_OPTION_FLAG && value == NULL && ++i < argc)
            value = argv[i];
        if (option->kind != TT_OPTION_FLAG && value == NULL)
            return tt_fail(err, TT_ERROR_ARGUMENT, "--%s needs a value: %s", option->name, option->value);
        status = read_value(option, value, err);
    }
    return status;
}

void tt_options_help(const tt_option *options, size_t n, tt_text *out)
{
    for (size_t i = 0; i < n; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "--%s %s", options[i].name, options[i].value != NULL ? options[i].value : "");
        tt_text_format(out, "  %-28s %s\n", left, options[i].help);
    }
}
