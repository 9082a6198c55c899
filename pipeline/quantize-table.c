/* quantize-table.c - the sensitivity table as JSON. */
#include "pipeline/quantize-table.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TABLE_BYTES = 16 << 20 };

static const char table_format[] = "tintype sensitivity 1";

void tt_sensitivity_free(tt_sensitivity *table)
{
    free(table->groups);
    *table = (tt_sensitivity){0};
}

/* What the roundings were weighted by: the prompts' hash, "" without calibration. */
static tt_status prompts_hash(const tt_quantize_job *job, char hex[65], tt_error *err)
{
    const char *prompts = job->params->prompts;
    hex[0] = '\0';
    return prompts ? tt_sha256_hex(prompts, strlen(prompts), hex, err) : TT_OK;
}

/* ---- writing */

static json_t *types_of(const tt_sensitivity_group *group, const tt_choices *choices)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < group->n_types; i++)
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:I, s:f, s:f}", "type", tt_weight_type_name(group->types[i]),
                                              "bytes", (json_int_t)choices->items[i].n_bytes, "rounding",
                                              group->rounding[i], "error", choices->items[i].error));
    return list;
}

static json_t *group_of(const tt_quantize_job *job, const tt_sensitivity_group *group, const tt_choices *choices)
{
    json_t *tensors = json_array();
    for (size_t i = 0, found = 0; found < group->n; i++) {
        const tt_job_tensor *t = &job->tensors[group->first + i];
        if (t->role != TT_ROLE_MATRIX)
            continue;
        (void)json_array_append_new(tensors, json_string(t->name));
        found++;
    }
    return json_pack("{s:s, s:o, s:I, s:f, s:s, s:o}", "name", group->name, "tensors", tensors, "parameters",
                     (json_int_t)group->n_values, "sensitivity", group->sensitivity, "choice",
                     tt_weight_type_name(group->types[choices->chosen]), "types", types_of(group, choices));
}

tt_status tt_sensitivity_write(const tt_quantize_job *job, const tt_sensitivity *table, const tt_choices *choices,
                               const char *path, tt_error *err)
{
    char prompts[65];
    tt_new_file file = {0};
    tt_status status = prompts_hash(job, prompts, err);
    if (status != TT_OK)
        return status;
    json_t *groups = json_array();
    for (size_t i = 0; i < table->n_groups; i++)
        (void)json_array_append_new(groups, group_of(job, &table->groups[i], &choices[i]));
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:f, s:o}", "format", table_format, "model", job->model->name, "model_sha256",
                  job->source_hash, "prompts_sha256", prompts, "together", table->together, "groups", groups);
    bool complete = root && json_array_size(groups) == table->n_groups;
    char *text = complete ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!text)
        return tt_fail_memory(err, "the table of sensitivities", 0);
    status = tt_new_file_open(&file, path, err);
    if (status == TT_OK) {
        status = tt_new_file_write(&file, text, strlen(text), err);
        if (status == TT_OK)
            status = tt_new_file_commit(&file, err);
        else
            tt_new_file_abort(&file);
    }
    free(text);
    return status;
}

/* ---- reading */

static tt_status read_types(const json_t *entry, tt_sensitivity_group *group, const char *path, tt_error *err)
{
    const json_t *types = json_object_get(entry, "types");
    for (uint32_t i = 0; i < group->n_types; i++) {
        const char *wanted = tt_weight_type_name(group->types[i]);
        double rounding = -1.0;
        for (size_t j = 0; j < json_array_size(types) && rounding < 0.0; j++) {
            const json_t *type = json_array_get(types, j);
            const char *name = json_string_value(json_object_get(type, "type"));
            if (name && strcmp(name, wanted) == 0)
                rounding = json_number_value(json_object_get(type, "rounding"));
        }
        if (!(rounding >= 0.0 && rounding < 1e6))
            return tt_fail(err, TT_ERROR_FORMAT,
                           "%s: group %s has no error of type %s; it was measured with other options, measure again",
                           path, group->name, wanted);
        group->rounding[i] = rounding;
    }
    group->sensitivity = json_number_value(json_object_get(entry, "sensitivity"));
    if (!(group->sensitivity >= 0.0 && group->sensitivity < 1e12))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the sensitivity of group %s is no positive number", path,
                       group->name);
    return TT_OK;
}

static tt_status check_text(const json_t *root, const char *key, const char *wanted, const char *path,
                            const char *reason, tt_error *err)
{
    const char *found = json_string_value(json_object_get(root, key));
    if (found && strcmp(found, wanted) == 0)
        return TT_OK;
    return tt_fail(err, TT_ERROR_FORMAT, "%s: %s; give another --table or remove it to measure again", path, reason);
}

static tt_status read_groups(const json_t *root, const char *path, tt_sensitivity *table, tt_error *err)
{
    const json_t *groups = json_object_get(root, "groups");
    tt_status status = TT_OK;
    size_t next = 0;
    for (size_t i = 0; i < table->n_groups && status == TT_OK; i++) {
        const json_t *entry = NULL;
        /* Groups that are fixed by other rules this time are passed over. */
        for (; next < json_array_size(groups) && !entry; next++) {
            const json_t *candidate = json_array_get(groups, next);
            const char *name = json_string_value(json_object_get(candidate, "name"));
            if (name && strcmp(name, table->groups[i].name) == 0)
                entry = candidate;
        }
        status = entry ? read_types(entry, &table->groups[i], path, err)
                       : tt_fail(err, TT_ERROR_FORMAT,
                                 "%s: there is no group %s; it was measured with other options, measure again", path,
                                 table->groups[i].name);
    }
    table->together = json_number_value(json_object_get(root, "together"));
    if (status == TT_OK && !(table->together > 0.0 && table->together < 1e6))
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: \"together\" is no positive number", path);
    return status;
}

tt_status tt_sensitivity_read(const tt_quantize_job *job, const char *path, tt_sensitivity *table, tt_error *err)
{
    char *text = NULL, prompts[65];
    size_t n_bytes = 0;
    json_t *root = NULL;
    tt_status status = prompts_hash(job, prompts, err);
    if (status == TT_OK)
        status = tt_file_read(path, MAX_TABLE_BYTES, &text, &n_bytes, err);
    if (status == TT_OK)
        status = tt_json_parse(text, n_bytes, path, &root, err);
    free(text);
    if (status == TT_OK)
        status = check_text(root, "format", table_format, path, "it is no table of sensitivities", err);
    if (status == TT_OK)
        status = check_text(root, "model_sha256", job->source_hash, path, "it was measured on another model", err);
    if (status == TT_OK)
        status = check_text(root, "prompts_sha256", prompts, path, "it was measured with other prompts", err);
    if (status == TT_OK)
        status = read_groups(root, path, table, err);
    json_decref(root);
    return status;
}
