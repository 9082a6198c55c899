/* request.h - from options to a tt_generate_params, for the commands that make or plan pictures. */
#ifndef TT_CLI_REQUEST_H
#define TT_CLI_REQUEST_H

#include "cli/session.h"

/* A request and everything it points to but texts of argv. Free with cli_request_free; harmless when zeroed. */
typedef struct cli_request {
    tt_generate_params params;
    tt_model_info info;
    tt_image init_image, mask;
    char *scheduler_config;
    uint32_t scale; /* with a draft: how many times larger the picture shall be; else 1 */
} cli_request;

/* Takes over the options that make steps cheaper. */
void cli_request_savers(const cli_options *options, tt_savers *savers);

/* Options that contradict each other; before anything is loaded. */
cli_exit cli_request_check(const cli_options *options);

/* Reads the pictures that the options name, fits them, and fills in the request for the session's model. */
cli_exit cli_request_make(const cli_options *options, cli_session *session, cli_request *request);
void cli_request_free(cli_request *request);

#endif
