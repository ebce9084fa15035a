// SPDX-License-Identifier: Apache-2.0
#include "keeper/log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace berth::keeper {
namespace {

constexpr Timestamp kTime{1'700'000'000'123'456'789};

class LogWriterTest : public testing::Test {
 protected:
  std::string path() const { return directory_.path() + "/c-json.log"; }
  LogWriter writer(std::int64_t maximum_size = 0, int maximum_files = 5) {
    return LogWriter::open({path(), maximum_size, maximum_files}).value();
  }
  std::string text(const std::string& suffix = "") { return read_file(path() + suffix).value_or("missing"); }
  // The lines of a file, each checked to be one whole JSON object with the three members.
  std::vector<json::object> lines(const std::string& suffix = "") {
    std::vector<json::object> found;
    const std::string all = text(suffix);
    EXPECT_TRUE(all.empty() || all.back() == '\n');
    for (std::string_view line : split(all, '\n')) {
      if (line.empty()) continue;
      Result<json::value> document = parse_json(line, "the line");
      EXPECT_TRUE(document) << line;
      if (document) found.push_back(document->as_object());
    }
    return found;
  }
  std::vector<std::string> texts(const std::string& suffix = "") {
    std::vector<std::string> found;
    for (const json::object& line : lines(suffix)) found.emplace_back(line.at("log").as_string());
    return found;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("log-writer").value();
};

TEST_F(LogWriterTest, WritesDockersLines) {
  LogWriter log = writer();
  log.append(Stream::output, "a\n", kTime);
  log.append(Stream::errors, "b\n", kTime);
  EXPECT_EQ(text(), R"({"log":"a\n","stream":"stdout","time":"2023-11-14T22:13:20.123456789Z"})"
                    "\n"
                    R"({"log":"b\n","stream":"stderr","time":"2023-11-14T22:13:20.123456789Z"})"
                    "\n");
}

TEST_F(LogWriterTest, ALineMayComeInPiecesAndStreamsDontMix) {
  LogWriter log = writer();
  log.append(Stream::output, "on", kTime);
  log.append(Stream::errors, "tw", kTime);
  log.append(Stream::output, "e\nthr", kTime);
  log.append(Stream::errors, "o\n", kTime);
  EXPECT_THAT(texts(), testing::ElementsAre("one\n", "two\n"));
  log.finish(kTime);
  EXPECT_THAT(texts(), testing::ElementsAre("one\n", "two\n", "thr"));
  log.finish(kTime);
  EXPECT_EQ(texts().size(), 3u);
}

TEST_F(LogWriterTest, ALongLineIsSplitAt16KiB) {
  LogWriter log = writer();
  const std::string line = std::string(kMaximumLogLine, 'x') + std::string(kMaximumLogLine, 'y') + "z\n";
  log.append(Stream::output, line.substr(0, 10'000), kTime);
  log.append(Stream::output, line.substr(10'000), kTime);
  std::vector<std::string> pieces = texts();
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0], std::string(kMaximumLogLine, 'x'));
  EXPECT_EQ(pieces[1], std::string(kMaximumLogLine, 'y'));
  EXPECT_EQ(pieces[2], "z\n") << "only the last piece ends in a newline";
}

TEST_F(LogWriterTest, ALineOfExactly16KiBIsOnePieceAndItsNewline) {
  LogWriter log = writer();
  log.append(Stream::output, std::string(kMaximumLogLine - 1, 'x') + "\nnext\n", kTime);
  std::vector<std::string> pieces = texts();
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].size(), kMaximumLogLine);
  EXPECT_EQ(pieces[1], "next\n");
}

TEST_F(LogWriterTest, EveryByteBecomesValidJson) {
  LogWriter log = writer();
  std::string all;
  for (int byte = 0; byte < 256; ++byte)
    if (byte != '\n') all += static_cast<char>(byte);
  log.append(Stream::output, all + "\n", kTime);
  std::vector<std::string> found = texts();
  ASSERT_EQ(found.size(), 1u);
  std::string expected;
  for (int byte = 0; byte < 0x80; ++byte)
    if (byte != '\n') expected += static_cast<char>(byte);
  for (int byte = 0x80; byte < 0x100; ++byte) expected += "\xef\xbf\xbd";
  EXPECT_EQ(found[0], expected + "\n");
}

TEST_F(LogWriterTest, Utf8StaysAndWhatIsNoneIsReplaced) {
  struct Case {
    std::string_view written, read;
  };
  for (const Case& c :
       {Case{"caf\xc3\xa9", "caf\xc3\xa9"}, Case{"\xf0\x9f\x90\xb3", "\xf0\x9f\x90\xb3"},
        Case{"\xc3(", "\xef\xbf\xbd("}, Case{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        Case{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        Case{"end\xe2\x82", "end\xef\xbf\xbd\xef\xbf\xbd"}, Case{R"(quote " and \ )", R"(quote " and \ )"},
        Case{"\x1b[31m\r\t", "\x1b[31m\r\t"}}) {
    unlink(path().c_str());
    LogWriter log = writer();
    log.append(Stream::output, std::string(c.written) + "\n", kTime);
    EXPECT_THAT(texts(), testing::ElementsAre(std::string(c.read) + "\n"));
  }
}

TEST_F(LogWriterTest, TextCannotForgeALine) {
  LogWriter log = writer();
  log.append(Stream::output, "\",\"stream\":\"stderr\",\"time\":\"x\"}\r{\"log\":\"\n", kTime);
  std::vector<json::object> found = lines();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].at("stream").as_string(), "stdout");
}

TEST_F(LogWriterTest, RotatesWithinItsBounds) {
  LogWriter log = writer(2000, 3);
  for (int i = 0; i < 1000; ++i) log.append(Stream::output, fmt::format("line {}\n", i), kTime);
  EXPECT_EQ(list_directory(directory_.path()).value(),
            (std::vector<std::string>{"c-json.log", "c-json.log.1", "c-json.log.2"}));
  for (const char* suffix : {"", ".1", ".2"}) {
    struct stat info;
    ASSERT_EQ(stat((path() + suffix).c_str(), &info), 0);
    EXPECT_LE(info.st_size, 2000 + 200) << suffix;
  }
  // Oldest first, without a gap, up to the last line.
  std::vector<std::string> all = texts(".2");
  for (const char* suffix : {".1", ""})
    for (const std::string& line : texts(suffix)) all.push_back(line);
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i], fmt::format("line {}\n", 1000 - all.size() + i));
  EXPECT_EQ(log.dropped_bytes(), 0u);
}

TEST_F(LogWriterTest, OneLargeAppendIsSpreadOverFilesToo) {
  LogWriter log = writer(100'000, 4);
  std::string data;
  for (int i = 0; i < 8000; ++i) data += fmt::format("line {:05}\n", i);
  log.append(Stream::output, data, kTime);
  for (const char* suffix : {"", ".1", ".2", ".3"}) {
    struct stat info;
    ASSERT_EQ(stat((path() + suffix).c_str(), &info), 0) << suffix;
    EXPECT_LE(info.st_size, 100'000 + 200) << suffix;
  }
  EXPECT_EQ(texts().back(), "line 07999\n");
}

TEST_F(LogWriterTest, ASingleFileStartsOver) {
  LogWriter log = writer(2000, 1);
  for (int i = 0; i < 1000; ++i) log.append(Stream::output, fmt::format("line {}\n", i), kTime);
  EXPECT_EQ(list_directory(directory_.path()).value(), (std::vector<std::string>{"c-json.log"}));
  EXPECT_LE(text().size(), 2200u);
  EXPECT_EQ(texts().back(), "line 999\n");
}

TEST_F(LogWriterTest, GoesOnAtTheEndOfAFile) {
  writer().append(Stream::output, "first\n", kTime);
  writer().append(Stream::output, "second\n", kTime);
  EXPECT_THAT(texts(), testing::ElementsAre("first\n", "second\n"));
  // What is there counts towards the file's size.
  LogWriter log = writer(100, 2);
  log.append(Stream::output, "third\n", kTime);
  EXPECT_EQ(texts().size(), 1u);
  EXPECT_EQ(texts(".1").size(), 2u);
}

TEST_F(LogWriterTest, WithoutAPathNothingIsKept) {
  LogWriter log = LogWriter::open({"", 100, 2}).value();
  log.append(Stream::output, "a\nb", kTime);
  log.finish(kTime);
  EXPECT_TRUE(list_directory(directory_.path()).value().empty());
}

TEST_F(LogWriterTest, ALinkInTheLogsPlaceIsNotFollowed) {
  ASSERT_EQ(symlink("/dev/null", path().c_str()), 0);
  EXPECT_FALSE(LogWriter::open({path(), 0, 1}));
}

TEST_F(LogWriterTest, WhatCannotBeRotatedStaysInOneFileAndLosesNothing) {
  LogWriter log = writer(500, 2);
  ASSERT_EQ(mkdir((path() + ".1").c_str(), 0700), 0);  // a file cannot be renamed onto a directory
  for (int i = 0; i < 100; ++i) log.append(Stream::output, fmt::format("line {}\n", i), kTime);
  EXPECT_EQ(texts().size(), 100u);
  EXPECT_EQ(log.dropped_bytes(), 0u);
}

// A file system of 256 KiB.
class FullDiskTest : public LogWriterTest {
 protected:
  void SetUp() override {
    if (mount("small", directory_.path().c_str(), "tmpfs", 0, "size=256k") != 0)
      GTEST_SKIP() << "mounting needs root";
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(FullDiskTest, HoldsWholeLinesOnlyAndCountsWhatItDropped) {
  LogWriter log = writer();
  const std::string line = std::string(999, 'x') + "\n";
  for (int i = 0; i < 1000; ++i) log.append(Stream::output, line, kTime);
  EXPECT_GT(log.dropped_bytes(), 500'000u);
  std::vector<std::string> kept = texts();
  EXPECT_GT(kept.size(), 200u);
  for (const std::string& one : kept) ASSERT_EQ(one, line);
}

TEST_F(FullDiskTest, GoesOnWhenThereIsRoomAgain) {
  Fd filler = open_file(directory_.path() + "/filler", O_WRONLY | O_CREAT, 0600).value();
  while (write(filler.get(), std::string(4096, 'f').data(), 4096) > 0) {
  }
  LogWriter log = writer();
  log.append(Stream::output, "lost\n", kTime);
  EXPECT_GT(log.dropped_bytes(), 0u);
  const std::uint64_t dropped = log.dropped_bytes();
  ASSERT_EQ(ftruncate(filler.get(), 0), 0);
  log.append(Stream::output, "kept\n", kTime);
  EXPECT_EQ(log.dropped_bytes(), dropped);
  EXPECT_THAT(texts(), testing::ElementsAre("kept\n"));
}

}  // namespace
}  // namespace berth::keeper
