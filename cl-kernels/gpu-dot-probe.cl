/* gpu-dot-probe.cl - shows whether a GPU's product unit works: GPU_MATH 1 half, 2 the dot product GPU_DOT.
 *
 * Work item: one pair of four bytes. Half: the bytes are small whole numbers, so products and sums are exact. */
#include "gpu-dot.clh"

#if GPU_MATH == 1
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif

__kernel void gpu_dot_probe(const __global uint *a, const __global uint *b, __global int *sums)
{
    const uint i = get_global_id(0);
#if GPU_MATH == 1
    half4 products = convert_half4(as_char4(a[i])) * convert_half4(as_char4(b[i]));
    sums[i] = convert_int((products.x + products.y) + (products.z + products.w)) + (int)i;
#else
    const int4 codes = convert_int4(as_char4(a[i]));
    const float total = convert_float((codes.x + codes.y) + (codes.z + codes.w));
    sums[i] = gpu_dot(a[i], gpu_dot_weights((uint4)(b[i])).x, (int)i) - gpu_dot_excess(total);
#endif
}
