/* quirks-private.h - what is known about certain drivers beyond what they say of themselves. */
#ifndef TT_DEVICE_QUIRKS_PRIVATE_H
#define TT_DEVICE_QUIRKS_PRIVATE_H

#include "device/device.h"

typedef struct tt_quirks {
    bool last_choice;         /* a simulator or software rasteriser: taken only when asked for or alone */
    bool slow_binaries;       /* compiled programs are kept on disk only when tt_programs_store is called */
    bool mixes_local;         /* see tt_caps */
    uint64_t max_alloc_bytes; /* 0: what the driver says */
} tt_quirks;

/* Collects all entries of the table that match a device. */
tt_quirks tt_quirks_find(const tt_device_info *info);

#endif
