/* options.h - the options of all commands, in one table, and the parser that reads a command line with it. */
#ifndef TT_CLI_OPTIONS_H
#define TT_CLI_OPTIONS_H

#include "cli/message.h"

/* Bits that say which commands know an option. */
enum {
    CLI_IN_GENERATE = 1,
    CLI_IN_DEVICES = 2,
    CLI_IN_INSPECT = 4,
    CLI_IN_STAGE = 8,
    CLI_IN_SAMPLERS = 16,
    CLI_IN_QUANTIZE = 32,
    CLI_IN_PLAN = 64,
    CLI_IN_COMPARE = 128,
    CLI_IN_BENCH = 256,
    CLI_IN_TUNE = 512,
    CLI_IN_SELFTEST = 1024,
    CLI_IN_UPSCALE = 2048,
    CLI_IN_MODEL = CLI_IN_GENERATE | CLI_IN_STAGE | CLI_IN_PLAN,
    CLI_IN_ALL = 4095
};

enum { CLI_MAX_WORDS = 2, CLI_MAX_LIST = 16 };

/* A choice whose place 0 is a value of its own. */
#define CLI_NOT_GIVEN UINT32_MAX

/* Values of an option that may be given several times. */
typedef struct cli_list {
    const char *items[CLI_MAX_LIST];
    size_t n;
} cli_list;

/* Everything a command line can say. NULL, 0 and NAN mean "not given"; texts belong to argv. */
typedef struct cli_options {
    const char *model, *taesd, *vae;
    cli_list models;
    const char *prompts, *report, *accuracy;
    const char *prompt, *negative_prompt;
    const char *input, *output, *init_image, *mask, *preview, *resume;
    const char *sampler, *schedule, *scheduler_config;
    const char *producer;
    const char *device, *cache_dir, *kernel_dir;
    uint32_t width, height, n_steps, n_images, n_passes, clip_skip;
    uint32_t encoder, n_pad;
    uint32_t original_size[2], target_size[2], crop[2]; /* height, width; top, left */
    int64_t seed;                                       /* negative: from the clock */
    double cfg_scale, strength, eta;
    double cfg_start, cfg_stop;
    uint32_t reuse_interval, reuse_depth, kv_downsample;
    uint64_t memory_budget; /* bytes */
    const char *memory_mode, *device_profile;
    uint32_t rng;       /* a tt_rng */
    uint32_t precision; /* a tt_precision */
    bool components, mlperf;
    bool fast, vae_tiling, trace, no_prompt_metadata, verbose, quiet, json, help, version;
    const char *weight_type, *rules, *budget, *table;
    double prune;
    const char *prune_structured;
    uint32_t fit; /* 0: search, 1: plain */
    uint32_t n_threads;
    bool pure;
    const char *export, *import, *only;
    double seconds;
    bool again, tune, store_programs;
    const char *upscale_model;
    uint32_t draft, upscale, upload; /* upscale: a tt_sharpen_by, CLI_NOT_GIVEN; upload: 0 pixels, 1 latent */
    const char *cloud_url, *cloud_token_file, *cloud_ca_file;
    double cloud_timeout, route; /* route: 0 without a value */
    uint64_t cloud_max_bytes;
    bool allow_upload;
    uint32_t scale, tile;
    const char *words[CLI_MAX_WORDS]; /* arguments that are no options */
    size_t n_words;
} cli_options;

typedef enum cli_kind {
    CLI_FLAG = 0, /* bool */
    CLI_TEXT,     /* const char * */
    CLI_ONCE,     /* const char * that must not be given twice: the second would silently replace the first */
    CLI_LIST,     /* cli_list: given several times, each adds one */
    CLI_COUNT,    /* uint32_t in low..high */
    CLI_SEED,     /* int64_t */
    CLI_REAL,     /* double in low..high */
    CLI_MAY_REAL, /* the same after "=" alone; without it 0 */
    CLI_PAIR,     /* uint32_t[2]: "HxW" or "T,L", as the argument's name shows */
    CLI_BYTES,    /* uint64_t, at least 1: "900MB", with a unit */
    CLI_CHOICE    /* uint32_t: the place in the argument's list "a|b|c" */
} cli_kind;

typedef struct cli_option {
    const char *name, *alias; /* long names; alias may be NULL */
    char letter;              /* 0: none */
    unsigned commands;        /* CLI_IN_... */
    cli_kind kind;
    size_t target; /* offset in cli_options */
    double low, high;
    const char *argument; /* NULL for flags */
    const char *help;
} cli_option;

/* Option `index` of the table in the order of the help, NULL past the last. */
const cli_option *cli_option_at(size_t index);

/* Reads the arguments of `command` (its name, its bit, how many words it takes) into *options, which is reset first.
 * On a wrong line one sentence is printed, with the nearest known option where one was misspelt, and CLI_USAGE
 * returned. */
typedef struct cli_grammar {
    const char *command;
    unsigned bit;
    size_t max_words;
} cli_grammar;
cli_exit cli_options_parse(const cli_grammar *grammar, int argc, char **argv, cli_options *options);

#endif
