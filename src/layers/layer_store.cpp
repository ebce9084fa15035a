// SPDX-License-Identifier: Apache-2.0
#include "layers/layer_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "layers/changes.h"
#include "layers/erofs_mount.h"
#include "layers/layer_driver.h"
#include "layers/layer_mounts.h"
#include "sys/remove_deep_tree.h"

namespace berth::layers {
namespace {

constexpr const char* kStaging = ".staging";
constexpr const char* kRecord = "record";
// An engine that knew trees alone shall not take an image for one.
constexpr int kTreeVersion = 1;
constexpr int kErofsVersion = 2;

std::string record_text(const Layer& layer) {
  const bool erofs = layer.driver == Driver::erofs;
  return json::serialize(json::object{{"version", erofs ? kErofsVersion : kTreeVersion},
                                      {"driver", std::string(to_text(layer.driver))},
                                      {"diffID", layer.diff_id.text()},
                                      {"size", layer.size},
                                      {"tarSize", layer.tar_size},
                                      {"created", format_time(layer.created)}});
}

Result<Layer> parse_record(std::string_view text, const Digest& diff_id) {
  const json::value document = TRY(parse_json(text, "the layer's record"));
  ObjectReader in(document, "the layer's record");
  Layer layer{diff_id, 0, 0, {}, Driver::overlay};
  std::string named;
  std::string created;
  std::int64_t version = 0;
  in.read("version", version);
  in.read("diffID", named);
  in.read("size", layer.size);
  in.read("tarSize", layer.tar_size);
  in.read("created", created);
  TRY(in.finish());
  if (version != kTreeVersion && version != kErofsVersion)
    return fail(ErrorKind::unsupported, "layer {} was written by another version", diff_id.text());
  if (version == kErofsVersion) layer.driver = Driver::erofs;
  if (named != diff_id.text())
    return fail(ErrorKind::corrupt, "the record of layer {} is another's", diff_id.text());
  layer.created = TRY(parse_time(created));
  return layer;
}

Result<void> make_directory(int parent, const std::string& name, mode_t mode) {
  if (mkdirat(parent, name.c_str(), mode) != 0 && errno != EEXIST)
    return fail_errno(errno, "create directory {}", name);
  return {};
}

// A directory being filled; removed unless it is kept.
class Staging {
 public:
  static Result<Staging> create(int above) {
    const std::string name = random_identifier();
    if (mkdirat(above, name.c_str(), 0700) != 0) return fail_errno(errno, "create a staging directory");
    Staging staging(above, name);
    staging.directory_ = TRY(open_at(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return staging;
  }
  Staging(Staging&& other) noexcept
      : above_(other.above_),
        name_(std::exchange(other.name_, {})),
        directory_(std::move(other.directory_)) {}
  Staging& operator=(Staging&&) = delete;
  ~Staging() {
    if (name_.empty()) return;
    directory_.reset();
    if (Result<void> gone = sys::remove_deep_tree(above_, name_); !gone)
      log_warning("layers", "a staging directory stays until the next start: {}", gone.error().message);
  }

  int get() const { return directory_.get(); }
  const std::string& name() const { return name_; }
  void keep() { name_.clear(); }

 private:
  Staging(int above, std::string name) : above_(above), name_(std::move(name)) {}
  int above_;
  std::string name_;
  Fd directory_;
};

}  // namespace

struct LayerStore::State {
  std::string path;
  Fd directory;
  Fd staging;
  const LayerDriver* driver = nullptr;  // of layers to come
  std::mutex mutex;                     // held while a layer appears or disappears
  std::mutex inheriting;                // two images of one layer may be made at once
  std::unique_ptr<LayerMounts> mounts;

  Result<Fd> open_layer(const Digest& diff_id) const {
    Result<Fd> opened = open_at(directory.get(), diff_id.hex(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!opened && opened.error().code == ENOENT)
      return fail(ErrorKind::not_found, "layer {} is not here", diff_id.text());
    return opened;
  }

  Result<Layer> read(const Digest& diff_id) const {
    Fd layer = TRY(open_layer(diff_id));
    Result<std::string> text = read_file_at(layer.get(), kRecord);
    if (!text && text.error().code == ENOENT)
      return fail(ErrorKind::not_found, "layer {} is not here", diff_id.text());
    if (!text) return std::unexpected(std::move(text).error());
    return parse_record(*text, diff_id);
  }

  Result<void> sweep() {
    for (const std::string& name : TRY(list_directory(path + "/" + kStaging)))
      if (Result<void> gone = sys::remove_deep_tree(staging.get(), name); !gone)
        log_warning("layers", "what a crash left behind stays: {}", gone.error().message);
    return {};
  }

  // Makes a staged layer the one of that name. Another thread may have been faster: then its one stays.
  Result<Layer> publish(Staging& staged, const Layer& layer) {
    std::lock_guard lock(mutex);
    if (Result<Layer> present = read(layer.diff_id)) return present;
    TRY(discard(layer.diff_id));  // without a readable record it is nothing
    if (renameat(staging.get(), staged.name().c_str(), directory.get(), layer.diff_id.hex().c_str()) != 0)
      return fail_errno(errno, "put layer {} in its place", layer.diff_id.text());
    staged.keep();
    return layer;
  }

  // First out of sight in one step, then piece by piece.
  Result<void> discard(const Digest& diff_id) {
    const std::string name = random_identifier();
    if (renameat(directory.get(), diff_id.hex().c_str(), staging.get(), name.c_str()) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno(errno, "remove layer {}", diff_id.text());
    }
    mounts->forget(diff_id);
    TRY(sync_directory(directory.get()));
    return sys::remove_deep_tree(staging.get(), name);
  }
};

LayerStore::LayerStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
LayerStore::LayerStore(LayerStore&&) noexcept = default;
LayerStore& LayerStore::operator=(LayerStore&&) noexcept = default;
LayerStore::~LayerStore() = default;

Result<LayerStore> LayerStore::open(const std::string& directory, Driver driver,
                                    std::optional<MountPlace> place) {
  TRY(make_directories(directory, 0700));
  auto state = std::make_unique<State>();
  state->path = directory;
  state->driver = &driver_of(driver);
  state->mounts = std::make_unique<LayerMounts>(directory, place);
  state->directory = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  TRY(make_directory(state->directory.get(), kStaging, 0700));
  TRY(make_directories(directory + kEmptyDirectory, 0755));
  state->staging = TRY(open_at(state->directory.get(), kStaging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(state->sweep());
  // One whose record cannot be read is left alone: its image may be running.
  state->mounts->detach_all_but([&](const Digest& diff_id) {
    Result<Fd> layer = state->open_layer(diff_id);
    return layer || layer.error().kind != ErrorKind::not_found;
  });
  sweep_probes(directory);
  return LayerStore(std::move(state));
}

Driver LayerStore::driver() const noexcept { return state_->driver->kind(); }

Result<Layer> LayerStore::add(archive::Source& tar, const AddOptions& options) {
  if (options.expected)
    if (Result<Layer> present = get(*options.expected)) return present;
  Staging staged = TRY(Staging::create(state_->staging.get()));
  const MadeLayer made = TRY(state_->driver->make(tar, staged.get(), options));
  if (options.expected && made.diff_id != *options.expected)
    return fail(ErrorKind::corrupt, "the layer's contents are {}, but {} was promised", made.diff_id.text(),
                options.expected->text());
  const Layer layer{made.diff_id, made.size, made.tar_size, now(), state_->driver->kind()};

  // Everything the record speaks for is on the disk before it.
  const Durability durability = options.sync ? Durability::durable : Durability::visible;
  TRY(write_file_atomically(staged.get(), kRecord, record_text(layer), 0600, durability));
  Layer published = TRY(state_->publish(staged, layer));
  if (options.sync) TRY(sync_directory(state_->directory.get()));
  return published;
}

Result<Layer> LayerStore::add_from_upper(int upper, const AddOptions& options) {
  archive::ProducedSource tar(
      [upper, pack = PackLayerOptions{options.latest, options.describe_root, options.stop}](
          archive::Sink& sink) { return pack_layer(upper, sink, pack); });
  return add(tar, options);
}

Result<Layer> LayerStore::get(const Digest& diff_id) const { return state_->read(diff_id); }

bool LayerStore::has(const Digest& diff_id) const noexcept { return state_->read(diff_id).has_value(); }

Result<std::vector<Layer>> LayerStore::list() const {
  std::vector<Layer> layers;
  for (const std::string& name : TRY(list_directory(state_->path))) {
    Result<Digest> diff_id = Digest::parse("sha256:" + name);
    if (!diff_id) continue;
    Result<Layer> layer = get(*diff_id);
    if (layer)
      layers.push_back(*std::move(layer));
    else
      log_warning("layers", "layer {} is left out: {}", name, layer.error().message);
  }
  return layers;
}

std::string LayerStore::tree_path(const Digest& diff_id) const {
  return fmt::format("{}/{}/fs", state_->path, diff_id.hex());
}

std::string LayerStore::empty_path() const { return state_->path + kEmptyDirectory; }

void LayerStore::detach_mounts() { state_->mounts->detach_all(); }

Result<LowerDirectory> LayerStore::lower_directory(const Digest& diff_id) const {
  const Layer record = TRY(get(diff_id));
  const LayerDriver& driver = driver_of(record.driver);
  if (!driver.tree_is_mount()) return LowerDirectory{tree_path(diff_id), nullptr};
  Fd layer = TRY(state_->open_layer(diff_id));
  return state_->mounts->get(driver, layer.get(), diff_id);
}

Result<Fd> LayerStore::open_tree(const Digest& diff_id) const {
  const LowerDirectory lower = TRY(lower_directory(diff_id));
  if (lower.mount) return lower.mount->duplicate();
  return open_file(lower.path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

Result<std::unique_ptr<archive::Source>> LayerStore::open_tar(const Digest& diff_id) const {
  const Layer record = TRY(get(diff_id));
  return driver_of(record.driver).open_tar(TRY(state_->open_layer(diff_id)), diff_id);
}

Result<void> LayerStore::verify(const Digest& diff_id) const {
  const Layer record = TRY(get(diff_id));
  Fd layer = TRY(state_->open_layer(diff_id));
  TRY_AS("verify layer " + diff_id.text(), driver_of(record.driver).verify(std::move(layer), diff_id));
  return {};
}

Result<void> LayerStore::remove(const Digest& diff_id) {
  std::lock_guard lock(state_->mutex);
  return state_->discard(diff_id);
}

Result<void> LayerStore::inherit_directories(const Digest& diff_id, std::span<const Digest> lower) {
  const Layer record = TRY(get(diff_id));
  Fd layer = TRY(state_->open_layer(diff_id));
  // Nearly every layer describes its directories: no mount is made for it then.
  if (faccessat(layer.get(), kImpliedFile, F_OK, AT_SYMLINK_NOFOLLOW) != 0) return {};
  std::lock_guard lock(state_->inheriting);
  std::vector<Fd> below;
  for (const Digest& digest : lower) below.push_back(TRY(open_tree(digest)));
  if (TRY(driver_of(record.driver).inherit(layer.get(), diff_id, below))) state_->mounts->forget(diff_id);
  return {};
}

// --- what drivers share ---

const LayerDriver& driver_of(Driver kind) {
  return kind == Driver::erofs ? erofs_driver() : overlay_driver();
}

std::string_view to_text(Driver driver) noexcept { return driver == Driver::erofs ? "erofs" : "overlay"; }

Result<void> read_through(archive::Source& source) {
  Buffer buffer(256u << 10);
  while (TRY(source.read(buffer)) > 0) {
  }
  return {};
}

}  // namespace berth::layers
