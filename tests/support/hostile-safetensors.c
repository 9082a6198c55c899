/* hostile-safetensors.c - files that are cut, bent, overlapping, overflowing or no safetensors at all. */
#include "tests/support/hostile-safetensors.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"
#define B "\"b\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[16,24]}"
#define SOUND "{" A "," B "}"

static const char sound_header[] = SOUND;

/* Files that differ from a sound one in their header's text or the number of data bytes. */
static const struct {
    const char *name, *header;
    size_t n_data;
    tt_status status;
    const char *mention;
} text_cases[] = {
    /* size of the data */
    {"data cut by one byte", SOUND, 23, TT_ERROR_FORMAT, "\"b\""},
    {"data cut to nothing", SOUND, 0, TT_ERROR_FORMAT, "cut short"},
    {"one byte after the last tensor", SOUND, 25, TT_ERROR_FORMAT, "1 bytes follow"},
    {"data without tensors", "{}", 8, TT_ERROR_FORMAT, "8 bytes follow"},
    {"data with metadata only", "{\"__metadata__\":{\"a\":\"b\"}}", 4, TT_ERROR_FORMAT, "4 bytes follow"},
    /* holes and overlaps */
    {"hole at the start", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 8, TT_ERROR_FORMAT,
     "begins at byte 4"},
    {"hole between tensors", "{" A ",\"b\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[24,32]}}", 32,
     TT_ERROR_FORMAT, "no tensor"},
    {"overlap", "{" A ",\"b\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[12,20]}}", 20, TT_ERROR_FORMAT,
     "inside tensor \"a\""},
    {"two tensors on the same bytes", "{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
     TT_ERROR_FORMAT, "inside tensor"},
    {"tensor inside another", "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 16,
     TT_ERROR_FORMAT, "inside tensor \"a\""},
    {"empty tensor inside another", "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}", 16,
     TT_ERROR_FORMAT, "inside tensor \"a\""},
    {"empty tensor behind a hole", "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[20,20]}}", 20,
     TT_ERROR_FORMAT, "no tensor"},
    /* shape against offsets */
    {"shape needs more bytes", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,16]}}", 16,
     TT_ERROR_FORMAT, "needs 24"},
    {"shape needs fewer bytes", "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}}", 16,
     TT_ERROR_FORMAT, "needs 12"},
    {"type of another size", "{\"a\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, TT_ERROR_FORMAT,
     "of F16 needs 8"},
    {"empty tensor with data", "{\"a\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,16]}}", 16, TT_ERROR_FORMAT,
     "needs 0"},
    {"scalar with two elements", "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, TT_ERROR_FORMAT,
     "shape [] of F32 needs 4"},
    /* overflowing products: each wraps around to the size that the offsets state */
    {"product wraps to 0", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
     TT_ERROR_FORMAT, "64 bits"},
    {"product of two wraps to 0", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
     0, TT_ERROR_FORMAT, "64 bits"},
    {"product wraps to 16", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387908],\"data_offsets\":[0,16]}}", 16,
     TT_ERROR_FORMAT, "64 bits"},
    {"product of eight overflows",
     "{\"a\":{\"dtype\":\"F64\",\"shape\":[256,256,256,256,256,256,256,256],\"data_offsets\":[0,0]}}", 0,
     TT_ERROR_FORMAT, "64 bits"},
    {"largest number twice",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807,9223372036854775807],\"data_offsets\":[0,1]}}", 1,
     TT_ERROR_FORMAT, "64 bits"},
    /* offsets */
    {"end before begin", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[8,4]}}", 8, TT_ERROR_FORMAT,
     "before they begin"},
    {"negative begin", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[-4,0]}}", 8, TT_ERROR_FORMAT,
     "data_offsets"},
    {"negative end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,-4]}}", 8, TT_ERROR_FORMAT,
     "data_offsets"},
    {"end far beyond the file",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,9223372036854775807]}}", 8,
     TT_ERROR_FORMAT, "cut short"},
    {"begin far beyond the file",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9223372036854775806,9223372036854775807]}}", 8,
     TT_ERROR_FORMAT, "cut short"},
    {"offset of 2^64", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,18446744073709551620]}}", 4,
     TT_ERROR_FORMAT, "JSON"},
    {"offset as text", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,\"4\"]}}", 4, TT_ERROR_FORMAT,
     "data_offsets"},
    {"offset as fraction", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4.0]}}", 4, TT_ERROR_FORMAT,
     "data_offsets"},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4]}}", 4, TT_ERROR_FORMAT, "data_offsets"},
    {"three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,8]}}", 4, TT_ERROR_FORMAT,
     "data_offsets"},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, TT_ERROR_FORMAT, "data_offsets"},
    {"offsets as object", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":{}}}", 4, TT_ERROR_FORMAT,
     "data_offsets"},
    /* shape */
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "shape"},
    {"shape as number", "{\"a\":{\"dtype\":\"U8\",\"shape\":4,\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "shape"},
    {"negative dimension", "{\"a\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT,
     "0 or more"},
    {"two negative dimensions", "{\"a\":{\"dtype\":\"U8\",\"shape\":[-2,-2],\"data_offsets\":[0,4]}}", 4,
     TT_ERROR_FORMAT, "0 or more"},
    {"dimension as text", "{\"a\":{\"dtype\":\"U8\",\"shape\":[\"4\"],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT,
     "place 0"},
    {"dimension as fraction", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2,2.0],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT,
     "place 1"},
    {"dimension true", "{\"a\":{\"dtype\":\"U8\",\"shape\":[true],\"data_offsets\":[0,1]}}", 1, TT_ERROR_FORMAT,
     "0 or more"},
    {"dimension null", "{\"a\":{\"dtype\":\"U8\",\"shape\":[null],\"data_offsets\":[0,1]}}", 1, TT_ERROR_FORMAT,
     "0 or more"},
    {"nested shape", "{\"a\":{\"dtype\":\"U8\",\"shape\":[[4]],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT,
     "0 or more"},
    {"nine dimensions", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
     TT_ERROR_FORMAT, "9 dimensions"},
    /* type */
    {"no type", "{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "dtype"},
    {"type as number", "{\"a\":{\"dtype\":8,\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "dtype"},
    {"unknown type", "{\"a\":{\"dtype\":\"F33\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "F33"},
    {"type in lower case", "{\"a\":{\"dtype\":\"u8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "u8"},
    {"empty type", "{\"a\":{\"dtype\":\"\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT, "type"},
    {"eight-bit float", "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_UNSUPPORTED,
     "F8_E4M3"},
    {"four-bit float", "{\"a\":{\"dtype\":\"F4\",\"shape\":[8],\"data_offsets\":[0,4]}}", 4, TT_ERROR_UNSUPPORTED,
     "F4"},
    /* entries and metadata */
    {"entry is a number", "{\"a\":4}", 4, TT_ERROR_FORMAT, "\"a\""},
    {"entry is a list", "{\"a\":[]}", 4, TT_ERROR_FORMAT, "object"},
    {"entry is null", "{\"a\":null}", 4, TT_ERROR_FORMAT, "object"},
    {"metadata is a list", "{\"__metadata__\":[]}", 0, TT_ERROR_FORMAT, "__metadata__"},
    {"metadata holds a number", "{\"__metadata__\":{\"steps\":4}}", 0, TT_ERROR_FORMAT, "steps"},
    {"metadata holds an object", "{\"__metadata__\":{\"x\":{}}}", 0, TT_ERROR_FORMAT, "__metadata__"},
    {"the same tensor twice", "{" A "," A "}", 16, TT_ERROR_FORMAT, "duplicate"},
    {"the same name, escaped", "{" A ",\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[16,20]}}", 20,
     TT_ERROR_FORMAT, "duplicate"},
    {"the same key inside an entry",
     "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, TT_ERROR_FORMAT,
     "duplicate"},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, TT_ERROR_FORMAT, "duplicate"},
    /* JSON itself */
    {"object never ends", "{" A, 16, TT_ERROR_FORMAT, "JSON"},
    {"text never ends", "{\"a", 0, TT_ERROR_FORMAT, "JSON"},
    {"text behind the object", "{}x", 0, TT_ERROR_FORMAT, "JSON"},
    {"two objects", "{}{}", 0, TT_ERROR_FORMAT, "JSON"},
    {"comma before the end", "{" A ",}", 16, TT_ERROR_FORMAT, "JSON"},
    {"single quotes", "{'a':{}}", 0, TT_ERROR_FORMAT, "JSON"},
    {"not a number", "{\"a\":{\"dtype\":\"U8\",\"shape\":[NaN],\"data_offsets\":[0,1]}}", 1, TT_ERROR_FORMAT, "JSON"},
    {"zero byte in a name", "{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     TT_ERROR_FORMAT, "JSON"},
    {"broken UTF-8 in a name", "{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     TT_ERROR_FORMAT, "byte 0xff"},
    {"half a surrogate pair", "{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     TT_ERROR_FORMAT, "JSON"},
    {"the header is a list", "[1]", 0, TT_ERROR_FORMAT, "'{'"},
    {"space before the header", " {}", 0, TT_ERROR_FORMAT, "'{'"},
    {"a terminal command in a name", "{\"\\u001b[31m\":4}", 0, TT_ERROR_FORMAT, "\"?[31m\""},
};

/* Files that are given as bytes. */
static const struct {
    const char *name, *bytes;
    size_t n_bytes;
    tt_status status;
    const char *mention;
} raw_cases[] = {
    {"no bytes at all", "", 0, TT_ERROR_FORMAT, "too few"},
    {"half a header length", "\x10\0\0", 3, TT_ERROR_FORMAT, "too few"},
    {"header length only", "\x02\0\0\0\0\0\0\0", 8, TT_ERROR_FORMAT, "too few"},
    {"header length 0", "\0\0\0\0\0\0\0\0{}", 10, TT_ERROR_FORMAT, "0 bytes long"},
    {"header length 1", "\1\0\0\0\0\0\0\0{}", 10, TT_ERROR_FORMAT, "1 bytes long"},
    {"header longer than the file", "\3\0\0\0\0\0\0\0{}", 10, TT_ERROR_FORMAT, "only 2 bytes"},
    {"header of 100 MB and one byte", "\x01\xe1\xf5\x05\0\0\0\0{}", 10, TT_ERROR_FORMAT, "at most 100000000"},
    {"header length 2^63", "\0\0\0\0\0\0\0\x80{}", 10, TT_ERROR_FORMAT, "at most"},
    {"header length 2^64 - 1", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, TT_ERROR_FORMAT, "at most"},
    {"header length 2^64 - 8", "\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10, TT_ERROR_FORMAT, "at most"},
    {"zero bytes", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, TT_ERROR_FORMAT, "0 bytes long"},
    {"zip pickle", "PK\x03\x04\x14\0\0\0\0\0\0\0archive/data.pkl", 28, TT_ERROR_UNSUPPORTED, "pickle"},
    {"old pickle", "\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 16, TT_ERROR_UNSUPPORTED, "pickle"},
    {"half a GGUF file", "GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", 16, TT_ERROR_FORMAT, "GGUF"},
    {"Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n", 43, TT_ERROR_FORMAT, "git lfs pull"},
    {"web page", "<!DOCTYPE html><html>404</html>", 31, TT_ERROR_FORMAT, "web page"},
};

/* ---- files that are computed ------------------------------------------------------------------------------------ */

/* "{"a":[[[...]]]}" far deeper than any reader's stack likes. */
static void deep_header(tt_text *header)
{
    tt_text_add_string(header, "{\"a\":");
    for (int i = 0; i < 100000; i++)
        tt_text_add(header, "[", 1);
    for (int i = 0; i < 100000; i++)
        tt_text_add(header, "]", 1);
    tt_text_add_string(header, "}");
}

/* Objects one level deeper than is read. */
static void just_too_deep_header(tt_text *header)
{
    for (int i = 0; i < 65; i++)
        tt_text_add_string(header, "{\"a\":");
    tt_text_add_string(header, "1");
    for (int i = 0; i < 65; i++)
        tt_text_add_string(header, "}");
}

/* Millions of empty lists: small in the file, large in memory. */
static void swelling_header(tt_text *header)
{
    tt_text_add_string(header, "{\"a\":[[]");
    for (int i = 0; i < 1100000; i++)
        tt_text_add(header, ",[]", 3);
    tt_text_add_string(header, "]}");
}

static void long_name_header(tt_text *header)
{
    tt_text_add_string(header, "{\"");
    for (int i = 0; i < 256; i++)
        tt_text_add(header, "n", 1);
    tt_text_add_string(header, "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
}

static void many_tensors_header(tt_text *header)
{
    tt_text_add_string(header, "{");
    for (int i = 0; i <= 65536; i++)
        tt_text_format(header, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i > 0 ? "," : "",
                       i);
    tt_text_add_string(header, "}");
}

static const struct {
    const char *name;
    void (*write)(tt_text *header);
    tt_status status;
    const char *mention;
} made_cases[] = {
    {"a hundred thousand levels", deep_header, TT_ERROR_FORMAT, "100001 levels"},
    {"65 levels", just_too_deep_header, TT_ERROR_FORMAT, "65 levels"},
    {"two million values", swelling_header, TT_ERROR_FORMAT, "values"},
    {"name of 256 bytes", long_name_header, TT_ERROR_FORMAT, "256 bytes"},
    {"65537 tensors", many_tensors_header, TT_ERROR_FORMAT, "65537 tensors"},
};

enum {
    N_TEXT = sizeof(text_cases) / sizeof(text_cases[0]),
    N_RAW = sizeof(raw_cases) / sizeof(raw_cases[0]),
    N_MADE = sizeof(made_cases) / sizeof(made_cases[0])
};

uint8_t *safetensors_block(const char *header, size_t n_data, size_t *n_bytes)
{
    size_t n_header = strlen(header);
    uint8_t *bytes = calloc(1, 8 + n_header + n_data);
    *n_bytes = 8 + n_header + n_data;
    if (bytes == NULL)
        return NULL;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)n_header >> 8 * i);
    memcpy(bytes + 8, header, n_header);
    return bytes;
}

uint8_t *safetensors_sound(size_t *n_bytes)
{
    return safetensors_block(sound_header, 24, n_bytes);
}

size_t hostile_safetensors_count(void)
{
    return N_TEXT + N_RAW + N_MADE;
}

static bool make_raw(size_t i, hostile_file *file)
{
    size_t n_bytes = raw_cases[i].n_bytes;
    *file = (hostile_file){raw_cases[i].name, malloc(n_bytes + (n_bytes == 0)), n_bytes, raw_cases[i].status,
                           raw_cases[i].mention};
    if (file->bytes != NULL && n_bytes > 0)
        memcpy(file->bytes, raw_cases[i].bytes, n_bytes);
    return file->bytes != NULL;
}

static bool make_computed(size_t i, hostile_file *file)
{
    tt_text header = {0};
    *file =
        (hostile_file){.name = made_cases[i].name, .status = made_cases[i].status, .mention = made_cases[i].mention};
    made_cases[i].write(&header);
    if (!header.failed)
        file->bytes = safetensors_block(header.bytes, 0, &file->n_bytes);
    tt_text_free(&header);
    return file->bytes != NULL;
}

bool hostile_safetensors_make(size_t index, hostile_file *file)
{
    if (index >= N_TEXT + N_RAW)
        return make_computed(index - N_TEXT - N_RAW, file);
    if (index >= N_TEXT)
        return make_raw(index - N_TEXT, file);
    *file = (hostile_file){
        .name = text_cases[index].name, .status = text_cases[index].status, .mention = text_cases[index].mention};
    file->bytes = safetensors_block(text_cases[index].header, text_cases[index].n_data, &file->n_bytes);
    return file->bytes != NULL;
}

void hostile_safetensors_free(hostile_file *file)
{
    free(file->bytes);
    *file = (hostile_file){0};
}
