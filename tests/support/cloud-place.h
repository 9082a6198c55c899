/* cloud-place.h - a picture, what a right service would make of it, and a scripted service that may not. */
#ifndef TT_TESTS_CLOUD_PLACE_H
#define TT_TESTS_CLOUD_PLACE_H

#include "tests/support/scripted-server.h"

enum { CLOUD_SIDE = 12, CLOUD_LARGE = 2 * CLOUD_SIDE };

#define CLOUD_TOKEN "secret-TOKEN_0123456789"
#define CLOUD_ACCEPTED "202 Accepted\r\nLocation: /v1/upscales/abc\r\nRetry-After: 0\r\n"
#define CLOUD_JSON "Content-Type: application/json\r\n"

/* A step that refuses with this detail. */
#define CLOUD_PROBLEM(code, detail)                                                                                    \
    {                                                                                                                  \
        .head = code "\r\nContent-Type: application/problem+json\r\nRetry-After: 0\r\n",                               \
        .body = "{\"detail\":\"" detail "\"}", .n_body = sizeof "{\"detail\":\"" detail "\"}" - 1                      \
    }

typedef struct cloud_place {
    scripted_server server;
    tt_context *context;
    tt_cloud_params params;
    tt_cloud_report report;
    tt_image image, out;
    char url[64];
    tt_text png, small_png; /* of the right size; of the draft's own */
    char head[400], small_head[400], jpeg_head[400], wrong_head[400];
} cloud_place;

/* cmocka's setup and teardown; *state is the place. */
int cloud_place_setup(void **state);
int cloud_place_teardown(void **state);

/* "200 OK" with this type and the body's digest, or a wrong one. */
void cloud_place_head(char head[400], const char *type, const tt_text *body, bool is_right);

/* Starts the service; CLOUD_SERVE(place, step, step, ...) does with steps that live until the end of the block. */
void cloud_place_serve(cloud_place *p, const server_step *steps, size_t n_steps);
#define CLOUD_SERVE(p, ...)                                                                                            \
    const server_step steps[] = {__VA_ARGS__};                                                                         \
    cloud_place_serve(p, steps, sizeof steps / sizeof steps[0])

/* The right picture under this head. */
server_step cloud_place_picture(const cloud_place *p, const char *head);

tt_status cloud_place_upscale(cloud_place *p);

/* The call goes well after so many requests; the service ends. */
void cloud_place_fine(cloud_place *p, unsigned n_requests);

/* It fails with this sentence after so many requests (0: any number), and without a picture; the service ends. */
void cloud_place_failed(cloud_place *p, const char *mention, unsigned n_requests);

#endif
