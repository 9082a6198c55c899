/* conv3x3-dot.cl - 3x3 convolution with dot product units of CPUs; weights packed as in matrix-dot.h.
 *
 * A work item (local size 1) computes a rectangle of output positions for some panels of 32 outputs. It stages the part
 * of the input that the rectangle reads once, rounded to bfloat16 or quantized to bytes that reach from its least to its
 * largest value (conv3x3-patch.clh). A tap is then an offset into the staged patch, and every weight is read once per rectangle.
 *
 * *_at: geometries of the planes, see place.clh; that of the input starts at its border's corner;
 * shape: out width, out height, images, slices of out;
 * input: in width, in height, slices of in, panels of 32 outputs;
 * options: has per-image bias, has residual, activation, mode;
 * cut: width and height of a rectangle, images of it, panels of a work item;
 * packed: channel blocks, bytes of a panel, whether the border of out is zeroed, where the weights begin (256 bytes).
 * In phases (conv3x3-phases.h) a rectangle is one of input positions, each with a result in every phase. */
#include "common.clh"
#include "wide.clh"
#include "place.clh"
#include "matrix-result.clh"
#include "conv3x3-taps.clh"
#include "tile-activate.clh"
#include "dot.clh"
#include "conv3x3-finish.clh"
#include "conv3x3-multiply.clh"
#include "conv3x3-patch.clh"

/* Adds the vector that starts at a position of one of the patch's images. */
static void add_vector(const patch *p, const matrix_result *result, uint image, uint x, uint y, conv_vectors *vectors)
{
    uint v = vectors->n++;
    vectors->at[v] = (image * patch_image(p) + y * p->pitch + x) * DOT_BLOCK_BYTES;
    vectors->image[v] = p->image + image;
    for (uint lane = 0; lane < DOT_LANES; lane++) {
        tt_place place = {(p->x + x) * p->step, (p->y + y) * p->step, p->image + image};
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

/* Zeroes the border around the rectangle's results of a panel. */
static void zero_border(const matrix_result *r, uint panel, const patch *p)
{
    for (uint i = 0; i < p->n_images; i++)
        for (uint y = 0; y < p->height * p->step; y++) {
            tt_place place = {p->x * p->step, p->y * p->step + y, p->image + i};
            matrix_zero_border(r, panel, place, p->width * p->step);
        }
}

/* Taps of each phase in a row: 3 in the only one, 2 of the 3 in each of four. */
static uint count_taps(const patch *p)
{
    return p->step == 2 ? 2 : 3;
}

/* Byte offsets of all taps of a phase in a run of channel blocks. */
static void find_taps(const patch *p, uint phase, uint *at)
{
    uint n = count_taps(p);
    for (uint b = 0; b < min(p->n_blocks, (uint)CONV_MAX_RUN); b++)
        for (uint tap = 0; tap < n * n; tap++)
            *at++ = b * p->block_bytes + patch_tap(p, tap / n + phase / 2, tap % n + phase % 2) * DOT_BLOCK_BYTES;
}

__kernel void conv3x3_dot(const __global tt_elem *in, uint4 in_at, const __global uchar *weights,
                          const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                          const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                          uint4 shape, uint4 input, uint4 options, uint4 cut, uint4 packed)
{
    const matrix_result result =
        conv_result(bias, image_bias, image_bias_at, residual, residual_at, out, out_at, shape, options, packed.z);

    conv_shape conv = make_conv_shape(options.w == TT_CONV_PHASED ? input : shape, input, options.w);
    patch p;
    p.in = tt_make_geometry(in_at);
    p.n_slices = input.z;
    p.n_blocks = packed.x;
    patch_make(&p, &conv, shape.z, cut);
    conv_vectors vectors;
    find_vectors(&p, &result, &vectors);

    uchar x[CONV_PATCH_BYTES + DOT_LANES * DOT_BLOCK_BYTES] __attribute__((aligned(64)));
    dot_sum sums[2][2 * DOT_VECTOR_SUMS] __attribute__((aligned(64)));
    uint at[CONV_MAX_RUN * 9];
    patch_codes codes;
    patch_stage(in, &p, x, &codes);

    conv_ending ending;
    conv_sums pending;
    pending.result = &result;
    pending.vectors = &vectors;
    pending.ending = &ending;
    pending.unit = pending.n_units = 0;

    conv_begin();
    uint first = get_global_id(1) * cut.w, last = min(first + cut.w, input.w), turn = 0;
    uint n_lines = DOT_PANEL_BLOCK / 64 / max((vectors.n + 1) / 2, 1u);
    const uint n_taps = count_taps(&p) * count_taps(&p), n_phases = p.step * p.step;
    for (uint panel = first; panel < last; panel++)
        for (uint phase = 0; phase < n_phases; phase++) {
            const __global uchar *w = weights + (size_t)packed.w * 256 + (size_t)panel * packed.y +
                                      (size_t)phase * p.n_blocks * n_taps * DOT_PANEL_BLOCK;
            const uint out_shift = phase / 2 * result.out_at.row + phase % 2;
            const uint residual_shift = phase / 2 * result.residual_at.row + phase % 2;
            if (phase == 0)
                zero_border(&result, panel, &p);
            if (n_phases > 1 || panel == first)
                find_taps(&p, phase, at);
            for (uint v = 0; v < vectors.n; v += 2, turn ^= 1) {
                uint n = min(vectors.n - v, 2u);
                fetch_results(&result, panel, &vectors, v, n, out_shift, residual_shift);
                for (uint b = 0; b < p.n_blocks; b += CONV_MAX_RUN) {
                    const __global uchar *run = w + (size_t)b * n_taps * DOT_PANEL_BLOCK;
                    conv_ahead ahead = {(size_t)run + (panel + 1 < last ? packed.y : 0) + v / 2 * n_lines * 64,
                                        n_lines};
                    conv_multiply(run, x + (size_t)b * p.block_bytes, at,
                                  min(p.n_blocks - b, (uint)CONV_MAX_RUN) * n_taps, vectors.at + v, n, ahead, &pending,
                                  sums[turn], b == 0);
                }
                conv_finish_rest(&pending);
                conv_begin_ending(&ending, &result, &vectors, panel, v, n,
                                  (const __global float *)(w + (size_t)p.n_blocks * n_taps * DOT_PANEL_BLOCK),
                                  codes.zero, codes.scale);
                pending.values = sums[turn];
                pending.out_shift = out_shift;
                pending.residual_shift = residual_shift;
                pending.panel = panel;
                pending.vector = v;
                pending.unit = 0;
                pending.n_units = n * CONV_VECTOR_UNITS;
            }
        }
    conv_finish_rest(&pending);
    conv_end();
}
