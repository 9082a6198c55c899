# Cross build for 64-bit ARM Linux with Debian's gcc-aarch64-linux-gnu and the libraries' arm64 packages
# (dpkg --add-architecture arm64; apt-get install libjansson-dev:arm64 ...). TINTYPE_SYSROOT may name an unpacked arm64
# root instead. Programs run through qemu-aarch64 where it is installed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TINTYPE_SYSROOT)

if(TINTYPE_SYSROOT)
    set(CMAKE_SYSROOT "${TINTYPE_SYSROOT}")
    set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
    set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
else()
    set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu /usr/lib/aarch64-linux-gnu)
    set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY BOTH)
    set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
    # Never the build machine's own libraries.
    set(CMAKE_IGNORE_PATH /usr/lib/x86_64-linux-gnu /lib/x86_64-linux-gnu)
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)

find_program(TINTYPE_QEMU NAMES qemu-aarch64-static qemu-aarch64)
mark_as_advanced(TINTYPE_QEMU)
if(TINTYPE_QEMU)
    set(emulated_root "${TINTYPE_SYSROOT}")
    if(NOT emulated_root)
        set(emulated_root /usr/aarch64-linux-gnu)
    endif()
    set(CMAKE_CROSSCOMPILING_EMULATOR "${TINTYPE_QEMU};-L;${emulated_root}")
endif()
