/* program.c - see program.h. */
#include "service/program.h"

#include <stdio.h>

int tt_program_fail(const tt_program *program, int code, const tt_error *err)
{
    (void)fprintf(stderr, "%s: %s\n", program->name, err->text);
    return code;
}

void tt_program_log(void *user, tt_log_level level, const char *line)
{
    const tt_program *program = user;
    if (level >= TT_LOG_WARNING || program->is_verbose)
        (void)fprintf(stderr, "%s: %s\n", program->name, line);
}

bool tt_program_answers(const tt_program *program, const tt_option *options, size_t n)
{
    tt_text text = {0};
    if (program->help) {
        tt_options_help(options, n, &text);
        (void)printf("%s [OPTION]...: %s\n\nOptions:\n%s\n%s\n", program->name, program->purpose,
                     text.bytes != NULL ? text.bytes : "", program->signals);
        tt_text_free(&text);
    } else if (program->version)
        (void)printf("%s %s\n", program->name, tt_version());
    return program->help || program->version;
}
