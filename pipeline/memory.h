/* memory.h - what a request will take, in which mode it fits, and how a model is brought into that mode; used inside
 * this room. */
#ifndef TT_PIPELINE_MEMORY_H
#define TT_PIPELINE_MEMORY_H

#include "pipeline/model.h"
#include "pipeline/savers.h"

/* Buffers that streamed weights pass through. */
enum { TT_STREAM_SLOTS = 2 };

/* File pages that packing holds between two drops. */
enum { TT_PACKING_BYTES = 4 << 20 };

/* Text encoders larger than this leave the device once the prompt is encoded: most of a run does not need them. */
enum { TT_KEEP_TEXT_BYTES = 64 << 20 };

/* UNet activations larger than this make room for the decoder's; building the graph again costs less than a step. */
enum { TT_KEEP_UNET_BYTES = 32 << 20 };

/* The sizes of one request. */
typedef struct tt_memory_request {
    uint32_t width, height; /* pixels */
    uint32_t n_images, n_calls;
    uint32_t n_chunks, n_texts; /* chunks of 77 tokens of each text; texts: 2 with guidance */
    tt_call_plan calls;
    bool has_image, has_mask;
    bool preview;  /* previews are asked for and not fitted yet */
    bool has_mode; /* the caller wants `mode` and no other */
    tt_memory_mode mode;
    tt_vae_tile forced_tile; /* the caller wants tiles of at most this size; zeros: no */
} tt_memory_request;

/* Everything that can be chosen to make a request fit. */
typedef struct tt_memory_choice {
    tt_memory_mode mode;
    uint64_t limits[TT_N_PARTS]; /* of matrices on the device, see tt_weight_store_set_limit */
    tt_vae_tile decoder_tile, encoder_tile;
    bool packs_early; /* resident: the UNet is packed while the text encoder runs */
} tt_memory_choice;

enum { TT_N_PHASES = 4 }; /* TT_PHASE_TEXT to TT_PHASE_DECODE */

/* Bytes of the phases of a request under a choice. */
typedef struct tt_memory_phases {
    bool runs[TT_N_PHASES];
    uint64_t device[TT_N_PHASES];   /* buffers */
    uint64_t host[TT_N_PHASES];     /* arrays of pictures, latents, embeddings */
    uint64_t programs[TT_N_PHASES]; /* programs and kernel objects that the driver does not hold yet */
    uint64_t largest_buffer;
} tt_memory_phases;

/* What there is. */
typedef struct tt_memory_room {
    uint64_t base;                             /* of the process without its device buffers */
    uint64_t budget;                           /* as given, 0: none */
    uint64_t available;                        /* for the process in all: what it holds and what the system has free */
    uint64_t device_available, largest_buffer; /* of the device */
    bool is_shared;                            /* buffers are part of the process */
} tt_memory_room;

/* Reads the moment's figures; budget as in tt_generate_params. */
tt_memory_room tt_memory_look(const tt_model *model, uint64_t budget);

/* Bytes that count against the budget: process and device together. */
uint64_t tt_memory_phase_total(const tt_memory_room *room, const tt_memory_phases *phases, uint32_t phase);

/* The highest phase, and what it takes. */
uint32_t tt_memory_peak_phase(const tt_memory_room *room, const tt_memory_phases *phases, uint64_t *n_bytes);

/* The bytes that the total must not exceed: the smaller of budget and available memory. */
uint64_t tt_memory_limit(const tt_memory_room *room);

/* True when all phases fit the budget, the system's free memory and the device. */
bool tt_memory_fits(const tt_memory_room *room, const tt_memory_phases *phases);

/* True when the request uses the part, and the input of one of its passes. */
bool tt_memory_part_runs(const tt_model *model, const tt_memory_request *request, tt_part part);
tt_part_shape tt_memory_part_shape(const tt_model *model, const tt_memory_request *request,
                                   const tt_memory_choice *choice, tt_part part);

/* The UNet's input in calls of a kind: with both conditions, or without guidance. */
tt_part_shape tt_memory_unet_shape(const tt_model *model, const tt_memory_request *request, bool is_guided);

/* Kernel programs that a request uses in all, about. */
uint32_t tt_memory_programs(const tt_model *model, const tt_memory_request *request);

/* Fills the phases of a request under a choice. forecasts as in tt_model_forecast. */
tt_status tt_memory_count(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *request,
                          const tt_memory_choice *choice, tt_memory_phases *phases, tt_error *err);

/* Finds the first choice that fits, in the order resident, sequential, streamed, with the largest VAE tiles that fit.
 * *fits false: none does, *choice and *phases are those of the smallest. */
tt_status tt_memory_choose(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *request,
                           const tt_memory_room *room, tt_memory_choice *choice, tt_memory_phases *phases, bool *fits,
                           tt_error *err);

/* What the smallest choice takes: no budget below it can be kept. */
tt_status tt_memory_smallest(tt_model *model, tt_forecasts *forecasts, const tt_memory_request *request,
                             const tt_memory_room *room, tt_memory_choice *choice, tt_memory_phases *phases,
                             tt_error *err);

/* A request with everything that was found out about it. */
typedef struct tt_memory_plan {
    tt_memory_request request;
    tt_memory_room room;
    tt_memory_choice choice;
    tt_memory_phases phases;
    bool fits; /* else choice and phases are those of the smallest */
} tt_memory_plan;

/* Plans a checked request (tt_request_check) on the open device. */
tt_status tt_memory_plan_make(tt_model *model, const tt_generate_params *params, tt_memory_plan *plan, tt_error *err);

/* Writes the sentence of a plan that does not fit: its figure, the limit, the largest part, ways to fit with their
 * figures. Returns TT_ERROR_MEMORY (or the failure of a forecast). */
tt_status tt_memory_refuse(tt_model *model, const tt_memory_plan *plan, tt_error *err);

/* Measures the highest memory of a run: the process, and devices with memory of their own. The system tells the highest
 * moment since the process began; when that did not rise, the highest look in between counts. */
typedef struct tt_memory_watch {
    tt_model *model;
    uint64_t peak_before, highest;
} tt_memory_watch;
void tt_memory_watch_begin(tt_memory_watch *watch, tt_model *model);
void tt_memory_watch_look(tt_memory_watch *watch);
uint64_t tt_memory_watch_end(tt_memory_watch *watch);

/* Brings the model into a choice before a run (frees what must not stay), and back to its usual state after it. */
tt_status tt_memory_enter(tt_model *model, const tt_memory_choice *choice, tt_error *err);
void tt_memory_leave(tt_model *model, const tt_memory_choice *choice);

#endif
