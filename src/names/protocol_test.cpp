// SPDX-License-Identifier: Apache-2.0
#include "names/protocol.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "names/fields.h"
#include "names/host_servers.h"
#include "names/test_support.h"

namespace berth::names {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

Network some_network() {
  return {
      "n1",
      "backend",
      {{"c1", {"web", "www"}, {*Address::parse("10.0.0.2"), *Address::parse("fd00::2")}}, {"c2", {}, {}}}};
}
SandboxView some_view() {
  return {"s1",
          {.networks = {"n1", "n2"},
           .servers = {*Server::parse("192.0.2.1"), *Server::parse("[fe80::1%eth0]:5353")},
           .forward = false}};
}

TEST(Server, IsWrittenAsPeopleWriteIt) {
  for (const char* text :
       {"192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353", "fe80::1%eth0"}) {
    ASSERT_TRUE(Server::parse(text)) << text;
    EXPECT_EQ(Server::parse(text)->text(), text);
  }
  for (const char* text : {"", "localhost", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:", "[::1", "[::1]5",
                           "1.2.3", "192.0.2.1%eth0", "fe80::1%"})
    EXPECT_FALSE(Server::parse(text)) << text;
}

TEST(Protocol, CarriesRecordsUnchanged) {
  EXPECT_EQ(must(decode_network(encode(some_network()))), some_network());
  const SandboxView view = must(decode_sandbox_view(encode(some_view())));
  EXPECT_EQ(view.sandbox, "s1");
  EXPECT_EQ(view.view, some_view().view);
  const Listing listing =
      must(decode_listing(encode(Listing{{{"s1", true}, {"s2", false}}, {{"n1", 70'000}}})));
  EXPECT_EQ(listing.sandboxes, (std::vector<Listing::Sandbox>{{"s1", true}, {"s2", false}}));
  EXPECT_EQ(listing.networks, (std::vector<Listing::NetworkSize>{{"n1", 70'000}}));
  const Error error = must(decode_error(encode(Error{ErrorKind::exhausted, 5, "full"})));
  EXPECT_EQ(error.kind, ErrorKind::exhausted);
  EXPECT_EQ(error.message, "full");
}

TEST(Protocol, PassesOverFieldsOfLaterVersions) {
  FieldWriter later;
  later.text(200, "something");
  EXPECT_EQ(must(decode_network(later.bytes() + encode(some_network()) + later.bytes())), some_network());
}

TEST(Protocol, RefusesBodiesThatAreCutOrMalformed) {
  const std::string body = encode(some_network());
  for (std::size_t size = 1; size < body.size(); ++size) {
    // Cut between two fields it is a smaller network; anywhere else it is an error.
    Result<Network> cut = decode_network(body.substr(0, size));
    if (cut) {
      EXPECT_NE(*cut, some_network());
    }
  }
  EXPECT_FALSE(decode_network(body.substr(0, body.size() - 1)));
  FieldWriter wrong;
  wrong.text(4, "not-an-address");
  EXPECT_FALSE(decode_sandbox_view(wrong.bytes()));
  EXPECT_FALSE(decode_endpoint(encode_names("n1")));
}

TEST(FrameReader, PutsFramesTogetherFromPieces) {
  auto ends = must(make_socket_pair(SOCK_STREAM));
  const std::string bytes = encode_frame(MessageKind::ping, "") + encode_frame(MessageKind::list, "abc");
  FrameReader reader;
  std::vector<Frame> frames;
  for (char byte : bytes) {
    must(write_all(ends.first.get(), std::string_view(&byte, 1)));
    ASSERT_TRUE(must(reader.receive(ends.second.get(), 0)));
    while (auto frame = must(reader.next())) frames.push_back(std::move(*frame));
  }
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_EQ(frames[1].kind, MessageKind::list);
  EXPECT_EQ(frames[1].body, "abc");
}

TEST(FrameReader, RefusesAnotherProtocolAtItsFirstBytes) {
  auto ends = must(make_socket_pair(SOCK_STREAM));
  must(write_all(ends.first.get(), "GET / HTTP/1.1\r\n"));
  FrameReader reader;
  must(reader.receive(ends.second.get(), 0));
  EXPECT_FALSE(reader.next());
}

// --- the host's servers ---

TEST(ResolvConf, NamesItsServers) {
  EXPECT_EQ(
      parse_resolv_conf("# comment\nsearch example.org\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # two\n"
                        "nameserver fe80::1%eth0\nnameserverx 192.0.2.2\n;nameserver 192.0.2.3\n"
                        "nameserver localhost\nnameserver 192.0.2.4"),
      (std::vector<Server>{*Server::parse("192.0.2.1"), *Server::parse("2001:db8::1"),
                           *Server::parse("fe80::1%eth0"), *Server::parse("192.0.2.4")}));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "nameserver 192.0.2.1\n";
  EXPECT_THAT(parse_resolv_conf(many), SizeIs(kMostServers));
}

class HostServersTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { std::ofstream(path(name)) << text; }
  std::string path(const std::string& name) const { return directory.path() + "/" + name; }
  std::vector<Server> at(int milliseconds) {
    return servers.current(std::chrono::steady_clock::time_point(std::chrono::milliseconds(milliseconds)));
  }
  TemporaryDirectory directory = must(TemporaryDirectory::create("names"));
  HostServers servers{{path("own"), path("systemd")}};
};

TEST_F(HostServersTest, FollowTheFileButLookOnceASecond) {
  write("own", "nameserver 192.0.2.1\n");
  EXPECT_EQ(at(0)[0].text(), "192.0.2.1");
  write("own", "nameserver 192.0.2.20\n");
  EXPECT_EQ(at(999)[0].text(), "192.0.2.1");
  EXPECT_EQ(at(1000)[0].text(), "192.0.2.20");
  write("other", "nameserver 192.0.2.30\n");
  ASSERT_EQ(rename(path("other").c_str(), path("own").c_str()), 0);
  EXPECT_EQ(at(2000)[0].text(), "192.0.2.30");
  unlink(path("own").c_str());
  EXPECT_THAT(at(3000), IsEmpty());
}

TEST_F(HostServersTest, AreThoseBehindSystemdsStubWhereItNamesThem) {
  write("own", "nameserver 127.0.0.53\n");
  EXPECT_EQ(at(0)[0].text(), "127.0.0.53");
  write("systemd", "nameserver 192.0.2.8\n");
  EXPECT_EQ(at(1000)[0].text(), "192.0.2.8");
}

}  // namespace
}  // namespace berth::names
