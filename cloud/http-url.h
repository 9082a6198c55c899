/* http-url.h - which addresses of a service are taken; used inside this room.
 *
 * The strict reading here stands before libcurl's generous one: what this does not understand is refused, so that both
 * always mean the same host. */
#ifndef TT_CLOUD_HTTP_URL_H
#define TT_CLOUD_HTTP_URL_H

#include "base/error.h"

typedef struct tt_http_url {
    bool is_secure;   /* https */
    bool is_loopback; /* 127.0.0.0/8, [::1] or localhost */
    char host[256];   /* as written, with the brackets of an IPv6 address */
} tt_http_url;

/* Takes "http[s]://host[:port][/prefix]": no user name, no query, no fragment, no percent escapes and no slash at the
 * end. Fails with a sentence otherwise, and for http to a host that is not this machine. */
tt_status tt_http_url_read(const char *text, tt_http_url *url, tt_error *err);

#endif
