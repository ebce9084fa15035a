// SPDX-License-Identifier: Apache-2.0
#include "engine/lifecycle.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "engine/test_support.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;
using test::all_migrations;
using test::kMoment;
using testing::HasSubstr;

Settings settings_below(const std::string& directory) {
  Settings settings;
  settings.data_root = directory + "/data";
  settings.exec_root = directory + "/run";
  settings.bridge = "none";
  for (const std::string& path :
       {settings.containers_directory(), settings.removed_directory(), settings.volumes_directory(),
        settings.layers_directory(), settings.exec_root + "/containers"})
    EXPECT_TRUE(make_directories(path, 0700));
  return settings;
}

// All that a container's life needs, but a keeper: what one reports is said by the test.
struct Machine {
  TemporaryDirectory directory = TemporaryDirectory::create("lifecycle").value();
  Settings settings = settings_below(directory.path());
  DiskReserve reserve{directory.path() + "/reserve"};
  EventBus events;
  WorkQueue work{2};
  std::unique_ptr<db::Database> database =
      db::Database::open(settings.data_root + "/meta.db", all_migrations()).value();
  Registry registry{*database, reserve};
  layers::LayerStore layers = layers::LayerStore::open(settings.layers_directory()).value();
  RootFileSystems roots{settings, layers};
  Volumes volumes{settings, *database, reserve, registry, events, work};
  std::unique_ptr<Networks> networks = Networks::open(settings, random_identifier(), *database, events);
  std::unique_ptr<KeeperWatch> watch = KeeperWatch::start({}).value();
  Launcher launcher{settings, registry, roots, volumes, *watch, *networks};
  Lifecycle lifecycle{settings, registry, launcher, volumes, reserve, events, work};

  ContainerPointer running(const std::string& name, bool auto_remove = false) {
    ContainerRecord record;
    record.id = random_identifier();
    record.name = name;
    record.created = now();
    record.host_config.network_mode = "none";
    record.host_config.auto_remove = auto_remove;
    ContainerPointer container = registry.add(record, {}).value();
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ::close(ends[1]);
    container->keeper = std::make_shared<KeeperLink>(record.id, Fd(ends[0]), 0);
    container->state.phase = keeper::Phase::running;
    container->state.started_at = now();
    return container;
  }
  void exits(const ContainerPointer& container) {
    keeper::State state = container->state;
    state.phase = keeper::Phase::exited;
    state.finished_at = now();
    lifecycle.on_state(container->keeper, state);
  }
};

// In a network namespace of its own.
void on_a_machine(const std::function<void(Machine&)>& work) {
  if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    Machine machine;
    work(machine);
  }).join();
}

// Whether `work` waits for all of a container's end, which is held up in its middle.
void expect_to_wait_for_the_end(Machine& machine, const ContainerPointer& container,
                                const std::function<void()>& work) {
  std::promise<void> in_the_middle, go_on;
  machine.lifecycle.set_listener({{}, [&](const ContainerPointer&) {
                                    in_the_middle.set_value();
                                    go_on.get_future().wait();
                                  }});
  std::thread reports([&] { machine.exits(container); });
  in_the_middle.get_future().wait();
  std::future<void> done = std::async(std::launch::async, work);
  EXPECT_EQ(done.wait_for(kMoment), std::future_status::timeout);
  go_on.set_value();
  reports.join();
  done.wait();
}

TEST(ContainersEnd, AStartWaitsUntilAllIsGivenBack) {
  on_a_machine([](Machine& machine) {
    ContainerPointer container = machine.running("web");
    expect_to_wait_for_the_end(machine, container, [&] {
      Result<void> started = machine.lifecycle.start(container);
      ASSERT_FALSE(started);  // it has no image
      EXPECT_THAT(started.error().message, HasSubstr("failed to start container"));
    });
  });
}

TEST(ContainersEnd, ARestartWaitsUntilAllIsGivenBack) {
  on_a_machine([](Machine& machine) {
    ContainerPointer container = machine.running("web");
    expect_to_wait_for_the_end(machine, container, [&] {
      EXPECT_FALSE(machine.lifecycle.restart(container, {.timeout_seconds = 0}));
    });
  });
}

TEST(ContainersEnd, ARemovalWaitsUntilAllIsGivenBack) {
  on_a_machine([](Machine& machine) {
    ContainerPointer container = machine.running("web");
    expect_to_wait_for_the_end(machine, container,
                               [&] { EXPECT_TRUE(machine.lifecycle.remove(container, false, false)); });
    EXPECT_TRUE(container->removed);
  });
}

TEST(ContainersEnd, AChangeOfNetworksWaitsUntilAllIsGivenBack) {
  on_a_machine([](Machine& machine) {
    ContainerPointer container = machine.running("web");
    expect_to_wait_for_the_end(
        machine, container, [&] { EXPECT_FALSE(machine.lifecycle.disconnect(container, "nowhere", false)); });
  });
}

TEST(ContainersEnd, WhoeverWaitsForItHearsOfItAfterwards) {
  on_a_machine([](Machine& machine) {
    ContainerPointer container = machine.running("web");
    expect_to_wait_for_the_end(machine, container, [&] {
      std::shared_ptr<ExitWaiter> waiter = container->wait_for(WaitCondition::not_running).value();
      while (!waiter->report()) std::this_thread::sleep_for(1ms);
    });
  });
}

TEST(ContainersEnd, OneThatRemovesItselfIsGoneAfterwards) {
  on_a_machine([](Machine& machine) {
    ContainerPointer container = machine.running("web", true);
    std::shared_ptr<ExitWaiter> waiter = container->wait_for(WaitCondition::removed).value();
    machine.exits(container);
    while (!waiter->report()) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(machine.registry.find_by_id(container->record.id), nullptr);
  });
}

TEST(FailedStarts, OfOneThatRemovesItselfLeaveItOnceItHasRun) {
  on_a_machine([](Machine& machine) {
    for (const bool has_run : {true, false}) {
      ContainerPointer container = machine.running("web", true);
      container->state.phase = keeper::Phase::exited;
      container->record.started_once = has_run;
      ASSERT_FALSE(machine.lifecycle.start(container));  // it has no image
      EXPECT_EQ(machine.registry.find_by_id(container->record.id) != nullptr, has_run);
      if (has_run) {
        ASSERT_TRUE(machine.lifecycle.remove(container, false, false));
      }
    }
  });
}

}  // namespace
}  // namespace berth::engine
