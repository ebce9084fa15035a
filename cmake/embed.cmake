# SPDX-License-Identifier: Apache-2.0
# Text files that a program carries with it, of ROOM's folder FOLDER: std::string_view embedded_page_html and so on,
# which whoever uses them declares `extern const` in namespace berth. A file is written anew when it changes.
#
#   embed(ROOM FOLDER files...)

function(embed room folder)
  set(text "// Made by cmake/embed.cmake.\n#include <string_view>\n\nnamespace berth {\n")
  foreach(file ${ARGN})
    set(path ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} content)
    if(content MATCHES "\\)embed\"")
      message(FATAL_ERROR "${path} has the characters that end it")
    endif()
    string(MAKE_C_IDENTIFIER "embedded_${file}" name)
    string(APPEND text "extern const std::string_view ${name};\n"
                       "const std::string_view ${name} = R\"embed(${content})embed\";\n")
  endforeach()
  string(APPEND text "}  // namespace berth\n")
  string(REPLACE "/" "_" name ${folder})
  set(made ${CMAKE_CURRENT_BINARY_DIR}/${name}_embedded.cpp)
  file(CONFIGURE OUTPUT ${made} CONTENT "@text@" @ONLY)
  target_sources(room_${room} PRIVATE ${made})
endfunction()
