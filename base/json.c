/* json.c - JSON of untrusted files through jansson, with limits that hold before anything is allocated. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>

/* Nesting and number of values of the largest honest text stay far below these. The second bounds the memory that
 * jansson takes for "[[],[],[],...": some 100 bytes a value. */
enum { MAX_DEPTH = 64, MAX_VALUES = 2 * 1024 * 1024 };

typedef struct outline {
    size_t depth, n_values;
} outline;

/* Deepest nesting and an upper bound of the number of values: commas and brackets outside strings. */
static outline scan(const char *text, size_t n_bytes)
{
    outline seen = {0, 1};
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[') {
            seen.n_values++;
            if (++depth > seen.depth)
                seen.depth = depth;
        } else if (c == '}' || c == ']')
            depth -= depth > 0;
        else if (c == ',')
            seen.n_values++;
    }
    return seen;
}

tt_status tt_json_parse(const char *text, size_t n_bytes, const char *what, json_t **root, tt_error *err)
{
    *root = NULL;
    outline seen = scan(text, n_bytes);
    if (seen.depth > MAX_DEPTH)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: JSON is nested %zu levels deep, at most %d are read; the file is damaged", what, seen.depth,
                       MAX_DEPTH);
    if (seen.n_values > MAX_VALUES)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: JSON holds %zu values, at most %d are read; the file is damaged",
                       what, seen.n_values, MAX_VALUES);
    json_error_t problem;
    json_t *value = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &problem);
    /* Out of memory, jansson often fails without a word. */
    if (value == NULL && (problem.text[0] == '\0' || json_error_code(&problem) == json_error_out_of_memory))
        return tt_fail_memory(err, what, n_bytes);
    if (value == NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: not valid JSON at line %d, column %d: %s; the file is damaged", what,
                       problem.line, problem.column, problem.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return tt_fail(err, TT_ERROR_FORMAT, "%s: expected a JSON object, found an array", what);
    }
    *root = value;
    return TT_OK;
}

/* What stands there instead, in a few words. */
static const char *found_text(const json_t *value, char *text, size_t n_bytes)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        (void)snprintf(text, n_bytes, "an object");
        break;
    case JSON_ARRAY:
        (void)snprintf(text, n_bytes, "an array of %zu", json_array_size(value));
        break;
    case JSON_STRING:
        (void)snprintf(text, n_bytes, "\"%.60s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
        (void)snprintf(text, n_bytes, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        (void)snprintf(text, n_bytes, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        (void)snprintf(text, n_bytes, json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        (void)snprintf(text, n_bytes, "null");
        break;
    }
    return text;
}

static tt_status fail_type(tt_error *err, const char *key, const char *expected, const json_t *value)
{
    char found[96];
    return tt_fail(err, TT_ERROR_FORMAT, "\"%s\": expected %s, found %s", key, expected,
                   found_text(value, found, sizeof(found)));
}

/* The value of a key that is there and not null. */
static const json_t *present(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value == NULL || json_is_null(value) ? NULL : value;
}

/* An integer, also when written as 8.0; min..max. */
static bool as_u32(const json_t *value, uint32_t min, uint32_t max, uint32_t *number)
{
    double real = json_number_value(value);
    if (!json_is_number(value) || real < (double)min || real > (double)max || real != floor(real))
        return false;
    *number = (uint32_t)real;
    return true;
}

static tt_status fail_range(tt_error *err, const char *key, uint32_t min, uint32_t max, const json_t *value)
{
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "a whole number from %u to %u", (unsigned)min, (unsigned)max);
    return fail_type(err, key, expected, value);
}

tt_status tt_json_get_u32(const json_t *object, const char *key, uint32_t min, uint32_t max, uint32_t *value,
                          tt_error *err)
{
    const json_t *item = present(object, key);
    if (item != NULL && !as_u32(item, min, max, value))
        return fail_range(err, key, min, max, item);
    return TT_OK;
}

tt_status tt_json_get_f64(const json_t *object, const char *key, double *value, tt_error *err)
{
    const json_t *item = present(object, key);
    if (item == NULL)
        return TT_OK;
    if (!json_is_number(item))
        return fail_type(err, key, "a number", item);
    *value = json_number_value(item);
    return TT_OK;
}

tt_status tt_json_get_bool(const json_t *object, const char *key, bool *value, tt_error *err)
{
    const json_t *item = present(object, key);
    if (item == NULL)
        return TT_OK;
    if (!json_is_boolean(item))
        return fail_type(err, key, "true or false", item);
    *value = json_is_true(item);
    return TT_OK;
}

tt_status tt_json_get_text(const json_t *object, const char *key, const char **value, tt_error *err)
{
    const json_t *item = present(object, key);
    if (item == NULL)
        return TT_OK;
    if (!json_is_string(item))
        return fail_type(err, key, "a text", item);
    *value = json_string_value(item);
    return TT_OK;
}

tt_status tt_json_get_u32_list(const json_t *object, const char *key, uint32_t min, uint32_t max, uint32_t *items,
                               uint32_t max_items, uint32_t *n_items, tt_error *err)
{
    const json_t *list = present(object, key);
    if (list == NULL)
        return TT_OK;
    if (!json_is_array(list)) {
        if (max_items < 1 || !as_u32(list, min, max, &items[0]))
            return fail_range(err, key, min, max, list);
        *n_items = 1;
        return TT_OK;
    }
    size_t n = json_array_size(list);
    if (n < 1 || n > max_items)
        return tt_fail(err, TT_ERROR_FORMAT, "\"%s\": expected a list of 1 to %u numbers, found %zu", key,
                       (unsigned)max_items, n);
    for (size_t i = 0; i < n; i++)
        if (!as_u32(json_array_get(list, i), min, max, &items[i]))
            return fail_range(err, key, min, max, json_array_get(list, i));
    *n_items = (uint32_t)n;
    return TT_OK;
}
