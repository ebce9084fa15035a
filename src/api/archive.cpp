// SPDX-License-Identifier: Apache-2.0
// Files in and out of containers: cp, export, diff, commit.
#include "api/respond.h"
#include "api/routes.h"
#include "archive/compression.h"
#include "archive/pack.h"
#include "base/text.h"
#include "engine/container_files.h"
#include "layers/changes.h"
#include "layers/copy.h"
#include "layers/overlay.h"
#include "oci/config_json.h"
#include "oci/reference.h"
#include "runtime/users.h"
#include "sys/rooted_path.h"

namespace berth::api {
namespace {

using engine::ContainerPointer;

Result<std::string> path_parameter(Call& call) {
  std::string path(call.parameter("path"));
  if (path.empty()) return fail(ErrorKind::invalid, "missing parameter: path");
  return path;
}

// Clients say "Could not find the file X in container Y" by this.
template <class T>
Result<T> in_container(Result<T> result, const std::string& path, const ContainerPointer& container) {
  if (result || result.error().kind != ErrorKind::not_found) return result;
  return fail(ErrorKind::not_found, "Could not find the file {} in container {}", path, container->record.id);
}

std::string encode_stat(const layers::PathStat& stat) {
  return to_base64(json::serialize(json::object{{"name", stat.name},
                                                {"size", stat.size},
                                                {"mode", stat.mode},
                                                {"mtime", format_time(stat.mtime)},
                                                {"linkTarget", stat.link_target}}));
}

Result<engine::FilesPointer> open_files(Call& call, const ContainerPointer& container,
                                        engine::FilesFor purpose) {
  return engine::open_container_files(call.engine.settings(), call.engine.roots(), call.engine.containers(),
                                      call.engine.volumes(), container, purpose);
}

// Ends when the container is removed, which waits for nobody who copies into it.
class WhileThere final : public archive::Source {
 public:
  WhileThere(archive::Source& inner, const engine::Container& container)
      : inner_(inner), container_(container) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t size = TRY(inner_.read(buffer));
    std::lock_guard lock(container_.mutex);
    if (container_.removing)
      return fail(ErrorKind::conflict, "container {} is being removed", container_.record.id);
    return size;
  }

 private:
  archive::Source& inner_;
  const engine::Container& container_;
};

Result<void> get_archive(Call& call) {
  ContainerPointer container = TRY(call.container());
  std::string path = TRY(path_parameter(call));
  engine::FilesPointer root = TRY(open_files(call, container, engine::FilesFor::reading));
  layers::PathStat stat = TRY(in_container(layers::stat_path(root->get(), path), path, container));
  http::Headers headers{{"Content-Type", "application/x-tar"},
                        {"X-Docker-Container-Path-Stat", encode_stat(stat)}};
  if (call.request().method == "HEAD") return call.exchange.respond(200, std::move(headers), "");
  BodySink sink(call.exchange, std::move(headers));
  TRY(layers::archive_path(root->get(), path, sink));
  return sink.finish();
}

// Whether something below this path belongs to a mount that must not be written to.
bool read_only_at(const engine::Container& container, const std::string& path) {
  const engine::MountPoint* nearest = nullptr;
  for (const engine::MountPoint& mount : container.record.mounts) {
    const bool inside = path == mount.destination || path.starts_with(mount.destination + "/");
    if (inside && (!nearest || mount.destination.size() > nearest->destination.size())) nearest = &mount;
  }
  return nearest ? nearest->read_only : container.record.host_config.readonly_rootfs;
}

Result<void> put_archive(Call& call) {
  ContainerPointer container = TRY(call.container());
  std::string path = TRY(path_parameter(call));
  engine::FilesPointer root = TRY(open_files(call, container, engine::FilesFor::writing));
  Result<std::string> resolved = in_container(sys::resolve_in_root(root->get(), path), path, container);
  const std::string real = TRY(std::move(resolved));
  layers::ExtractOptions options;
  options.no_overwrite_dir_non_dir = call.flag("noOverwriteDirNonDir");
  {
    std::lock_guard lock(container->mutex);
    if (read_only_at(*container, real))
      return fail(ErrorKind::denied, "container rootfs is marked read-only");
    if (call.flag("copyUIDGID")) {
      runtime::ResolvedUser user = TRY(
          runtime::resolve_user(runtime::read_account_files(root->get()), container->record.config.user, {}));
      options.chown_to = archive::Owner{user.user.uid, user.user.gid};
    }
  }
  BodySource body(call.exchange);
  WhileThere source(body, *container);
  std::unique_ptr<archive::Source> tar = TRY(archive::decompress(source));
  TRY(in_container(layers::extract_to(root->get(), path, *tar, options), path, container));
  root.reset();  // who hears of the end may start the container
  return call.exchange.respond(200, {}, "");
}

Result<void> export_container(Call& call) {
  ContainerPointer container = TRY(call.container());
  Fd root = TRY(call.engine.roots().open_read_only(container->record));
  BodySink sink(call.exchange, {{"Content-Type", "application/octet-stream"}});
  TRY(archive::pack(root.get(), "/", sink, {}));
  call.engine.lifecycle().publish(*container, "export");
  return sink.finish();
}

Result<void> changes(Call& call) {
  ContainerPointer container = TRY(call.container());
  Fd upper = TRY(call.engine.roots().open_upper(container->record));
  layers::OverlaySpec spec = call.engine.roots().overlay_of(container->record);
  std::vector<layers::Change> found = TRY(layers::changes(call.engine.layers(), upper.get(), spec));
  json::array list;
  for (const layers::Change& change : found)
    list.push_back(json::object{{"Path", change.path}, {"Kind", static_cast<int>(change.kind)}});
  return send_json(call, 200, list.empty() ? json::value(nullptr) : json::value(std::move(list)));
}

// Stands still while its files are read, unless the client said not to.
class Standstill {
 public:
  Standstill(engine::Lifecycle& lifecycle, const ContainerPointer& container, bool wanted)
      : lifecycle_(lifecycle),
        container_(container),
        paused_(wanted && lifecycle.pause(container).has_value()) {}
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;
  ~Standstill() {
    if (paused_) (void)lifecycle_.unpause(container_);
  }

 private:
  engine::Lifecycle& lifecycle_;
  const ContainerPointer& container_;
  bool paused_;
};

Result<void> commit(Call& call) {
  ContainerPointer container = TRY(call.engine.containers().find(call.parameter("container")));
  image::CommitRequest request;
  json::value body = TRY(read_json(call, true));
  {
    std::lock_guard lock(container->mutex);
    request.parent = container->record.image_id;
    request.parent_diff_ids = container->record.diff_ids;
    request.config = container->record.config;
    request.created_by = join(container->record.arguments, " ");
    // The host name was made for this container, not for those that come from the image.
    if (request.config.hostname == container->record.id.substr(0, 12)) request.config.hostname.clear();
  }
  ObjectReader in(body, "");
  oci::read_container_config(in, request.config);
  TRY(in.finish());
  request.author = call.parameter("author");
  request.message = call.parameter("comment");
  for (std::string_view change : call.request().query.all("changes")) request.changes.emplace_back(change);
  if (std::string_view repository = call.parameter("repo"); !repository.empty()) {
    std::string name(repository);
    if (!call.parameter("tag").empty()) name.append(":").append(call.parameter("tag"));
    request.name = TRY(oci::Reference::parse(name));
  }
  const bool pause = call.parameter("pause").empty() || call.flag("pause");
  Standstill standstill(call.engine.lifecycle(), container, pause);
  Fd upper = TRY(call.engine.roots().open_upper(container->record));
  request.upper = upper.get();
  Digest id = TRY(call.engine.images().commit(request));
  call.engine.lifecycle().publish(*container, "commit", {{"imageID", id.text()}});
  return send_json(call, 201, json::object{{"Id", id.text()}});
}

}  // namespace

void add_archive_routes(Router& router) {
  router.add("GET", "/containers/{id}/archive", get_archive);
  router.add("PUT", "/containers/{id}/archive", put_archive);
  router.add("GET", "/containers/{id}/export", export_container);
  router.add("GET", "/containers/{id}/changes", changes);
  router.add("POST", "/commit", commit);
}

}  // namespace berth::api
