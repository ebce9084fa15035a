// SPDX-License-Identifier: Apache-2.0
// Which driver keeps new layers (layers/layer_store.h), and why.
#pragma once
#include <string>

#include "base/error.h"
#include "layers/layer_store.h"

namespace berth::engine {

struct Storage {
  layers::Driver driver = layers::Driver::overlay;
  std::string reason;   // a sentence for people: who or what chose it
  std::string backing;  // the file system of the layers' directory: "extfs", "xfs", "btrfs", ...
};

// `wanted` is "erofs", "overlay", "overlay2" or, for the best that works, empty. EROFS is tried in
// `directory`, where the layers will be and which must exist: asked for in vain it is an error (unsupported).
// Where the disk is full it is tried in `elsewhere` instead, and believed of `directory`: an engine must
// start on a full disk, and as the same one.
Result<Storage> choose_storage(const std::string& wanted, const std::string& directory,
                               const std::string& elsewhere);

// As Docker calls it, whose clients look for the word: "overlay2" or "erofs".
std::string_view driver_name(layers::Driver driver) noexcept;
// How layers lie on the disk.
std::string_view layer_format(layers::Driver driver) noexcept;

}  // namespace berth::engine
