// SPDX-License-Identifier: Apache-2.0
// Open descriptors that go along with requests over unix sockets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "base/send_descriptors.h"
#include "http/http_test.h"

namespace berth::http {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

// When the server's side of the connection is there too.
std::size_t open_once_served(RawClient& client) {
  client.say("GET /0 HTTP/1.1\r\nHost: x\r\n\r\n");
  client.until("GET /0 ");
  return open_descriptors();
}

TEST(PassedDescriptors, AreHandedOverWithTheirRequest) {
  RunningServer running([](Exchange& exchange) {
    std::string text;
    for (const Fd& descriptor : exchange.take_descriptors()) {
      char buffer[16];
      const ssize_t size = pread(descriptor.get(), buffer, sizeof buffer, 0);
      text += "[" + std::string(buffer, size > 0 ? static_cast<std::size_t>(size) : 0) + "]";
      EXPECT_TRUE(fcntl(descriptor.get(), F_GETFD) & FD_CLOEXEC);
    }
    (void)exchange.respond(200, {}, text + must(exchange.read_body_whole(100)));
  });
  TemporaryDirectory directory = must(TemporaryDirectory::create("passed"));
  std::vector<Fd> files;
  for (const char* text : {"one", "two"}) {
    files.push_back(must(open_file(directory.path() + "/" + text, O_RDWR | O_CREAT, 0600)));
    must(write_all(files.back().get(), text));
  }
  Client client = running.client();
  client.pass_with_next(std::move(files));
  Response response = must(client.request("POST", "/", {}, std::string_view("body")));
  EXPECT_EQ(must(response.read_whole(100)), "[one][two]body");
  // They are that request's, and no later one's.
  Response next = must(client.request("POST", "/", {}, std::string_view("body")));
  EXPECT_EQ(must(next.read_whole(100)), "body");
}

TEST(PassedDescriptors, AreClosedWhereNobodyTakesThem) {
  RunningServer running(echo);
  RawClient client(running);
  const std::size_t before = open_once_served(client);
  const std::vector<int> many(kMostSentDescriptors, STDERR_FILENO);
  for (int round = 0; round < 5; ++round) {
    must(send_with_descriptors(client.socket.get(), "GET /1 HTTP/1.1\r\n", many));
    must(send_with_descriptors(client.socket.get(), "Host: x\r\n", many));
    must(send_with_descriptors(client.socket.get(), "\r\n", many));
    client.until("GET /1 ");
  }
  client.say("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  client.until("GET /2 ");
  EXPECT_EQ(open_descriptors(), before);
}

TEST(PassedDescriptors, AreBoundedInAHeadWithoutEnd) {
  RunningServer running(echo);
  RawClient client(running);
  const std::size_t before = open_once_served(client);
  const std::vector<int> many(kMostSentDescriptors, STDERR_FILENO);
  client.say("GET /1 HTTP/1.1\r\n");
  for (int round = 0; round < 50; ++round)
    must(send_with_descriptors(client.socket.get(), "X-Field: value\r\n", many));
  client.say("Host: x\r\n");
  EXPECT_LT(open_descriptors(), before + 64);
}

}  // namespace
}  // namespace berth::http
