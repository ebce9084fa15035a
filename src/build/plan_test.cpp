// SPDX-License-Identifier: Apache-2.0
#include "build/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::build {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

dockerfile::Dockerfile parse(std::string_view text) {
  Result<dockerfile::Dockerfile> file = dockerfile::parse_dockerfile(text, "Dockerfile");
  EXPECT_TRUE(file) << file.error().message;
  return std::move(*file);
}

PlanInput input(std::string target = "") {
  return {.arguments = {},
          .contexts = {},
          .target = std::move(target),
          .platform = {.os = "linux", .architecture = "amd64"}};
}

std::vector<std::size_t> stages_of(const Result<Plan>& plan) {
  std::vector<std::size_t> stages;
  if (plan)
    for (const PlannedStage& stage : plan->stages) stages.push_back(stage.index);
  return stages;
}

TEST(Plan, LeavesOutStagesThatNobodyNeeds) {
  const auto file = parse("FROM a AS unused\nFROM b AS base\nFROM base\nRUN x\n");
  EXPECT_THAT(stages_of(make_plan(file, input())), ElementsAre(1, 2));
}

TEST(Plan, FollowsCopiesAndMounts) {
  const auto file = parse(
      "FROM a AS one\nFROM a AS two\nFROM a AS three\nFROM a AS four\nFROM a\nCOPY --from=one /x /\nCOPY "
      "--from=1 /x /\n"
      "RUN --mount=type=bind,from=four,target=/m true\n");
  EXPECT_THAT(stages_of(make_plan(file, input())), ElementsAre(0, 1, 3, 4));
}

TEST(Plan, FollowsMountsHoweverTheyAreWritten) {
  const auto file = parse(
      "FROM a AS one\nFROM a AS two\nFROM a AS three\nFROM a\nARG T=bind\nRUN "
      "--mount=type=$T,from=one,target=/m true\n"
      "RUN --mount=type=cache,From=two,sharing=$S,target=/m true\n");
  EXPECT_THAT(stages_of(make_plan(file, input())), ElementsAre(0, 1, 3));
}

TEST(Plan, BuildsATargetByNameInAnyCaseOrByNumber) {
  const auto file = parse("FROM a AS One\nFROM b AS two\nFROM c\n");
  EXPECT_THAT(stages_of(make_plan(file, input("one"))), ElementsAre(0));
  EXPECT_THAT(stages_of(make_plan(file, input("TWO"))), ElementsAre(1));
  EXPECT_THAT(stages_of(make_plan(file, input("1"))), ElementsAre(1));
  const Result<Plan> missing = make_plan(file, input("three"));
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("three"));
}

TEST(Plan, GivesBaseNamesTheirGlobalArguments) {
  const auto file = parse("ARG NAME=bb\nARG TAG\nFROM ${NAME}:${TAG:-latest}\n");
  Result<Plan> plan = make_plan(file, input());
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(std::get<FromImage>(plan->stages.front().base).name, "bb:latest");
  PlanInput given = input();
  given.arguments = {{"TAG", "7"}};
  plan = make_plan(file, given);
  ASSERT_TRUE(plan);
  EXPECT_EQ(std::get<FromImage>(plan->stages.front().base).name, "bb:7");
  EXPECT_THAT(plan->used_arguments, ElementsAre("TAG"));
}

TEST(Plan, RefusesABaseNameWithoutAValue) {
  const Result<Plan> plan = make_plan(parse("ARG NAME\nFROM ${NAME}\n"), input());
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, testing::StartsWith("Dockerfile:2:"));
  EXPECT_THAT(plan.error().message, HasSubstr("empty"));
}

TEST(Plan, AContextReplacesAStageOfItsNameAndAnImage) {
  const auto file = parse("FROM a AS One\nFROM one\nFROM two\nFROM scratch\n");
  PlanInput with = input("3");
  with.contexts = {"one", "two", "scratch"};
  EXPECT_TRUE(std::holds_alternative<FromContext>(origin_of(file, with.contexts, "one", 1)));
  EXPECT_TRUE(std::holds_alternative<FromStage>(origin_of(file, with.contexts, "0", 1)));
  EXPECT_TRUE(std::holds_alternative<FromStage>(origin_of(file, {"two"}, "one", 1)));
  EXPECT_TRUE(std::holds_alternative<FromContext>(origin_of(file, with.contexts, "two", 2)));
  EXPECT_TRUE(std::holds_alternative<FromImage>(origin_of(file, with.contexts, "three", 2)));
  EXPECT_TRUE(std::holds_alternative<FromScratch>(origin_of(file, with.contexts, "scratch", 3)));
}

TEST(Plan, AContextIsKnownByAnyFormOfAnImagesName) {
  for (const char* written : {"alpine", "alpine:latest", "docker.io/library/alpine", "library/alpine:latest"})
    EXPECT_EQ(context_name(written), "alpine") << written;
  EXPECT_EQ(context_name("alpine:3"), "alpine:3");
  EXPECT_EQ(context_name("registry.example/a"), "registry.example/a");
  EXPECT_EQ(context_name("No Image"), "No Image");
  const auto file = parse("FROM docker.io/library/alpine:latest\n");
  EXPECT_EQ(std::get<FromContext>(origin_of(file, {"alpine"}, "docker.io/library/alpine:latest", 0)).name,
            "alpine");
}

TEST(Plan, NumbersTheStepsOfWhatIsBuilt) {
  const Result<Plan> plan =
      make_plan(parse("FROM a AS unused\nRUN x\nFROM b AS base\nRUN y\nRUN z\nFROM base\nRUN w\n"), input());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->stages[0].first_step, 1u);
  EXPECT_EQ(plan->stages[1].first_step, 4u);
  EXPECT_EQ(plan->steps, 5u);
}

TEST(Plan, CountsWhatMayTakeTime) {
  const Result<Plan> plan =
      make_plan(parse("FROM a AS one\nENV x=y\nRUN z\nFROM one\nCOPY b c\nUSER d\nWORKDIR /e\n"), input());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->stages[0].work_numbers, (std::vector<std::size_t>{1, 0, 2}));
  EXPECT_EQ(plan->stages[1].work_numbers, (std::vector<std::size_t>{0, 1, 0, 2}))
      << "FROM of a stage is none";
  EXPECT_EQ(plan->stages[1].works, 2u);
  EXPECT_EQ(plan->works, 4u);
}

TEST(Plan, KnowsProxyArgumentsInBothCases) {
  EXPECT_TRUE(is_proxy_argument("HTTP_PROXY"));
  EXPECT_TRUE(is_proxy_argument("no_proxy"));
  EXPECT_FALSE(is_proxy_argument("PROXY"));
}

}  // namespace
}  // namespace berth::build
