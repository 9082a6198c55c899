/* quantize-write.c - encodes tensor by tensor, a few rows at a time, into the new file. */
#include "base/parallel.h"
#include "model-file/gguf.h"
#include "pipeline/quantize-job.h"
#include "quantize/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    CHUNK_VALUES = 1 << 19, /* values that are in memory as floats */
    COPY_BYTES = 1 << 20,
    SAMPLE_EVERY = 16, /* of so many rows one is also rounded in simpler ways, to compare */
    ZIP_BYTES = 1 << 16
};

/* Sums of one row's encoding. */
typedef struct row_sums {
    double error, power;         /* as written */
    double sampled, plain;       /* errors of sampled rows: as written, by plain rounding */
    double weighted, unweighted; /* the same where activations are known: as written, fitted without them */
    size_t n_zeros;
} row_sums;

/* Everything that writing needs and keeps between tensors. */
typedef struct writing {
    tt_quantize_job *job;
    tt_gguf_writer *writer;
    tt_prune prune;
    uint64_t n_bytes_done;
    double sampled[TT_N_WEIGHT_TYPES], plain[TT_N_WEIGHT_TYPES];
    double weighted[TT_N_WEIGHT_TYPES], unweighted[TT_N_WEIGHT_TYPES];
    double error[TT_N_WEIGHT_TYPES], power[TT_N_WEIGHT_TYPES];
    uint64_t n_tensors[TT_N_WEIGHT_TYPES], n_values[TT_N_WEIGHT_TYPES], n_bytes[TT_N_WEIGHT_TYPES];
    uint64_t n_zip_in, n_zip_out;
} writing;

/* One tensor on its way. */
typedef struct passage {
    const tt_job_tensor *tensor;
    tt_row_source source;
    tt_row_form form;
    float *columns;                   /* importance, owned */
    uint64_t chunk_rows, first, rows; /* of the chunk in work */
    size_t row_bytes;                 /* of the values of an encoded row */
    float *values;                    /* [chunk_rows][n_columns] */
    uint8_t *encoded;                 /* [chunk_rows][row_bytes] */
    float *scratch;                   /* [n_threads][n_columns] */
    uint8_t *scratch_encoded;         /* [n_threads][row_bytes] */
    row_sums *sums;                   /* [chunk_rows] */
    float *scales, *offsets;          /* w8c: [n_rows] */
    bool has_errors;                  /* quantized types: compare what was written with what was read */
} passage;

static void end_passage(passage *p)
{
    tt_row_source_close(&p->source);
    free(p->columns);
    free(p->values);
    free(p->encoded);
    free(p->scratch);
    free(p->scratch_encoded);
    free(p->sums);
    free(p->scales);
    free(p->offsets);
}

static tt_status begin_passage(const tt_quantize_job *job, const tt_job_tensor *t, passage *p, tt_error *err)
{
    size_t threads = job->n_threads, columns = (size_t)t->n_columns;
    *p = (passage){.tensor = t, .has_errors = tt_weight_type_is_quantized(t->type)};
    tt_status status = tt_job_columns(job, t, &p->columns, err);
    if (status == TT_OK)
        status = tt_row_source_open(&t->weight, t->n_rows, t->n_columns, &p->source, err);
    if (status != TT_OK)
        return status;
    p->form = (tt_row_form){t->type, job->fit, t->n_columns, p->columns};
    p->row_bytes = (size_t)tt_dtype_bytes(tt_weight_type_dtype(t->type), t->n_columns);
    p->chunk_rows = CHUNK_VALUES / columns < threads ? threads : CHUNK_VALUES / columns;
    if (p->chunk_rows > t->n_rows)
        p->chunk_rows = t->n_rows;
    p->values = malloc(p->chunk_rows * columns * sizeof(float));
    p->encoded = malloc(p->chunk_rows * p->row_bytes);
    p->scratch = malloc(threads * columns * sizeof(float));
    p->scratch_encoded = malloc(threads * p->row_bytes);
    p->sums = calloc(p->chunk_rows, sizeof *p->sums);
    p->scales = calloc(t->n_rows, sizeof(float));
    p->offsets = calloc(t->n_rows, sizeof(float));
    if (p->values && p->encoded && p->scratch && p->scratch_encoded && p->sums && p->scales && p->offsets)
        return TT_OK;
    return tt_fail_memory(err, "rows of weights", p->chunk_rows * columns * sizeof(float));
}

/* ---- rows, on any thread */

static void read_rows(void *user, size_t first, size_t last, uint32_t thread)
{
    passage *p = user;
    (void)thread;
    tt_row_source_read(&p->source, p->first + first, last - first, p->values + first * p->form.n_columns);
}

/* The weighted error of a row under another form. */
static double error_of(const passage *p, tt_row_form form, const float *values, uint32_t thread)
{
    float *decoded = p->scratch + thread * form.n_columns;
    tt_encoded_row row = {.bytes = p->scratch_encoded + thread * p->row_bytes};
    tt_encode_row(&form, values, &row);
    tt_decode_row(&form, &row, decoded);
    return tt_weighted_square(values, decoded, p->columns, form.n_columns);
}

static void compare_row(const passage *p, const float *values, const tt_encoded_row *row, bool is_sampled,
                        uint32_t thread, row_sums *sums)
{
    float *decoded = p->scratch + thread * p->form.n_columns;
    tt_decode_row(&p->form, row, decoded);
    sums->error = tt_weighted_square(values, decoded, p->columns, p->form.n_columns);
    sums->power = tt_weighted_square(values, NULL, p->columns, p->form.n_columns);
    for (uint64_t i = 0; i < p->form.n_columns; i++)
        sums->n_zeros += !(decoded[i] < 0.0f || decoded[i] > 0.0f);
    if (!is_sampled)
        return;
    tt_row_form other = p->form;
    sums->sampled = sums->error;
    other.fit = TT_FIT_PLAIN;
    sums->plain = error_of(p, other, values, thread);
    if (!p->columns)
        return;
    other = p->form;
    other.importance = NULL;
    sums->weighted = sums->error;
    sums->unweighted = error_of(p, other, values, thread);
}

static void encode_rows(void *user, size_t first, size_t last, uint32_t thread)
{
    passage *p = user;
    for (size_t i = first; i < last; i++) {
        const float *values = p->values + i * p->form.n_columns;
        tt_encoded_row row = {.bytes = p->encoded + i * p->row_bytes};
        bool is_sampled = (p->first + i) % SAMPLE_EVERY == 0 && p->form.fit != TT_FIT_PLAIN;
        tt_encode_row(&p->form, values, &row);
        p->scales[p->first + i] = row.scale;
        p->offsets[p->first + i] = row.offset;
        p->sums[i] = (row_sums){0};
        if (p->has_errors)
            compare_row(p, values, &row, is_sampled, thread, &p->sums[i]);
        else
            for (uint64_t c = 0; c < p->form.n_columns; c++)
                p->sums[i].n_zeros += !(values[c] < 0.0f || values[c] > 0.0f);
    }
}

/* ---- chunks */

/* Reads the next rows; false past the last. */
static bool next_chunk(writing *w, passage *p)
{
    p->first += p->rows;
    uint64_t left = p->tensor->n_rows - p->first;
    p->rows = left < p->chunk_rows ? left : p->chunk_rows;
    if (p->rows == 0)
        return false;
    tt_parallel_run(w->job->n_threads, (size_t)p->rows, read_rows, p);
    tt_row_source_drop(&p->source, p->first, p->rows);
    return true;
}

static void rewind_chunks(passage *p)
{
    p->first = p->rows = 0;
}

/* The two passes that find a layer's threshold. */
static void find_threshold(writing *w, passage *p)
{
    tt_prune_begin(&w->prune);
    while (next_chunk(w, p))
        tt_prune_count(&w->prune, p->values, (size_t)(p->rows * p->form.n_columns));
    rewind_chunks(p);
    tt_prune_place(&w->prune, p->tensor->n_rows * p->tensor->n_columns, (double)w->job->params->prune);
    while (next_chunk(w, p))
        tt_prune_refine(&w->prune, p->values, (size_t)(p->rows * p->form.n_columns));
    rewind_chunks(p);
    tt_prune_finish(&w->prune);
}

static void zip_sample(writing *w, const passage *p)
{
    uLong n = (uLong)(p->rows * p->row_bytes < ZIP_BYTES ? p->rows * p->row_bytes : ZIP_BYTES);
    uLongf n_out = compressBound(n);
    Bytef *out = malloc(n_out);
    if (out && compress2(out, &n_out, p->encoded, n, 6) == Z_OK) {
        w->n_zip_in += n;
        w->n_zip_out += n_out;
    }
    free(out);
}

static void add_sums(writing *w, const passage *p, bool is_pruned)
{
    tt_weight_type type = p->tensor->type;
    for (uint64_t i = 0; i < p->rows; i++) {
        const row_sums *s = &p->sums[i];
        w->error[type] += s->error;
        w->power[type] += s->power;
        w->sampled[type] += s->sampled;
        w->plain[type] += s->plain;
        w->weighted[type] += s->weighted;
        w->unweighted[type] += s->unweighted;
        if (is_pruned)
            w->job->report->n_pruned += s->n_zeros;
    }
}

static tt_status report_bytes(writing *w, const passage *p, tt_error *err)
{
    const tt_job_tensor *t = p->tensor;
    uint64_t part = t->n_rows ? t->weight.tensor.n_bytes * (p->first + p->rows) / t->n_rows : 0;
    return tt_job_report(w->job, TT_QUANTIZE_WRITE, w->n_bytes_done + part, w->job->report->bytes_in, t->name, err);
}

static tt_status encode_chunks(writing *w, passage *p, bool is_pruned, tt_error *err)
{
    tt_status status = TT_OK;
    while (status == TT_OK && next_chunk(w, p)) {
        if (is_pruned)
            (void)tt_prune_apply(&w->prune, p->values, (size_t)(p->rows * p->form.n_columns));
        tt_parallel_run(w->job->n_threads, (size_t)p->rows, encode_rows, p);
        add_sums(w, p, is_pruned);
        if (w->job->params->prune > 0.0f && p->first == 0)
            zip_sample(w, p);
        status = tt_gguf_writer_add(w->writer, p->encoded, (size_t)p->rows * p->row_bytes, err);
        if (status == TT_OK)
            status = report_bytes(w, p, err);
    }
    return status;
}

/* Tensors that stay as they are are copied. */
static tt_status copy_chunks(writing *w, passage *p, tt_error *err)
{
    uint64_t row_bytes = p->row_bytes, per_piece = COPY_BYTES / row_bytes;
    tt_status status = TT_OK;
    p->chunk_rows = per_piece > 0 ? per_piece : 1;
    for (p->first = 0; p->first < p->tensor->n_rows && status == TT_OK; p->first += p->rows) {
        uint64_t left = p->tensor->n_rows - p->first;
        p->rows = left < p->chunk_rows ? left : p->chunk_rows;
        const void *bytes = tt_row_source_same(&p->source, p->tensor->type, p->first);
        status = tt_gguf_writer_add(w->writer, bytes, (size_t)(p->rows * row_bytes), err);
        tt_row_source_drop(&p->source, p->first, p->rows);
        if (status == TT_OK)
            status = report_bytes(w, p, err);
    }
    return status;
}

/* ---- tensors */

static tt_status write_scales(writing *w, const passage *p, tt_error *err)
{
    size_t n = (size_t)p->tensor->n_rows * sizeof(float);
    tt_status status = TT_OK;
    if (tt_weight_type_is_channel(p->tensor->type))
        status = tt_gguf_writer_add(w->writer, p->scales, n, err);
    if (status == TT_OK && p->tensor->type == TT_WEIGHT_W8CA)
        status = tt_gguf_writer_add(w->writer, p->offsets, n, err);
    return status;
}

static tt_status write_tensor(writing *w, const tt_job_tensor *t, tt_error *err)
{
    passage p;
    tt_status status = begin_passage(w->job, t, &p, err);
    bool is_pruned = w->job->params->prune > 0.0f && t->role == TT_ROLE_MATRIX && !t->is_fragile;
    if (status == TT_OK && is_pruned) {
        find_threshold(w, &p);
        w->job->report->n_prunable += t->n_rows * t->n_columns;
    }
    if (status == TT_OK && !is_pruned && tt_row_source_same(&p.source, t->type, 0))
        status = copy_chunks(w, &p, err);
    else if (status == TT_OK)
        status = encode_chunks(w, &p, is_pruned, err);
    if (status == TT_OK)
        status = write_scales(w, &p, err);
    end_passage(&p);
    w->n_bytes_done += t->weight.tensor.n_bytes;
    w->n_tensors[t->type]++;
    w->n_values[t->type] += t->n_rows * t->n_columns;
    w->n_bytes[t->type] += tt_weight_type_bytes(t->type, t->n_rows, t->n_columns);
    return status;
}

/* ---- the file */

/* What stands in the header: each tensor, and behind those of w8c their scales and offsets. */
typedef struct header {
    tt_tensor *tensors;
    char (*names)[TT_MAX_NAME + 48]; /* of scales and offsets */
    size_t n, n_names;
} header;

static void add_scale(header *h, const tt_job_tensor *t, const char *suffix)
{
    snprintf(h->names[h->n_names], sizeof *h->names, "%s%s", t->name, suffix);
    h->tensors[h->n++] = (tt_tensor){.name = h->names[h->n_names++],
                                     .dtype = TT_F32,
                                     .n_dims = 1,
                                     .dims = {t->n_rows},
                                     .n_bytes = t->n_rows * sizeof(float)};
}

/* Convolutions keep their four dims where elements stand alone; blocks and channels are rows. */
static void add_header(header *h, const tt_job_tensor *t)
{
    bool is_flat = t->n_dims == 4 && tt_weight_type_is_quantized(t->type);
    tt_tensor tensor = {.name = t->name,
                        .dtype = tt_weight_type_dtype(t->type),
                        .n_dims = is_flat ? 2 : t->n_dims,
                        .dims = {t->dims[0], is_flat ? t->n_columns : t->dims[1], t->dims[2], t->dims[3]}};
    tensor.n_bytes = tt_dtype_bytes(tensor.dtype, t->n_rows * t->n_columns);
    for (uint32_t i = tensor.n_dims; i < TT_MAX_DIMS; i++)
        tensor.dims[i] = 0;
    h->tensors[h->n++] = tensor;
    if (tt_weight_type_is_channel(t->type))
        add_scale(h, t, "_scale");
    if (t->type == TT_WEIGHT_W8CA)
        add_scale(h, t, "_offset");
}

static tt_status begin_file(writing *w, const tt_job_metadata *metadata, tt_error *err)
{
    const tt_quantize_job *job = w->job;
    header h = {.tensors = calloc(3 * job->n_tensors + 1, sizeof *h.tensors),
                .names = calloc(2 * job->n_tensors + 1, sizeof *h.names)};
    tt_gguf_pair *pairs = calloc(metadata->n + 1, sizeof *pairs);
    tt_status status = TT_OK;
    if (!h.tensors || !h.names || !pairs)
        status = tt_fail_memory(err, "the file's header", 3 * job->n_tensors * sizeof *h.tensors);
    for (size_t i = 0; i < job->n_tensors && status == TT_OK; i++)
        add_header(&h, &job->tensors[i]);
    for (size_t i = 0; i < metadata->n && status == TT_OK; i++)
        pairs[i] = (tt_gguf_pair){metadata->pairs[i].key, metadata->pairs[i].text, metadata->pairs[i].number};
    if (status == TT_OK)
        status = tt_gguf_writer_begin(job->params->output, h.tensors, h.n, pairs, metadata->n, &w->writer, err);
    free(h.tensors);
    free(h.names);
    free(pairs);
    return status;
}

/* A ratio, 0 where nothing was measured; errors of nothing at all count as equal. */
static double ratio(double a, double b)
{
    return b > 0.0 ? a / b : a > 0.0 ? 0.0 : 1.0;
}

static void fill_type(const writing *w, int type, tt_quantize_type_report *out)
{
    snprintf(out->type, sizeof out->type, "%s", tt_weight_type_name((tt_weight_type)type));
    out->n_tensors = w->n_tensors[type];
    out->n_values = w->n_values[type];
    out->n_bytes = w->n_bytes[type];
    out->error = w->power[type] > 0.0 ? w->error[type] / w->power[type] : 0.0;
    out->plain = w->plain[type] > 0.0 ? ratio(w->plain[type], w->sampled[type]) : 0.0;
    out->unweighted = w->unweighted[type] > 0.0 ? ratio(w->unweighted[type], w->weighted[type]) : 0.0;
}

static int by_bytes(const void *a, const void *b)
{
    const tt_quantize_type_report *x = a, *y = b;
    return x->n_bytes < y->n_bytes ? 1 : x->n_bytes > y->n_bytes ? -1 : 0;
}

static void fill_report(const writing *w)
{
    tt_quantize_report *r = w->job->report;
    double error = 0.0, power = 0.0;
    for (int type = 0; type < TT_N_WEIGHT_TYPES; type++) {
        if (w->n_tensors[type] == 0)
            continue;
        fill_type(w, type, &r->types[r->n_types++]);
        error += w->error[type];
        power += w->power[type];
    }
    qsort(r->types, r->n_types, sizeof *r->types, by_bytes);
    r->error = power > 0.0 ? error / power : 0.0;
    r->compressed_share = w->n_zip_in ? (double)w->n_zip_out / (double)w->n_zip_in : 0.0;
}

tt_status tt_job_write(tt_quantize_job *job, const tt_job_metadata *metadata, tt_error *err)
{
    writing w = {.job = job};
    tt_status status = job->params->prune > 0.0f ? tt_prune_create(&w.prune, err) : TT_OK;
    tt_job_begin_phase(job);
    if (status == TT_OK)
        status = begin_file(&w, metadata, err);
    for (size_t i = 0; i < job->n_tensors && status == TT_OK; i++)
        status = write_tensor(&w, &job->tensors[i], err);
    tt_prune_free(&w.prune);
    if (status != TT_OK) {
        tt_gguf_writer_abort(w.writer);
        return status;
    }
    status = tt_gguf_writer_commit(w.writer, err);
    if (status == TT_OK)
        fill_report(&w);
    return status;
}
