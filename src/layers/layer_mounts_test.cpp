// SPDX-License-Identifier: Apache-2.0
#include "layers/layer_mounts.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/test_support.h"
#include "base/file.h"
#include "layers/layer_driver.h"
#include "sys/mounts.h"

namespace berth::layers {
namespace {

const std::string kSome(64, 'a'), kOther(64, 'b');

Digest digest(const std::string& hex) { return Digest::parse("sha256:" + hex).value(); }

// A directory as a mount; with nothing left of what the test takes away meanwhile.
class DirectoryDriver final : public LayerDriver {
 public:
  explicit DirectoryDriver(std::string path) : path_(std::move(path)) {}
  std::function<void()> afterwards = [] {};

  Driver kind() const noexcept override { return Driver::erofs; }
  Result<MadeLayer> make(archive::Source&, int, const AddOptions&) const override { return none(); }
  Result<std::unique_ptr<archive::Source>> open_tar(Fd, const Digest&) const override { return none(); }
  Result<void> verify(Fd, const Digest&) const override { return none(); }
  Result<Fd> open_tree(int, const Digest&) const override {
    Fd tree = TRY(sys::clone_mount(path_, false));
    afterwards();
    return tree;
  }
  bool tree_is_mount() const noexcept override { return true; }
  Result<bool> inherit(int, const Digest&, std::span<const Fd>) const override { return none(); }

 private:
  static std::unexpected<Error> none() { return fail(ErrorKind::unsupported, "not here"); }
  std::string path_;
};

class LayerMountsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    for (const std::string& name : {std::string(kEmptyDirectory), std::string("/layer")})
      ASSERT_TRUE(make_directories(path(name), 0755));
  }
  std::string path(const std::string& name) const { return directory_.path() + name; }

  TemporaryDirectory directory_ = TemporaryDirectory::create("mounts").value();
};

TEST_F(LayerMountsTest, LackOfDescriptorsSaysNothingAboutTheKernel) {
  DirectoryDriver driver(path("/layer"));
  LayerMounts fresh(directory_.path());
  const bool nowhere = static_cast<bool>(fresh.get(driver, -1, digest(kSome)).value().mount);
  fresh.detach_all();

  LayerMounts mounts(directory_.path());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  driver.afterwards = [&] {
    const int free = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(free);
    const rlimit none{static_cast<rlim_t>(free), before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  };
  Result<LowerDirectory> lacking = mounts.get(driver, -1, digest(kSome));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(lacking);
  EXPECT_EQ(lacking.error().code, EMFILE) << lacking.error().message;

  driver.afterwards = [] {};
  Result<LowerDirectory> lower = mounts.get(driver, -1, digest(kSome));
  ASSERT_TRUE(lower) << lower.error().message;
  EXPECT_EQ(static_cast<bool>(lower->mount), nowhere);
  mounts.detach_all();
}

TEST_F(LayerMountsTest, ThatNoLayerHasAreTakenOffWhenTheLayersAreOpened) {
  LayerStore store = LayerStore::open(path("/layers")).value();
  const std::string bytes = archive::test::TarBuilder().file("file", "text").take();
  archive::StringSource tar(bytes);
  AddOptions options;
  options.sync = false;
  Result<Layer> added = store.add(tar, options);
  ASSERT_TRUE(added) << added.error().message;
  const Digest layer = added->diff_id;
  const std::string kept = path("/layers/.mounts/" + layer.hex()), left = path("/layers/.mounts/" + kOther),
                    of_probe = path("/layers/probe-erofs.abcdef/.mounts/" + kSome);
  for (const std::string& place : {kept, left, of_probe}) {
    ASSERT_TRUE(make_directories(place, 0700));
    ASSERT_EQ(mount("none", place.c_str(), "tmpfs", 0, nullptr), 0);
  }
  Result<LayerStore> again = LayerStore::open(path("/layers"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(sys::is_mount_point(kept).value_or(false));
  EXPECT_FALSE(exists(left));
  EXPECT_FALSE(exists(path("/layers/probe-erofs.abcdef")));
  for (const std::string& place : {kept, left, of_probe}) (void)umount2(place.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace berth::layers
