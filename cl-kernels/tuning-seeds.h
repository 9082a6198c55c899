/* tuning-seeds.h - choices for devices that nobody has measured with this engine yet. */
#ifndef TT_CL_KERNELS_TUNING_SEEDS_H
#define TT_CL_KERNELS_TUNING_SEEDS_H

#include <stddef.h>

/* Index among names of what the table says for a device (its name and version strings), op and key: the entry of the
 * chip itself, else of its family, else of its vendor; 0 when there is none or its name is not among them. */
size_t tt_tuning_seed(const char *device, const char *op, const char *key, const char *const *names, size_t n_names);

#endif
