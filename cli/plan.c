/* plan.c - `tintype plan`: what a request would take, without running it. */
#include "cli/commands.h"
#include "cli/request.h"

static double mb(uint64_t n_bytes)
{
    return (double)n_bytes * 1e-6;
}

static const char *phase_name(tt_phase phase)
{
    static const char *const names[] = {"text", "encode", "denoise", "decode"};
    return (unsigned)phase < sizeof names / sizeof names[0] ? names[phase] : "none";
}

/* ---- for people */

static void print_part(const char *name, const tt_plan_part *part)
{
    if (part->n_passes == 0)
        return;
    (void)printf("  %-13s %8.1f MB of weights", name, mb(part->weight_bytes));
    if (part->ring_bytes > 0)
        (void)printf(" (%.1f MB stay, %.1f MB ring)", mb(part->resident_bytes), mb(part->ring_bytes));
    (void)printf(", %.1f MB of activations; %u x %.1f GFLOP, %.0f MB moved", mb(part->activation_bytes), part->n_passes,
                 part->flops * 1e-9, part->bytes_moved * 1e-6);
    if (part->seconds > 0.0)
        (void)printf("; %.2f s", part->seconds);
    (void)printf("\n");
}

static void print_tiles(const char *half, uint32_t width, uint32_t height, bool to_fit)
{
    if (width == 0 && height == 0)
        return;
    if (width == 0)
        (void)printf("tiles         the VAE %s works in full-width bands of %u latent rows", half, height);
    else
        (void)printf("tiles         the VAE %s works in tiles of %u x %u latent positions", half, width, height);
    (void)printf("%s\n", to_fit ? " because of memory; the picture differs a little from one made at once" : "");
}

static void print_memory(const tt_plan *p)
{
    (void)printf("memory        %.1f MB at the peak (%s), %s", mb(p->peak_bytes), phase_name(p->peak_phase),
                 tt_memory_mode_name(p->mode));
    if (p->budget_bytes > 0)
        (void)printf("; budget %.1f MB", mb(p->budget_bytes));
    (void)printf("; the system can give %.0f MB\n", mb(p->available_bytes));
    (void)printf("  device        %8.1f MB of weights and activations\n", mb(p->device_bytes));
    (void)printf("  host          %8.1f MB of pictures, latents and embeddings\n", mb(p->host_bytes));
    (void)printf("  programs      %8.1f MB for kernels that are not loaded yet\n", mb(p->program_bytes));
    (void)printf("  process       %8.1f MB now, with the driver\n", mb(p->base_bytes));
    (void)printf("phases       ");
    for (int i = 0; i < 4; i++)
        if (p->phase_bytes[i] > 0)
            (void)printf(" %s %.1f MB", phase_name((tt_phase)i), mb(p->phase_bytes[i]));
    (void)printf("\n");
}

static void print_plan(const cli_request *r, const tt_plan *p)
{
    (void)printf("picture       %ux%u, %u UNet passes\n", r->params.width, r->params.height, p->n_unet_calls);
    print_memory(p);
    print_tiles("decoder", p->tile_width, p->tile_height, p->is_tiled_to_fit);
    print_tiles("encoder", p->encoder_tile_width, p->encoder_tile_height, p->is_tiled_to_fit);
    (void)printf("parts\n");
    print_part("text encoder", &p->text);
    print_part("VAE encoder", &p->vae_encoder);
    print_part("UNet", &p->unet);
    print_part("VAE decoder", &p->vae_decoder);
    (void)printf("work          %.1f GFLOP\n", p->flops * 1e-9);
    if (p->seconds > 0.0)
        (void)printf("time          %.1f s expected, of which %.1f s for loading weights\n", p->seconds,
                     p->load_seconds);
}

/* ---- for programs */

static void print_json_part(const char *name, const tt_plan_part *part)
{
    (void)printf(" \"%s\": {\"weight_bytes\": %llu, \"resident_bytes\": %llu, \"ring_bytes\": %llu, "
                 "\"activation_bytes\": %llu, \"n_passes\": %u, \"flops\": %.0f, \"bytes_moved\": %.0f, "
                 "\"seconds\": %.3f},\n",
                 name, (unsigned long long)part->weight_bytes, (unsigned long long)part->resident_bytes,
                 (unsigned long long)part->ring_bytes, (unsigned long long)part->activation_bytes, part->n_passes,
                 part->flops, part->bytes_moved, part->seconds);
}

static void print_json(const cli_request *r, const tt_plan *p)
{
    (void)printf("{\"width\": %u, \"height\": %u, \"fits\": %s, \"mode\": \"%s\", \"peak_phase\": \"%s\",\n",
                 r->params.width, r->params.height, p->fits ? "true" : "false", tt_memory_mode_name(p->mode),
                 phase_name(p->peak_phase));
    (void)printf(" \"peak_bytes\": %llu, \"device_bytes\": %llu, \"host_bytes\": %llu, \"program_bytes\": %llu, "
                 "\"base_bytes\": %llu,\n",
                 (unsigned long long)p->peak_bytes, (unsigned long long)p->device_bytes,
                 (unsigned long long)p->host_bytes, (unsigned long long)p->program_bytes,
                 (unsigned long long)p->base_bytes);
    (void)printf(" \"phase_bytes\": {");
    for (int i = 0; i < 4; i++)
        (void)printf("%s\"%s\": %llu", i ? ", " : "", phase_name((tt_phase)i), (unsigned long long)p->phase_bytes[i]);
    (void)printf("},\n \"budget_bytes\": %llu, \"available_bytes\": %llu,\n", (unsigned long long)p->budget_bytes,
                 (unsigned long long)p->available_bytes);
    print_json_part("text", &p->text);
    print_json_part("vae_encoder", &p->vae_encoder);
    print_json_part("unet", &p->unet);
    print_json_part("vae_decoder", &p->vae_decoder);
    (void)printf(" \"tile\": [%u, %u], \"encoder_tile\": [%u, %u], \"is_tiled_to_fit\": %s,\n", p->tile_width,
                 p->tile_height, p->encoder_tile_width, p->encoder_tile_height, p->is_tiled_to_fit ? "true" : "false");
    (void)printf(" \"n_unet_calls\": %u, \"flops\": %.0f, \"load_seconds\": %.3f, \"seconds\": %.3f}\n",
                 p->n_unet_calls, p->flops, p->load_seconds, p->seconds);
}

/* ---- predictions for other devices */

/* Shares of a device's peak that a prediction is made for: what open engines reach, what good ones do, the floor. */
static const double shares[] = {0.15, 0.5, 1.0};
enum { N_SHARES = sizeof shares / sizeof shares[0] };

static cli_exit predict(const cli_options *o, const cli_session *session, const cli_request *request)
{
    tt_plan plans[N_SHARES];
    for (int i = 0; i < N_SHARES; i++) {
        tt_status status = tt_plan_predict(session->model, &request->params, o->device_profile, shares[i], &plans[i]);
        if (status != TT_OK)
            return cli_fail_status(session->context, status);
    }
    if (!o->json)
        (void)printf("prediction    for %s, counted and not measured: %.0f GFLOP in %u UNet passes\n",
                     o->device_profile, plans[0].flops * 1e-9, plans[0].n_unet_calls);
    for (int i = 0; i < N_SHARES; i++)
        if (o->json)
            (void)printf("%s{\"share_of_peak\": %.2f, \"seconds\": %.3f, \"unet_seconds\": %.3f, \"vae_seconds\": "
                         "%.3f, \"load_seconds\": %.3f}",
                         i ? ", " : "{\"is_prediction\": true, \"predictions\": [", shares[i], plans[i].seconds,
                         plans[i].unet.seconds, plans[i].vae_decoder.seconds, plans[i].load_seconds);
        else
            (void)printf("  at %3.0f%%      %7.1f s a picture: UNet %.1f, VAE %.1f, loading weights %.1f\n",
                         100 * shares[i], plans[i].seconds, plans[i].unet.seconds, plans[i].vae_decoder.seconds,
                         plans[i].load_seconds);
    if (o->json)
        (void)printf("]}\n");
    return CLI_OK;
}

/* ---- the command */

static cli_exit run(const cli_options *o, cli_session *session, cli_request *request)
{
    tt_plan plan;
    cli_exit code = cli_session_begin(o, session);
    if (code == CLI_OK)
        code = cli_session_load(o, session);
    if (code == CLI_OK)
        code = cli_request_make(o, session, request);
    if (code == CLI_OK)
        code = cli_session_open_device(o, session);
    if (code != CLI_OK)
        return code;
    if (o->n_images > 0)
        request->params.n_images = o->n_images;
    if (o->device_profile != NULL)
        return predict(o, session, request);
    tt_status status = tt_plan_make(session->model, &request->params, true, &plan);
    if (plan.peak_bytes > 0)
        (o->json ? print_json : print_plan)(request, &plan);
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

cli_exit cli_plan(const cli_options *options)
{
    cli_session session = {0};
    cli_request request = {0};
    cli_exit code = cli_request_check(options);
    if (code == CLI_OK)
        code = run(options, &session, &request);
    cli_request_free(&request);
    cli_session_end(&session);
    return code;
}
