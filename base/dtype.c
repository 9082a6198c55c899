/* dtype.c - element types and conversions.
 *
 * The conversions are branch-free bit arithmetic, so that compilers turn the loops into vector code for any target:
 * gigabytes of weights pass through them when a model is loaded. No subnormal float ever enters an addition, so a
 * caller's flush-to-zero mode does not change results. */
#include "base/dtype.h"

#include "base/blocks.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const struct {
    const char *name;
    size_t block, n_bytes; /* elements of a block, bytes of a block */
} types[TT_N_DTYPES] = {
    [TT_F64] = {"F64", 1, 8},       [TT_F32] = {"F32", 1, 4},       [TT_F16] = {"F16", 1, 2},
    [TT_BF16] = {"BF16", 1, 2},     [TT_I64] = {"I64", 1, 8},       [TT_I32] = {"I32", 1, 4},
    [TT_I16] = {"I16", 1, 2},       [TT_I8] = {"I8", 1, 1},         [TT_U8] = {"U8", 1, 1},
    [TT_BOOL] = {"BOOL", 1, 1},     [TT_Q4_0] = {"Q4_0", 32, 18},   [TT_Q4_1] = {"Q4_1", 32, 20},
    [TT_Q5_0] = {"Q5_0", 32, 22},   [TT_Q5_1] = {"Q5_1", 32, 24},   [TT_Q8_0] = {"Q8_0", 32, 34},
    [TT_Q2_K] = {"Q2_K", 256, 84},  [TT_Q3_K] = {"Q3_K", 256, 110}, [TT_Q4_K] = {"Q4_K", 256, 144},
    [TT_Q5_K] = {"Q5_K", 256, 176}, [TT_Q6_K] = {"Q6_K", 256, 210},
};

size_t tt_dtype_size(tt_dtype dtype)
{
    return types[dtype].block == 1 ? types[dtype].n_bytes : 0;
}

bool tt_dtype_is_block(tt_dtype dtype)
{
    return types[dtype].block > 1;
}

size_t tt_dtype_block(tt_dtype dtype)
{
    return types[dtype].block;
}

size_t tt_dtype_block_bytes(tt_dtype dtype)
{
    return types[dtype].n_bytes;
}

uint64_t tt_dtype_bytes(tt_dtype dtype, uint64_t n)
{
    return n / types[dtype].block * types[dtype].n_bytes;
}

const char *tt_dtype_name(tt_dtype dtype)
{
    return types[dtype].name;
}

bool tt_dtype_parse(const char *name, tt_dtype *dtype)
{
    for (int i = 0; i < TT_N_DTYPES; i++)
        if (!tt_dtype_is_block((tt_dtype)i) && strcmp(name, types[i].name) == 0) {
            *dtype = (tt_dtype)i;
            return true;
        }
    return false;
}

uint64_t tt_tensor_count(const tt_tensor *tensor)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        count *= tensor->dims[i];
    return count;
}

void tt_shape_text(uint32_t n_dims, const uint64_t *dims, char *text, size_t n_bytes)
{
    if (n_bytes == 0)
        return;
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < n_dims && used < n_bytes; i++) {
        int n = snprintf(text + used, n_bytes - used, "%s%llu", i == 0 ? "[" : ", ", (unsigned long long)dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < n_bytes)
        (void)snprintf(text + used, n_bytes - used, "%s", n_dims == 0 ? "[]" : "]");
}

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* All bits set when the condition holds: a select that every vectoriser understands. */
static inline uint32_t mask_if(bool condition)
{
    return condition ? 0xffffffffu : 0u;
}

static inline uint32_t half_to_bits(uint32_t half)
{
    uint32_t sign = (half & 0x8000u) << 16, body = (half & 0x7fffu) << 13;
    uint32_t exponent = body & 0x0f800000u;
    uint32_t normal = body + (112u << 23);
    /* Infinity and NaN: the exponent moves on to 255. */
    normal += mask_if(exponent == 0x0f800000u) & (112u << 23);
    /* Zero and subnormals: build 2^-14 * (1 + m) and take 2^-14 away, which normalises exactly. */
    uint32_t small = bits_of(float_of((body & 0x007fe000u) | (113u << 23)) - float_of(113u << 23));
    uint32_t is_small = mask_if(exponent == 0);
    return sign | (small & is_small) | (normal & ~is_small);
}

static inline uint32_t bits_to_half(uint32_t bits)
{
    uint32_t sign = bits >> 16 & 0x8000u, body = bits & 0x7fffffffu;
    /* Normal halves: move the exponent, round to nearest even at bit 13; a carry past the largest gives infinity. */
    uint32_t normal = (body + 0xfffu + (body >> 13 & 1u) - (112u << 23)) >> 13;
    /* Below 2^-14: adding 0.5 lets the float adder align and round to a multiple of 2^-24. */
    uint32_t clamped = body < (113u << 23) ? body : 113u << 23;
    uint32_t small = bits_of(float_of(clamped) + 0.5f) - bits_of(0.5f);
    uint32_t nan = 0x7e00u | (body >> 13 & 0x3ffu);
    uint32_t half = body < (113u << 23) ? small : normal;
    half = body >= (143u << 23) ? 0x7c00u : half;
    half = body > 0x7f800000u ? nan : half;
    return sign | half;
}

float tt_half_to_float(uint16_t half)
{
    return float_of(half_to_bits(half));
}

uint16_t tt_float_to_half(float value)
{
    return (uint16_t)bits_to_half(bits_of(value));
}

float tt_bf16_to_float(uint16_t bf16)
{
    return float_of((uint32_t)bf16 << 16);
}

/* Processors with F16C convert eight at a time, several times as fast as the bit arithmetic that finishes the rest.
 * Both return how many elements they did. */
#if defined(__x86_64__)
__attribute__((target("avx2,f16c"))) static size_t f16c_to_float(const uint8_t *src, float *dst, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i))));
    return i;
}

__attribute__((target("avx2,f16c"))) static size_t f16c_to_half(const float *src, uint16_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(dst + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    return i;
}

static bool has_f16c(void)
{
    return __builtin_cpu_supports("avx2"); /* every processor with AVX2 has F16C; not all compilers know its name */
}
#else
static size_t f16c_to_float(const uint8_t *src, float *dst, size_t n)
{
    (void)src, (void)dst, (void)n;
    return 0;
}

static size_t f16c_to_half(const float *src, uint16_t *dst, size_t n)
{
    (void)src, (void)dst, (void)n;
    return 0;
}

static bool has_f16c(void)
{
    return false;
}
#endif

static void halves_to_float(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (size_t i = has_f16c() ? f16c_to_float(src, dst, n) : 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof(half));
        dst[i] = float_of(half_to_bits(half));
    }
}

static void bf16_to_float(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t bf16;
        memcpy(&bf16, src + 2 * i, sizeof(bf16));
        dst[i] = tt_bf16_to_float(bf16);
    }
}

static void doubles_to_float(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, src + 8 * i, sizeof(value));
        dst[i] = (float)value;
    }
}

/* Integer i of a block, sign-extended. */
static int64_t integer_at(tt_dtype dtype, const uint8_t *src, size_t i)
{
    int64_t wide;
    int32_t word;
    int16_t two;
    switch (dtype) {
    case TT_I64:
        memcpy(&wide, src + 8 * i, sizeof(wide));
        return wide;
    case TT_I32:
        memcpy(&word, src + 4 * i, sizeof(word));
        return word;
    case TT_I16:
        memcpy(&two, src + 2 * i, sizeof(two));
        return two;
    case TT_I8:
        return (int8_t)src[i];
    default:
        return src[i];
    }
}

void tt_to_float(tt_dtype dtype, const void *src, float *dst, size_t n)
{
    switch (dtype) {
    case TT_F32:
        if (n > 0)
            memcpy(dst, src, n * sizeof(float));
        break;
    case TT_F16:
        halves_to_float(src, dst, n);
        break;
    case TT_BF16:
        bf16_to_float(src, dst, n);
        break;
    case TT_F64:
        doubles_to_float(src, dst, n);
        break;
    default:
        if (tt_dtype_is_block(dtype)) {
            tt_blocks_to_float(dtype, src, dst, n);
            break;
        }
        for (size_t i = 0; i < n; i++)
            dst[i] = (float)integer_at(dtype, src, i);
    }
}

void tt_to_half(const float *src, uint16_t *dst, size_t n)
{
    for (size_t i = has_f16c() ? f16c_to_half(src, dst, n) : 0; i < n; i++)
        dst[i] = (uint16_t)bits_to_half(bits_of(src[i]));
}
