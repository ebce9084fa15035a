// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/records.h"
#include "netlink/ipv4.h"

namespace berth::engine {
namespace {

constexpr std::size_t kReadySandboxes = 4;
constexpr auto kPredecessorPatience = std::chrono::seconds(6);

// The program `name` in the directory of the running one, or as it is found in PATH.
std::string sibling_program(const std::string& name) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length > 0) {
    std::string own(path, static_cast<std::size_t>(length));
    std::string beside = own.substr(0, own.rfind('/') + 1) + name;
    if (exists(beside)) return beside;
  }
  return name;
}

Result<void> make_private_directory(const std::string& path, mode_t mode) {
  TRY(make_directories(path, mode));
  if (chmod(path.c_str(), mode) != 0) return fail_errno(errno, "set the mode of {}", path);
  return {};
}

bool is_alive(const ContainerPointer& container) {
  std::lock_guard lock(container->mutex);
  return container->alive();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(Settings settings, BuildPolicy builds) {
  if (settings.keeper_program.empty()) settings.keeper_program = sibling_program("berth-keeper");
  if (settings.init_program.empty()) settings.init_program = sibling_program("berth-init");
  if (settings.resolver_program.empty()) settings.resolver_program = sibling_program("berth-resolver");
  std::unique_ptr<Engine> engine(new Engine(std::move(settings), std::move(builds)));
  TRY(engine->take_roots());
  TRY(engine->open_storage());
  engine->networks_ = Networks::open(engine->settings_, engine->id_, *engine->database_, engine->events_);
  TRY(engine->start_services());
  TRY(engine->recover());
  return engine;
}

Engine::~Engine() {
  work_.stop();
  health_.reset();
  watch_.reset();  // no report comes after this
  // A keeper may start its container again at any time, by the mounts that it was told.
  if (registry_ && layers_ && std::ranges::none_of(registry_->all(), is_alive)) layers_->detach_mounts();
}

Result<void> Engine::take_roots() {
  TRY(make_private_directory(settings_.data_root, 0710));
  TRY(make_private_directory(settings_.containers_directory(), 0710));
  TRY(make_private_directory(settings_.removed_directory(), 0700));
  TRY(make_private_directory(settings_.volumes_directory(), 0711));
  TRY(make_private_directory(settings_.exec_root, 0711));
  TRY(make_private_directory(settings_.exec_root + "/containers", 0700));
  lock_ = TRY(open_file(settings_.data_root + "/lock", O_RDWR | O_CREAT, 0600));
  // An engine that was told to stop may still be finishing its last answers.
  const auto deadline = std::chrono::steady_clock::now() + kPredecessorPatience;
  while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() > deadline)
      return fail(ErrorKind::conflict, "the data root {} is in use by another engine", settings_.data_root);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return {};
}

Result<void> Engine::open_storage() {
  std::vector<db::Migration> steps = migrations();
  std::vector<db::Migration> image_steps = image::migrations();
  steps.insert(steps.end(), image_steps.begin(), image_steps.end());
  std::vector<db::Migration> volume_steps = volume_migrations();
  steps.insert(steps.end(), volume_steps.begin(), volume_steps.end());
  std::vector<db::Migration> network_steps = network_migrations();
  steps.insert(steps.end(), network_steps.begin(), network_steps.end());
  std::vector<db::Migration> build_steps = build::migrations();
  steps.insert(steps.end(), build_steps.begin(), build_steps.end());
  database_ = TRY(db::Database::open(settings_.data_root + "/meta.db", steps));
  id_ = TRY(remembered_value(*database_, "engine-id", random_identifier()));
  TRY(make_private_directory(settings_.layers_directory(), 0700));
  storage_ = TRY(choose_storage(settings_.storage_driver, settings_.layers_directory(), settings_.exec_root));
  log_info("engine", "storage driver {}: {}", driver_name(storage_.driver), storage_.reason);
  layers_.emplace(TRY(layers::LayerStore::open(settings_.layers_directory(), storage_.driver)));
  blobs_ = TRY(content::BlobStore::open(settings_.data_root + "/blobs"));
  image::StoreOptions options;
  options.database = database_.get();
  options.blobs = blobs_.get();
  options.layers = &*layers_;
  options.staging = settings_.data_root + "/images";
  options.on_event = [this](const image::Event& happened) {
    Event event{"image", happened.action, happened.id.text(), happened.labels, {}};
    event.attributes["name"] = happened.name;
    events_.publish(std::move(event));
  };
  images_ = TRY(image::ImageStore::open(std::move(options)));
  reserve_ = std::make_unique<DiskReserve>(settings_.data_root + "/reserve");
  reserve_->replenish();
  registry_ = std::make_unique<Registry>(*database_, *reserve_);
  std::vector<std::string> damaged = TRY(registry_->load());
  for (const std::string& what : damaged) log_error("engine", "left out: {}", what);
  for (const ContainerPointer& container : registry_->all())
    container->lease = images_->lease(container->record.diff_ids);
  return {};
}

Result<void> Engine::start_services() {
  KeeperCallbacks callbacks;
  callbacks.on_state = [this](const auto& link, const keeper::State& state) {
    lifecycle_->on_state(link, state);
  };
  callbacks.on_exec_exited = [this](const auto&, const keeper::ExecExited& exited) {
    execs_->on_exited(exited);
  };
  callbacks.on_gone = [this](const auto& link) { lifecycle_->on_gone(link); };
  roots_ = std::make_unique<RootFileSystems>(settings_, *layers_);
  TRY(roots_->prepare_mount_points());
  volumes_ = std::make_unique<Volumes>(settings_, *database_, *reserve_, *registry_, events_, work_);
  volumes_->load();
  watch_ = TRY(KeeperWatch::start(std::move(callbacks)));
  launcher_ = std::make_unique<Launcher>(settings_, *registry_, *roots_, *volumes_, *watch_, *networks_);
  lifecycle_ =
      std::make_unique<Lifecycle>(settings_, *registry_, *launcher_, *volumes_, *reserve_, events_, work_);
  execs_ = std::make_unique<Execs>(*roots_, *launcher_, *lifecycle_);
  health_ = std::make_unique<HealthMonitor>(*execs_, *lifecycle_, work_);
  creator_ =
      std::make_unique<Creator>(settings_, *registry_, *images_, *roots_, *volumes_, *networks_, *lifecycle_);
  lifecycle_->set_listener({[this](const ContainerPointer& container) { health_->started(container); },
                            [this](const ContainerPointer& container) { health_->ended(container); }});
  TRY(open_builder());
  // Now everything that keeps a layer is known.
  TRY(images_->sweep());
  return {};
}

Result<void> Engine::open_builder() {
  TRY(make_private_directory(settings_.build_directory(), 0700));
  build_runner_ = std::make_unique<BuildRunner>(settings_, builds_, *registry_, *images_, *roots_, *networks_,
                                                *lifecycle_);
  build::BuilderOptions options;
  options.database = database_.get();
  options.images = images_.get();
  options.layers = &*layers_;
  options.runner = build_runner_.get();
  options.cdi_directories = builds_.cdi_directories;
  options.directory = settings_.build_directory();
  options.cache_budget = builds_.cache_budget;
  builder_ = std::make_unique<build::Builder>(options);
  return builder_->load();
}

Result<void> Engine::recover() {
  lifecycle_->recover(*watch_, *networks_);
  volumes_->unmount_unused();
  return {};
}

image::UsersOf Engine::image_users() {
  return [this](const Digest& image) {
    std::vector<image::ImageUser> users;
    for (const ContainerPointer& container : registry_->all()) {
      std::lock_guard lock(container->mutex);
      if (container->record.image_id == image) users.push_back({container->record.id, container->alive()});
    }
    return users;
  };
}

}  // namespace berth::engine
