/* main.c - finds the command and hands it its options. */
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

static const char generate_details[] =
    "\n"
    "  tintype -p \"a red apple\" -n \"blurry\" -s 42 --steps 25 -o apple.png\n"
    "  tintype -p \"a red apple\" -b 4 -o apple_%02d.png       four pictures, seeds N to N + 3\n"
    "  tintype -p \"a green apple\" -i apple.png --strength 0.6\n"
    "  tintype -m model.safetensors -p \"a red apple\" -W 512 -H 768 --sampler dpm++2m --schedule karras\n"
    "  tintype -p \"a red apple\" -W 512 -H 512 --draft 256 --cloud-url https://sharpen.example.org --allow-upload\n"
    "\n"
    "Pictures are marked as made by AI (IPTC DigitalSourceType, AIGC) and carry their settings as `parameters`;\n"
    "`tintype inspect FILE` shows both. Ctrl-C cancels after the current step and leaves no file behind.\n";

static const char stage_details[] =
    "\n"
    "Stages, with the arrays they read and write (shapes in docs and tintype.h):\n"
    "  tokenize    -p TEXT, prints the ids as a JSON array\n"
    "  text        input_ids -> last_hidden_state, penultimate, clip_skip_2, pooled or text_embeds\n"
    "  unet        sample, timestep, encoder_hidden_states, [text_embeds, time_ids, timestep_cond] -> sample\n"
    "  vae-decode  latent -> image\n"
    "  vae-encode  image -> mean, logvar (tiny autoencoder: latent)\n"
    "  sample      x_init, noise -> timesteps, sigmas, x; the scheduler alone, no device is needed\n"
    "  denoise     noise0, noise1, ..., [image, mask] -> timesteps, latents_steps, latents_final, image_out\n";

static const char quantize_details[] =
    "\n"
    "  tintype quantize model.safetensors -o model-q8.gguf --type q8_0\n"
    "  tintype quantize model.safetensors -o model-q4.gguf --type q4_k --rules 'attn2=q8_0,^vae=f16'\n"
    "  tintype quantize model.safetensors -o model-q4.gguf --type q4_k --calibrate prompts.txt\n"
    "  tintype quantize model.safetensors -o model-900.gguf --mixed 900MB\n"
    "\n"
    "The input is anything that -m takes elsewhere; the output is one GGUF file that needs nothing beside it. Without\n"
    "--calibrate and --mixed no device is used. docs/quantize.md has sizes and errors of all types.\n";

static const char plan_details[] =
    "\n"
    "  tintype plan -m model.safetensors -W 768 -H 512 --steps 25\n"
    "  tintype plan -m model.safetensors --memory-budget 900MB --json\n"
    "\n"
    "Nothing is run but a few kernels that tell the device's speed, and no weights are read. A request that does not\n"
    "fit ends with exit code 1 and the sentence that generate would give.\n";

static const char tune_details[] =
    "\n"
    "  tintype tune                                            the built-in model at its own size\n"
    "  tintype tune -m model.safetensors -W 768 -H 512 --seconds 60\n"
    "  tintype tune --export phone.json                        and write the table, to be sent to us\n"
    "  tintype tune --import phone.json                        take over a table for this device\n"
    "\n"
    "The kernels know several ways for every shape. Each is run a few times, checked against the usual one, and the\n"
    "fastest is kept in the cache folder for this device and driver. docs/tuning.md says more.\n";

static const char selftest_details[] =
    "\n"
    "Takes a minute or two where nothing is compiled yet. What is wrong on a driver or crashes it is not used there "
    "any\n"
    "more; the text that is printed says everything that a report needs. Exit code 1: something does not work.\n";

static const char upscale_details[] =
    "\n"
    "  tintype upscale small.png -o large.png                  twice as large\n"
    "  tintype upscale small.png -o large.png --scale 4 --upscale-model realesrgan-x4plus.safetensors\n"
    "\n"
    "Networks: SRVGGNetCompact and RRDBNet (Real-ESRGAN, ESRGAN), upconv_7 (waifu2x), FSRCNN and ESPCN. A picture's\n"
    "parameters and AI marks are kept; one that does not say that it is AI's is marked as algorithmically enhanced.\n";

static const char compare_details[] =
    "\n"
    "  tintype compare -m f16.safetensors -m q8.gguf -m q4.gguf --report fidelity.html\n"
    "  tintype compare -m sd15.safetensors -m sd15-q4_k.gguf --prompts prompts.txt --steps 20 --json\n"
    "\n"
    "Every prompt goes through every model from the same noise (prompt i: seed N + i); then text encoders, UNets with\n"
    "their blocks and decoders are compared one by one on the first model's inputs. docs/fidelity.md says what the\n"
    "figures mean.\n";

static const char bench_details[] =
    "\n"
    "  tintype bench -m model.safetensors --precision int8 -b 10 --json > bench.json\n"
    "  tintype bench --components\n"
    "\n"
    "Cold start: a new process without compiled kernels, the driver's included where it lets one choose (PoCL); warm\n"
    "start: the same again; with programs: once more, after what --store-programs does, where that is something. Then\n"
    "-b pictures (default 2), and each network alone with a table of its kernels against the device's measured\n"
    "peaks. bench/snapdragon.sh does this on a phone, bench/report.py draws several results.\n";

static const cli_command commands[] = {
    {"generate", CLI_IN_GENERATE, 0, 0, "", "paint pictures from a prompt", generate_details, cli_generate},
    {"upscale", CLI_IN_UPSCALE, 1, 1, "FILE", "make a picture larger with a network", upscale_details, cli_upscale},
    {"plan", CLI_IN_PLAN, 0, 0, "", "say what a request would take: memory, work, time", plan_details, cli_plan},
    {"bench", CLI_IN_BENCH, 0, 0, "", "measure this device: starts, seconds per picture, every kernel", bench_details,
     cli_bench_command},
    {"tune", CLI_IN_TUNE, 0, 0, "", "find out which kernels suit the device, and keep that", tune_details, cli_tune},
    {"selftest", CLI_IN_SELFTEST, 0, 0, "", "check every kernel on the device against plain C", selftest_details,
     cli_selftest},
    {"devices", CLI_IN_DEVICES, 0, 0, "", "list the OpenCL devices, best first", "", cli_devices},
    {"samplers", CLI_IN_SAMPLERS, 0, 0, "", "list the sampling methods", "", cli_samplers},
    {"inspect", CLI_IN_INSPECT, 1, 1, "FILE", "show what a picture says of its making, or what a model is", "",
     cli_inspect},
    {"compare", CLI_IN_COMPARE, 0, 0, "", "say what smaller copies of a model cost: errors, PSNR, SSIM, size, time",
     compare_details, cli_compare},
    {"stage", CLI_IN_STAGE, 1, 1, "STAGE", "run one part of the engine on arrays in safetensors files", stage_details,
     cli_stage},
    {"quantize", CLI_IN_QUANTIZE, 1, 1, "MODEL", "write a model as one smaller GGUF file", quantize_details,
     cli_quantize},
};

const cli_command *cli_command_at(size_t index)
{
    return index < sizeof commands / sizeof commands[0] ? &commands[index] : NULL;
}

static const cli_command *find_command(const char *name)
{
    for (size_t i = 0; cli_command_at(i) != NULL; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static cli_exit fail_unknown(const char *name)
{
    const char *nearest = NULL;
    size_t distance = 4;
    for (size_t i = 0; cli_command_at(i) != NULL; i++) {
        size_t d = cli_edit_distance(name, commands[i].name);
        if (d < distance) {
            distance = d;
            nearest = commands[i].name;
        }
    }
    if (nearest != NULL)
        return cli_fail(CLI_USAGE, "there is no command %.80s; did you mean %s? (tintype help lists all)", name,
                        nearest);
    return cli_fail(CLI_USAGE, "there is no command \"%.80s\"; a prompt follows -p in quotes, tintype help lists all",
                    name);
}

static cli_exit help(int argc, char **argv)
{
    if (argc > 1)
        return cli_fail(CLI_USAGE, "help takes the name of one command");
    const cli_command *command = argc == 1 ? find_command(argv[0]) : NULL;
    if (argc == 1 && command == NULL)
        return fail_unknown(argv[0]);
    cli_print_help(command);
    return CLI_OK;
}

static cli_exit run_command(const cli_command *command, bool is_named, int argc, char **argv)
{
    cli_options options;
    const cli_grammar grammar = {command->name, command->bit, command->max_words};
    cli_exit code = cli_options_parse(&grammar, argc, argv, &options);
    if (code != CLI_OK)
        return code;
    if (options.help) {
        cli_print_help(is_named ? command : NULL);
        return CLI_OK;
    }
    if (options.version) {
        (void)printf("tintype %s\n", tt_version());
        return CLI_OK;
    }
    if (options.n_words < command->min_words)
        return cli_fail(CLI_USAGE, "%s needs a %s; tintype help %s says more", command->name, command->words,
                        command->name);
    return command->run(&options);
}

static cli_exit dispatch(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-')
        return run_command(&commands[0], false, argc > 1 ? argc - 1 : 0, argv + 1);
    if (strcmp(argv[1], "help") == 0)
        return help(argc - 2, argv + 2);
    const cli_command *command = find_command(argv[1]);
    return command ? run_command(command, true, argc - 2, argv + 2) : fail_unknown(argv[1]);
}

int main(int argc, char **argv)
{
    cli_exit code = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK)
        code = cli_fail(CLI_FAILED, "the output could not be written; is the disk full or the pipe closed?");
    return (int)code;
}
