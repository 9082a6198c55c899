/* test_inspect.c - what `tintype inspect` says of models in both containers. */
#include "tests/support/built-in.h"
#include "tests/support/gguf-copy.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <string.h>

static void shows(const char *path, const char *text)
{
    cli_run run = RUN("inspect", path);
    assert_fine(&run, "inspect");
    if (strstr(run.out, text) == NULL)
        fail_msg("inspect of %s should show \"%s\": %s", path, text, run.out);
    cli_run_free(&run);
}

static json_t *inspect_json(const char *path)
{
    return expect_json(RUN("inspect", path, "--json"), "inspect --json");
}

static void test_containers(void **state)
{
    (void)state;
    static const char *const keys[] = {"tintype.model_index",  "tintype.unet",      "tintype.vae",
                                       "tintype.text_encoder", "tintype.scheduler", NULL};
    temp_folder folder;
    char mini[TT_TEMP_PATH], path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    built_in_halves(temp_folder_path(&folder, "halves.safetensors", mini), NULL, NULL);
    shows(BUILT_IN_MODEL, "Q8_0, GGUF, ");
    shows(BUILT_IN_MODEL, "model         tintype-mini\n");
    gguf_copy(mini, temp_folder_path(&folder, "mini.gguf", path), NULL, true, keys);
    shows(mini, "F16, safetensors, ");
    shows(path, "F32, GGUF, ");
    shows(path, "model         mini\n");
    json_t *before = inspect_json(mini), *after = inspect_json(path);
    const json_t *half = json_object_get(json_object_get(before, "types"), "F16");
    const json_t *wide = json_object_get(json_object_get(after, "types"), "F32");
    assert_int_equal(json_integer_value(json_object_get(half, "n_tensors")),
                     json_integer_value(json_object_get(wide, "n_tensors")));
    assert_int_equal(2 * json_integer_value(json_object_get(half, "n_bytes")),
                     json_integer_value(json_object_get(wide, "n_bytes")));
    assert_int_equal(json_integer_value(json_object_get(after, "n_bytes")),
                     json_integer_value(json_object_get(wide, "n_bytes")));
    assert_string_equal(json_string_value(json_object_get(after, "container")), "GGUF");
    assert_string_equal(json_string_value(json_object_get(after, "weights")), "F32");
    assert_int_equal(json_integer_value(json_object_get(before, "n_parameters")),
                     json_integer_value(json_object_get(after, "n_parameters")));
    json_decref(before);
    json_decref(after);
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_containers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
