// SPDX-License-Identifier: Apache-2.0
// berth-runtime's command line: runc's grammar, so that containerd, podman and CRI-O can call it. Its parser
// is a table of a few lines instead of a library's: a container starts in less time than such a library takes
// to set itself up.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::runtime {

struct OptionSpec {
  std::string_view name;  // "bundle"
  char letter = 0;        // 'b'; 0: none
  bool takes_value = false;
};

class Arguments {
 public:
  // Takes options from the front of `words` up to the first that is none, or up to "--". With `mixed`,
  // options may follow plain words too.
  static Result<Arguments> parse(std::vector<std::string> words, const std::vector<OptionSpec>& known,
                                 bool mixed);

  bool has(std::string_view name) const { return values_.contains(std::string(name)); }
  std::string value(std::string_view name, std::string fallback = "") const;  // the last one
  const std::vector<std::string>& values(std::string_view name) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> rest_;
};

// The whole program; returns its exit code.
int run_command_line(std::vector<std::string> words);

}  // namespace berth::runtime
