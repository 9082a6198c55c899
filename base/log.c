/* log.c - one formatted line to the caller's receiver. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void tt_log_write(const tt_log *log, tt_log_level level, const char *format, ...)
{
    if (log == NULL || log->fn == NULL)
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length >= 0)
        log->fn(log->user, level, line);
}
