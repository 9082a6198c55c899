/* refusal.c - answers that say no, in a sentence. */
#include "cloud/refusal.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DETAIL = 300 };

static void read_detail(const tt_cloud_params *params, const tt_http_answer *answer, char detail[MAX_DETAIL])
{
    json_t *root = NULL;
    const char *text = NULL;
    detail[0] = '\0';
    if (strcmp(answer->type, "application/problem+json") != 0 || answer->body.n_bytes == 0 ||
        tt_json_parse(answer->body.bytes, answer->body.n_bytes, "the answer", &root, NULL) != TT_OK)
        return;
    if (tt_json_get_text(root, "detail", &text, NULL) == TT_OK && text != NULL &&
        (params->token == NULL || strstr(text, params->token) == NULL))
        (void)snprintf(detail, MAX_DETAIL, ": %s", text);
    json_decref(root);
}

tt_status tt_cloud_fail_answer(const tt_cloud_params *params, const tt_http_answer *answer, tt_error *err)
{
    char detail[MAX_DETAIL];
    const char *url = params->url;
    const long code = answer->code;
    read_detail(params, answer, detail);
    if (code >= 300 && code < 400)
        return tt_fail(err, TT_ERROR_NETWORK,
                       "the service at %s points to \"%.200s\" (%ld), which is not followed; give that address if you "
                       "trust it",
                       url, answer->location, code);
    if (code == 401 || code == 403)
        return tt_fail(err, TT_ERROR_NETWORK, "the service at %s %s (%ld%s)", url,
                       params->token != NULL ? "does not take the token; check it" : "wants a token; give one", code,
                       detail);
    if (code == 429)
        return tt_fail(err, TT_ERROR_NETWORK, "the service at %s has too much of you waiting (429%s); try later", url,
                       detail);
    if (code == 503)
        return tt_fail(err, TT_ERROR_NETWORK, "the service at %s is too busy (503%s); try later", url, detail);
    return tt_fail(err, TT_ERROR_NETWORK, "the service at %s answered %ld%s", url, code, detail);
}
