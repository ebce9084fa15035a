// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/fd.h"
#include "cli/stream/demultiplex.h"
#include "cli/stream/terminal.h"

namespace berth::cli {
namespace {

std::string frame(char stream, std::string_view content) {
  std::string bytes{stream, 0, 0, 0};
  auto size = static_cast<std::uint32_t>(content.size());
  for (int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift);
  return bytes.append(content);
}

struct Captured {
  std::string output, error, failure;
  bool ok = true;
};

// Fed in pieces of `step` bytes: frames are cut wherever the socket cuts them.
Captured demultiplex(std::string_view bytes, std::size_t step) {
  Pipe out = *make_pipe(), err = *make_pipe();
  Captured captured;
  {
    Demultiplexer frames(out.write.get(), err.write.get());
    for (std::size_t at = 0; at < bytes.size() && captured.ok; at += step)
      captured.ok = frames.feed(bytes.substr(at, step)).has_value();
    captured.failure = frames.failure();
  }
  out.write.reset();
  err.write.reset();
  captured.output = *read_to_end(out.read.get(), 1 << 20);
  captured.error = *read_to_end(err.read.get(), 1 << 20);
  return captured;
}

TEST(Demultiplexer, FramesMayBeCutAnywhere) {
  std::string bytes =
      frame(1, "hello ") + frame(2, "oops\n") + frame(1, "") + frame(1, "world\n") + frame(3, "broken");
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    Captured captured = demultiplex(bytes, step);
    EXPECT_TRUE(captured.ok);
    EXPECT_EQ(captured.output, "hello world\n") << step;
    EXPECT_EQ(captured.error, "oops\n") << step;
    EXPECT_EQ(captured.failure, "broken");
  }
}

TEST(Demultiplexer, ManySmallFramesKeepTheirOrder) {
  std::string bytes, wanted;
  for (int i = 0; i < 5000; ++i) {
    bytes += frame(1, std::to_string(i));
    wanted += std::to_string(i);
  }
  EXPECT_EQ(demultiplex(bytes, bytes.size()).output, wanted);
}

TEST(Demultiplexer, RefusesAnUnknownStream) { EXPECT_FALSE(demultiplex(frame(9, "x"), 100).ok); }

TEST(DetachKeys, AreReadAsUsersWriteThem) {
  EXPECT_EQ(*parse_detach_keys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*parse_detach_keys("a,ctrl-["), "a\x1b");
  EXPECT_FALSE(parse_detach_keys("ctrl-!"));
  EXPECT_FALSE(parse_detach_keys("foo"));
}

}  // namespace
}  // namespace berth::cli
