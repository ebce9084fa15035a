// SPDX-License-Identifier: Apache-2.0
#include "base/unix_address.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/file.h"

namespace berth {
namespace {

// A listener at the path, made through the address, is the file at the path.
void expect_socket_at(const std::string& path) {
  Result<UnixAddress> address = make_unix_address(path);
  ASSERT_TRUE(address) << address.error().message;
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(socket.get(), address->get(), address->size), 0) << errno;
  struct stat info;
  ASSERT_EQ(lstat(path.c_str(), &info), 0) << path;
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
}

class UnixAddressTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::create("unix-address");
    ASSERT_TRUE(made);
    directory = std::make_unique<TemporaryDirectory>(std::move(*made));
  }
  std::unique_ptr<TemporaryDirectory> directory;
};

TEST_F(UnixAddressTest, LeadsToShortPathsAndToLongOnes) {
  expect_socket_at(directory->path() + "/short");
  std::string deep = directory->path();
  while (deep.size() < 300) {
    deep += "/" + std::string(60, 'd');
    ASSERT_EQ(mkdir(deep.c_str(), 0700), 0);
  }
  expect_socket_at(deep + "/socket");
  // Around what fits: with the zero behind it, and without.
  for (std::size_t size : {106u, 107u, 108u, 109u})
    expect_socket_at(directory->path() + "/" + std::string(size - directory->path().size() - 1, 'x'));
}

TEST_F(UnixAddressTest, OfWhatIsNoPathIsAnError) {
  for (const std::string& path : {std::string(), std::string("/tmp/a\0b", 8)}) {
    Result<UnixAddress> address = make_unix_address(path);
    ASSERT_FALSE(address);
    EXPECT_EQ(address.error().kind, ErrorKind::invalid);
  }
  EXPECT_EQ(make_unix_address(directory->path() + "/" + std::string(120, 'x')).error().kind,
            ErrorKind::invalid);
  EXPECT_EQ(make_unix_address(directory->path() + "/none/" + std::string(120, 'x')).error().kind,
            ErrorKind::not_found);
}

}  // namespace
}  // namespace berth
