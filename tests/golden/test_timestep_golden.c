/* test_timestep_golden.c - sinusoids of timesteps against diffusers. */
#include "tests/support/golden.h"
#include "unet/unet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static void check_width(const golden_set *set, const tt_arrays *golden, uint32_t dim)
{
    enum { MAX_TIMESTEPS = 64 };
    const tt_array *timesteps = golden_array(golden, "timesteps"), *want = golden_array(golden, "temb%u", dim);
    size_t n = (size_t)timesteps->dims[0];
    double values[MAX_TIMESTEPS];
    char label[64];
    assert_in_range(n, 1, MAX_TIMESTEPS);
    for (size_t i = 0; i < n; i++)
        values[i] = (double)((const float *)timesteps->data)[i];
    tt_array got = {.type = TT_ARRAY_F32, .n_dims = 2, .dims = {n, dim}, .data = malloc(n * dim * sizeof(float))};
    assert_non_null(got.data);
    tt_timestep_embedding(values, n, dim, true, 0.0, got.data);
    snprintf(label, sizeof label, "%s temb%u", set->name, dim);
    golden_check(label, golden_error(&got, want), 5e-6);
    free(got.data);
}

static void test_embeddings(void **state)
{
    (void)state;
    golden_set sets[GOLDEN_SETS];
    int n = golden_sets(sets);
    tt_context *context = tt_context_create();
    assert_non_null(context);
    for (int i = 0; i < n; i++) {
        tt_arrays golden;
        if (!golden_read(context, &sets[i], "timestep_embedding.safetensors", &golden))
            continue;
        check_width(&sets[i], &golden, 32);
        check_width(&sets[i], &golden, 320);
        tt_arrays_free(&golden);
    }
    tt_context_destroy(context);
    golden_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_embeddings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
