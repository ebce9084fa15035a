// SPDX-License-Identifier: Apache-2.0
// What is in a volume: filled from an image, measured, taken away. All of it is a container's work and may be
// changed by one meanwhile: nothing here follows a link or leaves the volume.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

namespace berth::engine {

// A volume's place on disk: `directory` is the engine's own, `data` below it is what containers see.
struct VolumePlace {
  std::string directory;
  std::string data() const { return directory + "/_data"; }
};

Result<bool> is_empty_directory(const std::string& path);

// Fills a volume that is empty with what the image has at `destination`, owners and modes included.
// `open_root` gives the container's file system, and is asked only when it is needed. A file beside the data
// says that it has begun: one that was cut short is emptied and done again, unless another container `shared`
// the volume meanwhile. On an error the volume is empty again. With Durability::durable what is there when
// this returns stays through a power cut.
Result<void> fill_volume(const VolumePlace& place, const std::string& destination,
                         const std::function<Result<Fd>()>& open_root, bool shared, Durability durability);

// Bytes on the disk, of the blocks that are in use: a sparse file counts what it has, one with several names
// counts once, another file system that is mounted inside does not count.
Result<std::uint64_t> size_on_disk(const std::string& directory);

}  // namespace berth::engine
