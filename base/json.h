/* json.h - reading JSON from untrusted files, a thin layer over jansson.
 *
 * Duplicate keys are refused, nesting is limited to 64 levels, and every getter says what it expected and found. */
#ifndef TT_BASE_JSON_H
#define TT_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>

/* Parses n_bytes of UTF-8 (no terminator needed) whose top level must be an object. `what` names the text in errors,
 * e.g. "unet/config.json". *root is freed with json_decref. */
tt_status tt_json_parse(const char *text, size_t n_bytes, const char *what, json_t **root, tt_error *err);

/* Getters: leave *value untouched (the default) when the key is missing or null; fail when its type or range is wrong.
 */
tt_status tt_json_get_u32(const json_t *object, const char *key, uint32_t min, uint32_t max, uint32_t *value,
                          tt_error *err);
tt_status tt_json_get_f64(const json_t *object, const char *key, double *value, tt_error *err);
tt_status tt_json_get_bool(const json_t *object, const char *key, bool *value, tt_error *err);

/* *value points into the JSON object. */
tt_status tt_json_get_text(const json_t *object, const char *key, const char **value, tt_error *err);

/* Reads an array of 1..max_items unsigned numbers, or a single number (then *n_items is 1). */
tt_status tt_json_get_u32_list(const json_t *object, const char *key, uint32_t min, uint32_t max, uint32_t *items,
                               uint32_t max_items, uint32_t *n_items, tt_error *err);

#endif
