#include "pipeline/quantize-job.h"
tt_status tt_job_calibrate(tt_quantize_job *job, tt_error *err) { (void)job; return tt_fail(err, TT_ERROR_INTERNAL, "todo"); }
tt_status tt_job_mix(tt_quantize_job *job, uint64_t n, tt_error *err) { (void)job; (void)n; return tt_fail(err, TT_ERROR_INTERNAL, "todo"); }
