// SPDX-License-Identifier: Apache-2.0
#include "cli/build/outputs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/file.h"
#include "base/json.h"
#include "cli/build/flags.h"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = BuildOutput::Kind;

Result<BuildOutputs> chosen(std::vector<std::string> arguments) {
  arguments.push_back(".");
  Result<Parsed> parsed = parse_flags(kBuildFlags, arguments, true);
  if (!parsed) return std::unexpected(parsed.error());
  return choose_outputs(parsed->flags);
}

std::string refusal(std::vector<std::string> arguments) {
  const Result<BuildOutputs> outputs = chosen(std::move(arguments));
  return outputs ? "" : outputs.error().message;
}

TEST(Outputs, WithoutAnOptionItIsAnImageOfTheEngine) {
  const BuildOutputs outputs = *chosen({"-t", "a"});
  EXPECT_TRUE(outputs.records());
  EXPECT_THAT(outputs.held_as, IsEmpty());
  json::object preamble;
  add_to_preamble(outputs, preamble);
  EXPECT_TRUE(preamble.empty());
}

TEST(Outputs, AShortFormIsADirectoryOrATar) {
  std::vector<std::string> names;
  const BuildOutput directory = *parse_output("out/bin", names);
  EXPECT_EQ(directory.kind, Kind::tree);
  EXPECT_TRUE(directory.directory);
  EXPECT_EQ(directory.destination, "out/bin");
  const BuildOutput tar = *parse_output("-", names);
  EXPECT_FALSE(tar.directory);
  EXPECT_EQ(tar.destination, "-");
}

TEST(Outputs, TypesAreWhatBuildxMeansByThem) {
  std::vector<std::string> names;
  EXPECT_EQ(parse_output("type=docker", names)->kind, Kind::image);
  EXPECT_EQ(parse_output("type=docker,dest=-", names)->kind, Kind::docker_archive);
  EXPECT_EQ(parse_output("type=oci,dest=x", names)->kind, Kind::oci_archive);
  EXPECT_FALSE(parse_output("type=oci,dest=x", names)->directory);
  EXPECT_TRUE(parse_output("type=oci,dest=x,tar=false", names)->directory);
  EXPECT_EQ(parse_output("type=tar,dest=x", names)->kind, Kind::tree);
  EXPECT_FALSE(parse_output("type=image", names)->push);
  EXPECT_TRUE(parse_output("type=image,push=true", names)->push);
  EXPECT_TRUE(parse_output("type=registry", names)->push);
  EXPECT_THAT(names, IsEmpty());
  ASSERT_TRUE(parse_output(R"(type=image,"name=a:1,b:2")", names));
  EXPECT_THAT(names, ElementsAre("a:1", "b:2"));
}

TEST(Outputs, WhatIsNoImageIsHeldAndNotRecorded) {
  const BuildOutputs outputs = *chosen({"-o", "dir", "-t", "a"});
  EXPECT_FALSE(outputs.records());
  EXPECT_FALSE(outputs.describes_image());
  EXPECT_EQ(outputs.held_as.size(), 64u);
  EXPECT_NE(outputs.held_as, chosen({"-o", "dir"})->held_as);
  json::object preamble;
  add_to_preamble(outputs, preamble);
  EXPECT_FALSE(preamble["image"].as_bool());
  EXPECT_EQ(std::string(preamble["result"].as_string()), outputs.held_as);
  EXPECT_TRUE(chosen({"-o", "dir", "--load"})->records());
}

TEST(Outputs, NamesOfTagWinOverThoseOfOutput) {
  EXPECT_THAT(chosen({"-o", "type=image,name=a"})->names, ElementsAre("a"));
  EXPECT_THAT(chosen({"-o", "type=image,name=a", "-t", "b"})->names, ElementsAre("b"));
}

TEST(Outputs, APushNeedsANameAndAnImage) {
  EXPECT_TRUE(chosen({"--push", "-t", "a"})->list.at(0).push);
  EXPECT_THAT(refusal({"--push"}), HasSubstr("needs a name"));
  EXPECT_THAT(refusal({"-o", "type=registry"}), HasSubstr("needs a name"));
  EXPECT_THAT(refusal({"--push", "-t", "a", "-o", "dir"}), HasSubstr("do not go together"));
}

TEST(Outputs, ErrorsNameTheOption) {
  const std::array<std::pair<const char*, const char*>, 14> wrong{{
      {"", "empty"},
      {"type=oci", "dest=FILE"},
      {"type=local", "dest=DIRECTORY"},
      {"type=tar", "dest=FILE"},
      {"type=local,dest=-", "standard output"},
      {"type=oci,dest=-,tar=false", "standard output"},
      {"type=odd,dest=x", "none of"},
      {"dest=x", "no type="},
      {"dest=x,name=y", "no type="},
      {"type=local,dest=x,odd=y", "no odd"},
      {"type=local,dest", "key=value"},
      {"type=image,push=perhaps", "true or false"},
      {"type=image,name=UPPER", "invalid name"},
      {"type=image,compression=zstd", "compression"},
  }};
  for (const auto& [text, why] : wrong) {
    const std::string said = refusal({"-o", text});
    EXPECT_THAT(said, HasSubstr("--output")) << text;
    EXPECT_THAT(said, HasSubstr(why)) << text;
  }
  EXPECT_THAT(refusal({"-o", "-", "-o", "type=oci,dest=-"}), HasSubstr("one result alone"));
}

TEST(Outputs, DestinationsAreLookedAtBeforeTheBuild) {
  const TemporaryDirectory directory = *TemporaryDirectory::create("outputs");
  const std::string path = directory.path() + "/";
  ASSERT_TRUE(write_file_atomically(AT_FDCWD, path + "file", "x", 0644, Durability::visible));
  auto said = [&](const std::string& text) {
    const Result<void> checked = check_destinations(*chosen({"-o", text}));
    return checked ? std::string() : checked.error().message;
  };
  EXPECT_EQ(said(path + "new/deep"), "");
  EXPECT_EQ(said("type=tar,dest=" + path + "file"), "");
  EXPECT_EQ(said("type=tar,dest=" + path + "new.tar"), "");
  EXPECT_THAT(said(path + "file"), HasSubstr("no directory"));
  EXPECT_THAT(said(path + "file/below"), HasSubstr("cannot write"));
  EXPECT_THAT(said("type=tar,dest=" + directory.path()), HasSubstr("is a directory"));
  EXPECT_THAT(said("type=tar,dest=" + path + "none/x.tar"), HasSubstr("cannot write"));
  EXPECT_FALSE(exists(path + "new"));
}

}  // namespace
}  // namespace berth::cli
