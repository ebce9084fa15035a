// SPDX-License-Identifier: Apache-2.0
#include "image/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/process.h"
#include "image/test_store.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ImageStoreTest : public ImageTest {
 protected:
  static std::vector<std::string> names_in(const std::vector<Summary>& summaries) {
    std::vector<std::string> names;
    for (const Summary& summary : summaries)
      names.push_back(summary.tags.empty() ? "<none>" : summary.tags.front());
    return names;
  }
  std::vector<std::string> listed(const Filters& filters, bool all = false) {
    return names_in(*store_->list(all, filters));
  }
};

TEST_F(ImageStoreTest, ImportsATarAsAnImageOfOneLayer) {
  ImportRequest request{.changes = {"CMD [\"sh\"]", "ENV A=b"}, .message = "made here"};
  Digest id = store_.import({{"hello", "hi"}}, "box", request);
  Image image = *store_->resolve("box");
  EXPECT_EQ(image.id, id);
  EXPECT_EQ(sha256_of(image.config_bytes), id);
  EXPECT_THAT(image.tags, ElementsAre("box:latest"));
  EXPECT_THAT(*image.config.config.cmd, ElementsAre("sh"));
  EXPECT_EQ(image.comment, "made here");
  EXPECT_EQ(image.size, 2);
  EXPECT_EQ(image.diff_ids, std::vector{sha256_of(make_tar({{"hello", "hi"}}))});
  EXPECT_THAT(store_.events, ElementsAre("tag", "import"));
  EXPECT_THAT(*store_->check(), IsEmpty());
}

TEST_F(ImageStoreTest, ImportsCompressedTars) {
  std::string tar = make_tar({{"hello", "hi"}});
  for (const char* program : {"gzip", "xz", "bzip2", "zstd"}) {
    Result<Output> packed = run_program({program, "-c"}, tar);
    ASSERT_TRUE(packed && packed->exit_code == 0) << program;
    archive::StringSource source(packed->standard_output);
    Result<Digest> id = store_->import(source, {});
    ASSERT_TRUE(id) << program << id.error().message;
    EXPECT_EQ(store_->get(*id)->diff_ids, std::vector{sha256_of(tar)});
  }
  EXPECT_EQ(store_.layer_count(), 1u);
}

TEST_F(ImageStoreTest, RefusesToImportWhatIsNoArchive) {
  std::string cut = make_tar({{"hello", std::string(5000, 'x')}}).substr(0, 3000);
  for (const std::string& input :
       {std::string(), std::string("hello"), std::string(4096, 'x'), cut, "\x1f\x8b" + cut}) {
    archive::StringSource source(input);
    EXPECT_FALSE(store_->import(source, {}));
  }
  archive::StringSource source("");
  ImportRequest bad_change{.changes = {"RUN x"}};
  EXPECT_EQ(store_->import(source, bad_change).error().kind, ErrorKind::invalid);
  store_.expect_empty();
}

TEST_F(ImageStoreTest, FindsImagesByNameIdAndPrefix) {
  Digest id = store_.import({{"a", "1"}}, "box:1");
  for (const std::string& text : {std::string("box:1"), std::string("docker.io/library/box:1"), id.text(),
                                  id.hex(), id.short_hex(), "sha256:" + id.short_hex()})
    EXPECT_EQ(store_->resolve_id(text).value_or(sha256_of("")), id) << text;
  EXPECT_EQ(store_->resolve("box").error().message, "No such image: box:latest");
  EXPECT_EQ(store_->resolve("box").error().kind, ErrorKind::not_found);
  EXPECT_EQ(store_->resolve(std::string(64, '0')).error().message,
            "No such image: sha256:" + std::string(64, '0'));
  EXPECT_EQ(store_->resolve("Bad Name").error().kind, ErrorKind::invalid);
}

TEST_F(ImageStoreTest, APrefixOfSeveralIdsIsRefused) {
  for (int i = 0; i < 17; ++i) store_.import({{"a", std::to_string(i)}});
  int ambiguous = 0;
  for (char c : std::string("0123456789abcdef"))
    if (Result<Digest> id = store_->resolve_id(std::string(1, c));
        !id && id.error().kind == ErrorKind::invalid) {
      ++ambiguous;
      EXPECT_THAT(id.error().message, HasSubstr("multiple"));
    }
  EXPECT_GT(ambiguous, 0) << "17 ids have 16 first digits";
}

TEST_F(ImageStoreTest, ANameMovesToTheNewImage) {
  Digest first = store_.import({{"a", "1"}}, "box");
  Digest second = store_.import({{"a", "2"}}, "box");
  EXPECT_EQ(*store_->resolve_id("box"), second);
  EXPECT_THAT(store_->get(first)->tags, IsEmpty());
  EXPECT_THAT(listed({{"dangling", {"true"}}}), ElementsAre("<none>"));
  EXPECT_THAT(listed({{"dangling", {"false"}}}), ElementsAre("box:latest"));
}

TEST_F(ImageStoreTest, FiltersLists) {
  store_.import({{"a", "1"}}, "one:1", {.changes = {"LABEL a=1 b=2"}});
  store_.import({{"a", "2"}}, "host.x/two:2", {.changes = {"LABEL a=2"}});
  ASSERT_TRUE(store_->tag("one:1", *oci::Reference::parse("one:also")));
  EXPECT_THAT(listed({}), ElementsAre("host.x/two:2", "one:1"));
  EXPECT_THAT(listed({{"label", {"a=1"}}}), ElementsAre("one:1"));
  EXPECT_THAT(listed({{"label", {"a", "b=2"}}}), ElementsAre("one:1"));
  EXPECT_THAT(listed({{"reference", {"one"}}}), ElementsAre("one:1"));
  EXPECT_THAT(listed({{"reference", {"*:al*"}}}), ElementsAre("one:also"));
  EXPECT_THAT(listed({{"before", {"host.x/two:2"}}}), ElementsAre("one:1"));
  EXPECT_THAT(listed({{"since", {"one:1"}}}), ElementsAre("host.x/two:2"));
  EXPECT_THAT(listed({{"until", {"24h"}}}), IsEmpty());
  EXPECT_EQ(store_->list(false, {{"colour", {"red"}}}).error().message, "invalid filter 'colour'");
  EXPECT_EQ(store_->list(false, {{"dangling", {"perhaps"}}}).error().kind, ErrorKind::invalid);
}

TEST_F(ImageStoreTest, CommitsAnUpperDirectoryOnTopOfAnImage) {
  Digest base = store_.import({{"a", "1"}}, "base", {.message = "first"});
  std::string upper = directory_.path() + "/upper";
  ASSERT_EQ(::mkdir(upper.c_str(), 0755), 0);
  Fd directory = *open_file(upper, O_RDONLY | O_DIRECTORY);
  CommitRequest request{.parent = base,
                        .upper = directory.get(),
                        .changes = {"USER 5"},
                        .author = "ann",
                        .message = "no change"};
  Digest unchanged = *store_->commit(request);
  EXPECT_EQ(store_->get(unchanged)->diff_ids, store_->get(base)->diff_ids) << "an empty layer is left out";
  EXPECT_TRUE(store_->get(unchanged)->config.history.back().empty_layer);

  ASSERT_TRUE(write_file_atomically(directory.get(), "new", "data", 0644, Durability::visible));
  request.name = *oci::Reference::parse("made:1");
  request.config.cmd = {"top", "-b"};
  Digest id = *store_->commit(request);
  Image image = *store_->get(id);
  EXPECT_EQ(image.parent, base);
  EXPECT_EQ(image.diff_ids.size(), 2u);
  EXPECT_EQ(image.config.config.user, "5");
  EXPECT_EQ(image.author, "ann");
  std::vector<HistoryLine> history = *store_->history("made:1");
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0].id, id);
  EXPECT_EQ(history[0].size, 4);
  EXPECT_EQ(history[0].created_by, "top -b");
  EXPECT_EQ(history[1].id, base);
  EXPECT_THAT(history[1].tags, ElementsAre("base:latest"));
  EXPECT_EQ(store_->list(false, {}, true)->front().shared_size, 1);
}

TEST_F(ImageStoreTest, ACreatedImageNeedsItsLayers) {
  EXPECT_FALSE(store_->create({.config_bytes = config_with({sha256_of("no such layer")})}));
  EXPECT_FALSE(store_->create({.config_bytes = "{}"}));
  store_.expect_empty();
}

TEST_F(ImageStoreTest, RecordsSurviveARestartAndSweepTakesTheRest) {
  Digest id = store_.import({{"a", "1"}}, "box");
  std::string stray = make_tar({{"stray", "x"}}), leased = make_tar({{"leased", "y"}});
  archive::StringSource stray_source(stray), leased_source(leased);
  ASSERT_TRUE(store_.layers().add(stray_source));
  ASSERT_TRUE(store_.layers().add(leased_source));
  store_.reopen();
  Lease lease = store_->lease({sha256_of(leased)});
  EXPECT_EQ(store_->check()->size(), 1u) << "the stray layer";
  ASSERT_TRUE(store_->sweep());
  EXPECT_EQ(store_.layer_count(), 2u);
  lease.release();
  EXPECT_EQ(store_.layer_count(), 1u);
  EXPECT_EQ(*store_->resolve_id("box"), id);
}

TEST_F(ImageStoreTest, LayersAreKeptAfterADamagedDatabaseWasSetAside) {
  store_.import({{"a", "1"}}, "box");
  store_.close();  // the next start finds a file that is no database
  std::string path = directory_.path() + "/meta.db";
  {
    Fd file = *open_file(path, O_WRONLY | O_TRUNC);
    ASSERT_TRUE(write_all(file.get(), std::string(8192, 'x')));
  }
  ::unlink((path + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  store_.reopen();
  EXPECT_EQ(store_.image_count(), 0u);
  ASSERT_TRUE(store_->sweep());
  EXPECT_EQ(store_.layer_count(), 1u);
  store_.reopen();
  ASSERT_TRUE(store_->sweep());
  EXPECT_EQ(store_.layer_count(), 1u) << "nor by the start after that";
  EXPECT_EQ(store_->prune(false, {}, {})->reclaimed, 1);
  EXPECT_EQ(store_.layer_count(), 0u);
}

TEST_F(ImageStoreTest, CheckNamesImagesWithMissingAndDamagedLayers) {
  Digest lost = store_.import({{"a", "1"}}, "lost");
  Digest damaged = store_.import({{"file", "contents"}}, "damaged");
  ASSERT_TRUE(store_.layers().remove(store_->get(lost)->diff_ids[0]));
  std::string file = store_.layers().tree_path(store_->get(damaged)->diff_ids[0]) + "/file";
  {
    Fd out = *open_file(file, O_WRONLY);
    ASSERT_TRUE(write_all(out.get(), "CONTENTS"));
  }
  std::vector<Finding> findings = *store_->check();
  ASSERT_EQ(findings.size(), 2u);
  for (const Finding& finding : findings) {
    bool missing = finding.kind == Finding::Kind::missing_layer;
    EXPECT_EQ(finding.image, missing ? "lost:latest" : "damaged:latest");
    EXPECT_TRUE(missing || finding.kind == Finding::Kind::damaged_layer);
  }
}

TEST_F(ImageStoreTest, KilledInTheMiddleOfALoadItStartsCleanAgain) {
  std::string archive;
  {
    TemporaryDirectory other = *TemporaryDirectory::create("image-test");
    TestStore source(other.path());
    source.import({{"a", std::string(100'000, 'a')}}, "a");
    source.import({{"b", std::string(100'000, 'b')}}, "b");
    archive = source.save({"a", "b"});
  }
  // Killed after each of many amounts of input, the last one right before the end.
  for (std::size_t cut : {std::size_t{1}, std::size_t{4000}, archive.size() / 3, archive.size() / 2,
                          archive.size() * 2 / 3, archive.size() - 1}) {
    TemporaryDirectory data = *TemporaryDirectory::create("image-test");
    pid_t child = fork();
    if (child == 0) {
      TestStore victim(data.path());
      std::size_t at = 0;
      archive::FunctionSource source([&](std::span<char> buffer) -> Result<std::size_t> {
        if (at >= cut) ::kill(getpid(), SIGKILL);
        std::size_t count = std::min({buffer.size(), cut - at, std::size_t{2000}});
        archive.copy(buffer.data(), count, at);
        at += count;
        return count;
      });
      (void)victim->load(source, {});
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << cut;
    TestStore after(data.path());
    EXPECT_TRUE(after.database().set_aside().empty());
    ASSERT_TRUE(after->sweep());
    after.expect_empty();
    EXPECT_TRUE(after.load(archive));
    EXPECT_THAT(*after->check(), IsEmpty());
  }
}

TEST_F(ImageStoreTest, LoadingAndRemovingAtOnceStaysConsistent) {
  store_.import({{"shared", "s"}}, "one");
  store_.import({{"shared", "s"}}, "two", {.message = "other config, same layer"});
  std::string both = store_.save({"one", "two"}), one = store_.save({"one"});
  std::vector<std::thread> threads;
  for (const std::string* archive : {&both, &one})
    threads.emplace_back([&, archive] {
      for (int i = 0; i < 40; ++i) {
        Result<std::vector<Loaded>> loaded = store_.load(*archive);
        EXPECT_TRUE(loaded) << loaded.error().message;
      }
    });
  for (const char* name : {"one", "two"})
    threads.emplace_back([&, name] {
      for (int i = 0; i < 80; ++i) {
        Result<std::vector<Removal>> removed = store_->remove(name, false, false, {});
        EXPECT_TRUE(removed || removed.error().kind == ErrorKind::not_found) << removed.error().message;
        if (Result<LeasedImage> leased = store_->acquire(name)) {
          EXPECT_TRUE(store_.layers().has(leased->image.diff_ids[0]));
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(*store_->check(), IsEmpty());
  ASSERT_TRUE(store_.load(both));
  ASSERT_TRUE(store_->remove("one", false, false, {}));
  ASSERT_TRUE(store_->remove("two", false, false, {}));
  store_.expect_empty();
}

}  // namespace
}  // namespace berth::image
