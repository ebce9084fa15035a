// SPDX-License-Identifier: Apache-2.0
// The options of `run` and `create` as the body of POST /containers/create: a function of the options, the
// environment and the files that they name, and nothing else.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

// A terminal's size in characters; zeros when there is none.
struct ConsoleSize {
  unsigned rows = 0;
  unsigned columns = 0;
};

struct CreateRequest {
  std::string image;
  std::string name;
  std::string platform;
  std::shared_ptr<boost::json::object> body;
  bool attach_input = false;
  bool attach_output = false;
  bool attach_error = false;
  bool terminal = false;
  std::vector<std::string> warnings;  // for the user, before anything is sent
};

// `words`: IMAGE [COMMAND] [ARG...]. With `detached` nothing is attached.
Result<CreateRequest> make_create_request(const Flags& flags, std::span<const std::string> words,
                                          bool detached, ConsoleSize console);

// Of --env-file and --label-file. A name without a value takes it from the environment when
// `from_environment`, and is left out when it has none.
Result<std::vector<std::string>> read_settings_file(const std::string& path, bool from_environment);

}  // namespace berth::cli
