/* gguf.c - opening and checking GGUF files. */
#include "model-file/gguf.h"

#include "model-file/tensor-file-private.h"

tt_status tt_gguf_parse(tt_tensor_file *file, tt_error *err)
{
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "%s: this is a GGUF file, which this version does not read; use the .safetensors file of the model",
                   file->path);
}
