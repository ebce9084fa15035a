// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/error_pages.h"

#include "base/file.h"
#include "base/text.h"
#include "http/message.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kLargestPage = 1u << 20;

}  // namespace

Result<ErrorPages> ErrorPages::load(const std::string& directory) {
  ErrorPages pages;
  for (int status = 400; status < 600; ++status)
    pages.texts_[status] = fmt::format("{} {}\n", status, http::reason_phrase(status));
  if (directory.empty()) return pages;
  const std::vector<std::string> names = TRY_AS("server.staticDir", list_directory(directory));
  for (const std::string& name : names) {
    if (!name.starts_with("error_") || !name.ends_with(".html")) continue;
    const std::string_view which = std::string_view(name).substr(6, name.size() - 11);
    const auto status = parse_integer<int>(which);
    if (!status && which != "default") continue;
    std::string text = TRY(read_file(directory + "/" + name, kLargestPage));
    (status ? pages.pages_[*status] : pages.default_) = std::move(text);
  }
  return pages;
}

ErrorPages::Page ErrorPages::page(int status) const {
  if (auto found = pages_.find(status); found != pages_.end()) return {"text/html", found->second};
  if (!default_.empty()) return {"text/html", default_};
  if (auto found = texts_.find(status); found != texts_.end()) return {"text/plain", found->second};
  return {"text/plain", ""};
}

}  // namespace berth::proxy
