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

// What half a filling becomes. It is `removed` only where nobody else may have written meanwhile: no other
// container sees the volume, and the data is here and not mounted on it from elsewhere.
enum class HalfFilled { removed, kept };

// Fills a volume that is empty with what the image has at `destination`, owners and modes included.
// `open_root` gives the container's file system, and is asked only when it is needed. A file beside the data
// says that it has begun: one that was cut short is settled first, then done again if the volume is empty.
// After an error half a filling is settled as well. With Durability::durable what is there when this returns
// stays through a power cut.
Result<void> fill_volume(const VolumePlace& place, const std::string& destination,
                         const std::function<Result<Fd>()>& open_root, HalfFilled half_filled,
                         Durability durability);

// For a container that does not have it filled: settles a filling that was cut short. With the mark left
// there, a later start would take what this container writes for half a filling.
Result<void> settle_filling(const VolumePlace& place, HalfFilled half_filled, Durability durability);

// Bytes on the disk, of the blocks that are in use: a sparse file counts what it has, one with several names
// counts once, another file system that is mounted inside does not count.
Result<std::uint64_t> size_on_disk(const std::string& directory);

}  // namespace berth::engine
