/* blocks_peer.c - the library's side of check_blocks.py: blocks_peer decode|plain TYPE IN OUT. */
#include "quantize/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *read_all(const char *path, size_t *n_bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        exit(2);
    *n_bytes = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*n_bytes);
    if (bytes == NULL || fread(bytes, 1, *n_bytes, file) != *n_bytes)
        exit(2);
    (void)fclose(file);
    return bytes;
}

static tt_dtype block_type(const char *name)
{
    for (int i = 0; i < TT_N_DTYPES; i++)
        if (tt_dtype_is_block((tt_dtype)i) && strcmp(tt_dtype_name((tt_dtype)i), name) == 0)
            return (tt_dtype)i;
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    tt_dtype dtype = block_type(argv[2]);
    bool decode = strcmp(argv[1], "decode") == 0;
    size_t n_in, n, n_out;
    void *in = read_all(argv[3], &n_in);
    n = decode ? n_in / tt_dtype_block_bytes(dtype) * tt_dtype_block(dtype) : n_in / sizeof(float);
    n_out = decode ? n * sizeof(float) : (size_t)tt_dtype_bytes(dtype, n);
    void *out = malloc(n_out);
    FILE *file = fopen(argv[4], "wb");
    if (out == NULL || file == NULL)
        return 2;
    if (decode)
        tt_to_float(dtype, in, out, n);
    else
        tt_encode_blocks(dtype, TT_FIT_PLAIN, in, NULL, n, out);
    bool written = fwrite(out, 1, n_out, file) == n_out && fclose(file) == 0;
    free(in);
    free(out);
    return written ? 0 : 2;
}
