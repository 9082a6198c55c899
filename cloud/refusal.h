/* refusal.h - the sentence for an answer that is no result; used inside this room. */
#ifndef TT_CLOUD_REFUSAL_H
#define TT_CLOUD_REFUSAL_H

#include "cloud/http.h"

/* Says what the service answered, with the `detail` of its problem (RFC 9457) where it gave one, and what to do. A
 * detail that repeats the token is left out. Returns TT_ERROR_NETWORK. */
tt_status tt_cloud_fail_answer(const tt_cloud_params *params, const tt_http_answer *answer, tt_error *err);

#endif
