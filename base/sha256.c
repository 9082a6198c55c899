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

/* Hashes a mapping piece by piece and lets each piece go: a model of gigabytes must not fill the memory. */
static bool digest_mapping(EVP_MD_CTX *state, const tt_mapping *mapping, unsigned char digest[EVP_MAX_MD_SIZE])
{
    const uint64_t piece = 8u << 20;
    unsigned length = 0;
    bool good = state != NULL && EVP_DigestInit_ex(state, EVP_sha256(), NULL) == 1;
    for (uint64_t at = 0; good && at < mapping->n_bytes; at += piece) {
        size_t n = (size_t)(mapping->n_bytes - at < piece ? mapping->n_bytes - at : piece);
        good = EVP_DigestUpdate(state, mapping->bytes + at, n) == 1;
        tt_mapping_drop(mapping->bytes + at, n);
    }
    return good && EVP_DigestFinal_ex(state, digest, &length) == 1 && length == 32;
}

tt_status tt_sha256_file_hex(const char *path, char hex[65], tt_error *err)
{
    tt_mapping mapping;
    unsigned char digest[EVP_MAX_MD_SIZE];
    tt_status status = tt_file_map(path, &mapping, err);
    if (status != TT_OK)
        return status;
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    if (digest_mapping(state, &mapping, digest))
        write_hex(digest, hex);
    else
        status = tt_fail(err, TT_ERROR_INTERNAL, "libcrypto could not compute a SHA-256; check its installation");
    EVP_MD_CTX_free(state);
    tt_file_unmap(&mapping);
    return status;
}
