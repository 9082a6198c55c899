/* request.h - checking a tt_generate_params and what follows from it; used inside this room. */
#ifndef TT_PIPELINE_REQUEST_H
#define TT_PIPELINE_REQUEST_H

#include "pipeline/condition.h"
#include "pipeline/memory.h"

/* Checks everything but the prompt's presence. */
tt_status tt_request_check(const tt_model *model, const tt_generate_params *params, tt_error *err);

/* The scheduler of a request: *used is *owned (free with tt_scheduler_config_free) or, where *owned is NULL, the
 * model's. */
tt_status tt_request_scheduler(const tt_model *model, const tt_generate_params *params, tt_scheduler_config **owned,
                               const tt_scheduler_config **used, tt_error *err);

/* Prompts and sizes as the text encoders and the UNet get them. */
tt_condition_request tt_request_condition(const tt_model *model, const tt_generate_params *params);

/* What its UNet calls are. */
tt_call_plan tt_request_calls(const tt_model *model, const tt_generate_params *params);

/* The sizes that memory depends on; tokenizes the prompt. */
tt_status tt_request_sizes(tt_model *model, const tt_generate_params *params, tt_memory_request *request,
                           tt_error *err);

#endif
