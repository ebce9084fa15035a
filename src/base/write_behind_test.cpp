// SPDX-License-Identifier: Apache-2.0
#include "base/write_behind.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file.h"

namespace berth {
namespace {

constexpr std::int64_t kSize = 64 << 20;

// Bytes of the file that the page cache has.
std::int64_t cached(int file) {
  void* mapped = mmap(nullptr, kSize, PROT_READ, MAP_SHARED, file, 0);
  EXPECT_NE(mapped, MAP_FAILED);
  std::vector<unsigned char> pages(static_cast<std::size_t>(kSize / getpagesize()));
  EXPECT_EQ(mincore(mapped, kSize, pages.data()), 0);
  munmap(mapped, kSize);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }) *
         getpagesize();
}

std::int64_t cached_after_writing(PageCache cache) {
  TemporaryDirectory directory = *TemporaryDirectory::create("write-behind", "/var/tmp");
  Fd file = *open_file(directory.path() + "/file", O_RDWR | O_CREAT, 0600);
  const std::string piece(128 << 10, 'x');
  WriteBehind behind(cache);
  for (std::int64_t offset = 0; offset < kSize;) {
    EXPECT_EQ(pwrite(file.get(), piece.data(), piece.size(), offset), static_cast<ssize_t>(piece.size()));
    offset += static_cast<std::int64_t>(piece.size());
    behind.written(file.get(), offset);
  }
  const std::int64_t left = cached(file.get());
  std::string read(piece.size(), '\0');
  EXPECT_EQ(pread(file.get(), read.data(), read.size(), 0), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, piece);
  return left;
}

TEST(WriteBehind, KeepsTheFileInMemory) { EXPECT_EQ(cached_after_writing(PageCache::keep), kSize); }

TEST(WriteBehind, GivesMemoryBackWhileAFileIsWritten) {
  EXPECT_LE(cached_after_writing(PageCache::drop), kSize / 2);
}

TEST(WriteBehind, GoesOnWhereAFileEnds) {
  TemporaryDirectory directory = *TemporaryDirectory::create("write-behind", "/var/tmp");
  Fd file = *open_file(directory.path() + "/file", O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(ftruncate(file.get(), kSize), 0);
  WriteBehind behind(PageCache::drop, kSize / 2);
  behind.truncated(16);
  behind.written(file.get(), kSize);
  behind.truncated(0);
  behind.written(file.get(), kSize);
  EXPECT_EQ(cached(file.get()), 0);
}

}  // namespace
}  // namespace berth
