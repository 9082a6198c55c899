/* rng.h - random latents with the very values that torch gives for the same seed.
 *
 * TT_RNG_CPU follows torch's CPU generator: MT19937 seeded with the low 32 bits; normal_() on a float tensor of n >= 16
 * draws n uniforms (24 bits of a 32-bit output / 2^24) and turns blocks of 16 into normals by Box-Muller (elements j
 * and j+8, u1 = 1 - x), redoing the last 16 when n is no multiple of 16; for n < 16 each normal is drawn from doubles
 * (53 bits from two outputs, Box-Muller with the sine value cached for the next). TT_RNG_CUDA follows torch's CUDA
 * generator: Philox 4x32-10 (Salmon et al., SC'11), key = seed, one counter per element, as stable-diffusion web UIs
 * reproduce it on the CPU: each randn of n elements uses counter offset (call number) and element index, Box-Muller of
 * the first two words. */
#ifndef TT_BASE_RNG_H
#define TT_BASE_RNG_H

#include "base/error.h"

typedef struct tt_rng_state {
    tt_rng kind;
    uint64_t seed;
    uint32_t mt[624]; /* MT19937 state */
    uint32_t mt_index;
    uint32_t offset;      /* Philox: number of randn calls so far */
    double cached_normal; /* the second value of a Box-Muller pair of doubles */
    bool has_cached_normal;
} tt_rng_state;

/* Seeds a generator. */
void tt_rng_init(tt_rng_state *state, tt_rng kind, uint64_t seed);

/* Fills out[n] with standard normals, as torch.randn(n, generator=...) would. */
void tt_rng_normal(tt_rng_state *state, float *out, size_t n);

/* The generator as words, to be kept in a file: kind, seed, MT19937's state and place, Philox's offset, the cached
 * normal. */
enum { TT_RNG_WORDS = 632 };
void tt_rng_save(const tt_rng_state *state, uint32_t words[TT_RNG_WORDS]);

/* The generator that was saved: it goes on with the same values. Words that no generator has (from a damaged or hostile
 * file) fail with TT_ERROR_FORMAT. */
tt_status tt_rng_restore(tt_rng_state *state, const uint32_t words[TT_RNG_WORDS], tt_error *err);

/* One 32-bit output of MT19937, for tests. */
uint32_t tt_rng_mt_next(tt_rng_state *state);

#endif
