/* conv3x3-dot.cl - 3x3 convolution with dot product units of CPUs; weights packed as in matrix-dot.h.
 *
 * A work item (local size 1) computes a rectangle of output positions for some panels of 32 outputs. It stages the part
 * of the input that the rectangle reads once: rounded to bfloat16 or quantized with one scale, max |x| / 127, as [group
 * of four bytes][position][4 bytes] (conv3x3-patch.clh). A tap is then an offset into the staged patch, sixteen
 * neighbouring positions at a tap are neighbours in memory, and every weight is read once per rectangle.
 *
 * *_at: geometries of the planes, see place.clh; that of the input starts at its border's corner;
 * shape: out width, out height, images, slices of out;
 * input: in width, in height, slices of in, panels of 32 outputs;
 * options: has per-image bias, has residual, activation, mode;
 * cut: width and height of a rectangle, images of it, panels of a work item;
 * blocks: channel blocks, channel blocks of a run of dot_multiply, bytes of a panel, bytes of a staged group. */
#include "common.clh"
#include "wide.clh"
#include "place.clh"
#include "conv3x3-taps.clh"
#include "dot.clh"
#include "dot-finish.clh"
#include "conv3x3-patch.clh"

/* Sixteen outputs at a time: where they are in the patch, and in the picture. */
typedef struct conv_vectors {
    uint n;
    uint at[CONV_MAX_VECTORS];
    tt_place place[CONV_MAX_VECTORS]; /* of the first; relative to the rectangle */
} conv_vectors;

/* Rows whose width is a multiple of 16 are cut into vectors. Others are not: then vectors run over the positions of the
 * patch in one piece, and what lies between two rows is not stored. */
static void find_vectors(const patch *p, conv_vectors *vectors)
{
    bool is_cut = p->width % DOT_LANES == 0;
    uint n_columns = is_cut ? p->width : (p->height - 1) * p->pitch + p->width;
    uint n_rows = is_cut ? p->height : 1;
    vectors->n = 0;
    for (uint i = 0; i < p->n_images; i++)
        for (uint y = 0; y < n_rows; y++)
            for (uint x = 0; x < n_columns; x += DOT_LANES) {
                tt_place place = {x, y, i};
                if (!is_cut) {
                    place.x = x % p->pitch;
                    place.y = x / p->pitch;
                }
                vectors->place[vectors->n] = place;
                vectors->at[vectors->n++] = (i * patch_image(p) + y * p->pitch + x) * 4;
            }
}

/* Units of a vector's positions in a plane; DOT_NOWHERE where it has none. */
static void find_units(const patch *p, tt_geometry plane, tt_place place, uint *units)
{
    for (uint lane = 0; lane < DOT_LANES; lane++) {
        tt_place at = {p->x + place.x, p->y + place.y, p->image + place.image};
        units[lane] = place.x < p->width && place.y < p->height ? tt_unit(plane, at) : DOT_NOWHERE;
        place.x++;
        if (place.x == p->pitch) {
            place.x = 0;
            place.y++;
        }
    }
}

/* Scales of a panel's sums and what is added to them. scale: of the codes of the inputs. */
static void find_scales(const dot_result *r, const __global uchar *panel_end, uint panel, uint image, float scale,
                        float *scales, float *offsets)
{
    for (uint o = 0; o < DOT_OUTPUTS; o++) {
        uint slice = panel * 8 + o / 4;
        scales[o] = 1.0f;
        offsets[o] = r->bias[panel * DOT_OUTPUTS + o];
#if !DOT_HALF
        scales[o] = scale * ((const __global float *)panel_end)[o];
        offsets[o] -= 128.0f * (float)((const __global int *)panel_end)[DOT_OUTPUTS + o] * scales[o];
#endif
        if (r->has_image_bias && slice < r->n_slices)
            offsets[o] += tt_load1(r->image_bias, ((size_t)r->image_bias_at.first + image * r->image_bias_at.image +
                                                   (size_t)slice * r->image_bias_at.slice) * 4 + o % 4);
    }
}

__kernel void conv3x3_dot(const __global tt_elem *in, uint4 in_at, const __global uchar *weights,
                          const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                          const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                          uint4 shape, uint4 input, uint4 options, uint4 cut, uint4 blocks)
{
    conv_shape conv = make_conv_shape(shape, input, options.w);
    patch p;
    p.in = tt_make_geometry(in_at);
    p.n_slices = input.z;
    p.group_bytes = blocks.w;
    p.n_groups = blocks.x * DOT_GROUPS;
    patch_make(&p, &conv, shape.z, cut);
    conv_vectors vectors;
    find_vectors(&p, &vectors);

    dot_result result;
    result.bias = bias;
    result.has_image_bias = options.x != 0;
    result.image_bias = image_bias;
    result.image_bias_at = tt_make_geometry(image_bias_at);
    result.has_residual = options.y != 0;
    result.residual = residual;
    result.residual_at = tt_make_geometry(residual_at);
    result.activation = options.z;
    result.out = out;
    result.out_at = tt_make_geometry(out_at);
    result.n_slices = shape.w;

    uchar x[CONV_PATCH_BYTES] __attribute__((aligned(64)));
    dot_sum sums[CONV_MAX_VECTORS * DOT_VECTOR_SUMS] __attribute__((aligned(64)));
    float scale = patch_stage(in, &p, x);
    uint at[CONV_MAX_RUN * 9];
    for (uint b = 0; b < blocks.y; b++)
        for (uint tap = 0; tap < 9; tap++)
            at[b * 9 + tap] = b * DOT_GROUPS * p.group_bytes + patch_tap(&p, tap / 3, tap % 3) * 4;

    uint first = get_global_id(1) * cut.w, last = min(first + cut.w, input.w);
    for (uint panel = first; panel < last; panel++) {
        const __global uchar *w = weights + (size_t)panel * blocks.z;
        for (uint b = 0; b < blocks.x; b += blocks.y) {
            uint n = min(blocks.y, blocks.x - b);
            dot_multiply(w + (size_t)b * 9 * DOT_PANEL_BLOCK, x + (size_t)b * DOT_GROUPS * p.group_bytes, at, n * 9,
                         p.group_bytes, vectors.at, vectors.n, sums, b == 0);
        }
        const __global uchar *end = w + (size_t)blocks.x * 9 * DOT_PANEL_BLOCK;
        float scales[DOT_OUTPUTS], offsets[DOT_OUTPUTS];
        for (uint v = 0; v < vectors.n; v++) {
            uint out_units[DOT_LANES], residual_units[DOT_LANES];
            tt_place place = vectors.place[v];
            if (v == 0 || place.image != vectors.place[v - 1].image)
                find_scales(&result, end, panel, p.image + place.image, scale, scales, offsets);
            find_units(&p, result.out_at, place, out_units);
            find_units(&p, result.residual_at, place, residual_units);
            dot_finish(&result, sums + v * DOT_VECTOR_SUMS, scales, offsets, panel, out_units, residual_units);
        }
    }
}
