/* config-write.c - a scheduler config as the JSON text it can be read from. */
#include "scheduler/config.h"

#include <stdlib.h>
#include <string.h>

tt_status tt_scheduler_config_write(const tt_scheduler_config *config, char **json, tt_error *err)
{
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    json_t *fields = json_copy(config->fields);
    *json = NULL;
    if (fields && json_object_set_new(fields, "prediction_type", json_string(predictions[config->prediction])) == 0)
        *json = json_dumps(fields, JSON_INDENT(2));
    json_decref(fields);
    return *json ? TT_OK : tt_fail_memory(err, "the scheduler config", 0);
}
