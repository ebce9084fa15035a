// SPDX-License-Identifier: Apache-2.0
// `docker pull`: the name is resolved to a manifest, the manifest to a config and layers; each layer comes in
// one pass (socket -> partial blob on the disk, and at once digest, inflate, diffID, tree), several at a
// time. The image's row comes last, so that it is whole or not there.
#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "archive/stream.h"
#include "base/log.h"
#include "base/text.h"
#include "content/blob_store.h"
#include "image/image_store.h"
#include "image/layer_intake.h"
#include "image/platform_choice.h"
#include "image/store_core.h"
#include "oci/manifest.h"
#include "registry/endpoints.h"
#include "registry/session.h"

namespace berth::image {
namespace {

constexpr std::size_t kLayers = 500;  // overlayfs takes no more

// What a name stands for at a registry.
struct Resolved {
  Digest top;  // of the document that the name stands for
  std::vector<ManifestRecord> documents = {};
  std::vector<content::Pin> pins = {};
  std::optional<oci::Manifest> manifest = {};
  oci::ImageConfig config = {};
  std::string config_bytes = {};
};

// Whether what came so far is kept for the next attempt: only where the network or the user ended this one.
// Bytes that may be wrong themselves must not be gone on with, and on a full disk, or after a bomb, the room
// is given back.
bool worth_going_on(const Error& error) {
  return error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout ||
         error.kind == ErrorKind::cancelled || error.kind == ErrorKind::system;
}

std::string layer_id(const Digest& digest) { return digest.short_hex(); }

class Puller {
 public:
  Puller(ImageStore& store, ImageStore::Core& core, content::BlobStore& blobs, const PullRequest& request)
      : store_(store),
        core_(core),
        blobs_(blobs),
        request_(request),
        wanted_(request.platform ? oci::normalize(*request.platform) : oci::host_platform()),
        relay_(request.stop, [this] { stop_.request_stop(); }),
        reporter_(request.on_status, stop_) {}

  Result<Pulled> pull() {
    ImageStore::Adding adding(store_);
    Resolved resolved = TRY(resolve_somewhere());
    const Digest id = sha256_of(resolved.config_bytes);
    reporter_.say(request_.name.digest() ? request_.name.digest()->text() : request_.name.tag().value_or(""),
                  "Pulling from " + request_.name.familiar_repository());
    const std::vector<std::size_t> layers = unique_layers(resolved);
    for (std::size_t layer : layers)
      if (!core_.layers().has(resolved.config.diff_ids[layer]))
        reporter_.say(layer_id(resolved.manifest->layers[layer].digest), "Pulling fs layer");
    const bool complete = TRY(is_whole(id, resolved.config.diff_ids));
    TRY(in_parallel(complete ? 0 : layers.size(), request_.access.settings.parallel_downloads, stop_,
                    [&](std::size_t i) {
                      return fetch_layer(resolved.manifest->layers[layers[i]],
                                         resolved.config.diff_ids[layers[i]], adding);
                    }));
    const bool newer = TRY(changes_anything(id, resolved.top));
    NewImage image{.config_bytes = resolved.config_bytes,
                   .names = {request_.name.with_digest(resolved.top)},
                   .manifests = resolved.documents,
                   .repository = request_.name.repository()};
    if (request_.name.tag() && !request_.name.digest()) image.names.push_back(request_.name);
    for (std::size_t layer : layers) {
      const oci::Descriptor& descriptor = resolved.manifest->layers[layer];
      image.blobs.push_back(
          {resolved.config.diff_ids[layer], descriptor.digest, descriptor.size, descriptor.media_type});
    }
    TRY(core_.store({image}));
    core_.emit("pull", id, request_.name.familiar());
    return Pulled{id, resolved.top, newer};
  }

 private:
  // The first of the places that has it. What the registry itself says is worth more than a mirror's refusal.
  Result<Resolved> resolve_somewhere() {
    std::vector<registry::Endpoint> endpoints =
        TRY(registry::endpoints_of(request_.name, request_.access.settings));
    std::optional<Error> failure;
    for (auto endpoint = endpoints.begin(); endpoint != endpoints.end(); ++endpoint) {
      Result<Resolved> resolved = resolve(*endpoint);
      if (resolved) {
        others_.assign(std::next(endpoint), endpoints.end());
        return resolved;
      }
      failure = std::move(resolved).error();
      if (stop_.stop_requested()) break;
    }
    return std::unexpected(*std::move(failure));
  }

  Result<std::unique_ptr<registry::Session>> open_session(const registry::Endpoint& endpoint) const {
    return registry::Session::open(endpoint, request_.access.settings,
                                   endpoint.mirror ? registry::Credentials{} : request_.access.credentials,
                                   "pull", stop_.get_token());
  }

  Result<Resolved> resolve(const registry::Endpoint& endpoint) {
    session_ = TRY(open_session(endpoint));
    const std::string wanted = request_.name.digest()
                                   ? request_.name.digest()->text()
                                   : request_.name.tag().value_or(std::string(oci::kDefaultTag));
    registry::FetchedDocument document = TRY(session_->manifest(wanted, stop_.get_token()));
    Resolved resolved{.top = document.digest};
    TRY(choose_manifest(resolved, std::move(document), 0));
    TRY(fetch_config(resolved));
    return resolved;
  }

  Result<void> choose_manifest(Resolved& resolved, registry::FetchedDocument document, int depth) {
    if (depth > kIndexDepth)
      return fail(ErrorKind::invalid, "the indexes of {} are nested too deeply", request_.name.familiar());
    std::variant<oci::Manifest, oci::Index> parsed =
        TRY_AS("manifest for " + request_.name.familiar(), oci::parse_manifest_or_index(document.bytes));
    // Kept as it came: it is what a digest means, and what a push gives on.
    content::Pin pin = TRY(blobs_.put(document.bytes));
    resolved.pins.push_back(std::move(pin));
    if (auto* manifest = std::get_if<oci::Manifest>(&parsed)) {
      resolved.documents.push_back({document.digest, manifest->media_type.empty()
                                                         ? std::string(oci::media_type::kManifest)
                                                         : manifest->media_type});
      resolved.manifest = std::move(*manifest);
      return {};
    }
    const oci::Index& index = std::get<oci::Index>(parsed);
    resolved.documents.push_back({document.digest, index.media_type.empty()
                                                       ? std::string(oci::media_type::kIndex)
                                                       : index.media_type});
    const std::string name = request_.name.familiar();
    const oci::Descriptor chosen = TRY(image::choose_manifest(index, wanted_, name));
    registry::FetchedDocument inner = TRY(session_->manifest(chosen.digest.text(), stop_.get_token()));
    TRY(check_chosen(chosen, inner.bytes.size(), name));
    return choose_manifest(resolved, std::move(inner), depth + 1);
  }

  Result<void> fetch_config(Resolved& resolved) {
    const oci::Manifest& manifest = *resolved.manifest;
    const std::string name = request_.name.familiar();
    if (!oci::is_config(manifest.config.media_type))
      return fail(ErrorKind::unsupported, "{} is not an image but {}", name,
                  manifest.config.media_type.substr(0, 200));
    if (manifest.layers.size() > kLayers)
      return fail(ErrorKind::invalid, "{} has {} layers; the limit is {}", name, manifest.layers.size(),
                  kLayers);
    for (const oci::Descriptor& layer : manifest.layers)
      if (!oci::is_layer(layer.media_type))
        return fail(ErrorKind::unsupported, "a layer of {} has the type {}, which is not supported", name,
                    layer.media_type.substr(0, 200));
    resolved.config_bytes =
        TRY_AS("config of " + name, session_->document(manifest.config, stop_.get_token()));
    resolved.config = TRY_AS("config of " + name, oci::parse_image_config(resolved.config_bytes));
    if (resolved.config.diff_ids.size() != manifest.layers.size())
      return fail(ErrorKind::corrupt, "the manifest of {} lists {} layers, its config {}", name,
                  manifest.layers.size(), resolved.config.diff_ids.size());
    const oci::Platform& platform = resolved.config.platform;
    if (!platform.os.empty() && !oci::runs_on(platform, wanted_))
      return fail(ErrorKind::not_found, "no image for {} in {}: it has {}", oci::format_platform(wanted_),
                  name, oci::format_platform(platform));
    return {};
  }

  // Positions of the layers, each diffID once.
  static std::vector<std::size_t> unique_layers(const Resolved& resolved) {
    std::set<Digest> seen;
    std::vector<std::size_t> layers;
    for (std::size_t i = 0; i < resolved.config.diff_ids.size(); ++i)
      if (seen.insert(resolved.config.diff_ids[i]).second) layers.push_back(i);
    return layers;
  }

  Result<void> fetch_layer(const oci::Descriptor& layer, const Digest& diff_id, ImageStore::Adding& adding) {
    const std::string id = layer_id(layer.digest);
    Busy::Turn turn = TRY(core_.downloads.wait_for(diff_id, stop_.get_token()));
    if (core_.layers().has(diff_id)) {
      reporter_.say(id, "Already exists");
      return {};
    }
    Result<void> done = blobs_.has(layer.digest) ? unpack_stored(layer, diff_id) : download(layer, diff_id);
    if (!done) return std::unexpected(std::move(done).error().within("layer " + id));
    {
      std::lock_guard lock(adding_mutex_);
      adding.added(diff_id);
    }
    reporter_.say(id, "Pull complete");
    return {};
  }

  // Its bytes are here, its tree is not. Should they be damaged, they are fetched again.
  Result<void> unpack_stored(const oci::Descriptor& layer, const Digest& diff_id) {
    std::optional<content::Pin> pin = blobs_.pin_if_present(layer.digest);
    if (!pin) return download(layer, diff_id);
    Fd file = TRY(blobs_.open_blob(layer.digest));
    archive::FdSource bytes(file.get());
    bool right = false;
    Result<void> unpacked = unpack(bytes, layer, diff_id, right);
    if (unpacked || unpacked.error().kind != ErrorKind::corrupt) return unpacked;
    // A config that lies about a whole blob must not cost others that blob.
    if (blobs_.verify(layer.digest)) return unpacked;
    TRY(blobs_.set_aside(layer.digest));
    return download(layer, diff_id);
  }

  // One way of a layer here: which places gave it, and what is known of its bytes.
  struct Delivery {
    std::size_t first;                          // of the places that are asked
    std::string from = {};                      // those that gave something, for messages
    std::optional<Error> network_failure = {};  // of the last of them
    bool whole_and_right = false;
  };

  // A place that sends wrong bytes is only found out when it has sent some, and those are in the layer's tree
  // by then, and perhaps gone on with by another place: all of it is thrown away, and the next place starts
  // over.
  Result<void> download(const oci::Descriptor& layer, const Digest& diff_id) {
    content::Ingest ingest =
        TRY(blobs_.begin_ingest("layer-" + layer.digest.hex(), content::Hashing::by_caller));
    if (ingest.offset() > layer.size) TRY(ingest.truncate(0));
    ingest.set_page_cache(PageCache::drop);  // it is read for a push only, which is rare
    for (std::size_t first = 0;;) {
      const bool goes_on = ingest.offset() > 0;
      Delivery delivery{.first = first};
      Result<void> unpacked = unpack_delivered(layer, diff_id, ingest, delivery);
      if (unpacked) break;
      const bool suspicious = blames_bytes(unpacked.error(), delivery);
      if (suspicious) {
        unpacked = std::unexpected(std::move(unpacked).error().within(
            fmt::format("{} from {}", layer.digest.text(), delivery.from)));
        // What came earlier may be what is wrong: the same place gets the chance to send all of it.
        if (!goes_on) ++first;
        if (first <= others_.size()) {
          log_warning("image", "{}: asking again, {}", unpacked.error().message, host_of(first));
          TRY(ingest.truncate(0));
          continue;
        }
      }
      if (suspicious || !worth_going_on(unpacked.error())) hopeless_ = true;  // for the others, stopped next
      if (hopeless_) (void)ingest.abandon();
      return unpacked;
    }
    content::Pin pin = TRY(ingest.commit_verified(layer.digest));
    std::lock_guard lock(adding_mutex_);
    pins_.push_back(std::move(pin));
    return {};
  }

  // Whether other bytes may do what these did not.
  bool blames_bytes(const Error& error, const Delivery& delivery) const {
    if (stop_.stop_requested() || delivery.network_failure || delivery.whole_and_right) return false;
    return error.code == 0 || error.kind != ErrorKind::exhausted;  // of room on the disk there is no more
  }

  Result<void> unpack_delivered(const oci::Descriptor& layer, const Digest& diff_id, content::Ingest& ingest,
                                Delivery& delivery) {
    const std::string id = layer_id(layer.digest);
    std::stop_token stop = stop_.get_token();
    if (ingest.offset() > 0) delivery.from = "an earlier attempt";
    archive::ProducedSource bytes([&](archive::Sink& sink) -> Result<void> {
      TRY(replay(ingest, sink));
      const auto total = static_cast<std::uint64_t>(layer.size);
      archive::FunctionSink both([&](std::string_view part) -> Result<void> {
        TRY(ingest.write(part));
        TRY(sink.write(part));
        reporter_.progress(id, "Downloading", static_cast<std::uint64_t>(ingest.offset()), total);
        return {};
      });
      TRY(fetch_blob(layer, ingest, both, stop, delivery));
      reporter_.say(id, "Download complete");
      return {};
    });
    return unpack(bytes, layer, diff_id, delivery.whole_and_right);
  }

  const std::string& host_of(std::size_t place) const {
    return place == 0 ? session_->endpoint().host : others_[place - 1].host;
  }

  // From where the manifest is from, or a place behind it; a mirror that has lost the blob, or breaks off,
  // leaves it to the places behind it, which go on where it was.
  Result<void> fetch_blob(const oci::Descriptor& layer, const content::Ingest& ingest, archive::Sink& sink,
                          const std::stop_token& stop, Delivery& delivery) {
    bool own_failure = false;  // of what takes the bytes: no other place would help
    archive::FunctionSink watched([&](std::string_view part) -> Result<void> {
      Result<void> written = sink.write(part);
      own_failure = own_failure || !written;
      return written;
    });
    Result<void> got;
    for (std::size_t place = delivery.first; place <= others_.size(); ++place) {
      const std::int64_t before = ingest.offset();
      got = fetch_from(place, layer, static_cast<std::uint64_t>(before), watched, stop);
      if (ingest.offset() > before || got)
        delivery.from += (delivery.from.empty() ? "" : ", ") + host_of(place);
      if (got || own_failure || stop.stop_requested()) return got;
      if (got.error().kind == ErrorKind::corrupt) return got;  // it had more of them than there are
    }
    delivery.network_failure = got.error();
    return got;
  }

  Result<void> fetch_from(std::size_t place, const oci::Descriptor& layer, std::uint64_t offset,
                          archive::Sink& sink, const std::stop_token& stop) {
    if (place == 0) return session_->blob(layer, offset, sink, stop);
    std::unique_ptr<registry::Session> session = TRY(open_session(others_[place - 1]));
    return session->blob(layer, offset, sink, stop);
  }

  // What an earlier attempt has left.
  static Result<void> replay(const content::Ingest& ingest, archive::Sink& sink) {
    if (ingest.offset() == 0) return {};
    Fd file = TRY(ingest.open_for_reading());
    archive::FdSource before(file.get());
    TRY(archive::copy_stream(before, sink));
    return {};
  }

  Result<void> unpack(archive::Source& bytes, const oci::Descriptor& layer, const Digest& diff_id,
                      bool& right) {
    return take_layer(core_.layers(), bytes, layer, diff_id, stop_.get_token(), right);
  }

  // Whether the image is here already, with all of its layers.
  Result<bool> is_whole(const Digest& id, const std::vector<Digest>& diff_ids) {
    db::Transaction transaction = TRY(core_.database().read());
    if (!TRY(find_image(transaction, id))) return false;
    return std::ranges::all_of(diff_ids, [&](const Digest& diff_id) { return core_.layers().has(diff_id); });
  }

  Result<bool> changes_anything(const Digest& id, const Digest& top) {
    db::Transaction transaction = TRY(core_.database().read());
    if (request_.name.tag() && !request_.name.digest()) {
      std::optional<Digest> before = TRY(image_of_name(transaction, request_.name));
      return before != id;
    }
    std::optional<Digest> before = TRY(image_of_name(transaction, request_.name.with_digest(top)));
    return before != id;
  }

  ImageStore& store_;
  ImageStore::Core& core_;
  content::BlobStore& blobs_;
  const PullRequest& request_;
  const oci::Platform wanted_;
  std::stop_source stop_;
  std::atomic<bool> hopeless_ = false;  // a layer failed for good: what came of the others is of no use
  std::stop_callback<std::function<void()>> relay_;
  Reporter reporter_;
  std::unique_ptr<registry::Session> session_;  // of the place that has the manifest
  std::vector<registry::Endpoint> others_;      // the places behind it
  std::mutex adding_mutex_;                     // guards the Adding of this pull, and pins_
  std::vector<content::Pin> pins_;
};

}  // namespace

Result<Pulled> ImageStore::pull(const PullRequest& request) {
  if (request.name.name_only())
    return fail(ErrorKind::invalid, "the name {} has neither tag nor digest", request.name.familiar());
  content::BlobStore* blobs = TRY(core_->blobs());
  Puller puller(*this, *core_, *blobs, request);
  return puller.pull();
}

}  // namespace berth::image
