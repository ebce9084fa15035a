// SPDX-License-Identifier: Apache-2.0
// From an instruction's text to its content. instructions.cpp has the table and the short ones,
// instructions_run.cpp those with commands, instructions_copy.cpp COPY and ADD.
#pragma once
#include <string>
#include <string_view>

#include "dockerfile/statement.h"

namespace berth::dockerfile {

// `keyword` and `rest` are parts of the statement; `lines` is where heredocs are read from.
Result<Content> parse_content(Statement& statement, std::string_view keyword, std::string_view rest,
                              LineReader& lines);
// FROM, which is no instruction of a stage: it begins one.
Result<Stage> parse_from(Statement& statement, std::string_view rest);

Result<Content> parse_run(Statement& statement, std::string_view rest, LineReader& lines);
Result<Content> parse_cmd(Statement& statement, std::string_view rest, LineReader& lines);
Result<Content> parse_entrypoint(Statement& statement, std::string_view rest, LineReader& lines);
Result<Content> parse_shell(Statement& statement, std::string_view rest, LineReader& lines);
Result<Content> parse_health_check(Statement& statement, std::string_view rest, LineReader& lines);
Result<Content> parse_copy(Statement& statement, std::string_view rest, LineReader& lines);
Result<Content> parse_add(Statement& statement, std::string_view rest, LineReader& lines);

}  // namespace berth::dockerfile
