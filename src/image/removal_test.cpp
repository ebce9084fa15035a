// SPDX-License-Identifier: Apache-2.0
// Who may remove what, in Docker's words.
#include "image/test_store.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kContainer(64, 'c');

UsersOf used_by(bool running) {
  return [running](const Digest&) {
    return std::vector<ImageUser>{{.container_id = kContainer, .running = running}};
  };
}

class RemovalTest : public ImageTest {
 protected:
  static std::vector<std::string> lines(const Result<std::vector<Removal>>& removals) {
    if (!removals) return {removals.error().message};
    std::vector<std::string> lines;
    for (const Removal& removal : *removals)
      lines.push_back((removal.kind == Removal::Kind::untagged ? "Untagged: " : "Deleted: ") + removal.text);
    return lines;
  }
  std::vector<std::string> remove(const std::string& text, bool force = false, const UsersOf& users = {}) {
    return lines(store_->remove(text, force, false, users));
  }
  std::string layer_line(const Digest& id) { return "Deleted: " + store_->get(id)->diff_ids[0].text(); }
  void tag(const std::string& source, const std::string& name) {
    ASSERT_TRUE(store_->tag(source, *oci::Reference::parse(name)));
  }

  Digest id_ = store_.import({{"a", "1"}}, "box");
  std::string layer_line_ = layer_line(id_);
};

TEST_F(RemovalTest, TheLastNameTakesTheImageAlong) {
  tag("box", "box:2");
  EXPECT_THAT(remove("box"), ElementsAre("Untagged: box:latest"));
  EXPECT_THAT(remove("box:2"), ElementsAre("Untagged: box:2", "Deleted: " + id_.text(), layer_line_));
  EXPECT_THAT(remove("box:2"), ElementsAre("No such image: box:2"));
  store_.expect_empty();
  EXPECT_THAT(store_.events, ElementsAre("tag", "import", "tag", "untag", "untag", "delete"));
}

TEST_F(RemovalTest, AnIdTakesItsOnlyNameAlong) {
  EXPECT_THAT(remove(id_.short_hex()),
              ElementsAre("Untagged: box:latest", "Deleted: " + id_.text(), layer_line_));
}

TEST_F(RemovalTest, AnIdWithSeveralNamesMustBeForced) {
  tag("box", "other");
  EXPECT_THAT(remove(id_.hex()),
              ElementsAre("conflict: unable to delete " + id_.short_hex() +
                          " (must be forced) - image is referenced in multiple repositories"));
  EXPECT_THAT(remove(id_.hex(), true), ElementsAre("Untagged: box:latest", "Untagged: other:latest",
                                                   "Deleted: " + id_.text(), layer_line_));
}

TEST_F(RemovalTest, AnImageInUseIsProtected) {
  std::string short_container = kContainer.substr(0, 12);
  EXPECT_THAT(
      remove("box", false, used_by(false)),
      ElementsAre("conflict: unable to remove repository reference \"box\" (must force) - container " +
                  short_container + " is using its referenced image " + id_.short_hex()));
  EXPECT_THAT(remove(id_.hex(), false, used_by(false)),
              ElementsAre("conflict: unable to delete " + id_.short_hex() +
                          " (must be forced) - image is being used by stopped container " + short_container));
  EXPECT_THAT(
      remove(id_.hex(), true, used_by(true)),
      ElementsAre("conflict: unable to delete " + id_.short_hex() +
                  " (cannot be forced) - image is being used by running container " + short_container));
  EXPECT_EQ(store_.image_count(), 1u);
  EXPECT_THAT(remove("box", true, used_by(true)), ElementsAre("Untagged: box:latest"));
  EXPECT_EQ(store_.image_count(), 1u) << "a running container keeps it, without its name";
}

TEST_F(RemovalTest, LayersOfAContainerStayWhenItsImageIsForcedAway) {
  LeasedImage leased = *store_->acquire("box");
  EXPECT_THAT(remove("box", true, used_by(false)),
              ElementsAre("Untagged: box:latest", "Deleted: " + id_.text()));
  EXPECT_EQ(store_.layer_count(), 1u);
  leased.lease.release();
  EXPECT_EQ(store_.layer_count(), 0u);
}

TEST_F(RemovalTest, NothingIsCollectedWhileALayerIsBeingAdded) {
  {
    ImageStore::Adding adding(store_.images());
    remove("box");
    EXPECT_EQ(store_.layer_count(), 1u);
  }
  EXPECT_EQ(store_.layer_count(), 0u);
}

TEST_F(RemovalTest, NamelessParentsGoWithTheirChild) {
  Image base = *store_->resolve("box");
  Digest child = *store_->create({.config_bytes = config_with(base.diff_ids),
                                  .parent = id_,
                                  .names = {*oci::Reference::parse("child:1")}});
  EXPECT_THAT(remove(id_.hex(), true), ElementsAre("conflict: unable to delete " + id_.short_hex() +
                                                   " (cannot be forced) - image has dependent child images"));
  EXPECT_THAT(remove("box"), ElementsAre("Untagged: box:latest"));
  EXPECT_EQ(store_->list(false, {})->size(), 1u) << "a parent is no image of its own";
  EXPECT_THAT(lines(store_->remove("child:1", false, true, {})),
              ElementsAre("Untagged: child:1", "Deleted: " + child.text()));
  child = *store_->create({.config_bytes = config_with(base.diff_ids),
                           .parent = id_,
                           .names = {*oci::Reference::parse("child:1")}});
  EXPECT_THAT(remove("child:1"), ElementsAre("Untagged: child:1", "Deleted: " + child.text(),
                                             "Deleted: " + id_.text(), layer_line_));
}

TEST_F(RemovalTest, DigestsOfARepositoryGoWithItsLastTag) {
  oci::Reference digest = oci::Reference::parse("box")->with_digest(sha256_of("manifest"));
  Image image = *store_->resolve("box");
  ASSERT_TRUE(store_->create({.config_bytes = image.config_bytes, .names = {digest}}));
  EXPECT_EQ(*store_->resolve_id(digest.familiar()), id_);
  EXPECT_THAT(store_->resolve("box")->digests, ElementsAre(digest.familiar()));
  EXPECT_THAT(remove("box"), ElementsAre("Untagged: box:latest", "Untagged: " + digest.familiar(),
                                         "Deleted: " + id_.text(), layer_line_));
}

TEST_F(RemovalTest, PruneTakesWhatHasNoNameOrWithAllWhatNobodyUses) {
  Digest nameless = store_.import({{"b", "22"}});
  PruneResult result = *store_->prune(false, {}, {});
  EXPECT_EQ(result.removals.size(), 2u);
  EXPECT_EQ(result.removals[0].text, nameless.text());
  EXPECT_EQ(result.reclaimed, 2);
  EXPECT_THAT(store_->prune(true, {}, used_by(false))->removals, IsEmpty());
  EXPECT_THAT(store_->prune(true, {{"label", {"x"}}}, {})->removals, IsEmpty());
  EXPECT_THAT(store_->prune(true, {{"until", {"1h"}}}, {})->removals, IsEmpty());
  EXPECT_FALSE(store_->prune(true, {{"reference", {"x"}}}, {}));
  tag("box", "box:2");
  EXPECT_EQ(store_->prune(false, {{"dangling", {"false"}}}, {})->reclaimed, 1);
  store_.expect_empty();
}

}  // namespace
}  // namespace berth::image
