// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace berth {

Error Error::within(std::string_view task) && {
  message.insert(0, ": ").insert(0, task);
  return std::move(*this);
}

ErrorKind kind_of_errno(int code) noexcept {
  switch (code) {
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
      return ErrorKind::invalid;
    case ENOENT:
      return ErrorKind::not_found;
    case EEXIST:
    case EBUSY:
    case ENOTEMPTY:
      return ErrorKind::conflict;
    case EPERM:
    case EACCES:
      return ErrorKind::denied;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorKind::unsupported;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return ErrorKind::exhausted;
    case ETIMEDOUT:
      return ErrorKind::timeout;
    case ECANCELED:
      return ErrorKind::cancelled;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EAGAIN:
      return ErrorKind::unavailable;
    default:
      return ErrorKind::system;
  }
}

Error make_error(ErrorKind kind, int code, fmt::string_view format, fmt::format_args arguments) {
  std::string message = fmt::vformat(format, arguments);
  if (code != 0) {
    char text[128];
    message.append(": ").append(strerror_r(code, text, sizeof text));  // GNU's: thread-safe, returns the text
  }
  return Error{kind, code, std::move(message)};
}

}  // namespace berth
