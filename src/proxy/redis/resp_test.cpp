// SPDX-License-Identifier: Apache-2.0
#include "proxy/redis/resp.h"

#include <gtest/gtest.h>

namespace berth::proxy {
namespace {

using Type = RespValue::Type;

TEST(RespReader, ReadsTheSameHoweverTheBytesCome) {
  const std::string bytes =
      "+OK\r\n:-5\r\n$5\r\na\r\nbc\r\n$-1\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n>2\r\n$1\r\ny\r\n_\r\n%1\r\n+k\r\n,"
      "1.5\r\n-ERR no\r\n";
  for (const std::size_t part : {1u, 3u, 1000u}) {
    RespReader reader;
    std::vector<RespValue> values;
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      reader.add(std::string_view(bytes).substr(at, part));
      RespValue value;
      while (reader.next(value).value()) values.push_back(value);
    }
    ASSERT_EQ(values.size(), 8u);
    EXPECT_EQ(values[0].text, "OK");
    EXPECT_EQ(values[1].integer, -5);
    EXPECT_EQ(values[2].text, "a\r\nbc");
    EXPECT_EQ(values[3].type, Type::null);
    EXPECT_EQ(values[4].items[1].items[0].integer, 1);
    EXPECT_EQ(values[5].type, Type::push);
    EXPECT_EQ(values[5].items[1].type, Type::null);
    EXPECT_EQ(values[6].items.size(), 2u);
    EXPECT_EQ(values[7].type, Type::error);
  }
}

TEST(RespReader, RefusesWhatIsNotTheProtocol) {
  std::string deep;
  for (int count = 0; count < 20; ++count) deep += "*1\r\n";
  for (const std::string& bytes :
       {std::string("x\r\n"), std::string("\r\n"), std::string(":a\r\n"), std::string("$-2\r\n"),
        std::string("$999999999999\r\n"), std::string("*99999999\r\n"), std::string("$1\r\nab\r\n"),
        std::string(100'000, '+'), deep}) {
    RespReader reader;
    reader.add(bytes);
    RespValue value;
    EXPECT_FALSE(reader.next(value)) << bytes.substr(0, 40);
  }
}

TEST(RespCommand, IsAListOfTexts) {
  std::string out;
  append_command(out, {"GET", "a b"});
  EXPECT_EQ(out, "*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
}

}  // namespace
}  // namespace berth::proxy
