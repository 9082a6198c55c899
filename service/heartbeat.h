/* heartbeat.h - extends the lease of the job in work, on a thread with a ledger of its own; used inside this room. */
#ifndef TT_SERVICE_HEARTBEAT_H
#define TT_SERVICE_HEARTBEAT_H

#include "service/ledger.h"

typedef struct tt_heartbeat tt_heartbeat;

/* The strings stay the caller's. A ledger that is away is tried again at every beat. */
tt_status tt_heartbeat_start(const char *address, const tt_ledger_bounds *bounds, const char *worker,
                             tt_heartbeat **heartbeat, tt_error *err);
void tt_heartbeat_stop(tt_heartbeat *heartbeat);

/* From now on this job's lease is extended, three times in its length; NULL: none's. */
void tt_heartbeat_job(tt_heartbeat *heartbeat, const char *id);

/* False once the ledger said that the job is this worker's no more. */
bool tt_heartbeat_is_mine(void *heartbeat);

#endif
