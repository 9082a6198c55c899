/* pack.c - transposition of channel arrays. */
#include "cl-kernels/reference/pack.h"

/* Index of a value in an array of either order. */
static size_t array_index(bool channels_last, size_t image, size_t channel, size_t position, size_t n_channels,
                          size_t n_positions)
{
    if (channels_last)
        return (image * n_positions + position) * n_channels + channel;
    return (image * n_channels + channel) * n_positions + position;
}

void tt_reference_pack(const float *array, bool channels_last, uint32_t batch, uint32_t n_channels,
                       uint32_t n_positions, float *nchw)
{
    for (size_t i = 0; i < batch; i++)
        for (size_t c = 0; c < n_channels; c++)
            for (size_t p = 0; p < n_positions; p++)
                nchw[array_index(false, i, c, p, n_channels, n_positions)] =
                    array[array_index(channels_last, i, c, p, n_channels, n_positions)];
}

void tt_reference_unpack(const float *nchw, bool channels_last, uint32_t batch, uint32_t n_channels,
                         uint32_t n_positions, float *array)
{
    for (size_t i = 0; i < batch; i++)
        for (size_t c = 0; c < n_channels; c++)
            for (size_t p = 0; p < n_positions; p++)
                array[array_index(channels_last, i, c, p, n_channels, n_positions)] =
                    nchw[array_index(false, i, c, p, n_channels, n_positions)];
}
