// SPDX-License-Identifier: Apache-2.0
#include "keeper/assignment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "keeper/protocol.h"

namespace berth::keeper {
namespace {

ino_t inode_of(const Fd& file) {
  struct stat status {};
  EXPECT_EQ(fstat(file.get(), &status), 0);
  return status.st_ino;
}

Result<std::optional<Assignment>> passed_on(std::size_t said, const std::vector<int>& descriptors) {
  auto [engine, keeper] = make_socket_pair(SOCK_STREAM).value();
  TRY(send_message(engine.get(), MessageKind::serve, 0, encode_assignment("/run/there", said), descriptors));
  return wait_for_assignment(keeper.get());
}

TEST(Assignment, NetworkAndLayersAreToldApart) {
  Fd network = open_file("/proc/self/ns/net", O_RDONLY).value();
  std::vector<Fd> files;
  std::vector<int> layers;
  for (std::size_t i = 0; i + 1 < kMaximumDescriptors; ++i) {
    files.push_back(open_file(i % 2 ? "/" : "/dev/null", i % 2 ? O_PATH : O_RDONLY).value());
    layers.push_back(files.back().get());
  }
  std::vector<int> with_network{network.get()};
  with_network.insert(with_network.end(), layers.begin(), layers.end());
  for (const std::vector<int>& given : {with_network, layers}) {
    std::optional<Assignment> assignment = passed_on(layers.size(), given).value();
    ASSERT_TRUE(assignment);
    EXPECT_EQ(assignment->run_directory, "/run/there");
    EXPECT_EQ(static_cast<bool>(assignment->network), given.size() > layers.size());
    if (assignment->network) {
      EXPECT_EQ(inode_of(assignment->network), inode_of(network));
    }
    ASSERT_EQ(assignment->layers.size(), layers.size());
    for (std::size_t i = 0; i < files.size(); ++i)
      EXPECT_EQ(inode_of(assignment->layers[i]), inode_of(files[i]));
  }
}

TEST(Assignment, AnotherNumberOfDescriptorsThanItSaysIsAnError) {
  EXPECT_FALSE(passed_on(2, {0}));
  EXPECT_FALSE(passed_on(0, {0, 1}));
  EXPECT_TRUE(passed_on(0, {}));
}

}  // namespace
}  // namespace berth::keeper
