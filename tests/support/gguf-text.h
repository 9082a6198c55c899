/* gguf-text.h - GGUF files written down as text, so that a test can bend any byte of them. */
#ifndef TT_TESTS_SUPPORT_GGUF_TEXT_H
#define TT_TESTS_SUPPORT_GGUF_TEXT_H

#include "base/error.h"

/* Makes a block of bytes (free()) from words that are parted by spaces; NULL when memory is out.
 *   =TEXT   the letters as they are       $TEXT   8 bytes of length, then the letters
 *   N:K     the number N in K bytes       *N:K    N bytes of value K
 *   ~N      zero bytes up to a multiple of N
 * The test fails for a word that is none of these. */
uint8_t *gguf_block(const char *text, size_t *n_bytes);

/* Begin of a file of version 3 that promises so many tensors and metadata pairs. */
#define GGUF_HEAD(n_tensors, n_pairs) "=GGUF 3:4 " #n_tensors ":8 " #n_pairs ":8 "

/* Two tensors and their data: "a" F32 [2, 2] and "b" Q4_0 [64]. */
#define GGUF_A "$a 2:4 2:8 2:8 0:4 0:8 "
#define GGUF_B "$b 1:4 64:8 2:4 32:8 "
#define GGUF_DATA "~32 *68:0"

/* The well-formed file that hostile ones are bent from. */
#define GGUF_SOUND GGUF_HEAD(2, 1) "$k 8:4 $text " GGUF_A GGUF_B GGUF_DATA

#endif
