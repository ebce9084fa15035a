// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <gmock/gmock.h>

namespace berth::cli {
namespace {

TEST(Help, KnowsTheGroupOfEveryCommand) {
  for (const Command* command : all_commands())
    for (std::string_view name : names_of(*command)) {
      const std::size_t blank = name.find(' ');
      if (blank == std::string_view::npos) continue;
      const std::string_view group = name.substr(0, blank);
      ASSERT_TRUE(is_group(group)) << name;
      EXPECT_THAT(group_help(group), testing::HasSubstr("Usage:  berth " + std::string(group)));
      EXPECT_EQ(find_command(name), command) << name;
    }
}

}  // namespace
}  // namespace berth::cli
