// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/config_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::dockerfile {
namespace {

using oci::ContainerConfig;
using oci::HealthCheck;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::StartsWith;

Result<void> apply_change(ContainerConfig& config, std::string_view line) {
  std::string text(line);
  return apply_changes(config, std::span(&text, 1));
}

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
  for (std::string_view line : {"RUN x",
                                "ARG A",
                                "MAINTAINER x",
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
                                "CMD [1]",
                                "STOPSIGNAL SIGNONSENSE",
                                "ENV $UNSET=x",
                                "USER ${A",
                                "USER a\nUSER ${A:?}",
                                "VOLUME $UNSET",
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

std::string refusal(std::string_view line) {
  ContainerConfig config;
  Result<void> result = apply_change(config, line);
  return result ? "no error" : result.error().message;
}

TEST(ConfigChanges, ErrorsNameTheInstruction) {
  EXPECT_EQ(refusal("RUN x"), "RUN is not a valid change command");
  EXPECT_THAT(refusal("USRE x"), StartsWith("change:1:1: unknown instruction: USRE (did you mean USER?)"));
  EXPECT_EQ(refusal("EXPOSE 1 x"), "EXPOSE 1 x: invalid containerPort: x");
  EXPECT_EQ(refusal("EXPOSE 80/icmp"), "EXPOSE 80/icmp: invalid proto: icmp");
  EXPECT_THAT(refusal("USER ${A:?\x1b[0m}"), AllOf(StartsWith("USER ${A:??[0m}: "), Not(HasSubstr("\x1b"))));
  EXPECT_EQ(refusal("EXPOSE 9-8"), "EXPOSE 9-8: invalid range specified for port: 9-8");
  EXPECT_THAT(refusal("HEALTHCHECK --interval=1us CMD x"), HasSubstr("--interval cannot be less than 1ms"));
}

TEST(ConfigChanges, VariablesAreThoseFromBeforeTheInstruction) {
  ContainerConfig config;
  config.env = {"A=1"};
  ContainerConfig after = changed("ENV A=2 B=$A\nENV C=$A\nLABEL $C=\"${B}\" q='$A'\nWORKDIR /$A/x", config);
  EXPECT_THAT(after.env, ElementsAre("A=2", "B=1", "C=2"));
  EXPECT_THAT(after.labels, ElementsAre(Pair("2", "1"), Pair("q", "$A")));
  EXPECT_EQ(after.working_dir, "/2/x");
  config.env = {"P=80 81/udp", "U=bob", "V=/v w"};
  after = changed("EXPOSE $P\nUSER $U\nVOLUME $V\nSTOPSIGNAL ${S:-9}", config);
  EXPECT_THAT(after.exposed_ports, ElementsAre("80/tcp", "81/udp"));
  EXPECT_EQ(after.user, "bob");
  EXPECT_THAT(after.volumes, ElementsAre("/v w"));
  EXPECT_EQ(after.stop_signal, "9");
}

TEST(ConfigChanges, CommandsAndTriggersKeepTheirVariables) {
  EXPECT_THAT(*changed("CMD $A").cmd, ElementsAre("/bin/sh", "-c", "$A"));
  EXPECT_THAT(*changed(R"(ENTRYPOINT ["$A"])").entrypoint, ElementsAre("$A"));
  EXPECT_THAT(changed("HEALTHCHECK CMD $A").healthcheck->test, ElementsAre("CMD-SHELL", "$A"));
  EXPECT_THAT(changed("ONBUILD USER $A").on_build, ElementsAre("USER $A"));
  EXPECT_THAT(*changed(R"(SHELL ["$A"])").shell, ElementsAre("$A"));
}

TEST(ConfigChanges, AnEntrypointTakesBackACommandThatWasInherited) {
  ContainerConfig config;
  config.cmd = {"inherited"};
  EXPECT_EQ(changed("ENTRYPOINT x", config).cmd, std::nullopt);
  EXPECT_THAT(*changed(R"(CMD ["own"])"
                       "\nENTRYPOINT x",
                       config)
                   .cmd,
              ElementsAre("own"));
  EXPECT_THAT(*changed("USER x", config).cmd, ElementsAre("inherited"));
}

TEST(ConfigChanges, APortOfTheHostIsLeftOut) {
  EXPECT_THAT(changed("EXPOSE 8080:80 127.0.0.1:1:2/UDP [::1]:3:4-5").exposed_ports,
              ElementsAre("2/udp", "4/tcp", "5/tcp", "80/tcp"));
}

TEST(ConfigChanges, AHealthCheckWithoutAValueInherits) {
  HealthCheck check =
      *changed("HEALTHCHECK --start-period=1s --start-interval=2s --timeout= --interval=0 CMD x").healthcheck;
  EXPECT_EQ(check.start_period, std::chrono::seconds(1));
  EXPECT_EQ(check.start_interval, std::chrono::seconds(2));
  EXPECT_EQ(check.timeout.count(), 0);
  EXPECT_EQ(check.interval.count(), 0);
  EXPECT_EQ(check.retries, 0);
}

TEST(Apply, RefusesWhatChangesMore) {
  ContainerConfig config;
  ConfigState state;
  for (const char* text : {"RUN x", "COPY a b", "ADD a b", "ARG a", "MAINTAINER a"}) {
    Result<Instruction> instruction = parse_instruction(text, "it");
    ASSERT_TRUE(instruction);
    EXPECT_FALSE(changes_config_only(*instruction)) << text;
    EXPECT_FALSE(apply(config, *instruction, {}, state)) << text;
  }
  EXPECT_EQ(config, ContainerConfig{});
}

}  // namespace
}  // namespace berth::dockerfile
