/* bpe-merge.c - merge rules and the heap that applies them in order of rank. */
#include "text-encoder/bpe-merge.h"

#include <stdlib.h>

enum { NONE = -1 };

/* One symbol of the word, in a doubly linked list so that a merge costs nothing for its neighbours. */
struct tt_bpe_symbol {
    int32_t id; /* NONE: was merged into its left neighbour */
    int32_t previous, next;
};

/* A pair that could be merged; stale when the symbols changed since, which is noticed when it is taken out. */
struct tt_bpe_candidate {
    uint32_t rank;
    int32_t position;
    uint32_t id;
};

static int compare_u32(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* By left, right, and the later rule of a repeated pair first. */
static int compare_rules(const void *a, const void *b)
{
    const tt_bpe_rule *x = a, *y = b;
    int order = compare_u32(x->left, y->left);
    if (order == 0)
        order = compare_u32(x->right, y->right);
    return order != 0 ? order : compare_u32(y->rank, x->rank);
}

tt_status tt_bpe_init(tt_bpe *bpe, tt_bpe_rule *rules, uint32_t n_rules, uint32_t n_tokens, tt_error *err)
{
    bpe->rules = rules;
    bpe->first = calloc((size_t)n_tokens + 1, sizeof *bpe->first);
    if (bpe->first == NULL) {
        tt_bpe_free(bpe);
        return tt_fail_memory(err, "the index of the tokenizer's merges", ((size_t)n_tokens + 1) * sizeof *bpe->first);
    }
    if (n_rules > 0)
        qsort(rules, n_rules, sizeof *rules, compare_rules);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n_rules; i++) {
        if (n_kept > 0 && rules[n_kept - 1].left == rules[i].left && rules[n_kept - 1].right == rules[i].right)
            continue;
        rules[n_kept++] = rules[i];
    }
    uint32_t at = 0;
    for (uint32_t token = 0; token <= n_tokens; token++) {
        while (at < n_kept && rules[at].left < token)
            at++;
        bpe->first[token] = at;
    }
    return TT_OK;
}

void tt_bpe_free(tt_bpe *bpe)
{
    free(bpe->rules);
    free(bpe->first);
    *bpe = (tt_bpe){0};
}

void tt_bpe_workspace_free(tt_bpe_workspace *workspace)
{
    free(workspace->symbols);
    free(workspace->heap);
    *workspace = (tt_bpe_workspace){0};
}

static const tt_bpe_rule *find_rule(const tt_bpe *bpe, int32_t left, int32_t right)
{
    uint32_t low = bpe->first[left], high = bpe->first[left + 1];
    const uint32_t wanted = (uint32_t)right;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (bpe->rules[middle].right == wanted)
            return &bpe->rules[middle];
        if (bpe->rules[middle].right < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool goes_before(const struct tt_bpe_candidate *a, const struct tt_bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void heap_push(struct tt_bpe_candidate *heap, size_t *n, struct tt_bpe_candidate item)
{
    size_t at = (*n)++;
    while (at > 0 && goes_before(&item, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = item;
}

static struct tt_bpe_candidate heap_pop(struct tt_bpe_candidate *heap, size_t *n)
{
    const struct tt_bpe_candidate top = heap[0], item = heap[--*n];
    size_t at = 0;
    for (size_t child = 1; child < *n; child = 2 * at + 1) {
        if (child + 1 < *n && goes_before(&heap[child + 1], &heap[child]))
            child++;
        if (!goes_before(&heap[child], &item))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
    return top;
}

/* Each merge takes one candidate out and puts at most two in, and there are fewer than n merges: 2 n are enough. */
static tt_status reserve(tt_bpe_workspace *workspace, size_t n, tt_error *err)
{
    if (n <= workspace->n_max)
        return TT_OK;
    tt_bpe_workspace_free(workspace);
    const size_t n_max = n < 64 ? 64 : n;
    workspace->symbols = calloc(n_max, sizeof *workspace->symbols);
    workspace->heap = calloc(2 * n_max, sizeof *workspace->heap);
    if (workspace->symbols == NULL || workspace->heap == NULL)
        return tt_fail_memory(err, "splitting a word into tokens",
                              n_max * (sizeof *workspace->symbols + 2 * sizeof *workspace->heap));
    workspace->n_max = n_max;
    return TT_OK;
}

/* Adds the pair that begins at `left` when a rule merges it. */
static void push_pair(const tt_bpe *bpe, tt_bpe_workspace *workspace, size_t *n_heap, int32_t left)
{
    const struct tt_bpe_symbol *symbols = workspace->symbols;
    if (left == NONE || symbols[left].next == NONE)
        return;
    const tt_bpe_rule *rule = find_rule(bpe, symbols[left].id, symbols[symbols[left].next].id);
    if (rule != NULL)
        heap_push(workspace->heap, n_heap, (struct tt_bpe_candidate){rule->rank, left, rule->id});
}

/* True when the candidate still describes the symbols at its position. */
static bool is_current(const tt_bpe *bpe, const struct tt_bpe_symbol *symbols, const struct tt_bpe_candidate *candidate)
{
    const struct tt_bpe_symbol *left = &symbols[candidate->position];
    if (left->id == NONE || left->next == NONE)
        return false;
    const tt_bpe_rule *rule = find_rule(bpe, left->id, symbols[left->next].id);
    return rule != NULL && rule->id == candidate->id;
}

static void merge_at(struct tt_bpe_symbol *symbols, int32_t position, uint32_t id)
{
    struct tt_bpe_symbol *left = &symbols[position], *right = &symbols[left->next];
    left->id = (int32_t)id;
    left->next = right->next;
    right->id = NONE;
    if (left->next != NONE)
        symbols[left->next].previous = position;
}

tt_status tt_bpe_merge_word(const tt_bpe *bpe, tt_bpe_workspace *workspace, int32_t *ids, size_t *n, tt_error *err)
{
    if (*n < 2)
        return TT_OK;
    const tt_status status = reserve(workspace, *n, err);
    if (status != TT_OK)
        return status;
    const int32_t count = (int32_t)*n;
    struct tt_bpe_symbol *symbols = workspace->symbols;
    for (int32_t i = 0; i < count; i++)
        symbols[i] = (struct tt_bpe_symbol){ids[i], i - 1, i + 1 < count ? i + 1 : NONE};
    size_t n_heap = 0;
    for (int32_t i = 0; i + 1 < count; i++)
        push_pair(bpe, workspace, &n_heap, i);
    while (n_heap > 0) {
        const struct tt_bpe_candidate best = heap_pop(workspace->heap, &n_heap);
        if (!is_current(bpe, symbols, &best))
            continue;
        merge_at(symbols, best.position, best.id);
        push_pair(bpe, workspace, &n_heap, symbols[best.position].previous);
        push_pair(bpe, workspace, &n_heap, best.position);
    }
    size_t n_left = 0;
    for (int32_t i = 0; i != NONE; i = symbols[i].next)
        ids[n_left++] = symbols[i].id;
    *n = n_left;
    return TT_OK;
}
