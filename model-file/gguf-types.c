/* gguf-types.c - the numbers of element types in GGUF files, after enum ggml_type in ggml's ggml.h. */
#include "model-file/gguf-private.h"

#include "base/checked.h"

enum { IS_READ, IS_UNREAD, IS_REMOVED };

/* By number. */
static const struct {
    const char *name;
    int kind;
    tt_dtype dtype;
} types[] = {
    {"F32", IS_READ, TT_F32},      {"F16", IS_READ, TT_F16},      {"Q4_0", IS_READ, TT_Q4_0},
    {"Q4_1", IS_READ, TT_Q4_1},    {"Q4_2", IS_REMOVED, 0},       {"Q4_3", IS_REMOVED, 0},
    {"Q5_0", IS_READ, TT_Q5_0},    {"Q5_1", IS_READ, TT_Q5_1},    {"Q8_0", IS_READ, TT_Q8_0},
    {"Q8_1", IS_UNREAD, 0},        {"Q2_K", IS_READ, TT_Q2_K},    {"Q3_K", IS_READ, TT_Q3_K},
    {"Q4_K", IS_READ, TT_Q4_K},    {"Q5_K", IS_READ, TT_Q5_K},    {"Q6_K", IS_READ, TT_Q6_K},
    {"Q8_K", IS_UNREAD, 0},        {"IQ2_XXS", IS_UNREAD, 0},     {"IQ2_XS", IS_UNREAD, 0},
    {"IQ3_XXS", IS_UNREAD, 0},     {"IQ1_S", IS_UNREAD, 0},       {"IQ4_NL", IS_UNREAD, 0},
    {"IQ3_S", IS_UNREAD, 0},       {"IQ2_S", IS_UNREAD, 0},       {"IQ4_XS", IS_UNREAD, 0},
    {"I8", IS_READ, TT_I8},        {"I16", IS_READ, TT_I16},      {"I32", IS_READ, TT_I32},
    {"I64", IS_READ, TT_I64},      {"F64", IS_READ, TT_F64},      {"IQ1_M", IS_UNREAD, 0},
    {"BF16", IS_READ, TT_BF16},    {"Q4_0_4_4", IS_REMOVED, 0},   {"Q4_0_4_8", IS_REMOVED, 0},
    {"Q4_0_8_8", IS_REMOVED, 0},   {"TQ1_0", IS_UNREAD, 0},       {"TQ2_0", IS_UNREAD, 0},
    {"IQ4_NL_4_4", IS_REMOVED, 0}, {"IQ4_NL_4_8", IS_REMOVED, 0}, {"IQ4_NL_8_8", IS_REMOVED, 0},
    {"MXFP4", IS_UNREAD, 0},       {"NVFP4", IS_UNREAD, 0},
};

enum { N_TYPES = sizeof(types) / sizeof(types[0]) };

tt_status tt_gguf_type_from_number(uint32_t number, tt_dtype *dtype, tt_error *err)
{
    if (number >= N_TYPES)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "element type number %u is not known to this version; the file is damaged or newer than this "
                       "program, use F16, Q8_0 or Q4_K",
                       (unsigned)number);
    if (types[number].kind == IS_UNREAD)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "elements of type %s are not read by this version; use a file of F16, Q8_0, Q4_0 or Q4_K",
                       types[number].name);
    if (types[number].kind == IS_REMOVED)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "elements of type %s, which ggml has given up, are not read; use a file of F16, Q8_0, Q4_0 or "
                       "Q4_K",
                       types[number].name);
    *dtype = types[number].dtype;
    return TT_OK;
}

bool tt_gguf_type_number(tt_dtype dtype, uint32_t *number)
{
    for (uint32_t i = 0; i < N_TYPES; i++)
        if (types[i].kind == IS_READ && types[i].dtype == dtype) {
            *number = i;
            return true;
        }
    return false;
}

tt_status tt_gguf_needed_bytes(tt_dtype dtype, uint32_t n_dims, const uint64_t *dims, uint64_t n_row, uint64_t *n_bytes,
                               tt_error *err)
{
    uint64_t count = 1, block = tt_dtype_block(dtype);
    char shape[192];
    tt_shape_text(n_dims, dims, shape, sizeof(shape));
    for (uint32_t i = 0; i < n_dims; i++) {
        if (dims[i] == 0)
            return tt_fail(err, TT_ERROR_FORMAT, "shape %s: expected dimensions of 1 or more; the file is damaged",
                           shape);
        if (!tt_mul_u64(count, dims[i], &count))
            return tt_fail(err, TT_ERROR_FORMAT,
                           "shape %s has more elements than 64 bits can count; the file is damaged", shape);
    }
    if (n_row % block != 0)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "rows of %llu elements, but blocks of %s hold %llu: expected whole blocks; the file is damaged",
                       (unsigned long long)n_row, tt_dtype_name(dtype), (unsigned long long)block);
    if (!tt_mul_u64(count / block, tt_dtype_block_bytes(dtype), n_bytes))
        return tt_fail(err, TT_ERROR_FORMAT, "shape %s needs more bytes than 64 bits can count; the file is damaged",
                       shape);
    return TT_OK;
}
