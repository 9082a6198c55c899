/* help.c - the texts of `tintype help`. */
#include "cli/commands.h"

#include <string.h>

enum { HELP_COLUMN = 34 };

/* "  -s, --seed N", then the help from one column on. */
static void print_option(const cli_option *option)
{
    char left[128];
    int n = option->letter ? snprintf(left, sizeof left, "  -%c, --%s", option->letter, option->name)
                           : snprintf(left, sizeof left, "      --%s", option->name);
    if (option->alias)
        n += snprintf(left + n, sizeof left - (size_t)n, ", --%s", option->alias);
    if (option->argument)
        (void)snprintf(left + n, sizeof left - (size_t)n, " %s", option->argument);
    if (strlen(left) < HELP_COLUMN)
        (void)printf("%-*s%s\n", HELP_COLUMN, left, option->help);
    else
        (void)printf("%s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
}

static void print_program_help(void)
{
    const cli_command *command;
    (void)printf("tintype %s: pictures from text, made on this device\n\n"
                 "  tintype -p \"a cat on a blue background\"\n\n"
                 "Commands (tintype help COMMAND says more; without a command: generate):\n",
                 tt_version());
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++)
        (void)printf("  %-10s %s\n", command->name, command->summary);
    (void)printf("\nExit codes: 0 fine, 1 the run failed (stderr says why), 2 wrong command line, 3 a service "
                 "failed,\n130 cancelled.\n");
}

void cli_print_help(const cli_command *command)
{
    const cli_option *option;
    if (command == NULL) {
        print_program_help();
        return;
    }
    (void)printf("tintype %s%s%s [OPTION]...: %s\n%s\nOptions:\n", command->name, command->words[0] ? " " : "",
                 command->words, command->summary, command->details);
    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++)
        if (option->commands & command->bit)
            print_option(option);
}
