/* tintype.h - the public interface of libtintype, the only header to include: it brings the others of its folder.
 *
 * tintype makes pictures from text on the device: a CLIP text encoder, a UNet and a VAE run through OpenCL.
 *
 * Threads: a context, its model and their calls belong to one thread at a time; only tt_cancel() may be called from
 * any thread at any moment. Two contexts never share state, so different threads may work with different contexts.
 * Errors: every call that can fail returns a tt_status; tt_context_message() then holds one sentence that says what
 * was expected, what was found and what to do. Strings are UTF-8. Sizes are in pixels, lengths in samples (n_) or
 * bytes (_bytes), times in milliseconds (_ms). */
#ifndef TINTYPE_TINTYPE_H
#define TINTYPE_TINTYPE_H

#define TT_VERSION_MAJOR 0
#define TT_VERSION_MINOR 1
#define TT_VERSION_PATCH 0

#include "tintype/cloud.h"
#include "tintype/compare.h"
#include "tintype/context.h"
#include "tintype/generate.h"
#include "tintype/image.h"
#include "tintype/measure.h"
#include "tintype/model.h"
#include "tintype/quantize.h"
#include "tintype/stage.h"
#include "tintype/upscale.h"

#endif
