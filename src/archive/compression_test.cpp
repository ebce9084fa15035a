// SPDX-License-Identifier: Apache-2.0
#include "archive/compression.h"

#include <gtest/gtest.h>

#include "archive/test_support.h"

namespace berth::archive {
namespace {

using test::DripSource;

std::string sample(std::size_t size) {
  std::string text;
  unsigned seed = 7;
  while (text.size() < size) {
    seed = seed * 1103515245 + 12345;
    text += fmt::format("line {} of {}\n", seed >> 20, size);
  }
  text.resize(size);
  return text;
}

Result<std::string> unpacked(std::string_view data, std::uint64_t limit = UINT64_MAX,
                             std::size_t step = 1u << 20, std::size_t chunk = 4096) {
  DripSource source(data, step);
  std::unique_ptr<Source> plain = TRY(decompress(source, limit));
  std::string text;
  std::vector<char> buffer(chunk);
  for (;;) {
    const std::size_t size = TRY(plain->read(buffer));
    if (size == 0) {
      EXPECT_EQ(plain->read(buffer).value_or(99), 0u) << "the end stays the end";
      return text;
    }
    text.append(buffer.data(), size);
  }
}

std::string compressed(std::string_view text, const std::string& program) {
  TemporaryDirectory temporary = TemporaryDirectory::create("compress").value();
  const std::string path = temporary.path() + "/f";
  test::write(path, text, 0600);
  Result<Output> output = run_program({program, "-c", path});
  EXPECT_TRUE(output && output->exit_code == 0) << program;
  return output ? output->standard_output : "";
}

class Formats : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(, Formats, testing::Values("gzip", "zstd", "xz", "bzip2"),
                         [](const auto& format) { return format.param; });

TEST_P(Formats, AreReadAtAnyBoundary) {
  const std::string text = sample(150'000);
  const std::string data = compressed(text, GetParam());
  EXPECT_NE(detect_compression(data), Compression::none);
  for (std::size_t step : {1, 13, 4096, 1'000'000})
    for (std::size_t chunk : {1 + step % 2 * 99, std::size_t{300'000}}) {
      Result<std::string> got = unpacked(data, UINT64_MAX, step, chunk);
      ASSERT_TRUE(got) << got.error().message;
      ASSERT_EQ(*got, text);
    }
}

TEST_P(Formats, MembersFollowOneAnother) {
  const std::string data =
      compressed("first,", GetParam()) + compressed("", GetParam()) + compressed("second", GetParam());
  for (std::size_t step : {1, 5, 1000}) EXPECT_EQ(unpacked(data, UINT64_MAX, step).value(), "first,second");
}

TEST_P(Formats, CutOffDataIsAnError) {
  const std::string data = compressed(sample(5000), GetParam());
  for (std::size_t size = kMagicSize; size < data.size(); size += 1 + data.size() / 40) {
    Result<std::string> got = unpacked(std::string_view(data).substr(0, size));
    ASSERT_FALSE(got) << size;
    EXPECT_EQ(got.error().kind, ErrorKind::corrupt) << size;
  }
}

TEST_P(Formats, DamagedDataIsAnError) {
  std::string data = compressed(sample(5000), GetParam());
  data[data.size() / 2] ^= 0x55;
  EXPECT_FALSE(unpacked(data));
  std::string trailer = compressed(sample(5000), GetParam());
  trailer[trailer.size() - 6] ^= 1;  // inside the checksum or what stands for it
  if (GetParam() != "bzip2") {
    EXPECT_FALSE(unpacked(trailer));
  }
  EXPECT_FALSE(unpacked(compressed("x", GetParam()) + "garbage"));
}

TEST_P(Formats, BombsStopAtTheLimit) {
  const std::string data = compressed(std::string(3'000'000, '\0'), GetParam());
  Result<std::string> got = unpacked(data, 1'000'000);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::exhausted);
  EXPECT_TRUE(unpacked(data, 3'000'000));
}

TEST(Compression, GzipPaddedWithZerosIsWhole) {
  const std::string data = compressed("tape", "gzip") + std::string(1000, '\0');
  EXPECT_EQ(unpacked(data, UINT64_MAX, 7).value(), "tape");
  EXPECT_FALSE(unpacked(data + compressed("more", "gzip")));
}

TEST(Compression, PlainDataPasses) {
  EXPECT_EQ(unpacked("").value(), "");
  EXPECT_EQ(unpacked("abc", UINT64_MAX, 1).value(), "abc");
  EXPECT_EQ(unpacked(sample(100'000), UINT64_MAX, 999).value(), sample(100'000));
}

TEST(Compression, WhatIsWrittenOthersRead) {
  const std::string text = sample(1'000'000);
  for (auto [compression, program] : {std::pair{Compression::gzip, "gzip"}, {Compression::zstd, "zstd"}})
    for (int level : {0, 1, 3}) {
      StringSink sink;
      std::unique_ptr<Sink> writer = compress(sink, compression, level).value();
      for (std::size_t at = 0; at < text.size(); at += 77'777)
        ASSERT_TRUE(writer->write(std::string_view(text).substr(at, 77'777)));
      ASSERT_TRUE(writer->finish());
      EXPECT_LT(sink.text().size(), text.size() / 2);
      EXPECT_EQ(unpacked(sink.text()).value(), text);
      Result<Output> output = run_program({program, "-dc"}, sink.text());
      ASSERT_TRUE(output) << output.error().message;
      EXPECT_EQ(output->standard_output, text) << program << output->standard_error;
      StringSink again;
      std::unique_ptr<Sink> second = compress(again, compression, level).value();
      ASSERT_TRUE(second->write(text));
      ASSERT_TRUE(second->finish());
      EXPECT_EQ(unpacked(again.text()).value(), text);
    }
}

TEST(Compression, NothingIsStillAStream) {
  for (Compression compression : {Compression::gzip, Compression::zstd}) {
    StringSink sink;
    std::unique_ptr<Sink> writer = compress(sink, compression).value();
    ASSERT_TRUE(writer->finish());
    EXPECT_EQ(detect_compression(sink.text()), compression);
    EXPECT_EQ(unpacked(sink.text()).value(), "");
  }
}

TEST(Streams, ReadAheadGivesTheSameBytesAndErrors) {
  const std::string text = sample(3'000'000);
  StringSource source(text);
  ReadAhead ahead(source);
  StringSink sink;
  EXPECT_EQ(copy_stream(ahead, sink).value(), text.size());
  EXPECT_EQ(sink.text(), text);
  FunctionSource broken(
      [](std::span<char>) -> Result<std::size_t> { return fail(ErrorKind::timeout, "broken"); });
  ReadAhead fails(broken);
  EXPECT_EQ(copy_stream(fails, sink).error().kind, ErrorKind::timeout);
  StringSource unread(text);
  ReadAhead dropped(unread);  // its destructor does not wait for a reader
}

TEST(Streams, AProducerIsHeldBackAndStopped) {
  std::size_t made = 0;
  Result<void> last;
  {
    ProducedSource source([&](Sink& sink) -> Result<void> {
      const std::string piece(100'000, 'x');
      for (;; ++made)
        if (last = sink.write(piece); !last) return last;
    });
    char buffer[10];
    ASSERT_EQ(source.read(buffer).value(), 10u);
  }
  EXPECT_LT(made, 100u);
  EXPECT_EQ(last.error().kind, ErrorKind::cancelled);
  ProducedSource failing([](Sink& sink) -> Result<void> {
    TRY(sink.write("some"));
    return fail(ErrorKind::corrupt, "half way");
  });
  StringSink sink;
  EXPECT_EQ(copy_stream(failing, sink).error().kind, ErrorKind::corrupt);
}

}  // namespace
}  // namespace berth::archive
