/* config-text.h - configs for tests: texts of files, with keys changed. */
#ifndef TT_TESTS_SUPPORT_CONFIG_TEXT_H
#define TT_TESTS_SUPPORT_CONFIG_TEXT_H

/* The text of a file (free()); the test fails when it cannot be read. */
char *config_text(const char *path);

/* The JSON of a file with a few keys changed: `changes` is a JSON object. Freed by the caller. */
char *config_changed(const char *path, const char *changes);

#endif
