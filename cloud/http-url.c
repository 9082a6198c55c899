/* http-url.c - reads a service's address, strictly. */
#include "cloud/http-url.h"
#include "cloud/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_URL = 500 };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char digits[] = "0123456789";

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* Number of characters at the beginning that are letters, digits or of `others`. */
static size_t span(const char *text, const char *others)
{
    size_t n = 0;
    while (is_one_of(text[n], letters) || is_one_of(text[n], digits) || is_one_of(text[n], others))
        n++;
    return n;
}

/* "127.a.b.c" with four decimal numbers below 256: shorter and other forms are left to nobody's guess. */
static bool is_loopback_address(const char *host)
{
    if (strncmp(host, "127.", 4) != 0)
        return false;
    const char *at = host;
    for (int i = 0; i < 4; i++) {
        const size_t n = strspn(at, digits);
        if (n == 0 || n > 3 || (n > 1 && at[0] == '0') || strtol(at, NULL, 10) > 255)
            return false;
        if (at[n] != (i < 3 ? '.' : '\0'))
            return false;
        at += n + 1;
    }
    return true;
}

/* Length of "host" or "[v6]" at the beginning, 0 when there is none. */
static size_t host_length(const char *text)
{
    if (text[0] != '[')
        return span(text, ".-_");
    const size_t n = strspn(text + 1, "0123456789abcdefABCDEF:.");
    return n > 0 && text[n + 1] == ']' ? n + 2 : 0;
}

/* The port with its colon, or nothing; NULL when it is wrong. */
static const char *skip_port(const char *text)
{
    if (text[0] != ':')
        return text;
    const size_t n = strspn(text + 1, digits);
    const long port = n > 0 && n <= 5 ? strtol(text + 1, NULL, 10) : 0;
    return port >= 1 && port <= 65535 ? text + 1 + n : NULL;
}

/* "" or "/a/b" without a slash at the end and without "..". */
static bool is_prefix(const char *path)
{
    const size_t n = span(path, "/.-_~");
    return path[n] == '\0' && (n == 0 || (path[0] == '/' && path[n - 1] != '/')) && strstr(path, "..") == NULL &&
           strstr(path, "//") == NULL;
}

static bool read_url(const char *text, tt_http_url *url)
{
    static const char secure[] = "https://", plain[] = "http://";
    *url = (tt_http_url){.is_secure = strncasecmp(text, secure, sizeof secure - 1) == 0};
    if (!url->is_secure && strncasecmp(text, plain, sizeof plain - 1) != 0)
        return false;
    const char *host = text + (url->is_secure ? sizeof secure : sizeof plain) - 1;
    const size_t n = host_length(host);
    if (n == 0 || n >= sizeof url->host)
        return false;
    memcpy(url->host, host, n);
    url->is_loopback =
        is_loopback_address(url->host) || strcmp(url->host, "[::1]") == 0 || strcasecmp(url->host, "localhost") == 0;
    const char *path = skip_port(host + n);
    return path != NULL && is_prefix(path);
}

tt_status tt_http_url_read(const char *text, tt_http_url *url, tt_error *err)
{
    if (strlen(text) > MAX_URL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the service's address has more than %d bytes", MAX_URL);
    if (!read_url(text, url))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the service's address \"%.200s\" is not taken: write https://host[:port][/prefix], without a "
                       "user name, a query or a slash at the end",
                       text);
    if (url->is_secure || url->is_loopback)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "%.200s would send pictures unencrypted: http is for this machine alone (127.0.0.1, [::1], "
                   "localhost); use https",
                   text);
}

bool tt_http_url_allowed(const char *url)
{
    tt_http_url read;
    return tt_http_url_read(url, &read, NULL) == TT_OK;
}
