// SPDX-License-Identifier: Apache-2.0
#include "engine/health.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using namespace std::chrono_literals;
using List = std::vector<std::string>;

std::optional<HealthSettings> settings_of(oci::HealthCheck check, std::optional<List> shell = std::nullopt) {
  oci::ContainerConfig config;
  config.healthcheck = std::move(check);
  config.shell = std::move(shell);
  return health_settings_of(config);
}

TEST(HealthSettings, NoCheckIsNone) {
  EXPECT_FALSE(health_settings_of({}));
  for (const List& test : {List{}, List{"NONE"}, List{"NONE", "x"}, List{"CMD"}, List{"CMD-SHELL"}})
    EXPECT_FALSE(settings_of({.test = test}));
}

TEST(HealthSettings, DockersDefaults) {
  HealthSettings settings = *settings_of({.test = {"CMD", "probe", "-v"}});
  EXPECT_EQ(settings.command, (List{"probe", "-v"}));
  EXPECT_EQ(settings.interval, 30s);
  EXPECT_EQ(settings.timeout, 30s);
  EXPECT_EQ(settings.start_period, 0s);
  EXPECT_EQ(settings.start_interval, 5s);
  EXPECT_EQ(settings.retries, 3);
}

TEST(HealthSettings, AShellsCommandIsTheImagesShells) {
  EXPECT_EQ(settings_of({.test = {"CMD-SHELL", "a && b"}})->command, (List{"/bin/sh", "-c", "a && b"}));
  EXPECT_EQ(settings_of({.test = {"CMD-SHELL", "a"}}, List{"/bin/bash", "-ec"})->command,
            (List{"/bin/bash", "-ec", "a"}));
  EXPECT_EQ(settings_of({.test = {"CMD-SHELL", "a"}}, List{})->command, (List{"/bin/sh", "-c", "a"}));
}

struct Step {
  int exit_code;
  std::chrono::nanoseconds since_start;
  HealthStatus status;
  int streak;
};

void walk(HealthSettings settings, const std::vector<Step>& steps) {
  Health health{.status = HealthStatus::starting};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const HealthStatus before = health.status;
    const bool changed =
        apply_probe(health, settings, {.exit_code = steps[i].exit_code}, steps[i].since_start);
    EXPECT_EQ(health.status, steps[i].status) << "step " << i;
    EXPECT_EQ(health.failing_streak, steps[i].streak) << "step " << i;
    EXPECT_EQ(changed, before != health.status) << "step " << i;
  }
}

HealthSettings with(std::chrono::nanoseconds start_period, int retries) {
  return {.command = {"x"},
          .interval = 1s,
          .timeout = 1s,
          .start_period = start_period,
          .start_interval = 1s,
          .retries = retries};
}

constexpr HealthStatus kStarting = HealthStatus::starting, kHealthy = HealthStatus::healthy,
                       kUnhealthy = HealthStatus::unhealthy;

TEST(Health, SoManyFailuresInARowAreUnhealthyAndOneSuccessHeals) {
  walk(with(0s, 3), {{1, 1s, kStarting, 1},
                     {1, 2s, kStarting, 2},
                     {1, 3s, kUnhealthy, 3},
                     {1, 4s, kUnhealthy, 4},
                     {0, 5s, kHealthy, 0},
                     {1, 6s, kHealthy, 1},
                     {0, 7s, kHealthy, 0},
                     {-1, 8s, kHealthy, 1},
                     {137, 9s, kHealthy, 2},
                     {2, 10s, kUnhealthy, 3}});
}

TEST(Health, FailuresInTheStartPeriodDoNotCount) {
  walk(with(10s, 2),
       {{1, 1s, kStarting, 0}, {1, 9s, kStarting, 0}, {1, 10s, kStarting, 1}, {1, 11s, kUnhealthy, 2}});
}

TEST(Health, WhoWasHealthyHasLeftTheStartPeriod) {
  walk(with(60s, 2),
       {{1, 1s, kStarting, 0}, {0, 2s, kHealthy, 0}, {1, 3s, kHealthy, 1}, {1, 4s, kUnhealthy, 2}});
}

TEST(Health, TheLastFiveProbesAreRemembered) {
  Health health;
  for (int i = 0; i < 8; ++i)
    apply_probe(health, with(0s, 3), {.exit_code = 0, .output = std::to_string(i)}, 1s);
  ASSERT_EQ(health.log.size(), 5u);
  EXPECT_EQ(health.log.front().output, "3");
  EXPECT_EQ(health.log.back().output, "7");
}

}  // namespace
}  // namespace berth::engine
