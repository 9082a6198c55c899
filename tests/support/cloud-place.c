/* cloud-place.c - pictures, heads, calls. */
#include "tests/support/cloud-place.h"

#include "base/base64.h"
#include "base/sha256.h"
#include "image/png-write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void cloud_place_head(char head[400], const char *type, const tt_text *body, bool is_right)
{
    char hex[65], base64[48];
    uint8_t digest[32];
    assert_int_equal(tt_sha256_hex(body->bytes, body->n_bytes, hex, NULL), TT_OK);
    for (size_t i = 0; i < sizeof digest; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        digest[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    digest[7] = (uint8_t)(digest[7] ^ !is_right);
    tt_base64_encode(digest, sizeof digest, base64);
    (void)snprintf(head, 400, "200 OK\r\nContent-Type: %s\r\nRepr-Digest: sha-256=:%s:\r\n", type, base64);
}

static void make_picture(uint32_t side, tt_image *image, tt_text *png)
{
    *image = (tt_image){side, side, 3, malloc((size_t)3 * side * side)};
    assert_non_null(image->pixels);
    for (size_t i = 0; i < (size_t)3 * side * side; i++)
        image->pixels[i] = (uint8_t)(i * 37);
    assert_int_equal(tt_png_encode(image, NULL, png, NULL), TT_OK);
}

int cloud_place_setup(void **state)
{
    cloud_place *p = calloc(1, sizeof *p);
    tt_image large;
    assert_non_null(p);
    p->context = tt_context_create();
    make_picture(CLOUD_SIDE, &p->image, &p->small_png);
    make_picture(CLOUD_LARGE, &large, &p->png);
    tt_image_free(&large);
    cloud_place_head(p->head, "image/png", &p->png, true);
    cloud_place_head(p->wrong_head, "image/png", &p->png, false);
    cloud_place_head(p->jpeg_head, "image/jpeg", &p->png, true);
    cloud_place_head(p->small_head, "image/png", &p->small_png, true);
    tt_cloud_params_default(&p->params);
    p->params.allow_upload = true;
    p->params.timeout_seconds = 20;
    p->params.max_tries = 3;
    p->params.url = p->url;
    p->params.token = CLOUD_TOKEN;
    *state = p;
    return 0;
}

int cloud_place_teardown(void **state)
{
    cloud_place *p = *state;
    tt_image_free(&p->image);
    tt_image_free(&p->out);
    tt_text_free(&p->png);
    tt_text_free(&p->small_png);
    tt_context_destroy(p->context);
    free(p);
    return 0;
}

void cloud_place_serve(cloud_place *p, const server_step *steps, size_t n_steps)
{
    scripted_server_start(&p->server, steps, n_steps);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", p->server.port);
}

server_step cloud_place_picture(const cloud_place *p, const char *head)
{
    return (server_step){.head = head, .body = p->png.bytes, .n_body = p->png.n_bytes};
}

tt_status cloud_place_upscale(cloud_place *p)
{
    return tt_cloud_upscale(p->context, &p->params, &p->image, 2, &p->out, &p->report);
}

void cloud_place_fine(cloud_place *p, unsigned n_requests)
{
    if (cloud_place_upscale(p) != TT_OK)
        fail_msg("%s", tt_context_message(p->context));
    assert_int_equal(p->out.width, CLOUD_LARGE);
    assert_int_equal(p->out.n_channels, 3);
    assert_int_equal(atomic_load(&p->server.n_requests), n_requests);
    scripted_server_stop(&p->server);
}

void cloud_place_failed(cloud_place *p, const char *mention, unsigned n_requests)
{
    assert_int_equal(cloud_place_upscale(p), TT_ERROR_NETWORK);
    const char *message = tt_context_message(p->context);
    if (strstr(message, mention) == NULL)
        fail_msg("\"%s\" should mention \"%s\"", message, mention);
    assert_null(strstr(message, CLOUD_TOKEN));
    for (const char *c = message; *c; c++)
        assert_true((unsigned char)*c >= 0x20);
    assert_null(p->out.pixels);
    if (n_requests > 0)
        assert_int_equal(atomic_load(&p->server.n_requests), n_requests);
    scripted_server_stop(&p->server);
}
