// SPDX-License-Identifier: Apache-2.0
#include "archive/xattr.h"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <functional>

namespace berth::archive {
namespace {

constexpr std::size_t kValueLimit = 64u << 10;  // the kernel's
using Xattrs = std::vector<std::pair<std::string, std::string>>;
using List = std::function<ssize_t(char*, std::size_t)>;
using Get = std::function<ssize_t(const char*, char*, std::size_t)>;

Result<Xattrs> read_all(const List& list, const Get& get) {
  char few[1024];
  std::string many;
  ssize_t size = list(few, sizeof few);
  std::string_view names(few, size > 0 ? static_cast<std::size_t>(size) : 0);
  if (size < 0 && errno == ERANGE) {
    many.resize(kValueLimit);
    size = list(many.data(), many.size());
    if (size > 0) names = std::string_view(many).substr(0, static_cast<std::size_t>(size));
  }
  if (size < 0) {
    if (errno == EOPNOTSUPP || errno == ENOENT) return Xattrs{};
    return fail_errno(errno, "list extended attributes");
  }
  Xattrs found;
  while (!names.empty()) {
    const std::string name(names.substr(0, names.find('\0')));
    names.remove_prefix(std::min(name.size() + 1, names.size()));
    if (!travels(name)) continue;
    std::string value(256, '\0');
    ssize_t got = get(name.c_str(), value.data(), value.size());
    if (got < 0 && errno == ERANGE) {
      value.resize(kValueLimit);
      got = get(name.c_str(), value.data(), value.size());
    }
    if (got < 0) {
      if (errno == ENODATA || errno == ENOENT) continue;
      return fail_errno(errno, "read the extended attribute {}", name);
    }
    value.resize(static_cast<std::size_t>(got));
    found.emplace_back(name, std::move(value));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

bool travels(std::string_view xattr) noexcept {
  if (xattr == "security.capability") return true;
  // A pax record ends its key at the first equals sign.
  return xattr.starts_with("user.") && !xattr.starts_with("user.overlay.") && xattr.size() > 5 &&
         xattr.find('=') == std::string_view::npos && xattr.find('\0') == std::string_view::npos;
}

Result<Xattrs> read_xattrs(int file) {
  return read_all(
      [&](char* out, std::size_t size) { return flistxattr(file, out, size); },
      [&](const char* name, char* out, std::size_t size) { return fgetxattr(file, name, out, size); });
}

Result<Xattrs> read_xattrs(int directory, const std::string& name) {
  // There is no listxattrat before Linux 6.13; procfs leads to the directory itself, and l... does not
  // follow.
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, name);
  return read_all([&](char* out, std::size_t size) { return llistxattr(path.c_str(), out, size); },
                  [&](const char* xattr, char* out, std::size_t size) {
                    return lgetxattr(path.c_str(), xattr, out, size);
                  });
}

Result<void> write_xattrs(int file, const Xattrs& xattrs) {
  for (const auto& [name, value] : xattrs) {
    if (!travels(name)) continue;
    if (fsetxattr(file, name.c_str(), value.data(), value.size(), 0) != 0 && errno != EOPNOTSUPP)
      return fail_errno(errno, "set the extended attribute {}", name);
  }
  return {};
}

}  // namespace berth::archive
