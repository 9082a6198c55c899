/* rng.c - torch's CPU generator and its CUDA generator, on the host.
 *
 * MT19937: Matsumoto & Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998. Philox: Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC'11. Normals by Box & Muller, 1958. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { MT_WORDS = 624, MT_SHIFT = 397 };

static const double two_pi = 6.283185307179586476925286766559;

void tt_rng_init(tt_rng_state *state, tt_rng kind, uint64_t seed)
{
    memset(state, 0, sizeof(*state));
    state->kind = kind;
    state->seed = seed;
    state->mt[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < MT_WORDS; i++) {
        uint32_t last = state->mt[i - 1];
        state->mt[i] = 1812433253u * (last ^ last >> 30) + i;
    }
    state->mt_index = MT_WORDS;
}

static void mt_refill(tt_rng_state *state)
{
    uint32_t *mt = state->mt;
    for (uint32_t i = 0; i < MT_WORDS; i++) {
        uint32_t mixed = (mt[i] & 0x80000000u) | (mt[(i + 1) % MT_WORDS] & 0x7fffffffu);
        mt[i] = mt[(i + MT_SHIFT) % MT_WORDS] ^ mixed >> 1 ^ (mixed & 1u ? 0x9908b0dfu : 0u);
    }
    state->mt_index = 0;
}

uint32_t tt_rng_mt_next(tt_rng_state *state)
{
    if (state->mt_index >= MT_WORDS)
        mt_refill(state);
    uint32_t word = state->mt[state->mt_index++];
    word ^= word >> 11;
    word ^= word << 7 & 0x9d2c5680u;
    word ^= word << 15 & 0xefc60000u;
    return word ^ word >> 18;
}

/* 24 random bits in [0, 1). */
static float uniform_float(tt_rng_state *state)
{
    return (float)(tt_rng_mt_next(state) & 0xffffffu) * 0x1p-24f;
}

/* 53 random bits in [0, 1): the first output is the high word. */
static double uniform_double(tt_rng_state *state)
{
    uint64_t high = tt_rng_mt_next(state), low = tt_rng_mt_next(state);
    return (double)((high << 32 | low) & 0x1fffffffffffffu) * 0x1p-53;
}

/* Sixteen uniforms become sixteen normals: j and j + 8 are one Box-Muller pair. The angle is rounded to float before
 * its cosine is taken, as torch does; the functions are those of double, so that each value is the correctly rounded
 * one and does not depend on the platform's float functions. */
static void normal_block(float *block)
{
    for (int j = 0; j < 8; j++) {
        float u1 = 1.0f - block[j];
        float angle = (float)two_pi * block[j + 8];
        float radius = (float)sqrt(-2.0 * (double)(float)log((double)u1));
        block[j] = radius * (float)cos((double)angle);
        block[j + 8] = radius * (float)sin((double)angle);
    }
}

static void cpu_blocks(tt_rng_state *state, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = uniform_float(state);
    for (size_t i = 0; i + 16 <= n; i += 16)
        normal_block(out + i);
    if (n % 16 == 0)
        return;
    for (size_t i = n - 16; i < n; i++)
        out[i] = uniform_float(state);
    normal_block(out + n - 16);
}

/* One normal from doubles; the sine of each pair is kept for the next call. */
static double cpu_single(tt_rng_state *state)
{
    if (state->has_cached_normal) {
        state->has_cached_normal = false;
        return state->cached_normal;
    }
    double u1 = uniform_double(state), u2 = uniform_double(state);
    double radius = sqrt(-2.0 * log1p(-u2)), angle = two_pi * u1;
    state->cached_normal = radius * sin(angle);
    state->has_cached_normal = true;
    return radius * cos(angle);
}

/* The first two words of Philox 4x32-10 for counter {offset, 0, index, 0}. */
static void philox(uint64_t seed, uint32_t offset, uint32_t index, uint32_t words[2])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = offset, c1 = 0, c2 = index, c3 = 0;
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)c0 * 0xd2511f53u, product1 = (uint64_t)c2 * 0xcd9e8d57u;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)product0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    words[0] = c0;
    words[1] = c1;
}

/* In double throughout: CUDA's own float arithmetic differs from it by some 1e-7. */
static void cuda_normal(tt_rng_state *state, float *out, size_t n)
{
    const double step = two_pi * 0x1p-32;
    for (size_t i = 0; i < n; i++) {
        uint32_t words[2];
        philox(state->seed, state->offset, (uint32_t)i, words);
        double u = (double)words[0] * 0x1p-32 + 0x1p-33;
        double angle = (double)words[1] * step + step / 2;
        out[i] = (float)(sqrt(-2.0 * log(u)) * sin(angle));
    }
    state->offset++;
}

void tt_rng_normal(tt_rng_state *state, float *out, size_t n)
{
    if (state->kind == TT_RNG_CUDA)
        cuda_normal(state, out, n);
    else if (n >= 16)
        cpu_blocks(state, out, n);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (float)cpu_single(state);
}

/* ---- as words */

enum { AT_KIND = 0, AT_SEED = 1, AT_INDEX = 3, AT_OFFSET = 4, AT_HAS_NORMAL = 5, AT_NORMAL = 6, AT_MT = 8 };

void tt_rng_save(const tt_rng_state *state, uint32_t words[TT_RNG_WORDS])
{
    uint64_t normal = 0;
    double cached = state->has_cached_normal ? state->cached_normal : 0.0;
    memcpy(&normal, &cached, sizeof normal);
    words[AT_KIND] = (uint32_t)state->kind;
    words[AT_SEED] = (uint32_t)state->seed;
    words[AT_SEED + 1] = (uint32_t)(state->seed >> 32);
    words[AT_INDEX] = state->mt_index;
    words[AT_OFFSET] = state->offset;
    words[AT_HAS_NORMAL] = state->has_cached_normal ? 1 : 0;
    words[AT_NORMAL] = (uint32_t)normal;
    words[AT_NORMAL + 1] = (uint32_t)(normal >> 32);
    memcpy(words + AT_MT, state->mt, sizeof state->mt);
}

tt_status tt_rng_restore(tt_rng_state *state, const uint32_t words[TT_RNG_WORDS], tt_error *err)
{
    uint64_t normal = (uint64_t)words[AT_NORMAL + 1] << 32 | words[AT_NORMAL];
    tt_rng_state read = {.seed = (uint64_t)words[AT_SEED + 1] << 32 | words[AT_SEED],
                         .mt_index = words[AT_INDEX],
                         .offset = words[AT_OFFSET],
                         .has_cached_normal = words[AT_HAS_NORMAL] == 1};
    memcpy(&read.cached_normal, &normal, sizeof normal);
    memcpy(read.mt, words + AT_MT, sizeof read.mt);
    if (words[AT_KIND] > TT_RNG_CUDA || read.mt_index > MT_WORDS || words[AT_HAS_NORMAL] > 1 ||
        !isfinite(read.cached_normal))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the random generator's state is none: kind %u, place %u of %d, cached value %g",
                       (unsigned)words[AT_KIND], (unsigned)read.mt_index, MT_WORDS, read.cached_normal);
    read.kind = words[AT_KIND] == TT_RNG_CUDA ? TT_RNG_CUDA : TT_RNG_CPU;
    *state = read;
    return TT_OK;
}
