/* gguf-private.h - what the reader and the writer of GGUF share. Private to model-file/. */
#ifndef TT_MODEL_FILE_GGUF_PRIVATE_H
#define TT_MODEL_FILE_GGUF_PRIVATE_H

#include "model-file/gguf.h"

enum {
    TT_GGUF_MAX_TENSORS = 65536,
    TT_GGUF_MAX_PAIRS = 65536,
    TT_GGUF_MAX_DIMS = 4,
    TT_GGUF_MAX_KEY = 65535, /* bytes of a key, by the specification */
    TT_GGUF_ALIGNMENT = 32   /* where a file says nothing else */
};

/* Types of metadata values. */
typedef enum tt_gguf_value_type {
    TT_GGUF_U8 = 0,
    TT_GGUF_I8,
    TT_GGUF_U16,
    TT_GGUF_I16,
    TT_GGUF_U32,
    TT_GGUF_I32,
    TT_GGUF_F32,
    TT_GGUF_BOOL,
    TT_GGUF_TEXT,
    TT_GGUF_ARRAY,
    TT_GGUF_U64,
    TT_GGUF_I64,
    TT_GGUF_F64,
    TT_GGUF_N_VALUE_TYPES
} tt_gguf_value_type;

/* The type of that number in a file; fails with what it is, or with the number when nobody knows it. */
tt_status tt_gguf_type_from_number(uint32_t number, tt_dtype *dtype, tt_error *err);

/* The number of a type in a file; false for types that GGUF does not have. */
bool tt_gguf_type_number(tt_dtype dtype, uint32_t *number);

/* Bytes that the shape needs (file order of dims does not matter, n_row is the length of a row). Fails when a dimension
 * is 0, the product overflows or a row does not consist of whole blocks. */
tt_status tt_gguf_needed_bytes(tt_dtype dtype, uint32_t n_dims, const uint64_t *dims, uint64_t n_row, uint64_t *n_bytes,
                               tt_error *err);

/* A part of the file that is being read: every read is checked against its end. */
typedef struct tt_gguf_cursor {
    const uint8_t *next;
    uint64_t n_left;
} tt_gguf_cursor;

/* A text inside the file, not terminated. */
typedef struct tt_gguf_span {
    const uint8_t *bytes;
    uint64_t n_bytes;
} tt_gguf_span;

/* False, and nothing moves, when the bytes are not there. Numbers are little-endian, texts are 8 bytes of length and
 * then the text. */
bool tt_gguf_skip(tt_gguf_cursor *cursor, uint64_t n_bytes);
bool tt_gguf_read_u8(tt_gguf_cursor *cursor, uint8_t *value);
bool tt_gguf_read_u32(tt_gguf_cursor *cursor, uint32_t *value);
bool tt_gguf_read_u64(tt_gguf_cursor *cursor, uint64_t *value);
bool tt_gguf_read_span(tt_gguf_cursor *cursor, tt_gguf_span *span);

/* One metadata pair where it stands in the file. */
typedef struct tt_gguf_entry {
    tt_gguf_span key;
    tt_gguf_span value; /* texts: the text; arrays: the elements; others: the value */
    uint32_t type;
    uint32_t element_type; /* arrays */
    uint64_t n_elements;   /* arrays */
} tt_gguf_entry;

/* Reads and checks n_entries pairs; *entries is sorted by key, free() it. Sentences do not begin with the file. */
tt_status tt_gguf_read_entries(tt_gguf_cursor *cursor, uint64_t n_entries, tt_gguf_entry **entries, tt_error *err);

/* The entry of a key, NULL when there is none. */
const tt_gguf_entry *tt_gguf_find_entry(const tt_gguf_entry *entries, size_t n_entries, const char *key);

/* A text as it is, a number or bool as decimal text in `number`; false for arrays. */
bool tt_gguf_entry_text(const tt_gguf_entry *entry, char number[64], tt_gguf_span *text);

/* Element i of an array of integers; false when it is no such array or the element is negative. */
bool tt_gguf_entry_integer(const tt_gguf_entry *entry, uint64_t i, uint64_t *value);

#endif
