// SPDX-License-Identifier: Apache-2.0
#include "engine/build_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/validation.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

constexpr const char* kHostname =
    "berth-build";  // the same for every step: what it writes of it is no accident
constexpr std::size_t kFrameHead = 8;

std::unexpected<Error> cancelled() { return fail(ErrorKind::cancelled, "the build was cancelled"); }

HostConfig host_config_of(const build::StepRequest& request) {
  const build::StepSettings& settings = request.settings;
  HostConfig host;
  host.network_mode = settings.network.empty() ? "default" : settings.network;
  host.log_driver = "none";
  host.extra_hosts = settings.extra_hosts;
  host.shm_size = settings.shm_size;
  host.security_options = settings.security_options;
  host.privileged = settings.insecure;
  host.resources.memory = settings.memory;
  host.resources.memory_swap = settings.memory_swap;
  host.resources.cpu_shares = settings.cpu_shares;
  host.resources.cpu_period = settings.cpu_period;
  host.resources.cpu_quota = settings.cpu_quota;
  host.resources.cpuset_cpus = settings.cpuset_cpus;
  host.resources.cpuset_mems = settings.cpuset_mems;
  host.resources.cgroup_parent = settings.cgroup_parent;
  for (const build::Limit& limit : settings.limits)
    host.resources.ulimits.push_back({limit.name, limit.soft, limit.hard});
  for (const build::StepDevice& device : request.devices)
    host.resources.devices.push_back({device.host, device.inside, device.permissions});
  for (const build::StepMount& mount : request.mounts)
    if (mount.kind == build::StepMount::Kind::tmpfs)
      host.tmpfs[mount.target] = mount.size > 0 ? fmt::format("size={}", mount.size) : "";
  return host;
}

std::vector<MountPoint> mounts_of(const build::StepRequest& request) {
  std::vector<MountPoint> mounts;
  for (const build::StepMount& mount : request.mounts) {
    if (mount.kind != build::StepMount::Kind::bind) continue;
    MountPoint point;
    point.type = "bind";
    point.source = mount.source;
    point.destination = mount.target;
    point.propagation = "rprivate";
    point.read_only = mount.read_only;
    mounts.push_back(std::move(point));
  }
  return mounts;
}

// Takes Docker's frames apart (docker_api, "Stream format").
class FrameReader {
 public:
  explicit FrameReader(const build::StepRunner::OnOutput& output) : output_(output) {}

  void feed(std::string_view data) {
    while (!data.empty()) {
      if (remaining_ == 0) {
        const std::size_t taken = std::min(kFrameHead - head_.size(), data.size());
        head_.append(data.substr(0, taken));
        data.remove_prefix(taken);
        if (head_.size() < kFrameHead) return;
        stream_ = head_[0] == 2 ? build::OutputStream::error : build::OutputStream::standard;
        for (std::size_t at = 4; at < kFrameHead; ++at)
          remaining_ = remaining_ << 8 | static_cast<unsigned char>(head_[at]);
        head_.clear();
        continue;
      }
      const std::string_view part = data.substr(0, remaining_);
      output_(stream_, part);
      remaining_ -= part.size();
      data.remove_prefix(part.size());
    }
  }

 private:
  const build::StepRunner::OnOutput& output_;
  std::string head_;
  std::size_t remaining_ = 0;
  build::OutputStream stream_ = build::OutputStream::standard;
};

// Readable once a stop is asked for.
class StopSignal {
 public:
  static Result<std::unique_ptr<StopSignal>> create(const std::stop_token& stop) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe");
    return std::unique_ptr<StopSignal>(new StopSignal(stop, Fd(ends[0]), Fd(ends[1])));
  }
  int descriptor() const noexcept { return read_end_.get(); }

 private:
  StopSignal(const std::stop_token& stop, Fd read_end, Fd write_end)
      : read_end_(std::move(read_end)),
        write_end_(std::move(write_end)),
        callback_(stop, [this] { write_end_.reset(); }) {}
  Fd read_end_, write_end_;
  std::stop_callback<std::function<void()>> callback_;
};

}  // namespace

Result<ContainerRecord> BuildRunner::make_record(const build::StepRequest& request) const {
  if (request.settings.insecure && !policy_.insecure)
    return fail(ErrorKind::denied, "RUN --security=insecure is not allowed by this engine");
  ContainerRecord record;
  record.id = random_identifier();
  record.name = "build-step-" + record.id.substr(0, 20);
  record.created = now();
  record.build_step = true;
  record.arguments = request.arguments;
  record.config.env = request.environment;
  record.config.user = request.user;
  record.config.working_dir = request.working_directory;
  record.config.cmd = request.arguments;
  record.host_config = host_config_of(request);
  TRY(validate(settings_, record.config, record.host_config));
  if (record.host_config.network_mode != "host") record.config.hostname = kHostname;
  record.diff_ids = request.layers;
  record.mounts = mounts_of(request);
  record.attachments = TRY(networks_.plan(record.host_config, {}));
  if (record.host_config.shm_size == 0) record.host_config.shm_size = settings_.default_shm_size;
  return record;
}

// What is mounted over is in a directory below all layers: so nothing of a mount's place gets into the
// result.
Result<ContainerPointer> BuildRunner::create(const build::StepRequest& request) {
  ContainerRecord record = TRY(make_record(request));
  const std::string directory = settings_.container_directory(record.id);
  auto make = [&]() -> Result<ContainerPointer> {
    TRY(make_directories(directory, 0710));
    const std::string places = settings_.mount_points_of(record.id);
    TRY(make_directories(places, 0755));
    Fd below = TRY(open_file(places, O_RDONLY | O_DIRECTORY));
    for (const build::StepMount& mount : request.mounts) {
      if (mount.is_file)
        TRY(sys::make_file_in_root(below.get(), mount.target, 0644));
      else
        TRY(sys::make_directories_in_root(below.get(), mount.target));
    }
    TRY(roots_.prepare(record));
    image::Lease lease = images_.lease(record.diff_ids);
    return registry_.add(record, std::move(lease));
  };
  Result<ContainerPointer> container = make();
  if (!container) (void)remove_tree(directory);
  return container;
}

// Until its output ends and it has; a stop kills it.
Result<int> BuildRunner::watch(const ContainerPointer& container, const OnOutput& output,
                               const std::stop_token& stop) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno(errno, "make a pair of sockets");
  Fd ours(ends[0]), theirs(ends[1]);
  TRY(lifecycle_.attach(container, std::move(theirs), {.output = true, .errors = true, .framed = true}));
  std::shared_ptr<ExitWaiter> exit = TRY(container->wait_for(WaitCondition::next_exit));
  std::unique_ptr<StopSignal> stopped = TRY(StopSignal::create(stop));
  TRY(lifecycle_.start(container));
  FrameReader frames(output);
  std::vector<char> buffer(64u << 10);
  bool open = true;
  while (open || !exit->report()) {
    struct pollfd waits[] = {{stopped->descriptor(), POLLIN, 0},
                             {exit->report() ? -1 : exit->descriptor(), POLLIN, 0},
                             {open ? ours.get() : -1, POLLIN, 0}};
    if (poll(waits, 3, -1) < 0 && errno != EINTR) return fail_errno(errno, "wait for a build step");
    if (stop.stop_requested()) return cancelled();
    if ((waits[2].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
    const ssize_t size = read(ours.get(), buffer.data(), buffer.size());
    if (size > 0) frames.feed({buffer.data(), static_cast<std::size_t>(size)});
    if (size == 0 || (size < 0 && errno != EINTR)) open = false;
  }
  const ExitReport report = *exit->report();
  if (!report.error.empty()) return fail(ErrorKind::invalid, "{}", report.error);
  return report.exit_code;
}

Result<int> BuildRunner::run(const build::StepRequest& request, const OnOutput& output,
                             const OnChanges& changed, const std::stop_token& stop) {
  if (stop.stop_requested()) return cancelled();
  const ContainerPointer container = TRY(create(request));
  struct Removal {
    Lifecycle& lifecycle;
    const ContainerPointer& container;
    ~Removal() {
      if (Result<void> removed = lifecycle.remove(container, true, false); !removed)
        log_warning("build", "a step's container stays: {}", removed.error().message);
    }
  } removal{lifecycle_, container};
  const int code = TRY(watch(container, output, stop));
  if (code != 0) return code;
  Fd upper = TRY(roots_.open_upper(container->record));
  TRY(changed(upper.get()));
  return 0;
}

}  // namespace berth::engine
