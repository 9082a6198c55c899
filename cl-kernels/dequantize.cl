/* dequantize.cl - quantized weights to the ordinary packed form of matrix.h, in the elements of activations.
 *
 * Work item: four outputs (id 0 % 8) of one row of 32 values (id 0 / 8) of a panel (id 1).
 * sections, coded: see quant_make_matrix; shape: rows of 32 values of a panel, taps, 0, first unit of out. */
#include "common.clh"
#include "quant.clh"
#include "quant-plain.clh"

__kernel void dequantize(const __global uchar *values, uint4 sections, uint4 coded, __global tt_elem *out, uint4 shape)
{
    const uint index = get_global_id(0) / 8, output = get_global_id(0) % 8 * 4, taps = shape.y;
    if (index >= shape.x)
        return;
    const quant_matrix matrix = quant_make_matrix(values, sections, coded);
    const __global uchar *panel = values + get_global_id(1) * (size_t)matrix.panel_bytes;
    uint row = index / 4, slice = row / taps, tap = row - slice * taps;
    uint column = (slice * 4 + index % 4) * taps + tap;
    float4 value = (float4)(0.0f);
    if (column < matrix.n_columns)
        value = quant_load4(&matrix, panel, column, output, quant_scales_of4(&matrix, panel, column, output));
    tt_store4(value, out, shape.w + (get_global_id(1) * shape.x + index) * 8 + output / 4);
}
