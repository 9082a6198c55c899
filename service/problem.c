/* problem.c - the words of a status, and a refusal as JSON. */
#include "service/problem.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

const char *tt_http_status_title(uint32_t code)
{
    static const struct {
        uint32_t code;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        if (titles[i].code == code)
            return titles[i].title;
    return code < 400 ? "Unknown" : code < 500 ? "Client Error" : "Server Error";
}

tt_status tt_problem_write(uint32_t code, const char *detail, tt_text *out, tt_error *err)
{
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", tt_http_status_title(code),
                                "status", (int)code, "detail", detail);
    char *text = problem != NULL ? json_dumps(problem, JSON_COMPACT) : NULL;
    json_decref(problem);
    if (text == NULL && !tt_utf8_valid(detail, strlen(detail), NULL))
        return tt_fail(err, TT_ERROR_INTERNAL, "a problem's detail is not UTF-8");
    if (text == NULL)
        return tt_fail_memory(err, "a problem", 256);
    tt_text_add_string(out, text);
    free(text);
    return tt_text_status(out, err);
}
