# SPDX-License-Identifier: Apache-2.0
# A room is one static library: every source in its folder but the tests. What it USES is what it may
# include, and scripts/check-includes holds it to that. Unit tests lie beside the code as *_test.cpp and
# become one test program a room.
#
#   room(NAME FLOOR USES rooms... [LIBRARIES targets...])

include(GoogleTest)

function(room name floor)
  cmake_parse_arguments(ROOM "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(TRANSFORM ROOM_USES PREPEND room_ OUTPUT_VARIABLE uses)

  if(sources)
    add_library(room_${name} STATIC ${sources})
    target_link_libraries(room_${name} PUBLIC ${uses} ${ROOM_LIBRARIES})
    target_include_directories(room_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  else()
    add_library(room_${name} INTERFACE)
    target_link_libraries(room_${name} INTERFACE ${uses} ${ROOM_LIBRARIES})
    target_include_directories(room_${name} INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})
  endif()

  if(BERTH_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE room_${name} GTest::gmock_main GTest::gtest)
    target_compile_definitions(${name}_test PRIVATE BERTH_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                    BERTH_BINARY_DIR="${CMAKE_BINARY_DIR}")
    # Tests are compiled once and run for seconds: optimising them would be a fifth of the whole build.
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:Release>:-O0> $<$<CONFIG:Release>:-U_FORTIFY_SOURCE>)
    set_target_properties(${name}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}." PROPERTIES LABELS unit)
  endif()
endfunction()
