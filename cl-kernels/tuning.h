/* tuning.h - which of several variants a launcher uses for a shape.
 *
 * A launcher that knows several ways asks here, naming them; names[0] is what its own table would take. Without a
 * tuning, or for a key that was not measured, that one is used, or what the table of seeds (tuning-seeds.h) says for
 * the device. Names are stored, so that a table that was made by another version of the engine still means something:
 * unknown names count as not measured. Names that were found wrong or that crashed the driver are disabled for an op
 * and a form; the next one takes over.
 *
 * Keys end in two words that are the form: what is multiplied and how activations are stored ("q4_k f16", "int8 f16").
 * What comes before is the shape. A launcher whose scratch depends on the variant asks in its scratch function too. */
#ifndef TT_CL_KERNELS_TUNING_H
#define TT_CL_KERNELS_TUNING_H

#include "cl-kernels/plane.h"

enum { TT_TUNING_NAMES = 16, TT_TUNING_OP = 32, TT_TUNING_KEY = 96, TT_TUNING_NAME = 32 };

/* Index of the name to use. op: the launcher's stem; key: everything that decides the time, readable, e.g. "320x320
 * n4096 int8 f16". Call once per recorded op, before its launches are recorded. */
size_t tt_tuning_choose(const tt_kernels *kernels, const char *op, const char *key, const char *const *names,
                        size_t n_names);

/* The form of a key: its last two words. */
const char *tt_tuning_form(const char *key);

/* Rms error over deviation by which the results of a key's variants may differ from each other: that of the form. */
double tt_tuning_tolerance(const char *key);

/* ---- what a tuning holds: tt_tuned and tt_disabled of tintype.h. Ops other than launchers' stems that can be
 * disabled: "family" (names of tt_family_name), "dot" (names of tt_dot_name). */

tt_status tt_tuning_create(tt_tuning **tuning, tt_error *err);
void tt_tuning_destroy(tt_tuning *tuning);

/* Tells the device's name ("QUALCOMM Adreno(TM) OpenCL 3.0 Adreno(TM) 740"), for seeds; before that there are none. */
void tt_tuning_set_device(tt_tuning *tuning, const char *device);

/* Adds or replaces the choice of an op and key. */
tt_status tt_tuning_put(tt_tuning *tuning, const tt_tuned *tuned, tt_error *err);

/* The choice, or NULL. Pointers are valid until the next change. */
const tt_tuned *tt_tuning_find(const tt_tuning *tuning, const char *op, const char *key);

/* Choice `index`, NULL past the last. */
const tt_tuned *tt_tuning_at(const tt_tuning *tuning, size_t index);

/* Disables a variant (again: the new reason replaces the old one), and takes that back; true when it was disabled. */
tt_status tt_tuning_disable(tt_tuning *tuning, const tt_disabled *disabled, tt_error *err);
bool tt_tuning_enable(tt_tuning *tuning, const char *op, const char *name, const char *form);

/* form "": disabled for all forms; NULL: for any. False for a NULL tuning. */
bool tt_tuning_is_disabled(const tt_tuning *tuning, const char *op, const char *name, const char *form);

const tt_disabled *tt_tuning_disabled_at(const tt_tuning *tuning, size_t index);

/* ---- for those who measure */

/* Told of every question. Returns the index to use, or SIZE_MAX for what would be used without it. */
typedef size_t (*tt_tuning_watch_fn)(void *user, const char *op, const char *key, const char *const *names,
                                     size_t n_names);

/* Installs a watcher; NULL: none any more. */
void tt_tuning_watch(tt_tuning *tuning, tt_tuning_watch_fn watch, void *user);

/* Forgets the last question: the kernels that are made next belong to another op. tuning may be NULL. */
void tt_tuning_end_op(tt_tuning *tuning);

/* What names the last question's variant in a crash marker, made of op, name and form; false when nothing was asked
 * since tt_tuning_end_op, or when there was no alternative. tuning may be NULL. */
enum { TT_TUNING_MARKER = TT_TUNING_OP + TT_TUNING_NAME + TT_TUNING_KEY };
bool tt_tuning_marker(const tt_tuning *tuning, char marker[TT_TUNING_MARKER]);

/* The same for a variant that is named, and the way back: disables what a marker names, with this reason. Markers that
 * mean nothing are left alone. */
void tt_tuning_make_marker(const char *op, const char *name, const char *form, char marker[TT_TUNING_MARKER]);
tt_status tt_tuning_disable_marked(tt_tuning *tuning, const char *marker, const char *reason, tt_error *err);

#endif
