/* prompt-parse.h - A1111's prompt grammar: from text to runs of one weight. Inside the room only. */
#ifndef TT_TEXT_ENCODER_PROMPT_PARSE_H
#define TT_TEXT_ENCODER_PROMPT_PARSE_H

#include "base/text.h"

/* Text with one weight, or a BREAK (which has none). */
typedef struct tt_prompt_run {
    size_t begin, n_bytes; /* in tt_prompt_runs.text */
    double weight;
    bool is_break;
} tt_prompt_run;

/* A parsed prompt. Zero-initialise; free with tt_prompt_runs_free. */
typedef struct tt_prompt_runs {
    tt_text text; /* the prompt without brackets, weights and escapes */
    tt_prompt_run *runs;
    size_t n_runs;
} tt_prompt_runs;

/* Parses in linear time, whatever the nesting. Neighbours of equal weight are one run. Fails for weights beyond 10000
 * and for "<lora:...>". */
tt_status tt_prompt_parse(const char *text, tt_prompt_runs *runs, tt_error *err);
void tt_prompt_runs_free(tt_prompt_runs *runs);

#endif
