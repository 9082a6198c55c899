/* test-device.h - what every test that runs kernels needs: a device, guarded tensors, comparisons.
 *
 * All functions end the running test (cmocka) when something fails. The usual kernel test:
 *
 *     const tt_kernels *forms = tt_test_forms();
 *     for (size_t i = 0; i < TT_TEST_N_FORMS; i++) {
 *         tt_test_tensor in = tt_test_tensor_create(&forms[i], channels, batch, height, width, border);
 *         tt_test_tensor out = ...
 *         tt_test_upload(&in, x);                      x: NCHW float, made by tt_test_random and tt_test_round
 *         tt_recorder *recorder = tt_test_recorder();
 *         tt_test_ok(tt_op_record(&forms[i], &args, recorder, tt_test_error()));
 *         tt_test_run(recorder);                       replays, waits, destroys
 *         float *got = tt_test_download(&out);         checks guards, padding and border, then NCHW
 *         tt_test_close(got, want, n, tt_test_tolerance(&forms[i]), "op ragged");
 *         free(got); tt_test_tensor_release(&in); ...
 *     }
 */
#ifndef TT_TESTS_SUPPORT_TEST_DEVICE_H
#define TT_TESTS_SUPPORT_TEST_DEVICE_H

#include "cl-kernels/plane.h"

/* The best device of the ICD that OCL_ICD_VENDORS names, opened once per program, with profiling, the embedded kernels
 * and the usual cache folder (tests/run-test.sh moves it into the build folder). */
tt_device *tt_test_device(void);

/* Closes it; made to be the group teardown: cmocka_run_group_tests(tests, NULL, tt_test_device_close). Not to be called
 * from an exit handler, when drivers have already taken themselves apart. */
int tt_test_device_close(void **state);

/* True when TT_TEST_SMALL=1: slow devices (oclgrind) get small shapes only. */
bool tt_test_small(void);

/* Both storage forms in both variant families, on the test device. Families must give right results on every device. */
enum { TT_TEST_N_FORMS = 4 };
const tt_kernels *tt_test_forms(void);

/* The dot product forms of CPUs: HALF and INT8, with plain vectors and with each unit that the device has, in both
 * storage forms. None where TT_TEST_FAMILY asks for the phones' family. */
enum { TT_TEST_MAX_DOT_FORMS = 12 };
const tt_kernels *tt_test_dot_forms(size_t *n_forms);

/* "cpu-tile f16", "cpu-tile f16 int8 amx" */
const char *tt_test_form_name(const tt_kernels *kernels);

/* Largest rms error / std that an op may have in a form: 1e-6 in float; half storage rounds the result to 11 bits. */
double tt_test_tolerance(const tt_kernels *kernels);

/* An error to pass on, and the check that a call was fine: prints the sentence and fails the test when not. */
tt_error *tt_test_error(void);
#define tt_test_ok(status) tt_test_check_status((status), __FILE__, __LINE__)
void tt_test_check_status(tt_status status, const char *file, int line);

/* ---- guarded tensors ---- */

/* A plane between two guard bands, everything filled with NaN of a known bit pattern: what an op does not write stays
 * NaN, what it reads beyond its tensor becomes NaN, what it writes beyond is found. */
typedef struct tt_test_tensor {
    tt_plane plane; /* give this (or a view of it) to the op */
    tt_kernels kernels;
    tt_buffer buffer;
} tt_test_tensor;

tt_test_tensor tt_test_tensor_create(const tt_kernels *kernels, uint32_t channels, uint32_t batch, uint32_t height,
                                     uint32_t width, uint32_t border);
void tt_test_tensor_release(tt_test_tensor *tensor);

/* float [batch][channels][height][width] -> plane; padding channels and border become zero. */
void tt_test_upload(tt_test_tensor *tensor, const float *nchw);

/* Checks guards, padding channels and border, then plane -> NCHW (free()). */
float *tt_test_download(tt_test_tensor *tensor);

/* The same without the checks of padding and border, for tensors of which an op wrote a part only. */
float *tt_test_download_part(tt_test_tensor *tensor);

/* Values of the tensor: batch * channels * height * width. */
size_t tt_test_count(const tt_test_tensor *tensor);

/* A plain float or int array on the device between the same guards; release with tt_test_array_release. The array
 * begins at tt_test_array.first elements of 4 bytes. values NULL: filled with NaN. */
typedef struct tt_test_array {
    tt_buffer buffer;
    uint32_t first;
    size_t n;
} tt_test_array;
tt_test_array tt_test_array_create(const void *values, size_t n);
void tt_test_array_read(const tt_test_array *array, void *values); /* checks the guards */
void tt_test_array_release(tt_test_array *array);

/* Memory for an op's inner use, from an offset on that is no whole tensor; n_bytes 0: none. */
typedef struct tt_test_scratch {
    tt_buffer buffer;
    size_t offset;
} tt_test_scratch;
tt_test_scratch tt_test_scratch_create(size_t n_bytes);
void tt_test_scratch_release(tt_test_scratch *scratch);

/* ---- launches ---- */

tt_recorder *tt_test_recorder(void);
void tt_test_run(tt_recorder *recorder);

/* ---- numbers ---- */

/* Uniform in -sqrt(3)..sqrt(3): mean 0, std 1; the same for the same seed on every machine. */
void tt_test_random(float *values, size_t n, uint64_t seed);

/* New array of such values (free()). */
float *tt_test_random_new(size_t n, uint64_t seed);

/* Rounds values in place to what a form stores, so that the reference computes from the same inputs. */
void tt_test_round(const tt_kernels *kernels, float *values, size_t n);

/* Rms error / std of want (/ rms when want is constant; infinity when got holds NaN that want does not). */
double tt_test_rms(const float *got, const float *want, size_t n);

/* Fails with label, figure and worst element when tt_test_rms is above the tolerance. */
void tt_test_close(const float *got, const float *want, size_t n, double tolerance, const char *label);

#endif
