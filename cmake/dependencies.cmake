# SPDX-License-Identifier: Apache-2.0
# Libraries that are not ours, each with its reason in docs/dependencies.md. Where Debian ships an
# archive we link that: the programs start faster and run on a machine without the -dev packages.

function(berth_archive target name header)
  find_library(${name}_ARCHIVE lib${name}.a REQUIRED)
  find_path(${name}_INCLUDE ${header} REQUIRED)
  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${${name}_ARCHIVE}
                                             INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${${name}_INCLUDE})
endfunction()

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
# Debian's fmt has no archive, and the keeper is static: its compiled part is built here from its own header.
find_path(FMT_INCLUDE fmt/format-inl.h REQUIRED)
add_library(berth_fmt STATIC ${CMAKE_SOURCE_DIR}/cmake/fmt_instance.cpp)
target_include_directories(berth_fmt SYSTEM PUBLIC ${FMT_INCLUDE})
add_library(dependency::fmt ALIAS berth_fmt)
berth_archive(dependency::crypto crypto openssl/evp.h)
berth_archive(dependency::ssl ssl openssl/ssl.h)
target_link_libraries(dependency::ssl INTERFACE dependency::crypto)
target_link_libraries(dependency::crypto INTERFACE ${CMAKE_DL_LIBS} Threads::Threads)
berth_archive(dependency::sqlite sqlite3 sqlite3.h)
target_link_libraries(dependency::sqlite INTERFACE m ${CMAKE_DL_LIBS} Threads::Threads)
berth_archive(dependency::seccomp seccomp seccomp.h)
berth_archive(dependency::zlib z zlib.h)
berth_archive(dependency::zstd zstd zstd.h)
# Shared: Debian ships no archive. A static program (BERTH_STATIC) cannot have it, and does not compress.
find_library(ISAL_LIBRARY isal REQUIRED)
add_library(dependency::isal INTERFACE IMPORTED GLOBAL)
target_link_libraries(dependency::isal
                      INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:BERTH_STATIC>>>:${ISAL_LIBRARY}>)
berth_archive(dependency::lzma lzma lzma.h)
berth_archive(dependency::bzip2 bz2 bzlib.h)
berth_archive(dependency::yaml yaml-cpp yaml-cpp/yaml.h)
berth_archive(dependency::crypt crypt crypt.h)
berth_archive(dependency::nghttp2 nghttp2 nghttp2/nghttp2.h)
find_path(CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
add_library(dependency::cli11 INTERFACE IMPORTED GLOBAL)
target_include_directories(dependency::cli11 SYSTEM INTERFACE ${CLI11_INCLUDE})
if(BERTH_TESTS)
  find_package(GTest REQUIRED)
endif()
