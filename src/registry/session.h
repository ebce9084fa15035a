// SPDX-License-Identifier: Apache-2.0
// The operations of the distribution specification (1.1) on one repository of one registry, each with its
// retries: what failed in passing (a cut connection, 429, 5xx) is tried again with growing pauses, what is
// refused is an error at once. A stop ends whatever is under way at once. Used by several threads at once.
//
//   auto session = TRY(Session::open(endpoint, settings, credentials, "pull"));
//   FetchedDocument manifest = TRY(session->manifest("latest"));
//   TRY(session->blob(layer, 0, sink, stop));
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"
#include "base/digest.h"
#include "base/error.h"
#include "oci/manifest.h"
#include "registry/transport.h"

namespace berth::registry {

struct FetchedDocument {
  std::string bytes;  // verbatim
  std::string media_type;
  Digest digest;  // of the bytes
};

// What an upload sends. It is opened again for every attempt.
struct Upload {
  std::function<Result<std::unique_ptr<archive::Source>>()> open;
  std::optional<Digest> digest = {};       // where it is known; verified
  std::optional<std::uint64_t> size = {};  // where it is known
  std::string mount_from = {};             // another repository of the registry that has the blob
  std::function<void(std::uint64_t)> progress = {};
};
struct Uploaded {
  Digest digest;
  std::uint64_t size = 0;
  enum class How { sent, present, mounted } how = How::sent;
};

class Session {
 public:
  // Connects. `actions` is "pull" or "pull,push".
  static Result<std::unique_ptr<Session>> open(const Endpoint& endpoint, const Settings& settings,
                                               const Credentials& credentials, const std::string& actions,
                                               const std::stop_token& stop = {});
  const Endpoint& endpoint() const { return transport_.endpoint(); }

  // A manifest or an index of at most oci::kDocumentLimit bytes, by tag or digest; of a digest the bytes are
  // verified.
  Result<FetchedDocument> manifest(const std::string& reference, const std::stop_token& stop = {});
  // All tags, sorted; pages are followed.
  Result<std::vector<std::string>> tags(const std::stop_token& stop = {});

  // A small blob, verified.
  Result<std::string> document(const oci::Descriptor& descriptor, const std::stop_token& stop = {});
  // A blob from `offset` on: exactly the bytes that are left of descriptor.size. Cut downloads go on where
  // they were. The digest is the caller's to verify, who has seen the first bytes as well.
  Result<void> blob(const oci::Descriptor& descriptor, std::uint64_t offset, archive::Sink& sink,
                    const std::stop_token& stop);

  Result<bool> has_blob(const Digest& digest, const std::stop_token& stop = {});
  // Nothing is sent when the registry has it already, or can take it from `mount_from`.
  Result<Uploaded> upload(const Upload& upload, const std::stop_token& stop);
  Result<Digest> put_manifest(const std::string& reference, std::string_view bytes,
                              std::string_view media_type, const std::stop_token& stop = {});

 private:
  Session(const Endpoint& endpoint, const Settings& settings, const Credentials& credentials,
          const std::string& actions)
      : settings_(settings), transport_(endpoint, settings, credentials, actions) {}
  std::string target(std::string_view kind, std::string_view name) const;
  Result<Answer> get(std::string_view method, const std::string& where, const http::Headers& headers,
                     const std::stop_token& stop = {});
  struct Interruption;  // of an attempt
  Result<std::uint64_t> blob_part(const oci::Descriptor& descriptor, std::uint64_t offset,
                                  archive::Sink& sink, const std::stop_token& stop,
                                  Interruption& interruption);
  Result<Uploaded> send_blob(const Upload& upload, std::string location, const std::stop_token& stop);

  const Settings settings_;
  Transport transport_;
};

// The registry's own words about a refusal, and the kind of error that its status stands for.
Error refusal(Answer& answer, std::string_view what);

}  // namespace berth::registry
