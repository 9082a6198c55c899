/* gate-post.c - a body that has arrived becomes a job: judged, hashed, committed, freed. */
#include "service/gate-private.h"

#include "base/clock.h"
#include "base/sha256.h"

#include <string.h>

/* Whether workers have the model that a latent names: one hash is the beginning of the other. */
static bool has_model(const tt_gate_params *params, const char *hash)
{
    for (size_t i = 0; i < params->n_model_hashes; i++) {
        const size_t n = strlen(hash), n_known = strlen(params->model_hashes[i]);
        if (strncmp(hash, params->model_hashes[i], n < n_known ? n : n_known) == 0)
            return true;
    }
    return false;
}

static bool check_body(gate_request *request, tt_body_info *info)
{
    const tt_gate_params *params = &request->gate->params;
    uint32_t code = 0;
    tt_error err = {""};
    if (tt_body_check(request->body, request->n_body, request->type, request->scale, &params->limits, info, &code,
                      &err) != TT_OK) {
        gate_refuse(request, code, "%s", err.text);
        return false;
    }
    if (info->kind != TT_BODY_LATENT || has_model(params, info->model_hash))
        return true;
    gate_refuse(request, 422, "this service has no model whose hash begins with %s: send the picture",
                info->model_hash);
    return false;
}

static void refuse_put(gate_request *request, tt_put_outcome outcome)
{
    if (outcome == TT_PUT_CONFLICT)
        gate_refuse(request, 409, "this Idempotency-Key was used with another body or scale");
    else if (outcome == TT_PUT_FULL)
        gate_refuse(request, 503, "the queue is full: try again later");
    else
        gate_refuse(request, 429, "too many jobs of this token are waiting: try again when some are done");
}

static bool put(tt_ledger *ledger, gate_request *request, const tt_body_info *info, tt_job *job)
{
    tt_put_outcome outcome;
    tt_error err = {""};
    char sha256[65];
    const tt_job_input input = {.owner = request->owner.name,
                                .max_queued = request->owner.max_queued,
                                .key = request->key[0] != '\0' ? request->key : NULL,
                                .type = tt_body_kind_type(info->kind),
                                .sha256 = sha256,
                                .scale = request->scale,
                                .width = info->width,
                                .height = info->height,
                                .body = request->body,
                                .n_body_bytes = request->n_body};
    tt_status status = tt_sha256_hex(request->body, request->n_body, sha256, &err);
    if (status == TT_OK)
        status = tt_ledger_put(ledger, &input, &outcome, job, &err);
    if (status != TT_OK) {
        gate_fail_ledger(request, &err);
        return false;
    }
    if (outcome != TT_PUT_ACCEPTED && outcome != TT_PUT_KNOWN) {
        refuse_put(request, outcome);
        return false;
    }
    return true;
}

bool gate_post(tt_ledger *ledger, gate_request *request, tt_job *job)
{
    tt_body_info info;
    const bool is_done = (request->route != GATE_EXTRA || gate_extra_read(request)) && check_body(request, &info) &&
                         put(ledger, request, &info, job);
    gate_drop_body(request);
    if (!is_done)
        return false;
    memcpy(request->id, job->id, sizeof request->id);
    request->is_accepted = true;
    tt_metrics_observe(request->gate->metrics, GATE_POST_SECONDS, NULL, tt_clock_seconds() - request->started);
    return true;
}
