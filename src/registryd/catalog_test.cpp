// SPDX-License-Identifier: Apache-2.0
#include "registryd/catalog.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "registryd/change.h"

namespace berth::registryd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = TemporaryDirectory::create("berth-catalog").value();
    storage_ = open_file_storage(path("blobs"), std::chrono::seconds(1)).value();
    open();
  }
  void TearDown() override { catalog_.reset(); }
  std::string path(const std::string& name) const { return directory_->path() + "/" + name; }
  void open() {
    catalog_.reset();
    Result<std::unique_ptr<Catalog>> opened = Catalog::open(directory_->path(), *storage_);
    ASSERT_TRUE(opened) << opened.error().message;
    catalog_ = std::move(*opened);
  }
  void lose_database() {
    catalog_.reset();
    for (const char* name : {"meta.db", "meta.db-wal", "meta.db-shm"}) unlink(path(name).c_str());
  }
  Digest blob(std::string_view repository, std::string_view text) {
    Hold hold = storage_->put(text).value();
    Digest digest = sha256_of(text);
    EXPECT_TRUE(catalog_->link(repository, digest, static_cast<std::int64_t>(text.size())));
    return digest;
  }
  static std::string manifest_text(const Digest& config, const std::string& more = "") {
    return fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},"layers":[]{}}})",
        oci::media_type::kManifest, config.text(), more);
  }
  static std::string index_text(const Digest& child) {
    return fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{}","size":2}}]}})",
        oci::media_type::kIndex, oci::media_type::kManifest, child.text());
  }
  Digest put(std::string_view repository, const std::string& text, std::string_view tag = "") {
    Hold hold = storage_->put(text).value();
    Digest digest = sha256_of(text);
    ManifestFacts facts = read_manifest_facts(text, "").value();
    ApiResult<void> done =
        catalog_->put_manifest(repository, digest, static_cast<std::int64_t>(text.size()), facts, tag);
    EXPECT_TRUE(done) << done.error().message;
    return digest;
  }
  std::vector<std::string> collect(bool untagged, std::chrono::seconds grace, bool remove = true) {
    std::vector<std::string> gone;
    auto found = catalog_->collect(remove, untagged, grace, [](const Digest&) { return false; });
    EXPECT_TRUE(found);
    for (const Catalog::Collectable& item : *found)
      gone.push_back(item.repository + " " + item.digest.text());
    return gone;
  }
  void truncate_journal(long by) const {
    ASSERT_EQ(::truncate(path("journal").c_str(),
                         static_cast<long>(std::filesystem::file_size(path("journal"))) - by),
              0);
  }

  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, WhatIsLinkedInOneRepositoryIsNotInAnother) {
  const Digest digest = blob("a", "text");
  EXPECT_EQ(catalog_->linked_size("a", digest).value(), 4);
  EXPECT_EQ(catalog_->linked_size("b", digest).value(), std::nullopt);
  EXPECT_TRUE(catalog_->unlink("a", digest).value());
  EXPECT_FALSE(catalog_->unlink("a", digest).value());
  EXPECT_FALSE(catalog_->repository_exists("a").value());
}

TEST_F(CatalogTest, AManifestNeedsWhatItRefersTo) {
  const std::string text = manifest_text(sha256_of("missing"));
  ApiResult<void> done =
      catalog_->put_manifest("a", sha256_of(text), 1, read_manifest_facts(text, "").value(), "t");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::manifest_blob_unknown);
  EXPECT_EQ(catalog_->tag("a", "t").value(), std::nullopt);
}

TEST_F(CatalogTest, EverythingSurvivesTheLossOfTheDatabase) {
  const Digest config = blob("a/b", "{}");
  const Digest one = put("a/b", manifest_text(config), "one");
  const Digest two =
      put("a/b", manifest_text(config, R"(,"artifactType":"x/y","subject":{"mediaType":"a/b","digest":")" +
                                           one.text() + R"(","size":1})"));
  put("a/b", index_text(one), "index");
  put("a/b", manifest_text(config), "gone");
  ASSERT_TRUE(catalog_->delete_tag("a/b", "gone").value());
  blob("c", "other");
  for (bool garbage : {false, true}) {
    lose_database();
    if (garbage) std::ofstream(path("meta.db")) << std::string(9000, 'x');
    open();
    EXPECT_THAT(catalog_->repositories("", 10).value(), ElementsAre("a/b", "c"));
    EXPECT_THAT(catalog_->tags("a/b", "", 10).value(), ElementsAre("index", "one"));
    EXPECT_EQ(catalog_->tag("a/b", "one").value(), one);
    EXPECT_EQ(catalog_->manifest("a/b", one).value()->media_type, oci::media_type::kManifest);
    ASSERT_EQ(catalog_->referrers("a/b", one, "x/y", "", 10).value().size(), 1u);
    EXPECT_EQ(catalog_->referrers("a/b", one, "", "", 10).value()[0].digest, two);
    EXPECT_EQ(catalog_->linked_size("c", sha256_of("other")).value(), 5);
  }
}

TEST_F(CatalogTest, AJournalThatIsLostIsWrittenAgain) {
  put("a", manifest_text(blob("a", "{}")), "one");
  catalog_.reset();
  unlink(path("journal").c_str());
  open();
  lose_database();
  open();
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("one"));
}

// A power cut may take the end of the journal, of the database, or a half line.
TEST_F(CatalogTest, TornAndLostEndsAreMended) {
  const Digest config = blob("a", "{}");
  put("a", manifest_text(config), "one");
  put("a", manifest_text(config), "two");
  catalog_.reset();
  std::filesystem::copy(path("meta.db"), path("old.db"));
  truncate_journal(10);
  open();  // the database knows more: the journal is made from it
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("one", "two"));
  put("a", manifest_text(config), "three");
  catalog_.reset();
  truncate_journal(10);
  lose_database();
  open();  // the torn line was the last
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("one", "two"));
  put("a", manifest_text(config), "four");
  lose_database();
  open();
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("four", "one", "two"));
  lose_database();
  std::filesystem::copy(path("old.db"), path("meta.db"));
  open();  // one of another generation of the journal
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("four", "one", "two"));
}

TEST_F(CatalogTest, ADamagedLineCostsOnlyItself) {
  const Digest config = blob("a", "{}");
  put("a", manifest_text(config), "one");
  blob("b", "first");
  blob("c", "second");
  lose_database();
  std::fstream file(path("journal"), std::ios::in | std::ios::out);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  file.clear();
  file.seekp(static_cast<long>(text.find(" b sha256")) + 1);
  file << "X";
  file.close();
  open();
  EXPECT_THAT(catalog_->repositories("", 10).value(), ElementsAre("a", "c"));
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("one"));
}

TEST_F(CatalogTest, GarbageIsWhatNothingLeadsTo) {
  const Digest config = blob("a", "{}");
  const Digest child = put("a", manifest_text(config));
  const Digest index = put("a", index_text(child), "multi");
  const Digest signature =
      put("a", manifest_text(blob("a", "sig"), R"(,"subject":{"mediaType":"a/b","digest":")" + index.text() +
                                                   R"(","size":1})"));
  const Digest young = blob("a", "young");
  const Digest dropped = put("a", manifest_text(blob("a", "old config")), "moving");
  put("a", manifest_text(config), "moving");
  constexpr auto kHour = std::chrono::hours(1);
  EXPECT_THAT(collect(false, kHour), IsEmpty());
  EXPECT_THAT(collect(true, kHour, false),
              testing::UnorderedElementsAre("a " + dropped.text(), "a " + sha256_of("old config").text()));
  EXPECT_TRUE(catalog_->manifest("a", dropped).value());  // a dry run changes nothing
  EXPECT_EQ(collect(true, kHour).size(), 2u);
  EXPECT_FALSE(catalog_->manifest("a", dropped).value());
  EXPECT_THAT(collect(true, kHour), IsEmpty());
  EXPECT_TRUE(catalog_->linked_size("a", young).value());
  EXPECT_THAT(collect(true, std::chrono::seconds(0)), ElementsAre("a " + young.text()));
  EXPECT_TRUE(catalog_->manifest("a", signature).value());
  ASSERT_TRUE(catalog_->delete_tag("a", "multi").value());
  ASSERT_TRUE(catalog_->delete_tag("a", "moving").value());
  EXPECT_EQ(collect(true, kHour).size(), 3u + 2u);  // index, child, signature, and the two configs
  EXPECT_THAT(catalog_->repositories("", 10).value(), IsEmpty());
}

TEST_F(CatalogTest, TheJournalIsCompactedAndSaysTheSame) {
  const Digest config = blob("a", "{}");
  put("a", manifest_text(config), "kept");
  for (int i = 0; i < 100; ++i) {
    put("a", manifest_text(config), "t");
    ASSERT_TRUE(catalog_->delete_tag("a", "t").value());
  }
  const auto before = std::filesystem::file_size(path("journal"));
  ASSERT_GT(before, 10000u);
  ASSERT_TRUE(catalog_->compact());
  EXPECT_EQ(std::filesystem::file_size(path("journal")), before);  // not worth it
  ASSERT_TRUE(catalog_->compact(10000));
  EXPECT_LT(std::filesystem::file_size(path("journal")), 2000u);
  put("a", manifest_text(config), "later");
  lose_database();
  open();
  EXPECT_THAT(catalog_->tags("a", "", 10).value(), ElementsAre("kept", "later"));
}

TEST_F(CatalogTest, ManyWritersShareSyncsAndOneOrder) {
  const Digest config = blob("a", "{}");
  const std::string text = manifest_text(config);
  const Digest one = put("a", text), two = put("a", text + " ");
  std::vector<std::thread> writers;
  for (int w = 0; w < 8; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < 30; ++i) put("a", w % 2 ? text : text + " ", "same");
    });
  for (std::thread& writer : writers) writer.join();
  const Digest last = catalog_->tag("a", "same").value().value();
  lose_database();
  open();
  EXPECT_EQ(catalog_->tag("a", "same").value(), last);
}

TEST(Change, LinesAreReadAsTheyWereWritten) {
  const Digest digest = sha256_of("x");
  const Change all[] = {
      {.kind = Change::Kind::link,
       .repository = "a/b",
       .digest = digest,
       .size = 7,
       .time = {5},
       .settled = true},
      {.kind = Change::Kind::unlink, .repository = "a", .digest = digest},
      {.kind = Change::Kind::manifest,
       .repository = "a",
       .digest = digest,
       .media_type = "a/b+c",
       .time = {5}},
      {.kind = Change::Kind::unmanifest, .repository = "a", .digest = digest},
      {.kind = Change::Kind::tag, .repository = "a", .digest = digest, .tag = "v1", .time = {5}},
      {.kind = Change::Kind::untag, .repository = "a", .tag = "v1"},
  };
  for (const Change& change : all) {
    const std::string line = format_change(change);
    std::optional<Change> read = parse_change(line);
    ASSERT_TRUE(read) << line;
    EXPECT_EQ(format_change(*read), line);
    EXPECT_FALSE(parse_change(line + " x")) << line;
    EXPECT_FALSE(parse_change(line.substr(0, line.rfind(' ')))) << line;
  }
  EXPECT_FALSE(parse_change("Q a sha256:x"));
  EXPECT_FALSE(parse_change(""));
}

}  // namespace
}  // namespace berth::registryd
