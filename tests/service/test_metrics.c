/* test_metrics.c - numbers as Prometheus reads them; strangers cannot make the page grow; threads count at once. */
#include "service/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { REQUESTS, QUEUED, SECONDS, PLAIN };

static const tt_metric table[] = {
    {"requests_total", "Requests", TT_METRIC_COUNTER, "route,code"},
    {"queued", "Jobs", TT_METRIC_GAUGE, "stage"},
    {"seconds", "Times", TT_METRIC_HISTOGRAM, NULL},
    {"plain_total", "One number", TT_METRIC_COUNTER, NULL},
};

static tt_metrics *make(void)
{
    tt_metrics *metrics;
    tt_error err = {""};
    assert_int_equal(tt_metrics_create(table, 4, &metrics, &err), TT_OK);
    return metrics;
}

static void test_page(void **state)
{
    (void)state;
    tt_metrics *metrics = make();
    tt_text page = {0};
    tt_metrics_add(metrics, REQUESTS, "post,202", 1);
    tt_metrics_add(metrics, REQUESTS, "post,202", 2);
    tt_metrics_add(metrics, REQUESTS, "a\"b\\c\nd,404", 1);
    tt_metrics_set(metrics, QUEUED, "working", 7);
    tt_metrics_set(metrics, QUEUED, "working", 0.25);
    tt_metrics_observe(metrics, SECONDS, NULL, 0.01);
    tt_metrics_observe(metrics, SECONDS, NULL, 0.2);
    tt_metrics_observe(metrics, SECONDS, NULL, 99);
    tt_metrics_write(metrics, &page);
    assert_false(page.failed);
    assert_string_equal(page.bytes, "# HELP tintype_requests_total Requests\n"
                                    "# TYPE tintype_requests_total counter\n"
                                    "tintype_requests_total{route=\"post\",code=\"202\"} 3\n"
                                    "tintype_requests_total{route=\"a\\\"b\\\\cd\",code=\"404\"} 1\n"
                                    "# HELP tintype_queued Jobs\n"
                                    "# TYPE tintype_queued gauge\n"
                                    "tintype_queued{stage=\"working\"} 0.25\n"
                                    "# HELP tintype_seconds Times\n"
                                    "# TYPE tintype_seconds histogram\n"
                                    "tintype_seconds_bucket{le=\"0.005\"} 0\n"
                                    "tintype_seconds_bucket{le=\"0.01\"} 1\n"
                                    "tintype_seconds_bucket{le=\"0.025\"} 1\n"
                                    "tintype_seconds_bucket{le=\"0.05\"} 1\n"
                                    "tintype_seconds_bucket{le=\"0.1\"} 1\n"
                                    "tintype_seconds_bucket{le=\"0.25\"} 2\n"
                                    "tintype_seconds_bucket{le=\"0.5\"} 2\n"
                                    "tintype_seconds_bucket{le=\"1\"} 2\n"
                                    "tintype_seconds_bucket{le=\"2.5\"} 2\n"
                                    "tintype_seconds_bucket{le=\"5\"} 2\n"
                                    "tintype_seconds_bucket{le=\"10\"} 2\n"
                                    "tintype_seconds_bucket{le=\"+Inf\"} 3\n"
                                    "tintype_seconds_sum 99.21\n"
                                    "tintype_seconds_count 3\n"
                                    "# HELP tintype_plain_total One number\n"
                                    "# TYPE tintype_plain_total counter\n"
                                    "tintype_plain_total 0\n");
    tt_text_free(&page);
    tt_metrics_destroy(metrics);
}

static void test_many_labels(void **state)
{
    (void)state;
    tt_metrics *metrics = make();
    tt_text page = {0};
    char label[128];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(label, sizeof label, "r%d,1", i);
        tt_metrics_add(metrics, REQUESTS, label, 1);
    }
    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    tt_metrics_add(metrics, REQUESTS, label, 1);
    tt_metrics_write(metrics, &page);
    assert_non_null(strstr(page.bytes, "{route=\"r63\",code=\"1\"} 1\n"));
    assert_null(strstr(page.bytes, "r64"));
    assert_null(strstr(page.bytes, "xxx"));
    assert_non_null(strstr(page.bytes, "{route=\"other\",code=\"other\"} 937\n"));
    tt_text_free(&page);
    tt_metrics_destroy(metrics);
}

static void *count(void *object)
{
    for (int i = 0; i < 5000; i++) {
        tt_metrics_add(object, PLAIN, NULL, 1);
        tt_metrics_observe(object, SECONDS, NULL, 0.001);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    tt_metrics *metrics = make();
    tt_text page = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, metrics), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    tt_metrics_write(metrics, &page);
    assert_non_null(strstr(page.bytes, "tintype_plain_total 20000\n"));
    assert_non_null(strstr(page.bytes, "tintype_seconds_count 20000\n"));
    tt_text_free(&page);
    tt_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
