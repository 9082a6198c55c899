/* weight-folder.h - the weight files of one component's folder. */
#ifndef TT_MODEL_FILE_WEIGHT_FOLDER_H
#define TT_MODEL_FILE_WEIGHT_FOLDER_H

#include "model-file/tensor-file.h"

/* Open files, in the order of their names in the index. */
typedef struct tt_weight_files {
    tt_tensor_file **items;
    size_t n_items;
} tt_weight_files;

/* Opens what a folder in the form of diffusers or transformers holds, the first of: the plain file, the sharded file by
 * its index, the fp16 variant of either. An index may name files of its own folder only, and every tensor it promises
 * must be in the file it names. A folder with nothing but pickles is refused with the reason and the way out. */
tt_status tt_weight_files_open(const char *folder, tt_weight_files *files, tt_error *err);
void tt_weight_files_close(tt_weight_files *files);

/* True for the endings under which pickles are spread (.ckpt, .pt, .pth, .bin, .pkl). */
bool tt_is_pickle_name(const char *name);

#endif
