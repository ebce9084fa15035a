// SPDX-License-Identifier: Apache-2.0
#include "engine/creator.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using List = std::vector<std::string>;
using OptionalList = std::optional<List>;

TEST(ImageDefaults, EntrypointAndCommandFollowDockersRules) {
  struct Case {
    const char* what;
    OptionalList entrypoint, cmd, image_entrypoint, image_cmd, merged_entrypoint, merged_cmd;
  };
  const List e{"e"}, c{"c"}, ie{"ie"}, ic{"ic"};
  for (const Case& t :
       {Case{"nothing said", {}, {}, ie, ic, ie, ic}, Case{"a command alone", {}, c, ie, ic, ie, c},
        Case{"an entrypoint alone drops the image's command", e, {}, ie, ic, e, {}},
        Case{"both", e, c, ie, ic, e, c}, Case{"an empty command is none", {}, List{}, ie, ic, ie, ic},
        Case{"an empty entrypoint takes the image's away", List{}, {}, ie, ic, List{}, ic},
        Case{"the empty word too", List{""}, c, ie, ic, {}, c},
        Case{"and then the image's command is not meant", List{""}, {}, ie, ic, {}, {}},
        Case{"an image without either", {}, c, {}, {}, {}, c}}) {
    oci::ContainerConfig config, image;
    config.entrypoint = t.entrypoint, config.cmd = t.cmd;
    image.entrypoint = t.image_entrypoint, image.cmd = t.image_cmd;
    merge_image_defaults(config, image);
    EXPECT_EQ(config.entrypoint, t.merged_entrypoint) << t.what;
    EXPECT_EQ(config.cmd, t.merged_cmd) << t.what;
  }
}

TEST(ImageDefaults, TheClientsWordsWin) {
  oci::ContainerConfig config, image;
  config.env = {"A=mine", "B", "C="};
  image.env = {"A=theirs", "B=theirs", "C=theirs", "D=theirs", "AA=theirs"};
  config.labels = {{"a", "mine"}};
  image.labels = {{"a", "theirs"}, {"b", "theirs"}};
  config.exposed_ports = {"80/tcp"};
  image.exposed_ports = {"80/tcp", "53/udp"};
  config.volumes = {"/mine"};
  image.volumes = {"/theirs"};
  config.user = "mine", image.user = "theirs";
  image.working_dir = "/theirs", image.stop_signal = "SIGINT";
  image.hostname = "theirs", image.tty = true, image.open_stdin = true;
  merge_image_defaults(config, image);
  EXPECT_EQ(config.env, (List{"A=mine", "B", "C=", "D=theirs", "AA=theirs"}));
  EXPECT_EQ(config.labels, (std::map<std::string, std::string>{{"a", "mine"}, {"b", "theirs"}}));
  EXPECT_EQ(config.exposed_ports, (std::set<std::string>{"80/tcp", "53/udp"}));
  EXPECT_EQ(config.volumes, (std::set<std::string>{"/mine", "/theirs"}));
  EXPECT_EQ(config.user, "mine");
  EXPECT_EQ(config.working_dir, "/theirs");
  EXPECT_EQ(config.stop_signal, "SIGINT");
  EXPECT_EQ(config.hostname, "") << "not an image's to say";
  EXPECT_FALSE(config.tty || config.open_stdin);
}

TEST(ImageDefaults, AHealthCheckIsFilledInMemberByMember) {
  using namespace std::chrono_literals;
  oci::ContainerConfig config, image;
  image.healthcheck = {.test = {"CMD", "theirs"},
                       .interval = 5s,
                       .timeout = 6s,
                       .start_period = 7s,
                       .start_interval = 8s,
                       .retries = 9};
  merge_image_defaults(config, image);
  EXPECT_EQ(config.healthcheck, image.healthcheck);
  config.healthcheck = {
      .test = {}, .interval = 1s, .timeout = {}, .start_period = {}, .start_interval = {}, .retries = 2};
  merge_image_defaults(config, image);
  EXPECT_EQ(config.healthcheck->test, (List{"CMD", "theirs"}));
  EXPECT_EQ(config.healthcheck->interval, 1s);
  EXPECT_EQ(config.healthcheck->timeout, 6s);
  EXPECT_EQ(config.healthcheck->start_period, 7s);
  EXPECT_EQ(config.healthcheck->start_interval, 8s);
  EXPECT_EQ(config.healthcheck->retries, 2);
  config.healthcheck = {.test = {"NONE"}};
  merge_image_defaults(config, image);
  EXPECT_EQ(config.healthcheck->test, List{"NONE"});
}

}  // namespace
}  // namespace berth::engine
