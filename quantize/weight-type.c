/* weight-type.c - names and sizes of the types that weights are written as. */
#include "quantize/weight-type.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct type_row {
    const char *name;
    tt_dtype dtype;
    bool keeps_zero;
    tt_weight_type fallback; /* where blocks of 256 do not fit */
} type_row;

static const type_row types[TT_N_WEIGHT_TYPES] = {
    [TT_WEIGHT_Q2_K] = {"q2_k", TT_Q2_K, false, TT_WEIGHT_Q4_0},
    [TT_WEIGHT_Q3_K] = {"q3_k", TT_Q3_K, true, TT_WEIGHT_Q4_0},
    [TT_WEIGHT_Q4_0] = {"q4_0", TT_Q4_0, true, TT_WEIGHT_F16},
    [TT_WEIGHT_Q4_K] = {"q4_k", TT_Q4_K, false, TT_WEIGHT_Q5_0},
    [TT_WEIGHT_Q4_1] = {"q4_1", TT_Q4_1, false, TT_WEIGHT_F16},
    [TT_WEIGHT_Q5_0] = {"q5_0", TT_Q5_0, true, TT_WEIGHT_F16},
    [TT_WEIGHT_Q5_K] = {"q5_k", TT_Q5_K, false, TT_WEIGHT_Q5_1},
    [TT_WEIGHT_Q5_1] = {"q5_1", TT_Q5_1, false, TT_WEIGHT_F16},
    [TT_WEIGHT_Q6_K] = {"q6_k", TT_Q6_K, true, TT_WEIGHT_Q8_0},
    [TT_WEIGHT_W8C] = {"w8c", TT_I8, true, TT_WEIGHT_W8C},
    [TT_WEIGHT_W8CA] = {"w8ca", TT_I8, false, TT_WEIGHT_W8CA},
    [TT_WEIGHT_Q8_0] = {"q8_0", TT_Q8_0, true, TT_WEIGHT_F16},
    [TT_WEIGHT_F16] = {"f16", TT_F16, true, TT_WEIGHT_F16},
    [TT_WEIGHT_F32] = {"f32", TT_F32, true, TT_WEIGHT_F32},
};

const char *tt_weight_type_name(tt_weight_type type)
{
    return types[type].name;
}

tt_status tt_weight_type_parse(const char *name, size_t n_name, tt_weight_type *type, tt_error *err)
{
    char known[160] = "";
    for (int i = 0; i < TT_N_WEIGHT_TYPES; i++) {
        if (strlen(types[i].name) == n_name && strncasecmp(types[i].name, name, n_name) == 0) {
            *type = (tt_weight_type)i;
            return TT_OK;
        }
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", types[i].name);
    }
    return tt_fail(err, TT_ERROR_ARGUMENT, "\"%.*s\" is no type of weights; the types are %s",
                   n_name > 40 ? 40 : (int)n_name, name, known);
}

tt_dtype tt_weight_type_dtype(tt_weight_type type)
{
    return types[type].dtype;
}

bool tt_weight_type_is_channel(tt_weight_type type)
{
    return type == TT_WEIGHT_W8C || type == TT_WEIGHT_W8CA;
}

bool tt_weight_type_is_quantized(tt_weight_type type)
{
    return type != TT_WEIGHT_F16 && type != TT_WEIGHT_F32;
}

bool tt_weight_type_keeps_zero(tt_weight_type type)
{
    return types[type].keeps_zero;
}

bool tt_weight_type_fits(tt_weight_type type, uint64_t n_columns)
{
    return n_columns > 0 && n_columns % tt_dtype_block(types[type].dtype) == 0;
}

tt_weight_type tt_weight_type_fallback(tt_weight_type type, uint64_t n_columns)
{
    if (!tt_weight_type_fits(type, n_columns))
        type = types[type].fallback;
    return tt_weight_type_fits(type, n_columns) ? type : TT_WEIGHT_F16;
}

uint64_t tt_weight_type_bytes(tt_weight_type type, uint64_t n_rows, uint64_t n_columns)
{
    uint64_t per_row = type == TT_WEIGHT_W8C ? sizeof(float) : type == TT_WEIGHT_W8CA ? 2 * sizeof(float) : 0;
    return n_rows * (tt_dtype_bytes(types[type].dtype, n_columns) + per_row);
}
