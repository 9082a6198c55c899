# Libraries, the public header, and what other builds find them by.
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tintype")

install(TARGETS tintype tintype-static EXPORT tintypeTargets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/tintype DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT tintypeTargets NAMESPACE tintype:: DESTINATION "${package_dir}")

configure_package_config_file(cmake/tintypeConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/tintypeConfig.cmake"
    INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/tintypeConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES
    "${CMAKE_CURRENT_BINARY_DIR}/tintypeConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/tintypeConfigVersion.cmake"
    cmake/Findjansson.cmake cmake/Findutf8proc.cmake
    DESTINATION "${package_dir}")

# pkg-config finds the prefix from its own place, so that an installed tree can be moved.
file(RELATIVE_PATH TINTYPE_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
set(TINTYPE_PC_CLOUD "")
if(TINTYPE_CLOUD)
    set(TINTYPE_PC_CLOUD " libcurl")
endif()
configure_file(cmake/tintype.pc.in tintype.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tintype.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# The built-in models, the upscaling network and, where set-up has fetched it, the CLIP vocabulary.
file(GLOB share_files "${CMAKE_CURRENT_SOURCE_DIR}/models/*.gguf" "${CMAKE_CURRENT_SOURCE_DIR}/models/*.safetensors" "${CMAKE_CURRENT_SOURCE_DIR}/share/*.gz")
install(FILES ${share_files} DESTINATION "${CMAKE_INSTALL_DATADIR}/tintype")
