/* hostile-gguf.c - GGUF files with wrong counts, lengths, shapes, types and offsets. */
#include "tests/support/hostile-gguf.h"

#include "base/text.h"
#include "tests/support/gguf-text.h"

#include <stdlib.h>
#include <string.h>

/* A file with the one metadata pair. */
#define PAIR(pair) GGUF_HEAD(0, 1) pair

/* A file with the one tensor "t" of these dims, type and offset, and 64 bytes of data. */
#define TENSOR(dims, type, offset) GGUF_HEAD(1, 0) "$t " dims " " #type ":4 " #offset ":8 ~32 *64:0"

/* The same under an alignment. */
#define ALIGNED(alignment, offset)                                                                                     \
    GGUF_HEAD(1, 1) "$general.alignment 4:4 " #alignment ":4 $t 1:4 4:8 0:4 " #offset ":8 ~32 *64:0"

/* The tensor "t" F32 [2, 2] and its original shape, an array of I32. */
#define SHAPED(n, values)                                                                                              \
    GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.t 9:4 5:4 " #n ":8 " values " $t 2:4 2:8 2:8 0:4 0:8 ~32 *16:0"

#define MAX64 "0xffffffffffffffff"

static const struct {
    const char *name, *text;
    tt_status status;
    const char *mention;
} cases[] = {
    /* header */
    {"magic only", "=GGUF", TT_ERROR_FORMAT, "too few"},
    {"half a version", "=GGUF 3:2", TT_ERROR_FORMAT, "too few"},
    {"version only", "=GGUF 3:4", TT_ERROR_FORMAT, "too few"},
    {"one count", "=GGUF 3:4 0:8", TT_ERROR_FORMAT, "too few"},
    {"version 0", "=GGUF 0:4 0:8 0:8", TT_ERROR_UNSUPPORTED, "version 0"},
    {"version 1", "=GGUF 1:4 0:4 0:4", TT_ERROR_UNSUPPORTED, "version 1"},
    {"version 4", "=GGUF 4:4 0:8 0:8", TT_ERROR_UNSUPPORTED, "version 4"},
    {"big-endian", "=GGUF 0x03000000:4 0:8 0:8", TT_ERROR_UNSUPPORTED, "big-endian"},
    {"big-endian version 2", "=GGUF 0x02000000:4 0:8 0:8", TT_ERROR_UNSUPPORTED, "big-endian"},
    /* counts */
    {"a tensor too many", GGUF_HEAD(3, 0) GGUF_A GGUF_B GGUF_DATA, TT_ERROR_FORMAT, "tensor"},
    {"65537 tensors", GGUF_HEAD(65537, 0) "*2000000:0", TT_ERROR_FORMAT, "at most 65536"},
    {"2^63 tensors", GGUF_HEAD(0x8000000000000000, 0) GGUF_DATA, TT_ERROR_FORMAT, "tensors are promised"},
    {"2^64 - 1 tensors", GGUF_HEAD(0xffffffffffffffff, 0) GGUF_DATA, TT_ERROR_FORMAT, "tensors are promised"},
    {"tensors whose table wraps to 0", GGUF_HEAD(0x0aaaaaaaaaaaaaab, 0) GGUF_DATA, TT_ERROR_FORMAT, "promised"},
    {"more tensors than bytes", GGUF_HEAD(60000, 0) GGUF_DATA, TT_ERROR_FORMAT, "tensors are promised"},
    {"65537 pairs", GGUF_HEAD(0, 65537) "*2000000:0", TT_ERROR_FORMAT, "at most 65536"},
    {"2^64 - 1 pairs", GGUF_HEAD(0, 0xffffffffffffffff) GGUF_DATA, TT_ERROR_FORMAT, "pairs are promised"},
    {"more pairs than bytes", GGUF_HEAD(0, 60000) GGUF_DATA, TT_ERROR_FORMAT, "pairs are promised"},
    {"a pair too many", GGUF_HEAD(0, 2) "$k 8:4 $text *9:0", TT_ERROR_FORMAT, "key of metadata pair 2"},
    /* keys */
    {"key beyond the file", PAIR("100:8 =abcdefgh 0:4 0:8"), TT_ERROR_FORMAT, "ends beyond"},
    {"key of 2^64 - 1", PAIR(MAX64 ":8 =abcdefgh 0:4 0:8"), TT_ERROR_FORMAT, "ends beyond"},
    {"key of 2^63", PAIR("0x8000000000000000:8 =abcdefgh 0:4 0:8"), TT_ERROR_FORMAT, "ends beyond"},
    {"empty key", PAIR("$ 4:4 1:4 0:8"), TT_ERROR_FORMAT, "0 bytes long"},
    {"key of 65536 bytes", PAIR("65536:8 *65536:97 4:4 1:4"), TT_ERROR_FORMAT, "65536 bytes long"},
    {"key with a zero byte", PAIR("3:8 =a 0:1 =b 4:4 1:4"), TT_ERROR_FORMAT, "no UTF-8"},
    {"key that is not UTF-8", PAIR("$\xff\xfe 4:4 1:4"), TT_ERROR_FORMAT, "no UTF-8"},
    {"key twice", GGUF_HEAD(0, 2) "$k 4:4 1:4 $k 4:4 1:4", TT_ERROR_FORMAT, "\"k\" is given twice"},
    {"key as text and array", GGUF_HEAD(0, 2) "$k 8:4 $x $k 9:4 4:4 0:8", TT_ERROR_FORMAT, "given twice"},
    {"no type behind the key", PAIR("$abcdefgh 0:2"), TT_ERROR_FORMAT, "its type"},
    /* values */
    {"value type 13", PAIR("$k 13:4 0:8"), TT_ERROR_FORMAT, "value type number 13"},
    {"value type 2^32 - 1", PAIR("$k 0xffffffff:4 0:8"), TT_ERROR_FORMAT, "4294967295"},
    {"value beyond the file", PAIR("$k 10:4 0:4"), TT_ERROR_FORMAT, "its value"},
    {"truth value 2", PAIR("$k 7:4 2:1"), TT_ERROR_FORMAT, "0 or 1"},
    {"text beyond the file", PAIR("$k 8:4 9:8 =12345678"), TT_ERROR_FORMAT, "its text"},
    {"text of 2^64 - 1", PAIR("$k 8:4 " MAX64 ":8 =12345678"), TT_ERROR_FORMAT, "its text"},
    {"text of 2^64 - 8", PAIR("$k 8:4 0xfffffffffffffff8:8 =12345678"), TT_ERROR_FORMAT, "its text"},
    {"text with a zero byte", PAIR("$k 8:4 3:8 =a 0:1 =b"), TT_ERROR_FORMAT, "zero byte"},
    {"text that is not UTF-8", PAIR("$k 8:4 $\xc3\x28"), TT_ERROR_FORMAT, "not UTF-8"},
    /* arrays */
    {"no length of the array", PAIR("$k 9:4 4:4 0:4"), TT_ERROR_FORMAT, "its array"},
    {"array longer than the file", PAIR("$k 9:4 4:4 3:8 0:8"), TT_ERROR_FORMAT, "3 elements of 4 bytes"},
    {"array of 2^62 + 1 numbers, wraps to 4", PAIR("$k 9:4 4:4 0x4000000000000001:8 0:4"), TT_ERROR_FORMAT, "elements"},
    {"array of 2^61 doubles, wraps to 0", PAIR("$k 9:4 12:4 0x2000000000000000:8 0:4"), TT_ERROR_FORMAT, "elements"},
    {"array of unknown type", PAIR("$k 9:4 99:4 1:8 0:8"), TT_ERROR_FORMAT, "number 99"},
    {"array of 2^64 - 1 texts", PAIR("$k 9:4 8:4 " MAX64 ":8 $a $b"), TT_ERROR_FORMAT, "its text"},
    {"array with a text beyond the file", PAIR("$k 9:4 8:4 2:8 $a " MAX64 ":8"), TT_ERROR_FORMAT, "its text"},
    {"array of wrong truth values", PAIR("$k 9:4 7:4 2:8 1:1 7:1"), TT_ERROR_FORMAT, "0 or 1"},
    {"array of 2^64 - 1 arrays", PAIR("$k 9:4 9:4 " MAX64 ":8 4:4 0:8 4:4 0:8"), TT_ERROR_FORMAT, "its array"},
    {"arrays in five arrays", PAIR("$k 9:4 9:4 1:8 9:4 1:8 9:4 1:8 9:4 1:8 4:4 0:8"), TT_ERROR_FORMAT, "nested"},
    /* alignment */
    {"alignment 0", ALIGNED(0, 0), TT_ERROR_FORMAT, "general.alignment"},
    {"alignment 4", ALIGNED(4, 0), TT_ERROR_FORMAT, "found 4"},
    {"alignment 33", ALIGNED(33, 0), TT_ERROR_FORMAT, "found 33"},
    {"alignment 131072", ALIGNED(131072, 0), TT_ERROR_FORMAT, "found 131072"},
    {"alignment 2^31", ALIGNED(0x80000000, 0), TT_ERROR_FORMAT, "power of two"},
    {"alignment as text", PAIR("$general.alignment 8:4 $32"), TT_ERROR_FORMAT, "as U32"},
    {"alignment of 64 bits", PAIR("$general.alignment 10:4 32:8"), TT_ERROR_FORMAT, "as U32"},
    {"alignment as an array", PAIR("$general.alignment 9:4 4:4 1:8 32:4"), TT_ERROR_FORMAT, "as U32"},
    {"offset against the alignment", ALIGNED(64, 32), TT_ERROR_FORMAT, "multiple of 64"},
    /* names */
    {"name beyond the file", GGUF_HEAD(1, 0) "100:8 *24:97", TT_ERROR_FORMAT, "name of tensor 1 ends beyond"},
    {"name of 2^64 - 1", GGUF_HEAD(1, 0) MAX64 ":8 *24:97", TT_ERROR_FORMAT, "ends beyond"},
    {"empty name", GGUF_HEAD(1, 0) "$ 1:4 4:8 0:4 0:8 ~32 *16:0", TT_ERROR_FORMAT, "0 bytes long"},
    {"name of 256 bytes", GGUF_HEAD(1, 0) "256:8 *256:97 1:4 4:8 0:4 0:8 ~32 *16:0", TT_ERROR_FORMAT, "256 bytes"},
    {"name with a zero byte", GGUF_HEAD(1, 0) "3:8 =a 0:1 =b 1:4 4:8 0:4 0:8 ~32 *16:0", TT_ERROR_FORMAT, "no UTF-8"},
    {"name that is not UTF-8", GGUF_HEAD(1, 0) "$\xff 1:4 4:8 0:4 0:8 ~32 *16:0", TT_ERROR_FORMAT, "no UTF-8"},
    {"a terminal command in a name", GGUF_HEAD(1, 0) "$\033[31m 1:4 0:8 0:4 0:8 ~32", TT_ERROR_FORMAT, "\"?[31m\""},
    {"name twice", GGUF_HEAD(2, 0) GGUF_A "$a 1:4 4:8 0:4 32:8 " GGUF_DATA, TT_ERROR_FORMAT, "\"a\" is there twice"},
    /* descriptions */
    {"five dimensions", TENSOR("5:4 1:8 1:8 1:8 1:8 1:8", 0, 0), TT_ERROR_FORMAT, "5 dimensions"},
    {"2^32 - 1 dimensions", TENSOR("0xffffffff:4 1:8", 0, 0), TT_ERROR_FORMAT, "4294967295 dimensions"},
    {"description cut in its dims", GGUF_HEAD(1, 0) "$abcdefgh 4:4 1:8 0:4", TT_ERROR_FORMAT, "description ends"},
    {"description cut before its offset", GGUF_HEAD(1, 0) "$abcd 1:4 1:8 0:4 0:4", TT_ERROR_FORMAT, "description ends"},
    {"dimension 0", TENSOR("2:4 0:8 4:8", 0, 0), TT_ERROR_FORMAT, "1 or more"},
    {"dimension 0 beside 2^64 - 1", TENSOR("2:4 " MAX64 ":8 0:8", 0, 0), TT_ERROR_FORMAT, "1 or more"},
    {"product wraps to 0", TENSOR("2:4 0x100000000:8 0x100000000:8", 0, 0), TT_ERROR_FORMAT, "64 bits"},
    {"product wraps to 16", TENSOR("2:4 0x4000000000000004:8 4:8", 0, 0), TT_ERROR_FORMAT, "64 bits"},
    {"product of four wraps", TENSOR("4:4 65536:8 65536:8 65536:8 65536:8", 0, 0), TT_ERROR_FORMAT, "64 bits"},
    {"bytes wrap to 0", TENSOR("1:4 0x4000000000000000:8", 0, 0), TT_ERROR_FORMAT, "64 bits"},
    {"bytes of doubles wrap to 8", TENSOR("1:4 0x2000000000000001:8", 28, 0), TT_ERROR_FORMAT, "64 bits"},
    {"bytes of blocks wrap", TENSOR("1:4 0xffffffffffffff00:8", 8, 0), TT_ERROR_FORMAT, "64 bits"},
    {"half a block", TENSOR("1:4 16:8", 2, 0), TT_ERROR_FORMAT, "whole blocks"},
    {"rows of half blocks", TENSOR("2:4 16:8 2:8", 2, 0), TT_ERROR_FORMAT, "blocks of Q4_0 hold 32"},
    {"rows of 32 for blocks of 256", TENSOR("2:4 32:8 8:8", 12, 0), TT_ERROR_FORMAT, "blocks of Q4_K hold 256"},
    {"a scalar in blocks", TENSOR("0:4", 8, 0), TT_ERROR_FORMAT, "whole blocks"},
    /* types */
    {"Q8_1", TENSOR("1:4 32:8", 9, 0), TT_ERROR_UNSUPPORTED, "type Q8_1"},
    {"Q8_K", TENSOR("1:4 256:8", 15, 0), TT_ERROR_UNSUPPORTED, "type Q8_K"},
    {"IQ2_XXS", TENSOR("1:4 256:8", 16, 0), TT_ERROR_UNSUPPORTED, "type IQ2_XXS"},
    {"IQ4_NL", TENSOR("1:4 32:8", 20, 0), TT_ERROR_UNSUPPORTED, "type IQ4_NL"},
    {"IQ1_M", TENSOR("1:4 256:8", 29, 0), TT_ERROR_UNSUPPORTED, "type IQ1_M"},
    {"TQ1_0", TENSOR("1:4 256:8", 34, 0), TT_ERROR_UNSUPPORTED, "type TQ1_0"},
    {"MXFP4", TENSOR("1:4 32:8", 39, 0), TT_ERROR_UNSUPPORTED, "type MXFP4"},
    {"NVFP4", TENSOR("1:4 64:8", 40, 0), TT_ERROR_UNSUPPORTED, "type NVFP4"},
    {"Q4_2", TENSOR("1:4 32:8", 4, 0), TT_ERROR_UNSUPPORTED, "type Q4_2, which ggml has given up"},
    {"Q4_3", TENSOR("1:4 32:8", 5, 0), TT_ERROR_UNSUPPORTED, "given up"},
    {"Q4_0_4_4", TENSOR("1:4 32:8", 31, 0), TT_ERROR_UNSUPPORTED, "type Q4_0_4_4"},
    {"IQ4_NL_8_8", TENSOR("1:4 32:8", 38, 0), TT_ERROR_UNSUPPORTED, "type IQ4_NL_8_8"},
    {"type 1000", TENSOR("1:4 32:8", 1000, 0), TT_ERROR_UNSUPPORTED, "number 1000"},
    {"type 2^32 - 1", TENSOR("1:4 32:8", 0xffffffff, 0), TT_ERROR_UNSUPPORTED, "number 4294967295"},
    /* data */
    {"data cut by one byte", GGUF_HEAD(1, 0) "$t 1:4 4:8 0:4 0:8 ~32 *15:0", TT_ERROR_FORMAT, "15 bytes of data"},
    {"no data", GGUF_HEAD(1, 0) "$t 1:4 4:8 0:4 0:8", TT_ERROR_FORMAT, "0 bytes of data"},
    {"data cut in the padding before it", GGUF_HEAD(1, 0) "$t 1:4 4:8 0:4 0:8 0:1", TT_ERROR_FORMAT, "0 bytes of data"},
    {"a terabyte", TENSOR("1:4 0x4000000000:8", 0, 0), TT_ERROR_FORMAT, "64 bytes of data"},
    {"offset beyond the data", TENSOR("1:4 4:8", 0, 64), TT_ERROR_FORMAT, "from byte 64"},
    {"offset of 2^63", TENSOR("1:4 4:8", 0, 0x8000000000000000), TT_ERROR_FORMAT, "from byte"},
    {"offset and size wrap to 0", TENSOR("1:4 8:8", 0, 0xffffffffffffffe0), TT_ERROR_FORMAT, "from byte"},
    {"offset that is not aligned", TENSOR("1:4 4:8", 0, 16), TT_ERROR_FORMAT, "multiple of 32"},
    {"offset of 2^64 - 1", TENSOR("1:4 4:8", 0, 0xffffffffffffffff), TT_ERROR_FORMAT, "multiple of 32"},
    {"overlap", GGUF_HEAD(2, 0) "$t 1:4 12:8 0:4 0:8 $u 1:4 4:8 0:4 32:8 ~32 *64:0", TT_ERROR_FORMAT, "inside that"},
    {"two on the same bytes", GGUF_HEAD(2, 0) "$t 1:4 4:8 0:4 0:8 $u 1:4 4:8 0:4 0:8 ~32 *64:0", TT_ERROR_FORMAT,
     "begins inside"},
    {"one inside another", GGUF_HEAD(2, 0) "$t 1:4 24:8 0:4 0:8 $u 1:4 1:8 24:4 64:8 ~32 *96:0", TT_ERROR_FORMAT,
     "\"u\": its data begins inside that of tensor \"t\""},
    /* original shapes */
    {"original shape of other elements", SHAPED(2, "2:4 3:4"), TT_ERROR_FORMAT, "product of 4 elements"},
    {"original shape that is empty", SHAPED(0, ""), TT_ERROR_FORMAT, "orig_shape"},
    {"original shape of nine", SHAPED(9, "1:4 1:4 1:4 1:4 1:4 1:4 1:4 2:4 2:4"), TT_ERROR_FORMAT, "orig_shape"},
    {"original shape that is negative", SHAPED(2, "0xfffffffe:4 0xfffffffe:4"), TT_ERROR_FORMAT, "orig_shape"},
    {"original shape with 0", SHAPED(2, "0:4 4:4"), TT_ERROR_FORMAT, "orig_shape"},
    {"original shape that wraps",
     GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.t 9:4 10:4 2:8 0x8000000000000002:8 2:8 $t 2:4 2:8 2:8 0:4 0:8 ~32 *16:0",
     TT_ERROR_FORMAT, "orig_shape"},
    {"original shape of floats",
     GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.t 9:4 6:4 1:8 4:4 $t 2:4 2:8 2:8 0:4 0:8 ~32 *16:0", TT_ERROR_FORMAT,
     "orig_shape"},
    {"original shape of texts",
     GGUF_HEAD(1, 1) "$comfy.gguf.orig_shape.t 9:4 8:4 1:8 $4 $t 2:4 2:8 2:8 0:4 0:8 ~32 *16:0", TT_ERROR_FORMAT,
     "orig_shape"},
};

enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

size_t hostile_gguf_count(void)
{
    return N_CASES;
}

bool hostile_gguf_make(size_t index, hostile_file *file)
{
    *file = (hostile_file){.name = cases[index].name, .status = cases[index].status, .mention = cases[index].mention};
    file->bytes = gguf_block(cases[index].text, &file->n_bytes);
    return file->bytes != NULL;
}
