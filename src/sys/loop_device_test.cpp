// SPDX-License-Identifier: Apache-2.0
#include "sys/loop_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/file.h"

namespace berth::sys {
namespace {

std::string state_of(dev_t device) {
  return fmt::format("/sys/dev/block/{}:{}/loop", major(device), minor(device));
}

Fd file_in(const TemporaryDirectory& directory) {
  Fd file = open_file(directory.path() + "/file", O_RDWR | O_CREAT, 0600).value();
  EXPECT_TRUE(write_all(file.get(), std::string(4096, 'x')));
  return file;
}

TEST(LoopDevice, HasTheFilesContentsAndGoesWithItsLastUser) {
  TemporaryDirectory temporary = TemporaryDirectory::create("loop").value();
  Fd file = file_in(temporary);
  Result<Fd> device = attach_loop_device(file.get());
  ASSERT_TRUE(device) << device.error().message;
  file.reset();
  struct stat status;
  ASSERT_EQ(fstat(device->get(), &status), 0);
  EXPECT_TRUE(S_ISBLK(status.st_mode));
  std::string there(4096, '\0');
  EXPECT_EQ(pread(device->get(), there.data(), there.size(), 0), 4096);
  EXPECT_EQ(there, std::string(4096, 'x'));
  EXPECT_LT(write(device->get(), "y", 1), 0);
  EXPECT_EQ(access(state_of(status.st_rdev).c_str(), F_OK), 0);
  device->reset();
  for (int i = 0; i < 500 && access(state_of(status.st_rdev).c_str(), F_OK) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_NE(access(state_of(status.st_rdev).c_str(), F_OK), 0) << "the device is still taken";
}

TEST(LoopDevice, ManyAtOnceGetOneEach) {
  TemporaryDirectory temporary = TemporaryDirectory::create("loop").value();
  Fd file = file_in(temporary);
  constexpr int kThreads = 4, kEach = 5;
  std::vector<std::vector<Fd>> devices(kThreads);
  {
    std::vector<std::jthread> threads;
    for (std::vector<Fd>& own : devices)
      threads.emplace_back([&own, &file] {
        for (int i = 0; i < kEach; ++i)
          if (Result<Fd> device = attach_loop_device(file.get())) own.push_back(*std::move(device));
      });
  }
  std::vector<dev_t> numbers;
  for (const std::vector<Fd>& own : devices)
    for (const Fd& device : own) {
      struct stat status;
      ASSERT_EQ(fstat(device.get(), &status), 0);
      numbers.push_back(status.st_rdev);
    }
  EXPECT_EQ(numbers.size(), std::size_t{kThreads * kEach});
  std::ranges::sort(numbers);
  EXPECT_EQ(std::ranges::adjacent_find(numbers), numbers.end());
}

}  // namespace
}  // namespace berth::sys
