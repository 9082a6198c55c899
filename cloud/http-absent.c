/* http-absent.c - what stands in for http.c in a library that was built without libcurl. */
#include "cloud/http.h"

static tt_status fail(tt_error *err)
{
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "this build of tintype cannot talk to a service: it was made without libcurl; install "
                   "libcurl4-openssl-dev and build again");
}

tt_status tt_http_open(const tt_http_service *service, tt_http **http, tt_error *err)
{
    (void)service;
    *http = NULL;
    return fail(err);
}

void tt_http_close(tt_http *http)
{
    (void)http;
}

tt_status tt_http_exchange(tt_http *http, const tt_http_request *request, tt_http_answer *answer, bool *may_retry,
                           tt_error *err)
{
    (void)http;
    (void)request;
    (void)answer;
    *may_retry = false;
    return fail(err);
}
