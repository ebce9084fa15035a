// SPDX-License-Identifier: Apache-2.0
#include "engine/registry.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/text.h"
#include "engine/records.h"

namespace berth::engine {
namespace {

using testing::HasSubstr;

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  // As after a restart of the engine.
  std::vector<std::string> reopen() {
    registry_.reset();
    database_.reset();
    database_ = db::Database::open(directory_.path() + "/meta.db", migrations()).value();
    registry_.emplace(*database_, reserve_);
    return registry_->load().value();
  }
  static ContainerRecord record(const std::string& name, std::string id = random_identifier()) {
    ContainerRecord record;
    record.id = std::move(id);
    record.name = name;
    record.created = now();
    return record;
  }
  static std::string id_from(const std::string& beginning) {
    return beginning + std::string(64 - beginning.size(), '0');
  }
  ContainerPointer add(const std::string& name, std::string id = random_identifier()) {
    return registry_->add(record(name, std::move(id)), {}).value();
  }
  std::string found(std::string_view reference) {
    Result<ContainerPointer> container = registry_->find(reference);
    return container ? (*container)->record.name : container.error().message;
  }
  void run(const std::string& sql) {
    db::Transaction transaction = database_->begin(Durability::visible).value();
    ASSERT_TRUE(transaction.run_script(sql));
    ASSERT_TRUE(transaction.commit());
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("registry").value();
  DiskReserve reserve_{directory_.path() + "/reserve"};
  std::unique_ptr<db::Database> database_;
  std::optional<Registry> registry_;
};

TEST_F(RegistryTest, FindsByNameIdAndUniquePrefix) {
  add("web", id_from("abc1"));
  add("db", id_from("abc2"));
  add("abc2x", id_from("def"));
  EXPECT_EQ(found("web"), "web");
  EXPECT_EQ(found("/web"), "web");
  EXPECT_EQ(found(id_from("abc1")), "web");
  EXPECT_EQ(found("abc1"), "web");
  EXPECT_EQ(found("d"), "abc2x");
  EXPECT_EQ(found("abc2"), "db");
  EXPECT_EQ(found("abc2x"), "abc2x") << "a name is a name, whatever it looks like";
  EXPECT_EQ(found("abc"), "multiple IDs found with provided prefix: abc");
  for (const char* nobody : {"", "/", "we", "webs", "xyz", "%", "../web", "//web"})
    EXPECT_THAT(found(nobody), HasSubstr("No such container: ")) << nobody;
  EXPECT_EQ(registry_->find("xyz").error().kind, ErrorKind::not_found);
  EXPECT_EQ(registry_->find_by_id("abc1"), nullptr);
}

TEST_F(RegistryTest, AnonymousVolumesOfEarlierVersionsAreKnownByTheirNames) {
  ContainerRecord old = record("old");
  for (const std::string& name : {random_identifier(), std::string("data")})
    old.mounts.push_back({.type = "volume", .name = name, .destination = "/" + name});
  ASSERT_TRUE(registry_->add(old, {}));
  run("UPDATE containers SET record = replace(record, '\"anonymous\":false', '\"unknown\":0')");
  reopen();
  const std::vector<MountPoint>& mounts = registry_->find_by_id(old.id)->record.mounts;
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_TRUE(mounts[0].anonymous);
  EXPECT_FALSE(mounts[1].anonymous);
}

TEST_F(RegistryTest, ANameIsTakenOnce) {
  ContainerPointer first = add("web");
  Result<ContainerPointer> second = registry_->add(record("web"), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::conflict);
  EXPECT_EQ(second.error().message,
            "Conflict. The container name \"/web\" is already in use by container \"" + first->record.id +
                "\". You have to remove (or rename) that container to be able to reuse that name.");
  ASSERT_TRUE(registry_->remove(first));
  EXPECT_TRUE(registry_->add(record("web"), {})) << "free when remove() returns";
}

TEST_F(RegistryTest, NamesHaveDockersGrammar) {
  for (const char* name : {"ab", "a1", "1a", "A_b.c-d", "a."})
    EXPECT_TRUE(valid_container_name(name)) << name;
  for (const std::string& name :
       {std::string(), std::string("a"), std::string(".a"), std::string("-rf"), std::string("_a"),
        std::string("a/b"), std::string("a b"), std::string("a\n"), std::string("\xc3\xa9t\xc3\xa9"),
        std::string("a\0b", 3), std::string(254, 'a')})
    EXPECT_FALSE(valid_container_name(name)) << name;
  EXPECT_THAT(registry_->add(record("../x"), {}).error().message, HasSubstr("Invalid container name (../x)"));
}

TEST_F(RegistryTest, WhoHasNoNameIsGivenAFreeOne) {
  std::set<std::string> names;
  for (int i = 0; i < 20; ++i) names.insert(add("")->record.name);
  EXPECT_EQ(names.size(), 20u);
  for (const std::string& name : names) {
    EXPECT_TRUE(valid_container_name(name)) << name;
    EXPECT_EQ(found(name), name);
  }
}

TEST_F(RegistryTest, ANewNameHoldsAndTheOldOneIsFree) {
  ContainerPointer web = add("web"), db = add("db");
  EXPECT_EQ(registry_->rename(web, "db").error().kind, ErrorKind::conflict);
  EXPECT_EQ(registry_->rename(web, "-x").error().kind, ErrorKind::invalid);
  ASSERT_TRUE(registry_->rename(web, "shop"));
  EXPECT_EQ(found("shop"), "shop");
  EXPECT_THAT(found("web"), HasSubstr("No such container"));
  add("web");
  reopen();
  EXPECT_EQ(registry_->find("shop").value()->record.id, web->record.id);
}

TEST_F(RegistryTest, TheNewestComesFirst) {
  for (int i = 0; i < 5; ++i) {
    ContainerRecord next = record("c" + std::to_string(i));
    next.created = {1000 + (i * 7) % 5};
    ASSERT_TRUE(registry_->add(std::move(next), {}));
  }
  std::vector<std::int64_t> times;
  for (const ContainerPointer& container : registry_->all())
    times.push_back(container->record.created.nanoseconds);
  EXPECT_EQ(times, (std::vector<std::int64_t>{1004, 1003, 1002, 1001, 1000}));
}

TEST_F(RegistryTest, EverythingOfARecordSurvivesARestart) {
  ContainerRecord full = record("web");
  full.created = {123456789};
  full.config.env = {"A=\xc3\xa9"};
  full.config.cmd = {{"sh"}};
  full.config.entrypoint = std::vector<std::string>{};
  full.config.healthcheck = {{.test = {"CMD", "x"}, .interval = std::chrono::seconds(5)}};
  full.config.stop_timeout = 3;
  HostConfig& host = full.host_config;
  host.binds = {"/a:/b"};
  host.port_bindings = {{"80/tcp", {{"127.0.0.1", "8080"}}}};
  host.restart_name = "on-failure", host.restart_maximum = 3;
  host.masked_paths = std::vector<std::string>{};
  host.init = false;
  host.resources.memory = 1ll << 40, host.resources.pids_limit = -1;
  host.resources.ulimits = {{"nofile", -1, -1}};
  host.mounts = {{.type = "volume",
                  .source = "v",
                  .target = "/v",
                  .volume = MountSetting::VolumeOptions{.subpath = "s"}}};
  full.image_id = sha256_of("image");
  full.diff_ids = {sha256_of("1"), sha256_of("2")};
  full.mounts = {{.type = "bind",
                  .source = "/a",
                  .destination = "/b",
                  .mode = "ro",
                  .propagation = "rslave",
                  .read_only = true,
                  .read_only_below = false,
                  .recursive = false,
                  .create_source = true},
                 {.type = "volume",
                  .name = "v",
                  .source = "/v/_data/s",
                  .destination = "/v",
                  .driver = "local",
                  .subpath = "s",
                  .copy_up = true}};
  full.arguments = {"sh", "-c", "x"};
  Attachment& place = full.attachments.emplace_back();
  place.network = "n1";
  place.network_name = "front";
  place.settings = {.aliases = {"db"}, .ipv4_address = "10.1.0.9", .gateway_priority = 3};
  place.endpoint = network::Endpoint{.address = {0x0a010009},
                                     .prefix_length = 24,
                                     .gateway = {0x0a010001},
                                     .mac = {2, 0x42, 10, 1, 0, 9},
                                     .interface_name = "eth0",
                                     .host_interface_name = "veth1"};
  full.attachments.back().endpoint->ipv6 = network::Endpoint6{*netlink::Ipv6Address::parse("fd00::9"), 64,
                                                              *netlink::Ipv6Address::parse("fd00::1")};
  const auto ip = [](const char* text) { return *netlink::IpAddress::parse(text); };
  full.ports = {{"udp", ip("127.0.0.1"), 5353, ip("10.1.0.9"), 53, 1},
                {"tcp", ip("0.0.0.0"), 8080, ip("10.1.0.9"), 80, 1},
                {"tcp", ip("::"), 8080, ip("fd00::9"), 80, 1}};
  full.named_by_resolver = true;
  full.mac_address = "02:42:ac:11:00:02";
  full.manually_stopped = full.started_once = full.wants_to_run = true;
  ContainerPointer container = registry_->add(full, {}).value();
  {
    std::lock_guard lock(container->mutex);
    container->state.phase = keeper::Phase::exited;
    container->state.exit_code = 137;
  }
  ASSERT_TRUE(registry_->save(container, Durability::durable));
  EXPECT_TRUE(reopen().empty());
  ContainerPointer back = registry_->find("web").value();
  EXPECT_EQ(back->state.exit_code, 137);
  EXPECT_EQ(back->record.created, full.created);
  EXPECT_EQ(back->record.config, full.config);
  EXPECT_EQ(back->record.image_id, full.image_id);
  EXPECT_EQ(back->record.diff_ids, full.diff_ids);
  EXPECT_EQ(back->record.arguments, full.arguments);
  ASSERT_EQ(back->record.attachments.size(), 1u);
  EXPECT_EQ(back->record.attachments[0].network_name, "front");
  EXPECT_EQ(back->record.attachments[0].settings.aliases, place.settings.aliases);
  EXPECT_EQ(back->record.attachments[0].settings.gateway_priority, 3);
  ASSERT_TRUE(back->record.attachments[0].endpoint);
  EXPECT_EQ(back->record.attachments[0].endpoint->address, place.endpoint->address);
  EXPECT_EQ(back->record.attachments[0].endpoint->mac, place.endpoint->mac);
  EXPECT_EQ(back->record.attachments[0].endpoint->host_interface_name, "veth1");
  EXPECT_EQ(back->record.ports, full.ports);
  EXPECT_TRUE(back->record.named_by_resolver);
  EXPECT_EQ(back->record.mac_address, full.mac_address);
  EXPECT_TRUE(back->record.manually_stopped && back->record.started_once && back->record.wants_to_run);
  ASSERT_EQ(back->record.mounts.size(), 2u);
  EXPECT_EQ(back->record.mounts[0].propagation, "rslave");
  EXPECT_TRUE(back->record.mounts[0].read_only && back->record.mounts[0].create_source);
  EXPECT_FALSE(back->record.mounts[0].read_only_below || back->record.mounts[0].recursive);
  EXPECT_EQ(back->record.mounts[1].subpath, "s");
  EXPECT_TRUE(back->record.mounts[1].copy_up);
  const HostConfig& read = back->record.host_config;
  EXPECT_EQ(read.binds, host.binds);
  EXPECT_EQ(read.port_bindings.at("80/tcp")[0].host_port, "8080");
  EXPECT_EQ(read.restart_name, "on-failure");
  EXPECT_EQ(read.restart_maximum, 3);
  ASSERT_TRUE(read.masked_paths) << "an empty list is not a missing one: it unmasks";
  EXPECT_TRUE(read.masked_paths->empty());
  EXPECT_FALSE(read.readonly_paths);
  EXPECT_EQ(read.init, false);
  EXPECT_EQ(read.resources.memory, 1ll << 40);
  EXPECT_EQ(read.resources.pids_limit, -1);
  EXPECT_EQ(read.resources.ulimits[0].hard, -1);
  EXPECT_EQ(read.mounts[0].volume->subpath, "s");
}

TEST_F(RegistryTest, WhatWasRemovedStaysRemoved) {
  ASSERT_TRUE(registry_->remove(add("web")));
  reopen();
  EXPECT_TRUE(registry_->all().empty());
}

TEST_F(RegistryTest, DamagedRecordsAreNamedAndLeftOut) {
  const std::string truncated = add("truncated")->record.id, wrong = add("wrong")->record.id,
                    digest = add("digest")->record.id;
  add("sound");
  run("UPDATE containers SET record = substr(record, 1, 40) WHERE id = '" + truncated + "'");
  run("UPDATE containers SET record = '{\"hostConfig\":{\"Memory\":\"much\"}}' WHERE id = '" + wrong + "'");
  run("UPDATE containers SET record = '{\"layers\":[\"sha256:../../etc\"]}' WHERE id = '" + digest + "'");
  std::vector<std::string> damaged = reopen();
  EXPECT_THAT(damaged,
              testing::UnorderedElementsAre(HasSubstr(truncated), HasSubstr(wrong), HasSubstr(digest)));
  EXPECT_THAT(damaged, testing::Contains(HasSubstr("Memory")));
  ASSERT_EQ(registry_->all().size(), 1u);
  EXPECT_EQ(found("sound"), "sound");
}

TEST_F(RegistryTest, AStateThatCannotBeReadIsNotTheContainersEnd) {
  add("web");
  run("UPDATE containers SET state = 'garbage'");
  EXPECT_TRUE(reopen().empty());
  EXPECT_EQ(registry_->find("web").value()->state.phase, keeper::Phase::created);
}

TEST_F(RegistryTest, ANameThatADamagedRecordHoldsIsRefusedAndNothingIsHalfAdded) {
  const std::string id = add("web")->record.id;
  run("UPDATE containers SET record = '{'");
  EXPECT_EQ(reopen().size(), 1u);
  EXPECT_FALSE(registry_->add(record("web"), {}));
  EXPECT_TRUE(registry_->all().empty());
  EXPECT_THAT(found("web"), HasSubstr("No such container"));
}

TEST_F(RegistryTest, AValueIsMadeOnce) {
  EXPECT_EQ(remembered_value(*database_, "id", "first").value(), "first");
  EXPECT_EQ(remembered_value(*database_, "id", "second").value(), "first");
  EXPECT_EQ(remembered_value(*database_, "other", "x").value(), "x");
  reopen();
  EXPECT_EQ(remembered_value(*database_, "id", "third").value(), "first");
}

TEST(ContainerWords, TheStatusFollowsFromTheState) {
  Container container{ContainerRecord{}};
  EXPECT_EQ(status_word(container), "created");
  container.state.phase = keeper::Phase::running;
  container.record.started_once = true;
  EXPECT_EQ(status_word(container), "running");
  container.paused = true;
  EXPECT_EQ(status_word(container), "paused");
  container.paused = false;
  container.state.phase = keeper::Phase::restarting;
  EXPECT_EQ(status_word(container), "restarting");
  container.state.phase = keeper::Phase::exited;
  EXPECT_EQ(status_word(container), "exited");
  container.removing = true;
  EXPECT_EQ(status_word(container), "removing");
}

TEST(ContainerWaiters, AreToldOnceTheirConditionIsMet) {
  Container container{ContainerRecord{}};
  EXPECT_TRUE(container.wait_for(WaitCondition::not_running).value()->report()) << "it does not run";
  container.state.phase = keeper::Phase::running;
  auto not_running = container.wait_for(WaitCondition::not_running).value();
  auto next_exit = container.wait_for(WaitCondition::next_exit).value();
  auto removed = container.wait_for(WaitCondition::removed).value();
  EXPECT_FALSE(not_running->report() || next_exit->report() || removed->report());
  container.state.phase = keeper::Phase::exited;
  container.state.exit_code = 3;
  container.report_exit(false);
  EXPECT_EQ(not_running->report()->exit_code, 3);
  EXPECT_EQ(next_exit->report()->exit_code, 3);
  EXPECT_FALSE(removed->report());
  container.state.exit_code = 4;
  container.report_exit(true);
  EXPECT_EQ(removed->report()->exit_code, 4);
  EXPECT_EQ(not_running->report()->exit_code, 3) << "the first report stays";
}

}  // namespace
}  // namespace berth::engine
