// SPDX-License-Identifier: Apache-2.0
// What containers are told, and what they can do to the resolver.
#include "names/resolver.h"

#include "base/process.h"
#include "names/test_host.h"

namespace berth::names {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TEST(Resolver, AnswersOverUdpAndTcp) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    EXPECT_THAT(ask(host, "web").addresses, ElementsAre("10.0.0.2"));
    EXPECT_EQ(ask(host, "nobody").rcode, 3);
    const Fd stream = client_socket(host, SOCK_STREAM);
    for (int i = 0; i < 3; ++i) {
      send_framed(stream.get(), make_query("web"));
      EXPECT_THAT(receive_framed(stream.get()).addresses, ElementsAre("10.0.0.2"));
    }
    // Two in one piece, and one in many.
    Message two = make_query("web", {.id = 1});
    Message framed;
    for (int i = 0; i < 2; ++i) {
      append16(framed, two.size());
      framed.insert(framed.end(), two.begin(), two.end());
    }
    for (unsigned char byte : framed)
      must(write_all(stream.get(), {reinterpret_cast<const char*>(&byte), 1}));
    must(write_all(stream.get(), {reinterpret_cast<const char*>(framed.data()), framed.size()}));
    for (int i = 0; i < 4; ++i) EXPECT_EQ(receive_framed(stream.get()).header.id, 1);
  });
}

TEST(Resolver, GivesEachContainerItsOwnView) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    must(host.client->set_network({"n2", "front", {{"c2", {"db"}, {*Address::parse("10.2.0.2")}}}}));
    Host& first = host;
    SandboxSockets other = must(open_sandbox_sockets());
    must(host.client->add_sandbox("s2", {.networks = {"n2"}}, &other));
    EXPECT_EQ(ask(first, "db").rcode, 3);
    std::swap(host.sockets, other);
    EXPECT_THAT(ask(host, "db").addresses, ElementsAre("10.2.0.2"));
    EXPECT_EQ(ask(host, "web").rcode, 3);
    // A new view, the same sockets.
    must(host.client->add_sandbox("s2", {.networks = {"n1"}}));
    EXPECT_EQ(ask(host, "db").rcode, 3);
    EXPECT_THAT(ask(host, "web").addresses, ElementsAre("10.0.0.2"));
  });
}

TEST(Resolver, FollowsEveryChange) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    must(host.client->set_endpoint("n1", {"c2", {"new"}, {*Address::parse("10.0.0.3")}}));
    EXPECT_THAT(ask(host, "new").addresses, ElementsAre("10.0.0.3"));
    must(host.client->remove_endpoint("n1", "c2"));
    EXPECT_EQ(ask(host, "new").rcode, 3);
    must(host.client->remove_network("n1"));
    EXPECT_EQ(ask(host, "web").rcode, 3);
    EXPECT_EQ(host.client->set_endpoint("n1", {"c2", {"new"}, {}}).error().kind, ErrorKind::not_found);
    must(host.client->remove_sandbox("s1"));
    must(host.client->remove_sandbox("s1"));
    const Listing listing = must(host.client->list());
    EXPECT_THAT(listing.sandboxes, IsEmpty());
    EXPECT_THAT(listing.networks, IsEmpty());
  });
}

TEST(Resolver, SurvivesWhateverAContainerSends) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    const Fd socket = client_socket(host);
    std::uint32_t seed = 1;
    for (int i = 0; i < 3000; ++i) {
      Message garbage = make_query("web", {.edns_size = 1232});
      for (int flips = 0; flips < 4; ++flips) {
        seed = seed * 1664525 + 1013904223;
        garbage[(seed >> 8) % garbage.size()] = static_cast<unsigned char>(seed >> 24);
      }
      garbage.resize((seed >> 4) % (garbage.size() + 1));
      (void)send(socket.get(), garbage.data(), garbage.size(), MSG_DONTWAIT);
      while (receive(socket.get(), 0)) {
      }
    }
    send_datagram(socket.get(), Message(5000, 1));
    EXPECT_THAT(ask(host, "web").addresses, ElementsAre("10.0.0.2"));
  });
}

TEST(Resolver, BoundsConnections) {
  on_own_host([] {
    Host host([](ResolverSettings& settings) {
      settings.serving.connections = 2;
      settings.serving.idle = 400ms;
    });
    host.add_sandbox();
    const Fd first = client_socket(host, SOCK_STREAM), second = client_socket(host, SOCK_STREAM);
    send_framed(first.get(), make_query("web"));
    EXPECT_EQ(receive_framed(first.get()).rcode, 0);
    send_framed(second.get(), make_query("web"));
    EXPECT_EQ(receive_framed(second.get()).rcode, 0);
    const Fd third = client_socket(host, SOCK_STREAM);
    EXPECT_TRUE(hung_up(third.get()));
    EXPECT_TRUE(hung_up(first.get()));  // quiet for too long
    EXPECT_TRUE(hung_up(second.get()));
    const Fd fourth = client_socket(host, SOCK_STREAM);
    must(write_all(fourth.get(), std::string_view("\xFF\xFFxxxx", 6)));  // longer than a query may be
    EXPECT_TRUE(hung_up(fourth.get()));
  });
}

TEST(Resolver, AnswersManyPipelinedQueriesOfAReaderThatIsLate) {
  on_own_host([] {
    Host host([](ResolverSettings& settings) { settings.serving.unread_answers = 10'000; });
    for (int i = 0; i < 100; ++i)
      must(host.client->set_endpoint(
          "n1", {fmt::format("m{}", i), {"many"}, {*Address::parse(fmt::format("10.3.0.{}", i))}}));
    host.add_sandbox();
    const Fd stream = client_socket(host, SOCK_STREAM);
    std::thread writer([&] {
      for (std::uint16_t i = 0; i < 2000; ++i) send_framed(stream.get(), make_query("many", {.id = i}));
    });
    std::this_thread::sleep_for(50ms);
    int right = 0;
    for (std::uint16_t i = 0; i < 2000; ++i) {
      const Answer answer = receive_framed(stream.get());
      right += answer.header.id == i && answer.addresses.size() == 100;
    }
    EXPECT_EQ(right, 2000);
    writer.join();
  });
}

// A container that sends as fast as it can does not keep another waiting. No time is measured: the flood goes
// on until the other has had its answers.
TEST(Resolver, ServesOthersWhileOneFloods) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    SandboxSockets other = must(open_sandbox_sockets());
    must(host.client->add_sandbox("s2", host.view, &other));
    std::atomic<bool> enough = false;
    const Fd flooding = client_socket(host);
    std::thread flood([&] {
      const Message query = make_query("web");
      while (!enough) (void)send(flooding.get(), query.data(), query.size(), MSG_DONTWAIT);
    });
    std::swap(host.sockets, other);
    int answered = 0;
    for (int i = 0; i < 200; ++i) answered += ask(host, "web").addresses.size() == 1;
    enough = true;
    flood.join();
    EXPECT_EQ(answered, 200);
  });
}

// Nothing is lost between a client and the resolver as long as the client has no more on the way than the
// socket holds. bench/names_load.cpp measures how fast it goes.
TEST(Resolver, LosesNothingOfTenThousandQueries) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    const Fd socket = client_socket(host);
    constexpr int kQueries = 10'000, kWindow = 100;
    std::vector<bool> seen(kQueries);
    int sent = 0, received = 0;
    while (received < kQueries) {
      for (; sent < kQueries && sent - received < kWindow; ++sent)
        send_datagram(socket.get(), make_query("web", {.id = static_cast<std::uint16_t>(sent)}));
      const std::optional<Message> message = receive(socket.get());
      ASSERT_TRUE(message) << "lost after " << received;
      const Answer answer = read_answer(*message);
      ASSERT_LT(answer.header.id, kQueries);
      ASSERT_FALSE(seen[answer.header.id]);
      seen[answer.header.id] = true;
      ASSERT_THAT(answer.addresses, SizeIs(1));
      ++received;
    }
  });
}

// A client that is not ours; it also checks what it is told.
TEST(Resolver, IsUnderstoodByDig) {
  if (!exists("/usr/bin/dig")) GTEST_SKIP() << "SKIP: dig is not installed";
  on_own_host([] {
    Host host;
    for (int i = 0; i < 200; ++i)
      must(host.client->set_endpoint(
          "n1", {fmt::format("m{}", i), {"many"}, {*Address::parse(fmt::format("10.3.0.{}", i))}}));
    host.add_sandbox();
    const auto dig = [&](std::vector<std::string> words, std::uint16_t port) {
      words.insert(words.begin(), {"dig", "@127.0.0.11", "-p", std::to_string(port), "+tries=1", "+time=20"});
      const Output output = must(run_program(words));
      EXPECT_EQ(output.exit_code, 0) << output.standard_output;
      EXPECT_THAT(output.standard_output, Not(HasSubstr("WARNING"))) << output.standard_output;
      EXPECT_THAT(output.standard_output, Not(HasSubstr("malformed"))) << output.standard_output;
      return output.standard_output;
    };
    const std::uint16_t udp = host.sockets.udp_port, tcp = host.sockets.tcp_port;
    EXPECT_EQ(dig({"+short", "web"}, udp), "10.0.0.2\n");
    EXPECT_EQ(dig({"+short", "+tcp", "web.backend"}, tcp), "10.0.0.2\n");
    EXPECT_EQ(dig({"+short", "-x", "10.0.0.2"}, udp), "web.backend.\n");
    EXPECT_THAT(dig({"web"}, udp), AllOf(HasSubstr("status: NOERROR"), HasSubstr("EDNS: version: 0")));
    EXPECT_THAT(dig({"nobody"}, udp), HasSubstr("status: NXDOMAIN"));
    EXPECT_THAT(dig({"web", "TXT"}, udp), AllOf(HasSubstr("status: NOERROR"), HasSubstr("ANSWER: 0")));
    EXPECT_THAT(dig({"+noedns", "+ignore", "many"}, udp), HasSubstr(" tc "));
    EXPECT_THAT(dig({"+tcp", "many"}, tcp), HasSubstr("ANSWER: 200"));
    EXPECT_THAT(dig({"+edns=1", "+noednsnegotiation", "web"}, udp), HasSubstr("status: BADVERS"));
  });
}

}  // namespace
}  // namespace berth::names
