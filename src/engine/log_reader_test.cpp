// SPDX-License-Identifier: Apache-2.0
#include "engine/log_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "keeper/log_writer.h"

namespace berth::engine {
namespace {

using keeper::LogWriter;
using keeper::Stream;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Timestamp at(std::int64_t second) { return {1'700'000'000'000'000'000 + second * 1'000'000'000}; }

class LogReaderTest : public testing::Test {
 protected:
  std::string path() const { return directory_.path() + "/c-json.log"; }
  LogWriter writer(std::int64_t maximum_size = 0, int maximum_files = 5) {
    return LogWriter::open({path(), maximum_size, maximum_files}).value();
  }
  // Ten lines, one a second, every third on stderr.
  void write_ten(std::int64_t maximum_size = 0) {
    LogWriter log = writer(maximum_size);
    for (int i = 0; i < 10; ++i)
      log.append(i % 3 == 2 ? Stream::errors : Stream::output, fmt::format("{}\n", i), at(i));
  }
  void append_raw(std::string_view text) {
    Fd file = open_file(path(), O_WRONLY | O_CREAT | O_APPEND, 0600).value();
    ASSERT_TRUE(write_all(file.get(), text));
  }
  LogReader open(const LogQuery& query = {}) { return LogReader::open(path(), query).value(); }
  static std::vector<std::string> rest(LogReader& reader) {
    std::vector<std::string> texts;
    while (std::optional<LogLine> line = reader.next().value()) texts.push_back(line->text);
    return texts;
  }
  std::vector<std::string> read(const LogQuery& query = {}) {
    LogReader reader = open(query);
    return rest(reader);
  }
  static std::vector<std::string> numbers(int from, int to) {
    std::vector<std::string> texts;
    for (int i = from; i < to; ++i) texts.push_back(fmt::format("{}\n", i));
    return texts;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("log-reader").value();
};

TEST_F(LogReaderTest, GivesBackWhatTheWriterWrote) {
  std::string every_byte;
  for (int byte = 1; byte < 0x80; ++byte) every_byte += static_cast<char>(byte == '\n' ? ' ' : byte);
  LogWriter log = writer();
  for (const std::string& text :
       {std::string("plain\n"), every_byte + "\n", std::string("nul \0 inside\n", 13),
        std::string("caf\xc3\xa9 \xf0\x9f\x90\xb3\n"), std::string("\\n \\u0041 \\\n"),
        std::string("\",\"stream\":\"stderr\",\"time\":\"2001-01-01T00:00:00Z\"}\n"),
        std::string("bad \xff utf8\n"), std::string("no newline")})
    log.append(Stream::output, text, at(0));
  log.finish(at(0));
  EXPECT_THAT(read(), ElementsAre("plain\n", every_byte + "\n", std::string("nul \0 inside\n", 13),
                                  "caf\xc3\xa9 \xf0\x9f\x90\xb3\n", "\\n \\u0041 \\\n",
                                  "\",\"stream\":\"stderr\",\"time\":\"2001-01-01T00:00:00Z\"}\n",
                                  "bad \xef\xbf\xbd utf8\n", "no newline"));
}

TEST_F(LogReaderTest, StreamsAndTimesAreTold) {
  write_ten();
  LogReader reader = open({.output = false});
  std::optional<LogLine> line = reader.next().value();
  ASSERT_TRUE(line);
  EXPECT_EQ(line->stream, Stream::errors);
  EXPECT_EQ(line->time, at(2));
  EXPECT_THAT(rest(reader), ElementsAre("5\n", "8\n"));
  EXPECT_THAT(read({.errors = false}), ElementsAre("0\n", "1\n", "3\n", "4\n", "6\n", "7\n", "9\n"));
}

TEST_F(LogReaderTest, TheTail) {
  write_ten();
  for (int wanted : {0, 1, 2, 9, 10, 11, 1'000'000})
    EXPECT_EQ(read({.tail = static_cast<std::uint64_t>(wanted)}), numbers(std::max(0, 10 - wanted), 10))
        << wanted;
  EXPECT_EQ(read({.tail = UINT64_MAX}), numbers(0, 10));
}

TEST_F(LogReaderTest, TheTailReachesIntoOlderFiles) {
  write_ten(200);
  ASSERT_TRUE(exists(path() + ".2"));
  const std::vector<std::string> all = read();
  ASSERT_GE(all.size(), 4u);
  EXPECT_EQ(all.back(), "9\n");
  for (std::size_t wanted = 1; wanted <= all.size() + 1; ++wanted) {
    const auto skipped = static_cast<std::ptrdiff_t>(all.size() - std::min(wanted, all.size()));
    EXPECT_EQ(read({.tail = wanted}), std::vector<std::string>(all.begin() + skipped, all.end())) << wanted;
  }
}

TEST_F(LogReaderTest, TheTailOfLongLines) {
  LogWriter log = writer();
  std::vector<std::string> lines;
  for (int i = 0; i < 40; ++i) lines.push_back(std::string(16'000, static_cast<char>('a' + i % 26)) + "\n");
  for (const std::string& line : lines) log.append(Stream::output, line, at(0));
  EXPECT_EQ(read({.tail = 17}), std::vector<std::string>(lines.end() - 17, lines.end()));
}

TEST_F(LogReaderTest, SinceAndUntilHoldOnBothEnds) {
  write_ten();
  EXPECT_EQ(read({.since = at(4)}), numbers(4, 10));
  EXPECT_EQ(read({.until = at(4)}), numbers(0, 5));
  EXPECT_EQ(read({.since = at(4), .until = at(6)}), numbers(4, 7));
  EXPECT_THAT(read({.since = at(100)}), IsEmpty());
  EXPECT_EQ(read({.since = at(8), .tail = 5}), numbers(8, 10));
  LogReader reader = open({.until = at(4)});
  rest(reader);
  EXPECT_TRUE(reader.past_until());
}

TEST_F(LogReaderTest, GarbageIsSkipped) {
  for (std::string_view garbage :
       {"", "garbage", "{}", "[]", "null", R"({"log":"x"})",
        R"({"log":"x","stream":"stdout","time":"yesterday"})",
        R"({"log":"\q","stream":"stdout","time":"2023-11-14T22:13:20Z"})",
        R"({"log":"\u12","stream":"stdout","time":"2023-11-14T22:13:20Z"})",
        R"({"log":"x\","stream":"stdout","time":"2023-11-14T22:13:20Z"})",
        R"({"log":"x","stream":"stdout","time":")",
        R"({"log":","stream":"stdout","time":"2023-11-14T22:13:20Z"})", "\xff\xfe", R"({"log":")", R"("})",
        R"({"log":"","stream":","time":"2023-11-14T22:13:20Z"})"}) {
    (void)parse_log_line(garbage);  // must not crash
    append_raw(std::string(garbage) + "\n");
  }
  append_raw(std::string("\0\0\0\0\n", 5));
  writer().append(Stream::output, "sound\n", at(0));
  EXPECT_THAT(read({.since = at(0)}), testing::Contains("sound\n"));
  EXPECT_THAT(read({.tail = 1}), ElementsAre("sound\n"));
  EXPECT_FALSE(parse_log_line("garbage"));
  EXPECT_FALSE(parse_log_line(R"({"log":"\q","stream":"stdout","time":"2023-11-14T22:13:20Z"})"));
}

TEST_F(LogReaderTest, ALineThatIsStillBeingWrittenWaitsForItsEnd) {
  LogReader reader = open();
  append_raw(R"({"log":"half\n","str)");
  EXPECT_FALSE(reader.next().value());
  append_raw(R"(eam":"stdout","time":"2023-11-14T22:13:20Z"})");
  EXPECT_FALSE(reader.next().value());
  append_raw("\n");
  EXPECT_THAT(rest(reader), ElementsAre("half\n"));
}

TEST_F(LogReaderTest, ALogThatDoesNotExistYetIsEmptyAndThenFollowed) {
  LogReader reader = open();
  EXPECT_FALSE(reader.next().value());
  writer().append(Stream::output, "first\n", at(0));
  pollfd ready{reader.descriptor(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 1000), 1);
  EXPECT_THAT(rest(reader), ElementsAre("first\n"));
  reader.acknowledge();
  EXPECT_EQ(poll(&ready, 1, 0), 0);
  writer().append(Stream::output, "second\n", at(0));
  EXPECT_EQ(poll(&ready, 1, 1000), 1);
  EXPECT_THAT(rest(reader), ElementsAre("second\n"));
}

TEST_F(LogReaderTest, ATailIsThatOfTheMomentWhenTheReadingBegan) {
  write_ten();
  LogReader reader = open({.tail = 2});
  LogReader following = open({.tail = 2, .follow = true});
  writer().append(Stream::output, "late\n", at(20));
  EXPECT_THAT(rest(reader), ElementsAre("8\n", "9\n"));
  EXPECT_THAT(rest(following), ElementsAre("8\n", "9\n", "late\n"));
}

TEST_F(LogReaderTest, TailNoneFollowsFromTheEnd) {
  write_ten();
  LogReader reader = open({.tail = 0, .follow = true});
  EXPECT_THAT(rest(reader), IsEmpty());
  writer().append(Stream::output, "new\n", at(20));
  EXPECT_THAT(rest(reader), ElementsAre("new\n"));
}

TEST_F(LogReaderTest, FollowsThroughRotations) {
  LogWriter log = writer(500, 50);
  LogReader reader = open();
  std::vector<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    log.append(Stream::output, fmt::format("{}\n", i), at(i));
    if (i % 7 != 0) continue;
    for (std::string& text : rest(reader)) seen.push_back(std::move(text));
  }
  for (std::string& text : rest(reader)) seen.push_back(std::move(text));
  EXPECT_EQ(seen, numbers(0, 200));
}

TEST_F(LogReaderTest, LinesWrittenBetweenALookAndTheRotationAreNotLost) {
  // A writer that is as fast as it can be, a reader that looks at every moment.
  constexpr int kLines = 20'000;
  std::jthread writing([&] {
    LogWriter log = writer(20'000, 1000);
    for (int i = 0; i < kLines; ++i) log.append(Stream::output, fmt::format("{}\n", i), at(0));
  });
  LogReader reader = open();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int expected = 0;
  while (expected < kLines && std::chrono::steady_clock::now() < deadline) {
    std::optional<LogLine> line = reader.next().value();
    if (!line) continue;
    ASSERT_EQ(line->text, fmt::format("{}\n", expected++));
  }
  EXPECT_EQ(expected, kLines);
}

TEST_F(LogReaderTest, GoesOnBehindANumberThatABrokenRotationHasLeftFree) {
  {
    LogWriter log = writer(300, 50);
    for (int i = 0; i < 25; ++i) log.append(Stream::output, fmt::format("{}\n", i), at(i));
  }
  int oldest = 0;
  while (exists(path() + "." + std::to_string(oldest + 1))) ++oldest;
  ASSERT_GT(oldest, 3);
  for (int number = oldest; number > 1; --number)
    ASSERT_EQ(std::rename(fmt::format("{}.{}", path(), number).c_str(),
                          fmt::format("{}.{}", path(), number + 1).c_str()),
              0);
  LogReader reader = open();
  EXPECT_EQ(rest(reader), numbers(0, 25));
}

TEST_F(LogReaderTest, ASingleFileThatStartsOverIsFollowedFromItsBeginning) {
  LogWriter log = writer(2000, 1);
  LogReader reader = open();
  std::vector<std::string> seen;
  for (int i = 0; i < 500; ++i) {
    log.append(Stream::output, fmt::format("{}\n", i), at(i));
    for (std::string& text : rest(reader)) seen.push_back(std::move(text));
  }
  EXPECT_EQ(seen, numbers(0, 500));
}

TEST_F(LogReaderTest, AReaderThatWasLappedGoesOnWithTheOldestThatIsLeft) {
  LogWriter log = writer(500, 3);
  log.append(Stream::output, "0\n", at(0));
  LogReader reader = open();
  EXPECT_THAT(rest(reader), ElementsAre("0\n"));
  for (int i = 1; i < 200; ++i) log.append(Stream::output, fmt::format("{}\n", i), at(i));
  std::vector<std::string> seen = rest(reader);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back(), "199\n");
  // The rest of its own file, then without a gap to the end.
  const std::vector<std::string> left = read();
  ASSERT_GE(seen.size(), left.size());
  EXPECT_EQ(std::vector<std::string>(seen.end() - static_cast<std::ptrdiff_t>(left.size()), seen.end()),
            left);
}

TEST_F(LogReaderTest, ALinkIsNotFollowed) {
  append_raw(R"({"log":"secret\n","stream":"stdout","time":"2023-11-14T22:13:20Z"})"
             "\n");
  const std::string real = directory_.path() + "/real";
  ASSERT_EQ(rename(path().c_str(), real.c_str()), 0);
  ASSERT_EQ(symlink(real.c_str(), path().c_str()), 0);
  EXPECT_THAT(read(), IsEmpty());
  EXPECT_THAT(read({.tail = 5}), IsEmpty());
}

}  // namespace
}  // namespace berth::engine
