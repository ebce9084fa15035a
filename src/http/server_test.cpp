// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "http/http_test.h"

namespace berth::http {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

TEST(Server, AnswersSeveralRequestsOnOneConnection) {
  RunningServer running(echo);
  RawClient client(running);
  for (int i = 0; i < 3; ++i) {
    client.say("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.until("GET /a "), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  RunningServer running(echo);
  RawClient client(running);
  client.say(
      "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\noneGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
      "\r\nGET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string all = client.rest();
  EXPECT_LT(all.find("POST /1 one"), all.find("GET /2 "));
  EXPECT_LT(all.find("GET /2 "), all.find("GET /3 "));
  EXPECT_EQ(occurrences(all, "HTTP/1.1 200 OK"), 3u);
}

TEST(Server, TakesHeadsAndBodiesByteByByte) {
  RunningServer running(echo);
  RawClient client(running);
  for (char c : std::string(
           "\r\n\r\nPOST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
           "\r\n3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nT: v\r\n\r\n"))
    client.say(std::string_view(&c, 1));
  EXPECT_THAT(client.rest(), HasSubstr("POST /x abc0123456789"));
}

TEST(Server, DecodesTheQueryAndLeavesThePathRaw) {
  RunningServer running([](Exchange& exchange) {
    const Request& request = exchange.request();
    std::string text = request.path;
    for (std::string_view value : request.query.all("k")) text.append("|").append(value);
    EXPECT_EQ(request.peer.uid, getuid());
    EXPECT_EQ(request.peer.pid, getpid());
    EXPECT_TRUE(request.peer.local);
    (void)exchange.respond(200, {}, text);
  });
  Client client = running.client();
  Response response = must(client.request("GET", "/a%2Fb/c?k=1+2&z&k=%7B%22"));
  EXPECT_EQ(must(response.read_whole(100)), "/a%2Fb/c|1 2|{\"");
  EXPECT_EQ(must(client.request("GET", "/?k=%zz")).status, 400);
}

TEST(Server, StreamsChunksAsTheyAreWritten) {
  RunningServer running([](Exchange& exchange) {
    must(exchange.begin(200, {{"Content-Type", "text/plain"}}));
    // The next chunk waits for the client's reaction to the one before: both must have been sent at once.
    char byte;
    EXPECT_EQ(must(exchange.read_body(std::span(&byte, 1))), 1u);
    must(exchange.write("first"));
    EXPECT_EQ(must(exchange.read_body(std::span(&byte, 1))), 1u);
    must(exchange.write(std::string(100000, 'x')));
    must(exchange.finish());
  });
  RawClient client(running);
  client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.until("\r\n\r\n"), HasSubstr("Transfer-Encoding: chunked\r\n"));
  client.say("1");
  EXPECT_EQ(client.until("first"), "5\r\nfirst");
  client.say("2");
  EXPECT_THAT(client.rest(), testing::EndsWith("x\r\n0\r\n\r\n"));
}

TEST(Server, CutsTheConnectionWhenAStreamIsNotFinished) {
  RunningServer running([](Exchange& exchange) {
    must(exchange.begin(200, {}));
    must(exchange.write("half"));
  });
  Client client = running.client();
  Response response = must(client.request("GET", "/"));
  Result<std::string> body = response.read_whole(100);
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().kind, ErrorKind::unavailable);
}

TEST(Server, HoldsAStreamToItsContentLength) {
  RunningServer running([](Exchange& exchange) {
    must(exchange.begin(200, {{"Content-Length", "4"}}));
    EXPECT_FALSE(exchange.write("12345"));
    must(exchange.write("123"));
    EXPECT_FALSE(exchange.finish());
    must(exchange.write("4"));
    must(exchange.finish());
  });
  Client client = running.client();
  EXPECT_EQ(must(must(client.request("GET", "/")).read_whole(100)), "1234");
}

TEST(Server, SendsPartsOfFiles) {
  TemporaryDirectory directory = must(TemporaryDirectory::create("http"));
  const std::string path = directory.path() + "/f";
  std::string content(3 << 20, 'x');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 3);
  must(write_file_atomically(AT_FDCWD, path, content, 0600, Durability::visible));
  RunningServer running([&](Exchange& exchange) {
    Fd file = must(open_file(path, O_RDONLY));
    const bool beyond = exchange.request().path == "/beyond";
    must(exchange.begin(200, {{"Content-Length", std::to_string(content.size() - 7)}}));
    EXPECT_FALSE(exchange.write_file(file.get(), 0, content.size()));  // more than promised
    Result<void> sent = exchange.write_file(file.get(), beyond ? 8 : 7, content.size() - 7);
    EXPECT_EQ(sent.has_value(), !beyond || exchange.request().method == "HEAD");
    if (sent) must(exchange.finish());
  });
  Client client = running.client();
  EXPECT_EQ(must(must(client.request("GET", "/")).read_whole(4 << 20)), content.substr(7));
  EXPECT_EQ(must(must(client.request("HEAD", "/")).read_whole(4 << 20)), "");
  EXPECT_FALSE(must(client.request("GET", "/beyond")).read_whole(4 << 20));
}

TEST(Server, DoesNotWaitForEverForABodyOrAReader) {
  RunningServer running(
      [](Exchange& exchange) {
        if (exchange.request().method == "POST") {
          Result<std::string> body = exchange.read_body_whole(100);
          ASSERT_FALSE(body);
          EXPECT_EQ(body.error().kind, ErrorKind::timeout);
          (void)exchange.respond(408, {}, "");
        } else {
          must(exchange.begin(200, {}));
          Result<void> written;
          for (int i = 0; written && i < 1000; ++i) written = exchange.write(std::string(1 << 20, 'x'));
          EXPECT_FALSE(written);
        }
      },
      {.body_timeout = std::chrono::milliseconds(100), .write_timeout = std::chrono::milliseconds(100)});
  RawClient slow(running);
  slow.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na");
  EXPECT_THAT(slow.rest(), HasSubstr("408"));
  RawClient stalled(running);
  stalled.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  while (running.server.connections() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

TEST(Server, SendsNoBodyForHead) {
  RunningServer running([](Exchange& exchange) {
    if (exchange.request().path == "/stream") {
      must(exchange.begin(200, {}));
      must(exchange.write("text"));
      must(exchange.finish());
    } else {
      must(exchange.respond(200, {}, "text"));
    }
  });
  RawClient client(running);
  client.say(
      "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string all = client.rest();
  EXPECT_THAT(all, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_THAT(all, Not(HasSubstr("text")));
}

TEST(Server, ContinuesOnlyWhenTheBodyIsWanted) {
  RunningServer running([](Exchange& exchange) {
    if (exchange.request().path == "/no")
      (void)exchange.respond(403, {}, "no");
    else
      echo(exchange);
  });
  RawClient wanted(running);
  wanted.say("PUT /yes HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(wanted.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  wanted.say("body");
  EXPECT_THAT(wanted.until("body"), HasSubstr("PUT /yes body"));

  RawClient unwanted(running);
  unwanted.say("PUT /no HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  std::string answer = unwanted.rest();  // and the connection closes: the body may come or not
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
}

TEST(Server, DrainsASmallBodyThatWasNotRead) {
  RunningServer running([](Exchange& exchange) { (void)exchange.respond(200, {}, exchange.request().path); });
  RawClient client(running);
  client.say(
      "POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
      "GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string all = client.rest();
  EXPECT_EQ(occurrences(all, "HTTP/1.1 "), 2u);
  EXPECT_THAT(all, testing::EndsWith("/2"));
}

TEST(Server, ClosesAfterALargeBodyThatWasNotRead) {
  RunningServer running([](Exchange& exchange) { (void)exchange.respond(200, {}, "enough"); });
  RawClient client(running);
  client.say("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n").say(std::string(100000, 'x'));
  std::string answer = client.rest();
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("enough"));
}

TEST(Server, RefusesABodyOverTheLimit) {
  RunningServer running([](Exchange& exchange) {
    Result<std::string> body = exchange.read_body_whole(10);
    ASSERT_FALSE(body);
    EXPECT_EQ(body.error().kind, ErrorKind::invalid);
    (void)exchange.respond(413, {}, "");
  });
  EXPECT_EQ(must(running.client().request("POST", "/", {}, "more than ten bytes")).status, 413);
  bool sent = false;
  EXPECT_EQ(must(running.client().request("POST", "/", {}, BodySource([&](std::span<char> buffer) {
                                            return std::exchange(sent, true)
                                                       ? 0
                                                       : (buffer[0] = 'x', std::size_t{20});
                                          })))
                .status,
            413);
}

TEST(Server, AnswersForHandlersThatThrowOrForget) {
  RunningServer running([](Exchange& exchange) {
    if (exchange.request().path == "/throw") throw std::runtime_error("oh");
  });
  Client client = running.client();
  EXPECT_EQ(must(client.request("GET", "/throw")).status, 500);
  EXPECT_EQ(must(client.request("GET", "/forget")).status, 500);
}

TEST(Server, RefusesASecondAnswer) {
  RunningServer running([](Exchange& exchange) {
    must(exchange.respond(200, {}, "one"));
    EXPECT_FALSE(exchange.respond(200, {}, "two"));
    EXPECT_FALSE(exchange.begin(200, {}));
    EXPECT_FALSE(exchange.hijack(200, {}));
    EXPECT_TRUE(exchange.responded());
  });
  EXPECT_EQ(must(must(running.client().request("GET", "/")).read_whole(10)), "one");
}

TEST(Server, RefusesToSendAHeaderThatWouldForgeAnother) {
  RunningServer running([](Exchange& exchange) {
    EXPECT_FALSE(exchange.respond(200, {{"X", "a\r\nSet-Cookie: b"}}, ""));
    EXPECT_FALSE(exchange.respond(200, {{"X:\n", "a"}}, ""));
    EXPECT_FALSE(exchange.responded());
    (void)exchange.respond(200, {}, "fine");
  });
  EXPECT_EQ(must(must(running.client().request("GET", "/")).read_whole(10)), "fine");
}

TEST(Server, ClosesAfterHttp10) {
  RunningServer running([](Exchange& exchange) {
    must(exchange.begin(200, {}));
    must(exchange.write("old"));
    must(exchange.finish());
  });
  RawClient client(running);
  client.say("GET / HTTP/1.0\r\n\r\n");
  std::string answer = client.rest();
  EXPECT_THAT(answer, Not(HasSubstr("chunked")));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\nold"));
}

TEST(Server, GivesTheSocketAwayWithHalfCloseAndLeftover) {
  std::atomic<int> descriptor_after = 0;
  RunningServer running([&](Exchange& exchange) {
    HijackedConnection taken = must(exchange.hijack(101, {{"Connection", "Upgrade"}, {"Upgrade", "tcp"}}));
    descriptor_after = exchange.connection_descriptor();
    std::string all = taken.leftover + must(read_to_end(taken.socket.get(), 1000));
    must(write_all(taken.socket.get(), "got " + all));
  });
  RawClient client(running);
  client.say("POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ");
  EXPECT_THAT(client.until("\r\n\r\n"),
              StartsWith("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp"));
  client.say("late").end();
  EXPECT_EQ(client.rest(), "got early late");
  EXPECT_EQ(descriptor_after, -1);
}

TEST(Server, RefusesToGiveAConnectionAwayWithinItsBody) {
  RunningServer running([&](Exchange& exchange) {
    EXPECT_FALSE(exchange.hijack(200, {}));
    (void)exchange.respond(400, {}, "");
  });
  EXPECT_EQ(must(running.client().request("POST", "/", {}, "body")).status, 400);
}

TEST(Server, ShowsAnEarlyHangUpToAWaitingHandler) {
  std::latch waiting(1), seen(1);
  RunningServer running([&](Exchange& exchange) {
    must(exchange.begin(200, {}));
    EXPECT_FALSE(exchange.hung_up());
    waiting.count_down();
    pollfd polled{exchange.connection_descriptor(), POLLRDHUP, 0};
    EXPECT_EQ(poll(&polled, 1, 10000), 1);
    EXPECT_TRUE(exchange.hung_up());
    seen.count_down();
  });
  {
    RawClient client(running);
    client.say("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").until("\r\n\r\n");
    waiting.wait();
  }
  seen.wait();
}

TEST(Server, ServesManyConnectionsAtOnce) {
  constexpr int kConnections = 200;
  std::latch all_inside(kConnections);
  RunningServer running([&](Exchange& exchange) {
    all_inside.arrive_and_wait();  // passes only when every request runs in a thread of its own
    echo(exchange);
  });
  std::vector<RawClient> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.emplace_back(running);
    clients.back().say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  for (RawClient& client : clients) EXPECT_THAT(client.until("GET / "), HasSubstr("200 OK"));
  clients.clear();
  for (int i = 0; i < 1000 && running.server.connections() > 0; ++i) usleep(5000);
  EXPECT_EQ(running.server.connections(), 0u);
}

TEST(Server, TurnsAwayMoreConnectionsThanItsLimit) {
  RunningServer running(echo, {.connections = 1});
  RawClient first(running);
  first.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n").until("GET / ");
  EXPECT_THAT(RawClient(running).rest(), StartsWith("HTTP/1.1 503 "));
  first.say("GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(first.until("GET /again"), HasSubstr("200 OK"));
}

TEST(Server, ClosesIdleAndSlowConnections) {
  using namespace std::chrono_literals;
  RunningServer running(echo, {.head_timeout = 50ms, .idle_timeout = 50ms});
  EXPECT_EQ(RawClient(running).rest(), "");
  RawClient slow(running);
  EXPECT_THAT(slow.say("GET / HTT").rest(), StartsWith("HTTP/1.1 408 "));
  RawClient dripping(running);
  std::jthread drip([&](std::stop_token stop) {
    dripping.say("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    while (!stop.stop_requested()) dripping.say("y"), usleep(5000);
  });
  EXPECT_THAT(dripping.rest(), StartsWith("HTTP/1.1 408 "));
}

TEST(Server, ThreadsAreUsedAgainAndFewAreSpare) {
  auto threads = [] {
    std::size_t count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) count += task.exists();
    return count;
  };
  std::mutex mutex;
  std::set<std::thread::id> used;
  RunningServer running([&](Exchange& exchange) {
    std::lock_guard lock(mutex);
    used.insert(std::this_thread::get_id());
    (void)exchange.respond(200, {}, "x");
  });
  const std::size_t before = threads();
  auto ask = [](RawClient& client) {
    client.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(client.rest(), StartsWith("HTTP/1.1 200 OK\r\n"));
  };
  for (int i = 0; i < 50; ++i) {
    RawClient client(running);
    ask(client);
  }
  EXPECT_LT(used.size(), 25u);
  {
    std::deque<RawClient> together;
    for (int i = 0; i < 30; ++i) together.emplace_back(running);
    for (RawClient& client : together) ask(client);
  }
  for (int i = 0; i < 500 && threads() > before + 5; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LE(threads(), before + 5);
}

TEST(Server, StopEndsIdleConnectionsAtOnceAndLetsRequestsFinish) {
  std::latch inside(1);
  RunningServer running([&](Exchange& exchange) {
    inside.count_down();
    usleep(50000);
    echo(exchange);
  });
  RawClient idle(running), busy(running);
  busy.say("GET /busy HTTP/1.1\r\nHost: x\r\n\r\n");
  inside.wait();
  auto before = std::chrono::steady_clock::now();
  running.server.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(4));
  EXPECT_EQ(idle.rest(), "");
  std::string answer = busy.rest();
  EXPECT_THAT(answer, HasSubstr("GET /busy"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
}

TEST(Server, StopHangsUpOnHandlersThatWait) {
  std::latch inside(1);
  RunningServer running(
      [&](Exchange& exchange) {
        must(exchange.begin(200, {}));
        inside.count_down();
        pollfd polled{exchange.connection_descriptor(), POLLRDHUP, 0};
        EXPECT_EQ(poll(&polled, 1, 10000), 1);
      },
      {.stop_grace = std::chrono::milliseconds(20)});
  RawClient client(running);
  client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  inside.wait();
  running.server.stop();
  EXPECT_THAT(client.rest(), Not(HasSubstr("\r\n0\r\n")));
}

TEST(Server, CarriesOnAfterRunningOutOfDescriptors) {
  RunningServer running(echo);
  std::vector<Fd> hoard;
  RawClient client(running);
  client.say("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n").until("GET /1");
  Fd late(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  for (int copy; (copy = dup(late.get())) >= 0;) hoard.emplace_back(copy);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  running.path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(connect(late.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  usleep(20000);  // the server fails to accept
  hoard.clear();
  std::string_view request = "GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(send(late.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  EXPECT_THAT(must(read_to_end(late.get(), 10000)), HasSubstr("GET /2"));
}

// Each of these has made two parties disagree about where a request ends or what it says.
class HostileRequest : public testing::TestWithParam<const char*> {};

TEST_P(HostileRequest, IsRefusedAndEndsTheConnection) {
  RunningServer running([](Exchange& exchange) {
    Result<std::string> body = exchange.read_body_whole(1000);
    if (!body)
      (void)exchange.respond(400, {}, body.error().message);
    else
      (void)exchange.respond(200, {}, "fooled");
  });
  RawClient client(running);
  std::string answer = client.say(GetParam()).say("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n").end().rest();
  EXPECT_THAT(answer, testing::AnyOf(StartsWith("HTTP/1.1 400 "), StartsWith("HTTP/1.1 501 ")));
  EXPECT_EQ(occurrences(answer, "HTTP/1.1 "), 1u) << answer;
}

#define HEAD "POST / HTTP/1.1\r\nHost: x\r\n"
INSTANTIATE_TEST_SUITE_P(
    Http, HostileRequest,
    testing::Values(
        HEAD "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        HEAD "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        HEAD "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", HEAD "Content-Length: 3, 3\r\n\r\nabc",
        HEAD "Content-Length: +3\r\n\r\nabc", HEAD "Content-Length: -1\r\n\r\nabc",
        HEAD "Content-Length: 0x3\r\n\r\nabc", HEAD "Content-Length: 99999999999999999999\r\n\r\nabc",
        HEAD "Content-Length:\r\n\r\n", HEAD "Transfer-Encoding: identity\r\n\r\n",
        HEAD "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", HEAD "Content-Length : 3\r\n\r\nabc",
        HEAD "X: a\r\n Content-Length: 3\r\n\r\nabc", HEAD "X: a\nContent-Length: 3\r\n\r\nabc",
        HEAD ": empty\r\n\r\n", HEAD "no colon\r\n\r\n", HEAD "X: a\rb\r\n\r\n", HEAD "Host: y\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", HEAD "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\r\nHost: x\r\n\r\n", "GET x HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x01", "\n", "get\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n"));

TEST(Server, RefusesHeadsThatAreTooLong) {
  RunningServer running(echo);
  RawClient bytes(running);
  std::string answer = bytes.say("GET /" + std::string(70000, 'x')).rest();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 431 "));
  RawClient fields(running);
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 100; ++i) head += "X: y\r\n";
  EXPECT_THAT(fields.say(head + "\r\n").rest(), StartsWith("HTTP/1.1 431 "));
}

TEST(Server, AcceptsATargetWithSchemeAndAuthority) {
  RunningServer running(echo);
  RawClient client(running);
  client.say("GET http://example.com/p?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.rest(), HasSubstr("GET /p "));
}

TEST(Listener, BindsAndReplacesAndRefuses) {
  TemporaryDirectory directory = must(TemporaryDirectory::create("http"));
  std::string path = directory.path() + "/s";
  {
    Listener listener = must(listen_unix(path, 0660, 42));
    struct stat info;
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0660u);
    EXPECT_EQ(info.st_gid, 42u);
    Result<Listener> second = listen_unix(path, 0660);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::conflict);
  }
  EXPECT_TRUE(listen_unix(path, 0600));  // the one before is gone
}

TEST(Listener, LeavesAFileThatIsNotASocketAlone) {
  TemporaryDirectory directory = must(TemporaryDirectory::create("http"));
  Fd parent = must(open_file(directory.path(), O_RDONLY | O_DIRECTORY));
  must(write_file_atomically(parent.get(), "f", "precious", 0600, Durability::visible));
  EXPECT_FALSE(listen_unix(directory.path() + "/f", 0600));
  EXPECT_EQ(must(read_file(directory.path() + "/f")), "precious");
}

TEST(Listener, BindsAndConnectsPathsOfAnyLength) {
  TemporaryDirectory directory = must(TemporaryDirectory::create("http"));
  std::string deep = directory.path();
  for (int i = 0; i < 5; ++i) deep += "/" + std::string(50, 'd');
  must(make_directories(deep, 0700));
  Server server;
  std::vector<Listener> listeners;
  listeners.push_back(must(listen_unix(deep + "/socket", 0600)));
  must(server.start(std::move(listeners), echo));
  Client client(must(Endpoint::parse("unix://" + deep + "/socket")));
  EXPECT_EQ(must(must(client.request("GET", "/x")).read_whole(100)), "GET /x ");
}

TEST(Listener, AdoptsOnlyWhatListens) {
  std::pair<Fd, Fd> pair = must(make_socket_pair(SOCK_STREAM));
  EXPECT_FALSE(adopt_listener(std::move(pair.first)));
  Listener bound = must(listen_tcp("127.0.0.1", 0));
  std::uint16_t port = port_of(bound);
  std::vector<Listener> listeners;
  listeners.push_back(must(adopt_listener(std::move(bound.socket))));
  Server server;
  must(server.start(std::move(listeners), echo));
  Client client(must(Endpoint::parse("tcp://127.0.0.1:" + std::to_string(port))));
  EXPECT_EQ(must(must(client.request("GET", "/x")).read_whole(100)), "GET /x ");
}

}  // namespace
}  // namespace berth::http
