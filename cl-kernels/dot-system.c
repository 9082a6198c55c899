/* dot-system.c - cpuid, and Linux' request for AMX tiles; alone in a file because syscall() is not POSIX. */
#define _DEFAULT_SOURCE
#include "cl-kernels/dot-system.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) && defined(__linux__)

/* What is around the products uses the instructions of the other unit: every processor with tiles has them.
 * Values of the kernel's interface (Documentation/arch/x86/xstate.rst). */
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

static bool has_amx(bool is_half)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    unsigned tiles = 1u << 24, products = 1u << (is_half ? 22 : 25);
    return (d & tiles) != 0 && (d & products) != 0 && tt_dot_system_has(TT_DOT_AVX512, is_half) &&
           syscall(SYS_arch_prctl, (long)REQUEST_PERMISSION, (long)TILE_DATA) == 0;
}

#else

static bool has_amx(bool is_half)
{
    (void)is_half;
    return false;
}

#endif

bool tt_dot_system_has(tt_dot_unit unit, bool is_half)
{
    if (unit == TT_DOT_PLAIN)
        return true;
#if defined(__x86_64__)
    if (unit == TT_DOT_AVX512)
        return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               (is_half ? __builtin_cpu_supports("avx512bf16") : __builtin_cpu_supports("avx512vnni"));
#endif
    return unit == TT_DOT_AMX && has_amx(is_half);
}
