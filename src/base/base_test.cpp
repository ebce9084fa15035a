// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

namespace berth {
namespace {

TEST(Text, IntegersAreTakenWholeOrNotAtAll) {
  EXPECT_EQ(parse_integer<std::uint32_t>("4294967295"), 4294967295u);
  EXPECT_FALSE(parse_integer<std::uint32_t>("4294967296"));
  EXPECT_FALSE(parse_integer<std::uint32_t>("-1"));
  EXPECT_FALSE(parse_integer<int>(" 1"));
  EXPECT_FALSE(parse_integer<int>("1x"));
  EXPECT_FALSE(parse_integer<int>(""));
}

TEST(Text, SizesAreReadAsDockerReadsThem) {
  EXPECT_EQ(parse_size("32m"), 32 << 20);
  EXPECT_EQ(parse_size("1.5GB"), 1610612736);
  EXPECT_EQ(parse_size("10"), 10);
  EXPECT_EQ(parse_size("64KiB"), 65536);
  EXPECT_FALSE(parse_size("12x"));
  EXPECT_FALSE(parse_size("-1"));
  EXPECT_FALSE(parse_size("9999999999999999t"));
}

TEST(Text, SizesAreWrittenAsDockerWritesThem) {
  EXPECT_EQ(format_size_binary(67108864), "64MiB");
  EXPECT_EQ(format_size_decimal(1240000), "1.24MB");
  EXPECT_EQ(format_size_decimal(0), "0B");
}

TEST(Text, Base64GoesBothWaysInBothAlphabets) {
  for (std::string text : {"", "a", "ab", "abc", "\xff\xfe\xfd\xfc"})
    EXPECT_EQ(from_base64(to_base64(text)), text);
  EXPECT_EQ(from_base64("_-8"), from_base64("/+8="));
  EXPECT_FALSE(from_base64("a"));
  EXPECT_FALSE(from_base64("ab c"));
}

TEST(Text, PercentDecodingRefusesHalfAnEscape) {
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("a%2fb", false), "a/b");
  EXPECT_FALSE(percent_decode("%4", false));
  EXPECT_FALSE(percent_decode("%zz", false));
}

TEST(Text, OverlongAndSurrogateUtf8IsInvalid) {
  EXPECT_TRUE(valid_utf8("grüße €"));
  EXPECT_FALSE(valid_utf8("\xc0\x80"));
  EXPECT_FALSE(valid_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(valid_utf8("\xe2\x82"));
}

TEST(Clock, TimesSurviveTheirText) {
  Timestamp time{1767323045678901234};
  EXPECT_EQ(format_time(time), "2026-01-02T03:04:05.678901234Z");
  EXPECT_EQ(parse_time(format_time(time)), time);
  EXPECT_EQ(parse_time("2026-01-02T05:04:05.678901234+02:00"), time);
  EXPECT_EQ(format_time(Timestamp{}), "0001-01-01T00:00:00Z");
  EXPECT_FALSE(parse_time("2026-13-01"));
  EXPECT_FALSE(parse_time("yesterday"));
}

TEST(Clock, SinceTakesTimesSecondsAndDurations) {
  Timestamp reference{100'000'000'000};
  EXPECT_EQ(parse_time_or_ago("1.5", reference)->nanoseconds, 1'500'000'000);
  EXPECT_EQ(parse_time_or_ago("1500ms", reference)->nanoseconds, 98'500'000'000);
  EXPECT_EQ(parse_time_or_ago("1970-01-01T00:00:02Z", reference)->nanoseconds, 2'000'000'000);
  EXPECT_FALSE(parse_time_or_ago("soon", reference));
}

TEST(Clock, DurationsFollowGo) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("300ms"), 300ms);
  EXPECT_EQ(parse_duration("0"), 0ns);
  EXPECT_FALSE(parse_duration("10"));
  EXPECT_FALSE(parse_duration("5d"));
  EXPECT_EQ(format_duration(90s), "1m30s");
  EXPECT_EQ(format_duration(300ms), "300ms");
}

TEST(Digest, OnlySha256InLowerCaseIsTaken) {
  EXPECT_EQ(sha256_of("").text(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_TRUE(Digest::parse(sha256_of("x").text()));
  EXPECT_FALSE(Digest::parse("sha256:../../../../etc/passwd"));
  EXPECT_FALSE(Digest::parse("sha512:00"));
  EXPECT_FALSE(Digest::parse("sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

TEST(Json, ReaderNamesThePlaceOfAWrongType) {
  json::value document = *parse_json(R"({"a":{"b":[{"c":"x"}]},"n":null,"big":4294967296})", "test");
  ObjectReader in(document, "");
  std::int64_t value = 7;
  in.read_object("a",
                 [&](ObjectReader& a) { a.read_objects("b", [&](ObjectReader& b) { b.read("c", value); }); });
  Result<void> end = in.finish();
  ASSERT_FALSE(end);
  EXPECT_TRUE(end.error().message.starts_with("a.b[0].c must be a whole number")) << end.error().message;

  ObjectReader again(document, "doc");
  std::uint32_t small = 1;
  again.read("n", small);
  EXPECT_TRUE(again.ok());
  again.read("big", small);
  EXPECT_FALSE(again.ok());
}

TEST(Json, GarbageAndDepthAreRefused) {
  EXPECT_FALSE(parse_json("{not json", "x"));
  EXPECT_FALSE(parse_json("{} {}", "x"));
  EXPECT_FALSE(parse_json("", "x"));
  EXPECT_TRUE(parse_json(" {} \n", "x"));
  EXPECT_FALSE(parse_json(std::string(1000, '['), "x"));
}

TEST(File, AtomicWriteReplacesWithoutLeavingTemporaries) {
  TemporaryDirectory directory = *TemporaryDirectory::create("berth-base");
  Fd fd = *open_file(directory.path(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(write_file_atomically(fd.get(), "state", "one", 0600, Durability::durable));
  ASSERT_TRUE(write_file_atomically(fd.get(), "state", "two", 0600, Durability::visible));
  EXPECT_EQ(read_file(directory.path() + "/state"), "two");
  EXPECT_EQ(list_directory(directory.path())->size(), 1u);
}

TEST(File, RemovingATreeDoesNotFollowLinks) {
  TemporaryDirectory directory = *TemporaryDirectory::create("berth-base");
  std::string keep = directory.path() + "/keep", tree = directory.path() + "/tree";
  ASSERT_TRUE(make_directories(keep + "/inner", 0755));
  ASSERT_TRUE(make_directories(tree + "/a/b/c", 0755));
  ASSERT_EQ(symlink(keep.c_str(), (tree + "/a/link").c_str()), 0);
  EXPECT_TRUE(remove_tree(tree));
  EXPECT_FALSE(exists(tree));
  EXPECT_TRUE(exists(keep + "/inner"));
  EXPECT_TRUE(remove_tree(tree));
}

TEST(Process, OutputAndExitCodeComeBack) {
  auto output = run_program({"sh", "-c", "cat; echo err >&2; exit 3"}, "in");
  ASSERT_TRUE(output);
  EXPECT_EQ(output->exit_code, 3);
  EXPECT_EQ(output->standard_output, "in");
  EXPECT_EQ(output->standard_error, "err\n");
  EXPECT_FALSE(run_program({"/no/such/program"}));
}

}  // namespace
}  // namespace berth
