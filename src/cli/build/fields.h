// SPDX-License-Identifier: Apache-2.0
// "type=registry,ref=name": the fields of one --output, --cache-from or --cache-to by their keys, each taken
// once; what nobody takes is an error. Errors name the option and quote the whole.
#pragma once
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::cli {

class Fields {
 public:
  static Result<Fields> parse(std::string_view option, const std::string& text);

  std::string take(const std::string& key, std::string otherwise = "");
  Result<bool> take_switch(const std::string& key, bool otherwise);
  // Those that say how it is done where there is one way only.
  void pass_over(std::initializer_list<const char*> keys);
  Result<void> finish(std::string_view type) const;

 private:
  Fields(std::string_view option, const std::string& text) : option_(option), text_(text) {}
  std::string option_, text_;
  std::map<std::string, std::string> values_;
};

}  // namespace berth::cli
