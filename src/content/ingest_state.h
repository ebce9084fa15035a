// SPDX-License-Identifier: Apache-2.0
// The inside of an Ingest. Internal to this room.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/write_behind.h"
#include "content/ingest.h"
#include "content/store_core.h"

namespace berth::content {

struct Ingest::State {
  std::shared_ptr<StoreCore> core;
  std::string key;
  Fd file;  // read and write
  Hashing hashing = Hashing::while_writing;
  std::int64_t offset = 0;
  std::int64_t hashed = 0;  // bytes that `hash` has seen: behind `offset` after a resume
  WriteBehind behind;
  Sha256 hash;

  std::string name() const { return key + std::string(kPartialSuffix); }
  ~State() { core->close_ingest(key); }
};

}  // namespace berth::content
