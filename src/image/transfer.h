// SPDX-License-Identifier: Apache-2.0
// What a pull and a push are asked for, and what they tell.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "base/digest.h"
#include "base/error.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "registry/authentication.h"
#include "registry/settings.h"

namespace berth::archive {
class Sink;
}

namespace berth::image {

// How it goes, in Docker's words: clients show them.
struct TransferStatus {
  std::string id;    // a layer's short digest, or a tag; empty: about the whole
  std::string text;  // "Downloading"
  std::uint64_t current = 0;
  std::uint64_t total = 0;  // both 0: not a measure of progress
};
// Called by one thread at a time. An error means that nobody listens any more: the transfer is cancelled.
using OnStatus = std::function<Result<void>(const TransferStatus&)>;

struct TransferAccess {
  registry::Settings settings;
  registry::Credentials credentials;
};

struct PullRequest {
  oci::Reference name;                         // with a tag or a digest
  std::optional<oci::Platform> platform = {};  // nullopt: the host's
  TransferAccess access = {};
  OnStatus on_status = {};
  std::stop_token stop = {};
};
struct Pulled {
  Digest id;
  Digest digest;       // of the manifest or index that the name stands for
  bool newer = false;  // something changed here
};

// A layer by itself, as a build's cache names it.
struct LayerFetch {
  oci::Descriptor blob;  // as which it travels
  Digest diff_id;
  std::function<Result<void>(archive::Sink&, const std::stop_token&)> read;  // gives the blob's bytes
  std::stop_token stop = {};
};

struct PushRequest {
  oci::Reference name;               // with a tag
  std::optional<Digest> image = {};  // what goes there; nullopt: what the name stands for here
  TransferAccess access = {};
  OnStatus on_status = {};
  std::stop_token stop = {};
};
struct Pushed {
  Digest digest;  // of the manifest
  std::int64_t size = 0;
};

}  // namespace berth::image
