// SPDX-License-Identifier: Apache-2.0
// testdata/create_requests.json holds what Docker 28's command line sent for the same options: a base body,
// and for each case what differs from it.
#include "cli/create/request.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/run_flags.h"

namespace berth::cli {
namespace {

json::value* at_pointer(json::value& document, std::string_view pointer) {
  json::value* at = &document;
  for (std::string_view part : split(pointer.substr(1), '/')) {
    std::string name(part);
    for (std::size_t i; (i = name.find("~1")) != name.npos;) name.replace(i, 2, "/");
    if (!at->is_object()) *at = json::object();
    at = &at->get_object()[name];
  }
  return at;
}

void erase_pointer(json::value& document, std::string pointer) {
  std::size_t slash = pointer.rfind('/');
  json::value* owner = slash == 0 ? &document : at_pointer(document, pointer.substr(0, slash));
  owner->get_object().erase(pointer.substr(slash + 1));
}

// The order of variables is the command line's here; Docker's client shuffles it.
void sort_environment(json::value& body) {
  if (json::value* list = body.get_object().if_contains("Env"); list && list->is_array())
    std::ranges::sort(list->get_array(), {},
                      [](const json::value& item) { return std::string(item.get_string()); });
}

class CreateRequestTest : public testing::Test {
 protected:
  void SetUp() override {
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(directory_.path());
    ::setenv("FROMHERE", "yes", 1);
    ::setenv("EMPTY", "", 1);
    ::unsetenv("NOTSET");
    write("env.list", "A=1\n# comment\n\nFROMHERE\nB=two words\nNOTSET\n  INDENTED=x\n");
    write("label.list", "l1=v1\n#c\nl2\n");
    write("seccomp.json", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\n \"syscalls\":[]}\n");
  }
  void TearDown() override { std::filesystem::current_path(before_); }

  void write(const std::string& name, std::string_view text) {
    Fd file = *open_file(directory_.path() + "/" + name, O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(write_all(file.get(), text));
  }

  Result<CreateRequest> request(const std::vector<std::string>& arguments) {
    Parsed parsed = TRY(parse_flags(kCreateFlags, arguments, false));
    return make_create_request(parsed.flags, parsed.words, false, {});
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("request");
  std::filesystem::path before_;
};

TEST_F(CreateRequestTest, SendsWhatDockerSendsForTheSameOptions) {
  std::string text = *read_file(BERTH_SOURCE_DIR "/src/cli/testdata/create_requests.json");
  for (std::size_t i; (i = text.find("@HERE@")) != text.npos;) text.replace(i, 6, directory_.path());
  json::value golden = *parse_json(text, "the test data");
  for (const json::value& item : golden.at("cases").get_array()) {
    auto arguments = json::value_to<std::vector<std::string>>(item.at("arguments"));
    SCOPED_TRACE(join(arguments, " "));
    Result<CreateRequest> made = request(arguments);
    if (const json::value* error = item.get_object().if_contains("error")) {
      EXPECT_FALSE(made);
      EXPECT_EQ(made ? "" : made.error().message, std::string(error->get_string()));
      continue;
    }
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    if (!made) continue;
    json::value wanted = golden.at("base");
    for (const auto& change : item.at("set").get_object()) *at_pointer(wanted, change.key()) = change.value();
    if (const json::value* removed = item.get_object().if_contains("removed"))
      for (const json::value& pointer : removed->get_array())
        erase_pointer(wanted, std::string(pointer.get_string()));
    json::value got = *made->body;
    sort_environment(wanted);
    sort_environment(got);
    EXPECT_EQ(got, wanted) << json::serialize(got) << "\n" << json::serialize(wanted);
  }
}

TEST_F(CreateRequestTest, RefusesWhatMakesNoSense) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"-p", "99999:1", "bb"}, "invalid hostPort: 99999"},
      {{"-p", "x", "bb"}, "invalid containerPort: x"},
      {{"-p", "80:90:100:110", "bb"}, "invalid IP address: 80:90"},
      {{"-p", "80-82:90-91", "bb"}, "invalid ranges specified for container and host Ports: 90-91 and 80-82"},
      {{"--device", "x:y:q", "bb"}, "bad mode specified: q"},
      {{"--env-file", "/nope", "bb"}, "open /nope: no such file or directory"},
      {{"--security-opt", "foo", "bb"}, "Invalid --security-opt: \"foo\""},
      {{"--security-opt", "seccomp=/nope", "bb"},
       "opening seccomp profile (/nope) failed: open /nope: no such file or directory"},
      {{"--pid", "foo", "bb"}, "--pid: invalid PID mode"},
      {{"--cgroupns", "foo", "bb"}, "--cgroupns: invalid CGROUP mode"},
      {{"--rm", "--restart", "always", "bb"}, "conflicting options: cannot specify both --restart and --rm"},
      {{"--restart", "on-failure:x", "bb"},
       "invalid restart policy format: maximum retry count must be an integer"},
      {{"--health-retries", "-1", "bb"}, "--health-retries cannot be negative"},
      {{"--health-cmd", "x", "--no-healthcheck", "bb"}, "--no-healthcheck conflicts with --health-* options"},
      {{"--memory-swappiness", "200", "bb"}, "invalid value: 200. Valid memory swappiness range is 0-100"},
      {{"--mac-address", "zz", "bb"}, "zz is not a valid mac address"},
      {{"--storage-opt", "x", "bb"}, "invalid storage option"},
      {{"-p", "target=80,foo", "bb"}, "invalid publish opts format (should be name=value but got 'foo')"},
      {{"-p", "target=80,publish=90", "bb"},
       "invalid publish option 'publish': target, published, protocol and mode are"},
      {{"-p", "target=80,mode=foo", "bb"}, "invalid publish mode 'foo': it is host or ingress"},
      {{"-p", "target=80,protocol=foo", "bb"}, "invalid proto: foo"},
      {{"-p", "published=8080", "bb"}, "no port specified: published=8080<empty>"},
      {{"-p", "published=8080,target=80-81", "bb"},
       "invalid ranges specified for container and host Ports: 80-81 and 8080"},
      {{"-p", "80/foo", "bb"}, "invalid proto: foo"},
      {{"-p", "/", "bb"}, "no port specified: /<empty>"},
      {{"--expose", "82-80", "bb"},
       "invalid range format for --expose: 82-80, error: invalid range specified for port: 82-80"},
      {{"--expose", "99999", "bb"},
       "invalid range format for --expose: 99999, error: strconv.ParseUint: parsing \"99999\": value out of "
       "range"},
      {{"--expose", "80-x", "bb"},
       "invalid range format for --expose: 80-x, error: strconv.ParseUint: parsing \"x\": invalid syntax"},
      {{"--expose", "", "bb"},
       "invalid range format for --expose: , error: empty string specified for ports"},
      {{"--network", "", "bb"}, "no name set for network"},
      {{"--network", "n", "--network", "n", "bb"}, "network \"n\" is specified multiple times"},
      {{"--network", "name=n,alias=a", "--network-alias", "b", "bb"},
       "conflicting options: cannot specify both --network-alias and per-network alias"},
      {{"--network", "name=n,ip=1.2.3.4", "--ip", "1.2.3.5", "bb"},
       "conflicting options: cannot specify both --ip and per-network IPv4 address"},
      {{"--network", "bridge", "--network", "n", "bb"},
       "conflicting options: cannot attach both user-defined and non-user-defined network-modes"},
  };
  for (const auto& [arguments, message] : cases) {
    Result<CreateRequest> made = request(arguments);
    ASSERT_FALSE(made) << message;
    EXPECT_EQ(made.error().message, message);
  }
}

TEST_F(CreateRequestTest, WarnsOfANameServerOnTheLoopback) {
  EXPECT_EQ(request({"--dns", "1.1.1.1", "--dns", "127.0.0.53", "--dns", "::1", "bb"})->warnings,
            std::vector<std::string>{"Localhost DNS (127.0.0.53) may fail in containers."});
  EXPECT_TRUE(request({"--dns", "1.1.1.1", "bb"})->warnings.empty());
}

TEST_F(CreateRequestTest, TakesAHardwareAddressInEverySpelling) {
  for (std::string mac : {"02:42:ac:11:00:02", "02-42-ac-11-00-02", "0242.ac11.0002", ""})
    EXPECT_TRUE(request({"--mac-address", mac, "bb"})) << mac;
  for (std::string mac : {"02:42:ac:11:00", "0242.ac11.00", "02:42:ac:11:00:0g", "0242:ac11:0002"})
    EXPECT_FALSE(request({"--mac-address", mac, "bb"})) << mac;
}

}  // namespace
}  // namespace berth::cli
