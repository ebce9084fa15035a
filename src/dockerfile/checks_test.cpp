// SPDX-License-Identifier: Apache-2.0
// What is wrong with files that build. The rules and lines are those that BuildKit reports for the same
// files, but for some that it calls otherwise: a variable with a default is not undefined; one in EXPOSE may
// be; a directory is not ignored where a "!" reaches into it; and an empty continuation is where it is, not
// where the instruction ends.
#include "dockerfile/checks.h"

#include <gmock/gmock.h>

namespace berth::dockerfile {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kManyThings = R"(ARG TOKEN=x
ARG base
ARG chain=$base$nobody
from scratch AS Base
ARG SECRET PUBLIC_KEY MONKEY api_key=1
ENV PASSWORD=1 a=$b
WORKDIR rel
WORKDIR rel2
CMD a
CMD b
ENTRYPOINT c
HEALTHCHECK CMD a
HEALTHCHECK NONE
MAINTAINER x
EXPOSE 80/TCP 1:2 $p
LABEL a $x
ENV y=$z y2=$y ${q:-def}=1
COPY $nope ${nope2:-x} /d
FROM base as base2
CMD x
WORKDIR rel
COPY <<EOF /x
$undef
EOF
RUN --mount=type=cache,id=$u,target=/x true
FROM --platform=linux/amd64 scratch AS one
FROM --platform=linux/amd64 scratch AS one_amd64
FROM --platform=$TARGETPLATFORM scratch AS context
FROM --platform=$TARGETPLATFORM scratch AS context
SHELL ["x"]
CMD y
FROM context
CMD y
run a \

  b
Run c
COPY --chown=$w a b
ARG q=$w r=$q
ARG TARGETARCH
ENV x=$TARGETARCH y=$TARGETOS PATH=$PATH:/x A=$PAHT
USER a$user
STOPSIGNAL 1$sig
VOLUME /a$v
ONBUILD RUN $v
ONBUILD COPY $v /
HEALTHCHECK CMD $u
ADD a$h x
FROM base2
ARG a s=1
ENV k=$a k2=$s k3=$PASSWORD
)";

constexpr const char* kExperimental = R"(# check=experimental=all
# bla
ARG foo
# bla
FROM scratch AS x
# y thing
ARG y
# y no
# x yes
ARG z x
#
ARG w
# nope
#
ARG v
COPY a/b ./a/c d*/e a/ a /f/
ADD https://x/a/b /
# q
FROM scratch
ENV S=a/b
COPY $S /
# is last
FROM x
)";

constexpr const char* kStages = R"(ARG b
ARG c=UP//x
ARG d=scratch
ARG BASE=$b
FROM $d as a
FROM ${b:-scratch}
FROM ${d}$nope
FROM --platform=${d:+linux/amd64} scratch
FROM --platform=amd64 scratch as xamd64
FROM --platform=amd64 scratch AS u
From scratch as z
From scratch AS z2
FROM scratch As k
FROM --platform="${TARGETPLATFORM}" scratch
)";

Dockerfile parsed(std::string_view text) {
  Result<Dockerfile> file = parse_dockerfile(text, "Dockerfile");
  if (!file) throw std::runtime_error(file.error().message);
  return *file;
}

// "Rule line".
std::vector<std::string> checked(std::string_view text, const CheckOptions& options = {}) {
  Result<CheckReport> report = check(parsed(text), options);
  if (!report) return {"error: " + report.error().message};
  std::vector<std::string> lines;
  for (const Warning& warning : report->warnings)
    lines.push_back(fmt::format("{} {}", warning.rule, warning.at.line));
  return lines;
}

std::string text_of(std::string_view text, std::string_view rule, const CheckOptions& options = {}) {
  const CheckReport report = *check(parsed(text), options);
  for (const Warning& warning : report.warnings)
    if (warning.rule == rule) return warning.text;
  return "nothing";
}

TEST(Checks, FindWhatBuildKitFinds) {
  EXPECT_THAT(checked(kManyThings), testing::ElementsAreArray({"ConsistentInstructionCasing 4",
                                                               "StageNameCasing 4",
                                                               "FromAsCasing 4",
                                                               "SecretsUsedInArgOrEnv 5",
                                                               "SecretsUsedInArgOrEnv 5",
                                                               "UndefinedVar 6",
                                                               "SecretsUsedInArgOrEnv 6",
                                                               "WorkdirRelativePath 7",
                                                               "JSONArgsRecommended 9",
                                                               "MultipleInstructionsDisallowed 9",
                                                               "JSONArgsRecommended 10",
                                                               "JSONArgsRecommended 11",
                                                               "MultipleInstructionsDisallowed 12",
                                                               "MaintainerDeprecated 14",
                                                               "UndefinedVar 15",
                                                               "ExposeProtoCasing 15",
                                                               "ExposeInvalidFormat 15",
                                                               "UndefinedVar 16",
                                                               "LegacyKeyValueFormat 16",
                                                               "UndefinedVar 17",
                                                               "UndefinedVar 17",
                                                               "UndefinedVar 18",
                                                               "FromAsCasing 19",
                                                               "JSONArgsRecommended 20",
                                                               "UndefinedVar 22",
                                                               "UndefinedVar 25",
                                                               "FromPlatformFlagConstDisallowed 26",
                                                               "ReservedStageName 28",
                                                               "RedundantTargetPlatform 28",
                                                               "ReservedStageName 29",
                                                               "DuplicateStageName 29",
                                                               "RedundantTargetPlatform 29",
                                                               "ConsistentInstructionCasing 34",
                                                               "NoEmptyContinuation 35",
                                                               "ConsistentInstructionCasing 37",
                                                               "UndefinedVar 38",
                                                               "UndefinedVar 39",
                                                               "UndefinedVar 41",
                                                               "UndefinedVar 41",
                                                               "UndefinedVar 42",
                                                               "UndefinedVar 43",
                                                               "UndefinedVar 44",
                                                               "UndefinedVar 48"}));
}

TEST(Checks, OfDescriptionsAndOfIgnoredFilesAreMadeWhereTheyAreAskedFor) {
  const IgnoreRules ignore = *IgnoreRules::parse("a/*\n!a/c\na\n");
  EXPECT_THAT(checked(kExperimental, {.ignore = &ignore}),
              ElementsAre("InvalidDefinitionDescription 3", "InvalidDefinitionDescription 5",
                          "CopyIgnoredFile 16", "CopyIgnoredFile 16", "CopyIgnoredFile 21"));
  const std::string without = std::string("#") + kExperimental;  // no directive then
  EXPECT_THAT(checked(without, {.ignore = &ignore}), IsEmpty());
}

TEST(Checks, OfStagesFindWhatBuildKitFinds) {
  EXPECT_THAT(checked(kStages),
              ElementsAre("FromAsCasing 5", "UndefinedArgInFrom 7", "FromAsCasing 9",
                          "FromPlatformFlagConstDisallowed 10", "ConsistentInstructionCasing 11",
                          "ConsistentInstructionCasing 12", "FromAsCasing 13", "RedundantTargetPlatform 14"));
}

TEST(Checks, OfDefaultsDoNotLookAtBuildArguments) {
  const char* text = "ARG b\nARG c=UP//x\nARG d=scratch\nFROM $c\nFROM $b\nFROM $d\nFROM image-$TARGETARCH";
  EXPECT_THAT(checked(text, {.arguments = {{"b", "scratch"}, {"c", "scratch"}}}),
              ElementsAre("InvalidDefaultArgInFrom 4", "InvalidDefaultArgInFrom 5"));
}

TEST(Checks, ThatAreSkippedSayNothing) {
  EXPECT_THAT(checked("FROM scratch as A\nCMD x"),
              ElementsAre("StageNameCasing 1", "FromAsCasing 1", "JSONArgsRecommended 2"));
  EXPECT_THAT(checked("# check=skip=StageNameCasing,FromAsCasing;error=true\nFROM scratch as A\nCMD x"),
              ElementsAre("JSONArgsRecommended 3"));
  EXPECT_THAT(checked("# check=skip= StageNameCasing , FromAsCasing\nFROM scratch as A\nCMD x"),
              ElementsAre("JSONArgsRecommended 3"));
  EXPECT_THAT(checked("# check=skip=all\nFROM scratch as A\nCMD x"), IsEmpty());
  EXPECT_THAT(checked("FROM scratch as A\nCMD x", {.arguments = {{"BUILDKIT_DOCKERFILE_CHECK", "skip=all"}}}),
              IsEmpty());
  EXPECT_THAT(checked("# check=skip=all\nFROM scratch\nCMD x",
                      {.arguments = {{"BUILDKIT_DOCKERFILE_CHECK", "error=1"}}}),
              ElementsAre("JSONArgsRecommended 3"));
}

TEST(Checks, MayBeErrors) {
  EXPECT_TRUE(check(parsed("# check=error=true\nFROM scratch"), {})->are_errors);
  EXPECT_FALSE(check(parsed("# check=error=false\nFROM scratch"), {})->are_errors);
  EXPECT_FALSE(check(parsed("FROM scratch"), {})->are_errors);
}

TEST(Checks, ThatAreChosenWronglyAreAnError) {
  EXPECT_THAT(checked("# check=error=maybe\nFROM scratch"),
              ElementsAre(HasSubstr("'maybe' is neither true nor false")));
  EXPECT_THAT(checked("# check=skop=all\nFROM scratch"),
              ElementsAre(HasSubstr("'skop' (did you mean skip?)")));
  EXPECT_THAT(checked("# check=bla\nFROM scratch"), ElementsAre(HasSubstr("unknown check option 'bla'")));
}

TEST(Checks, KnowAnImagesEnvironmentOrLookForNoVariables) {
  const char* text =
      "FROM python AS base\nARG v=$PYTHON_VERSION\nENV w=$PYTHON_VERSIO\nFROM base\nENV x=$nothing";
  EXPECT_THAT(checked(text), IsEmpty());
  std::vector<std::string> asked;
  CheckOptions options;
  options.image_of = [&](std::string_view image, const auto&) {
    asked.emplace_back(image);
    return std::optional(BaseImage{{"PYTHON_VERSION=3.14"}, {}});
  };
  EXPECT_THAT(checked(text, options), ElementsAre("UndefinedVar 3", "UndefinedVar 5"));
  EXPECT_THAT(asked, ElementsAre("python"));
  EXPECT_THAT(text_of(text, "UndefinedVar", options),
              HasSubstr("'$PYTHON_VERSIO' is not defined (did you mean $PYTHON_VERSION?)"));
  options.image_of = [](std::string_view, const auto&) { return std::nullopt; };
  EXPECT_THAT(checked(text, options), IsEmpty());
}

TEST(Checks, OfBaseImagesCompareThePlatformWithTheOneThatIsBuiltFor) {
  CheckOptions options;
  options.platform = *oci::parse_platform("linux/amd64");
  std::vector<std::optional<oci::Platform>> asked;
  options.image_of = [&](std::string_view image, const std::optional<oci::Platform>& platform) {
    asked.push_back(platform);
    BaseImage found;
    if (image == "arm") found.platform = {.os = "linux", .architecture = "arm64"};
    if (image == "intel") found.platform = {.os = "linux", .architecture = "x86_64"};
    return std::optional(found);
  };
  const std::string text =
      "FROM arm\nFROM intel\nFROM silent\nFROM scratch AS arm2\nFROM arm2\n"
      "ARG p=linux/arm64\nFROM --platform=$BUILDPLATFORM arm\n";
  EXPECT_THAT(checked(text, options), Contains("InvalidBaseImagePlatform 1"));
  EXPECT_THAT(checked("FROM intel\nFROM silent\n", options), IsEmpty());
  EXPECT_THAT(checked("ARG p=linux/arm64\nFROM --platform=$p arm\nFROM --platform=$p intel\n", options),
              ElementsAre("InvalidBaseImagePlatform 3"));
  EXPECT_EQ(asked.back(), oci::parse_platform("linux/arm64").value());
  EXPECT_THAT(text_of("FROM arm\n", "InvalidBaseImagePlatform", options),
              HasSubstr("the image 'arm' is for linux/arm64, where linux/amd64 is built for"));
}

TEST(Checks, OfVariablesKnowDefaultsAndAlternatives) {
  EXPECT_THAT(checked("FROM scratch\nENV a=${x:-y} b=${x+y} c='$x' d=\\$x\nRUN echo $x\nCMD [\"$x\"]"),
              IsEmpty());
  EXPECT_THAT(checked("# escape=`\nFROM scratch\nENV a=`$x b=\\$y"), ElementsAre("UndefinedVar 3"));
}

TEST(Checks, SaySecretsByTheWordsOfTheirNames) {
  for (const char* name : {"TOKEN", "GITHUB_TOKEN", "token_x", "a_key_b", "API_KEY", "db_Password"})
    EXPECT_THAT(checked(fmt::format("FROM scratch\nARG {}", name)), ElementsAre("SecretsUsedInArgOrEnv 2"))
        << name;
  for (const char* name : {"TOKENS", "MONKEY", "KEYBOARD", "PUBLIC_KEY", "author"})
    EXPECT_THAT(checked(fmt::format("FROM scratch\nARG {}", name)), IsEmpty()) << name;
}

TEST(Checks, EndAtSomeNumberOfWarnings) {
  std::string text = "FROM scratch\n";
  for (int number = 0; number < 3000; ++number) text += fmt::format("ENV v{}=$w{}\n", number, number);
  EXPECT_EQ(checked(text).size(), kMostWarnings);
}

TEST(Checks, OfVariablesThatGrowEndSoon) {
  std::string text = "FROM scratch\nENV a=0123456789\n";
  for (int number = 0; number < 2000; ++number) text += "ENV a=$a$a$a\n";
  text += "FROM scratch AS s0\nENV v=1\n";
  for (int number = 1; number < 2000; ++number)
    text += fmt::format("FROM s{} AS s{}\nENV v{}=$v\n", number - 1, number, number);
  EXPECT_THAT(checked(text + "ENV z=$v1$none\n"), ElementsAre("UndefinedVar 6003"));
}

TEST(Targets, AreListedWithTheirDescriptions) {
  const std::vector<TargetLine> lines =
      targets(parsed("# Base is for all\nFROM scratch AS Base\n# no name\nFROM base\n"
                     "# hm\n# last  is the end \nFROM base AS last\n"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].name, "base");
  EXPECT_EQ(lines[0].description, "is for all");
  EXPECT_EQ(lines[1].name, "1");
  EXPECT_EQ(lines[1].description, "");
  EXPECT_EQ(lines[2].description, "is the end");
  EXPECT_FALSE(lines[0].is_default);
  EXPECT_TRUE(lines[2].is_default);
}

constexpr const char* kOutlined = R"(ARG UNUSED=1
ARG VERSION=3
# BASE names the image all is built on
ARG BASE=alpine:$VERSION
ARG OTHER=debian
FROM $BASE AS base
# DEBUG makes it talk
ARG DEBUG=no
FROM $OTHER AS other
ARG ELSEWHERE
RUN --mount=type=secret,id=elsewhere true
FROM base AS tools
ARG TOOL=make
RUN --mount=type=ssh --mount=type=cache,target=/root/.cache,id=$TOOL true
# app is what it is about
FROM base AS app
ARG DEBUG VERSION
COPY --from=tools /a /b
RUN --mount=type=secret,id=one --mount=type=secret,id=two,required=true --mount=type=cache,target=/c true
RUN --mount=type=secret,id=one,required=true --mount=type=cache,target=/c true
RUN --mount=from=late,target=/l true
FROM scratch AS late
ARG LATE
)";

TEST(Outline, HasWhatATargetAndItsStagesNeed) {
  const Outline all = *outline(parsed(kOutlined), "app");
  EXPECT_EQ(all.target, "app");
  EXPECT_EQ(all.description, "is what it is about");
  std::vector<std::string> arguments, needed;
  for (const auto& one : all.arguments)
    arguments.push_back(fmt::format("{}={} {}", one.name, one.value, one.description));
  EXPECT_THAT(arguments, ElementsAre("VERSION=3 ", "BASE=alpine:3 names the image all is built on",
                                     "DEBUG=no makes it talk", "TOOL=make ", "LATE= "));
  for (const auto& one : all.secrets) needed.push_back(fmt::format("{} {}", one.id, one.required));
  for (const auto& one : all.ssh) needed.push_back(fmt::format("{} {}", one.id, one.required));
  EXPECT_THAT(needed, ElementsAre("one true", "two true", "default false"));
  EXPECT_THAT(all.cache_mounts, ElementsAre("make", "/c"));
}

TEST(Outline, ShowsTheValuesThatArgumentsOfTheBuildHave) {
  const Outline all =
      *outline(parsed(kOutlined), "app", {{"VERSION", "4"}, {"LATE", "x"}, {"TOOL", "cmake"}});
  std::vector<std::string> arguments;
  for (const auto& one : all.arguments) arguments.push_back(one.name + "=" + one.value);
  EXPECT_THAT(arguments, ElementsAre("VERSION=4", "BASE=alpine:4", "DEBUG=no", "TOOL=cmake", "LATE=x"));
  EXPECT_THAT(all.cache_mounts, ElementsAre("cmake", "/c"));
  const Outline other = *outline(parsed(kOutlined), "app", {{"BASE", "scratch"}});
  EXPECT_EQ(other.arguments.at(0).value, "scratch") << "VERSION is not used then";
}

TEST(Outline, IsOfTheLastStageOrOfOneThatIsThere) {
  EXPECT_EQ(outline(parsed(kOutlined), "")->target, "late");
  EXPECT_EQ(outline(parsed(kOutlined), "APP")->target, "app");
  EXPECT_EQ(outline(parsed(kOutlined), "1")->target, "other");
  EXPECT_EQ(outline(parsed(kOutlined), "1")->arguments.size(), 2u);
  Result<Outline> none = outline(parsed(kOutlined), "tool");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::not_found);
  EXPECT_EQ(none.error().message, "no build stage is called 'tool' (did you mean tools?)");
}

}  // namespace
}  // namespace berth::dockerfile
