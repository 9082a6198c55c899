/* options.h - the command lines of the service's programs: --name VALUE or --name=VALUE, from a table. */
#ifndef TT_SERVICE_OPTIONS_H
#define TT_SERVICE_OPTIONS_H

#include "base/error.h"
#include "base/text.h"

typedef enum tt_option_kind {
    TT_OPTION_FLAG = 0, /* bool, becomes true */
    TT_OPTION_TEXT,     /* const char *, points into argv */
    TT_OPTION_LIST,     /* tt_option_list: may be given several times */
    TT_OPTION_U32,      /* uint32_t */
    TT_OPTION_U64,      /* uint64_t; K, M and G behind the number are powers of 1024 */
    TT_OPTION_SECONDS   /* double */
} tt_option_kind;

enum { TT_OPTION_LIST_MAX = 32 };

typedef struct tt_option_list {
    const char *texts[TT_OPTION_LIST_MAX];
    size_t n;
} tt_option_list;

typedef struct tt_option {
    const char *name;  /* without the dashes */
    const char *value; /* what the help calls its value; NULL for flags */
    tt_option_kind kind;
    void *target;
    const char *help;
} tt_option;

/* Reads argv[1 ..] into the targets. Fails with TT_ERROR_ARGUMENT and one sentence. */
tt_status tt_options_read(const tt_option *options, size_t n, int argc, char *const *argv, tt_error *err);

/* One line for each option. */
void tt_options_help(const tt_option *options, size_t n, tt_text *out);

#endif
