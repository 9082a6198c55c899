/* choices.c - which variants of the kernels the open device uses, as JSON. */
#include "cli/session.h"

static void print_entry(size_t index, const char *op, const char *key, const char *name)
{
    (void)printf("%s{\"op\": ", index > 0 ? ",\n  " : "\n  ");
    cli_print_json_string(stdout, op);
    (void)printf(", \"key\": ");
    cli_print_json_string(stdout, key);
    (void)printf(", \"name\": ");
    cli_print_json_string(stdout, name);
}

void cli_print_json_choices(const tt_context *context)
{
    tt_tuned t;
    tt_disabled d;
    (void)printf("\"choices\": [");
    for (size_t i = 0; tt_context_tuned_at(context, i, &t); i++) {
        print_entry(i, t.op, t.key, t.name);
        (void)printf(", \"ms\": %.4f, \"default_ms\": %.4f}", t.ms, t.default_ms);
    }
    (void)printf("],\n \"disabled\": [");
    for (size_t i = 0; tt_context_disabled_at(context, i, &d); i++) {
        print_entry(i, d.op, d.form, d.name);
        (void)printf(", \"reason\": ");
        cli_print_json_string(stdout, d.reason);
        (void)printf("}");
    }
    (void)printf("]");
}
