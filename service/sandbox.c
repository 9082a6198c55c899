/* sandbox.c - decoding as a task for the jail: a body and its bounds in the block, pixels and an outcome out of it. */
#include "service/sandbox.h"

#include "service/jail.h"

#include <stdlib.h>
#include <string.h>

/* The block: this head, the body, the pixels. Once a child had it, what the child may have written is checked. */
typedef struct block_head {
    uint64_t n_bytes; /* of the body */
    uint64_t max_bytes, max_pixels;
    uint32_t width, height; /* wanted */
    uint32_t is_decoded, n_channels;
    char sentence[512];
} block_head;

struct tt_sandbox {
    tt_jail *jail;
    tt_sandbox_limits limits;
};

tt_sandbox_limits tt_sandbox_limits_default(void)
{
    return (tt_sandbox_limits){
        .max_memory = (uint64_t)512 << 20, .seconds = 10, .max_bytes = 8 << 20, .max_pixels = 4194304};
}

static uint8_t *body_of(block_head *head)
{
    return (uint8_t *)(head + 1);
}

static uint8_t *pixels_of(block_head *head, uint64_t max_bytes)
{
    return body_of(head) + max_bytes;
}

/* ---- in the child */

static void put_sentence(block_head *head, const char *sentence)
{
    strncpy(head->sentence, sentence, sizeof head->sentence - 1);
}

/* Grey becomes RGB; others stay. */
static void put_pixels(block_head *head, const tt_image *image)
{
    uint8_t *pixels = pixels_of(head, head->max_bytes);
    const size_t n = (size_t)image->width * image->height;
    if (image->n_channels != 1)
        memcpy(pixels, image->pixels, n * image->n_channels);
    for (size_t i = 0; i < n && image->n_channels == 1; i++)
        memset(pixels + 3 * i, image->pixels[i], 3);
    head->n_channels = image->n_channels == 1 ? 3 : image->n_channels;
    head->is_decoded = 1;
}

static void decode(void *block, size_t n_bytes)
{
    (void)n_bytes;
    block_head *head = block;
    tt_image image = {0};
    tt_context *context = tt_context_create();
    const uint32_t max_side = head->width > head->height ? head->width : head->height;
    const tt_image_bounds bounds = {.max_side = max_side, .max_pixels = (uint64_t)head->width * head->height};
    if (context == NULL)
        put_sentence(head, "the picture needs too much memory");
    else if (tt_image_read_bytes(context, body_of(head), (size_t)head->n_bytes, &bounds, 0, &image) != TT_OK)
        put_sentence(head, tt_context_message(context));
    else if (image.width != head->width || image.height != head->height)
        put_sentence(head, "the picture is not of the size that its header says");
    else
        put_pixels(head, &image);
}

/* ---- in the worker */

tt_status tt_sandbox_open(const tt_sandbox_limits *limits, tt_sandbox **sandbox, tt_error *err)
{
    *sandbox = NULL;
    if (!(limits->seconds > 0 && limits->seconds <= 3600) || limits->max_memory == 0 || limits->max_bytes == 0 ||
        limits->max_bytes > (uint64_t)1 << 30 || limits->max_pixels == 0 || limits->max_pixels > (uint64_t)1 << 28)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the sandbox's limits make no sense");
    tt_sandbox *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tt_fail_memory(err, "a sandbox", sizeof *made);
    made->limits = *limits;
    const size_t n_bytes = sizeof(block_head) + (size_t)limits->max_bytes + 4 * (size_t)limits->max_pixels;
    const tt_confinement confinement = {
        .max_memory = limits->max_memory, .seconds = limits->seconds, .without_seccomp = limits->without_seccomp};
    const tt_status status = tt_jail_open(decode, n_bytes, &confinement, &made->jail, err);
    if (status == TT_OK)
        *sandbox = made;
    else
        free(made);
    return status;
}

void tt_sandbox_close(tt_sandbox *sandbox)
{
    if (sandbox == NULL)
        return;
    tt_jail_close(sandbox->jail);
    free(sandbox);
}

static tt_status copy_pixels(tt_sandbox *sandbox, block_head *head, uint32_t width, uint32_t height, tt_image *image,
                             tt_error *err)
{
    const uint32_t n_channels = head->n_channels;
    if (n_channels != 3 && n_channels != 4)
        return tt_fail(err, TT_ERROR_FORMAT, "the picture's decoder was broken by it");
    const size_t n = (size_t)width * height * n_channels;
    uint8_t *pixels = malloc(n);
    if (pixels == NULL)
        return tt_fail_memory(err, "a decoded picture", n);
    memcpy(pixels, pixels_of(head, sandbox->limits.max_bytes), n);
    *image = (tt_image){width, height, n_channels, pixels};
    return TT_OK;
}

/* What the child left behind. Its words are a stranger's, perhaps. */
static tt_status judge(tt_sandbox *sandbox, tt_jail_end end, uint32_t width, uint32_t height, tt_image *image,
                       tt_error *err)
{
    static const char *const sentences[] = {
        [TT_JAIL_FILTERED] = "the picture made its decoder do what it must not, and was stopped",
        [TT_JAIL_OUT_OF_TIME] = "the picture takes too long to decode",
        [TT_JAIL_CRASHED] = "the picture breaks its decoder, or needs too much memory"};
    block_head *head = tt_jail_block(sandbox->jail);
    if (end == TT_JAIL_UNCONFINED)
        return tt_fail(err, TT_ERROR_INTERNAL, "the decoder's process could not be confined");
    if (end != TT_JAIL_DONE)
        return tt_fail(err, TT_ERROR_FORMAT, "%s", sentences[end]);
    if (head->is_decoded == 1)
        return copy_pixels(sandbox, head, width, height, image, err);
    head->sentence[sizeof head->sentence - 1] = '\0';
    return tt_fail(err, TT_ERROR_FORMAT, "%s", head->sentence);
}

tt_status tt_sandbox_decode(tt_sandbox *sandbox, const uint8_t *bytes, size_t n_bytes, uint32_t width, uint32_t height,
                            tt_image *image, tt_error *err)
{
    const tt_sandbox_limits *limits = &sandbox->limits;
    block_head *head = tt_jail_block(sandbox->jail);
    tt_jail_end end = TT_JAIL_CRASHED;
    *image = (tt_image){0};
    if (n_bytes > limits->max_bytes || width == 0 || height == 0 || (uint64_t)width * height > limits->max_pixels)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the picture is %u x %u pixels in %zu bytes, which is more than this worker decodes", width,
                       height, n_bytes);
    *head = (block_head){.n_bytes = n_bytes,
                         .max_bytes = limits->max_bytes,
                         .max_pixels = limits->max_pixels,
                         .width = width,
                         .height = height};
    memcpy(body_of(head), bytes, n_bytes);
    tt_status status = tt_jail_run(sandbox->jail, &end, err);
    if (status == TT_OK)
        status = judge(sandbox, end, width, height, image, err);
    tt_jail_forget(sandbox->jail);
    return status;
}
