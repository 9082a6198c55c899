/* pieces.h - equal overlapping pieces of a side: each begins `piece - overlap` after the one before it, and the last is
 * moved inwards. */
#ifndef TT_BASE_PIECES_H
#define TT_BASE_PIECES_H

#include <stdint.h>

/* Distance between two beginnings; pieces no longer than their overlap begin one after the other. */
static inline uint32_t tt_pieces_step(uint32_t piece, uint32_t overlap)
{
    return piece > overlap ? piece - overlap : 1;
}

/* How many cover a side. */
static inline uint32_t tt_pieces_count(uint32_t size, uint32_t piece, uint32_t overlap)
{
    uint32_t step = tt_pieces_step(piece, overlap);
    return size <= piece ? 1 : 1 + (size - piece + step - 1) / step;
}

/* Where piece `index` begins; piece is at most size. */
static inline uint32_t tt_pieces_start(uint32_t index, uint32_t size, uint32_t piece, uint32_t overlap)
{
    uint32_t start = index * tt_pieces_step(piece, overlap);
    return start + piece > size ? size - piece : start;
}

#endif
