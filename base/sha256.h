/* sha256.h - SHA-256 (FIPS 180-4) of files and blocks, by libcrypto. */
#ifndef TT_BASE_SHA256_H
#define TT_BASE_SHA256_H

#include "base/error.h"

/* Lower-case hex digits of the digest, 64 and a terminator. */
tt_status tt_sha256_hex(const void *bytes, size_t n_bytes, char hex[65], tt_error *err);
tt_status tt_sha256_file_hex(const char *path, char hex[65], tt_error *err);

#endif
