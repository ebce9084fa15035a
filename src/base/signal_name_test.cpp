// SPDX-License-Identifier: Apache-2.0
#include "base/signal_name.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(SignalName, IsReadAsDockerReadsIt) {
  for (auto [text, number] : {std::pair{"SIGTERM", 15},
                              {"term", 15},
                              {"Kill", 9},
                              {"15", 15},
                              {"64", 64},
                              {"SIGRTMIN", 34},
                              {"RTMIN+3", 37},
                              {"SIGRTMAX-1", 63},
                              {"sigusr1", 10},
                              {"CLD", 17}})
    EXPECT_EQ(parse_signal(text).value_or(-1), number) << text;
  for (const char* text : {"", "0", "65", "-9", "+9", "9x", " 9", "SIG", "SIGSIGTERM", "RTMIN+31", "RTMIN+-1",
                           "RTMAX-31", "RTMIN+", "4294967305", "EXIT"}) {
    Result<int> number = parse_signal(text);
    ASSERT_FALSE(number) << text;
    EXPECT_EQ(number.error().message, fmt::format("invalid signal: {}", text));
  }
}

}  // namespace
}  // namespace berth
