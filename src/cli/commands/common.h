// SPDX-License-Identifier: Apache-2.0
// Steps that several commands share.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/engine/engine.h"

namespace boost::json {
class value;
}

namespace berth::cli {

// The exit code of a container that could not be started: 127 and 126 as a shell has them, otherwise 125.
int exit_code_of_start(std::string_view message);

// Does `each` for every word and prints the word after each success. Failures are printed at the end.
Result<int> for_each_word(Invocation& invocation,
                          const std::function<Result<void>(Engine&, const std::string&)>& each,
                          bool print = true);

// Asks on the terminal; true when the answer is yes.
bool confirm(std::string_view question);

// A member of a JSON object, or the default: for documents of our own engine, whose shape is known.
std::string text_of(const boost::json::value& object, std::string_view member);
std::int64_t number_of(const boost::json::value& object, std::string_view member);
bool flag_of(const boost::json::value& object, std::string_view member);
const boost::json::value& member_of(const boost::json::value& object,
                                    std::string_view member);  // null if absent

// What the answer of a prune lists as `member`, below `title`; nothing where it lists nothing.
std::string deleted_list(const boost::json::value& answer, std::string_view member, std::string_view title);
// The last line of a prune, behind what was deleted.
void print_pruned(const std::string& deleted, std::int64_t reclaimed);

// Lines of JSON as they come in; `each` returns false to stop reading.
Result<void> read_json_lines(http::Response& response,
                             const std::function<Result<bool>(const boost::json::value&)>& each);

// The container's body of POST .../wait, once it ends.
Result<int> read_exit_code(http::Response& response);

// --since and --until: a Go duration is that long ago; anything else is for the engine to read. Seconds with
// nine decimals for what is understood here.
Result<std::string> timestamp_argument(const std::string& text);

// Where --output goes: a file that appears under its name once it is complete, or a pipe or a device that is
// there, which is written to. "" is standard output, which must not be a terminal.
Result<void> save_body(http::Response& response, const std::string& path);

}  // namespace berth::cli
