# tintype-options: warnings, sanitizers and code generation that all of the project's targets share.
add_library(tintype-options INTERFACE)
target_compile_options(tintype-options INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    # One rounding per operation on every machine: schedulers and random numbers must not differ by platform.
    -ffp-contract=off)

# snprintf is used because it cuts: gcc's guess at -O3 that a name might not fit is no finding. Where a cut name matters
# the code looks at snprintf's result.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(tintype-options INTERFACE -Wno-format-truncation)
endif()

# GCC 12 for aarch64 stops with an internal error where -O3 vectorizes a maximum over widened floats.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    target_compile_options(tintype-options INTERFACE "$<$<CONFIG:Release>:-O2>")
endif()

if(TINTYPE_WERROR)
    target_compile_options(tintype-options INTERFACE -Werror)
endif()

if(TINTYPE_SANITIZE)
    target_compile_options(tintype-options INTERFACE
        "-fsanitize=${TINTYPE_SANITIZE}" -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(tintype-options INTERFACE "-fsanitize=${TINTYPE_SANITIZE}")
endif()

if(TINTYPE_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "TINTYPE_FUZZ needs clang, the compiler is ${CMAKE_C_COMPILER_ID}: set CC=clang")
    endif()
    target_compile_options(tintype-options INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(TINTYPE_COVERAGE)
    target_compile_options(tintype-options INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(tintype-options INTERFACE --coverage)
endif()
