/* file-digest.h - SHA-256 of model files, remembered in the cache folder.
 *
 * Hashing gigabytes takes seconds, so the result is kept as FOLDER/digest-KEY.txt, where KEY follows from the file's
 * path. It holds for exactly the file it was made of: device, inode, size and the times of the last change of bytes and
 * of the entry must be the same to the nanosecond, otherwise the file is hashed again and the entry replaced. A file
 * that was changed in the last seconds is hashed but not remembered: clocks of file systems are too coarse to notice
 * another change at once. */
#ifndef TT_PIPELINE_FILE_DIGEST_H
#define TT_PIPELINE_FILE_DIGEST_H

#include "base/error.h"

#include <time.h>

/* hex: 64 lower-case digits. folder NULL: nothing is remembered. A cache that cannot be read or written is no error.
 * now: time(NULL), by which a file is old enough to be remembered. */
tt_status tt_file_digest(const char *path, const char *folder, time_t now, char hex[65], tt_error *err);

#endif
