// SPDX-License-Identifier: Apache-2.0
// What a client sees when there is no backend's answer: staticDir/error_<code>.html, else
// error_default.html, else a line of text. Read at the start.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::proxy {

class ErrorPages {
 public:
  static Result<ErrorPages> load(const std::string& directory);  // may be empty: none

  struct Page {
    std::string_view type, body;
  };
  Page page(int status) const;

 private:
  std::map<int, std::string> pages_;
  std::string default_;
  std::map<int, std::string> texts_;
};

}  // namespace berth::proxy
