/* tuning.c - measured choices and disabled variants, and the answer to a launcher's question. */
#include "cl-kernels/tuning.h"

#include "base/checked.h"
#include "cl-kernels/tuning-seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than any model asks for; a file with more is not ours. */
enum { MAX_ITEMS = 10000 };

struct tt_tuning {
    tt_tuned *tuned;
    size_t n_tuned, tuned_capacity;
    tt_disabled *disabled;
    size_t n_disabled, disabled_capacity;
    char device[300];
    tt_tuning_watch_fn watch;
    void *user;
    char marker[TT_TUNING_MARKER]; /* of the last question, "": none */
};

tt_status tt_tuning_create(tt_tuning **tuning, tt_error *err)
{
    *tuning = calloc(1, sizeof(**tuning));
    return *tuning != NULL ? TT_OK : tt_fail_memory(err, "tuned choices", sizeof(**tuning));
}

void tt_tuning_destroy(tt_tuning *tuning)
{
    if (tuning == NULL)
        return;
    free(tuning->tuned);
    free(tuning->disabled);
    free(tuning);
}

void tt_tuning_set_device(tt_tuning *tuning, const char *device)
{
    (void)snprintf(tuning->device, sizeof(tuning->device), "%s", device);
}

/* Room for one more item of `size` bytes. */
static tt_status reserve(void **items, size_t n, size_t *capacity, size_t size, tt_error *err)
{
    if (n < *capacity)
        return TT_OK;
    if (n >= MAX_ITEMS)
        return tt_fail(err, TT_ERROR_FORMAT, "there are more than %d tuned choices", MAX_ITEMS);
    size_t wanted = *capacity == 0 ? 32 : *capacity * 2;
    void *grown = realloc(*items, wanted * size);
    if (grown == NULL)
        return tt_fail_memory(err, "tuned choices", wanted * size);
    *items = grown;
    *capacity = wanted;
    return TT_OK;
}

/* ---- choices */

const tt_tuned *tt_tuning_at(const tt_tuning *tuning, size_t index)
{
    return index < tuning->n_tuned ? &tuning->tuned[index] : NULL;
}

const tt_tuned *tt_tuning_find(const tt_tuning *tuning, const char *op, const char *key)
{
    for (size_t i = 0; i < tuning->n_tuned; i++)
        if (strcmp(tuning->tuned[i].key, key) == 0 && strcmp(tuning->tuned[i].op, op) == 0)
            return &tuning->tuned[i];
    return NULL;
}

tt_status tt_tuning_put(tt_tuning *tuning, const tt_tuned *tuned, tt_error *err)
{
    const tt_tuned *old = tt_tuning_find(tuning, tuned->op, tuned->key);
    if (old != NULL) {
        tuning->tuned[old - tuning->tuned] = *tuned;
        return TT_OK;
    }
    tt_status status = reserve((void **)&tuning->tuned, tuning->n_tuned, &tuning->tuned_capacity, sizeof(*tuned), err);
    if (status == TT_OK)
        tuning->tuned[tuning->n_tuned++] = *tuned;
    return status;
}

/* ---- disabled variants */

const tt_disabled *tt_tuning_disabled_at(const tt_tuning *tuning, size_t index)
{
    return index < tuning->n_disabled ? &tuning->disabled[index] : NULL;
}

/* The entry of exactly these three (of any form, for NULL), or NULL. */
static tt_disabled *find_disabled(const tt_tuning *tuning, const char *op, const char *name, const char *form)
{
    for (size_t i = 0; i < tuning->n_disabled; i++) {
        tt_disabled *d = &tuning->disabled[i];
        if (strcmp(d->op, op) == 0 && strcmp(d->name, name) == 0 && (form == NULL || strcmp(d->form, form) == 0))
            return d;
    }
    return NULL;
}

bool tt_tuning_is_disabled(const tt_tuning *tuning, const char *op, const char *name, const char *form)
{
    return tuning != NULL &&
           (find_disabled(tuning, op, name, form) != NULL || find_disabled(tuning, op, name, "") != NULL);
}

tt_status tt_tuning_disable(tt_tuning *tuning, const tt_disabled *disabled, tt_error *err)
{
    tt_disabled *old = find_disabled(tuning, disabled->op, disabled->name, disabled->form);
    if (old != NULL) {
        *old = *disabled;
        return TT_OK;
    }
    tt_status status =
        reserve((void **)&tuning->disabled, tuning->n_disabled, &tuning->disabled_capacity, sizeof(*disabled), err);
    if (status == TT_OK)
        tuning->disabled[tuning->n_disabled++] = *disabled;
    return status;
}

bool tt_tuning_enable(tt_tuning *tuning, const char *op, const char *name, const char *form)
{
    tt_disabled *old = find_disabled(tuning, op, name, form);
    if (old == NULL)
        return false;
    *old = tuning->disabled[--tuning->n_disabled];
    return true;
}

/* ---- the question */

const char *tt_tuning_form(const char *key)
{
    const char *last = strrchr(key, ' '), *form = last;
    if (last == NULL)
        return key;
    while (form > key && form[-1] != ' ')
        form--;
    return form;
}

double tt_tuning_tolerance(const char *key)
{
    const char *form = tt_tuning_form(key), *storage = strrchr(key, ' ');
    if (strncmp(form, "int8 ", 5) == 0)
        return 2e-2;
    if (strncmp(form, "half ", 5) == 0 || strncmp(form, "bf16 ", 5) == 0)
        return 1e-2;
    return storage != NULL && strcmp(storage + 1, "f16") == 0 ? 1e-3 : 1e-5;
}

/* index, or the first name that is not disabled when that one is; index too when all are. */
static size_t skip_disabled(const tt_tuning *tuning, const char *op, const char *form, const char *const *names,
                            size_t n_names, size_t index)
{
    if (!tt_tuning_is_disabled(tuning, op, names[index], form))
        return index;
    for (size_t i = 0; i < n_names; i++)
        if (!tt_tuning_is_disabled(tuning, op, names[i], form))
            return i;
    return index;
}

/* Measured, seeded or first. */
static size_t pick(const tt_tuning *tuning, const char *op, const char *key, const char *const *names, size_t n_names)
{
    const tt_tuned *tuned = tt_tuning_find(tuning, op, key);
    for (size_t i = 0; tuned != NULL && i < n_names; i++)
        if (strcmp(names[i], tuned->name) == 0)
            return i;
    return tuning->device[0] != '\0' ? tt_tuning_seed(tuning->device, op, key, names, n_names) : 0;
}

size_t tt_tuning_choose(const tt_kernels *kernels, const char *op, const char *key, const char *const *names,
                        size_t n_names)
{
    tt_tuning *tuning = kernels->tuning;
    if (tuning == NULL || n_names == 0)
        return 0;
    const char *form = tt_tuning_form(key);
    size_t index = tuning->watch != NULL ? tuning->watch(tuning->user, op, key, names, n_names) : SIZE_MAX;
    if (index >= n_names)
        index = skip_disabled(tuning, op, form, names, n_names, pick(tuning, op, key, names, n_names));
    tuning->marker[0] = '\0';
    if (n_names > 1)
        tt_tuning_make_marker(op, names[index], form, tuning->marker);
    return index;
}

void tt_tuning_watch(tt_tuning *tuning, tt_tuning_watch_fn watch, void *user)
{
    tuning->watch = watch;
    tuning->user = user;
}

/* ---- markers */

void tt_tuning_end_op(tt_tuning *tuning)
{
    if (tuning != NULL)
        tuning->marker[0] = '\0';
}

bool tt_tuning_marker(const tt_tuning *tuning, char marker[TT_TUNING_MARKER])
{
    if (tuning == NULL || tuning->marker[0] == '\0')
        return false;
    memcpy(marker, tuning->marker, TT_TUNING_MARKER);
    return true;
}

void tt_tuning_make_marker(const char *op, const char *name, const char *form, char marker[TT_TUNING_MARKER])
{
    (void)snprintf(marker, TT_TUNING_MARKER, "%s\n%s\n%s", op, name, form);
}

/* Copies the text up to a newline or the end and steps behind it; false when it does not fit or is empty. */
static bool take_line(const char **at, char *line, size_t n_bytes)
{
    size_t n = strcspn(*at, "\n");
    if (n == 0 || n >= n_bytes)
        return false;
    memcpy(line, *at, n);
    line[n] = '\0';
    *at += n + ((*at)[n] == '\n');
    return true;
}

tt_status tt_tuning_disable_marked(tt_tuning *tuning, const char *marker, const char *reason, tt_error *err)
{
    tt_disabled disabled = {.op = ""};
    if (!take_line(&marker, disabled.op, sizeof(disabled.op)) ||
        !take_line(&marker, disabled.name, sizeof(disabled.name)))
        return TT_OK;
    if (marker[0] != '\0' && !take_line(&marker, disabled.form, sizeof(disabled.form)))
        return TT_OK;
    (void)snprintf(disabled.reason, sizeof(disabled.reason), "%s", reason);
    return tt_tuning_disable(tuning, &disabled, err);
}
