/* attention.c - attention of one query after the other, in double. */
#include "cl-kernels/reference/attention.h"

#include <math.h>
#include <stdlib.h>

/* softmax(q k' / sqrt(d)) of one query over n keys. q: its first channel; k: first channel of key 0. */
static void weigh(const tt_reference_attention_args *args, const float *q, const float *k, size_t n, double *weights)
{
    double largest = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        double score = 0;
        for (size_t c = 0; c < args->head_dim; c++)
            score += (double)q[c * args->n_queries] * (double)k[c * args->n_keys + j];
        weights[j] = score / sqrt((double)args->head_dim);
        largest = fmax(largest, weights[j]);
    }
    for (size_t j = 0; j < n; j++)
        sum += weights[j] = exp(weights[j] - largest);
    for (size_t j = 0; j < n; j++)
        weights[j] /= sum;
}

tt_status tt_reference_attention(const tt_reference_attention_args *args)
{
    double *weights = malloc(args->n_keys * sizeof(*weights));
    if (weights == NULL)
        return TT_ERROR_MEMORY;
    for (size_t head = 0; head < (size_t)args->batch * args->n_heads; head++)
        for (size_t i = 0; i < args->n_queries; i++) {
            size_t query_at = head * args->head_dim * args->n_queries + i;
            size_t key_at = head * args->head_dim * args->n_keys;
            size_t n = args->causal && i + 1 < args->n_keys ? i + 1 : args->n_keys;
            weigh(args, args->q + query_at, args->k + key_at, n, weights);
            for (size_t c = 0; c < args->head_dim; c++) {
                double sum = 0;
                for (size_t j = 0; j < n; j++)
                    sum += weights[j] * (double)args->v[key_at + c * args->n_keys + j];
                args->out[query_at + c * args->n_queries] = (float)sum;
            }
        }
    free(weights);
    return TT_OK;
}
