// SPDX-License-Identifier: Apache-2.0
// The registry that a pull-through cache stands in front of.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "registryd/settings.h"

namespace berth::registryd {

struct UpstreamManifest {
  std::string bytes;
  std::string media_type;
};

// Thread-safe. ErrorKind::not_found: the upstream has no such thing; unavailable, timeout: ask again later.
class Upstream {
 public:
  virtual ~Upstream() = default;
  virtual Result<UpstreamManifest> manifest(std::string_view repository, std::string_view reference) = 0;
  // Hands over the blob part by part; the receiver verifies.
  using Sink = std::function<Result<void>(std::string_view)>;
  virtual Result<void> blob(std::string_view repository, const Digest& digest, const Sink& sink) = 0;
};

Result<std::unique_ptr<Upstream>> make_upstream(const ProxySettings& settings);

}  // namespace berth::registryd
