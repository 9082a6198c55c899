/* stream-private.h - the ring of device buffers through which a graph's streamed matrices pass. */
#ifndef TT_GRAPH_STREAM_PRIVATE_H
#define TT_GRAPH_STREAM_PRIVATE_H

#include "device/recorder.h"
#include "graph/weight-store.h"

typedef struct tt_stream tt_stream;

/* Lists of launches of a graph. */
typedef enum tt_list { TT_LIST_STEP = 0, TT_LIST_STATIC, TT_LIST_SHORT, TT_N_LISTS } tt_list;

/* Makes the slots for the matrices that a packed store streams; *stream is NULL when it streams none. `name` of the
 * graph for sentences. The store is kept by reference. */
tt_status tt_stream_create(tt_device *device, const tt_weight_store *store, const char *name, tt_stream **stream,
                           tt_error *err);

/* Waits for the device and frees the slots. NULL is allowed. */
void tt_stream_destroy(tt_stream *stream);

/* While a list is recorded: the next op, whose launches begin at number `first`, uses a streamed matrix. *slot is the
 * buffer that will hold it then; the slots take turns, and a matrix that is still in one is not filled again. */
tt_status tt_stream_begin_use(tt_stream *stream, tt_list list, const tt_matrix *matrix, size_t first, tt_buffer *slot,
                              tt_error *err);

/* The op's launches end before number `end`. */
void tt_stream_end_use(tt_stream *stream, tt_list list, size_t end);

/* Replays a list: enqueues launches and fills slots in order, so that the host packs the next matrices while the device
 * computes. Returns when the last launch is enqueued. After a failure the slots are free again. */
tt_status tt_stream_replay(tt_stream *stream, tt_list list, tt_recorder *recorder, tt_error *err);

#endif
