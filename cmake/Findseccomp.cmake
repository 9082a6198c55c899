# Finds libseccomp, filters for system calls: target seccomp::seccomp.
find_path(seccomp_INCLUDE_DIR seccomp.h)
find_library(seccomp_LIBRARY seccomp)
mark_as_advanced(seccomp_INCLUDE_DIR seccomp_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(seccomp REQUIRED_VARS seccomp_LIBRARY seccomp_INCLUDE_DIR)
if(seccomp_FOUND AND NOT TARGET seccomp::seccomp)
    add_library(seccomp::seccomp UNKNOWN IMPORTED)
    set_target_properties(seccomp::seccomp PROPERTIES
        IMPORTED_LOCATION "${seccomp_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${seccomp_INCLUDE_DIR}")
endif()
