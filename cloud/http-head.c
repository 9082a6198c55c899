/* http-head.c - reads header lines from a stranger. */
#include "cloud/http-head.h"

#include "base/base64.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_VALUE = 600, DIGEST_BYTES = 32 };

/* The value of "name: value" as a terminated string of visible ASCII; false when the line is another one or its value
 * is anything else. */
static bool read_value(const char *line, size_t n, const char *name, char value[MAX_VALUE])
{
    const size_t n_name = strlen(name);
    if (n <= n_name || line[n_name] != ':' || strncasecmp(line, name, n_name) != 0)
        return false;
    const char *begin = line + n_name + 1, *end = line + n;
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (unsigned char)end[-1] <= ' ')
        end--;
    if (end == begin || end - begin >= MAX_VALUE)
        return false;
    for (const char *c = begin; c < end; c++)
        if (*c < ' ' || *c > '~')
            return false;
    memcpy(value, begin, (size_t)(end - begin));
    value[end - begin] = '\0';
    return true;
}

/* A whole number of seconds; the other form, a date, is not used by any service of this kind. */
static bool read_number(const char *value, unsigned long most, unsigned long *number)
{
    const size_t n = strspn(value, "0123456789");
    if (n == 0 || n > 9 || value[n] != '\0')
        return false;
    *number = strtoul(value, NULL, 10);
    if (*number > most)
        *number = most;
    return true;
}

static void take_type(const char *value, tt_http_answer *answer)
{
    const size_t n = strcspn(value, "; \t");
    if (n >= sizeof answer->type)
        return;
    for (size_t i = 0; i < n; i++)
        answer->type[i] = (char)(value[i] >= 'A' && value[i] <= 'Z' ? value[i] + ('a' - 'A') : value[i]);
    answer->type[n] = '\0';
}

/* "sha-256=:BASE64:" among others that are separated by commas. */
static void take_digest(const char *value, tt_http_answer *answer)
{
    static const char key[] = "sha-256=:";
    uint8_t digest[MAX_VALUE];
    size_t n = 0;
    const char *at = strstr(value, key);
    if (at == NULL || (at != value && at[-1] != ' ' && at[-1] != ','))
        return;
    at += sizeof key - 1;
    const char *end = strchr(at, ':');
    if (end == NULL || !tt_base64_decode(at, (size_t)(end - at), digest, &n) || n != DIGEST_BYTES)
        return;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        answer->digest[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        answer->digest[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    answer->digest[2 * DIGEST_BYTES] = '\0';
}

static void begin_anew(tt_http_answer *answer)
{
    const tt_text body = answer->body;
    *answer = (tt_http_answer){.retry_after = -1.0, .body = body};
}

void tt_http_head_line(const char *line, size_t n_bytes, tt_http_answer *answer)
{
    char value[MAX_VALUE];
    unsigned long number = 0;
    if (n_bytes >= 5 && memcmp(line, "HTTP/", 5) == 0)
        begin_anew(answer);
    else if (read_value(line, n_bytes, "Content-Type", value))
        take_type(value, answer);
    else if (read_value(line, n_bytes, "Repr-Digest", value))
        take_digest(value, answer);
    else if (read_value(line, n_bytes, "Retry-After", value) && read_number(value, 86400, &number))
        answer->retry_after = (double)number;
    else if (read_value(line, n_bytes, "TT-Queue-Position", value) && read_number(value, 999999999, &number))
        answer->queue_position = (uint32_t)number;
    else if (read_value(line, n_bytes, "Location", value) && strlen(value) < sizeof answer->location)
        memcpy(answer->location, value, strlen(value) + 1);
}

void tt_http_answer_free(tt_http_answer *answer)
{
    tt_text_free(&answer->body);
    *answer = (tt_http_answer){.retry_after = -1.0};
}
