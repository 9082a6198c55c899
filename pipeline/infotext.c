/* infotext.c - A1111's generation parameters, as every viewer of the field reads them. */
#include "base/text.h"
#include "pipeline/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values with a comma, colon, quote or line break are written as JSON strings. */
static void add_value(tt_text *text, const char *value)
{
    if (!strpbrk(value, ",:\"\n")) {
        tt_text_add_string(text, value);
        return;
    }
    tt_text_add_string(text, "\"");
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            tt_text_format(text, "\\%c", *p);
        else if (*p == '\n')
            tt_text_add_string(text, "\\n");
        else
            tt_text_add(text, p, 1);
    }
    tt_text_add_string(text, "\"");
}

/* Names of sampler and schedule as requested, or the model's own. */
static void add_sampler(tt_text *text, tt_model *model, const tt_generate_params *p)
{
    tt_scheduler_config *derived = NULL;
    const tt_scheduler_config *config = model->scheduler;
    if (p->scheduler_config) {
        if (tt_scheduler_config_parse(p->scheduler_config, strlen(p->scheduler_config), &derived, NULL) == TT_OK)
            config = derived;
    } else if (config && (p->sampler || p->schedule) &&
               tt_scheduler_config_derive(model->scheduler, p->sampler, p->schedule, &derived, NULL) == TT_OK)
        config = derived;
    if (config)
        tt_text_format(text, ", Sampler: %s, Schedule type: %s", tt_scheduler_config_display_name(config),
                       tt_scheduler_config_schedule_name(config));
    tt_scheduler_config_free(derived);
}

static void write_infotext(tt_text *text, tt_model *model, const tt_generate_params *p, int64_t seed, bool with_prompt)
{
    if (with_prompt) {
        if (p->prompt && p->prompt[0])
            tt_text_format(text, "%s\n", p->prompt);
        if (p->negative_prompt && p->negative_prompt[0])
            tt_text_format(text, "Negative prompt: %s\n", p->negative_prompt);
    }
    tt_text_format(text, "Steps: %u", p->n_steps);
    add_sampler(text, model, p);
    tt_text_format(text, ", CFG scale: %g, Seed: %lld, Size: %ux%u", (double)p->cfg_scale, (long long)seed, p->width,
                   p->height);
    if (tt_model_hash(model)[0])
        tt_text_format(text, ", Model hash: %s", tt_model_hash(model));
    tt_text_add_string(text, ", Model: ");
    add_value(text, model->name);
    if (p->init_image)
        tt_text_format(text, ", Denoising strength: %g", (double)p->strength);
    if (p->clip_skip > 1)
        tt_text_format(text, ", Clip skip: %u", p->clip_skip);
    tt_call_plan calls = tt_request_calls(model, p);
    tt_call_plan_write(&calls, text);
    tt_text_format(text, ", RNG: %s, Version: tintype %s", p->rng == TT_RNG_CUDA ? "GPU" : "CPU", tt_version());
}

size_t tt_generate_infotext(tt_model *model, const tt_generate_params *params, const tt_generate_stats *stats,
                            uint32_t index, bool with_prompt, char *text, size_t n_bytes)
{
    tt_text built = {0};
    int64_t first = stats ? stats->seed : params->seed;
    write_infotext(&built, model, params, (int64_t)((uint64_t)first + params->first_image + index), with_prompt);
    size_t needed = built.failed ? 0 : built.n_bytes;
    if (n_bytes > 0)
        snprintf(text, n_bytes, "%s", built.failed || !built.bytes ? "" : built.bytes);
    tt_text_free(&built);
    return needed;
}
