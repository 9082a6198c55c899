/* selftest.c - tt_selftest_run: the checks on a context's device. */
#include "selftest/selftest.h"
#include "pipeline/tune-store.h"

size_t tt_selftest_count(void)
{
    return tt_checks_count();
}

void tt_selftest_describe(size_t index, tt_selftest_result *result)
{
    tt_check_describe(index, result);
}

tt_status tt_selftest_run(tt_context *context, size_t index, tt_selftest_result *result)
{
    tt_error *err = tt_context_begin(context);
    bool changed = false;
    *result = (tt_selftest_result){.op = ""};
    if (!context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    tt_status status = tt_check_run(context->device, context->tuning, index, result, &changed, err);
    if (changed)
        tt_tune_store_save(context);
    return status;
}
