/* generate.c - the smallest useful program on libtintype: a prompt becomes a PNG.
 *
 *     cc generate.c -ltintype -o generate && ./generate MODEL OUT.png a cat on a blue background
 *
 * MODEL is a diffusers folder or a .safetensors file. Every failed call leaves one sentence in the context. */
#include <tintype/tintype.h>

#include <stdio.h>
#include <string.h>

/* Joins the words of the prompt. */
static void join(char *text, size_t n_bytes, int n_words, char **words)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < n_words && n < n_bytes; i++)
        n += (size_t)snprintf(text + n, n_bytes - n, "%s%s", i ? " " : "", words[i]);
}

/* Runs the request and writes the picture with the marks that say how it was made, and that a machine made it. */
static tt_status paint(tt_context *context, tt_model *model, const char *prompt, const char *path)
{
    tt_generate_params params;
    tt_generate_stats stats;
    tt_image image;
    char parameters[8192];
    tt_status status = tt_generate_params_default(model, &params);
    params.prompt = prompt;
    params.width = params.height = 64; /* quick; leave this out for the model's own size */
    params.n_steps = 4;
    params.seed = 42;
    if (status == TT_OK)
        status = tt_generate(model, &params, &image, &stats);
    if (status != TT_OK)
        return status;
    tt_generate_infotext(model, &params, &stats, 0, true, parameters, sizeof parameters);
    tt_image_marks marks = {.parameters = parameters, .digital_source_type = "trainedAlgorithmicMedia"};
    status = tt_image_write_png(context, path, &image, &marks);
    tt_image_free(&image);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL OUT.png PROMPT...\n", argv[0]);
        return 2;
    }
    char prompt[4096];
    tt_model *model = NULL;
    tt_model_params params;
    tt_device_params device;
    tt_context *context = tt_context_create();
    if (!context)
        return 1;
    join(prompt, sizeof prompt, argc - 3, argv + 3);
    tt_model_params_default(&params);
    params.path = argv[1];
    tt_device_params_default(&device);
    tt_status status = tt_context_open_device(context, &device);
    if (status == TT_OK)
        status = tt_model_load(context, &params, &model);
    if (status == TT_OK)
        status = paint(context, model, prompt, argv[2]);
    if (status != TT_OK)
        fprintf(stderr, "%s\n", tt_context_message(context));
    else
        printf("wrote %s\n", argv[2]);
    tt_model_destroy(model);
    tt_context_destroy(context);
    return status == TT_OK ? 0 : 1;
}
