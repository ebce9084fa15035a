// SPDX-License-Identifier: Apache-2.0
#include "base/unix_address.h"

#include <fcntl.h>

#include <cstring>

#include "base/file.h"

namespace berth {

Result<UnixAddress> make_unix_address(const std::string& path) {
  UnixAddress made;
  made.address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string::npos)
    return fail(ErrorKind::invalid, "'{}' is not the path of a unix socket", path);
  std::string usable = path;
  if (path.size() >= sizeof made.address.sun_path) {
    const std::size_t slash = path.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    made.parent = TRY(open_file(parent, O_PATH | O_DIRECTORY));
    usable = fmt::format("/proc/self/fd/{}/{}", made.parent.get(),
                         slash == std::string::npos ? path : path.substr(slash + 1));
    if (usable.size() >= sizeof made.address.sun_path)
      return fail(ErrorKind::invalid, "the name of the unix socket {} is too long", path);
  }
  std::memcpy(made.address.sun_path, usable.data(), usable.size());
  made.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + usable.size() + 1);
  return made;
}

}  // namespace berth
