/* commands.h - the commands of the program. Each takes a parsed line and returns the exit code. */
#ifndef TT_CLI_COMMANDS_H
#define TT_CLI_COMMANDS_H

#include "cli/options.h"

cli_exit cli_generate(const cli_options *options);
cli_exit cli_devices(const cli_options *options);
cli_exit cli_inspect(const cli_options *options);
cli_exit cli_stage(const cli_options *options);
cli_exit cli_compare(const cli_options *options);
cli_exit cli_samplers(const cli_options *options);
cli_exit cli_quantize(const cli_options *options);
cli_exit cli_plan(const cli_options *options);
cli_exit cli_bench_command(const cli_options *options);
cli_exit cli_tune(const cli_options *options);
cli_exit cli_selftest(const cli_options *options);
cli_exit cli_upscale(const cli_options *options);

typedef struct cli_command {
    const char *name;
    unsigned bit; /* CLI_IN_... */
    size_t min_words, max_words;
    const char *words; /* what they are, for the usage line; "" when there are none */
    const char *summary;
    const char *details; /* more for its own help; "" when there is none */
    cli_exit (*run)(const cli_options *options);
} cli_command;

/* Command `index`, NULL past the last; the first is the default. */
const cli_command *cli_command_at(size_t index);

/* Prints the help of one command, or of the program when command is NULL. */
void cli_print_help(const cli_command *command);

#endif
