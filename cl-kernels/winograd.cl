/* winograd.cl - 3x3 convolutions of stride 1 by Winograd's method, for CPUs; weights and arguments as in conv3x3.cl.
 *
 * The output is cut into squares of WINOGRAD_SIDE x WINOGRAD_SIDE positions. A work item computes plan.x squares for
 * plan.y panels of 32 outputs. It walks the input in blocks of plan.z slices: the squares' windows are transformed into
 * `inputs`; then each panel's weights are transformed into `weights` and multiplied, each of the WINOGRAD_POINTS points
 * of the transformed windows being a matrix product of its own (tile.clh). In the end the sums are transformed back.
 * Everything between input and output stays in the work item's own memory, which is meant to fit in a core's second
 * cache. The sums are the largest part; they are local memory because private memory is a thread's stack.
 *
 * Weights are transformed here rather than when they are packed. With 64 squares that takes a sixth of the time of the
 * products, but the packed form would be 16 / 9 (side 2) or 4 times (side 4) as large as the direct one's floats, 8 times
 * as large as its halves, and would have to come from memory. Here every layer can choose, whatever its type. */
#include "common.clh"
#include "place.clh"
#include "matrix-result.clh"
#include "wide.clh"
#include "conv3x3-taps.clh"
#include "winograd.clh"

#if TT_CPU_TILE

#define TILE_TAPS 9
#define TILE_TRANSFORMED 1
#define TILE_SUMS_SPACE __local
#define TILE_MAX_TILES 1
#define TILE_BLOCK_ROWS (WINOGRAD_MAX_SLICES * TILE_TAPS)
#if TT_WEIGHT_QUANT
#include "quant.clh"
#include "quant-tile.clh"
#endif
#include "tile-activate.clh"
#include "tile.clh"

/* Squares of a work item: a multiple of TILE_POSITIONS and room for the last four to be stored at once. */
#define MAX_STEP (WINOGRAD_MAX_SQUARES + 4)

/* Floats from a point, from a slice and from a column of a strip to the next. The points of a slice lie together, so
 * that a transform writes to few pages. */
#define INPUT_POINT (MAX_STEP * 4)
#define INPUT_SLICE (WINOGRAD_POINTS * INPUT_POINT + 16)
#define WEIGHT_SLICE (WINOGRAD_POINTS * 128 + 16)
#define STRIP_COLUMN ((WINOGRAD_MAX_SQUARES + 8) * 4)
#define TILE_SUMS (TILE_POSITIONS * 2) /* of one tile and point */

/* The input plane, and the picture of the output that its windows are cut for. */
typedef struct winograd_picture {
    const __global tt_elem *values;
    tt_geometry at; /* from the border's corner on */
    uint width, height; /* of the output */
    uint in_width, in_height;
    uint squares_x, squares_y;
    uint mode;
} winograd_picture;

/* The share of a work item. */
typedef struct winograd_job {
    uint first_square, n_squares, n_tiles; /* tiles of TILE_POSITIONS squares */
    uint first_panel, n_panels;
    uint n_slices, block_slices;
} winograd_job;

/* Fetches a cache line into the first cache. */
static void prefetch_sum(size_t address)
{
#if defined(__x86_64__) || defined(__aarch64__)
    __builtin_prefetch((const void *)address, 0, 3);
#endif
}

static winograd_picture make_picture(const __global tt_elem *in, uint4 in_at, uint4 shape, uint4 input, uint mode)
{
    winograd_picture picture;
    picture.values = in;
    picture.at = tt_make_geometry(in_at);
    picture.width = shape.x;
    picture.height = shape.y;
    picture.in_width = input.x;
    picture.in_height = input.y;
    picture.squares_x = (shape.x + WINOGRAD_SIDE - 1) / WINOGRAD_SIDE;
    picture.squares_y = (shape.y + WINOGRAD_SIDE - 1) / WINOGRAD_SIDE;
    picture.mode = mode;
    return picture;
}

/* n_squares: of all images. */
static winograd_job make_job(uint n_squares, uint n_panels, uint n_slices, uint4 plan)
{
    winograd_job job;
    job.first_square = get_global_id(0) * plan.x;
    job.n_squares = min(n_squares - job.first_square, plan.x);
    job.n_tiles = (job.n_squares + TILE_POSITIONS - 1) / TILE_POSITIONS;
    job.first_panel = get_global_id(1) * plan.y;
    job.n_panels = min(n_panels - job.first_panel, plan.y);
    job.n_slices = n_slices;
    job.block_slices = plan.z;
    return job;
}

/* Up to four positions (n of them exist, the others become zero) of a row of the bordered input from `column` on.
 * row: unit of the row's first position. */
static float16 load_some(const winograd_picture *picture, const __global tt_elem *slice, uint row, uint column, uint n)
{
    if (n == 0)
        return (float16)(0.0f);
    if (picture->mode == TT_CONV_SAME)
        return wide_load_some(slice, row + column, n);
    float four[16];
    for (uint i = 0; i < 4; i++) {
        uint from = tap_row(picture->mode, column + i, 0, picture->width, picture->in_width);
        vstore4(i < n ? tt_load4(slice, row + from) : (float4)(0.0f), i, four);
    }
    return vload16(0, four);
}

/* Transforms the columns of n neighbouring squares' windows. strip: [point of the column][column % side]
 * [column / side][4]: neighbouring squares are neighbours for each column of their windows. */
static void transform_columns(const winograd_picture *picture, const __global tt_elem *slice, tt_place square, uint n,
                              float *strip)
{
    uint rows[WINOGRAD_ALPHA];
    for (uint i = 0; i < WINOGRAD_ALPHA; i++) {
        uint row = square.y * WINOGRAD_SIDE + i;
        row = tap_row(picture->mode, min(row, picture->height + 1), 0, picture->height, picture->in_height);
        rows[i] = picture->at.first + row * picture->at.row + square.image * picture->at.image;
    }
    const uint start = square.x * WINOGRAD_SIDE, end = min(n * WINOGRAD_SIDE, picture->width - start) + 2;
    for (uint first = 0; first < n * WINOGRAD_SIDE + 2; first += 4) {
        float16 d[WINOGRAD_ALPHA], v[WINOGRAD_ALPHA];
        uint n_columns = first < end ? min(end - first, 4u) : 0;
#pragma unroll
        for (uint i = 0; i < WINOGRAD_ALPHA; i++)
            d[i] = load_some(picture, slice, rows[i], start + first, n_columns);
        winograd_input(d, v);
#pragma unroll
        for (uint i = 0; i < WINOGRAD_ALPHA; i++) {
            float *to = strip + i * WINOGRAD_SIDE * STRIP_COLUMN + first / WINOGRAD_SIDE * 4;
            vstore4(v[i].s0123, 0, to);
            vstore4(v[i].s4567, 0, to + STRIP_COLUMN);
#if WINOGRAD_SIDE == 4
            vstore4(v[i].s89ab, 0, to + 2 * STRIP_COLUMN);
            vstore4(v[i].scdef, 0, to + 3 * STRIP_COLUMN);
#else
            vstore4(v[i].s89ab, 0, to + 4);
            vstore4(v[i].scdef, 0, to + STRIP_COLUMN + 4);
#endif
        }
    }
}

/* Transforms the rows of what transform_columns left, four squares at once. inputs: [point][square][4] from a
 * square on. */
static void transform_rows(const float *strip, uint n, float *inputs)
{
    for (uint i = 0; i < WINOGRAD_ALPHA; i++) {
        const float *columns = strip + i * WINOGRAD_SIDE * STRIP_COLUMN;
        for (uint square = 0; square < n; square += 4) {
            float16 d[WINOGRAD_ALPHA], v[WINOGRAD_ALPHA];
#pragma unroll
            for (uint j = 0; j < WINOGRAD_ALPHA; j++)
                d[j] = vload16(0, columns + j % WINOGRAD_SIDE * STRIP_COLUMN + (square + j / WINOGRAD_SIDE) * 4);
            winograd_input(d, v);
#pragma unroll
            for (uint j = 0; j < WINOGRAD_ALPHA; j++)
                vstore16(v[j], 0, inputs + (i * WINOGRAD_ALPHA + j) * INPUT_POINT + square * 4);
        }
    }
}

/* Transforms the windows of the job's squares in n_slices slices. */
static void transform_inputs(const winograd_job *job, const winograd_picture *picture, uint first_slice, uint n_slices,
                             float *strip, float *inputs)
{
    tt_place start = tt_place_at(job->first_square, picture->squares_x, picture->squares_y);
    for (uint s = 0; s < n_slices; s++) {
        const __global tt_elem *slice = picture->values + (size_t)(first_slice + s) * picture->at.slice * 4;
        tt_place square = start;
        for (uint done = 0, n; done < job->n_squares; done += n) {
            n = min(job->n_squares - done, picture->squares_x - square.x);
            transform_columns(picture, slice, square, n, strip);
            transform_rows(strip, n, inputs + s * INPUT_SLICE + done * 4);
            square.x += n - 1;
            square = tt_place_after(square, picture->squares_x, picture->squares_y);
        }
    }
}

/* Transforms n_slices slices of weights. rows: [slice][tap][4][32]; weights: [slice][point][4][32]. */
static void transform_weights(tile_rows rows, uint n_slices, float *weights)
{
    for (uint s = 0; s < n_slices; s++)
        for (uint part = 0; part < 8; part++) {
            uint lane = part * 16;
            float16 columns[3][WINOGRAD_ALPHA];
#pragma unroll
            for (uint x = 0; x < 3; x++)
                winograd_weights(tile_load_weight16(rows, (s * 9 + x) * 128 + lane),
                                 tile_load_weight16(rows, (s * 9 + 3 + x) * 128 + lane),
                                 tile_load_weight16(rows, (s * 9 + 6 + x) * 128 + lane), columns[x]);
#pragma unroll
            for (uint i = 0; i < WINOGRAD_ALPHA; i++) {
                float16 u[WINOGRAD_ALPHA];
                winograd_weights(columns[0][i], columns[1][i], columns[2][i], u);
#pragma unroll
                for (uint j = 0; j < WINOGRAD_ALPHA; j++)
                    vstore16(u[j], 0, weights + s * WEIGHT_SLICE + (i * WINOGRAD_ALPHA + j) * 128 + lane);
            }
        }
}

/* What is fetched while a panel is multiplied: the next panel's weights, and this panel's share of the next block's
 * inputs. */
typedef struct winograd_ahead {
    size_t weights, inputs;        /* addresses */
    uint weight_lines, input_lines; /* cache lines for each tile of a point */
    uint slice_bytes, slice_lines; /* from a slice to the next; the lines of it that the job reads */
} winograd_ahead;

/* Looks ahead from the block that ends before slice `next` and the job's panel `panel`. */
static winograd_ahead look_ahead(const winograd_job *job, const winograd_picture *picture, const tile_matrix *matrix,
                                 uint first, uint next, uint panel)
{
    const uint n_calls = WINOGRAD_POINTS * job->n_tiles;
    const bool is_last = panel + 1 == job->n_panels;
    winograd_ahead ahead;
    ahead.weights = (size_t)(is_last ? tile_row_at(matrix, job->first_panel, next * TILE_TAPS)
                                     : tile_row_at(matrix, job->first_panel + panel + 1, first * TILE_TAPS));
    ahead.weight_lines = (job->block_slices * TILE_TAPS * TILE_ROW_LINES + n_calls - 1) / n_calls;

    /* The job's squares are whole rows of squares or parts of some; their rows follow each other. */
    tt_place start = tt_place_at(job->first_square, picture->squares_x, picture->squares_y);
    uint n_rows = ((job->n_squares - 1) / picture->squares_x + 1) * WINOGRAD_SIDE + 2;
    uint n_lines = (n_rows * picture->at.row * 4 * sizeof(tt_elem) + 63) / 64;
    uint first_slice = next + panel * job->block_slices / job->n_panels;
    size_t unit = picture->at.first + (size_t)first_slice * picture->at.slice + start.image * picture->at.image +
                  tap_row(picture->mode, start.y * WINOGRAD_SIDE, 0, picture->height, picture->in_height) *
                      picture->at.row;
    ahead.inputs = (size_t)(picture->values + unit * 4);
    ahead.slice_bytes = picture->at.slice * 4 * sizeof(tt_elem);
    ahead.slice_lines = n_lines;
    ahead.input_lines = (n_lines * job->block_slices + n_calls * job->n_panels - 1) / (n_calls * job->n_panels);
    return ahead;
}

/* Multiplies transformed inputs and weights of a block. sums: [tile][point][TILE_POSITIONS][2]. */
static void multiply_points(const winograd_job *job, const float *inputs, const float *weights, uint n_slices,
                            __local float16 *sums, const winograd_ahead *ahead)
{
    size_t next_weights = ahead->weights, next_inputs = ahead->inputs;
    uint slice_left = ahead->slice_lines;
    for (uint point = 0; point < WINOGRAD_POINTS; point++)
        for (uint tile = 0; tile < job->n_tiles; tile++) {
            __local float16 *at = sums + (tile * WINOGRAD_POINTS + point) * TILE_SUMS;
            __local float16 *next = tile + 1 == job->n_tiles ? sums + (point + 1) * TILE_SUMS
                                                             : at + WINOGRAD_POINTS * TILE_SUMS;
            for (uint i = 0; i < ahead->weight_lines; i++, next_weights += 64)
                tt_prefetch(next_weights);
            for (uint i = 0; i < ahead->input_lines; i++, next_inputs += 64, slice_left--) {
                if (slice_left == 0) {
                    next_inputs += ahead->slice_bytes - ahead->slice_lines * 64;
                    slice_left = ahead->slice_lines;
                }
                tt_prefetch(next_inputs);
            }
            for (uint i = 0; i < TILE_SUMS; i++)
                prefetch_sum((size_t)(next + i));
            tile_multiply(inputs + point * INPUT_POINT + tile * TILE_POSITIONS * 4, INPUT_SLICE, weights + point * 128,
                          WEIGHT_SLICE, n_slices, at, (size_t)inputs);
        }
}

/* Transforms the sums of one square and panel back. sums: from the square's first on; y: [side][side][2]. */
static void transform_back(const __local float16 *sums, float16 *y)
{
    for (uint part = 0; part < 2; part++) {
        float16 columns[WINOGRAD_ALPHA][WINOGRAD_SIDE];
#pragma unroll
        for (uint j = 0; j < WINOGRAD_ALPHA; j++) {
            float16 m[WINOGRAD_ALPHA];
#pragma unroll
            for (uint i = 0; i < WINOGRAD_ALPHA; i++)
                m[i] = sums[(i * WINOGRAD_ALPHA + j) * TILE_SUMS + part];
            winograd_output(m, columns[j]);
        }
#pragma unroll
        for (uint i = 0; i < WINOGRAD_SIDE; i++) {
            float16 m[WINOGRAD_ALPHA], results[WINOGRAD_SIDE];
#pragma unroll
            for (uint j = 0; j < WINOGRAD_ALPHA; j++)
                m[j] = columns[j][i];
            winograd_output(m, results);
#pragma unroll
            for (uint j = 0; j < WINOGRAD_SIDE; j++)
                y[(i * WINOGRAD_SIDE + j) * 2 + part] = results[j];
        }
    }
}

/* Finishes and stores one square of a panel; positions beyond the picture's edges are left out. */
static void finish_square(const winograd_picture *picture, const matrix_result *result, const __local float16 *sums,
                          uint panel, tt_place square)
{
    float16 y[WINOGRAD_SIDE * WINOGRAD_SIDE * 2];
    uint at[WINOGRAD_SIDE * WINOGRAD_SIDE], n = 0;
    transform_back(sums, y);
    for (uint i = 0; i < WINOGRAD_SIDE; i++)
        for (uint j = 0; j < WINOGRAD_SIDE; j++) {
            tt_place place = {square.x * WINOGRAD_SIDE + j, square.y * WINOGRAD_SIDE + i, square.image};
            if (place.x >= picture->width || place.y >= picture->height)
                continue;
            y[n * 2] = y[(i * WINOGRAD_SIDE + j) * 2];
            y[n * 2 + 1] = y[(i * WINOGRAD_SIDE + j) * 2 + 1];
            tile_finish(result, y + n * 2, panel, place);
            matrix_zero_border(result, panel, place, 1);
            at[n++] = tt_unit(result->out_at, place);
        }
    tile_store(result, (const float *)y, panel, at, n);
}

static void finish_job(const winograd_job *job, const winograd_picture *picture, const matrix_result *result,
                       const __local float16 *sums)
{
    tt_place start = tt_place_at(job->first_square, picture->squares_x, picture->squares_y);
    for (uint panel = 0; panel < job->n_panels; panel++) {
        tt_place square = start;
        for (uint i = 0; i < job->n_squares; i++) {
            uint tile = panel * job->n_tiles + i / TILE_POSITIONS;
            finish_square(picture, result, sums + tile * WINOGRAD_POINTS * TILE_SUMS + i % TILE_POSITIONS * 2,
                          job->first_panel + panel, square);
            square = tt_place_after(square, picture->squares_x, picture->squares_y);
        }
    }
}

static void clear_floats(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = 0.0f;
}

__kernel void winograd(const __global tt_elem *in, uint4 in_at, const __global tt_weight *weights, uint4 sections,
                       uint4 coded, const __global float *bias, const __global tt_elem *image_bias,
                       uint4 image_bias_at, const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out,
                       uint4 out_at, uint4 shape, uint4 input, uint4 options, uint4 plan, __local float16 *sums)
{
    const winograd_picture picture = make_picture(in, in_at, shape, input, options.w);
    uint n_images = shape.z / (shape.x * shape.y);
    winograd_job job = make_job(picture.squares_x * picture.squares_y * n_images, input.w, input.z, plan);

    const matrix_result result =
        conv_result(bias, image_bias, image_bias_at, residual, residual_at, out, out_at, shape, options, plan.w);

    float strip[WINOGRAD_ALPHA * WINOGRAD_SIDE * STRIP_COLUMN];
    float inputs[WINOGRAD_MAX_SLICES * INPUT_SLICE], transformed[WINOGRAD_MAX_SLICES * WEIGHT_SLICE];
    float decoded[TT_WEIGHT_QUANT ? WINOGRAD_MAX_SLICES * TILE_TAPS * 128 : 1];
    clear_floats(strip, WINOGRAD_ALPHA * WINOGRAD_SIDE * STRIP_COLUMN);
    clear_floats(inputs, job.block_slices * INPUT_SLICE);
    const uint panel_sums = job.n_tiles * WINOGRAD_POINTS * TILE_SUMS;
    for (uint i = 0; i < job.n_panels * panel_sums; i++)
        sums[i] = (float16)(0.0f);

    const tile_matrix matrix = tile_make_matrix(weights, job.n_slices, sections, coded);
    for (uint s = 0; s < job.n_slices; s += job.block_slices) {
        uint n = min(job.block_slices, job.n_slices - s);
        transform_inputs(&job, &picture, s, n, strip, inputs);
        for (uint panel = 0; panel < job.n_panels; panel++) {
            winograd_ahead ahead = look_ahead(&job, &picture, &matrix, s, s + n, panel);
            transform_weights(
                tile_fetch_rows(&matrix, job.first_panel + panel, s * TILE_TAPS, n * TILE_TAPS, decoded), n,
                transformed);
            multiply_points(&job, inputs, transformed, n, sums + panel * panel_sums, &ahead);
        }
    }
    finish_job(&job, &picture, &result, sums);
}

#endif
