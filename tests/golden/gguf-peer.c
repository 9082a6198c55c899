/* gguf-peer.c - the engine's side of check_gguf.py: what it reads of a GGUF file, and a file that it writes.
 *
 *   gguf-peer read FILE OUT KEY...    writes every tensor to OUT, a line "name TAB type TAB dims" and then its elements
 *                                     as floats, and prints the metadata of the keys as hexadecimal digits
 *   gguf-peer copy FILE OUT KEY...    writes the tensors and the metadata of the keys to OUT as another GGUF file */
#include "model-file/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEYS = 64, PIECE = 1013 };

static int fail(const char *sentence)
{
    (void)fprintf(stderr, "%s\n", sentence);
    return 1;
}

static bool write_tensor(const tt_tensor *tensor, FILE *out)
{
    size_t n = (size_t)tt_tensor_count(tensor);
    float *values = malloc(n * sizeof(*values));
    if (values == NULL)
        return false;
    (void)fprintf(out, "%s\t%s\t", tensor->name, tt_dtype_name(tensor->dtype));
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        (void)fprintf(out, "%s%llu", i == 0 ? "" : " ", (unsigned long long)tensor->dims[i]);
    (void)fprintf(out, "\n");
    tt_to_float(tensor->dtype, tensor->data, values, n);
    bool written = fwrite(values, sizeof(*values), n, out) == n;
    free(values);
    return written;
}

static void print_metadata(const tt_tensor_file *file, const char *key)
{
    const char *text = tt_tensor_file_metadata(file, key);
    (void)printf("%s\t", key);
    for (const char *c = text; c != NULL && *c != '\0'; c++)
        (void)printf("%02x", (unsigned)(unsigned char)*c);
    (void)printf("%s\n", text == NULL ? "-" : "");
}

static int read_file(const tt_tensor_file *file, const char *path, char *const *keys, int n_keys)
{
    FILE *out = fopen(path, "wb");
    bool written = out != NULL;
    for (size_t i = 0; written && i < tt_tensor_file_count(file); i++)
        written = write_tensor(tt_tensor_file_at(file, i), out);
    if (out != NULL && fclose(out) != 0)
        written = false;
    for (int i = 0; i < n_keys; i++)
        print_metadata(file, keys[i]);
    return written ? 0 : fail("the tensors cannot be written");
}

static tt_status add_tensor(tt_gguf_writer *writer, const tt_tensor *tensor, tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t at = 0; status == TT_OK && at < tensor->n_bytes; at += PIECE) {
        size_t left = (size_t)tensor->n_bytes - at;
        status = tt_gguf_writer_add(writer, (const uint8_t *)tensor->data + at, left < PIECE ? left : PIECE, err);
    }
    return status;
}

static int copy_file(const tt_tensor_file *file, const char *path, char *const *keys, int n_keys)
{
    tt_gguf_pair pairs[MAX_KEYS + 1] = {{"peer.number", NULL, 4000000000u}};
    size_t n_pairs = 1, n = tt_tensor_file_count(file);
    tt_gguf_writer *writer;
    tt_error err = {""};
    for (int i = 0; i < n_keys; i++)
        if (tt_tensor_file_metadata(file, keys[i]) != NULL)
            pairs[n_pairs++] = (tt_gguf_pair){keys[i], tt_tensor_file_metadata(file, keys[i]), 0};
    tt_status status = tt_gguf_writer_begin(path, tt_tensor_file_at(file, 0), n, pairs, n_pairs, &writer, &err);
    for (size_t i = 0; status == TT_OK && i < n; i++)
        status = add_tensor(writer, tt_tensor_file_at(file, i), &err);
    if (status == TT_OK)
        status = tt_gguf_writer_commit(writer, &err);
    return status == TT_OK ? 0 : fail(err.text);
}

int main(int argc, char **argv)
{
    tt_tensor_file *file;
    tt_error err = {""};
    if (argc < 4 || argc - 4 > MAX_KEYS)
        return fail("gguf-peer read|copy FILE OUT KEY...");
    if (tt_tensor_file_open(argv[2], &file, &err) != TT_OK)
        return fail(err.text);
    int code = strcmp(argv[1], "read") == 0 ? read_file(file, argv[3], argv + 4, argc - 4)
                                            : copy_file(file, argv[3], argv + 4, argc - 4);
    tt_tensor_file_close(file);
    return code;
}
