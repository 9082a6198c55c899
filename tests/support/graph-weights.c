/* graph-weights.c - see graph-weights.h. */
#include "tests/support/graph-weights.h"
#include "model-file/safetensors.h"
#include "tests/support/temp-folder.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 192 };
const uint32_t graph_widths[N_GRAPH_WIDTHS] = {8, 12, 20};

typedef struct weight_set {
    tt_tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][64];
    size_t n;
    temp_folder folder;
    tt_tensor_file *file;
    tt_weights *weights;
} weight_set;

static weight_set set;

static uint64_t hash_of(const char *name)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return h;
}

static void add_tensor(const char *name, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t side, double centre,
                       double scale)
{
    assert_true(set.n < MAX_TENSORS);
    tt_tensor *t = &set.tensors[set.n];
    size_t n = (size_t)(a * b * side * side);
    float *values = tt_test_random_new(n, hash_of(name));
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(centre + scale * (double)values[i]);
    snprintf(set.names[set.n], sizeof set.names[0], "%s", name);
    *t = (tt_tensor){.name = set.names[set.n], .dtype = TT_F32, .n_dims = n_dims, .data = values, .n_bytes = n * 4};
    t->dims[0] = a;
    t->dims[1] = b;
    t->dims[2] = t->dims[3] = side;
    set.n++;
}

static void add_layer(const char *name, uint32_t n_out, uint32_t n_in, uint32_t side)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    add_tensor(full, side == 3 ? 4 : 2, n_out, n_in, side, 0.0, 1.0 / sqrt((double)n_in * side * side));
    snprintf(full, sizeof full, "%s.bias", name);
    add_tensor(full, 1, n_out, 1, 1, 0.0, 0.2);
}

static void add_norm(uint32_t n)
{
    char full[64];
    snprintf(full, sizeof full, "norm%u.weight", n);
    add_tensor(full, 1, n, 1, 1, 1.0, 0.2);
    snprintf(full, sizeof full, "norm%u.bias", n);
    add_tensor(full, 1, n, 1, 1, 0.0, 0.2);
}

static void add_width(uint32_t n_in)
{
    char name[64];
    for (size_t j = 0; j < N_GRAPH_WIDTHS; j++) {
        snprintf(name, sizeof name, "lin%u_%u", n_in, graph_widths[j]);
        add_layer(name, graph_widths[j], n_in, 1);
        snprintf(name, sizeof name, "conv%u_%u", n_in, graph_widths[j]);
        add_layer(name, graph_widths[j], n_in, 3);
        for (size_t k = 0; k < N_GRAPH_WIDTHS; k++) {
            snprintf(name, sizeof name, "cat%u_%u_%u", n_in, graph_widths[j], graph_widths[k]);
            add_layer(name, graph_widths[k], n_in + graph_widths[j], 1);
        }
    }
    snprintf(name, sizeof name, "geglu%u", n_in);
    add_layer(name, 2 * n_in, n_in, 1);
}

int graph_weights_set_up(void **state)
{
    (void)state;
    static const uint32_t norms[] = {8, 12, 16, 20, 24, 28, 32, 40};
    char path[TT_TEMP_PATH];
    tt_error err = {""};
    for (size_t i = 0; i < N_GRAPH_WIDTHS; i++)
        add_width(graph_widths[i]);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        add_norm(norms[i]);
    temp_folder_make(&set.folder);
    temp_folder_path(&set.folder, "w.safetensors", path);
    tt_test_ok(tt_safetensors_write(path, set.tensors, set.n, NULL, 0, tt_test_error()));
    tt_test_ok(tt_tensor_file_open(path, &set.file, tt_test_error()));
    tt_test_ok(tt_weights_create(&set.file, 1, false, "", NULL, NULL, &set.weights, &err));
    return 0;
}

int graph_weights_tear_down(void **state)
{
    tt_weights_destroy(set.weights);
    tt_tensor_file_close(set.file);
    temp_folder_remove(&set.folder);
    for (size_t i = 0; i < set.n; i++)
        free((void *)(uintptr_t)set.tensors[i].data);
    return tt_test_device_close(state);
}

const float *graph_weight_of(const char *layer, const char *suffix)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", layer, suffix);
    for (size_t i = 0; i < set.n; i++)
        if (strcmp(set.names[i], full) == 0)
            return set.tensors[i].data;
    fail_msg("no tensor %s", full);
    return NULL;
}

tt_weights *graph_weights(void)
{
    return set.weights;
}
