// SPDX-License-Identifier: Apache-2.0
// The registry that a pull-through cache stands in front of.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "registryd/settings.h"

namespace berth::registryd {

struct UpstreamManifest {
  std::string bytes;
  std::string media_type;
};

// Thread-safe. ErrorKind::not_found: the upstream has no such thing; unavailable, timeout: ask again later. A
// stop ends what is asked at once.
class Upstream {
 public:
  virtual ~Upstream() = default;
  virtual Result<UpstreamManifest> manifest(std::string_view repository, std::string_view reference,
                                            const std::stop_token& stop) = 0;
  // Every tag, sorted.
  virtual Result<std::vector<std::string>> tags(std::string_view repository, const std::stop_token& stop) = 0;
  // It kept the one before waiting in vain a moment ago: what is here has to do, if anything is.
  virtual bool is_away() const = 0;
  // Whether there is a blob, without getting it: its size, where the upstream says it.
  virtual Result<std::optional<std::uint64_t>> blob_size(std::string_view repository, const Digest& digest,
                                                         const std::stop_token& stop) = 0;
  // Who gets a blob part by part, and verifies it.
  struct Receiver {
    std::function<void(std::optional<std::uint64_t>)> begin;  // its size, where the upstream says it
    std::function<Result<void>(std::string_view)> write;
  };
  virtual Result<void> blob(std::string_view repository, const Digest& digest, const Receiver& receiver,
                            const std::stop_token& stop) = 0;
};

Result<std::unique_ptr<Upstream>> make_upstream(const ProxySettings& settings);

}  // namespace berth::registryd
