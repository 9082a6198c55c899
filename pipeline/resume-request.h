/* resume-request.h - the words that say which request, model and device a resume file belongs to; private to the files
 * resume*.c. */
#ifndef TT_PIPELINE_RESUME_REQUEST_H
#define TT_PIPELINE_RESUME_REQUEST_H

#include "pipeline/model.h"

/* One word of the description. Metadata of the file: "tintype.resume." and key. */
typedef struct tt_resume_field {
    const char *key;
    const char *label; /* in sentences */
    bool is_way;       /* says how the run is computed, not what: a difference warns */
} tt_resume_field;

enum { TT_RESUME_SEED = 0, TT_RESUME_N_FIELDS = 22 };

/* Field `index` below TT_RESUME_N_FIELDS; static storage. */
const tt_resume_field *tt_resume_field_at(size_t index);

/* The request's values; NULL where it has none (no mask, no negative prompt). */
typedef struct tt_resume_request {
    char *values[TT_RESUME_N_FIELDS];
} tt_resume_request;

/* Writes a request down. Reads the whole model once for its digest. Prompts must be UTF-8. Free with
 * tt_resume_request_free, also after a failure. */
tt_status tt_resume_request_make(tt_model *model, const tt_generate_params *params,
                                 const tt_scheduler_config *scheduler, int64_t seed, tt_resume_request *request,
                                 tt_error *err);
void tt_resume_request_free(tt_resume_request *request);

/* Compares with the values of a file (same order). The first difference in what is asked for is refused; differences in
 * how it is computed are told to the log. The seed is not compared when `any_seed`. */
tt_status tt_resume_request_compare(const tt_resume_request *request, const char *const *values, bool any_seed,
                                    const char *path, const tt_log *log, tt_error *err);

/* SHA-256 of everything that the model is made of: the texts of its configs and tokenizers and the whole of its weight
 * files, whatever they are called. Equal for a model that was moved, different for one that was changed. */
tt_status tt_model_digest(tt_model *model, char hex[65], tt_error *err);

#endif
