/* request.c - sizes, numbers and pictures of a request. */
#include "cli/request.h"
#include "cli/paths.h"

#include <math.h>
#include <stdlib.h>

void cli_request_savers(const cli_options *o, tt_savers *savers)
{
    if (!isnan(o->cfg_start))
        savers->guidance_start = (float)o->cfg_start;
    if (!isnan(o->cfg_stop))
        savers->guidance_stop = (float)o->cfg_stop;
    savers->reuse_interval = o->reuse_interval;
    savers->reuse_depth = o->reuse_depth;
    savers->kv_downsample = o->kv_downsample;
}

cli_exit cli_request_check(const cli_options *o)
{
    if (o->mask != NULL && o->init_image == NULL)
        return cli_fail(CLI_USAGE, "--mask needs the picture to repaint: add it with -i");
    if (o->vae != NULL && o->taesd != NULL)
        return cli_fail(CLI_USAGE, "--vae and --taesd both replace the VAE; give one of them");
    if (o->reuse_depth != 0 && o->reuse_interval < 2)
        return cli_fail(CLI_USAGE, "--reuse-depth says what runs in every step when --reuse leaves out the rest; add "
                                   "--reuse N with N from 2 on");
    return CLI_OK;
}

/* Sides of the result: as asked for, else the start picture's rounded down to what the model can do, else the model's
 * own. */
static void choose_size(const cli_options *o, const cli_request *r, uint32_t *width, uint32_t *height)
{
    uint32_t factor = r->info.vae_factor;
    if (r->init_image.pixels != NULL) {
        *width = r->init_image.width < factor ? factor : r->init_image.width / factor * factor;
        *height = r->init_image.height < factor ? factor : r->init_image.height / factor * factor;
    }
    if (o->width != 0)
        *width = o->width;
    if (o->height != 0)
        *height = o->height;
}

/* --draft: the picture's sides become the draft's. */
static cli_exit shrink_to_draft(const cli_options *o, cli_request *r)
{
    tt_generate_params *p = &r->params;
    const uint32_t longer = p->width > p->height ? p->width : p->height;
    r->scale = 1;
    if (o->draft == 0)
        return CLI_OK;
    r->scale = longer / o->draft;
    if (r->scale < 2 || r->scale > 4 || longer != r->scale * o->draft || p->width % r->scale != 0 ||
        p->height % r->scale != 0)
        return cli_fail(CLI_USAGE,
                        "--draft %u does not fit a picture of %ux%u: a draft is a half, a third or a quarter of it, so "
                        "that %u, %u or %u would do",
                        o->draft, p->width, p->height, longer / 2, longer / 3, longer / 4);
    p->width /= r->scale;
    p->height /= r->scale;
    return CLI_OK;
}

/* Reads a picture; the result is resized once the request's size is known. */
static cli_exit read_picture(cli_session *session, const char *path, uint32_t n_channels, tt_image *image)
{
    if (path == NULL)
        return CLI_OK;
    tt_status status = tt_image_read(session->context, path, n_channels, image);
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

static cli_exit fit_picture(cli_session *session, const tt_generate_params *p, tt_image *image)
{
    tt_image fitted;
    if (image->pixels == NULL || (image->width == p->width && image->height == p->height))
        return CLI_OK;
    tt_status status = tt_image_resized(session->context, image, p->width, p->height, &fitted);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    tt_image_free(image);
    *image = fitted;
    return CLI_OK;
}

static void take_numbers(const cli_options *o, tt_generate_params *p)
{
    if (o->n_steps != 0)
        p->n_steps = o->n_steps;
    if (!isnan(o->cfg_scale))
        p->cfg_scale = (float)o->cfg_scale;
    if (!isnan(o->strength))
        p->strength = (float)o->strength;
    if (!isnan(o->eta))
        p->eta = (float)o->eta;
    p->seed = o->seed;
    p->clip_skip = o->clip_skip;
    cli_request_savers(o, &p->savers);
    p->rng = (tt_rng)o->rng;
    p->memory_budget_bytes = o->memory_budget;
    p->memory_mode = o->memory_mode;
}

static cli_exit take_pictures(const cli_options *o, cli_session *session, cli_request *r)
{
    tt_generate_params *p = &r->params;
    cli_exit code = read_picture(session, o->init_image, 3, &r->init_image);
    if (code == CLI_OK)
        code = read_picture(session, o->mask, 1, &r->mask);
    choose_size(o, r, &p->width, &p->height);
    if (code == CLI_OK)
        code = shrink_to_draft(o, r);
    if (code == CLI_OK)
        code = fit_picture(session, p, &r->init_image);
    if (code == CLI_OK)
        code = fit_picture(session, p, &r->mask);
    p->init_image = r->init_image.pixels ? &r->init_image : NULL;
    p->mask = r->mask.pixels ? &r->mask : NULL;
    return code;
}

cli_exit cli_request_make(const cli_options *o, cli_session *session, cli_request *r)
{
    tt_generate_params *p = &r->params;
    *r = (cli_request){.scheduler_config = NULL};
    tt_status status = tt_model_get_info(session->model, &r->info);
    if (status == TT_OK)
        status = tt_generate_params_default(session->model, p);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    take_numbers(o, p);
    p->prompt = o->prompt;
    p->negative_prompt = o->negative_prompt;
    p->sampler = o->sampler;
    p->schedule = o->schedule;
    cli_exit code = o->scheduler_config
                        ? cli_read_text(o->scheduler_config, "scheduler_config.json", &r->scheduler_config)
                        : CLI_OK;
    p->scheduler_config = r->scheduler_config;
    return code == CLI_OK ? take_pictures(o, session, r) : code;
}

void cli_request_free(cli_request *r)
{
    tt_image_free(&r->init_image);
    tt_image_free(&r->mask);
    free(r->scheduler_config);
}
