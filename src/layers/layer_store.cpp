// SPDX-License-Identifier: Apache-2.0
#include "layers/layer_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_map>

#include "archive/tree_walk.h"
#include "archive/unpack.h"
#include "archive/xattr.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "layers/changes.h"
#include "layers/framing.h"
#include "layers/tar_split.h"
#include "sys/remove_deep_tree.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

constexpr const char* kStaging = ".staging";
constexpr const char* kTree = "fs";
constexpr const char* kRecord = "record";
constexpr const char* kImplied = "implied";
constexpr int kRecordVersion = 1;
constexpr std::size_t kImpliedLimit = 1u << 30;

std::string record_text(const Layer& layer) {
  return json::serialize(json::object{{"version", kRecordVersion},
                                      {"diffID", layer.diff_id.text()},
                                      {"size", layer.size},
                                      {"tarSize", layer.tar_size},
                                      {"created", format_time(layer.created)}});
}

Result<Layer> parse_record(std::string_view text, const Digest& diff_id) {
  const json::value document = TRY(parse_json(text, "the layer's record"));
  ObjectReader in(document, "the layer's record");
  Layer layer{diff_id, 0, 0, {}};
  std::string named;
  std::string created;
  std::int64_t version = 0;
  in.read("version", version);
  in.read("diffID", named);
  in.read("size", layer.size);
  in.read("tarSize", layer.tar_size);
  in.read("created", created);
  TRY(in.finish());
  if (version != kRecordVersion)
    return fail(ErrorKind::unsupported, "layer {} was written by another version", diff_id.text());
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

// Attributes of a directory in the layers below, for one that the tar did not describe.
Result<void> copy_attributes(int from, int to) {
  struct stat status;
  if (fstat(from, &status) != 0) return fail_errno(errno, "stat a directory of the layer below");
  if (fchown(to, status.st_uid, status.st_gid) != 0) return fail_errno(errno, "change a directory's owner");
  if (fchmod(to, status.st_mode & 07777) != 0) return fail_errno(errno, "change a directory's mode");
  const auto xattrs = TRY(archive::read_xattrs(from, "."));
  TRY(archive::write_xattrs(to, xattrs));
  const struct timespec times[2] = {status.st_mtim, status.st_mtim};
  if (futimens(to, times) != 0) return fail_errno(errno, "set a directory's times");
  return {};
}

}  // namespace

struct LayerStore::State {
  std::string path;
  Fd directory;
  Fd staging;
  std::mutex mutex;  // held while a layer appears or disappears

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
    TRY(sync_directory(directory.get()));
    return sys::remove_deep_tree(staging.get(), name);
  }
};

LayerStore::LayerStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
LayerStore::LayerStore(LayerStore&&) noexcept = default;
LayerStore& LayerStore::operator=(LayerStore&&) noexcept = default;
LayerStore::~LayerStore() = default;

Result<LayerStore> LayerStore::open(const std::string& directory) {
  TRY(make_directories(directory, 0700));
  auto state = std::make_unique<State>();
  state->path = directory;
  state->directory = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  TRY(make_directory(state->directory.get(), kStaging, 0700));
  TRY(make_directory(state->directory.get(), ".empty", 0755));
  state->staging = TRY(open_at(state->directory.get(), kStaging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(state->sweep());
  return LayerStore(std::move(state));
}

Result<Layer> LayerStore::add(archive::Source& tar, const AddOptions& options) {
  if (options.expected)
    if (Result<Layer> present = get(*options.expected)) return present;
  Staging staged = TRY(Staging::create(state_->staging.get()));
  TRY(make_directory(staged.get(), kTree, 0755));

  SplitReport split = TRY(split_tar(tar, staged.get(), options));
  if (options.expected && split.diff_id != *options.expected)
    return fail(ErrorKind::corrupt, "the layer's contents are {}, but {} was promised", split.diff_id.text(),
                options.expected->text());
  const Layer layer{split.diff_id, split.size, split.tar_size, now()};

  // Everything the record speaks for is on the disk before it.
  if (options.sync && syncfs(staged.get()) != 0) return fail_errno(errno, "sync the layer");
  const Durability durability = options.sync ? Durability::durable : Durability::visible;
  TRY(write_file_atomically(staged.get(), kRecord, record_text(layer), 0600, durability));
  Layer published = TRY(state_->publish(staged, layer));
  if (options.sync) TRY(sync_directory(state_->directory.get()));
  return published;
}

Result<Layer> LayerStore::add_from_upper(int upper, const AddOptions& options) {
  archive::ProducedSource tar(
      [upper, stop = options.stop](archive::Sink& sink) { return pack_layer(upper, sink, stop); });
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
  return fmt::format("{}/{}/{}", state_->path, diff_id.hex(), kTree);
}

std::string LayerStore::empty_path() const { return state_->path + "/.empty"; }

Result<Fd> LayerStore::open_tree(const Digest& diff_id) const {
  Fd layer = TRY(state_->open_layer(diff_id));
  return open_at(layer.get(), kTree, O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

Result<std::unique_ptr<archive::Source>> LayerStore::open_tar(const Digest& diff_id) const {
  TRY(get(diff_id));
  Fd layer = TRY(state_->open_layer(diff_id));
  return join_tar(std::move(layer), diff_id);
}

Result<void> LayerStore::verify(const Digest& diff_id) const {
  std::unique_ptr<archive::Source> tar = TRY(open_tar(diff_id));
  Buffer buffer(256u << 10);
  for (;;) {
    const std::size_t size = TRY_AS("verify layer " + diff_id.text(), tar->read(buffer));
    if (size == 0) return {};
  }
}

Result<void> LayerStore::remove(const Digest& diff_id) {
  std::lock_guard lock(state_->mutex);
  return state_->discard(diff_id);
}

namespace {

enum class Below { here, hidden, deeper };

// What a lower layer says about a directory: it has it (opened into `found`), it hides what lies deeper, or
// the next layer must be asked.
Below look_below(int tree, const std::string& path, Fd& found) {
  std::vector<std::string_view> parts = path.empty() ? std::vector<std::string_view>{} : split(path, '/');
  Result<Fd> current = open_at(tree, ".", O_RDONLY | O_DIRECTORY);
  bool opaque = false;
  for (std::string_view part : parts) {
    if (!current) return Below::hidden;
    char mark;
    opaque = opaque || (fgetxattr(current->get(), "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y');
    Result<Fd> next = open_at(current->get(), std::string(part), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    // A whiteout, a file or a link in its place hides what the layers further down have.
    if (!next) return next.error().code == ENOENT && !opaque ? Below::deeper : Below::hidden;
    current = std::move(next);
  }
  if (!current) return Below::hidden;
  found = *std::move(current);
  return Below::here;
}

}  // namespace

Result<void> LayerStore::inherit_directories(const Digest& diff_id, std::span<const Digest> lower) {
  Fd layer = TRY(state_->open_layer(diff_id));
  Result<std::string> implied = read_file_at(layer.get(), kImplied, kImpliedLimit);
  if (!implied && implied.error().code == ENOENT) return {};
  const std::string paths = TRY(std::move(implied));
  Fd tree = TRY(open_at(layer.get(), kTree, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  std::vector<Fd> below;
  for (const Digest& digest : lower) below.push_back(TRY(open_tree(digest)));
  for (std::string_view rest = paths; !rest.empty();) {
    const std::string path(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(path.size() + 1, rest.size()));
    Result<Fd> ours = sys::open_in_root(tree.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!ours) continue;
    for (const Fd& other : below) {
      Fd found;
      const Below answer = look_below(other.get(), path, found);
      if (answer == Below::deeper) continue;
      if (answer == Below::here) {
        TRY(copy_attributes(found.get(), ours->get()));
        if (fsync(ours->get()) != 0) return fail_errno(errno, "sync the layer's directory {}", path);
      }
      break;
    }
  }
  return {};
}

}  // namespace berth::layers
