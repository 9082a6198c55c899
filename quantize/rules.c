/* rules.c - reading rules and matching names with them. */
#include "quantize/rules.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 256, MAX_EXPRESSION = 1024 };

typedef struct rule {
    char *text;
    regex_t expression;
    tt_weight_type type;
    bool was_used;
} rule;

struct tt_rules {
    size_t n;
    rule items[MAX_RULES];
};

/* The end of the rule that begins at text: the first comma behind a "=TYPE", or the end. *equals is that "=", NULL when
 * there is none. */
static const char *find_end(const char *text, const char **equals)
{
    tt_weight_type unused;
    *equals = NULL;
    for (const char *at = text;; at++) {
        if (*at == '=')
            *equals = at;
        if (*at == '\0')
            return at;
        if (*at == ',' && *equals &&
            tt_weight_type_parse(*equals + 1, (size_t)(at - *equals) - 1, &unused, NULL) == TT_OK)
            return at;
    }
}

static tt_status add_rule(tt_rules *rules, const char *text, const char *equals, const char *end, tt_error *err)
{
    rule *r = &rules->items[rules->n];
    size_t length = (size_t)(equals - text);
    char reason[128];
    if (rules->n == MAX_RULES || length >= MAX_EXPRESSION)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there are more than %d rules, or one of more than %d characters",
                       MAX_RULES, MAX_EXPRESSION);
    tt_status status = tt_weight_type_parse(equals + 1, (size_t)(end - equals) - 1, &r->type, err);
    if (status != TT_OK)
        return status;
    r->text = malloc(length + 1);
    if (!r->text)
        return tt_fail_memory(err, "a rule", length);
    memcpy(r->text, text, length);
    r->text[length] = '\0';
    int code = regcomp(&r->expression, r->text, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        rules->n++;
        return TT_OK;
    }
    (void)regerror(code, &r->expression, reason, sizeof reason);
    status = tt_fail(err, TT_ERROR_ARGUMENT, "the rule \"%s\" is no regular expression: %s", r->text, reason);
    free(r->text);
    return status;
}

tt_status tt_rules_create(const char *text, tt_rules **rules, tt_error *err)
{
    tt_rules *made = calloc(1, sizeof *made);
    *rules = NULL;
    if (!made)
        return tt_fail_memory(err, "rules", sizeof *made);
    tt_status status = TT_OK;
    while (text && *text && status == TT_OK) {
        const char *equals, *end = find_end(text, &equals);
        if (!equals || equals == text)
            status = tt_fail(err, TT_ERROR_ARGUMENT,
                             "the rule \"%.*s\" is not of the form REGEX=TYPE; an example is \"attn2.*=q8_0\"",
                             end - text > 60 ? 60 : (int)(end - text), text);
        else
            status = add_rule(made, text, equals, end, err);
        text = *end ? end + 1 : end;
    }
    if (status == TT_OK)
        *rules = made;
    else
        tt_rules_destroy(made);
    return status;
}

void tt_rules_destroy(tt_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->n; i++) {
        regfree(&rules->items[i].expression);
        free(rules->items[i].text);
    }
    free(rules);
}

bool tt_rules_match(tt_rules *rules, const char *name, tt_weight_type *type)
{
    for (size_t i = 0; rules && i < rules->n; i++) {
        rule *r = &rules->items[i];
        if (regexec(&r->expression, name, 0, NULL, 0) != 0)
            continue;
        r->was_used = true;
        *type = r->type;
        return true;
    }
    return false;
}

size_t tt_rules_count(const tt_rules *rules)
{
    return rules ? rules->n : 0;
}

const char *tt_rules_text(const tt_rules *rules, size_t index)
{
    return rules->items[index].text;
}

bool tt_rules_was_used(const tt_rules *rules, size_t index)
{
    return rules->items[index].was_used;
}
