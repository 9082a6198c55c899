/* zero-border.cl - writes zero to the border pixels of a plane. One work-group per image of a slice. */
#if TT_HALF
typedef ushort4 unit_bits;
#else
typedef uint4 unit_bits;
#endif

/* width, height: with border. */
__kernel void zero_border(__global unit_bits *plane, uint offset, uint width, uint height)
{
    __global unit_bits *image = plane + offset + get_global_id(1) * ((size_t)width * height);
    uint n_rows = 2 * width, n = n_rows + 2 * (height - 2);
    for (uint i = get_local_id(0); i < n; i += get_local_size(0)) {
        uint y, x;
        if (i < n_rows) {
            y = i < width ? 0 : height - 1;
            x = i < width ? i : i - width;
        } else {
            y = 1 + (i - n_rows) / 2;
            x = (i & 1) ? width - 1 : 0;
        }
        image[y * width + x] = (unit_bits)(0);
    }
}
