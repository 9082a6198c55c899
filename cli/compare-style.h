/* compare-style.h - the style sheet of the comparison's page: light and dark, screen and paper. */
#ifndef TT_CLI_COMPARE_STYLE_H
#define TT_CLI_COMPARE_STYLE_H

/* CSS text; static storage. */
const char *cli_compare_style(void);

#endif
