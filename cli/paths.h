/* paths.h - where the built-in models and CLIP's vocabulary are, and what pictures of a batch are called. */
#ifndef TT_CLI_PATHS_H
#define TT_CLI_PATHS_H

#include "cli/options.h"

enum { CLI_PATH = 4096 };

/* The built-in model: $TINTYPE_MODEL, else models/ in the working folder, models/ above the build folder, or the
 * installed share folder. fast: the one of four steps, whatever $TINTYPE_MODEL names. Prints a sentence when there is
 * none. path has room for CLI_PATH bytes. */
cli_exit cli_default_model(bool fast, char *path);

/* Finds the upscaling network in the same places; false where the library should look by itself. */
bool cli_find_upscaler(char *path);

/* Finds CLIP's vocabulary in the same places; false where the library should look by itself. */
bool cli_find_vocabulary(char *path);

/* Name of picture `index` of n_images: "%d" or "%03d" in the pattern is replaced; without it a batch gets "_INDEX"
 * before the extension. */
cli_exit cli_output_name(const char *pattern, uint32_t index, uint32_t n_images, char *path);

/* Checks before a long run that a file of this name can be written: its folder is there and takes a file. Nothing
 * stays behind. */
cli_exit cli_check_writable(const char *path);

/* Reads a small text file whole (free()); `what` says in sentences what it should be ("scheduler_config.json"). */
cli_exit cli_read_text(const char *path, const char *what, char **text);

#endif
