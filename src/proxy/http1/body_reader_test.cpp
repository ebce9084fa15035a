// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/body_reader.h"

#include <gtest/gtest.h>

namespace berth::proxy {
namespace {

const HeadLimits kLimits;

struct Read {
  std::string body, left;
  bool ended = false;
  int refused = 0;
};

// Gives `bytes` in parts, and takes of the data no more than `most` at a time.
Read read(Framing framing, std::string_view bytes, std::size_t part, std::size_t most,
          BodyReader* used = nullptr) {
  BodyReader own;
  BodyReader& reader = used ? *used : own;
  reader.begin(framing);
  Read read;
  std::string input;
  while (read.refused == 0 && !read.ended) {
    const Parsed<BodyReader::Piece> piece = reader.next(input, kLimits);
    if (!piece) {
      read.refused = piece.error().status;
    } else {
      const std::string data(piece->data.substr(0, most));
      read.ended = piece->ended;
      input.erase(0, piece->used_before + data.size());
      read.body += data;
      reader.took(data.size());
      if (!data.empty() || read.ended) continue;
      if (bytes.empty()) break;
      input += bytes.substr(0, part);
      bytes.remove_prefix(std::min(part, bytes.size()));
    }
  }
  read.left = input + std::string(bytes);
  return read;
}

const Framing kChunked{Framing::Kind::chunked};

TEST(BodyReader, ReadsTheSameHoweverTheBytesCome) {
  const std::string_view bytes = "5\r\nhello\r\n00A;ext=\"1\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
  for (const std::size_t part : {1u, 2u, 3u, 7u, 1000u})
    for (const std::size_t most : {1u, 3u, 1000u}) {
      BodyReader reader;
      const Read body = read(kChunked, bytes, part, most, &reader);
      EXPECT_EQ(body.body, "hello0123456789");
      EXPECT_TRUE(body.ended);
      EXPECT_EQ(body.left, "GET /") << part << " " << most;
      ASSERT_EQ(reader.trailers().size(), 1u);
      EXPECT_EQ(reader.trailers()[0].name, "X-Sum");
    }
}

TEST(BodyReader, TakesItsLengthAndNoMore) {
  const Read body = read({Framing::Kind::length, 5}, "helloGET /", 3, 2);
  EXPECT_EQ(body.body, "hello");
  EXPECT_TRUE(body.ended);
  EXPECT_EQ(body.left, "GET /");
  EXPECT_FALSE(read({Framing::Kind::length, 6}, "hello", 3, 2).ended);
  EXPECT_TRUE(read({}, "x", 1, 1).ended);
}

TEST(BodyReader, RefusesChunksThatAreNone) {
  for (const std::string_view bytes :
       {"\r\n", "x\r\n", "0x5\r\nhello\r\n", "+5\r\nhello\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n",
        "5\nhello\r\n", "5\rhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello\nX", "5\r\nhello\rX",
        "1000000000000000\r\n", "-1\r\n", "5;a\x01\r\nhello\r\n", "5;a\nhello\r\n",
        "0\r\nContent-Length: 1\r\n\r\n", "0\r\nX Y: 1\r\n\r\n", "0\r\n folded\r\n\r\n", "0\r\n\n"}) {
    EXPECT_NE(read(kChunked, bytes, 1, 100).refused, 0) << bytes;
    EXPECT_NE(read(kChunked, bytes, 100, 100).refused, 0) << bytes;
  }
  EXPECT_NE(read(kChunked, "5;" + std::string(5000, 'a'), 100, 100).refused, 0);
  EXPECT_EQ(read(kChunked, "0\r\n" + std::string(40'000, 'a'), 100, 100).refused, 431);
}

TEST(BodyReader, KnowsWhetherAnEndIsACut) {
  BodyReader reader;
  reader.begin({Framing::Kind::until_close});
  EXPECT_TRUE(reader.may_end_here());
  reader.begin(kChunked);
  EXPECT_FALSE(reader.may_end_here());
  reader.begin({Framing::Kind::length, 1});
  EXPECT_FALSE(reader.may_end_here());
}

}  // namespace
}  // namespace berth::proxy
