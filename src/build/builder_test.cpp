// SPDX-License-Identifier: Apache-2.0
// The solver, with real stores and a runner of the test's own: what is run, how often, and what of it stays.
#include "build/builder.h"

#include <sys/stat.h>

#include <condition_variable>
#include <future>
#include <set>
#include <thread>

#include "build/test_trees.h"
#include "image/test_store.h"

namespace berth::build {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// The last word of a command is what it does: "write NAME" makes a file, "fail" fails, "wait" waits for a
// stop, "meet" waits until two are here. Everything is noted.
class TestRunner final : public StepRunner {
 public:
  explicit TestRunner(std::string directory) : directory_(std::move(directory)) {}

  Result<int> run(const StepRequest& request, const OnOutput& output, const OnChanges& changed,
                  const std::stop_token& stop) override {
    const std::string command = request.arguments.back();
    note(command, request);
    output(OutputStream::standard, "output of " + command + "\n");
    if (command == "fail") return 7;
    if (command == "wait" || command.starts_with("meet")) {
      if (!wait(command.starts_with("meet") ? 2 : 1000, stop))
        return fail(ErrorKind::cancelled, "the build was cancelled");
    }
    if (command.starts_with("slow")) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const std::string upper = fmt::format("{}/upper-{}", directory_, next_++);
    TRY(make_directories(upper, 0755));
    Fd file = TRY(open_file(upper + "/" + command.substr(command.find(' ') + 1), O_WRONLY | O_CREAT, 0644));
    TRY(write_all(file.get(), fmt::format("made by run {}", next_.load())));
    Fd opened = TRY(open_file(upper, O_RDONLY | O_DIRECTORY));
    TRY(changed(opened.get()));
    return 0;
  }

  std::vector<std::string> ran() {
    std::lock_guard lock(mutex_);
    return ran_;
  }
  StepRequest last() {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  void note(const std::string& command, const StepRequest& request) {
    std::lock_guard lock(mutex_);
    ran_.push_back(command);
    last_ = request;
  }
  bool wait(std::size_t wanted, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    ++here_;
    changed_.notify_all();
    return changed_.wait_for(lock, stop, std::chrono::seconds(20), [&] { return here_ >= wanted; });
  }

  const std::string directory_;
  std::atomic<int> next_ = 0;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::size_t here_ = 0;
  std::vector<std::string> ran_;
  StepRequest last_;
};

class TestProgress final : public Progress {
 public:
  void planned(const std::vector<std::size_t>& stages) override { planned_stages = stages; }
  void begun(const Step&) override {}
  void cached(const Step& step) override {
    std::lock_guard lock(mutex_);
    cached_steps.push_back(step.text);
  }
  void output(const Step&, OutputStream, std::string_view data) override {
    std::lock_guard lock(mutex_);
    said += data;
  }
  void transfer(const Step&, const image::TransferStatus&) override {}
  void warning(std::string_view) override {}
  void ended(std::size_t) override {}

  std::vector<std::size_t> planned_stages;
  std::vector<std::string> cached_steps;
  std::string said;

 private:
  std::mutex mutex_;
};

class BuilderTest : public image::ImageTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: layers are written over mounts";
    store_.import({{"mark", "base"}}, "base");
    reopen();
  }
  // As after a restart of the engine.
  void reopen(std::int64_t budget = 0) {
    builder_.reset();
    database_.reset();
    database_ = db::Database::open(directory_.path() + "/build.db", migrations()).value();
    builder_ = std::make_unique<Builder>(BuilderOptions{.database = database_.get(),
                                                        .images = &store_.images(),
                                                        .layers = &store_.layers(),
                                                        .runner = &runner_,
                                                        .directory = directory_.path() + "/build",
                                                        .cache_budget = budget});
    const Result<void> loaded = builder_->load();
    ASSERT_TRUE(loaded) << loaded.error().message;
  }
  BuildRequest request(const std::string& dockerfile) const {
    BuildRequest request;
    request.dockerfile = dockerfile;
    return request;
  }
  Result<BuildOutcome> build(const BuildRequest& request) {
    TestProgress progress;
    return builder_->build(request, progress);
  }
  Result<BuildOutcome> build(const std::string& dockerfile) { return build(request(dockerfile)); }
  std::string failure(const BuildRequest& request) {
    const Result<BuildOutcome> outcome = build(request);
    return outcome ? "it was built" : outcome.error().message;
  }
  // The builder's directory holds nothing between builds.
  void expect_nothing_left() {
    EXPECT_THAT(list_directory(directory_.path() + "/build/steps").value(), IsEmpty());
    EXPECT_THAT(list_directory(directory_.path() + "/build/contexts").value(), IsEmpty());
  }

  std::unique_ptr<db::Database> database_;
  TestRunner runner_{directory_.path() + "/uppers"};
  std::unique_ptr<Builder> builder_;
};

TEST_F(BuilderTest, RunsAStepOnceHoweverOftenItIsBuilt) {
  const std::string text = "FROM base\nRUN write a\nRUN write b\n";
  const BuildOutcome first = build(text).value();
  EXPECT_EQ(first.cached, 0u);
  const BuildOutcome second = build(text).value();
  EXPECT_EQ(second.cached, 2u);
  EXPECT_THAT(runner_.ran(), ElementsAre("write a", "write b"));
  // Another Dockerfile with the same beginning, after a restart.
  reopen();
  ASSERT_TRUE(build("FROM base\nRUN write a\nRUN write c\n"));
  EXPECT_THAT(runner_.ran(), ElementsAre("write a", "write b", "write c"));
  expect_nothing_left();
}

TEST_F(BuilderTest, WhatAStepDependsOnMakesItAnother) {
  ASSERT_TRUE(build("FROM base\nRUN write a\n"));
  const std::vector<std::string> others{"FROM base\nENV A=1\nRUN write a\n",
                                        "FROM base\nUSER 1\nRUN write a\n",
                                        "FROM base\nWORKDIR /w\nRUN write a\n",
                                        "FROM base\nARG V=1\nRUN write a\n",
                                        "FROM base\nRUN --network=none write a\n",
                                        "FROM base\nRUN [\"write a\"]\n",
                                        "FROM base\nRUN --mount=type=tmpfs,target=/t write a\n",
                                        "FROM scratch\nRUN [\"write a\"]\n"};
  for (std::size_t number = 0; number < others.size(); ++number) {
    ASSERT_TRUE(build(others[number])) << others[number];
    EXPECT_EQ(runner_.ran().size(), number + 2) << others[number];
  }
  // And what it does not depend on does not.
  for (const char* text :
       {"FROM base\nLABEL a=b\nCMD x\nEXPOSE 80\nRUN write a\n", "FROM base AS named\nRUN write a\n"}) {
    ASSERT_TRUE(build(text)) << text;
    EXPECT_EQ(runner_.ran().size(), others.size() + 1) << text;
  }
}

TEST_F(BuilderTest, LeavesOutStagesThatTheTargetDoesNotNeed) {
  const std::string text =
      "FROM base AS one\nRUN write 1\nFROM base AS two\nRUN write 2\nFROM base\nCOPY --from=one /1 /\n"
      "FROM two AS last\nRUN write 3\n";
  BuildRequest wanted = request(text);
  wanted.target = "2";
  ASSERT_TRUE(build(wanted));
  EXPECT_THAT(runner_.ran(), ElementsAre("write 1"));
  ASSERT_TRUE(build(text));
  EXPECT_THAT(runner_.ran(), ElementsAre("write 1", "write 2", "write 3"));
}

TEST_F(BuilderTest, IndependentStagesRunAtOnce) {
  // Each waits for the other.
  ASSERT_TRUE(
      build("FROM base AS a\nRUN meet a\nFROM base AS b\nRUN meet b\nFROM base\nCOPY --from=a /a /\n"
            "COPY --from=b /b /\n"));
  EXPECT_THAT(runner_.ran(), UnorderedElementsAre("meet a", "meet b"));
}

TEST_F(BuilderTest, EqualWorkOfBuildsAtOnceIsDoneOnce) {
  std::vector<std::future<bool>> builds;
  for (int number = 0; number < 4; ++number)
    builds.push_back(std::async(std::launch::async, [&] {
      return build(fmt::format("FROM base\nRUN slow {}\n", "same")).has_value();
    }));
  for (std::future<bool>& one : builds) EXPECT_TRUE(one.get());
  EXPECT_THAT(runner_.ran(), ElementsAre("slow same"));
}

TEST_F(BuilderTest, AFailureNamesThePlaceAndStopsTheOtherStages) {
  const std::string said =
      failure(request("FROM base AS a\nRUN wait\nFROM base AS b\nRUN fail\nFROM base\nCOPY --from=a / "
                      "/\nCOPY --from=b / /\n"));
  EXPECT_THAT(said, HasSubstr("Dockerfile:4"));
  EXPECT_THAT(said, HasSubstr("non-zero code: 7"));
  expect_nothing_left();
  EXPECT_THAT(builder_->usage().value(), IsEmpty()) << "of what failed nothing is remembered";
}

TEST_F(BuilderTest, AStopEndsABuildThatRuns) {
  std::stop_source stop;
  BuildRequest waiting = request("FROM base\nRUN wait\n");
  waiting.stop = stop.get_token();
  std::future<std::string> said = std::async(std::launch::async, [&] { return failure(waiting); });
  while (runner_.ran().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  stop.request_stop();
  EXPECT_THAT(said.get(), HasSubstr("cancelled"));
  expect_nothing_left();
}

TEST_F(BuilderTest, NoCacheDoesItAgainAndRemembersTheNewResult) {
  const std::string text = "FROM base AS a\nRUN write a\nFROM a AS b\nRUN write b\n";
  ASSERT_TRUE(build(text));
  BuildRequest again = request(text);
  again.no_cache_stages = {"b"};
  ASSERT_TRUE(build(again));
  EXPECT_THAT(runner_.ran(), ElementsAre("write a", "write b", "write b"));
  again.no_cache = true;
  const BuildOutcome fresh = build(again).value();
  EXPECT_EQ(runner_.ran().size(), 5u);
  const BuildOutcome known = build(text).value();
  EXPECT_EQ(runner_.ran().size(), 5u);
  const auto layers = [&](const Digest& image) { return store_->get(image).value().diff_ids; };
  EXPECT_EQ(layers(known.image), layers(fresh.image));
}

TEST_F(BuilderTest, SecretsArePassedAndNotPartOfTheKey) {
  BuildRequest with = request("FROM base\nRUN --mount=type=secret,id=k,env=KEY,required write a\n");
  EXPECT_THAT(failure(with), HasSubstr("--secret id=k"));
  with.secrets["k"] = "one";
  ASSERT_TRUE(build(with));
  EXPECT_THAT(runner_.last().environment, testing::Contains("KEY=one"));
  with.secrets["k"] = "two";
  EXPECT_EQ(build(with).value().cached, 1u);
  const image::Image built = store_->get(build(with).value().image).value();
  EXPECT_THAT(built.config_bytes, testing::Not(HasSubstr("one")));
}

TEST_F(BuilderTest, ACopyIsKnownByItsContents) {
  TestTree files;
  files.file("a", "1");
  BuildRequest copying = request("FROM base\nCOPY a /a\nRUN write b\n");
  auto tree = std::make_shared<Tree>(files.tree());
  tree->live = true;
  copying.context = tree;
  ASSERT_TRUE(build(copying));
  files.file("b", "not copied");
  EXPECT_EQ(build(copying).value().cached, 2u);
  files.file("a", "2");
  EXPECT_EQ(build(copying).value().cached, 0u);
  files.file("a", "1");
  EXPECT_EQ(build(copying).value().cached, 2u) << "what was there once is known again";
  EXPECT_EQ(runner_.ran().size(), 2u);
  expect_nothing_left();
}

TEST_F(BuilderTest, AStagesTriggersRunInTheStagesOnIt) {
  ASSERT_TRUE(build("FROM base AS one\nONBUILD RUN write t\nFROM one\nRUN write a\n"));
  EXPECT_THAT(runner_.ran(), ElementsAre("write t", "write a"));
}

TEST_F(BuilderTest, PruneTakesAwayWhatNoImageHas) {
  ASSERT_TRUE(build("FROM base\nRUN write a\n"));
  const std::vector<CacheLine> lines = builder_->usage().value();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines.front().shared);
  EXPECT_THAT(builder_->prune({}).value().ids, IsEmpty());
  EXPECT_EQ(builder_->prune({.all = true}).value().ids.size(), 1u);
  ASSERT_TRUE(build("FROM base\nRUN write a\n"));
  EXPECT_EQ(runner_.ran().size(), 2u);
}

TEST_F(BuilderTest, TheBudgetTakesWhatWasNotUsedForLongest) {
  reopen(40'000);
  for (int number = 0; number < 12; ++number) {
    TestTree files;
    files.file("a", std::string(9000, static_cast<char>('a' + number)));
    BuildRequest copying = request("FROM scratch\nCOPY a /a\n");
    copying.context = std::make_shared<Tree>(files.tree());
    copying.names = {oci::Reference::parse_with_default_tag("one").value()};
    const Result<BuildOutcome> outcome = build(copying);
    ASSERT_TRUE(outcome) << outcome.error().message;
    // No image has the layers of before.
    ASSERT_TRUE(store_->remove(outcome->image.text(), true, false, {}));
  }
  std::int64_t total = 0;
  const std::vector<CacheLine> lines = builder_->usage().value();
  for (const CacheLine& line : lines)
    if (!line.shared) total += line.size;
  EXPECT_LE(total, 60'000);
  EXPECT_GT(total, 0);
}

// Images that say themselves what they are made of, and a builder that has forgotten it.
class ImportTest : public BuilderTest {
 protected:
  BuildRequest copying(char what, const std::string& name) const {
    files_->file("a", std::string(9000, what));
    BuildRequest copying = request("FROM scratch\nCOPY a /a\n");
    copying.context = std::make_shared<Tree>(files_->tree());
    copying.names = {oci::Reference::parse_with_default_tag(name).value()};
    return copying;
  }
  void remember(char what, const std::vector<std::string>& names) {
    BuildRequest one = copying(what, names.front());
    for (const std::string& name : names)
      one.names.push_back(oci::Reference::parse_with_default_tag(name).value());
    one.inline_cache = true;
    ASSERT_TRUE(build(one));
  }
  std::size_t cached_from(char what, const std::string& name) {
    BuildRequest one = copying(what, "result");
    one.cache_from = {
        {.kind = CacheSource::Kind::image, .reference = name, .directory = {}, .description = name}};
    const Result<BuildOutcome> outcome = build(one);
    return outcome ? outcome->cached : 0;
  }
  std::int64_t total() const {
    std::int64_t total = 0;
    const std::vector<CacheLine> lines = builder_->usage().value();
    for (const CacheLine& line : lines) total += line.size;
    return total;
  }
  std::unique_ptr<TestTree> files_ = std::make_unique<TestTree>();
};

TEST_F(ImportTest, ALayerOfSeveralCachesIsCountedOnceAndUsesAreKept) {
  remember('a', {"one", "two"});
  const std::int64_t size = total();
  ASSERT_TRUE(builder_->prune({.all = true}));
  ASSERT_EQ(cached_from('a', "one"), 1u);
  ASSERT_EQ(cached_from('a', "two"), 1u);
  ASSERT_EQ(cached_from('a', "one"), 1u);
  const std::vector<CacheLine> lines = builder_->usage().value();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(total(), size);
  EXPECT_EQ(lines.front().uses, 1) << "the second time it was there";
  EXPECT_EQ(lines.front().size, size) << "what was used last is pruned last";
}

TEST_F(ImportTest, WhatIsImportedKeepsToTheBudgetToo) {
  const std::string letters = "abcdefghijkl";
  for (const char each : letters) remember(each, {std::string(1, each)});
  ASSERT_TRUE(builder_->prune({.all = true}));
  reopen(40'000);
  for (const char each : letters) {
    ASSERT_EQ(cached_from(each, std::string(1, each)), 1u);
    for (const std::string& name : {std::string("result"), std::string(1, each)})
      ASSERT_TRUE(store_->remove(name, true, false, {}));
  }
  EXPECT_LE(total(), 60'000);
  EXPECT_GT(total(), 0);
}

TEST_F(BuilderTest, ArgumentsThatNobodyDeclaresAreNamed) {
  BuildRequest given = request("FROM base\nARG KNOWN\nRUN write a\n");
  given.arguments = {{"KNOWN", "1"}, {"UNKNOWN", "2"}, {"HTTP_PROXY", "3"}};
  EXPECT_THAT(build(given).value().unused_arguments, ElementsAre("UNKNOWN"));
}

}  // namespace
}  // namespace berth::build
