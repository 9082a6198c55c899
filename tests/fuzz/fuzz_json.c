/* fuzz_json.c - any bytes as a JSON config: refused with a sentence, or every getter keeps its promise. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A getter that fails must say so; one that succeeds must stay in its range. */
static void ask(const json_t *root, const char *key)
{
    enum { N = 4 };
    uint32_t number = 5, items[N] = {5}, n_items = 1;
    double real = 0;
    bool flag = false;
    const char *text = "";
    tt_error err = {""};
    if (tt_json_get_u32(root, key, 2, 4096, &number, &err) != TT_OK && err.text[0] == '\0')
        abort();
    if (number < 2 || number > 4096)
        abort();
    if (tt_json_get_u32_list(root, key, 2, 4096, items, N, &n_items, &err) == TT_OK) {
        for (uint32_t i = 0; i < n_items; i++)
            if (n_items > N || items[i] < 2 || items[i] > 4096)
                abort();
    }
    if (tt_json_get_f64(root, key, &real, &err) == TT_OK && real * 0 != 0)
        abort();
    (void)tt_json_get_bool(root, key, &flag, &err);
    if (tt_json_get_text(root, key, &text, &err) == TT_OK && strlen(text) > 1u << 24)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root;
    tt_error err = {""};
    if (tt_json_parse((const char *)data, size, "fuzz", &root, &err) != TT_OK) {
        if (root != NULL || strncmp(err.text, "fuzz: ", 6) != 0)
            abort();
        return 0;
    }
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        ask(root, key);
    }
    json_decref(root);
    return 0;
}
