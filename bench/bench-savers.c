/* bench-savers.c - the pictures of a list of prompts with each setting of tt_savers, in turns, and the time that each
 * took against the plain one.
 *
 * bench-savers MODEL PROMPTS FOLDER [WIDTH HEIGHT STEPS SCALE FIRST END]: PROMPTS holds JSON lines with "prompt" and
 * "seed" (train/evaluate.py --prompts-out); FOLDER/SETTING/NNN.png is written for numbers FIRST to END - 1. */
#include "base/json.h"
#include "tintype/tintype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct setting {
    const char *name;
    tt_savers savers;
} setting;

static const setting settings[] = {
    {"plain", {.guidance_stop = 1.0f}},
    {"stop75", {.guidance_stop = 0.75f}},
    {"stop50", {.guidance_stop = 0.5f}},
    {"from10to60", {.guidance_start = 0.1f, .guidance_stop = 0.6f}},
    {"reuse2", {.guidance_stop = 1.0f, .reuse_interval = 2}},
    {"reuse3", {.guidance_stop = 1.0f, .reuse_interval = 3}},
    {"reuse2depth1", {.guidance_stop = 1.0f, .reuse_interval = 2, .reuse_depth = 1}},
    {"keys1", {.guidance_stop = 1.0f, .kv_downsample = 1}},
    {"reuse2stop50", {.guidance_stop = 0.5f, .reuse_interval = 2}},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings, MAX_PROMPTS = 1000, MAX_LINE = 4096 };

typedef struct bench {
    tt_context *context;
    tt_model *model;
    const char *folder;
    tt_generate_params params;
    double ms[N_SETTINGS][MAX_PROMPTS]; /* of the loop */
    size_t n;
} bench;

static tt_status paint(bench *b, size_t index, uint32_t number)
{
    char path[1024];
    tt_generate_params p = b->params;
    tt_generate_stats stats;
    tt_image image;
    p.savers = settings[index].savers;
    tt_status status = tt_generate(b->model, &p, &image, &stats);
    if (status != TT_OK)
        return status;
    b->ms[index][b->n] = stats.denoise_ms;
    (void)snprintf(path, sizeof path, "%s/%s/%03u.png", b->folder, settings[index].name, number);
    status = tt_image_write_png(b->context, path, &image, NULL);
    tt_image_free(&image);
    return status;
}

/* One prompt with all settings. */
static tt_status paint_all(bench *b, const char *line, uint32_t number)
{
    json_t *root = json_loads(line, 0, NULL);
    tt_status status = root ? TT_OK : TT_ERROR_FORMAT;
    b->params.prompt = json_string_value(json_object_get(root, "prompt"));
    b->params.seed = json_integer_value(json_object_get(root, "seed"));
    for (size_t i = 0; i < N_SETTINGS && status == TT_OK; i++)
        status = paint(b, i, number);
    b->n += status == TT_OK;
    json_decref(root);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const double *values, size_t n)
{
    double sorted[MAX_PROMPTS];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n ? sorted[n / 2] : 0.0;
}

/* Ratios to the plain run of the same prompt: what else the machine does then is in both. */
static void print_times(const bench *b)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        double ratios[MAX_PROMPTS];
        for (size_t j = 0; j < b->n; j++)
            ratios[j] = b->ms[i][j] / b->ms[0][j];
        (void)printf("%-14s loop %8.1f ms (median of %zu), %.3f of the plain one's\n", settings[i].name,
                     median(b->ms[i], b->n), b->n, median(ratios, b->n));
    }
}

static tt_status run(bench *b, FILE *prompts, uint32_t first, uint32_t end)
{
    char line[MAX_LINE];
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < end && status == TT_OK && b->n < MAX_PROMPTS && fgets(line, sizeof line, prompts); i++)
        if (i >= first)
            status = paint_all(b, line, i);
    return status;
}

static tt_status open_model(bench *b, const char *path)
{
    tt_model_params model;
    tt_device_params device;
    tt_model_params_default(&model);
    tt_device_params_default(&device);
    model.path = path;
    tt_status status = tt_context_open_device(b->context, &device);
    if (status == TT_OK)
        status = tt_model_load(b->context, &model, &b->model);
    return status == TT_OK ? tt_generate_params_default(b->model, &b->params) : status;
}

static void take_numbers(bench *b, int argc, char **argv)
{
    if (argc <= 7)
        return;
    b->params.width = (uint32_t)strtoul(argv[4], NULL, 10);
    b->params.height = (uint32_t)strtoul(argv[5], NULL, 10);
    b->params.n_steps = (uint32_t)strtoul(argv[6], NULL, 10);
    b->params.cfg_scale = strtof(argv[7], NULL);
}

int main(int argc, char **argv)
{
    static bench b;
    char path[1024];
    FILE *prompts = argc > 3 ? fopen(argv[2], "r") : NULL;
    if (!prompts) {
        (void)fprintf(stderr, "bench-savers MODEL PROMPTS FOLDER [WIDTH HEIGHT STEPS SCALE FIRST END]\n");
        return 2;
    }
    b.context = tt_context_create();
    b.folder = argv[3];
    for (size_t i = 0; i < N_SETTINGS; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", b.folder, settings[i].name);
        (void)mkdir(path, 0777);
    }
    tt_status status = open_model(&b, argv[1]);
    if (status == TT_OK) {
        take_numbers(&b, argc, argv);
        status = run(&b, prompts, argc > 8 ? (uint32_t)strtoul(argv[8], NULL, 10) : 0,
                     argc > 9 ? (uint32_t)strtoul(argv[9], NULL, 10) : MAX_PROMPTS);
    }
    print_times(&b);
    if (status != TT_OK)
        (void)fprintf(stderr, "%s\n", tt_context_message(b.context));
    (void)fclose(prompts);
    tt_model_destroy(b.model);
    tt_context_destroy(b.context);
    return status != TT_OK;
}
