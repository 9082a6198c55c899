/* small-jobs.c - pictures of waves, and the built-in network on this device. */
#include "tests/support/small-jobs.h"

#include "tintype/tintype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_ok(tt_context *context, tt_status status)
{
    if (status != TT_OK)
        fail_msg("%s", tt_context_message(context));
}

static tt_image make_picture(uint32_t kind)
{
    static const uint32_t sides[] = {16, 24, 32, 48, 64};
    tt_image image = {.width = sides[kind % 5], .height = sides[kind / 5 % 5], .n_channels = kind % 8 == 7 ? 4 : 3};
    const size_t n = (size_t)image.width * image.height * image.n_channels;
    image.pixels = malloc(n);
    assert_non_null(image.pixels);
    for (size_t i = 0; i < n; i++)
        image.pixels[i] =
            (uint8_t)(128 + 7 * kind + (i / (image.n_channels * image.width)) * (2 + kind) - i * (1 + kind % 3));
    return image;
}

void small_jobs_make(small_jobs *jobs)
{
    tt_context *context = tt_context_create();
    *jobs = (small_jobs){0};
    for (uint32_t i = 0; i < SMALL_JOBS_KINDS; i++) {
        tt_image image = make_picture(i);
        expect_ok(context, tt_image_encode_png(context, &image, NULL, &jobs->kinds[i].body, &jobs->kinds[i].n_body));
        tt_image_free(&image);
    }
    tt_context_destroy(context);
}

void small_jobs_solve(small_jobs *jobs)
{
    tt_context *context = tt_context_create();
    tt_device_params device;
    tt_upscaler_params network;
    tt_upscaler *upscaler = NULL;
    tt_device_params_default(&device);
    tt_upscaler_params_default(&network);
    expect_ok(context, tt_context_open_device(context, &device));
    expect_ok(context, tt_upscaler_load(context, &network, &upscaler));
    for (uint32_t i = 0; i < SMALL_JOBS_KINDS; i++) {
        tt_image image = make_picture(i), large = {0};
        expect_ok(context, tt_upscale(upscaler, &image, 2, NULL, NULL, &large));
        expect_ok(context,
                  tt_image_encode_png(context, &large, NULL, &jobs->kinds[i].result, &jobs->kinds[i].n_result));
        tt_image_free(&image);
        tt_image_free(&large);
    }
    tt_upscaler_destroy(upscaler);
    tt_context_destroy(context);
}

void small_jobs_free(small_jobs *jobs)
{
    for (uint32_t i = 0; i < SMALL_JOBS_KINDS; i++) {
        free(jobs->kinds[i].body);
        free(jobs->kinds[i].result);
    }
}
