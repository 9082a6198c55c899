/* built-in.h - the built-in model, and a copy of it in the other container. */
#ifndef TT_TESTS_SUPPORT_BUILT_IN_H
#define TT_TESTS_SUPPORT_BUILT_IN_H

#define BUILT_IN_MODEL "models/tintype-mini.gguf"

/* Writes the built-in model as a safetensors file of halves with its own metadata. Where key is not NULL, that key's
 * text is `text` instead, or the key is left out where text is NULL. */
void built_in_halves(const char *to, const char *key, const char *text);

#endif
