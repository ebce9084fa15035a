// SPDX-License-Identifier: Apache-2.0
// `docker push`: layers first, several at a time, then the config, then the manifest, which makes them an
// image. A layer that came from a registry goes on as the bytes it came as; one that was made here is
// compressed while it is sent, and never kept compressed.
#include <algorithm>

#include "archive/compression.h"
#include "archive/stream.h"
#include "content/blob_store.h"
#include "image/image_store.h"
#include "image/store_core.h"
#include "oci/manifest.h"
#include "registry/endpoints.h"
#include "registry/session.h"

namespace berth::image {
namespace {

// A layer's tar, compressed on the way: reading, compressing and sending take a thread each.
class CompressedLayer final : public archive::Source {
 public:
  static Result<std::unique_ptr<archive::Source>> open(const layers::LayerStore& store,
                                                       const Digest& diff_id) {
    std::unique_ptr<archive::Source> tar = TRY(store.open_tar(diff_id));
    return std::unique_ptr<archive::Source>(new CompressedLayer(std::move(tar)));
  }
  Result<std::size_t> read(std::span<char> buffer) override { return compressed_.read(buffer); }

 private:
  explicit CompressedLayer(std::unique_ptr<archive::Source> tar)
      : tar_(std::move(tar)), ahead_(*tar_), compressed_([this](archive::Sink& out) -> Result<void> {
          std::unique_ptr<archive::Sink> gzip = TRY(archive::compress(out, archive::Compression::gzip));
          TRY(archive::copy_stream(ahead_, *gzip));
          return gzip->finish();
        }) {}
  std::unique_ptr<archive::Source> tar_;
  archive::ReadAhead ahead_;
  archive::ProducedSource compressed_;
};

class StoredBlob final : public archive::Source {
 public:
  explicit StoredBlob(Fd file) : file_(std::move(file)), source_(file_.get()) {}
  Result<std::size_t> read(std::span<char> buffer) override { return source_.read(buffer); }

 private:
  Fd file_;
  archive::FdSource source_;
};

// What is pushed. An image on record goes as what Docker's registries have always taken, anything else as the
// OCI has it.
struct Cargo {
  Digest id;  // of the config
  const std::string& config_bytes;
  const std::vector<Digest>& diff_ids;
  std::string config_type = std::string(oci::media_type::kDockerConfig);
  bool on_record = true;
};

class Pusher {
 public:
  Pusher(ImageStore::Core& core, content::BlobStore& blobs, const PushRequest& request, const Cargo& image,
         registry::Session& session, std::stop_source& stop)
      : core_(core),
        blobs_(blobs),
        request_(request),
        image_(image),
        session_(session),
        stop_(stop),
        reporter_(request.on_status, stop) {}

  Result<Pushed> push() {
    oci::Manifest manifest{.media_type = std::string(image_.on_record ? oci::media_type::kDockerManifest
                                                                      : oci::media_type::kManifest),
                           .config = {.media_type = image_.config_type,
                                      .digest = image_.id,
                                      .size = static_cast<std::int64_t>(image_.config_bytes.size())}};
    std::string bytes;
    std::optional<std::pair<std::string, oci::Manifest>> original;
    if (image_.on_record) original = TRY(find_original());
    if (original) {
      bytes = std::move(original->first);
      manifest = std::move(original->second);
    }
    sent_.assign(image_.diff_ids.size(), std::nullopt);
    for (const Digest& diff_id : image_.diff_ids) reporter_.say(diff_id.short_hex(), "Preparing");
    Result<void> layers_sent = in_parallel(image_.diff_ids.size(), request_.access.settings.parallel_uploads,
                                           stop_, [&](std::size_t i) -> Result<void> {
                                             const oci::Descriptor* as =
                                                 original ? &manifest.layers[i] : nullptr;
                                             oci::Descriptor sent = TRY(push_layer(image_.diff_ids[i], as));
                                             sent_[i] = std::move(sent);
                                             return {};
                                           });
    if (!layers_sent) return std::unexpected(std::move(layers_sent).error());
    if (!original) {
      for (const std::optional<oci::Descriptor>& layer : sent_)
        manifest.layers.push_back(image_.on_record ? *layer : as_oci(*layer));
      bytes = oci::format_manifest(manifest);
    }
    TRY(push_config());
    const std::string type =
        manifest.media_type.empty() ? std::string(oci::media_type::kManifest) : manifest.media_type;
    const Digest digest = TRY(session_.put_manifest(*request_.name.tag(), bytes, type, stop_.get_token()));
    if (image_.on_record) TRY(record(digest, bytes, type));
    return Pushed{digest, static_cast<std::int64_t>(bytes.size())};
  }

 private:
  // The same bytes by the name that the OCI has for them: registries are strict about mixtures.
  static oci::Descriptor as_oci(oci::Descriptor layer) {
    if (layer.media_type == oci::media_type::kDockerLayerGzip) layer.media_type = oci::media_type::kLayerGzip;
    if (layer.media_type == oci::media_type::kDockerLayer) layer.media_type = oci::media_type::kLayer;
    return layer;
  }

  // The manifest that the image came with, where the bytes of all its layers are still here: the digest
  // stays.
  Result<std::optional<std::pair<std::string, oci::Manifest>>> find_original() {
    std::vector<ManifestRecord> documents;
    {
      db::Transaction transaction = TRY(core_.database().read());
      documents = TRY(manifests_of(transaction, image_.id));
    }
    for (const ManifestRecord& document : documents) {
      if (!oci::is_manifest(document.media_type)) continue;
      Result<std::string> bytes = blobs_.read(document.digest, oci::kDocumentLimit);
      if (!bytes) continue;
      Result<oci::Manifest> manifest = oci::parse_manifest(*bytes);
      if (!manifest || manifest->config.digest != image_.id ||
          manifest->layers.size() != image_.diff_ids.size())
        continue;
      const bool whole = std::ranges::all_of(
          manifest->layers, [&](const oci::Descriptor& layer) { return blobs_.has(layer.digest); });
      if (whole) return std::pair(*std::move(bytes), *std::move(manifest));
    }
    return std::nullopt;
  }

  // `as`: exactly that blob; otherwise whatever blob of this layer.
  Result<oci::Descriptor> push_layer(const Digest& diff_id, const oci::Descriptor* as) {
    const std::string id = diff_id.short_hex();
    std::vector<BlobRecord> known;
    {
      db::Transaction transaction = TRY(core_.database().read());
      known = TRY(blobs_of_layer(transaction, diff_id));
    }
    if (as) std::erase_if(known, [&](const BlobRecord& blob) { return blob.digest != as->digest; });
    if (as && known.empty()) known.push_back({diff_id, as->digest, as->size, as->media_type});
    // Bytes that are here go as they are; of the others only the digest is known.
    std::ranges::stable_partition(known, [&](const BlobRecord& blob) { return blobs_.has(blob.digest); });
    for (const BlobRecord& blob : known) {
      std::optional<content::Pin> pin = blobs_.pin_if_present(blob.digest);
      std::optional<oci::Descriptor> sent = TRY(push_known(blob, id, pin.has_value()));
      if (sent) return *std::move(sent);
    }
    return push_compressed(diff_id, id);
  }

  // nullopt: the registry does not have it, nor do we.
  Result<std::optional<oci::Descriptor>> push_known(const BlobRecord& blob, const std::string& id,
                                                    bool stored) {
    registry::Upload upload{.open = {}, .digest = blob.digest, .size = static_cast<std::uint64_t>(blob.size)};
    upload.mount_from = TRY(mount_source(blob.digest));
    if (!stored) {
      if (TRY(session_.has_blob(blob.digest, stop_.get_token())))
        return said(blob, id, "Layer already exists");
      return std::nullopt;
    }
    upload.open = [this, digest = blob.digest]() -> Result<std::unique_ptr<archive::Source>> {
      Fd file = TRY(blobs_.open_blob(digest));
      return std::make_unique<StoredBlob>(std::move(file));
    };
    upload.progress = [this, &id, total = static_cast<std::uint64_t>(blob.size)](std::uint64_t bytes) {
      reporter_.progress(id, "Pushing", bytes, total);
    };
    const registry::Uploaded done = TRY_AS("layer " + id, session_.upload(upload, stop_.get_token()));
    if (done.how == registry::Uploaded::How::present) return said(blob, id, "Layer already exists");
    if (done.how == registry::Uploaded::How::mounted)
      return said(blob, id, "Mounted from " + upload.mount_from);
    return said(blob, id, "Pushed");
  }

  std::optional<oci::Descriptor> said(const BlobRecord& blob, const std::string& id, std::string text) {
    reporter_.say(id, std::move(text));
    return oci::Descriptor{.media_type = blob.media_type, .digest = blob.digest, .size = blob.size};
  }

  // Another repository of the same registry that the blob is known to be in.
  Result<std::string> mount_source(const Digest& digest) {
    db::Transaction transaction = TRY(core_.database().read());
    std::vector<std::string> places = TRY(places_of(transaction, digest));
    const std::string domain = request_.name.domain() + "/";
    for (const std::string& place : places)
      if (place.starts_with(domain) && place != request_.name.repository())
        return place.substr(domain.size());
    return std::string();
  }

  Result<oci::Descriptor> push_compressed(const Digest& diff_id, const std::string& id) {
    const layers::Layer layer = TRY(core_.layers().get(diff_id));
    registry::Upload upload;
    upload.open = [this, diff_id] { return CompressedLayer::open(core_.layers(), diff_id); };
    upload.progress = [&](std::uint64_t bytes) { reporter_.progress(id, "Pushing", bytes, layer.tar_size); };
    const registry::Uploaded done = TRY_AS("layer " + id, session_.upload(upload, stop_.get_token()));
    reporter_.say(id, "Pushed");
    const oci::Descriptor sent{.media_type = std::string(oci::media_type::kDockerLayerGzip),
                               .digest = done.digest,
                               .size = static_cast<std::int64_t>(done.size)};
    db::Transaction transaction = TRY(core_.database().begin(Durability::visible));
    TRY(insert_blob(transaction, {diff_id, sent.digest, sent.size, sent.media_type}));
    TRY(transaction.commit());
    return sent;
  }

  Result<void> push_config() {
    registry::Upload upload{.open = {}, .digest = image_.id, .size = image_.config_bytes.size()};
    upload.open = [this]() -> Result<std::unique_ptr<archive::Source>> {
      return std::make_unique<archive::StringSource>(image_.config_bytes);
    };
    TRY_AS("config of " + request_.name.familiar(), session_.upload(upload, stop_.get_token()));
    return {};
  }

  // From now on the image is known by this digest too, and where its blobs can be mounted from.
  Result<void> record(const Digest& digest, const std::string& bytes, const std::string& type) {
    content::Pin pin = TRY(blobs_.put(bytes));
    const std::string repository = request_.name.repository();
    db::Transaction transaction = TRY(core_.database().begin(Durability::durable));
    TRY(set_name(transaction, request_.name.with_digest(digest), image_.id));
    TRY(insert_manifest(transaction, image_.id, {digest, type}));
    for (const std::optional<oci::Descriptor>& layer : sent_)
      TRY(insert_place(transaction, layer->digest, repository));
    return transaction.commit();
  }

  ImageStore::Core& core_;
  content::BlobStore& blobs_;
  const PushRequest& request_;
  const Cargo& image_;
  registry::Session& session_;
  std::stop_source& stop_;
  Reporter reporter_;
  std::vector<std::optional<oci::Descriptor>> sent_;  // by position; each written by one thread
};

}  // namespace

namespace {

Result<Pushed> push_cargo(ImageStore::Core& core, const Cargo& cargo, const PushRequest& request) {
  content::BlobStore* blobs = TRY(core.blobs());
  std::vector<registry::Endpoint> endpoints =
      TRY(registry::endpoints_of(request.name, request.access.settings));
  std::unique_ptr<registry::Session> session = TRY(registry::Session::open(
      endpoints.back(), request.access.settings, request.access.credentials, "pull,push", request.stop));
  std::stop_source stop;
  std::stop_callback relay(request.stop, [&] { stop.request_stop(); });
  return Pusher(core, *blobs, request, cargo, *session, stop).push();
}

Result<void> check_push(const PushRequest& request) {
  if (request.name.tag() && !request.name.digest()) return {};
  return fail(ErrorKind::invalid, "cannot push {}: a push needs a tag", request.name.familiar());
}

}  // namespace

Result<Pushed> ImageStore::push(const PushRequest& request) {
  TRY(check_push(request));
  Result<LeasedImage> leased = acquire(request.image ? request.image->text() : request.name.familiar());
  // Never what a name stands for that looks like the id.
  if (request.image && (!leased || leased->image.id != *request.image))
    return fail(ErrorKind::not_found, "No such image: {}, which is to be pushed as {}", request.image->text(),
                request.name.familiar());
  if (!leased)
    return fail(ErrorKind::not_found, "An image does not exist locally with the tag: {}",
                request.name.familiar_repository());
  const Image& image = leased->image;
  Pushed pushed = TRY(push_cargo(
      *core_, {.id = image.id, .config_bytes = image.config_bytes, .diff_ids = image.diff_ids}, request));
  core_->emit("push", image.id, request.name.familiar());
  return pushed;
}

Result<Pushed> ImageStore::push(const UnrecordedImage& image, const PushRequest& request) {
  TRY(check_push(request));
  const Cargo cargo{.id = sha256_of(image.config_bytes),
                    .config_bytes = image.config_bytes,
                    .diff_ids = image.diff_ids,
                    .config_type = image.config_type,
                    .on_record = false};
  return push_cargo(*core_, cargo, request);
}

}  // namespace berth::image
