/* resume-run.h - runs that are stopped, and their state files bent, for tests of resuming. Failures end the test
 * through cmocka. */
#ifndef TT_TESTS_RESUME_RUN_H
#define TT_TESTS_RESUME_RUN_H

#include "model-file/safetensors.h"
#include "tintype/tintype.h"

enum { RESUME_WIDTH = 32, RESUME_HEIGHT = 16 };

/* A small request of four calls that draws noise at each. */
tt_generate_params resume_request(tt_model *model);

/* Runs it to its end. */
void resume_run(tt_context *context, tt_model *model, const tt_generate_params *p, tt_image *images,
                tt_generate_stats *stats);
void resume_assert_same(const tt_image *a, const tt_image *b, const char *what, uint32_t number);

/* A progress callback's user data: where to stop, and what the reports said. */
typedef struct resume_stop {
    uint32_t image, step;
    uint32_t first_step; /* of the last report */
    bool saw_text;       /* the prompt was encoded */
} resume_stop;
bool resume_stop_at(void *user, const tt_progress *progress);

/* Runs until `step` UNet calls of image `image` of the call (at most four) are made, and stops there. */
void resume_run_until(tt_model *model, const tt_generate_params *p, uint32_t image, uint32_t step);

/* The request is refused with this status and these words, and its file is as it was. */
void resume_refuse(tt_context *context, tt_model *model, const tt_generate_params *p, tt_status want,
                   const char *mention);

/* All bytes of a file (free()). */
char *resume_read(const char *path, size_t *n);

/* The warnings of a context. */
typedef struct resume_log {
    char last[512];
    size_t n_warnings;
} resume_log;
void resume_keep_log(void *user, tt_log_level level, const char *line);

/* ---- a well-formed state with something changed, and a digest that fits */

typedef struct resume_forgery {
    tt_tensor_file *file;
    tt_tensor tensors[12];
    size_t n_tensors;
    const char *metadata[32][2];
    size_t n_metadata;
} resume_forgery;

/* Opens a state; its tensors and texts may be changed in the struct. */
resume_forgery resume_forgery_begin(const char *path);

/* Gives the metadata "tintype.resume." and key another text. */
void resume_forgery_set(resume_forgery *f, const char *key, const char *text);
tt_tensor *resume_forgery_tensor(resume_forgery *f, const char *name);

/* Replaces the file, with the digest that docs/formats.md describes, and closes the old one. */
void resume_forgery_write(resume_forgery *f, const char *path);

#endif
