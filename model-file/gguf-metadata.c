/* gguf-metadata.c - the bounds-checked cursor over a GGUF file and its key-value pairs.
 *
 * Nothing is believed: a length is compared with what is left before it is used, a count with what that many of the
 * smallest elements would take. Work and memory are therefore bounded by the size of the file. */
#include "model-file/gguf-private.h"

#include "base/checked.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NESTING = 4,          /* arrays in arrays */
    MIN_ENTRY = 8 + 1 + 4 + 1 /* bytes of a pair: length and one byte of key, type, one byte of value */
};

/* ---- cursor ----------------------------------------------------------------------------------------------------- */

bool tt_gguf_skip(tt_gguf_cursor *cursor, uint64_t n_bytes)
{
    if (n_bytes > cursor->n_left)
        return false;
    cursor->next += n_bytes;
    cursor->n_left -= n_bytes;
    return true;
}

static uint64_t little_endian(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

bool tt_gguf_read_u8(tt_gguf_cursor *cursor, uint8_t *value)
{
    const uint8_t *bytes = cursor->next;
    if (!tt_gguf_skip(cursor, 1))
        return false;
    *value = bytes[0];
    return true;
}

bool tt_gguf_read_u32(tt_gguf_cursor *cursor, uint32_t *value)
{
    const uint8_t *bytes = cursor->next;
    if (!tt_gguf_skip(cursor, 4))
        return false;
    *value = (uint32_t)little_endian(bytes, 4);
    return true;
}

bool tt_gguf_read_u64(tt_gguf_cursor *cursor, uint64_t *value)
{
    const uint8_t *bytes = cursor->next;
    if (!tt_gguf_skip(cursor, 8))
        return false;
    *value = little_endian(bytes, 8);
    return true;
}

bool tt_gguf_read_span(tt_gguf_cursor *cursor, tt_gguf_span *span)
{
    tt_gguf_cursor ahead = *cursor;
    uint64_t n_bytes;
    if (!tt_gguf_read_u64(&ahead, &n_bytes))
        return false;
    *span = (tt_gguf_span){ahead.next, n_bytes};
    if (!tt_gguf_skip(&ahead, n_bytes))
        return false;
    *cursor = ahead;
    return true;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Bytes of a value; 0 for texts and arrays, whose length stands in the file. */
static uint64_t value_size(uint32_t type)
{
    static const uint8_t sizes[TT_GGUF_N_VALUE_TYPES] = {
        [TT_GGUF_U8] = 1,  [TT_GGUF_I8] = 1,  [TT_GGUF_U16] = 2, [TT_GGUF_I16] = 2,
        [TT_GGUF_U32] = 4, [TT_GGUF_I32] = 4, [TT_GGUF_F32] = 4, [TT_GGUF_BOOL] = 1,
        [TT_GGUF_U64] = 8, [TT_GGUF_I64] = 8, [TT_GGUF_F64] = 8};
    return sizes[type];
}

static tt_status fail_short(const char *what, const tt_gguf_cursor *cursor, tt_error *err)
{
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%s ends beyond the %llu bytes that are left; the file is cut short or damaged", what,
                   (unsigned long long)cursor->n_left);
}

static tt_status fail_value_type(uint32_t type, tt_error *err)
{
    return tt_fail(err, TT_ERROR_FORMAT, "value type number %u is unknown; the file is damaged", (unsigned)type);
}

static tt_status read_text(tt_gguf_cursor *cursor, tt_gguf_span *text, tt_error *err)
{
    if (!tt_gguf_read_span(cursor, text))
        return fail_short("its text", cursor, err);
    return TT_OK;
}

static tt_status check_bools(const tt_gguf_span *values, tt_error *err)
{
    for (uint64_t i = 0; i < values->n_bytes; i++)
        if (values->bytes[i] > 1)
            return tt_fail(err, TT_ERROR_FORMAT, "expected 0 or 1 as a truth value, found %u; the file is damaged",
                           (unsigned)values->bytes[i]);
    return TT_OK;
}

static tt_status read_array_head(tt_gguf_cursor *cursor, uint32_t *element_type, uint64_t *n_elements, tt_error *err)
{
    if (!tt_gguf_read_u32(cursor, element_type) || !tt_gguf_read_u64(cursor, n_elements))
        return fail_short("its array", cursor, err);
    return *element_type < TT_GGUF_N_VALUE_TYPES ? TT_OK : fail_value_type(*element_type, err);
}

/* Walks over the elements of an array; every element takes at least a byte, so that the walk ends with the file. */
static tt_status skip_elements(tt_gguf_cursor *cursor, uint32_t element_type, uint64_t n_elements, int depth,
                               tt_error *err)
{
    uint64_t size = value_size(element_type), n_bytes;
    tt_gguf_span text = {cursor->next, 0};
    tt_status status = TT_OK;
    if (size > 0) {
        if (!tt_mul_u64(n_elements, size, &n_bytes) || !tt_gguf_skip(cursor, n_bytes))
            return tt_fail(err, TT_ERROR_FORMAT,
                           "its array is said to have %llu elements of %llu bytes, but only %llu bytes are left; the "
                           "file is cut short or damaged",
                           (unsigned long long)n_elements, (unsigned long long)size,
                           (unsigned long long)cursor->n_left);
        text.n_bytes = n_bytes;
        return element_type == TT_GGUF_BOOL ? check_bools(&text, err) : TT_OK;
    }
    if (element_type == TT_GGUF_ARRAY && depth == MAX_NESTING)
        return tt_fail(err, TT_ERROR_FORMAT, "arrays are nested deeper than %d; the file is damaged", MAX_NESTING);
    for (uint64_t i = 0; status == TT_OK && i < n_elements; i++) {
        uint32_t inner_type = 0;
        uint64_t n_inner = 0;
        if (element_type == TT_GGUF_TEXT) {
            status = read_text(cursor, &text, err);
            continue;
        }
        status = read_array_head(cursor, &inner_type, &n_inner, err);
        if (status == TT_OK)
            status = skip_elements(cursor, inner_type, n_inner, depth + 1, err);
    }
    return status;
}

static tt_status read_array(tt_gguf_cursor *cursor, tt_gguf_entry *entry, tt_error *err)
{
    tt_status status = read_array_head(cursor, &entry->element_type, &entry->n_elements, err);
    const uint8_t *begin = cursor->next;
    if (status == TT_OK)
        status = skip_elements(cursor, entry->element_type, entry->n_elements, 1, err);
    if (status == TT_OK)
        entry->value = (tt_gguf_span){begin, (uint64_t)(cursor->next - begin)};
    return status;
}

static tt_status check_text(const tt_gguf_span *text, tt_error *err)
{
    if (!tt_utf8_valid((const char *)text->bytes, (size_t)text->n_bytes, NULL))
        return tt_fail(err, TT_ERROR_FORMAT, "its text is not UTF-8; the file is damaged");
    if (text->n_bytes > 0 && memchr(text->bytes, '\0', (size_t)text->n_bytes) != NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "its text holds a zero byte; the file is damaged");
    return TT_OK;
}

static tt_status read_value(tt_gguf_cursor *cursor, tt_gguf_entry *entry, tt_error *err)
{
    if (!tt_gguf_read_u32(cursor, &entry->type))
        return fail_short("its type", cursor, err);
    if (entry->type >= TT_GGUF_N_VALUE_TYPES)
        return fail_value_type(entry->type, err);
    if (entry->type == TT_GGUF_ARRAY)
        return read_array(cursor, entry, err);
    if (entry->type == TT_GGUF_TEXT) {
        tt_status status = read_text(cursor, &entry->value, err);
        return status != TT_OK ? status : check_text(&entry->value, err);
    }
    entry->value = (tt_gguf_span){cursor->next, value_size(entry->type)};
    if (!tt_gguf_skip(cursor, entry->value.n_bytes))
        return fail_short("its value", cursor, err);
    return entry->type == TT_GGUF_BOOL ? check_bools(&entry->value, err) : TT_OK;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------ */

static int compare_spans(const tt_gguf_span *a, const tt_gguf_span *b)
{
    uint64_t common = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int order = common == 0 ? 0 : memcmp(a->bytes, b->bytes, (size_t)common);
    if (order != 0 || a->n_bytes == b->n_bytes)
        return order;
    return a->n_bytes < b->n_bytes ? -1 : 1;
}

static int compare_entries(const void *a, const void *b)
{
    return compare_spans(&((const tt_gguf_entry *)a)->key, &((const tt_gguf_entry *)b)->key);
}

static tt_status read_entry(tt_gguf_cursor *cursor, uint64_t index, tt_gguf_entry *entry, tt_error *err)
{
    unsigned long long number = index + 1;
    tt_error detail;
    if (!tt_gguf_read_span(cursor, &entry->key))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the key of metadata pair %llu ends beyond the %llu bytes that are left; the file is cut short "
                       "or damaged",
                       number, (unsigned long long)cursor->n_left);
    const tt_gguf_span *key = &entry->key;
    if (key->n_bytes == 0 || key->n_bytes > TT_GGUF_MAX_KEY)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the key of metadata pair %llu is %llu bytes long, 1 to %d are allowed; the file is damaged",
                       number, (unsigned long long)key->n_bytes, TT_GGUF_MAX_KEY);
    if (check_text(key, NULL) != TT_OK)
        return tt_fail(err, TT_ERROR_FORMAT, "the key of metadata pair %llu is no UTF-8 text; the file is damaged",
                       number);
    tt_status status = read_value(cursor, entry, &detail);
    if (status != TT_OK)
        return tt_fail(err, status, "metadata \"%.*s\": %s", key->n_bytes < 80 ? (int)key->n_bytes : 80,
                       (const char *)key->bytes, detail.text);
    return TT_OK;
}

static tt_status sort_entries(tt_gguf_entry *entries, size_t n_entries, tt_error *err)
{
    if (n_entries > 0)
        qsort(entries, n_entries, sizeof(*entries), compare_entries);
    for (size_t i = 1; i < n_entries; i++)
        if (compare_entries(&entries[i - 1], &entries[i]) == 0)
            return tt_fail(err, TT_ERROR_FORMAT, "metadata \"%.*s\" is given twice; the file is damaged",
                           entries[i].key.n_bytes < 80 ? (int)entries[i].key.n_bytes : 80,
                           (const char *)entries[i].key.bytes);
    return TT_OK;
}

tt_status tt_gguf_read_entries(tt_gguf_cursor *cursor, uint64_t n_entries, tt_gguf_entry **entries, tt_error *err)
{
    *entries = NULL;
    if (n_entries > TT_GGUF_MAX_PAIRS || n_entries > cursor->n_left / MIN_ENTRY)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%llu metadata pairs are promised, at most %d are read and only %llu bytes follow; the file is "
                       "cut short or damaged",
                       (unsigned long long)n_entries, TT_GGUF_MAX_PAIRS, (unsigned long long)cursor->n_left);
    tt_gguf_entry *made = calloc((size_t)n_entries + 1, sizeof(*made));
    if (made == NULL)
        return tt_fail_memory(err, "metadata", (size_t)n_entries * sizeof(*made));
    tt_status status = TT_OK;
    for (uint64_t i = 0; status == TT_OK && i < n_entries; i++)
        status = read_entry(cursor, i, &made[i], err);
    if (status == TT_OK)
        status = sort_entries(made, (size_t)n_entries, err);
    if (status == TT_OK)
        *entries = made;
    else
        free(made);
    return status;
}

const tt_gguf_entry *tt_gguf_find_entry(const tt_gguf_entry *entries, size_t n_entries, const char *key)
{
    tt_gguf_entry wanted = {.key = {(const uint8_t *)key, strlen(key)}};
    return n_entries == 0 ? NULL : bsearch(&wanted, entries, n_entries, sizeof(*entries), compare_entries);
}

/* ---- values as text and integers -------------------------------------------------------------------------------- */

static int64_t sign_extended(uint64_t value, uint64_t n_bytes)
{
    uint64_t sign = (uint64_t)1 << (8 * n_bytes - 1);
    return (int64_t)((value ^ sign) - sign);
}

static bool is_signed(uint32_t type)
{
    return type == TT_GGUF_I8 || type == TT_GGUF_I16 || type == TT_GGUF_I32 || type == TT_GGUF_I64;
}

/* The number with a decimal point, whatever the locale writes. */
static void fraction_text(uint64_t bits, uint64_t n_bytes, char number[64])
{
    double wide;
    float narrow;
    uint32_t low = (uint32_t)bits;
    memcpy(&narrow, &low, sizeof(narrow));
    memcpy(&wide, &bits, sizeof(wide));
    (void)snprintf(number, 64, "%.*g", n_bytes == 4 ? 9 : 17, n_bytes == 4 ? (double)narrow : wide);
    char *comma = strchr(number, ',');
    if (comma != NULL)
        *comma = '.';
}

bool tt_gguf_entry_text(const tt_gguf_entry *entry, char number[64], tt_gguf_span *text)
{
    *text = entry->value;
    if (entry->type == TT_GGUF_TEXT || entry->type == TT_GGUF_ARRAY)
        return entry->type == TT_GGUF_TEXT;
    uint64_t value = little_endian(entry->value.bytes, (size_t)entry->value.n_bytes);
    if (entry->type == TT_GGUF_F32 || entry->type == TT_GGUF_F64)
        fraction_text(value, entry->value.n_bytes, number);
    else if (entry->type == TT_GGUF_BOOL)
        (void)snprintf(number, 64, "%s", value != 0 ? "true" : "false");
    else if (is_signed(entry->type))
        (void)snprintf(number, 64, "%" PRId64, sign_extended(value, entry->value.n_bytes));
    else
        (void)snprintf(number, 64, "%" PRIu64, value);
    *text = (tt_gguf_span){(const uint8_t *)number, strlen(number)};
    return true;
}

bool tt_gguf_entry_integer(const tt_gguf_entry *entry, uint64_t i, uint64_t *value)
{
    uint32_t type = entry->element_type;
    if (entry->type != TT_GGUF_ARRAY || type == TT_GGUF_F32 || type == TT_GGUF_F64 || type == TT_GGUF_BOOL ||
        value_size(type) == 0 || i >= entry->n_elements)
        return false;
    uint64_t size = value_size(type), raw = little_endian(entry->value.bytes + i * size, (size_t)size);
    *value = raw;
    return !is_signed(type) || sign_extended(raw, size) >= 0;
}
