// SPDX-License-Identifier: Apache-2.0
// The images of one engine: names, configs, and which layers they are made of. Records are in the database,
// layers in the LayerStore. Thread-safe.
//
// An image appears in one transaction after all of its layers are durable, so a crash leaves an image whole
// or not there at all. Layers that nothing refers to are collected: at once when an image goes, and by
// sweep() after a crash. A layer stays while an image, a Lease, or an operation under way needs it.
//
//   auto store = TRY(ImageStore::open(options));
//   for (each container on record) leases.push_back(TRY(store->lease(container.diff_ids)));
//   TRY(store->sweep());                     // only now: the leases say what stopped containers still need
//   auto [image, lease] = TRY(store->acquire("bb"));   // run: nobody can take the layers away meanwhile
//
// While a transaction of the database is open in a thread, that thread must not call the store.
//
// Errors that clients see have Docker's words: "No such image: bb:latest", "conflict: unable to ...".
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "db/database.h"
#include "image/image.h"
#include "image/transfer.h"
#include "oci/image_config.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace berth::archive {
class Source;
class Sink;
}  // namespace berth::archive
namespace berth::layers {
class LayerStore;
}

namespace berth::content {
class BlobStore;
}

namespace berth::image {

// The steps of this room's tables: pass them to Database::open together with those of other rooms.
std::vector<db::Migration> migrations();

// Keeps the layers of one container from being collected while it exists, even when its image is removed.
// Release it outside of any database transaction: layers may be collected then.
class Lease {
 public:
  Lease() noexcept;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();
  void release() noexcept;

 private:
  friend class ImageStore;
  struct Held;
  explicit Lease(std::unique_ptr<Held> held);
  std::unique_ptr<Held> held_;
};

struct LeasedImage;

struct StoreOptions {
  db::Database* database = nullptr;      // opened with migrations(); outlives the store
  layers::LayerStore* layers = nullptr;  // outlives the store
  content::BlobStore* blobs = nullptr;   // outlives the store; without it there is no pull and no push
  std::string staging;                   // a directory of this store alone; what it holds is deleted
  std::function<void(const Event&)> on_event = {};  // called without locks held, after the fact
};

struct ImportRequest {
  std::vector<std::string> changes = {};  // Dockerfile instructions
  std::string message = {};
  std::optional<oci::Platform> platform = {};  // the host's when missing
  std::optional<oci::Reference> name = {};     // "latest" is added where it has no tag
  OnProgress on_progress = {};
  std::stop_token stop = {};
};

struct CommitRequest {
  std::optional<Digest> parent = {};         // the container's image; nullopt: from nothing
  std::vector<Digest> parent_diff_ids = {};  // used when `parent` is not an image any more
  int upper = -1;                            // the container's upper directory; it must not change meanwhile
  oci::ContainerConfig config = {};          // the container's, which `changes` are then applied to
  std::vector<std::string> changes = {};
  std::string author = {};
  std::string message = {};
  std::string created_by = {};  // for the history; the config's command when empty
  std::optional<oci::Reference> name = {};
  std::stop_token stop = {};
};

// What a builder or a puller has: a config and layers that are in the LayerStore already.
struct CreateRequest {
  std::string config_bytes = {};
  std::optional<Digest> parent = {};
  std::vector<oci::Reference> names = {};  // with a tag or a digest
};

// One that need not be on record: what a build came to. Its layers must be protected meanwhile, by a lease.
// With another type than a config's it is no image, but layers with a document about them.
struct UnrecordedImage {
  std::string config_bytes = {};
  std::string config_type = std::string(oci::media_type::kConfig);
  std::vector<Digest> diff_ids = {};       // base first
  std::vector<oci::Reference> names = {};  // with a tag
};
enum class ArchiveForm { docker_and_oci, oci };

struct LoadRequest {
  OnProgress on_progress = {};
  std::optional<oci::Platform> platform = {};  // of an index's images only this one; nullopt: the host's
  std::stop_token stop = {};
};

class ImageStore {
 public:
  static Result<std::unique_ptr<ImageStore>> open(StoreOptions options);
  ImageStore(const ImageStore&) = delete;
  ImageStore& operator=(const ImageStore&) = delete;
  ~ImageStore();

  // By name[:tag], name@digest, full id with or without "sha256:", or a prefix of one id. A name wins over an
  // id. ErrorKind::not_found "No such image: ..."; a prefix of several ids is ErrorKind::invalid.
  Result<Image> resolve(std::string_view text) const;
  Result<Digest> resolve_id(std::string_view text) const;
  Result<Image> get(const Digest& id) const;

  // resolve(), and its layers stay until the lease is gone.
  Result<LeasedImage> acquire(std::string_view text);
  // For containers that exist when the engine starts. A layer that is missing is not an error here.
  Lease lease(const std::vector<Digest>& diff_ids);

  // Newest first. Filters: reference, label, dangling, before, since, until; an unknown one is
  // ErrorKind::invalid. `all` includes images that are only parents of others.
  Result<std::vector<Summary>> list(bool all, const Filters& filters, bool with_shared_size = false) const;
  // Every tag of the repository of `name`, whatever its own tag is.
  Result<std::vector<oci::Reference>> tags_of_repository(const oci::Reference& name) const;
  Result<std::vector<HistoryLine>> history(std::string_view name) const;
  Result<DiskUsage> disk_usage() const;
  Result<std::set<Digest>> layers_of_images() const;

  Result<void> tag(std::string_view source, const oci::Reference& name);
  // Docker's rmi: a name is untagged, and what has no name left is deleted with its nameless parents (unless
  // no_prune).
  Result<std::vector<Removal>> remove(std::string_view text, bool force, bool no_prune, const UsersOf& users);
  // Images without a name, or with `all` every image that no container uses. Filters: dangling, until, label,
  // label!. Also collects layers that nothing refers to.
  Result<PruneResult> prune(bool all, Filters filters, const UsersOf& users);

  // A file system as a tar, plain or compressed, becomes an image of one layer.
  Result<Digest> import(archive::Source& tar, const ImportRequest& request);
  // What `docker save`, skopeo and buildah write: docker-archive, OCI layout, or both in one; the whole may
  // be compressed, entries may come in any order. All images of the archive, or none.
  Result<std::vector<Loaded>> load(archive::Source& tar, const LoadRequest& request);
  // One tar that is a docker-archive and an OCI layout. A name without a tag means all tags of the
  // repository; an id saves without a name. The same images always give the same bytes.
  Result<void> save(std::span<const std::string> names, archive::Sink& out, std::stop_token stop = {});
  // The same of an image that is not on record; returns the manifest's digest, which `on_manifest` is told
  // before the first byte goes out.
  Result<Digest> save(const UnrecordedImage& image, ArchiveForm form, archive::Sink& out,
                      const std::function<void(const Digest&)>& on_manifest = {}, std::stop_token stop = {});
  Result<Digest> commit(const CommitRequest& request);
  // From a registry, and to one (distribution-spec 1.1). Layers are fetched at once and in one pass each;
  // what is here already is not fetched. A download that was cut goes on where it was, also after a restart.
  Result<Pulled> pull(const PullRequest& request);
  Result<Pushed> push(const PushRequest& request);
  Result<Pushed> push(const UnrecordedImage& image, const PushRequest& request);
  // Records an image whose layers exist. Its layers must be protected meanwhile: see Adding.
  Result<Digest> create(const CreateRequest& request);

  // While one exists, no layer is collected: hold it from before a layer is added until create() has
  // returned.
  class Adding {
   public:
    explicit Adding(ImageStore& store);
    Adding(const Adding&) = delete;
    Adding& operator=(const Adding&) = delete;
    ~Adding();
    // A layer that was added: it is collected at the end if no image took it.
    void added(const Digest& diff_id) { added_.push_back(diff_id); }

   private:
    ImageStore& store_;
    std::vector<Digest> added_;
  };

  // Both digests are verified; nothing is read if the layer is here already. Somebody has to hold an Adding,
  // and to announce the layer to it.
  Result<void> fetch_layer(const LayerFetch& fetch);

  // Collects layers that neither images nor leases need. Call it once after start, when all leases are taken.
  // After a damaged database was set aside it does nothing, since nobody knows what the layers belong to:
  // prune() does it then, on request. Returns the bytes freed.
  Result<std::int64_t> sweep();

  struct CheckOptions {
    bool read_contents = true;  // every byte of every layer and blob: slow
    // Damaged layers and blobs that a registry can give again are taken out, if no container uses them: the
    // next pull brings them back.
    bool set_aside = false;
  };
  Result<std::vector<Finding>> check(const CheckOptions& options) const;
  Result<std::vector<Finding>> check() const { return check(CheckOptions()); }

  struct Core;  // store_core.h: for this room's sources

 private:
  explicit ImageStore(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

struct LeasedImage {
  Image image;
  Lease lease;
};

}  // namespace berth::image
