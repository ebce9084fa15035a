// SPDX-License-Identifier: Apache-2.0
#include "oci/tag_list.h"

#include <gmock/gmock.h>

namespace berth::oci {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(TagList, CollectsPagesSortedAndEachNameOnce) {
  TagList list("tags of x");
  EXPECT_EQ(list.add(R"({"tags":["c","a"]})", R"(</v2/x/tags/list?last=c>; rel="next")").value(),
            "/v2/x/tags/list?last=c");
  EXPECT_EQ(list.add(R"({"tags":["b","a"]})", "").value(), std::nullopt);
  EXPECT_THAT(std::move(list).sorted(), ElementsAre("a", "b", "c"));
}

TEST(TagList, LeavesOutWhatIsNoTag) {
  TagList list("tags of x");
  const std::string page =
      fmt::format(R"({{"tags":["ok","a\r\nX-Evil: 1","","../x",".a","a b",7,null,"{}","{}"]}})",
                  std::string(128, 'l'), std::string(129, 'l'));
  ASSERT_TRUE(list.add(page, ""));
  EXPECT_THAT(std::move(list).sorted(), ElementsAre(std::string(128, 'l'), "ok"));
}

TEST(TagList, ManyPagesOfOneLongNameTakeUpNothingAndEnd) {
  TagList list("tags of x");
  const std::string page = R"({"tags":[")" + std::string(7 << 20, 'x') + R"("]})";
  std::size_t pages = 0;
  Result<std::optional<std::string>> next = std::optional<std::string>();
  while ((next = list.add(page, "<?last=x>; rel=next"))) ASSERT_LT(++pages, 100u);
  EXPECT_THAT(next.error().message, HasSubstr("tags of x: the registry's list has more than"));
  EXPECT_THAT(std::move(list).sorted(), IsEmpty());
}

TEST(TagList, AListWithoutEndEnds) {
  TagList pages("tags of x"), names("tags of x");
  std::size_t count = 0;
  while (pages.add(R"({"tags":["x"]})", "<?last=x>; rel=next")) ASSERT_LT(++count, 2000u);
  std::string many;
  for (int i = 0; i <= 100'000; ++i) many += fmt::format(R"("t{}",)", i);
  many.pop_back();
  EXPECT_THAT(names.add(R"({"tags":[)" + many + "]}", "").error().message, HasSubstr("more than 100000"));
}

TEST(TagList, EndsWithAPageOfNothing) {
  for (const char* page : {R"({"tags":[]})", R"({"tags":null})", "{}"})
    EXPECT_EQ(TagList("x").add(page, "<?last=x>; rel=next").value(), std::nullopt) << page;
  for (const char* page : {"[]", R"({"tags":"a"})", "x", ""})
    EXPECT_FALSE(TagList("x").add(page, "")) << page;
}

}  // namespace
}  // namespace berth::oci
