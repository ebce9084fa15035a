// SPDX-License-Identifier: Apache-2.0
#include "build/mode.h"

#include <gtest/gtest.h>

namespace berth::build {
namespace {

std::uint32_t changed(std::string_view text, std::uint32_t mode, bool directory = false) {
  Result<ModeChange> change = ModeChange::parse(text);
  EXPECT_TRUE(change) << text << ": " << change.error().message;
  return change ? change->apply(mode, directory) : 0;
}

TEST(Mode, TakesOctalDigits) {
  EXPECT_EQ(changed("755", 0600), 0755u);
  EXPECT_EQ(changed("04711", 0600), 04711u);
  EXPECT_EQ(changed("0", 0777), 0u);
}

// As chmod(1) does it.
TEST(Mode, TakesSymbols) {
  EXPECT_EQ(changed("u+x", 0644), 0744u);
  EXPECT_EQ(changed("+x", 0644), 0755u);
  EXPECT_EQ(changed("go-rwx", 0777), 0700u);
  EXPECT_EQ(changed("a=r", 0777), 0444u);
  EXPECT_EQ(changed("u=rwx,g=rx,o=", 0), 0750u);
  EXPECT_EQ(changed("g=u", 0640), 0660u);
  EXPECT_EQ(changed("u+s,o+t", 0755), 05755u);
  EXPECT_EQ(changed("u=rw+x", 0), 0700u);
}

TEST(Mode, ALargeXIsForDirectoriesAndWhatHasAnX) {
  EXPECT_EQ(changed("u=rwX,go=rX", 0600), 0644u);
  EXPECT_EQ(changed("u=rwX,go=rX", 0700), 0755u);
  EXPECT_EQ(changed("u=rwX,go=rX", 0600, true), 0755u);
}

TEST(Mode, RefusesWhatChmodDoes) {
  for (const char* text : {"", "8", "99999", "u", "x", "u*x", "rwx", "u+x,", "0x10", "-1"})
    EXPECT_FALSE(ModeChange::parse(text)) << text;
}

}  // namespace
}  // namespace berth::build
