// SPDX-License-Identifier: Apache-2.0
// A container's connection when it comes to its bounds and to its end, one event after the other on the
// test's own thread.
#include "names/sandbox_server.h"

#include <deque>

#include "names/test_host.h"

namespace berth::names {
namespace {

// Answers "web" and sends everything else on; what comes back from there is the test's business.
class ByHand final : public Answerer {
 public:
  Verdict answer(const std::string&, Bytes message, Transport, std::span<unsigned char> out) override {
    Query query = parse_query(message).value();
    if (query.question.name != "web") return {Verdict::Kind::forward, 0, std::move(query)};
    if (before_answer) before_answer();
    return {Verdict::Kind::answered, write_failure(message, query, Rcode::no_such_name, out), {}};
  }
  bool forward(const std::string&, Bytes message, const Query&, Transport, Deliver deliver) override {
    forwarded.push_back({{message.begin(), message.end()}, std::move(deliver)});
    return true;
  }
  struct Forwarded {
    Message message;
    Deliver deliver;
  };
  std::deque<Forwarded> forwarded;  // stays where it is while more come
  std::function<void()> before_answer;
};

struct Served {
  explicit Served(ServingLimits limits = {}) {
    SandboxSockets sockets = must(open_sandbox_sockets());
    port = sockets.tcp_port;
    server = must(SandboxServer::open("s1", std::move(sockets.udp), std::move(sockets.tcp), loop, answerer,
                                      make_datagram_batch(), limits));
  }
  Fd connected() {
    const SocketAddress where = at(kListeningAddress, port);
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(client.get(), where.get(), where.size), 0);
    must(loop.run_once());  // takes it
    return client;
  }
  // Until nothing happens any more. How often the loop woke up for it.
  int settle(int most = 1000) {
    bool quiet = false;
    int turns = 0;
    const EventLoop::Timer end = loop.after(300ms, [&] { quiet = true; });
    for (; !quiet && turns < most; ++turns) must(loop.run_once());
    if (!quiet) loop.cancel(end);
    return turns;
  }

  EventLoop loop = must(EventLoop::create());
  ByHand answerer;
  std::unique_ptr<SandboxServer> server;
  std::uint16_t port = 0;
};

std::size_t open_descriptors() { return must(list_directory("/proc/self/fd")).size(); }

// What is in flight may take seconds; until then the kernel would report the dead connection without a pause.
TEST(SandboxServer, ClosesAConnectionThatCannotBeSentToWhateverIsInFlight) {
  on_own_host([] {
    Served served;
    const std::size_t before = open_descriptors();
    Fd client = served.connected();
    // The connection dies after its event was taken and before the answer goes out: the send learns of it.
    served.answerer.before_answer = [&] {
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      client.reset();
    };
    Message both;
    for (const char* name : {"www.example.org", "web"}) {
      const Message query = make_query(name);
      append16(both, query.size());
      both.insert(both.end(), query.begin(), query.end());
    }
    must(write_all(client.get(), {reinterpret_cast<const char*>(both.data()), both.size()}));
    must(served.loop.run_once());
    ASSERT_THAT(served.answerer.forwarded, testing::SizeIs(1));
    EXPECT_FALSE(client) << "both came in one piece";
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_LT(served.settle(), 100);
    served.answerer.forwarded[0].deliver(std::nullopt);  // its asker is gone
  });
}

TEST(SandboxServer, CountsAQueryThatWasSentOnAsTheLargestAnswer) {
  on_own_host([] {
    Served served({.unread_answers = 3 * kLargestMessage});
    const Fd client = served.connected();
    for (int i = 0; i < 20; ++i) send_framed(client.get(), make_query("www.example.org"));
    served.settle();
    auto& forwarded = served.answerer.forwarded;
    ASSERT_THAT(forwarded, testing::SizeIs(3));
    // One answer makes room for one query.
    forwarded[0].deliver(answer_of_upstream(forwarded[0].message, "192.0.2.80"));
    EXPECT_EQ(receive_framed(client.get()).addresses.size(), 1u);
    served.settle();
    EXPECT_THAT(forwarded, testing::SizeIs(4));
  });
}

}  // namespace
}  // namespace berth::names
