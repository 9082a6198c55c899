/* rules.h - which tensors are written as which type: "REGEX=TYPE,REGEX=TYPE,...". */
#ifndef TT_QUANTIZE_RULES_H
#define TT_QUANTIZE_RULES_H

#include "quantize/weight-type.h"

typedef struct tt_rules tt_rules;

/* Reads rules: POSIX extended regular expressions, looked for anywhere in a tensor's whole name
 * ("unet.conv_in.weight"). A rule ends at a comma behind its type, so that an expression may hold commas ("{1,2}") and
 * "=" (the last one counts). NULL or "" gives no rules. Free with tt_rules_destroy. */
tt_status tt_rules_create(const char *text, tt_rules **rules, tt_error *err);
void tt_rules_destroy(tt_rules *rules);

/* The type of the first rule that matches; false when none does. */
bool tt_rules_match(tt_rules *rules, const char *name, tt_weight_type *type);

/* Rules, and for each how many names it has matched so far: a rule that matched nothing is a typing error. */
size_t tt_rules_count(const tt_rules *rules);
const char *tt_rules_text(const tt_rules *rules, size_t index);
bool tt_rules_was_used(const tt_rules *rules, size_t index);

#endif
