// SPDX-License-Identifier: Apache-2.0
// One container as the engine knows it: the record (desired state, in the database), the observed state (from
// its keeper), and what hangs on it while the engine runs.
//
//   create -> created -> running <-> paused
//                          |  ^
//                          v  | start, or the restart policy (restarting)
//                        exited -> removed
#pragma once
#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "engine/host_config.h"
#include "engine/network_record.h"
#include "image/image_store.h"
#include "keeper/protocol.h"
#include "keeper/state.h"
#include "network/firewall.h"
#include "oci/image_config.h"

namespace berth::engine {

// Something of the host that is seen inside, decided when the container is created.
struct MountPoint {
  std::string type;         // "bind", "volume"; a tmpfs is in HostConfig alone
  std::string name;         // a volume's
  std::string source;       // on the host
  std::string destination;  // inside, absolute and clean
  std::string driver;       // a volume's
  std::string mode;         // as it was written: "ro,z"
  std::string propagation;
  std::string subpath;
  bool read_only = false;
  bool read_only_below = true;  // read_only holds for what is mounted below as well
  bool recursive = true;        // a bind takes what is mounted below along
  bool create_source = false;   // -v makes a missing host directory, --mount does not
  bool copy_up = false;         // a fresh volume is filled with what the image has there
  bool anonymous = false;       // the volume was made for a container, and `rm -v` takes it along
  bool lent = false;            // by --volumes-from: the volume exists; not recorded
  // What a volume that does not exist yet is made with; not recorded with the container.
  std::map<std::string, std::string> volume_labels = {}, volume_options = {};
};

// What is written to the database and survives everything.
struct ContainerRecord {
  std::string id;    // 64 hex digits
  std::string name;  // without a slash
  Timestamp created;
  oci::ContainerConfig config;  // the client's, merged with the image's defaults
  HostConfig host_config;
  std::optional<Digest> image_id;
  std::vector<Digest> diff_ids;  // base first
  std::string platform = "linux";
  std::vector<MountPoint> mounts;
  std::vector<std::string> arguments;         // entrypoint and command
  std::vector<Attachment> attachments;        // its places on networks
  std::vector<network::PublishedPort> ports;  // while it runs
  bool named_by_resolver = false;             // while it runs: names::kListeningAddress answers inside
  std::string mac_address;                    // of the first place, where that says none
  bool manually_stopped = false;  // a restart policy other than "always" does not start it after a reboot
  bool started_once = false;
  bool wants_to_run = false;  // it was running when this was written
  bool build_step = false;    // build_runner.h: of no interest to clients
};

enum class HealthStatus { none, starting, healthy, unhealthy };

struct HealthProbe {
  Timestamp start;
  Timestamp end;
  int exit_code = 0;
  std::string output;
};

struct Health {
  HealthStatus status = HealthStatus::none;
  int failing_streak = 0;
  std::list<HealthProbe> log;  // the last five
};

// What a waiting client is told.
struct ExitReport {
  int exit_code = 0;
  std::string error;
};

enum class WaitCondition { not_running, next_exit, removed };

// A client that waits. Poll descriptor() for POLLIN; then the report is there.
class ExitWaiter {
 public:
  ExitWaiter(Fd signal, WaitCondition condition) : signal_(std::move(signal)), condition_(condition) {}
  int descriptor() const noexcept { return signal_.get(); }
  WaitCondition condition() const noexcept { return condition_; }
  std::optional<ExitReport> report() const;
  void fulfil(const ExitReport& report);

 private:
  Fd signal_;
  WaitCondition condition_;
  mutable std::mutex mutex_;
  std::optional<ExitReport> report_;
};

// A client that attached before the start: handed to the keeper with it.
struct WaitingClient {
  Fd socket;
  keeper::Attach options;
};

class KeeperLink;

class Container {
 public:
  explicit Container(ContainerRecord initial) : record(std::move(initial)) {}
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // Held through a whole start, stop, removal: one at a time. Taken before `mutex`, never after.
  std::mutex operation;

  // Guards everything below. Held for moments only.
  mutable std::mutex mutex;
  ContainerRecord record;
  keeper::State state;  // as last observed
  bool paused = false;
  bool removing = false;
  bool ending = false;              // no longer alive; what the run had is being given back
  bool restarting_by_hand = false;  // between the two halves of `restart`: --rm does not remove it
  bool removed = false;
  Health health;
  std::shared_ptr<KeeperLink> keeper;  // while one lives
  std::vector<WaitingClient> waiting_clients;
  int announced_clients = 0;  // AnnouncedClient
  std::vector<std::shared_ptr<ExitWaiter>> waiters;
  std::condition_variable changed;  // state has changed
  // The files of one that does not run, for those who write to them (container_files.h). It is not started
  // meanwhile: both would have the same directories mounted.
  std::weak_ptr<const Fd> written;
  bool being_written = false;  // until that is unmounted
  image::Lease lease;          // keeps its layers

  // With `mutex` held.
  bool running() const { return state.phase == keeper::Phase::running; }
  bool alive() const { return running() || state.phase == keeper::Phase::restarting; }
  bool ever_started() const { return record.started_once; }
  void report_exit(bool gone);  // to those waiters whose condition is met

  // `operation`, when nobody writes to the container's files and every announced client has come: for what
  // may start it. They are waited for without it, so that a removal goes ahead. Who writes for too long is a
  // conflict; a client that does not come, as it does not read its answer, is started without.
  Result<std::unique_lock<std::mutex>> lock_for_start(std::chrono::milliseconds patience);

  // Registers a client; one whose condition is met already has its report at once.
  Result<std::shared_ptr<ExitWaiter>> wait_for(WaitCondition condition);
};

using ContainerPointer = std::shared_ptr<Container>;

// A client that is about to be told that it is attached, while this lives. It may ask for the start as soon
// as it has read that, before its socket is where the output goes: the start waits, or a short run's output
// would be lost.
class AnnouncedClient {
 public:
  explicit AnnouncedClient(ContainerPointer container);
  ~AnnouncedClient();
  AnnouncedClient(const AnnouncedClient&) = delete;
  AnnouncedClient& operator=(const AnnouncedClient&) = delete;

 private:
  ContainerPointer container_;
};

// "created", "running", "paused", "restarting", "removing", "exited"; with `mutex` held.
std::string status_word(const Container& container);
std::string_view to_text(HealthStatus status);

}  // namespace berth::engine
