/* test_rules.c - types of weights by name, what rows can hold them, and rules on tensor names. */
#include "quantize/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static tt_rules *make(const char *text)
{
    tt_error err = {""};
    tt_rules *rules = NULL;
    if (tt_rules_create(text, &rules, &err) != TT_OK)
        fail_msg("%s", err.text);
    return rules;
}

static void matches(tt_rules *rules, const char *name, tt_weight_type want)
{
    tt_weight_type type = TT_N_WEIGHT_TYPES;
    if (!tt_rules_match(rules, name, &type) || type != want)
        fail_msg("%s should be %s", name, tt_weight_type_name(want));
}

static void refuse(const char *text, const char *mention)
{
    tt_error err = {""};
    tt_rules *rules = NULL;
    assert_int_equal(tt_rules_create(text, &rules, &err), TT_ERROR_ARGUMENT);
    assert_null(rules);
    if (!strstr(err.text, mention))
        fail_msg("\"%s\" should mention \"%s\": %s", text, mention, err.text);
}

static void test_first_match(void **state)
{
    (void)state;
    tt_weight_type type;
    tt_rules *rules = make("attn2\\.to_[kv]=q8_0,^unet\\.down_blocks\\.[0-9]{1,2}\\.=q4_k,=[^x]=f16,conv_in=F32");
    matches(rules, "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", TT_WEIGHT_Q8_0);
    matches(rules, "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v.weight", TT_WEIGHT_Q8_0);
    matches(rules, "unet.down_blocks.12.resnets.0.conv1.weight", TT_WEIGHT_Q4_K); /* a comma inside an expression */
    matches(rules, "odd=name", TT_WEIGHT_F16);                                    /* an equals sign inside one */
    matches(rules, "unet.conv_in.weight", TT_WEIGHT_F32);                         /* types in any case */
    assert_false(tt_rules_match(rules, "vae.decoder.conv_out.weight", &type));
    assert_int_equal(tt_rules_count(rules), 4);
    assert_true(tt_rules_was_used(rules, 0));
    assert_string_equal(tt_rules_text(rules, 2), "=[^x]");
    tt_rules_destroy(rules);
    rules = make("conv=q8_0,never=q4_0");
    matches(rules, "conv", TT_WEIGHT_Q8_0);
    assert_true(tt_rules_was_used(rules, 0));
    assert_false(tt_rules_was_used(rules, 1));
    tt_rules_destroy(rules);
}

static void test_none(void **state)
{
    (void)state;
    tt_weight_type type;
    for (int i = 0; i < 2; i++) {
        tt_rules *rules = make(i ? "" : NULL);
        assert_int_equal(tt_rules_count(rules), 0);
        assert_false(tt_rules_match(rules, "unet.conv_in.weight", &type));
        tt_rules_destroy(rules);
    }
    assert_false(tt_rules_match(NULL, "unet.conv_in.weight", &type));
}

static void test_refused(void **state)
{
    (void)state;
    refuse("conv_in", "REGEX=TYPE");
    refuse("=q8_0", "REGEX=TYPE");
    refuse("a=q8_0,b", "REGEX=TYPE");
    refuse("a=q9_9", "q9_9");
    refuse("a=", "no type of weights");
    refuse("(a=q8_0", "no regular expression");
    refuse("a[=q8_0", "no regular expression");
    char many[300 * 8 + 1] = "", long_one[1200];
    for (int i = 0; i < 300; i++)
        strcat(many, "a=q4_0,");
    refuse(many, "rules");
    memset(long_one, 'a', sizeof long_one);
    strcpy(long_one + 1100, "=q4_0");
    refuse(long_one, "characters");
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < TT_N_WEIGHT_TYPES; i++) {
        tt_weight_type type;
        const char *name = tt_weight_type_name((tt_weight_type)i);
        assert_int_equal(tt_weight_type_parse(name, strlen(name), &type, NULL), TT_OK);
        assert_int_equal(type, i);
        if (i > 0)
            assert_true(tt_weight_type_bytes(type, 1, 1 << 16) >=
                            tt_weight_type_bytes((tt_weight_type)(i - 1), 1, 1 << 16) ||
                        type == TT_WEIGHT_Q4_K);
    }
}

static void test_fallback(void **state)
{
    (void)state;
    static const struct {
        tt_weight_type wanted;
        uint64_t n_columns;
        tt_weight_type got;
    } cases[] = {
        {TT_WEIGHT_Q4_K, 1280, TT_WEIGHT_Q4_K}, {TT_WEIGHT_Q4_K, 320, TT_WEIGHT_Q5_0},
        {TT_WEIGHT_Q5_K, 320, TT_WEIGHT_Q5_1},  {TT_WEIGHT_Q6_K, 2880, TT_WEIGHT_Q8_0},
        {TT_WEIGHT_Q3_K, 96, TT_WEIGHT_Q4_0},   {TT_WEIGHT_Q2_K, 32, TT_WEIGHT_Q4_0},
        {TT_WEIGHT_Q4_0, 36, TT_WEIGHT_F16},    {TT_WEIGHT_Q2_K, 36, TT_WEIGHT_F16},
        {TT_WEIGHT_W8C, 36, TT_WEIGHT_W8C},     {TT_WEIGHT_W8CA, 7, TT_WEIGHT_W8CA},
        {TT_WEIGHT_F32, 7, TT_WEIGHT_F32},      {TT_WEIGHT_Q8_0, 64, TT_WEIGHT_Q8_0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_weight_type got = tt_weight_type_fallback(cases[i].wanted, cases[i].n_columns);
        if (got != cases[i].got)
            fail_msg("%s in rows of %u became %s", tt_weight_type_name(cases[i].wanted), (unsigned)cases[i].n_columns,
                     tt_weight_type_name(got));
        assert_true(tt_weight_type_fits(got, cases[i].n_columns));
        assert_true(tt_weight_type_keeps_zero(cases[i].got) || cases[i].got == TT_WEIGHT_Q4_K ||
                    cases[i].got == TT_WEIGHT_Q5_1 || cases[i].got == TT_WEIGHT_W8CA);
    }
    assert_int_equal(tt_weight_type_bytes(TT_WEIGHT_Q4_0, 3, 64), 3 * 2 * 18);
    assert_int_equal(tt_weight_type_bytes(TT_WEIGHT_W8C, 3, 64), 3 * (64 + 4));
    assert_int_equal(tt_weight_type_bytes(TT_WEIGHT_W8CA, 3, 64), 3 * (64 + 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_match), cmocka_unit_test(test_none),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_fallback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
