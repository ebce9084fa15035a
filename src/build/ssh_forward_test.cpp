// SPDX-License-Identifier: Apache-2.0
#include "build/ssh_forward.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/unix_address.h"

namespace berth::build {
namespace {

using namespace std::string_literals;

std::string message(char kind, std::string_view rest = "") {
  const auto size = static_cast<unsigned>(rest.size() + 1);
  std::string text{static_cast<char>(size >> 24), static_cast<char>(size >> 16 & 255),
                   static_cast<char>(size >> 8 & 255), static_cast<char>(size & 255), kind};
  return text.append(rest);
}

// A string of the protocol.
std::string counted(std::string_view text) {
  return std::string{0, 0, 0, static_cast<char>(text.size())}.append(text);
}

class SshForwardTest : public testing::Test {
 protected:
  void SetUp() override {
    listener_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const std::string path = directory_.path() + "/agent";
    const UnixAddress address = *make_unix_address(path);
    ASSERT_EQ(bind(listener_.get(), address.get(), address.size), 0);
    ASSERT_EQ(listen(listener_.get(), 100), 0);
    agent_.socket = *open_file(path, O_PATH);
  }
  std::unique_ptr<SshForward> forward() { return *SshForward::start(place(), agent_, {0660, 7, 8}); }
  std::string place() const { return directory_.path() + "/" + std::string(80, 'x'); }
  Fd connected() const {
    Fd step(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UnixAddress address = *make_unix_address(place());
    EXPECT_EQ(connect(step.get(), address.get(), address.size), 0);
    return step;
  }
  Fd accepted() const {
    pollfd polled{listener_.get(), POLLIN, 0};
    return poll(&polled, 1, 3000) == 1 ? Fd(accept(listener_.get(), nullptr, nullptr)) : Fd();
  }
  // What comes within a moment: "" is the end, or nothing.
  static std::string received(const Fd& socket, int wait = 3000) {
    pollfd polled{socket.get(), POLLIN, 0};
    if (poll(&polled, 1, wait) != 1) return "nothing";
    char buffer[1000];
    const ssize_t size = read(socket.get(), buffer, sizeof buffer);
    return {buffer, size > 0 ? static_cast<std::size_t>(size) : 0};
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("ssh");
  Fd listener_;
  SshAgent agent_;
};

TEST_F(SshForwardTest, AsksTheAgentAndBringsItsAnswer) {
  const auto forwarded = forward();
  struct stat status;
  ASSERT_EQ(stat(place().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
  EXPECT_EQ(status.st_uid, 7u);
  const Fd step = connected(), agent = accepted();
  const std::string wish = counted("key") + counted("data") + std::string(4, '\0');
  ASSERT_TRUE(write_all(step.get(), message(13, wish)));
  EXPECT_EQ(received(agent), message(13, wish));
  ASSERT_TRUE(write_all(agent.get(), message(14, "signature")));
  EXPECT_EQ(received(step), message(14, "signature"));
  ASSERT_TRUE(write_all(step.get(), message(11) + message(11)));
  EXPECT_EQ(received(agent), message(11)) << "one question at a time";
  ASSERT_TRUE(write_all(agent.get(), message(12, "a")));
  EXPECT_EQ(received(agent), message(11));
}

// What listens may be something else that trusts the client, or root: it hears nothing but what an agent
// does.
TEST_F(SshForwardTest, BringsNoBytesThatAreNoQuestion) {
  const auto forwarded = forward();
  const Fd step = connected(), agent = accepted();
  const std::string flags(4, '\0');
  for (const std::string& bytes :
       {message(11, "\r\nAUTH EXTERNAL 30\r\nBEGIN\r\n"), message(13), message(13, "data"),
        message(13, counted("key")), message(13, counted("key") + counted("data")),
        message(13, counted("key") + counted("data") + flags + "x"),
        message(13, std::string("\xff\xff\xff\xff", 4) + flags)}) {
    ASSERT_TRUE(write_all(step.get(), bytes));
    EXPECT_EQ(received(step), message(5));
  }
  EXPECT_EQ(received(agent, 50), "nothing");
}

// Whoever trusts root by its credentials does not trust a client's step for them.
TEST_F(SshForwardTest, IsSeenAsTheClientsUser) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod((directory_.path() + "/agent").c_str(), 0666), 0);
  agent_.user = sys::UserIdentity{.uid = 4711, .gid = 4712, .groups = {4713}};
  const auto forwarded = forward();
  for (int round = 0; round < 2; ++round) {  // and then it is itself again
    const Fd step = connected(), agent = accepted();
    ucred seen{};
    socklen_t size = sizeof seen;
    ASSERT_EQ(getsockopt(agent.get(), SOL_SOCKET, SO_PEERCRED, &seen, &size), 0);
    EXPECT_EQ(seen.uid, 4711u);
    EXPECT_EQ(seen.gid, 4712u);
    ASSERT_TRUE(write_all(step.get(), message(11)));
    EXPECT_EQ(received(agent), message(11));
  }
}

TEST_F(SshForwardTest, LetsNobodyChangeTheAgent) {
  const auto forwarded = forward();
  const Fd step = connected(), agent = accepted();
  for (const char kind : {17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 0, 1}) {
    ASSERT_TRUE(write_all(step.get(), message(kind, "x")));
    EXPECT_EQ(received(step), message(5)) << int(kind);
  }
  EXPECT_EQ(received(agent, 50), "nothing");
  ASSERT_TRUE(write_all(step.get(), message(17) + message(19) + message(11)));
  std::string failures;
  while (failures.size() < 2 * message(5).size()) failures += received(step);
  EXPECT_EQ(failures, message(5) + message(5));
  EXPECT_EQ(received(agent), message(11));
}

TEST_F(SshForwardTest, EndsWhatHasNoMeasure) {
  const auto forwarded = forward();
  for (const std::string& wrong : {"\0\0\0\0"s, "\xff\xff\xff\xff"s, "\0\x10\0\0x"s}) {
    const Fd step = connected(), agent = accepted();
    ASSERT_TRUE(write_all(step.get(), wrong));
    EXPECT_EQ(received(step), "");
    EXPECT_EQ(received(agent), "");
  }
}

TEST_F(SshForwardTest, EndsWithTheStep) {
  auto forwarded = forward();
  const Fd step = connected(), agent = accepted();
  forwarded.reset();
  EXPECT_EQ(received(step), "");
  EXPECT_EQ(received(agent), "");
}

TEST_F(SshForwardTest, HoldsNoMoreConnectionsThanItShould) {
  const auto forwarded = forward();
  std::vector<Fd> steps, agents;
  for (std::size_t count = 0; count < kMostAgentConnections; ++count) {
    steps.push_back(connected());
    agents.push_back(accepted());
    ASSERT_TRUE(agents.back());
  }
  steps.push_back(connected());
  pollfd polled{listener_.get(), POLLIN, 0};
  EXPECT_EQ(poll(&polled, 1, 100), 0);
  steps.erase(steps.begin());
  EXPECT_TRUE(accepted()) << "there is room again";
}

TEST_F(SshForwardTest, AnAgentThatAcceptsNobodyHoldsNothingUp) {
  ASSERT_EQ(listen(listener_.get(), 0), 0);
  auto forwarded = forward();
  std::vector<Fd> steps;
  for (int count = 0; count < 4; ++count) steps.push_back(connected());
  EXPECT_EQ(received(steps.back()), "") << "the agent takes no more";
  forwarded.reset();
}

TEST_F(SshForwardTest, ConnectsWithThePermissionsOfTheClient) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(chmod((directory_.path() + "/agent").c_str(), 0600), 0);
  agent_.user = sys::UserIdentity{.uid = 65534, .gid = 65534, .groups = {}};
  const auto forwarded = forward();
  const Fd step = connected();
  EXPECT_EQ(received(step), "") << "the socket is not that user's";
  pollfd polled{listener_.get(), POLLIN, 0};
  EXPECT_EQ(poll(&polled, 1, 100), 0);
}

}  // namespace
}  // namespace berth::build
