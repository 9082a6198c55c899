/* check-attention.c - attention over keys of another number, and causal over its own. */
#include "selftest/checks.h"

#include "cl-kernels/attention.h"
#include "cl-kernels/reference/attention.h"

static void check(tt_bench *bench, uint32_t head_dim, uint32_t n_queries, uint32_t n_keys, bool is_causal)
{
    enum { HEADS = 2, BATCH = 2 };
    uint32_t channels = HEADS * head_dim;
    tt_sample q = tt_bench_input(bench, channels, BATCH, 1, n_queries, 0);
    tt_sample k = tt_bench_input(bench, channels, BATCH, 1, n_keys, 0);
    tt_sample v = tt_bench_input(bench, channels, BATCH, 1, n_keys, 0);
    tt_sample out = tt_bench_output(bench, channels, BATCH, 1, n_queries, 0);
    tt_attention_args args = {.q = q.plane,
                              .k = k.plane,
                              .v = v.plane,
                              .n_heads = HEADS,
                              .head_dim = head_dim,
                              .causal = is_causal,
                              .out = out.plane};
    float *want = tt_bench_floats(bench, out.n);
    if (!tt_bench_is_good(bench))
        return;
    tt_bench_add(bench, tt_reference_attention(&(tt_reference_attention_args){.batch = BATCH,
                                                                              .n_heads = HEADS,
                                                                              .head_dim = head_dim,
                                                                              .n_queries = n_queries,
                                                                              .n_keys = n_keys,
                                                                              .q = q.values,
                                                                              .k = k.values,
                                                                              .v = v.values,
                                                                              .causal = is_causal,
                                                                              .out = want}));
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_attention_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
}

void tt_check_attention(tt_bench *bench)
{
    check(bench, 40, 50, 77, false);
    check(bench, 64, 37, 37, true);
}
