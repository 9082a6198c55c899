/* selftest.h - all checks in one list: ops, families of kernels, storage forms, weight types. */
#ifndef TT_SELFTEST_SELFTEST_H
#define TT_SELFTEST_SELFTEST_H

#include "cl-kernels/tuning.h"

size_t tt_checks_count(void);

/* Names of check `index`. */
void tt_check_describe(size_t index, tt_selftest_result *result);

/* Runs it and fills in the verdict; changes what the tuning disables, and says so in *changed. tuning: the device's. */
tt_status tt_check_run(tt_device *device, tt_tuning *tuning, size_t index, tt_selftest_result *result, bool *changed,
                       tt_error *err);

#endif
