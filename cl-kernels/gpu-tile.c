/* gpu-tile.c - launcher of gpu-tile.cl and the table of its variants. */
#include "cl-kernels/gpu-tile.h"

#include "base/checked.h"
#include "cl-kernels/gpu-codes.h"

#include <stdio.h>
#include <string.h>

/* Most lanes of a work-group; rows of weights that are staged in local memory at a time. */
enum { LANES = 64, STAGED = 8, UNSTAGED = 1 << 30, PANEL = 32 };

/* From how many positions on a work-group of tiles is worth its 64 lanes. */
enum { FEWEST_POSITIONS = 64 };

/* All variants. Two positions halve the reads of weights and double the registers; a run of four slices halves the
 * additions to float sums and holds twice as many inputs. */
static const tt_gpu_variant table[] = {
    {"g2-local-tex", 2, 2, TT_GPU_LOCAL, true},      {"g2-local", 2, 2, TT_GPU_LOCAL, false},
    {"g1-cache", 1, 2, TT_GPU_CACHE, false},         {"g2-cache", 2, 2, TT_GPU_CACHE, false},
    {"g2-cache-tex", 2, 2, TT_GPU_CACHE, true},      {"g1-local-tex", 1, 2, TT_GPU_LOCAL, true},
    {"g2-local-tex-run4", 2, 4, TT_GPU_LOCAL, true}, {"g1-cache-run4", 1, 4, TT_GPU_CACHE, false},
    {"g1-subgroup", 1, 2, TT_GPU_SUBGROUP, false},   {"g2-subgroup-tex", 2, 2, TT_GPU_SUBGROUP, true},
};

enum { N_TABLE = sizeof(table) / sizeof(table[0]) };
_Static_assert((int)N_TABLE <= (int)TT_GPU_MAX_VARIANTS, "there is room for all variants");

static bool is_int8(const tt_gpu_tile_args *args)
{
    return args->matrix->arithmetic == TT_ARITHMETIC_INT8;
}

static bool is_half(const tt_gpu_tile_args *args)
{
    return args->matrix->arithmetic == TT_ARITHMETIC_HALF;
}

/* What a texel of the activations is. */
static tt_texel texel_of(const tt_kernels *kernels, const tt_gpu_tile_args *args)
{
    if (is_int8(args))
        return TT_TEXEL_WORD;
    return kernels->storage == TT_STORAGE_F16 ? TT_TEXEL_HALF4 : TT_TEXEL_FLOAT4;
}

static bool has_texels(const tt_kernels *kernels, const tt_gpu_tile_args *args)
{
    tt_texel texel = texel_of(kernels, args);
    if (is_int8(args))
        return tt_buffer_has_texels(kernels->device, args->scratch, texel);
    return tt_buffer_has_texels(kernels->device, args->in.mem, texel) &&
           (args->in2 == NULL || tt_buffer_has_texels(kernels->device, args->in2->mem, texel));
}

static bool can_run(const tt_kernels *kernels, const tt_gpu_tile_args *args, const tt_gpu_variant *variant)
{
    bool is_block_type = !is_int8(args) && tt_quant_is_type(args->weights.dtype);
    if (is_half(args) && kernels->dot.half != TT_DOT_GPU_FP16)
        return false;
    if (is_block_type || (variant->run > 2 && !is_half(args)))
        return false;
    if (variant->weights == TT_GPU_LOCAL && args->in2 != NULL && tt_device_caps(kernels->device)->mixes_local)
        return false;
    if (variant->weights == TT_GPU_SUBGROUP && !tt_device_caps(kernels->device)->has_subgroups)
        return false;
    return !variant->has_texels || has_texels(kernels, args);
}

/* The table's choice. Staging pays where local memory is memory of its own (Adreno); elsewhere one position leaves room
 * in the registers. Untested on phones. */
static const char *first_choice(const tt_kernels *kernels, const tt_gpu_tile_args *args)
{
    if (!tt_device_caps(kernels->device)->has_local_memory)
        return "g1-cache";
    return has_texels(kernels, args) ? "g2-local-tex" : "g2-local";
}

size_t tt_gpu_tile_variants(const tt_kernels *kernels, const tt_gpu_tile_args *args,
                            const tt_gpu_variant *variants[TT_GPU_MAX_VARIANTS])
{
    const char *first = first_choice(kernels, args);
    size_t n = 0;
    for (size_t i = 0; i < N_TABLE; i++) {
        if (!can_run(kernels, args, &table[i]))
            continue;
        variants[n++] = &table[i];
        if (strcmp(table[i].name, first) == 0) {
            variants[n - 1] = variants[0];
            variants[0] = &table[i];
        }
    }
    return n;
}

/* What is multiplied, for the tuning's keys. */
static const char *type_of(const tt_gpu_tile_args *args)
{
    return is_int8(args) ? "int8" : is_half(args) ? "half" : tt_dtype_name(args->weights.dtype);
}

/* Float is the form that is compared with other implementations, and the plain kernel sums it in blocks: its cuts are
 * the table's choice, and for few positions of halves, too. CPUs, which run this family for tests alone and compile a
 * variant for seconds, are offered nothing else in float. */
const tt_gpu_variant *tt_gpu_tile_choose(const tt_kernels *kernels, const tt_gpu_tile_args *args, tt_plain_cut *cut)
{
    const tt_gpu_variant *variants[TT_GPU_MAX_VARIANTS];
    char names[TT_PLAIN_CUTS + TT_GPU_MAX_VARIANTS][TT_TUNING_NAME];
    bool is_float = !is_int8(args) && !is_half(args), is_cpu = tt_device_caps(kernels->device)->is_cpu;
    size_t n = is_float && is_cpu ? 0 : tt_gpu_tile_variants(kernels, args, variants);
    size_t n_cuts = is_int8(args) ? 0 : is_half(args) ? 1 : TT_PLAIN_CUTS;
    size_t n_positions = tt_plane_positions(&args->out);
    bool has_cuts_first = !is_half(args) || n_positions < FEWEST_POSITIONS;
    size_t first_cut = has_cuts_first ? 0 : n, first_variant = has_cuts_first ? n_cuts : 0;
    for (size_t i = 0; i < n_cuts; i++) {
        tt_plain_cut one = tt_plain_cut_at(i);
        if (is_half(args))
            (void)snprintf(names[first_cut + i], TT_TUNING_NAME, "float");
        else
            (void)snprintf(names[first_cut + i], TT_TUNING_NAME, "p%ul%u", (unsigned)one.positions,
                           (unsigned)one.lanes);
    }
    for (size_t i = 0; i < n; i++)
        (void)snprintf(names[first_variant + i], TT_TUNING_NAME, "%s", variants[i]->name);
    size_t chosen = tt_tile_ask(kernels, args->matrix, type_of(args), n_positions, names, n_cuts + n);
    bool is_cut = chosen >= first_cut && chosen < first_cut + n_cuts;
    *cut = tt_plain_cut_at(is_cut ? chosen - first_cut : 0);
    return is_cut ? NULL : variants[chosen - first_variant];
}

/* GPU_DOT of gpu-dot.clh, and whether plain vectors stand in for an instruction that the device does not have (a test
 * asked for it). */
static int dot_of(const tt_kernels *kernels, bool *stands_in)
{
    const tt_caps *caps = tt_device_caps(kernels->device);
    *stands_in = false;
    switch (kernels->dot.int8) {
    case TT_DOT_GPU_KHR:
        *stands_in = !caps->has_khr_dot;
        return 1;
    case TT_DOT_GPU_QCOM:
        *stands_in = !caps->has_qcom_dot;
        return 2;
    case TT_DOT_GPU_ARM:
        *stands_in = !caps->has_arm_dot;
        return 3;
    default:
        return 0;
    }
}

/* The Khronos dot products and sub-groups are parts of later languages. "": OpenCL C 1.2. */
static const char *language_of(const tt_kernels *kernels, int dot, const tt_gpu_variant *variant)
{
    int version = 1;
    if (dot != 1 && variant->weights != TT_GPU_SUBGROUP)
        return "";
    (void)sscanf(tt_device_caps(kernels->device)->info.version, "OpenCL %d", &version);
    return version >= 3 ? " -cl-std=CL3.0" : version == 2 ? " -cl-std=CL2.0" : "";
}

static void write_options(const tt_kernels *kernels, const tt_gpu_tile_args *args, const tt_gpu_variant *variant,
                          char *options, size_t n_bytes)
{
    int math = is_int8(args) ? 2 : is_half(args) ? 1 : 0, dot = 0;
    bool stands_in = false;
    if (math == 2)
        dot = dot_of(kernels, &stands_in);
    (void)snprintf(options, n_bytes,
                   "-DGPU_MATH=%d -DGPU_DOT=%d -DGPU_DOT_STANDS_IN=%d -DGPU_TAPS=%u -DGPU_SOURCES=%d "
                   "-DGPU_POSITIONS=%u -DGPU_RUN=%u "
                   "-DGPU_WEIGHTS=%d -DGPU_TEX=%d -DGPU_STAGED=%d -DTT_WEIGHT_HALF=%d%s",
                   math, dot, stands_in, args->matrix->n_taps, math != 2 && args->in2 != NULL ? 2 : 1,
                   variant->positions, math == 1 ? variant->run : 1, (int)variant->weights, variant->has_texels,
                   variant->weights == TT_GPU_LOCAL ? STAGED : UNSTAGED, args->weights.dtype == TT_F16,
                   language_of(kernels, dot, variant));
}

static void set_input(tt_launcher *launcher, const tt_gpu_tile_args *args, const tt_gpu_variant *variant,
                      const tt_plane *plane)
{
    bool at_corner = args->matrix->n_taps > 1;
    if (variant->has_texels)
        tt_launcher_texels(launcher, plane, at_corner, texel_of(launcher->kernels, args));
    else
        tt_launcher_plane(launcher, plane, at_corner);
}

static void set_arguments(tt_launcher *launcher, const tt_gpu_tile_args *args, const tt_gpu_variant *variant,
                          const tt_gpu_codes *codes)
{
    const tt_plane *out = &args->out, *in = is_int8(args) ? &codes->plane : &args->in;
    set_input(launcher, args, variant, in);
    set_input(launcher, args, variant, is_int8(args) || args->in2 == NULL ? in : args->in2);
    tt_launcher_buffer(launcher, in->mem);
    tt_launcher_uint(launcher, codes->about_shift);
    tt_launcher_buffer(launcher, args->weights.mem);
    tt_launcher_uint(launcher, (uint32_t)(args->weights.offset / 16));
    tt_launcher_buffer(launcher, args->matrix->bias.mem);
    tt_launcher_plane(launcher, args->per_image_bias != NULL ? args->per_image_bias : out, false);
    tt_launcher_plane(launcher, args->residual != NULL ? args->residual : out, false);
    tt_launcher_plane(launcher, out, false);
    tt_launcher_uint4(launcher, out->width, out->height, (uint32_t)tt_plane_positions(out), tt_plane_slices(out));
    tt_launcher_uint4(launcher, args->in.width, args->in.height, tt_plane_slices(in), tt_matrix_slices(args->matrix));
    uint32_t flags = (args->per_image_bias != NULL ? 1u : 0u) | (args->residual != NULL ? 2u : 0u) |
                     (args->matrix->is_geglu ? 4u : 0u) | (tt_plane_needs_border(out) ? 8u : 0u);
    tt_launcher_uint4(launcher, flags, (uint32_t)args->activation, (uint32_t)args->mode, 0);
}

static tt_gpu_codes_args codes_args(const tt_gpu_tile_args *args)
{
    return (tt_gpu_codes_args){.in = args->in,
                               .in2 = args->in2,
                               .with_border = args->matrix->n_taps > 1,
                               .scratch = args->scratch,
                               .scratch_offset = args->scratch_offset};
}

tt_status tt_gpu_tile_record(const tt_kernels *kernels, const tt_gpu_tile_args *args, const tt_gpu_variant *variant,
                             tt_recorder *recorder, tt_error *err)
{
    char options[320];
    tt_gpu_codes codes = {0};
    tt_gpu_codes_args coding = codes_args(args);
    tt_status status = is_int8(args) ? tt_gpu_codes_record(kernels, &coding, recorder, &codes, err) : TT_OK;
    if (status != TT_OK)
        return status;
    write_options(kernels, args, variant, options, sizeof(options));
    size_t lanes = LANES;
    tt_launcher launcher = tt_launcher_begin_group(kernels, "gpu-tile.cl", options, "gpu_tile", &lanes, err);
    set_arguments(&launcher, args, variant, &codes);
    const tt_matrix *matrix = args->matrix;
    double products = (double)tt_plane_positions(&args->out) * matrix->n_in * matrix->n_out * matrix->n_taps;
    size_t items = tt_ceil_div(tt_plane_positions(&args->out), variant->positions);
    tt_launch launch = {.stem = matrix->n_taps == 1 ? "linear" : "conv3x3",
                        .n_dims = 2,
                        .global = {tt_round_up(items, lanes), tt_ceil_div(matrix->n_out, PANEL), 1},
                        .local = {lanes, 1, 1},
                        .flops = 2.0 * products,
                        .bytes = args->bytes};
    return tt_launcher_record(&launcher, &launch, recorder);
}

size_t tt_gpu_tile_scratch_bytes(const tt_matrix *matrix, const tt_plane *in)
{
    if (matrix->arithmetic != TT_ARITHMETIC_INT8)
        return 0;
    tt_plane plane = *in;
    plane.border = matrix->n_taps > 1;
    plane.channels = tt_matrix_slices(matrix) * 4;
    return tt_gpu_codes_bytes(&(tt_gpu_codes_args){.in = plane, .with_border = true});
}
