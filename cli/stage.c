/* stage.c - `tintype stage`: one part of the engine on tensors in safetensors files. */
#include "cli/commands.h"
#include "cli/paths.h"
#include "cli/request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct stage_name {
    const char *name;
    tt_stage stage;
    bool needs_model, needs_config, needs_prompt;
} stage_name;

static const stage_name stages[] = {
    {"text", TT_STAGE_TEXT, true, false, false},
    {"unet", TT_STAGE_UNET, true, false, false},
    {"vae-decode", TT_STAGE_VAE_DECODE, true, false, false},
    {"vae-encode", TT_STAGE_VAE_ENCODE, true, false, false},
    {"sample", TT_STAGE_SAMPLE, false, true, false},
    {"denoise", TT_STAGE_DENOISE, true, false, true},
};

static const size_t n_stages = sizeof stages / sizeof stages[0];

/* ---- tokenize */

static cli_exit print_ids(const cli_options *o, cli_session *session)
{
    int32_t *ids = NULL;
    size_t n = 0;
    tt_status status = tt_tokenize(session->model, o->encoder ? o->encoder : 1, o->prompt, o->n_pad, &ids, &n);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    for (size_t i = 0; i < n; i++)
        (void)printf(i == 0 ? "[%d" : ", %d", ids[i]);
    (void)printf("]\n");
    free(ids);
    return CLI_OK;
}

static cli_exit tokenize(const cli_options *o)
{
    cli_session session;
    if (o->prompt == NULL)
        return cli_fail(CLI_USAGE, "stage tokenize needs a text: -p TEXT");
    cli_exit code = cli_session_begin(o, &session);
    if (code == CLI_OK)
        code = cli_session_load(o, &session);
    if (code == CLI_OK)
        code = print_ids(o, &session);
    cli_session_end(&session);
    return code;
}

/* ---- stages on arrays */

static void take_options(const cli_options *o, const char *scheduler_config, tt_stage_params *p)
{
    p->trace = o->trace;
    if (o->encoder != 0)
        p->encoder = o->encoder;
    if (o->n_steps != 0)
        p->n_steps = o->n_steps;
    if (o->clip_skip != 0)
        p->clip_skip = o->clip_skip;
    if (!isnan(o->eta))
        p->eta = (float)o->eta;
    if (!isnan(o->cfg_scale))
        p->cfg_scale = (float)o->cfg_scale;
    if (!isnan(o->strength))
        p->strength = (float)o->strength;
    cli_request_savers(o, &p->savers);
    p->prompt = o->prompt;
    p->negative_prompt = o->negative_prompt;
    p->scheduler_config = scheduler_config;
    p->original_height = o->original_size[0];
    p->original_width = o->original_size[1];
    p->crop_top = o->crop[0];
    p->crop_left = o->crop[1];
    p->target_height = o->target_size[0];
    p->target_width = o->target_size[1];
}

static cli_exit run_on_files(const cli_options *o, const stage_name *stage, const char *scheduler_config,
                             cli_session *session)
{
    tt_arrays inputs = {0}, outputs = {0};
    tt_stage_params params;
    tt_stage_params_default(&params, stage->stage);
    take_options(o, scheduler_config, &params);
    tt_status status = tt_arrays_read(session->context, o->input, &inputs);
    if (status == TT_OK)
        status = tt_stage_run(session->context, session->model, &params, &inputs, &outputs);
    if (status == TT_OK && !cli_is_interrupted())
        status = tt_arrays_write(session->context, o->output, &outputs);
    cli_exit code = status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
    if (code == CLI_OK && cli_is_interrupted())
        code = cli_fail(CLI_CANCELLED, "cancelled; %s was not written", o->output);
    tt_arrays_free(&inputs);
    tt_arrays_free(&outputs);
    return code;
}

static cli_exit run_stage(const cli_options *o, const stage_name *stage)
{
    cli_session session = {0};
    char *config = NULL;
    cli_exit code = o->scheduler_config ? cli_read_text(o->scheduler_config, "scheduler_config.json", &config) : CLI_OK;
    if (code == CLI_OK)
        code = cli_session_begin(o, &session);
    if (code == CLI_OK && stage->needs_model)
        code = cli_session_load(o, &session);
    if (code == CLI_OK)
        code = cli_session_catch_signals(&session);
    if (code == CLI_OK && stage->needs_model)
        code = cli_session_open_device(o, &session);
    if (code == CLI_OK)
        code = run_on_files(o, stage, config, &session);
    cli_session_end(&session);
    free(config);
    return code;
}

static cli_exit check_options(const cli_options *o, const stage_name *stage)
{
    if (o->input == NULL || o->output == NULL)
        return cli_fail(CLI_USAGE, "stage %s needs --input FILE and --output FILE (safetensors)", stage->name);
    if (stage->needs_config && o->scheduler_config == NULL)
        return cli_fail(CLI_USAGE, "stage %s needs --scheduler-config FILE", stage->name);
    if (stage->needs_prompt && o->prompt == NULL)
        return cli_fail(CLI_USAGE, "stage %s needs a prompt: -p TEXT", stage->name);
    return cli_check_writable(o->output);
}

static cli_exit fail_unknown(const char *name)
{
    const char *nearest = "tokenize";
    size_t distance = cli_edit_distance(name, nearest);
    for (size_t i = 0; i < n_stages; i++) {
        size_t d = cli_edit_distance(name, stages[i].name);
        if (d < distance) {
            distance = d;
            nearest = stages[i].name;
        }
    }
    return cli_fail(CLI_USAGE,
                    "there is no stage %.80s%s%s; stages are tokenize, text, unet, vae-decode, vae-encode, sample and "
                    "denoise",
                    name, distance < 4 ? ", did you mean " : "", distance < 4 ? nearest : "");
}

cli_exit cli_stage(const cli_options *options)
{
    const char *name = options->words[0];
    if (strcmp(name, "tokenize") == 0)
        return tokenize(options);
    for (size_t i = 0; i < n_stages; i++)
        if (strcmp(name, stages[i].name) == 0) {
            cli_exit code = check_options(options, &stages[i]);
            return code == CLI_OK ? run_stage(options, &stages[i]) : code;
        }
    return fail_unknown(name);
}
