/* rates.c - runs a linear layer, a 3x3 convolution, an attention and a norm at the middle size of a network and takes
 * their times. */
#include "pipeline/rates.h"
#include "base/clock.h"
#include "cl-kernels/attention.h"
#include "cl-kernels/elementwise.h"
#include "cl-kernels/group-norm.h"
#include "cl-kernels/linear.h"
#include "pipeline/model.h"

#include <stdlib.h>
#include <string.h>

/* Positions along a side, channels of a head, runs of each kernel at least and at most, and the time they may take. */
enum { UNET_SIDE = 32, VAE_SIDE = 96, HEAD = 64, MIN_RUNS = 3, MAX_RUNS = 200 };
static const double max_seconds = 0.1;

/* Device objects of one measurement; released together. */
typedef struct tt_sample {
    tt_kernels kernels;
    tt_rates_shape shape;
    tt_matrix matrix;
    tt_vector vector;
    tt_buffer in, out, scratch;
    tt_plane in_plane, out_plane;
    tt_recorder *recorder;
    double pack_seconds;
    double begun; /* before the first kernel was made, with so many programs loaded */
    size_t n_programs;
} tt_sample;

static void release(tt_sample *s)
{
    tt_device *device = s->kernels.device;
    tt_recorder_destroy(s->recorder);
    tt_matrix_release(device, &s->matrix);
    tt_vector_release(device, &s->vector);
    tt_buffer_release(device, &s->in);
    tt_buffer_release(device, &s->out);
    tt_buffer_release(device, &s->scratch);
}

/* A buffer of zeros. */
static tt_status make_buffer(tt_device *device, size_t n_bytes, tt_buffer *buffer, tt_error *err)
{
    void *bytes = NULL;
    tt_status status = tt_buffer_create(device, n_bytes, "a speed measurement", buffer, err);
    if (status == TT_OK)
        status = tt_buffer_map(device, buffer, &bytes, err);
    if (status != TT_OK)
        return status;
    memset(bytes, 0, n_bytes);
    return tt_buffer_unmap(device, buffer, bytes, err);
}

/* Planes of the network's middle: in with a border where a convolution reads it. */
static tt_status make_planes(tt_sample *s, uint32_t border, uint32_t out_channels, tt_error *err)
{
    s->in_plane = (tt_plane){
        .channels = s->shape.channels, .batch = 1, .height = s->shape.side, .width = s->shape.side, .border = border};
    s->out_plane = s->in_plane;
    s->out_plane.border = 0;
    s->out_plane.channels = out_channels;
    tt_device *device = s->kernels.device;
    tt_status status = make_buffer(device, tt_plane_bytes(&s->in_plane, s->kernels.storage), &s->in, err);
    if (status == TT_OK)
        status = make_buffer(device, tt_plane_bytes(&s->out_plane, s->kernels.storage), &s->out, err);
    s->in_plane.mem = s->in.mem;
    s->out_plane.mem = s->out.mem;
    s->begun = tt_clock_seconds();
    s->n_programs = tt_device_n_programs(device);
    return status == TT_OK ? tt_recorder_create(device, &s->recorder, err) : status;
}

/* A square matrix of zeros; the time of packing it is kept. */
static tt_status make_matrix(tt_sample *s, uint32_t n_taps, tt_error *err)
{
    uint32_t row = s->shape.channels * n_taps;
    tt_dtype type = row % tt_dtype_block(s->shape.type) == 0 ? s->shape.type : TT_F16;
    uint64_t n_bytes = tt_dtype_bytes(type, (uint64_t)s->shape.channels * row);
    void *values = malloc((size_t)n_bytes);
    float *scale = calloc(s->shape.channels, sizeof *scale);
    tt_status status = TT_OK;
    if (!values || !scale)
        status = tt_fail_memory(err, "a speed measurement", (size_t)n_bytes);
    else {
        memset(values, 0, (size_t)n_bytes);
        tt_matrix_part part = {
            .dtype = type, .values = values, .scale = type == TT_I8 ? scale : NULL, .n_out = s->shape.channels};
        double begun = tt_clock_seconds();
        status = tt_matrix_create(&s->kernels, &part, 1, s->shape.channels, n_taps, 0, false, &s->matrix, err);
        s->pack_seconds = tt_clock_seconds() - begun;
    }
    free(values);
    free(scale);
    return status;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The cheapest loading of a program so far; the first run of a kernel is longer by that. */
static void note_programs(const tt_sample *s, double first, double usual, tt_rates *rates)
{
    size_t n = tt_device_n_programs(s->kernels.device) - s->n_programs;
    double seconds = n > 0 && first > usual ? (first - usual) / (double)n : 0.0;
    if (seconds > 0.0 && (rates->program_seconds <= 0.0 || seconds < rates->program_seconds))
        rates->program_seconds = seconds;
}

static tt_status replay(const tt_sample *s, double *seconds, tt_error *err)
{
    double begun = tt_clock_seconds();
    tt_status status = tt_recorder_replay(s->recorder, err);
    if (status == TT_OK)
        status = tt_device_finish(s->kernels.device, err);
    *seconds = tt_clock_seconds() - begun;
    return status;
}

/* The median time of one replay: what a busy machine will give the request too. */
static tt_status take_time(const tt_sample *s, tt_rates *rates, double *seconds, tt_error *err)
{
    double times[MAX_RUNS], first = 0.0;
    int n = 0;
    tt_status status = replay(s, &first, err);
    double begun = tt_clock_seconds();
    first = begun - s->begun - s->pack_seconds;
    while (n < MAX_RUNS && status == TT_OK && (n < MIN_RUNS || tt_clock_seconds() - begun < max_seconds))
        status = replay(s, &times[n++], err);
    if (status != TT_OK)
        return status;
    qsort(times, (size_t)n, sizeof *times, by_time);
    *seconds = times[n / 2] > 1e-9 ? times[n / 2] : 1e-9;
    note_programs(s, first, *seconds, rates);
    return TT_OK;
}

typedef tt_status (*tt_measure_fn)(tt_sample *s, tt_rates *rates, tt_error *err);

static tt_status measure_linear(tt_sample *s, tt_rates *rates, tt_error *err)
{
    double seconds = 0;
    tt_status status = make_planes(s, 0, s->shape.channels, err);
    if (status == TT_OK)
        status = make_matrix(s, 1, err);
    const tt_linear_args args = {.in = s->in_plane, .matrix = &s->matrix, .out = s->out_plane};
    if (status == TT_OK)
        status = tt_linear_record(&s->kernels, &args, s->recorder, err);
    if (status == TT_OK)
        status = take_time(s, rates, &seconds, err);
    if (status == TT_OK)
        rates->linear =
            2.0 * (double)tt_plane_positions(&s->out_plane) * s->shape.channels * s->shape.channels / seconds;
    return status;
}

static tt_status measure_conv3x3(tt_sample *s, tt_rates *rates, tt_error *err)
{
    double seconds = 0;
    tt_status status = make_planes(s, 1, s->shape.channels, err);
    if (status == TT_OK)
        status = make_matrix(s, 9, err);
    const tt_conv3x3_args args = {.in = s->in_plane, .matrix = &s->matrix, .out = s->out_plane};
    if (status == TT_OK)
        status = tt_conv3x3_record(&s->kernels, &args, s->recorder, err);
    if (status == TT_OK)
        status = take_time(s, rates, &seconds, err);
    if (status == TT_OK)
        rates->vae_conv3x3 =
            18.0 * (double)tt_plane_positions(&s->out_plane) * s->shape.channels * s->shape.channels / seconds;
    return status;
}

/* The same in the UNet, and packing of its weights. */
static tt_status measure_unet_conv3x3(tt_sample *s, tt_rates *rates, tt_error *err)
{
    tt_status status = measure_conv3x3(s, rates, err);
    rates->conv3x3 = rates->vae_conv3x3;
    rates->packing = (double)s->matrix.values.n_bytes / (s->pack_seconds > 1e-9 ? s->pack_seconds : 1e-9);
    return status;
}

static tt_status measure_attention(tt_sample *s, tt_rates *rates, tt_error *err)
{
    double seconds = 0, positions = (double)s->shape.side * s->shape.side;
    uint32_t n_heads = s->shape.channels / HEAD ? s->shape.channels / HEAD : 1;
    tt_status status = make_planes(s, 0, s->shape.channels, err);
    tt_plane q = s->in_plane;
    q.channels = n_heads * (s->shape.channels / n_heads / 4 * 4);
    q.width = s->shape.side * s->shape.side;
    q.height = 1;
    tt_attention_args args = {.q = q, .k = q, .v = q, .n_heads = n_heads, .head_dim = q.channels / n_heads, .out = q};
    args.out.mem = s->out.mem;
    if (status == TT_OK)
        status = tt_attention_record(&s->kernels, &args, s->recorder, err);
    if (status == TT_OK)
        status = take_time(s, rates, &seconds, err);
    if (status == TT_OK)
        rates->attention = 4.0 * positions * positions * q.channels / seconds;
    return status;
}

static tt_status measure_norm(tt_sample *s, tt_rates *rates, tt_error *err)
{
    double seconds = 0;
    tt_status status = make_planes(s, 0, s->shape.channels, err);
    float *ones = calloc(s->shape.channels, sizeof *ones);
    if (status == TT_OK && !ones)
        status = tt_fail_memory(err, "a speed measurement", s->shape.channels * sizeof *ones);
    if (status == TT_OK)
        status = tt_vector_create(&s->kernels, TT_F32, ones, s->shape.channels, &s->vector, err);
    free(ones);
    tt_group_norm_args args = {.in = s->in_plane,
                               .scale = &s->vector,
                               .shift = &s->vector,
                               .n_groups = s->shape.channels % 32 == 0 ? 32 : 1,
                               .eps = 1e-5f,
                               .silu = true,
                               .out = s->out_plane};
    size_t n_scratch = tt_group_norm_scratch_bytes(&s->kernels, &args);
    if (status == TT_OK && n_scratch > 0)
        status = make_buffer(s->kernels.device, n_scratch, &s->scratch, err);
    args.scratch = s->scratch.mem;
    if (status == TT_OK)
        status = tt_group_norm_record(&s->kernels, &args, s->recorder, err);
    if (status == TT_OK)
        status = take_time(s, rates, &seconds, err);
    if (status == TT_OK)
        rates->other = (double)(s->in.n_bytes + s->out.n_bytes) / seconds;
    return status;
}

/* Many launches in a row that do next to nothing. */
static tt_status measure_launch(tt_sample *s, tt_rates *rates, tt_error *err)
{
    enum { LAUNCHES = 50 };
    double seconds = 0;
    tt_status status = make_planes(s, 0, s->shape.channels, err);
    tt_plane small = s->in_plane;
    small.channels = 4;
    small.height = small.width = 1;
    tt_elementwise_args args = {.a = small, .scale = 1.0f, .out = small};
    args.out.mem = s->out.mem;
    for (int i = 0; i < LAUNCHES && status == TT_OK; i++)
        status = tt_elementwise_record(&s->kernels, &args, s->recorder, err);
    if (status == TT_OK)
        status = take_time(s, rates, &seconds, err);
    if (status == TT_OK)
        rates->launch_seconds = seconds / LAUNCHES;
    return status;
}

typedef struct tt_measure {
    tt_measure_fn fn;
    bool is_vae;
} tt_measure;

static tt_status measure(tt_model *model, const tt_rates_key *key, tt_rates *rates, tt_error *err)
{
    static const tt_measure all[] = {{measure_conv3x3, true}, {measure_unet_conv3x3, false},
                                     {measure_linear, false}, {measure_attention, false},
                                     {measure_norm, false},   {measure_launch, false}};
    tt_status status = TT_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && status == TT_OK; i++) {
        tt_sample sample = {.shape = all[i].is_vae ? key->vae : key->unet};
        double vae_conv3x3 = rates->vae_conv3x3;
        bool takes_int8 = !all[i].is_vae || model->vae_config.kind == TT_VAE_KL;
        status = tt_model_kernels(model, sample.shape.storage == TT_STORAGE_F16, takes_int8, &sample.kernels, err);
        if (status == TT_OK)
            status = all[i].fn(&sample, rates, err);
        release(&sample);
        if (i > 0)
            rates->vae_conv3x3 = vae_conv3x3;
    }
    return status;
}

static tt_dtype type_of(const tt_weights *weights, const char *name)
{
    tt_weight weight;
    return weights && tt_weights_peek(weights, name, &weight) ? weight.tensor.dtype : TT_F32;
}

/* Middle sizes of both networks, and the types of a layer that stands for the others. */
static tt_rates_key key_of(const tt_model *model)
{
    const tt_unet_config *unet = &model->unet_config;
    const tt_vae_config *vae = &model->vae_config;
    const char *layer =
        vae->kind == TT_VAE_TINY ? "decoder.layers.3.conv.0.weight" : "decoder.mid_block.resnets.0.conv1.weight";
    tt_rates_key key = {.unet = {.storage = model->is_half ? TT_STORAGE_F16 : TT_STORAGE_F32,
                                 .arithmetic = model->arithmetic,
                                 .type = type_of(model->unet_weights, "down_blocks.0.resnets.0.conv1.weight"),
                                 .channels = unet->channels[unet->n_blocks / 2],
                                 .side = UNET_SIDE},
                        .vae = {.storage = tt_model_vae_is_half(model) ? TT_STORAGE_F16 : TT_STORAGE_F32,
                                .arithmetic = model->arithmetic,
                                .type = type_of(model->vae_weights, layer),
                                .channels = vae->decoder_channels[vae->n_decoder_blocks / 2],
                                .side = VAE_SIDE}};
    return key;
}

tt_status tt_rates_need(tt_model *model, const tt_rates **rates, tt_error *err)
{
    tt_context *context = model->context;
    tt_rates_key key = key_of(model);
    tt_status status = TT_OK;
    if (!context->rates_known || memcmp(&context->rates_key, &key, sizeof key) != 0) {
        context->rates = (tt_rates){0};
        status = measure(model, &key, &context->rates, err);
        context->rates_known = status == TT_OK;
        context->rates_key = key;
    }
    *rates = &context->rates;
    return status;
}

double tt_rates_pass_seconds(const tt_rates *r, bool is_vae, const tt_graph_work *f, uint64_t streamed_bytes)
{
    double compute = f->linear_flops / r->linear + f->conv3x3_flops / (is_vae ? r->vae_conv3x3 : r->conv3x3) +
                     f->attention_flops / r->attention + f->other_bytes / r->other +
                     (double)f->n_ops * r->launch_seconds;
    return compute + (double)streamed_bytes / r->packing;
}

double tt_rates_load_seconds(const tt_rates *r, uint64_t n_bytes, uint32_t n_programs)
{
    return (double)n_bytes / r->packing + n_programs * r->program_seconds;
}
