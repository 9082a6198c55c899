/* latent.c - latents as they travel. */
#include "base/dtype.h"
#include "cloud/client.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 4 + 4 * 4 + 32, HASH_BYTES = 32 };

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static tt_status check(const tt_latent *latent, const char *model_hash, uint32_t vae_factor, tt_error *err)
{
    if (latent->channels == 0 || latent->channels > 64 || latent->height == 0 || latent->height > 2048 ||
        latent->width == 0 || latent->width > 2048 || vae_factor == 0 || vae_factor > 64)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a latent of %u x %u x %u with factor %u cannot be sent",
                       latent->channels, latent->height, latent->width, vae_factor);
    if (model_hash == NULL || model_hash[0] == '\0')
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "a latent is sent with the SHA-256 of its model's file, but this model is no single file; send "
                       "pixels");
    if (strspn(model_hash, "0123456789abcdef") != strlen(model_hash))
        return tt_fail(err, TT_ERROR_ARGUMENT, "\"%.80s\" is no model's hash: lower-case hex digits are", model_hash);
    return TT_OK;
}

tt_status tt_cloud_latent_encode(const tt_latent *latent, const char *model_hash, uint32_t vae_factor, uint8_t **bytes,
                                 size_t *n_bytes, tt_error *err)
{
    const tt_status status = check(latent, model_hash, vae_factor, err);
    if (status != TT_OK)
        return status;
    const size_t n = (size_t)latent->channels * latent->height * latent->width;
    const size_t n_hash = strlen(model_hash) < HASH_BYTES ? strlen(model_hash) : HASH_BYTES;
    uint8_t *made = calloc(1, HEAD_BYTES + 2 * n);
    if (made == NULL)
        return tt_fail_memory(err, "a latent", HEAD_BYTES + 2 * n);
    memcpy(made, "TTL1", 4);
    uint8_t *at =
        put_u32(put_u32(put_u32(put_u32(made + 4, latent->channels), latent->height), latent->width), vae_factor);
    memcpy(at, model_hash, n_hash);
    at += HASH_BYTES;
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = tt_float_to_half(latent->values[i]);
        if ((half & 0x7c00) == 0x7c00) { /* infinite or no number */
            free(made);
            return tt_fail(err, TT_ERROR_FORMAT, "the latent holds %g, which no half can say; send pixels",
                           (double)latent->values[i]);
        }
        *at++ = (uint8_t)half;
        *at++ = (uint8_t)(half >> 8);
    }
    *bytes = made;
    *n_bytes = HEAD_BYTES + 2 * n;
    return TT_OK;
}
