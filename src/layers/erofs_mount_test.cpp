// SPDX-License-Identifier: Apache-2.0
#include "layers/erofs_mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/test_support.h"
#include "base/file.h"
#include "layers/layer_store.h"
#include "layers/overlay.h"

namespace berth::layers {
namespace {

using archive::test::TarBuilder;

// Which of the two a kernel does is seldom a choice: both must mean the same.
class ErofsMount : public testing::TestWithParam<ErofsBacking> {
 protected:
  void SetUp() override {
    if (Result<void> works = probe_erofs(temporary_.path()); !works) GTEST_SKIP() << works.error().message;
  }

  Result<Fd> mount_layer(const std::string& tar) {
    LayerStore store = TRY(LayerStore::open(temporary_.path() + "/layers", Driver::erofs));
    archive::StringSource source(tar);
    const Digest layer = TRY(store.add(source)).diff_id;
    const std::string directory = temporary_.path() + "/layers/" + layer.hex();
    Fd index = TRY(open_file(directory + "/index.erofs", O_RDONLY));
    Fd data = TRY(open_file(directory + "/tar", O_RDONLY));
    const int devices[] = {data.get()};
    return mount_erofs_from(GetParam(), index.get(), devices);
  }

  TemporaryDirectory temporary_ = TemporaryDirectory::create("erofs").value();
};

TEST_P(ErofsMount, ShowsTheLayerAlsoUnderAnOverlay) {
  const std::string large(300'000, 'x');
  Result<Fd> mounted = mount_layer(TarBuilder().directory("d").file("d/f", large).file("g", "small").take());
  if (!mounted && GetParam() == ErofsBacking::files && mounted.error().code == ENOTBLK)
    GTEST_SKIP() << "this kernel mounts block devices alone";
  ASSERT_TRUE(mounted) << mounted.error().message;
  EXPECT_EQ(read_file_at(mounted->get(), "d/f").value(), large);
  const std::string empty = temporary_.path() + "/empty";
  ASSERT_EQ(mkdir(empty.c_str(), 0755), 0);
  const std::string lower[] = {fmt::format("/proc/self/fd/{}", mounted->get()), empty};
  Result<Fd> merged = mount_directories(lower, OverlaySpec{});
  if (!merged) GTEST_SKIP() << "this kernel wants its layers attached: " << merged.error().message;
  mounted->reset();
  EXPECT_EQ(read_file_at(merged->get(), "d/f").value(), large);
  EXPECT_EQ(read_file_at(merged->get(), "g").value(), "small");
}

INSTANTIATE_TEST_SUITE_P(From, ErofsMount, testing::Values(ErofsBacking::files, ErofsBacking::loop_devices),
                         [](const auto& tested) {
                           return tested.param == ErofsBacking::files ? "files" : "loop_devices";
                         });

}  // namespace
}  // namespace berth::layers
