/* texels.c - images over buffers: the same memory, read through the texture units.
 *
 * Kernel arguments do not keep their memory alive, so the device keeps every image until its buffer goes. */
#include "device/device-private.h"

#include <stdlib.h>

struct tt_texels {
    tt_texels *next;
    cl_mem mem, image;
    tt_texel texel;
};

static size_t texel_bytes(tt_texel texel)
{
    return texel == TT_TEXEL_FLOAT4 ? 16 : texel == TT_TEXEL_HALF4 ? 8 : 4;
}

/* Texels of a whole buffer; 0 when it cannot be asked. */
static size_t count_texels(const tt_device *device, cl_mem mem, tt_texel texel)
{
    size_t n_bytes = 0;
    if (device->cl.get_mem_object_info(mem, CL_MEM_SIZE, sizeof(n_bytes), &n_bytes, NULL) != CL_SUCCESS)
        return 0;
    return n_bytes / texel_bytes(texel);
}

bool tt_buffer_has_texels(const tt_device *device, cl_mem mem, tt_texel texel)
{
    size_t n = count_texels(device, mem, texel);
    return n > 0 && n <= device->found.caps.max_texels;
}

tt_status tt_buffer_texels(tt_device *device, cl_mem mem, tt_texel texel, cl_mem *image, tt_error *err)
{
    *image = NULL;
    for (const tt_texels *t = device->texels; t != NULL; t = t->next)
        if (t->mem == mem && t->texel == texel) {
            *image = t->image;
            return TT_OK;
        }
    tt_texels *made = malloc(sizeof(*made));
    if (made == NULL)
        return tt_fail_memory(err, "an image over a buffer", sizeof(*made));
    cl_image_format format = {texel == TT_TEXEL_WORD ? CL_R : CL_RGBA, texel == TT_TEXEL_WORD    ? CL_UNSIGNED_INT32
                                                                       : texel == TT_TEXEL_HALF4 ? CL_HALF_FLOAT
                                                                                                 : CL_FLOAT};
    cl_image_desc desc = {
        .image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER, .image_width = count_texels(device, mem, texel), .buffer = mem};
    cl_int code;
    *made = (tt_texels){.next = device->texels, .mem = mem, .texel = texel};
    made->image = device->cl.create_image(device->context, CL_MEM_READ_ONLY, &format, &desc, NULL, &code);
    if (made->image == NULL) {
        free(made);
        return tt_device_fail(device, err, code, "an image over a buffer");
    }
    device->texels = made;
    *image = made->image;
    return TT_OK;
}

void tt_texels_release(tt_device *device, cl_mem mem)
{
    for (tt_texels **link = &device->texels; *link != NULL;) {
        tt_texels *t = *link;
        if (mem != NULL && t->mem != mem) {
            link = &t->next;
            continue;
        }
        (void)device->cl.release_mem_object(t->image);
        *link = t->next;
        free(t);
    }
}
