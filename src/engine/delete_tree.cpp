// SPDX-License-Identifier: Apache-2.0
#include "engine/delete_tree.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/log.h"
#include "sys/remove_deep_tree.h"

namespace berth::engine {

void delete_tree(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  auto remove = [&]() -> Result<void> {
    Fd parent = TRY(open_file(path.substr(0, slash), O_PATH | O_DIRECTORY));
    return sys::remove_deep_tree(parent.get(), path.substr(slash + 1));
  };
  if (Result<void> removed = remove(); !removed)
    log_warning("engine", "delete {}: {}", path, removed.error().message);
}

}  // namespace berth::engine
