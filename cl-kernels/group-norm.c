/* group-norm.c - launcher of group-norm.cl and group-norm-whole.cl. */
#include "cl-kernels/group-norm.h"

#include "base/checked.h"
#include "cl-kernels/launch.h"

/* Positions of a chunk: two passes over it should stay in a CPU's first-level cache. */
enum { CPU_CHUNK = 1024, GPU_CHUNK = 1024, GPU_LANES = 32, CPU_ITEM_POSITIONS = 1024 };

/* One launch: lanes of a GPU's work-group, and the units (slices * positions) of a bunch up to which it pays. On CPUs
 * there must be this many items to share, or so few units that starting more launches takes longer. */
enum { WHOLE_LANES = 128, WHOLE_GPU_UNITS = 65536, WHOLE_CPU_ITEMS = 8, WHOLE_CPU_UNITS = 8192 };

typedef struct norm_plan {
    uint32_t n_slices, n_first, n_channels, chunk, n_chunks;
    uint32_t bunch_slices; /* of the fewest groups that fill whole slices */
    bool is_whole;
    size_t lanes;
    const char *options;
} norm_plan;

/* Whether one launch pays; the same without a device. */
static bool suits_whole(const norm_plan *plan, const tt_group_norm_args *args, bool is_cpu)
{
    size_t positions = (size_t)args->in.height * args->in.width;
    size_t items = tt_ceil_div(plan->n_slices, plan->bunch_slices) * args->in.batch;
    if (args->form != TT_NORM_CHOOSE)
        return args->form == TT_NORM_WHOLE;
    if (is_cpu)
        return items >= WHOLE_CPU_ITEMS || plan->n_slices * positions <= WHOLE_CPU_UNITS;
    return plan->bunch_slices * positions <= WHOLE_GPU_UNITS;
}

/* Slices of the fewest groups of this many channels that fill whole ones. */
static uint32_t slices_of_bunch(uint32_t group_channels)
{
    return group_channels % 4 == 0 ? group_channels / 4 : group_channels % 2 == 0 ? group_channels / 2 : group_channels;
}

/* Work items of a work-group, and the build option that says so. */
static void set_lanes(norm_plan *plan, size_t lanes)
{
    plan->lanes = lanes;
    plan->options = lanes == 1 ? "-DLANES=1" : lanes == GPU_LANES ? "-DLANES=32" : "-DLANES=128";
}

static norm_plan make_plan(const tt_kernels *kernels, const tt_group_norm_args *args)
{
    bool is_cpu = kernels->family == TT_FAMILY_CPU_TILE;
    norm_plan plan = {.n_first = tt_plane_slices(&args->in), .n_channels = args->in.channels};
    plan.n_slices = plan.n_first;
    if (args->in2 != NULL) {
        plan.n_slices += tt_plane_slices(args->in2);
        plan.n_channels += args->in2->channels;
    }
    plan.chunk = is_cpu ? CPU_CHUNK : GPU_CHUNK;
    plan.n_chunks = (uint32_t)tt_ceil_div((size_t)args->in.height * args->in.width, plan.chunk);
    plan.bunch_slices = slices_of_bunch(plan.n_channels / (args->n_groups != 0 ? args->n_groups : 1));
    plan.is_whole = suits_whole(&plan, args, is_cpu);
    set_lanes(&plan, is_cpu ? 1 : plan.is_whole ? WHOLE_LANES : GPU_LANES);
    return plan;
}

/* Floats of the chunks' statistics; the coefficients follow. */
static size_t statistics_floats(const norm_plan *plan, uint32_t batch)
{
    return (size_t)plan->n_chunks * batch * plan->n_slices * 8;
}

size_t tt_group_norm_scratch_bytes(const tt_kernels *kernels, const tt_group_norm_args *args)
{
    norm_plan plan = make_plan(kernels, args);
    if (plan.is_whole)
        return 0;
    return (statistics_floats(&plan, args->in.batch) + (size_t)args->in.batch * plan.n_slices * 16) * sizeof(float);
}

static bool same_geometry(const tt_plane *a, const tt_plane *b)
{
    return a->batch == b->batch && a->height == b->height && a->width == b->width;
}

static tt_status check(const tt_group_norm_args *args, const norm_plan *plan, tt_error *err)
{
    if (args->in2 != NULL && (args->in.channels % 4 != 0 || !same_geometry(&args->in, args->in2)))
        return tt_kernels_fail_shape(err, "group-norm", "second input does not fit the first", args->in2);
    if (args->out.channels != plan->n_channels || !same_geometry(&args->in, &args->out))
        return tt_kernels_fail_shape(err, "group-norm", "output differs from the input", &args->out);
    if (args->n_groups == 0 || plan->n_channels % args->n_groups != 0)
        return tt_kernels_fail_shape(err, "group-norm", "groups do not divide the channels of", &args->out);
    if (args->scale->n != plan->n_channels || args->shift->n != plan->n_channels)
        return tt_kernels_fail_shape(err, "group-norm", "scale or shift differ in length from", &args->out);
    return TT_OK;
}

/* The arguments that all kernels begin with. */
static tt_launcher begin_sources(const tt_kernels *kernels, const tt_group_norm_args *args, const norm_plan *plan,
                                 const char *entry, tt_error *err)
{
    tt_launcher launcher =
        tt_launcher_begin(kernels, plan->is_whole ? "group-norm-whole.cl" : "group-norm.cl", plan->options, entry, err);
    tt_launcher_plane(&launcher, &args->in, false);
    tt_launcher_plane(&launcher, args->in2 != NULL ? args->in2 : &args->in, false);
    tt_launcher_uint4(&launcher, args->in.width, args->in.height, args->in.batch, plan->n_slices);
    tt_launcher_uint4(&launcher, plan->n_first, plan->n_channels, plan->n_channels / args->n_groups, plan->chunk);
    return launcher;
}

/* The arguments that the three kernels of chunks begin with. */
static tt_launcher begin(const tt_kernels *kernels, const tt_group_norm_args *args, const norm_plan *plan,
                         const char *entry, tt_error *err)
{
    tt_launcher launcher = begin_sources(kernels, args, plan, entry, err);
    tt_launcher_buffer(&launcher, args->scratch);
    return launcher;
}

/* Begins with as many lanes as the driver gives this kernel, which some say only when it is built. */
static tt_launcher begin_whole(const tt_kernels *kernels, const tt_group_norm_args *args, norm_plan *plan,
                               tt_error *err)
{
    tt_launcher launcher = begin_sources(kernels, args, plan, "normalise_bunch", err);
    const tt_cl *cl = tt_device_cl(kernels->device);
    size_t limit = 0;
    if (launcher.status != TT_OK || plan->lanes <= GPU_LANES)
        return launcher;
    cl_int code = cl->get_kernel_work_group_info(launcher.kernel, tt_device_id(kernels->device),
                                                 CL_KERNEL_WORK_GROUP_SIZE, sizeof limit, &limit, NULL);
    if (code == CL_SUCCESS && limit >= plan->lanes)
        return launcher;
    (void)cl->release_kernel(launcher.kernel);
    set_lanes(plan, GPU_LANES);
    return begin_sources(kernels, args, plan, "normalise_bunch", err);
}

static tt_status record_whole(const tt_kernels *kernels, const tt_group_norm_args *args, norm_plan *plan,
                              tt_recorder *recorder, tt_error *err)
{
    tt_launcher launcher = begin_whole(kernels, args, plan, err);
    tt_launcher_buffer(&launcher, args->scale->values.mem);
    tt_launcher_buffer(&launcher, args->shift->values.mem);
    tt_launcher_float(&launcher, args->eps);
    tt_launcher_plane(&launcher, &args->out, true);
    tt_launcher_uint4(&launcher, args->out.border, args->silu, plan->bunch_slices, 0);
    tt_launch launch = {.stem = "group-norm",
                        .n_dims = 2,
                        .global = {tt_ceil_div(plan->n_slices, plan->bunch_slices) * plan->lanes, args->in.batch, 1},
                        .local = {plan->lanes, 1, 1},
                        .bytes = 3 * tt_launch_plane_bytes(kernels, &args->out)};
    return tt_launcher_record(&launcher, &launch, recorder);
}

static tt_status record_statistics(const tt_kernels *kernels, const tt_group_norm_args *args, const norm_plan *plan,
                                   tt_recorder *recorder, tt_error *err)
{
    tt_launcher launcher = begin(kernels, args, plan, "chunk_statistics", err);
    tt_launcher_uint(&launcher, args->scratch_offset);
    tt_launch launch = {.stem = "group-norm",
                        .n_dims = 2,
                        .global = {plan->n_chunks * plan->lanes, (size_t)plan->n_slices * args->in.batch, 1},
                        .local = {plan->lanes, 1, 1},
                        .bytes = tt_launch_plane_bytes(kernels, &args->out)};
    return tt_launcher_record(&launcher, &launch, recorder);
}

static tt_status record_coefficients(const tt_kernels *kernels, const tt_group_norm_args *args, const norm_plan *plan,
                                     tt_recorder *recorder, tt_error *err)
{
    tt_launcher launcher = begin(kernels, args, plan, "group_coefficients", err);
    tt_launcher_uint(&launcher, args->scratch_offset);
    tt_launcher_uint(&launcher, plan->n_chunks);
    tt_launcher_buffer(&launcher, args->scale->values.mem);
    tt_launcher_buffer(&launcher, args->shift->values.mem);
    tt_launcher_float(&launcher, args->eps);
    tt_launch launch = {.stem = "group-norm",
                        .n_dims = 2,
                        .global = {args->n_groups * plan->lanes, args->in.batch, 1},
                        .local = {plan->lanes, 1, 1}};
    return tt_launcher_record(&launcher, &launch, recorder);
}

static tt_status record_application(const tt_kernels *kernels, const tt_group_norm_args *args, const norm_plan *plan,
                                    tt_recorder *recorder, tt_error *err)
{
    const tt_plane *out = &args->out;
    bool is_cpu = kernels->family == TT_FAMILY_CPU_TILE;
    size_t rows = out->height + 2 * (size_t)out->border, columns = out->width + 2 * (size_t)out->border;
    size_t item_rows = tt_ceil_div(CPU_ITEM_POSITIONS, out->width);
    tt_launcher launcher = begin(kernels, args, plan, "apply_norm", err);
    tt_launcher_uint(&launcher, (uint32_t)(args->scratch_offset + statistics_floats(plan, out->batch)));
    tt_launcher_plane(&launcher, out, true);
    tt_launcher_uint4(&launcher, out->border, args->silu, (uint32_t)item_rows, 0);
    tt_launch launch = {.stem = "group-norm",
                        .n_dims = 2,
                        .global = {is_cpu ? tt_ceil_div(rows, item_rows) : tt_round_up(rows * columns, plan->lanes),
                                   (size_t)plan->n_slices * out->batch, 1},
                        .local = {plan->lanes, 1, 1},
                        .bytes = 2 * tt_launch_plane_bytes(kernels, out)};
    return tt_launcher_record(&launcher, &launch, recorder);
}

tt_status tt_group_norm_record(const tt_kernels *kernels, const tt_group_norm_args *args, tt_recorder *recorder,
                               tt_error *err)
{
    norm_plan plan = make_plan(kernels, args);
    tt_status status = check(args, &plan, err);
    if (status == TT_OK && plan.is_whole)
        return record_whole(kernels, args, &plan, recorder, err);
    if (status == TT_OK)
        status = record_statistics(kernels, args, &plan, recorder, err);
    if (status == TT_OK)
        status = record_coefficients(kernels, args, &plan, recorder, err);
    if (status == TT_OK)
        status = record_application(kernels, args, &plan, recorder, err);
    return status;
}
