/* sha256.c - SHA-256 of files and blocks, by libcrypto. */
#define _POSIX_C_SOURCE 200809L
#include "base/sha256.h"

#include "base/file.h"

#include <openssl/evp.h>

static void write_hex(const unsigned char digest[32], char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

tt_status tt_sha256_hex(const void *bytes, size_t n_bytes, char hex[65], tt_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(bytes, n_bytes, digest, &length, EVP_sha256(), NULL) != 1 || length != 32)
        return tt_fail(err, TT_ERROR_INTERNAL, "libcrypto could not compute a SHA-256; check its installation");
    write_hex(digest, hex);
    return TT_OK;
}

/* Bytes of a mapping in pieces, each given back when it is done with: hashing a model must not make it resident. */
static bool update_in_pieces(EVP_MD_CTX *state, const tt_mapping *mapping)
{
    const uint64_t most = 8u << 20;
    for (uint64_t at = 0; at < mapping->n_bytes; at += most) {
        size_t n = (size_t)(mapping->n_bytes - at < most ? mapping->n_bytes - at : most);
        if (EVP_DigestUpdate(state, mapping->bytes + at, n) != 1)
            return false;
        tt_mapping_drop(mapping->bytes + at, n);
    }
    return true;
}

tt_status tt_sha256_file_hex(const char *path, char hex[65], tt_error *err)
{
    tt_mapping mapping;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    tt_status status = tt_file_map(path, &mapping, err);
    if (status != TT_OK)
        return status;
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    bool is_made = state != NULL && EVP_DigestInit_ex(state, EVP_sha256(), NULL) == 1 &&
                   update_in_pieces(state, &mapping) && EVP_DigestFinal_ex(state, digest, &length) == 1 && length == 32;
    EVP_MD_CTX_free(state);
    tt_file_unmap(&mapping);
    if (!is_made)
        return tt_fail(err, TT_ERROR_INTERNAL, "libcrypto could not compute a SHA-256; check its installation");
    write_hex(digest, hex);
    return TT_OK;
}
