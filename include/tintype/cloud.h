/* cloud.h - an upscale service that somebody runs, and who sharpens a draft; part of tintype.h. */
#ifndef TINTYPE_CLOUD_H
#define TINTYPE_CLOUD_H

#include "tintype/generate.h"
#include "tintype/upscale.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where tt_cloud_upscale and tt_sharpen are. */
typedef enum tt_cloud_phase {
    TT_CLOUD_CONNECT = 0,
    TT_CLOUD_UPLOAD = 1,
    TT_CLOUD_QUEUED = 2, /* accepted, waits for a worker */
    TT_CLOUD_WORK = 3,   /* a worker has it */
    TT_CLOUD_DOWNLOAD = 4,
    TT_CLOUD_RETRY = 5 /* waits before the next try */
} tt_cloud_phase;

typedef struct tt_cloud_progress {
    tt_cloud_phase phase;
    uint64_t done_bytes, total_bytes; /* of an upload or download */
    uint32_t queue_position;          /* jobs ahead, QUEUED; 0 when the service does not say */
    uint32_t n_tries;
    double seconds, wait_seconds; /* since the call; RETRY: until the next try */
} tt_cloud_progress;

/* Return false to cancel: the call ends with TT_ERROR_CANCELLED, and the service is asked to drop the job. */
typedef bool (*tt_cloud_progress_fn)(void *user, const tt_cloud_progress *progress);

/* How to reach a service. Fill with tt_cloud_params_default first. Pointers must stay valid during the call. */
typedef struct tt_cloud_params {
    const char *url;   /* "https://host[:port][/prefix]"; "http://" is taken for loopback addresses only */
    const char *token; /* bearer token, NULL: none; never written to a log or a sentence */
    bool allow_upload; /* must be set: the pixels (or the latent) and the scale leave the device, nothing else does */
    double connect_seconds; /* for each connection; default 10 */
    double timeout_seconds; /* for everything, waiting in the service's queue included; default 120 */
    uint64_t max_bytes;     /* a body larger than that is not sent; default 8 MiB */
    uint32_t max_tries;     /* default 5; waits in between double from half a second, with jitter, or are what the
                               service asks for by Retry-After */
    const char *ca_file;    /* NULL: the system's certificates */
    const char *state_path; /* NULL, or a file that names the accepted job, so that the same call after a restart waits
                               for that job instead of sending again; removed when the result is there */
    tt_cloud_progress_fn progress; /* may be NULL */
    void *progress_user;
} tt_cloud_params;

TT_API void tt_cloud_params_default(tt_cloud_params *params);

/* Says without connecting whether a call with these could begin: the address is well-formed and allowed, the token has
 * no wrong characters, allow_upload is set, and this build can talk to services (else TT_ERROR_UNSUPPORTED). */
TT_API tt_status tt_cloud_check(tt_context *context, const tt_cloud_params *params);

typedef struct tt_cloud_report {
    uint64_t sent_bytes, received_bytes; /* bodies */
    uint32_t n_tries;                    /* requests that had to be made again included */
    bool is_resumed;                     /* the job was accepted by an earlier call */
    double queue_seconds, total_seconds;
    char job[64]; /* the service's name of it */
} tt_cloud_report;

/* Lets a service make the picture `scale` times larger (docs/cloud.md is the protocol). What is sent is the picture as
 * a PNG without any text or mark, and the scale. The result's type, size in pixels and SHA-256 are checked before it is
 * returned in *out. Fails with TT_ERROR_NETWORK when the service cannot be reached, does not answer in time or says no;
 * the sentence tells which and what to do. report may be NULL. */
TT_API tt_status tt_cloud_upscale(tt_context *context, const tt_cloud_params *params, const tt_image *image,
                                  uint32_t scale, tt_image *out, tt_cloud_report *report);

/* The same with a latent, sent as halves (a 4x32x32 one is 8 KB): the service decodes with the model whose file has the
 * SHA-256 that begins with model_hash, and says so when it has no such model. */
TT_API tt_status tt_cloud_upscale_latent(tt_context *context, const tt_cloud_params *params, const tt_latent *latent,
                                         const char *model_hash, uint32_t vae_factor, uint32_t scale, tt_image *out,
                                         tt_cloud_report *report);

/* Who sharpens. */
typedef enum tt_sharpen_by {
    TT_SHARPEN_AUTO = 0, /* the service when it is set, reachable, in time and within max_bytes; else this device */
    TT_SHARPEN_CLOUD = 1,
    TT_SHARPEN_LOCAL = 2
} tt_sharpen_by;

/* Fill with tt_sharpen_params_default first. */
typedef struct tt_sharpen_params {
    tt_sharpen_by by;
    uint32_t scale;          /* 2 .. 4 */
    tt_upscaler *upscaler;   /* the local network; may be NULL for CLOUD */
    tt_cloud_params cloud;   /* url NULL: no service */
    const tt_latent *latent; /* NULL: pixels are sent; else this is, for a service that has the model */
    const char *model_hash;  /* of the latent's model */
    uint32_t vae_factor;
    double route_detail; /* AUTO: pictures with less detail than that (tt_image_detail) stay on the device; 0: all go */
    tt_upscale_progress_fn local_progress; /* of the local network; may be NULL */
    void *local_user;
} tt_sharpen_params;

TT_API void tt_sharpen_params_default(tt_sharpen_params *params);

typedef struct tt_sharpen_report {
    tt_sharpen_by by; /* CLOUD or LOCAL: who did it */
    char reason[400]; /* AUTO: why not the service, one sentence; "" when it was the service */
    double detail;    /* of the picture, 0 when no routing was asked for */
    tt_cloud_report cloud;
    double seconds;
} tt_sharpen_report;

/* Makes a draft larger, on the service or on this device. A service that fails or loses the connection half-way is
 * followed by the local network (AUTO). image may be NULL with CLOUD and a latent. report may be NULL. */
TT_API tt_status tt_sharpen(tt_context *context, const tt_sharpen_params *params, const tt_image *image, tt_image *out,
                            tt_sharpen_report *report);

/* How hard a picture is to enlarge, from the energy of fine detail in its luma; 0 .. 1. The error that the local
 * network leaves grows with it, and so does what a stronger one takes off. docs/cloud.md has the rule and its
 * measurement. */
TT_API double tt_image_detail(const tt_image *image);

#ifdef __cplusplus
}
#endif

#endif
