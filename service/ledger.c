/* ledger.c - the ledger's front: checks what callers and clients hand in, then calls the backend. */
#define _DEFAULT_SOURCE /* getentropy */
#include "service/ledger.h"

#include "base/text.h"
#include "service/ledger-backend.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than any picture that the service makes; both backends store blocks of twice the size. */
static const size_t max_block_bytes = (size_t)512 << 20;

enum { MAX_KEY = 64, MAX_WORKER = 127, MAX_SCALE = 16 };

struct tt_ledger {
    const tt_ledger_backend *backend;
    void *self;
};

const char *tt_job_poison_sentence(void)
{
    return "the picture could not be made larger: three workers in a row were lost over it";
}

/* Backends count with signed numbers. */
uint64_t tt_job_owner_bound(const tt_job_input *input, const tt_ledger_bounds *bounds)
{
    const uint64_t bound = input->max_queued > 0 ? input->max_queued : bounds->max_queued_per_owner;
    return bound > INT32_MAX ? 0 : bound;
}

void tt_job_from_input(const tt_job_input *input, const char *id, uint64_t position, tt_job *job)
{
    *job = (tt_job){.stage = TT_JOB_QUEUED, .position = position, .scale = input->scale};
    job->width = input->width;
    job->height = input->height;
    memcpy(job->id, id, sizeof(job->id));
    strcpy(job->owner, input->owner); /* ledger.c has checked that they fit */
    strcpy(job->type, input->type);
    strcpy(job->body_sha256, input->sha256);
}

/* ---- checks */

static bool is_hex(const char *text, size_t n_digits)
{
    return text != NULL && strlen(text) == n_digits && strspn(text, "0123456789abcdef") == n_digits;
}

static bool is_id(const char *id)
{
    return is_hex(id, TT_JOB_ID_BYTES - 1);
}

static bool is_key(const char *key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = strlen(key);
    return n >= 1 && n <= MAX_KEY && strspn(key, letters) == n;
}

/* One line of UTF-8 that is not empty and fits. */
static bool is_line(const char *text, size_t max_bytes)
{
    if (text == NULL || text[0] == '\0' || strnlen(text, max_bytes + 1) > max_bytes)
        return false;
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return tt_utf8_valid(text, strlen(text), NULL);
}

static tt_status check_line(const char *text, size_t max_bytes, const char *what, tt_error *err)
{
    if (is_line(text, max_bytes))
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT, "%s must be one line of 1 to %zu bytes of UTF-8", what, max_bytes);
}

static tt_status check_block(const void *bytes, size_t n_bytes, const char *sha256, const char *what, tt_error *err)
{
    if (!is_hex(sha256, 64))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the SHA-256 of a %s must be 64 lower-case hex digits", what);
    if (bytes == NULL && n_bytes > 0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a %s of %zu bytes is missing", what, n_bytes);
    if (n_bytes > max_block_bytes)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a %s of %zu bytes is larger than the ledger takes, %zu bytes", what,
                       n_bytes, max_block_bytes);
    return TT_OK;
}

static tt_status check_input(const tt_job_input *input, tt_error *err)
{
    if (input == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no job to put");
    tt_status status = check_line(input->owner, sizeof(((tt_job *)NULL)->owner) - 1, "the name of a job's owner", err);
    if (status == TT_OK)
        status = check_line(input->type, sizeof(((tt_job *)NULL)->type) - 1, "the type of a body", err);
    if (status == TT_OK)
        status = check_block(input->body, input->n_body_bytes, input->sha256, "body", err);
    if (status != TT_OK)
        return status;
    if (input->key != NULL && !is_key(input->key))
        return tt_fail(err, TT_ERROR_ARGUMENT, "an idempotency key must be 1 to %d letters, digits, '-' and '_'",
                       MAX_KEY);
    if (input->scale < 1 || input->scale > MAX_SCALE || input->width == 0 || input->height == 0 ||
        input->width > INT32_MAX || input->height > INT32_MAX)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a job of %u x %u pixels and scale %u makes no sense",
                       (unsigned)input->width, (unsigned)input->height, (unsigned)input->scale);
    return TT_OK;
}

static tt_status check_worker(const char *worker, tt_error *err)
{
    return check_line(worker, MAX_WORKER, "the name of a worker", err);
}

/* ---- open and close */

/* Takes a prefix off the address. */
static bool has_scheme(const char *address, const char *scheme, const char **rest)
{
    size_t n = strlen(scheme);
    *rest = address + n;
    return strncmp(address, scheme, n) == 0;
}

static tt_status fill_bounds(const tt_ledger_bounds *bounds, tt_ledger_bounds *filled, tt_error *err)
{
    const double longest = 1e9; /* seconds; thirty years, and no clock overflows */
    *filled = bounds == NULL ? (tt_ledger_bounds){0} : *bounds;
    if (!(filled->keep_seconds >= 0 && filled->keep_seconds <= longest) ||
        !(filled->lease_seconds >= 0 && filled->lease_seconds <= longest))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the ledger's times must be between 0 and %.0f seconds", longest);
    if (filled->keep_seconds == 0)
        filled->keep_seconds = 3600;
    if (filled->lease_seconds == 0)
        filled->lease_seconds = 30;
    /* Backends count with signed numbers. */
    if (filled->max_queued > INT32_MAX)
        filled->max_queued = 0;
    if (filled->max_queued_per_owner > INT32_MAX)
        filled->max_queued_per_owner = 0;
    return TT_OK;
}

static tt_status open_postgres(const char *address, const tt_ledger_bounds *bounds, tt_ledger *ledger, tt_error *err)
{
#ifdef TT_SERVICE_POSTGRES
    return tt_ledger_postgres_open(address, bounds, &ledger->backend, &ledger->self, err);
#else
    (void)address, (void)bounds, (void)ledger;
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "this program was built without PostgreSQL: build it with -DTINTYPE_POSTGRES=ON (libpq), or use "
                   "sqlite:PATH");
#endif
}

static tt_status open_backend(const char *address, const tt_ledger_bounds *bounds, tt_ledger *ledger, tt_error *err)
{
    const char *rest = NULL;
    if (has_scheme(address, "sqlite:", &rest) && rest[0] != '\0')
        return tt_ledger_sqlite_open(rest, bounds, &ledger->backend, &ledger->self, err);
    if (has_scheme(address, "postgresql://", &rest) || has_scheme(address, "postgres://", &rest))
        return open_postgres(address, bounds, ledger, err);
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "a ledger's address is sqlite:PATH or postgresql://USER@HOST/DATABASE; the one given is neither");
}

tt_status tt_ledger_open(const char *address, const tt_ledger_bounds *bounds, tt_ledger **ledger, tt_error *err)
{
    tt_ledger_bounds filled;
    *ledger = NULL;
    if (address == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the ledger needs an address: sqlite:PATH or postgresql://...");
    tt_status status = fill_bounds(bounds, &filled, err);
    if (status != TT_OK)
        return status;
    tt_ledger *opened = calloc(1, sizeof(*opened));
    if (opened == NULL)
        return tt_fail_memory(err, "a ledger", sizeof(*opened));
    status = open_backend(address, &filled, opened, err);
    if (status == TT_OK)
        *ledger = opened;
    else
        free(opened);
    return status;
}

void tt_ledger_close(tt_ledger *ledger)
{
    if (ledger == NULL)
        return;
    ledger->backend->close(ledger->self);
    free(ledger);
}

/* ---- the queue */

static tt_status make_id(char id[TT_JOB_ID_BYTES], tt_error *err)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[(TT_JOB_ID_BYTES - 1) / 2];
    if (getentropy(random, sizeof(random)) != 0)
        return tt_fail(err, TT_ERROR_INTERNAL, "the system gives no random bytes for a job's id");
    for (size_t i = 0; i < sizeof(random); i++) {
        id[2 * i] = digits[random[i] >> 4];
        id[2 * i + 1] = digits[random[i] & 15];
    }
    id[TT_JOB_ID_BYTES - 1] = '\0';
    return TT_OK;
}

tt_status tt_ledger_put(tt_ledger *ledger, const tt_job_input *input, tt_put_outcome *outcome, tt_job *job,
                        tt_error *err)
{
    char id[TT_JOB_ID_BYTES];
    *job = (tt_job){0};
    tt_status status = check_input(input, err);
    if (status == TT_OK)
        status = make_id(id, err);
    if (status == TT_OK)
        status = ledger->backend->put(ledger->self, input, id, outcome, job, err);
    return status;
}

tt_status tt_ledger_take(tt_ledger *ledger, const char *worker, bool *found, tt_job *job, void **body,
                         size_t *n_body_bytes, tt_error *err)
{
    *found = false;
    *job = (tt_job){0};
    *body = NULL;
    *n_body_bytes = 0;
    tt_status status = check_worker(worker, err);
    return status != TT_OK ? status : ledger->backend->take(ledger->self, worker, found, job, body, n_body_bytes, err);
}

tt_status tt_ledger_extend(tt_ledger *ledger, const char *worker, const char *id, bool *is_mine, tt_error *err)
{
    *is_mine = false;
    tt_status status = check_worker(worker, err);
    if (status != TT_OK || !is_id(id))
        return status;
    return ledger->backend->extend(ledger->self, worker, id, is_mine, err);
}

tt_status tt_ledger_done(tt_ledger *ledger, const char *worker, const char *id, const char *type, const char *sha256,
                         const void *result, size_t n_bytes, bool *counted, tt_error *err)
{
    *counted = false;
    tt_status status = check_worker(worker, err);
    if (status == TT_OK)
        status = check_line(type, sizeof(((tt_job *)NULL)->type) - 1, "the type of a result", err);
    if (status == TT_OK)
        status = check_block(result, n_bytes, sha256, "result", err);
    if (status != TT_OK || !is_id(id))
        return status;
    return ledger->backend->done(ledger->self, worker, id, type, sha256, result, n_bytes, counted, err);
}

/* Makes one clean line of whatever a worker says, cut to the column: never inside a character. */
static void clean_sentence(const char *sentence, char clean[sizeof(((tt_job *)NULL)->failure)])
{
    tt_error line;
    size_t n = sizeof(((tt_job *)NULL)->failure) - 1;
    (void)tt_fail(&line, TT_OK, "%s", sentence == NULL || sentence[0] == '\0' ? "no reason was given" : sentence);
    if (strlen(line.text) < n)
        n = strlen(line.text);
    while (n > 0 && !tt_utf8_valid(line.text, n, NULL))
        n--;
    memcpy(clean, line.text, n);
    clean[n] = '\0';
}

tt_status tt_ledger_fail(tt_ledger *ledger, const char *worker, const char *id, bool is_final, uint32_t code,
                         const char *sentence, bool *counted, tt_error *err)
{
    char clean[sizeof(((tt_job *)NULL)->failure)];
    *counted = false;
    tt_status status = check_worker(worker, err);
    if (status == TT_OK && (code < 400 || code > 599))
        status = tt_fail(err, TT_ERROR_ARGUMENT, "%u is no HTTP status of a failure", (unsigned)code);
    if (status != TT_OK || !is_id(id))
        return status;
    clean_sentence(sentence, clean);
    return ledger->backend->fail(ledger->self, worker, id, is_final, code, clean, counted, err);
}

tt_status tt_ledger_length(tt_ledger *ledger, uint64_t counts[5], double *oldest_seconds, tt_error *err)
{
    memset(counts, 0, 5 * sizeof(counts[0]));
    *oldest_seconds = 0;
    return ledger->backend->length(ledger->self, counts, oldest_seconds, err);
}

/* ---- single jobs and housekeeping */

tt_status tt_ledger_find(tt_ledger *ledger, const char *id, bool *found, tt_job *job, tt_error *err)
{
    *found = false;
    *job = (tt_job){0};
    return is_id(id) ? ledger->backend->find(ledger->self, id, found, job, err) : TT_OK;
}

tt_status tt_ledger_result(tt_ledger *ledger, const char *id, bool *found, char type[48], void **result,
                           size_t *n_bytes, tt_error *err)
{
    *found = false;
    type[0] = '\0';
    *result = NULL;
    *n_bytes = 0;
    return is_id(id) ? ledger->backend->result(ledger->self, id, found, type, result, n_bytes, err) : TT_OK;
}

tt_status tt_ledger_remove(tt_ledger *ledger, const char *id, bool *found, tt_error *err)
{
    *found = false;
    return is_id(id) ? ledger->backend->remove(ledger->self, id, found, err) : TT_OK;
}

tt_status tt_ledger_sweep(tt_ledger *ledger, uint64_t *n_changed, tt_error *err)
{
    uint64_t n = 0;
    tt_status status = ledger->backend->sweep(ledger->self, &n, err);
    if (n_changed != NULL)
        *n_changed = n;
    return status;
}

tt_status tt_ledger_wait(tt_ledger *ledger, tt_ledger_event event, double seconds, tt_error *err)
{
    if ((event != TT_LEDGER_JOB_QUEUED && event != TT_LEDGER_JOB_ENDED) || !(seconds >= 0 && seconds <= 3600))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the ledger waits for queued or ended jobs, for 0 to 3600 seconds");
    return ledger->backend->wait(ledger->self, event, seconds, err);
}
