/* marks.c - software, source type, infotext and AIGC label of a picture. */
#include "cli/marks.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PRODUCER = 256, ID_DIGITS = 32 };

/* FNV-1a with a starting value of its own for each half of the id. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ b[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Spreads all bits over all bits (the finalizer of splitmix64). */
static uint64_t spread(uint64_t hash)
{
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
    return hash ^ (hash >> 31);
}

/* An id that follows from the picture and its infotext: different pictures differ, and making the same picture again
 * gives the same file. */
static void make_id(const tt_image *image, const char *parameters, char id[ID_DIGITS + 1])
{
    uint64_t half[2] = {UINT64_C(14695981039346656037), UINT64_C(0x9e3779b97f4a7c15)};
    size_t n = (size_t)image->width * image->height * image->n_channels;
    for (int i = 0; i < 2; i++) {
        half[i] = hash_bytes(half[i], parameters, strlen(parameters));
        half[i] = spread(hash_bytes(half[i], image->pixels, n));
    }
    (void)snprintf(id, ID_DIGITS + 1, "%016llx%016llx", (unsigned long long)half[0], (unsigned long long)half[1]);
}

/* Appends text as the inside of a JSON string; the producer's code is short and checked. */
static void add_escaped(char *json, size_t n_bytes, const char *text)
{
    size_t n = strlen(json);
    for (; *text && n + 3 < n_bytes; text++) {
        if (*text == '"' || *text == '\\')
            json[n++] = '\\';
        json[n++] = *text;
    }
    json[n] = '\0';
}

/* GB 45438-2025: Label 1 says that a machine made the content. */
static cli_exit make_label(const char *producer, const char *id, char **label)
{
    const size_t n_bytes = 2 * MAX_PRODUCER + 256;
    char *json = malloc(n_bytes);
    if (json == NULL)
        return cli_fail_memory();
    (void)strcpy(json, "{\"Label\":\"1\",\"ContentProducer\":\"");
    add_escaped(json, n_bytes - 200, producer ? producer : "");
    size_t n = strlen(json);
    (void)snprintf(json + n, n_bytes - n,
                   "\",\"ProduceID\":\"%s\",\"ReservedCode1\":\"\",\"ContentPropagator\":\"\",\"PropagateID\":\"\","
                   "\"ReservedCode2\":\"\"}",
                   id);
    *label = json;
    return CLI_OK;
}

static cli_exit make_common(const cli_options *options, const tt_image *image, cli_marks *marks)
{
    char id[ID_DIGITS + 1];
    make_id(image, marks->parameters ? marks->parameters : "", id);
    cli_exit code = make_label(options->producer, id, &marks->aigc_json);
    (void)snprintf(marks->software, sizeof marks->software, "tintype %s", tt_version());
    marks->marks = (tt_image_marks){.parameters = marks->parameters,
                                    .software = marks->software,
                                    .digital_source_type = options->mask ? "compositeWithTrainedAlgorithmicMedia"
                                                                         : "trainedAlgorithmicMedia",
                                    .aigc_json = marks->aigc_json};
    if (code != CLI_OK)
        cli_marks_free(marks);
    return code;
}

cli_exit cli_marks_make(const cli_options *options, tt_model *model, const tt_generate_params *params,
                        const tt_generate_stats *stats, const char *note, const tt_image *image, cli_marks *marks)
{
    const bool with_prompt = !options->no_prompt_metadata;
    size_t n = tt_generate_infotext(model, params, stats, 0, with_prompt, NULL, 0);
    *marks = (cli_marks){.parameters = malloc(n + strlen(note) + 1)};
    if (marks->parameters == NULL)
        return cli_fail_memory();
    (void)tt_generate_infotext(model, params, stats, 0, with_prompt, marks->parameters, n + 1);
    (void)strcat(marks->parameters, note);
    return make_common(options, image, marks);
}

cli_exit cli_marks_make_preview(const cli_options *options, const tt_image *image, cli_marks *marks)
{
    *marks = (cli_marks){0};
    return make_common(options, image, marks);
}

void cli_marks_free(cli_marks *marks)
{
    free(marks->parameters);
    free(marks->aigc_json);
    *marks = (cli_marks){0};
}
