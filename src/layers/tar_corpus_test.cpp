// SPDX-License-Identifier: Apache-2.0
// Every ordered pair of entry types under names as an attacker chooses them, three ways: what a layer makes
// of the archive must be what the model says, and what GNU tar makes of it must be that too, but for the
// differences in the table below, each with its reason.
#include "layers/tar_corpus.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "archive/test_support.h"
#include "layers/erofs_mount.h"
#include "layers/layer_store.h"
#include "layers/tar_corpus_model.h"
#include "sys/remove_deep_tree.h"

namespace berth::layers::corpus {
namespace {

struct Naming {
  const char* title;
  std::string first;
  std::string second;
  const char* target = nullptr;  // of the second: then it is about links alone
};

struct Case {
  std::string title;
  const Naming* naming = nullptr;
  std::vector<Entry> entries;
  Kind first() const { return entries[2].kind; }
  Kind second() const { return entries[3].kind; }
};

std::string archive_of(const std::vector<Entry>& entries) {
  std::string tar;
  for (const Entry& entry : entries) tar += encode(entry);
  return tar + std::string(1024, '\0');
}

const std::string kLong(120, 'l');

const std::string kDeep = "long/" + kLong + "/" + kLong;

// Of two entries behind "in/" and "in/f".
const std::vector<Naming> kNamings{
    {"same", "n", "n"},
    {"in a new directory", "in/sub/n", "in/sub/n"},
    {"below", "n", "n/x"},
    {"above", "n/x", "n"},
    {"back", "n", "n/../m"},
    {"escape", "../n", "../../etc/n"},
    {"absolute", "/n", "//n"},
    {"dots", "./n", "./n/./x"},
    {"slash", "n/", "n/"},
    {"long", kDeep, kDeep + "/x"},
    {"onto itself", "n", "n", "n"},
    {"linked", "n", "m", "n"},
    {"linked through", "n", "m", "n/f"},
    {"linked above", "n/x", "n", "n/x"},
    {"linked by an escape", "../n", "m", "../../n"},
};

Entry entry_of(Kind kind, std::string name, int number, const char* target, const std::string& outside) {
  Entry entry{kind, std::move(name), {}, number};
  if (kind == Kind::hard_link) entry.target = target ? target : "in/f";
  if (kind == Kind::link_inside) entry.target = target ? target : "in";
  if (kind == Kind::link_absolute) entry.target = outside;
  if (kind == Kind::link_above) entry.target = "../../outside";
  return entry;
}

std::vector<Case> cases(const std::string& outside) {
  std::vector<Case> all;
  const Entry directory{Kind::directory, "in", {}, 0};
  const Entry file{Kind::regular, "in/f", {}, 0};
  for (const Naming& naming : kNamings)
    for (std::size_t a = 0; a < kKindNames.size(); ++a)
      for (std::size_t b = 0; b < kKindNames.size(); ++b) {
        const Kind first = static_cast<Kind>(a);
        const Kind second = static_cast<Kind>(b);
        if (naming.target && second != Kind::hard_link && second != Kind::link_inside) continue;
        all.push_back({fmt::format("{}: {}, {}", naming.title, kKindNames.at(a), kKindNames.at(b)),
                       &naming,
                       {directory, file, entry_of(first, naming.first, 0, nullptr, outside),
                        entry_of(second, naming.second, 1, naming.target, outside)}});
      }
  return all;
}

bool named(const Case& pair, std::initializer_list<std::string_view> titles) {
  return std::find(titles.begin(), titles.end(), pair.naming->title) != titles.end();
}

// Where GNU tar does otherwise, and why the model is right. A row that explains nothing fails the test.
struct Row {
  const char* reason;
  bool (*applies)(const Case& pair);
};
const std::vector<Row> kRows{
    {"a layer's whiteouts are not files",
     [](const Case& pair) { return is_whiteout(pair.first()) || is_whiteout(pair.second()); }},
    {"'..' in a name stays below the root, as in Docker and chroot; GNU tar leaves the entry out",
     [](const Case& pair) {
       return named(pair, {"back", "escape", "linked by an escape"});
     }},
    {"GNU tar makes a link that leads outside last of all; an entry behind it, or in its place, is lost or "
     "refused. "
     "Here it leads to the same place below the root, and the last entry of a name counts",
     [](const Case& pair) {
       return (pair.first() == Kind::link_absolute || pair.first() == Kind::link_above) &&
              !named(pair, {"above", "linked above", "linked"});
     }},
    {"the last entry of a name counts, as in Docker, though there are files below; GNU tar refuses",
     [](const Case& pair) {
       return named(pair, {"above", "linked above"});
     }},
    {"a slash behind a file's name makes a directory for GNU tar, and its contents an error; "
     "Go's reader, which other engines use, makes it a file: the type counts",
     [](const Case& pair) {
       return named(pair, {"slash"}) && (is_file(pair.first()) || is_file(pair.second()));
     }},
    {"a directory has its time from its entry; GNU tar forgets it when something comes in through a link or "
     "late",
     [](const Case& pair) {
       return (pair.first() == Kind::link_inside && named(pair, {"below", "dots", "long"})) ||
              (pair.first() == Kind::directory && named(pair, {"dots"}) &&
               (pair.second() == Kind::link_absolute || pair.second() == Kind::link_above));
     }},
    {"a directory has no hard links; GNU tar overlooks one to itself",
     [](const Case& pair) { return pair.first() == Kind::directory && named(pair, {"onto itself"}); }},
};

// Runs cases in one thread, with a store and a directory of its own.
class Bench {
 public:
  explicit Bench(Driver driver)
      : temporary_(TemporaryDirectory::create("corpus", quick_place(driver)).value()),
        store_(LayerStore::open(temporary_.path() + "/layers", driver).value()) {
    EXPECT_TRUE(make_directories(temporary_.path() + "/outside", 0755));
    EXPECT_TRUE(make_directories(temporary_.path() + "/gnu", 0755));
  }
  std::string outside() const { return temporary_.path() + "/outside"; }

  std::optional<Tree> ours(const std::string& tar) {
    archive::StringSource source(tar);
    AddOptions options;
    options.sync = false;
    Result<Layer> layer = store_.add(source, options);
    if (!layer) {
      why = layer.error().message;
      EXPECT_TRUE(list_directory(temporary_.path() + "/layers/.staging").value().empty()) << why;
      return std::nullopt;
    }
    Tree tree;
    {
      Result<LowerDirectory> shown = store_.lower_directory(layer->diff_id);
      EXPECT_TRUE(shown) << shown.error().message;
      if (shown) tree = describe(shown->path, true);
    }
    Result<void> whole = store_.verify(layer->diff_id);
    EXPECT_TRUE(whole) << whole.error().message;
    EXPECT_TRUE(store_.remove(layer->diff_id));
    EXPECT_TRUE(list_directory(outside()).value().empty()) << "it left the root";
    return tree;
  }

  std::optional<Tree> gnu(const std::string& tar) {
    const std::string file = temporary_.path() + "/t.tar";
    const std::string root = temporary_.path() + "/gnu/root";
    archive::test::write(file, tar);
    EXPECT_TRUE(make_directories(root, 0755));
    Result<Output> output = run_program({"tar", "--xattrs", "--xattrs-include=*", "-C", root, "-xpf", file});
    std::optional<Tree> tree;
    why = output ? output->standard_error : output.error().message;
    if (output && output->exit_code == 0) tree = describe(root, false);
    Fd above = open_file(temporary_.path() + "/gnu", O_RDONLY | O_DIRECTORY).value();
    EXPECT_TRUE(sys::remove_deep_tree(above.get(), "root"));
    return tree;
  }

  std::string why;

 private:
  // In memory where that keeps user.* attributes (Linux 6.6): thousands of small trees come and go. EROFS
  // images cannot be mounted from there.
  static std::string quick_place(Driver driver) {
    if (driver == Driver::erofs) return "";
    TemporaryDirectory trial = TemporaryDirectory::create("corpus", "/dev/shm").value();
    return setxattr(trial.path().c_str(), "user.a", "", 0, 0) == 0 ? "/dev/shm" : "";
  }

  TemporaryDirectory temporary_;
  LayerStore store_;
};

std::string difference(const std::optional<Tree>& want, const std::optional<Tree>& got) {
  if (!want || !got) return want ? "refused" : got ? "accepted" : "";
  std::string text;
  for (const auto& [path, line] : *want) {
    auto other = got->find(path);
    if (other == got->end())
      text += fmt::format("\n  - {}: {}", path, line);
    else if (other->second != line)
      text += fmt::format("\n  {}: want {}\n  {}: got  {}", path, line, path, other->second);
  }
  for (const auto& [path, line] : *got)
    if (!want->contains(path)) text += fmt::format("\n  + {}: {}", path, line);
  return text;
}

using RowCounts = std::array<std::atomic<int>, 16>;

// Where no entry gives a time the driver chooses: when the layer came, or what the archive has nearby.
void leave_out_chosen_times(const Tree& want, Tree& got) {
  for (auto& [path, line] : got) {
    auto other = want.find(path);
    const std::size_t at = line.find('@');
    if (other != want.end() && other->second.find("@now") != std::string::npos && at != std::string::npos)
      line.replace(at, std::min(line.find(' ', at), line.size()) - at, "@now");
  }
}

void compare_with_model(Bench& bench, const Case& pair) {
  const std::optional<Tree> want = model(pair.entries, true);
  std::optional<Tree> got = bench.ours(archive_of(pair.entries));
  if (want && got) leave_out_chosen_times(*want, *got);
  EXPECT_EQ(difference(want, got), "") << "as a layer, " << pair.title << " " << bench.why;
}

void compare_with_gnu(Bench& bench, const Case& pair, RowCounts& explained) {
  const std::string tar = archive_of(pair.entries);
  const std::string gnu = difference(model(pair.entries, false), bench.gnu(tar));
  if (gnu.empty()) return;
  bool known = false;
  for (std::size_t row = 0; row < kRows.size(); ++row)
    if (kRows[row].applies(pair)) {
      known = true;
      ++explained.at(row);
    }
  EXPECT_TRUE(known) << "GNU tar, " << pair.title << gnu << "\n  " << bench.why;
}

class TarCorpus : public testing::TestWithParam<Driver> {
 protected:
  void SetUp() override {
    if (getuid() != 0) GTEST_SKIP() << "needs root";
    TemporaryDirectory trial = TemporaryDirectory::create("corpus").value();
    if (GetParam() != Driver::erofs) return;
    if (Result<void> works = probe_erofs(trial.path()); !works) GTEST_SKIP() << works.error().message;
  }
};
INSTANTIATE_TEST_SUITE_P(Drivers, TarCorpus, testing::Values(Driver::overlay, Driver::erofs),
                         [](const auto& driver) { return std::string(to_text(driver.param)); });

TEST_P(TarCorpus, EveryPairOfTypesBecomesWhatTheModelSays) {
  constexpr std::size_t kThreads = 2;
  RowCounts explained{};
  const bool with_gnu = GetParam() == Driver::overlay;  // once is enough
  auto work = [&](std::size_t share) {
    Bench bench(GetParam());
    const std::vector<Case> all = cases(bench.outside());
    for (std::size_t i = share; i < all.size(); i += kThreads) {
      compare_with_model(bench, all[i]);
      if (with_gnu) compare_with_gnu(bench, all[i], explained);
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  for (std::size_t row = 0; with_gnu && row < kRows.size(); ++row)
    EXPECT_GT(explained.at(row), 0) << kRows[row].reason;
}

// Names that are none. GNU tar passes over entries without one and cuts the others at the NUL. (In a long
// name of its own format all readers cut, so nobody is misled.)
TEST_P(TarCorpus, NamesThatMakeNoSenseAreRefusedForEveryType) {
  Bench bench(GetParam());
  const std::string nul("a\0b", 3);
  for (std::size_t i = 0; i < kKindNames.size(); ++i) {
    const Kind kind = static_cast<Kind>(i);
    if (is_whiteout(kind) || kind == Kind::global_header) continue;  // have names of their own
    auto refused = [&](const std::string& before, const std::string& name, std::string_view words) {
      const Entry entry = entry_of(kind, name, 0, "in/f", bench.outside());
      const Entry directory{Kind::directory, "in", {}, 0};
      const Entry file{Kind::regular, "in/f", {}, 0};
      const std::string tar =
          encode(directory) + encode(file) + before + encode(entry) + std::string(1024, '\0');
      EXPECT_FALSE(bench.ours(tar)) << kKindNames.at(i) << " called " << name;
      EXPECT_NE(bench.why.find(words), std::string::npos) << kKindNames.at(i) << ": " << bench.why;
    };
    const bool own_name = kind == Kind::long_name || kind == Kind::pax_sparse;
    if (kind != Kind::pax_sparse) refused("", "", "without a name");  // has one in its header
    if (kind != Kind::with_xattrs && !own_name) refused(pax({{"path", nul}}), "n", "NUL");
    if (kind == Kind::pax_sparse) refused("", nul, "NUL");
    if (kind != Kind::directory) refused("", "./", "not a directory");
    refused("", std::string(256, 'c'), "too long");
    std::string deep;
    for (int level = 0; level < 30; ++level) deep += std::string(200, 'd') + "/";
    refused("", deep + "n", "");
  }
}

TEST_P(TarCorpus, WhiteoutsOfNothingAreRefused) {
  Bench bench(GetParam());
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh.."}) {
    const Entry entry{Kind::regular, name, {}, 0};
    EXPECT_FALSE(bench.ours(archive_of({entry}))) << name;
    EXPECT_NE(bench.why.find("makes no sense"), std::string::npos) << bench.why;
  }
}

}  // namespace
}  // namespace berth::layers::corpus
