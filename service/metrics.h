/* metrics.h - counters, gauges and histograms as Prometheus text (exposition format 0.0.4). Threads may count at once.
 */
#ifndef TT_SERVICE_METRICS_H
#define TT_SERVICE_METRICS_H

#include "base/text.h"

typedef struct tt_metrics tt_metrics;

/* Histograms have the same upper bounds: 5 ms, 10 ms, 25 ms, ... 10 s. */
typedef enum tt_metric_kind { TT_METRIC_COUNTER = 0, TT_METRIC_GAUGE, TT_METRIC_HISTOGRAM } tt_metric_kind;

/* What a metric is: name without the prefix "tintype_", one line of help. */
typedef struct tt_metric {
    const char *name, *help;
    tt_metric_kind kind;
    const char *label; /* NULL, or the names of its labels with commas between: "route,code" */
} tt_metric;

/* metrics[n] stays the caller's and must outlive the object. At most 64 values of a label are kept apart, the others
 * count as "other": a stranger cannot make the page grow. */
tt_status tt_metrics_create(const tt_metric *metrics, size_t n, tt_metrics **object, tt_error *err);
void tt_metrics_destroy(tt_metrics *object);

/* index: place in metrics[]; label NULL where there is none, else the labels' values with commas between, together less
 * than 96 bytes: "post,202". */
void tt_metrics_add(tt_metrics *object, size_t index, const char *label, double value);
void tt_metrics_set(tt_metrics *object, size_t index, const char *label, double value);
void tt_metrics_observe(tt_metrics *object, size_t index, const char *label, double seconds);

void tt_metrics_write(tt_metrics *object, tt_text *out);

#endif
