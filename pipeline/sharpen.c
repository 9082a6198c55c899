/* sharpen.c - tt_sharpen: a draft made larger by a service or by this device. */
#include "base/clock.h"
#include "pipeline/cloud.h"
#include "pipeline/context.h"

#include <stdio.h>

void tt_sharpen_params_default(tt_sharpen_params *params)
{
    *params = (tt_sharpen_params){.scale = 2};
    tt_cloud_params_default(&params->cloud);
}

/* AUTO: why the picture is not even offered to the service; "" when it is. */
static void find_reason(const tt_sharpen_params *p, tt_sharpen_report *report)
{
    if (p->cloud.url == NULL)
        (void)snprintf(report->reason, sizeof report->reason, "no service is set");
    else if (!p->cloud.allow_upload)
        (void)snprintf(report->reason, sizeof report->reason, "sending the picture was not allowed");
    else if (p->route_detail > 0.0 && report->detail < p->route_detail)
        (void)snprintf(
            report->reason, sizeof report->reason,
            "the picture's detail of %.3f is below %.3f, so that a service would not do it noticeably better",
            report->detail, p->route_detail);
}

static tt_status send(const tt_sharpen_params *p, const tt_image *image, tt_image *out, tt_sharpen_report *report,
                      tt_error *err)
{
    const tt_cloud_latent latent = {p->latent, p->model_hash, p->vae_factor};
    const tt_cloud_leave leave = p->by == TT_SHARPEN_AUTO ? TT_CLOUD_DROP : TT_CLOUD_KEEP;
    return p->latent ? tt_cloud_send_latent(&p->cloud, &latent, p->scale, leave, out, &report->cloud, err)
                     : tt_cloud_send_image(&p->cloud, image, p->scale, leave, out, &report->cloud, err);
}

static tt_status check(const tt_sharpen_params *p, const tt_image *image, tt_error *err)
{
    if (p->scale < 2 || p->scale > 4)
        return tt_fail(err, TT_ERROR_ARGUMENT, "pictures are made 2, 3 or 4 times larger, not %u times", p->scale);
    if (p->by != TT_SHARPEN_CLOUD && p->upscaler == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no network to sharpen with on this device; load one");
    if (image == NULL && (p->by != TT_SHARPEN_CLOUD || p->latent == NULL))
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no picture to sharpen");
    return TT_OK;
}

/* Failures that the device's own network would meet as well, or that are none. */
static bool ends_auto(tt_status status)
{
    return status == TT_OK || status == TT_ERROR_CANCELLED || status == TT_ERROR_MEMORY;
}

static tt_status sharpen(const tt_sharpen_params *p, const tt_image *image, tt_image *out, tt_sharpen_report *report,
                         tt_error *err)
{
    if (p->route_detail > 0.0 && image != NULL)
        report->detail = tt_image_detail(image);
    if (p->by == TT_SHARPEN_AUTO)
        find_reason(p, report);
    if (p->by != TT_SHARPEN_LOCAL && report->reason[0] == '\0') {
        const tt_status status = send(p, image, out, report, err);
        report->by = TT_SHARPEN_CLOUD;
        if (p->by == TT_SHARPEN_CLOUD || ends_auto(status))
            return status;
        (void)snprintf(report->reason, sizeof report->reason, "%s", err->text);
    }
    report->by = TT_SHARPEN_LOCAL;
    return tt_upscale(p->upscaler, image, p->scale, p->local_progress, p->local_user, out);
}

tt_status tt_sharpen(tt_context *context, const tt_sharpen_params *params, const tt_image *image, tt_image *out,
                     tt_sharpen_report *report)
{
    tt_error *err = tt_context_begin(context);
    tt_sharpen_report own;
    tt_sharpen_report *r = report ? report : &own;
    const double begun = tt_clock_seconds();
    *r = (tt_sharpen_report){.by = params->by};
    *out = (tt_image){0};
    tt_status status = check(params, image, err);
    if (status == TT_OK)
        status = sharpen(params, image, out, r, err);
    r->seconds = tt_clock_seconds() - begun;
    return status;
}
