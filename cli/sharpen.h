/* sharpen.h - the second half of `generate --draft`: a draft made larger by a service or by this device. */
#ifndef TT_CLI_SHARPEN_H
#define TT_CLI_SHARPEN_H

#include "cli/progress.h"
#include "cli/request.h"

/* Everything that sharpening holds. Zero-initialise; free with cli_sharpen_end. */
typedef struct cli_sharpen {
    const cli_options *options;
    cli_session *session;
    cli_progress *progress;
    const cli_request *request;
    tt_sharpen_params params;
    char *token;
    char *state_path; /* with --resume: the file that names the service's job */
    char upscaler_name[128];
    tt_cloud_phase phase; /* shown last */
    bool is_announced;
    char note[320]; /* of the last picture, for its infotext */
} cli_sharpen;

/* Options that contradict each other, or would send something without permission; before anything is loaded. */
cli_exit cli_sharpen_check(const cli_options *options);

/* Reads the token, opens the network and checks the service's address. The request must be made. What sharpen points to
 * must outlive it. */
cli_exit cli_sharpen_begin(cli_sharpen *sharpen);

/* True when the draft itself is not needed: its latent is sent, and nobody else could sharpen it. */
bool cli_sharpen_skips_decoding(const cli_options *options);

/* True when the latent is sent. */
bool cli_sharpen_sends_latent(const cli_options *options);

/* Replaces the draft (no pixels where decoding was skipped) by the larger picture, and says who made it and why. */
cli_exit cli_sharpen_run(cli_sharpen *sharpen, const tt_latent *latent, tt_image *image);

void cli_sharpen_end(cli_sharpen *sharpen);

#endif
