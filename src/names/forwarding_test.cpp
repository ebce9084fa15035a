// SPDX-License-Identifier: Apache-2.0
// What happens to questions that are not ours, with servers of every kind.
#include <fstream>
#include <mutex>
#include <set>

#include "names/test_host.h"

namespace berth::names {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST(Forwarding, BringsTheAnswerUnderTheClientsIdAndSpelling) {
  on_own_host([] {
    Upstream upstream("127.0.0.1", 5301, says("192.0.2.80"));
    Host host;
    host.add_sandbox({upstream.server()});
    const Answer answer = ask(host, "www.example.org", {.id = 0x4321});
    EXPECT_EQ(answer.header.id, 0x4321);
    EXPECT_THAT(answer.addresses, ElementsAre("192.0.2.80"));
    EXPECT_EQ(upstream.datagrams(), 1);
    EXPECT_EQ(ask(host, "nobody").rcode, 3);
    EXPECT_THAT(ask(host, "web").addresses, ElementsAre("10.0.0.2"));
    EXPECT_EQ(upstream.datagrams(), 1) << "what is ours was asked outside";
  });
}

TEST(Forwarding, UsesTheHostsServersUnlessTheViewHasItsOwn) {
  on_own_host([] {
    Upstream of_host("127.0.0.2", 53, says("192.0.2.1"));
    Upstream of_view("127.0.0.4", 5304, says("192.0.2.3"));
    Host host([](ResolverSettings& settings) {
      std::ofstream(settings.resolv_conf.own) << "nameserver 127.0.0.2\n";
    });
    host.add_sandbox();
    EXPECT_THAT(ask(host, "a.example").addresses, ElementsAre("192.0.2.1"));
    host.add_sandbox({of_view.server()});
    EXPECT_THAT(ask(host, "a.example").addresses, ElementsAre("192.0.2.3"));
    host.add_sandbox(std::vector<Server>());
    EXPECT_THAT(ask(host, "a.example").addresses, ElementsAre("192.0.2.1"));
  });
}

TEST(Forwarding, DoesNotHappenFromInternalNetworks) {
  on_own_host([] {
    Upstream upstream("127.0.0.1", 5301, says("192.0.2.80"));
    Host host;
    host.view.forward = false;
    host.add_sandbox({upstream.server()});
    EXPECT_EQ(ask(host, "www.example.org").rcode, 3);
    EXPECT_EQ(upstream.datagrams(), 0);
  });
}

TEST(Forwarding, FailsAtOnceWithoutAnyServer) {
  on_own_host([] {
    Host host([](ResolverSettings& settings) { settings.forwarding.total = 1h; });
    host.add_sandbox();
    EXPECT_EQ(ask(host, "www.example.org").rcode, 2);
    const Fd stream = client_socket(host, SOCK_STREAM);
    send_framed(stream.get(), make_query("www.example.org"));
    EXPECT_EQ(receive_framed(stream.get()).rcode, 2);
  });
}

TEST(Forwarding, FailsAtOnceWhenAllServersRefuseTheConnection) {
  on_own_host([] {
    Host host([](ResolverSettings& settings) {
      settings.forwarding.attempt = 1h;
      settings.forwarding.total = 1h;
    });
    host.add_sandbox({*Server::parse("127.0.0.1:5399"), *Server::parse("127.0.0.2:5399")});
    EXPECT_EQ(ask(host, "www.example.org").rcode, 2);
    const Fd stream = client_socket(host, SOCK_STREAM);
    send_framed(stream.get(), make_query("www.example.org"));
    EXPECT_EQ(receive_framed(stream.get()).rcode, 2);
  });
}

TEST(Forwarding, AsksTheNextServerWhenOneIsDeadOrFails) {
  on_own_host([] {
    Upstream silent("127.0.0.1", 5301, keeps_silent);
    Upstream failing("127.0.0.2", 5302, [](const Message& query) {
      Message answer = query;
      answer[2] |= 0x80;
      answer[3] |= 2;
      return std::vector<Message>{answer};
    });
    Upstream good("127.0.0.3", 5303, says("192.0.2.3"));
    Host host([](ResolverSettings& settings) { settings.forwarding.total = 1h; });
    const Server refusing = *Server::parse("127.0.0.9:5309");
    host.add_sandbox({silent.server(), refusing, failing.server(), good.server()});
    EXPECT_THAT(ask(host, "www.example.org").addresses, ElementsAre("192.0.2.3"));
    EXPECT_GE(silent.datagrams(), 1);
    host.add_sandbox({refusing, failing.server()});
    EXPECT_EQ(ask(host, "www.example.org").rcode, 2)
        << "the only one that said something said that it failed";
  });
}

TEST(Forwarding, AsksAServerLastThatWasSilentForLong) {
  on_own_host([] {
    Upstream silent("127.0.0.1", 5301, keeps_silent);
    Upstream good("127.0.0.3", 5303, says("192.0.2.3"));
    Host host([](ResolverSettings& settings) {
      settings.forwarding.attempt = 400ms;
      settings.forwarding.total = 1h;
      settings.forwarding.out_of_favour = 1h;
    });
    host.add_sandbox({silent.server(), good.server()});
    for (int i = 0; i < 3; ++i) EXPECT_THAT(ask(host, "www.example.org").addresses, SizeIs(1));
    ASSERT_EQ(silent.datagrams(), 3);
    for (int i = 0; i < 3; ++i) EXPECT_THAT(ask(host, "www.example.org").addresses, SizeIs(1));
    EXPECT_EQ(silent.datagrams(), 3);
  });
}

// Names whose own servers are dead, by the resolvers of the world: one container that asks for them does not
// turn others away from a server that answers them.
TEST(Forwarding, KeepsAServerInFavourThatAnswersOthers) {
  on_own_host([] {
    Upstream first("127.0.0.1", 5301, [](const Message& query) -> std::vector<Message> {
      if (parse_query(query)->question.name == "hole.example") return {};
      return {answer_of_upstream(query, "192.0.2.1")};
    });
    Upstream second("127.0.0.3", 5303, says("192.0.2.3"));
    Host host([](ResolverSettings& settings) {
      settings.forwarding.attempt = 1s;
      settings.forwarding.total = 1h;
      settings.forwarding.out_of_favour = 1h;
    });
    host.add_sandbox({first.server(), second.server()});
    const Fd hostile = client_socket(host);
    for (int i = 0; i < 3; ++i) send_datagram(hostile.get(), make_query("hole.example"));
    ASSERT_TRUE(eventually([&] { return first.datagrams() == 3; }));
    EXPECT_THAT(ask(host, "www.example.org").addresses, ElementsAre("192.0.2.1"));
    for (int i = 0; i < 3; ++i)
      EXPECT_THAT(read_answer(receive(hostile.get()).value()).addresses, ElementsAre("192.0.2.3"));
    EXPECT_THAT(ask(host, "www.example.org").addresses, ElementsAre("192.0.2.1"));
  });
}

TEST(Forwarding, EndsWithAFailureWhenNobodyAnswers) {
  on_own_host([] {
    Upstream silent("127.0.0.1", 5301, keeps_silent);
    Host host;
    host.add_sandbox({silent.server()});
    const auto begin = steady_clock::now();
    EXPECT_EQ(ask(host, "www.example.org").rcode, 2);
    EXPECT_GE(steady_clock::now() - begin, 1200ms);
    EXPECT_GE(silent.datagrams(), 2) << "a lost datagram is not sent again";
  });
}

TEST(Forwarding, MakesAFailureOfServersThatRefuse) {
  on_own_host([] {
    const auto refuses = [](const Message& query) {
      Message answer = query;
      answer[2] |= 0x80;
      answer[3] |= 0x85;  // recursion available, REFUSED
      return std::vector<Message>{answer};
    };
    Upstream one("127.0.0.1", 5301, refuses), two("127.0.0.2", 5302, refuses);
    Host host([](ResolverSettings& settings) {
      settings.forwarding.attempt = 1h;
      settings.forwarding.total = 1h;
    });
    for (const std::vector<Server>& servers : {std::vector{one.server()}, {one.server(), two.server()}}) {
      host.add_sandbox(servers);
      const Answer answer = ask(host, "www.example.org", {.edns_size = 1232});
      EXPECT_EQ(answer.rcode, 2);
      EXPECT_EQ(answer.question.name, "www.example.org");
      const Fd stream = client_socket(host, SOCK_STREAM);
      send_framed(stream.get(), make_query("www.example.org"));
      EXPECT_EQ(receive_framed(stream.get()).rcode, 2);
    }
    EXPECT_EQ(two.datagrams(), 1);
  });
}

TEST(Forwarding, TakesALateAnswer) {
  on_own_host([] {
    // To the second try it says what belongs to the first.
    std::vector<Message> kept;
    Upstream late("127.0.0.1", 5301, [&](const Message& query) -> std::vector<Message> {
      kept.push_back(answer_of_upstream(query, "192.0.2.7"));
      if (kept.size() < 2) std::this_thread::sleep_for(500ms);  // longer than an attempt
      return {kept.front()};
    });
    Host host([](ResolverSettings& settings) { settings.forwarding.total = 1h; });
    host.add_sandbox({late.server()});
    EXPECT_THAT(ask(host, "www.example.org").addresses, ElementsAre("192.0.2.7"));
  });
}

TEST(Forwarding, BelievesNoLie) {
  on_own_host([] {
    const auto with_id = [](Message message, int by) {
      message[1] = static_cast<unsigned char>(message[1] + by);
      return message;
    };
    std::atomic<int> stranger_sent = 0;
    Fd stranger = bound(SOCK_DGRAM, "127.0.0.66", 53);
    Upstream upstream("127.0.0.1", 5301, [&](const Message& query) {
      std::vector<Message> answers;
      const Message lie = answer_of_upstream(query, "203.0.113.66");
      for (int by = 1; by < 20; ++by) answers.push_back(with_id(lie, by));  // guessed ids
      Message other =
          make_query("www.example.com", {.id = static_cast<std::uint16_t>(query[0] << 8 | query[1])});
      answers.push_back(answer_of_upstream(other, "203.0.113.66"));  // another question
      answers.push_back(query);                                      // no answer at all
      answers.push_back({1, 2, 3});
      answers.push_back(answer_of_upstream(query, "192.0.2.80"));
      // Somebody else knows the id and the question, and guesses all ports.
      for (int port = 32'768; port < 61'000; ++port) {
        const SocketAddress to = at("127.0.0.1", static_cast<std::uint16_t>(port));
        stranger_sent += sendto(stranger.get(), lie.data(), lie.size(), MSG_DONTWAIT, to.get(), to.size) > 0;
      }
      return answers;
    });
    Host host([](ResolverSettings& settings) {
      settings.forwarding.attempt = 1h;
      settings.forwarding.total = 1h;
    });
    host.add_sandbox({upstream.server()});
    EXPECT_THAT(ask(host, "www.example.org").addresses, ElementsAre("192.0.2.80"));
    EXPECT_GT(stranger_sent, 1000);
  });
}

TEST(Forwarding, HasPortsAndIdsThatNobodyCanGuess) {
  on_own_host([] {
    std::mutex mutex;
    std::set<int> ids;
    Upstream upstream("127.0.0.1", 5301, [&](const Message& query) {
      const std::lock_guard lock(mutex);
      ids.insert(query[0] << 8 | query[1]);
      return std::vector<Message>{answer_of_upstream(query, "192.0.2.80")};
    });
    Host host;
    host.add_sandbox({upstream.server()});
    for (int i = 0; i < 50; ++i) EXPECT_EQ(ask(host, "www.example.org", {.id = 7}).header.id, 7);
    EXPECT_GT(ids.size(), 40u);
  });
}

TEST(Forwarding, PassesTruncationOnAndTcpThrough) {
  on_own_host([] {
    // A server as they are: what does not fit into a datagram is had over TCP.
    Upstream upstream("127.0.0.1", 5301, [](const Message& query) {
      Message answer = answer_of_upstream(query, "192.0.2.80", 500);
      return std::vector<Message>{answer};
    });
    Host host;
    host.add_sandbox({upstream.server()});
    for (std::size_t edns : {0u, 1232u}) {
      const Answer cut = ask(host, "www.example.org", {.edns_size = edns});
      EXPECT_TRUE(cut.header.truncated());
      EXPECT_LE(cut.size, 512u);
      EXPECT_EQ(cut.edns, edns != 0);
    }
    EXPECT_EQ(upstream.streams(), 0);
    const Fd stream = client_socket(host, SOCK_STREAM);
    for (int i = 0; i < 2; ++i) {
      send_framed(stream.get(), make_query("www.example.org"));
      const Answer whole = receive_framed(stream.get());
      EXPECT_FALSE(whole.header.truncated());
      EXPECT_THAT(whole.addresses, SizeIs(500));
    }
    EXPECT_EQ(upstream.streams(), 2);
  });
}

// How many of so many queries to the outside fail at once.
int refused(const Host& host, int queries) {
  const Fd socket = client_socket(host);
  for (int i = 0; i < queries; ++i) send_datagram(socket.get(), make_query("www.example.org"));
  send_datagram(socket.get(), make_query("web", {.id = 9}));
  int failures = 0;
  for (;;) {
    const std::optional<Message> message = receive(socket.get());
    if (!message) throw std::runtime_error("there is no answer");
    const Answer answer = read_answer(*message);
    if (answer.header.id == 9) return failures;
    failures += answer.rcode == 2;
  }
}

TEST(Forwarding, LetsAFewQueriesOfEachContainerPassTheBoundOfAll) {
  on_own_host([] {
    Upstream silent("127.0.0.1", 5301, keeps_silent);
    Host host([](ResolverSettings& settings) {
      settings.forwarding.in_flight = settings.forwarding.in_flight_of_sandbox = 10;
      settings.forwarding.in_flight_in_any_case = 3;
      settings.forwarding.attempt = 1h;
      settings.forwarding.total = 1h;
    });
    host.add_sandbox({silent.server()});
    EXPECT_EQ(refused(host, 20), 10);
    for (const char* sandbox : {"s2", "s3"}) {
      SandboxSockets other = must(open_sandbox_sockets());
      must(host.client->add_sandbox(sandbox, host.view, &other));
      host.sockets = std::move(other);
      EXPECT_EQ(refused(host, 20), 17) << sandbox;
    }
  });
}

TEST(Forwarding, BoundsWhatIsInFlightForOneContainer) {
  on_own_host([] {
    Upstream silent("127.0.0.1", 5301, keeps_silent);
    Host host([](ResolverSettings& settings) {
      settings.forwarding.in_flight_of_sandbox = 10;
      settings.forwarding.in_flight = 15;
      settings.forwarding.in_flight_in_any_case = 0;
      settings.forwarding.attempt = 1h;
      settings.forwarding.total = 1h;
    });
    host.add_sandbox({silent.server()});
    SandboxSockets other = must(open_sandbox_sockets());
    must(host.client->add_sandbox("s2", host.view, &other));
    EXPECT_EQ(refused(host, 30), 20);
    std::swap(host.sockets, other);
    EXPECT_EQ(refused(host, 30), 25) << "the bound of all";
    // Whoever is gone has nothing in flight any more.
    must(host.client->remove_sandbox("s1"));
    EXPECT_EQ(refused(host, 30), 25);
  });
}

}  // namespace
}  // namespace berth::names
