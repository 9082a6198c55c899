/* conv3x3-dot.cl - 3x3 convolution with dot product units of CPUs; weights packed as in matrix-dot.h.
 *
 * A work item (local size 1) computes a rectangle of output positions for some panels of 32 outputs. It stages the part
 * of the input that the rectangle reads once, rounded to bfloat16 or quantized with one scale, max |x| / 127
 * (conv3x3-patch.clh). A tap is then an offset into the staged patch, and every weight is read once per rectangle.
 *
 * *_at: geometries of the planes, see place.clh; that of the input starts at its border's corner;
 * shape: out width, out height, images, slices of out;
 * input: in width, in height, slices of in, panels of 32 outputs;
 * options: has per-image bias, has residual, activation, mode;
 * cut: width and height of a rectangle, images of it, panels of a work item;
 * packed: channel blocks, bytes of a panel. */
#include "common.clh"
#include "wide.clh"
#include "place.clh"
#include "matrix-result.clh"
#include "conv3x3-taps.clh"
#include "tile-activate.clh"
#include "dot.clh"
#include "dot-finish.clh"
#include "conv3x3-multiply.clh"
#include "conv3x3-patch.clh"

/* Unit of a position that does not exist. */
#define CONV_NOWHERE 0xffffffffu

/* Sixteen positions of the patch at a time. */
typedef struct conv_vectors {
    uint n;
    uint at[CONV_MAX_VECTORS];                                   /* bytes of the first in a block of the patch */
    uint image[CONV_MAX_VECTORS];                                /* of the batch */
    uint out_at[CONV_MAX_VECTORS][DOT_LANES];                    /* units of the outputs in a slice */
    uint residual_at[CONV_MAX_VECTORS][DOT_LANES];
} conv_vectors;

/* Adds the vector that starts at a position of one of the patch's images. */
static void add_vector(const patch *p, const matrix_result *result, uint image, uint x, uint y, conv_vectors *vectors)
{
    uint v = vectors->n++;
    vectors->at[v] = (image * patch_image(p) + y * p->pitch + x) * DOT_BLOCK_BYTES;
    vectors->image[v] = p->image + image;
    for (uint lane = 0; lane < DOT_LANES; lane++) {
        tt_place place = {p->x + x, p->y + y, p->image + image};
        bool exists = x < p->width && y < p->height;
        vectors->out_at[v][lane] = exists ? tt_unit(result->out_at, place) : CONV_NOWHERE;
        vectors->residual_at[v][lane] = exists ? tt_unit(result->residual_at, place) : CONV_NOWHERE;
        if (++x == p->pitch) {
            x = 0;
            y++;
        }
    }
}

/* Rows whose width is a multiple of 16 are cut into vectors. Others are not: then vectors run over the positions of the
 * patch in one piece, and what lies between two rows is not stored. */
static void find_vectors(const patch *p, const matrix_result *result, conv_vectors *vectors)
{
    bool is_cut = p->width % DOT_LANES == 0;
    uint n_columns = is_cut ? p->width : (p->height - 1) * p->pitch + p->width, n_rows = is_cut ? p->height : 1;
    vectors->n = 0;
    for (uint i = 0; i < p->n_images; i++)
        for (uint y = 0; y < n_rows; y++)
            for (uint x = 0; x < n_columns; x += DOT_LANES)
                add_vector(p, result, i, is_cut ? x : x % p->pitch, is_cut ? y : x / p->pitch, vectors);
}

/* Four positions that are not neighbours. */
static float16 load_apart(const __global tt_elem *slice, const uint *at)
{
    float values[16];
    for (uint i = 0; i < 4; i++)
        vstore4(at[i] != CONV_NOWHERE ? tt_load4(slice, at[i]) : (float4)(0.0f), i, values);
    return vload16(0, values);
}

static void store_apart(float16 v, __global tt_elem *slice, const uint *at)
{
    float values[16];
    vstore16(v, 0, values);
    for (uint i = 0; i < 4; i++)
        if (at[i] != CONV_NOWHERE)
            tt_store4(vload4(i, values), slice, at[i]);
}

/* Ends and stores four positions of a slice. */
static void store_four(const matrix_result *r, float16 v, uint slice, const uint *out_at, const uint *residual_at)
{
    __global tt_elem *out = r->out + (size_t)slice * r->out_at.slice * 4;
    const __global tt_elem *residual = r->residual + (size_t)slice * r->residual_at.slice * 4;
    bool is_run = out_at[3] == out_at[0] + 3 && out_at[2] == out_at[0] + 2;
    if (r->has_residual && is_run)
        v += tt_load16(residual, residual_at[0]);
    else if (r->has_residual)
        v += load_apart(residual, residual_at);
    if (r->activation != TT_ACT_NONE)
        v = tile_activate(v, r->activation);
    if (is_run)
        tt_store16(v, out, out_at[0]);
    else
        store_apart(v, out, out_at);
}

/* Sums of 16 outputs of a position as numbers. numbers: the panel's 32 scales and 32 sums of codes; inputs were codes +
 * 128 (int8 only). */
static float16 scale_sums(const dot_sum *sums, uint half_panel, const __global float *numbers, float scale, float16 bias)
{
#if DOT_HALF
    return vload16(0, sums) + bias;
#else
    int16 offset = as_int16(vload16(2 + half_panel, numbers)) * 128;
    return convert_float16(vload16(0, sums) - offset) * (scale * vload16(half_panel, numbers)) + bias;
#endif
}

/* What is added to 16 outputs of an image. */
static float16 find_bias(const matrix_result *r, uint panel, uint half_panel, uint image)
{
    float16 bias = vload16(panel * 2 + half_panel, r->bias);
    if (!r->has_image_bias)
        return bias;
    float values[16];
    size_t at = r->image_bias_at.first + image * r->image_bias_at.image;
    for (uint i = 0; i < 4; i++) {
        uint slice = panel * 8 + half_panel * 4 + i;
        vstore4(slice < r->n_slices ? tt_load4(r->image_bias, at + (size_t)slice * r->image_bias_at.slice)
                                    : (float4)(0.0f),
                i, values);
    }
    return bias + vload16(0, values);
}

/* Finishes and stores one vector of a panel. sums: [2][16 positions][16 outputs] */
static void finish_vector(const matrix_result *r, const dot_sum *sums, const __global float *numbers, float scale,
                          uint panel, const conv_vectors *vectors, uint v)
{
    for (uint h = 0; h < 2; h++) {
        float16 bias = find_bias(r, panel, h, vectors->image[v]);
        uint first = panel * 8 + h * 4, n_slices = first < r->n_slices ? min(r->n_slices - first, 4u) : 0;
        for (uint four = 0; four < DOT_LANES; four += 4) {
            float16 row[4], slice[4];
#pragma unroll
            for (uint i = 0; i < 4; i++)
                row[i] = scale_sums(sums + h * CONV_HALF_SUMS + (four + i) * DOT_LANES, h, numbers, scale, bias);
            slice[0] = (float16)(row[0].s0123, row[1].s0123, row[2].s0123, row[3].s0123);
            slice[1] = (float16)(row[0].s4567, row[1].s4567, row[2].s4567, row[3].s4567);
            slice[2] = (float16)(row[0].s89ab, row[1].s89ab, row[2].s89ab, row[3].s89ab);
            slice[3] = (float16)(row[0].scdef, row[1].scdef, row[2].scdef, row[3].scdef);
            for (uint s = 0; s < n_slices; s++)
                store_four(r, slice[s], first + s, &vectors->out_at[v][four], &vectors->residual_at[v][four]);
        }
    }
}

/* Fetches what finish_vector will read or write of some vectors. */
static void fetch_results(const matrix_result *r, uint panel, const conv_vectors *vectors, uint first, uint n)
{
    for (uint s = panel * 8; s < min(panel * 8 + 8, r->n_slices); s++)
        for (uint v = first; v < first + n; v++)
            for (uint lane = 0; lane < DOT_LANES; lane += 32 / sizeof(tt_elem)) {
                uint out = vectors->out_at[v][lane], residual = vectors->residual_at[v][lane];
                if (out == CONV_NOWHERE)
                    continue;
                fetch_line((size_t)(r->out + ((size_t)s * r->out_at.slice + out) * 4));
                if (r->has_residual)
                    fetch_line((size_t)(r->residual + ((size_t)s * r->residual_at.slice + residual) * 4));
            }
}

__kernel void conv3x3_dot(const __global tt_elem *in, uint4 in_at, const __global uchar *weights,
                          const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                          const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                          uint4 shape, uint4 input, uint4 options, uint4 cut, uint2 packed)
{
    const matrix_result result =
        conv_result(bias, image_bias, image_bias_at, residual, residual_at, out, out_at, shape, options, 0);

    conv_shape conv = make_conv_shape(shape, input, options.w);
    patch p;
    p.in = tt_make_geometry(in_at);
    p.n_slices = input.z;
    p.n_blocks = packed.x;
    patch_make(&p, &conv, shape.z, cut);
    conv_vectors vectors;
    find_vectors(&p, &result, &vectors);

    uchar x[CONV_PATCH_BYTES + DOT_LANES * DOT_BLOCK_BYTES] __attribute__((aligned(64)));
    dot_sum sums[2 * DOT_VECTOR_SUMS] __attribute__((aligned(64)));
    uint at[CONV_MAX_RUN * 9];
    float scale = patch_stage(in, &p, x);
    for (uint b = 0; b < min(p.n_blocks, (uint)CONV_MAX_RUN); b++)
        for (uint tap = 0; tap < 9; tap++)
            at[b * 9 + tap] = b * p.block_bytes + patch_tap(&p, tap / 3, tap % 3) * DOT_BLOCK_BYTES;

    conv_begin();
    uint first = get_global_id(1) * cut.w, last = min(first + cut.w, input.w);
    uint n_lines = DOT_PANEL_BLOCK / 64 / max((vectors.n + 1) / 2, 1u);
    for (uint panel = first; panel < last; panel++) {
        const __global uchar *w = weights + (size_t)panel * packed.y;
        const __global float *numbers = (const __global float *)(w + (size_t)p.n_blocks * 9 * DOT_PANEL_BLOCK);
        for (uint v = 0; v < vectors.n; v += 2) {
            uint n = min(vectors.n - v, 2u);
            fetch_results(&result, panel, &vectors, v, n);
            for (uint b = 0; b < p.n_blocks; b += CONV_MAX_RUN) {
                const __global uchar *run = w + (size_t)b * 9 * DOT_PANEL_BLOCK;
                conv_ahead ahead = {(size_t)run + (panel + 1 < last ? packed.y : 0) + v / 2 * n_lines * 64, n_lines};
                conv_multiply(run, x + (size_t)b * p.block_bytes, at, min(p.n_blocks - b, (uint)CONV_MAX_RUN) * 9,
                              vectors.at + v, n, ahead, sums, b == 0);
            }
            for (uint i = 0; i < n; i++)
                finish_vector(&result, sums + i * DOT_VECTOR_SUMS, numbers, scale, panel, &vectors, v + i);
        }
    }
    conv_end();
}
