/* option-table.c - every option: names, who knows it, what it takes, what it does. */
#include "cli/options.h"

#define AT(member) offsetof(cli_options, member)

enum {
    GENERATE = CLI_IN_GENERATE,
    STAGE = CLI_IN_STAGE,
    MODEL = CLI_IN_MODEL,
    REQUEST = CLI_IN_GENERATE | CLI_IN_PLAN,
    RUN = CLI_IN_GENERATE | CLI_IN_STAGE
};

static const cli_option table[] = {
    {"model", NULL, 'm', MODEL, CLI_TEXT, AT(model), 0, 0, "PATH",
     "diffusers folder, .safetensors or .gguf file; default: the built-in model or $TINTYPE_MODEL"},
    {"prompt", NULL, 'p', MODEL, CLI_TEXT, AT(prompt), 0, 0, "TEXT",
     "what to paint; (word), (word:1.3) and [word] weigh, BREAK starts a new chunk"},
    {"negative-prompt", NULL, 'n', MODEL, CLI_TEXT, AT(negative_prompt), 0, 0, "TEXT", "what to keep out"},
    {"output", NULL, 'o', GENERATE, CLI_TEXT, AT(output), 0, 0, "FILE",
     "PNG to write, default output.png; a batch: name_0.png, ... or %d in the name"},
    {"width", NULL, 'W', REQUEST, CLI_COUNT, AT(width), 1, 4294967295, "PIXELS", "default: the model's"},
    {"height", NULL, 'H', REQUEST, CLI_COUNT, AT(height), 1, 4294967295, "PIXELS", "default: the model's"},
    {"steps", NULL, 0, MODEL, CLI_COUNT, AT(n_steps), 1, 4294967295, "N", "denoising steps; default: the model's"},
    {"cfg-scale", NULL, 0, MODEL, CLI_REAL, AT(cfg_scale), 0, 1000, "X",
     "how closely to follow the prompt; 1 is off and twice as fast"},
    {"seed", NULL, 's', GENERATE, CLI_SEED, AT(seed), 0, 0, "N",
     "same seed, same picture; image i of a batch uses N + i; default -1: from the clock"},
    {"batch-count", NULL, 'b', REQUEST, CLI_COUNT, AT(n_images), 1, 10000, "N", "pictures to make, default 1"},
    {"sampling-method", "sampler", 0, REQUEST, CLI_TEXT, AT(sampler), 0, 0, "NAME",
     "default: the model's; `tintype samplers` lists them"},
    {"schedule", "scheduler", 0, REQUEST, CLI_TEXT, AT(schedule), 0, 0, "NAME",
     "noise schedule: default, karras, exponential, beta or sgm_uniform"},
    {"scheduler-config", NULL, 0, MODEL, CLI_TEXT, AT(scheduler_config), 0, 0, "FILE",
     "scheduler_config.json that overrides sampler and schedule"},
    {"eta", NULL, 0, MODEL, CLI_REAL, AT(eta), 0, 1, "X", "noise that DDIM adds, default 0"},
    {"init-img", NULL, 'i', REQUEST, CLI_TEXT, AT(init_image), 0, 0, "FILE",
     "PNG or JPEG to start from; sets the size unless -W and -H do"},
    {"mask", NULL, 0, REQUEST, CLI_TEXT, AT(mask), 0, 0, "FILE", "with -i: repaint only where this picture is white"},
    {"strength", NULL, 0, MODEL, CLI_REAL, AT(strength), 0, 1, "X",
     "with a start picture: part of the steps that is run, default 0.75 (stage denoise: 1)"},
    {"clip-skip", NULL, 0, MODEL, CLI_COUNT, AT(clip_skip), 1, 1000, "N",
     "text encoder layer: 1 is the last, 2 the one before"},
    {"rng", NULL, 0, GENERATE, CLI_CHOICE, AT(rng), 0, 0, "cpu|cuda", "noise as torch makes it there, default cpu"},
    {"vae", NULL, 0, MODEL, CLI_TEXT, AT(vae), 0, 0, "PATH", "VAE that replaces the model's"},
    {"taesd", NULL, 0, MODEL, CLI_TEXT, AT(taesd), 0, 0, "PATH", "tiny autoencoder that replaces the VAE"},
    {"vae-tiling", NULL, 0, MODEL, CLI_FLAG, AT(vae_tiling), 0, 0, NULL, "decode in tiles: less memory, a bit slower"},
    {"memory-budget", NULL, 0, REQUEST, CLI_BYTES, AT(memory_budget), 0, 0, "SIZE",
     "most memory to use in all, e.g. 900MB; default: what the system has free"},
    {"memory-mode", NULL, 0, REQUEST, CLI_TEXT, AT(memory_mode), 0, 0, "MODE",
     "auto (default), resident, sequential or streamed"},
    {"preview", NULL, 0, GENERATE, CLI_TEXT, AT(preview), 0, 0, "FILE", "write a small PNG after each step"},
    {"resume", NULL, 0, GENERATE, CLI_TEXT, AT(resume), 0, 0, "FILE",
     "keep the run's state here after each step; the same command goes on from it after a kill"},
    {"no-prompt-metadata", NULL, 0, GENERATE, CLI_FLAG, AT(no_prompt_metadata), 0, 0, NULL,
     "keep both prompts out of the file; the AI mark stays"},
    {"aigc-producer", NULL, 0, GENERATE, CLI_TEXT, AT(producer), 0, 0, "CODE",
     "ContentProducer of the GB 45438 label, default empty"},
    {"input", NULL, 0, STAGE, CLI_TEXT, AT(input), 0, 0, "FILE", "safetensors with the stage's inputs"},
    {"output", NULL, 'o', STAGE, CLI_TEXT, AT(output), 0, 0, "FILE", "safetensors for its results"},
    {"trace", NULL, 0, STAGE, CLI_FLAG, AT(trace), 0, 0, NULL, "stage unet: also write the outputs of all blocks"},
    {"encoder", NULL, 0, STAGE, CLI_COUNT, AT(encoder), 1, 2, "1|2", "text encoder of a model that has two, default 1"},
    {"pad", NULL, 0, STAGE, CLI_COUNT, AT(n_pad), 2, 1048576, "N", "tokenize: cut and pad to N ids"},
    {"original-size", NULL, 0, STAGE, CLI_PAIR, AT(original_size), 0, 0, "HxW", "SDXL, default: the picture's size"},
    {"crop", NULL, 0, STAGE, CLI_PAIR, AT(crop), 0, 0, "T,L", "SDXL, default 0,0"},
    {"target-size", NULL, 0, STAGE, CLI_PAIR, AT(target_size), 0, 0, "HxW", "SDXL, default: the picture's size"},
    {"precision", "type", 0, MODEL, CLI_CHOICE, AT(precision), 0, 0, "auto|f32|f16",
     "storage on the device; auto: as the model's file"},
    {"device", NULL, 0, MODEL, CLI_TEXT, AT(device), 0, 0, "NAME|INDEX",
     "default: the best; `tintype devices` lists them"},
    {"cache-dir", NULL, 0, MODEL, CLI_TEXT, AT(cache_dir), 0, 0, "FOLDER",
     "compiled kernels, default ~/.cache/tintype; \"\": none"},
    {"kernel-dir", NULL, 0, MODEL, CLI_TEXT, AT(kernel_dir), 0, 0, "FOLDER", "kernels from disk, for developers"},
    {"json", NULL, 0, CLI_IN_DEVICES | CLI_IN_INSPECT | CLI_IN_SAMPLERS | CLI_IN_PLAN, CLI_FLAG, AT(json), 0, 0, NULL, "print JSON"},
    {"verbose", NULL, 'v', CLI_IN_ALL, CLI_FLAG, AT(verbose), 0, 0, NULL, "log lines on stderr"},
    {"quiet", NULL, 'q', RUN, CLI_FLAG, AT(quiet), 0, 0, NULL, "no progress and no summary"},
    {"help", NULL, 'h', CLI_IN_ALL, CLI_FLAG, AT(help), 0, 0, NULL, "this text"},
    {"version", NULL, 0, CLI_IN_ALL, CLI_FLAG, AT(version), 0, 0, NULL, "the program's version"},
};

const cli_option *cli_option_at(size_t index)
{
    return index < sizeof table / sizeof table[0] ? &table[index] : NULL;
}
