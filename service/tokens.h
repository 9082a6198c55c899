/* tokens.h - who may use the service: a file with a line "NAME SHA256-OF-TOKEN [MAX-QUEUED]" for each token.
 *
 * Tokens themselves are nowhere on the server. `tintype-gate --new-token NAME` prints a token once and the line for the
 * file. Comparison takes the same time whatever matches. */
#ifndef TT_SERVICE_TOKENS_H
#define TT_SERVICE_TOKENS_H

#include "base/error.h"

typedef struct tt_tokens tt_tokens;

/* Reads and checks a file; NULL: anybody may use the service under the name "anyone" (loopback only, the gate sees to
 * it). Threads may look up at once. */
tt_status tt_tokens_read(const char *path, tt_tokens **tokens, tt_error *err);
void tt_tokens_free(tt_tokens *tokens);

typedef struct tt_token_owner {
    char name[64];
    uint64_t max_queued; /* 0: the service's default */
} tt_token_owner;

/* authorization: the header's value, or NULL. False: 401 (no token) or 403 (unknown token) in *code. */
bool tt_tokens_find(const tt_tokens *tokens, const char *authorization, tt_token_owner *owner, uint32_t *code);

/* A new random token of 43 characters (256 bits, base64url) and its line. */
tt_status tt_token_make(const char *name, char token[64], char line[160], tt_error *err);

#endif
