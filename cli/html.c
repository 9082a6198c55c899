/* html.c - see html.h. */
#include "cli/html.h"

#include <stdlib.h>

void cli_html_text(FILE *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&':
            (void)fputs("&amp;", out);
            break;
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '"':
            (void)fputs("&quot;", out);
            break;
        case '\'':
            (void)fputs("&#39;", out);
            break;
        default:
            (void)fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
        }
    }
}

void cli_html_base64(FILE *out, const uint8_t *bytes, size_t n_bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n_bytes; i += 3) {
        size_t n = n_bytes - i < 3 ? n_bytes - i : 3;
        uint32_t b = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (n > 2 ? bytes[i + 2] : 0);
        char four[4] = {digits[b >> 18], digits[b >> 12 & 63], n > 1 ? digits[b >> 6 & 63] : '=',
                        n > 2 ? digits[b & 63] : '='};
        (void)fwrite(four, 1, sizeof four, out);
    }
}

cli_exit cli_html_image(FILE *out, tt_context *context, const tt_image *image, const tt_image_marks *marks,
                        const char *about)
{
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    tt_status status = tt_image_encode_png(context, image, marks, &bytes, &n_bytes);
    if (status != TT_OK)
        return cli_fail_status(context, status);
    (void)fprintf(out, "<img width=\"%u\" height=\"%u\" alt=\"", image->width, image->height);
    cli_html_text(out, about);
    (void)fputs("\" src=\"data:image/png;base64,", out);
    cli_html_base64(out, bytes, n_bytes);
    (void)fputs("\">", out);
    free(bytes);
    return CLI_OK;
}
