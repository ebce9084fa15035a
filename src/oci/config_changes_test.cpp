// SPDX-License-Identifier: Apache-2.0
#include "oci/config_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::oci {
namespace {

using testing::ElementsAre;
using testing::Pair;

ContainerConfig changed(std::string_view line, ContainerConfig config = {}) {
  Result<void> result = apply_change(config, line);
  EXPECT_TRUE(result) << line << ": " << result.error().message;
  return config;
}

TEST(ConfigChanges, CommandsComeInExecAndShellForm) {
  EXPECT_THAT(*changed(R"(CMD ["a", "b c"])").cmd, ElementsAre("a", "b c"));
  EXPECT_THAT(*changed("cmd a  b").cmd, ElementsAre("/bin/sh", "-c", "a  b"));
  EXPECT_THAT(*changed("CMD [a").cmd, ElementsAre("/bin/sh", "-c", "[a"));
  EXPECT_THAT(*changed("ENTRYPOINT []").entrypoint, ElementsAre());
  ContainerConfig shell = changed(R"(SHELL ["/bin/ash", "-ec"])");
  EXPECT_THAT(*changed("ENTRYPOINT x", shell).entrypoint, ElementsAre("/bin/ash", "-ec", "x"));
}

TEST(ConfigChanges, EnvironmentIsReplacedByName) {
  ContainerConfig config;
  config.env = {"PATH=/bin", "A=1"};
  EXPECT_THAT(changed("ENV A=2 B='x y' C=\"q\\\"r\" D=a\\ b", config).env,
              ElementsAre("PATH=/bin", "A=2", "B=x y", "C=q\"r", "D=a b"));
  EXPECT_THAT(changed("ENV A all the rest", config).env, ElementsAre("PATH=/bin", "A=all the rest"));
  EXPECT_THAT(changed("ENV A=", config).env, ElementsAre("PATH=/bin", "A="));
}

TEST(ConfigChanges, SetsEverythingElse) {
  EXPECT_THAT(changed("LABEL a=b \"c d\"='e f'").labels, ElementsAre(Pair("a", "b"), Pair("c d", "e f")));
  EXPECT_THAT(changed("EXPOSE 80 53/udp 8000-8002").exposed_ports,
              ElementsAre("53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"));
  EXPECT_EQ(changed("USER 1000:1000").user, "1000:1000");
  EXPECT_THAT(changed("VOLUME /a /b").volumes, ElementsAre("/a", "/b"));
  EXPECT_THAT(changed(R"(VOLUME ["/a b"])").volumes, ElementsAre("/a b"));
  EXPECT_EQ(changed("STOPSIGNAL SIGQUIT").stop_signal, "SIGQUIT");
  EXPECT_THAT(changed("ONBUILD RUN make").on_build, ElementsAre("RUN make"));
  EXPECT_EQ(changed("WORKDIR /a/../b/./c").working_dir, "/b/c");
  EXPECT_EQ(changed("WORKDIR d", changed("WORKDIR /a")).working_dir, "/a/d");
}

TEST(ConfigChanges, HealthChecks) {
  HealthCheck check =
      *changed("HEALTHCHECK --interval=5s --timeout=1m --retries=4 CMD curl localhost").healthcheck;
  EXPECT_THAT(check.test, ElementsAre("CMD-SHELL", "curl localhost"));
  EXPECT_EQ(check.interval, std::chrono::seconds(5));
  EXPECT_EQ(check.timeout, std::chrono::minutes(1));
  EXPECT_EQ(check.retries, 4);
  EXPECT_THAT(changed(R"(HEALTHCHECK CMD ["a","b"])").healthcheck->test, ElementsAre("CMD", "a", "b"));
  EXPECT_THAT(changed("HEALTHCHECK NONE").healthcheck->test, ElementsAre("NONE"));
}

TEST(ConfigChanges, RefusesTheRestAndChangesNothing) {
  ContainerConfig config;
  config.user = "ann";
  ContainerConfig before = config;
  for (std::string_view line : {"",
                                "RUN x",
                                "FROM x",
                                "COPY a b",
                                "CMD",
                                "ENV A",
                                "ENV =x",
                                "ENV A=1 B",
                                "ENV A='x",
                                "EXPOSE x",
                                "EXPOSE 70000",
                                "EXPOSE 80/icmp",
                                "EXPOSE 90-80",
                                "HEALTHCHECK --what=1 CMD x",
                                "HEALTHCHECK x",
                                "HEALTHCHECK CMD",
                                "HEALTHCHECK --retries=-1 CMD x",
                                "HEALTHCHECK --interval=1us CMD x",
                                "SHELL /bin/sh",
                                "SHELL []",
                                "ONBUILD ONBUILD RUN x",
                                "ONBUILD FROM x",
                                "VOLUME [\"\"]"}) {
    Result<void> result = apply_change(config, line);
    ASSERT_FALSE(result) << line;
    EXPECT_EQ(result.error().kind, ErrorKind::invalid);
  }
  EXPECT_EQ(config, before);
  std::string lines[] = {"USER bob", "RUN x"};
  EXPECT_FALSE(apply_changes(config, lines));
  EXPECT_EQ(config, before);
}

TEST(ConfigChanges, SeveralLinesAndContinuations) {
  ContainerConfig config;
  std::string lines[] = {"# a comment\nUSER bob\n\nENV A=1 \\\n  B=2", "LABEL x=y"};
  ASSERT_TRUE(apply_changes(config, lines));
  EXPECT_EQ(config.user, "bob");
  EXPECT_THAT(config.env, ElementsAre("A=1", "B=2"));
  EXPECT_EQ(config.labels.at("x"), "y");
}

}  // namespace
}  // namespace berth::oci
