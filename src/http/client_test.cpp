// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "http/http_test.h"

namespace berth::http {
namespace {

using testing::HasSubstr;

// A server that plays back scripted answers, one a connection in the order they connect.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> answers)
      : directory_(must(TemporaryDirectory::create("http"))),
        listener_(must(listen_unix(directory_.path() + "/s", 0600))),
        thread_([this, answers] {
          for (const std::string& answer : answers) {
            pollfd polled{listener_.socket.get(), POLLIN, 0};
            if (poll(&polled, 1, 10000) != 1) return;
            Fd socket(accept4(listener_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
            std::string seen;
            char buffer[1000];
            while (seen.find("\r\n\r\n") == std::string::npos) {
              ssize_t got = recv(socket.get(), buffer, sizeof buffer, 0);
              if (got <= 0) break;
              seen.append(buffer, static_cast<std::size_t>(got));
            }
            (void)!send(socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
          }
        }) {}
  Client client() const { return Client(must(Endpoint::parse("unix://" + directory_.path() + "/s"))); }

 private:
  TemporaryDirectory directory_;
  Listener listener_;
  std::jthread thread_;
};

TEST(Client, KeepsItsConnection) {
  std::mutex mutex;
  std::set<int> descriptors;
  RunningServer running([&](Exchange& exchange) {
    std::lock_guard lock(mutex);
    descriptors.insert(exchange.connection_descriptor());
    echo(exchange);
  });
  Client client = running.client();
  for (int i = 0; i < 5; ++i) {
    Response response = must(client.request("POST", "/p", {}, "text"));
    EXPECT_EQ(must(response.read_whole(100)), "POST /p text");
  }
  EXPECT_EQ(descriptors.size(), 1u);
  EXPECT_EQ(running.server.connections(), 1u);
}

TEST(Client, ReopensAConnectionThatTheServerClosed) {
  RunningServer running(echo, {.idle_timeout = std::chrono::milliseconds(10)});
  Client client = running.client();
  EXPECT_EQ(must(must(client.request("POST", "/1")).read_whole(100)), "POST /1 ");
  while (running.server.connections() > 0) usleep(1000);
  EXPECT_EQ(must(must(client.request("POST", "/2")).read_whole(100)), "POST /2 ");
}

TEST(Client, SendsChunkedBodiesFromASource) {
  RunningServer running([](Exchange& exchange) {
    EXPECT_EQ(exchange.request().headers.get_or("Transfer-Encoding", ""), "chunked");
    std::size_t total = 0;
    char buffer[5000];
    while (std::size_t got = must(exchange.read_body(buffer))) total += got;
    (void)exchange.respond(200, {}, std::to_string(total));
  });
  int left = 50;
  BodySource source = [&](std::span<char> buffer) -> Result<std::size_t> {
    if (left-- == 0) return 0;
    std::fill(buffer.begin(), buffer.end(), 'x');
    return buffer.size();
  };
  Client client = running.client();
  EXPECT_EQ(must(must(client.request("PUT", "/", {}, source)).read_whole(100)), std::to_string(50 * 65536));
}

TEST(Client, ReportsTheErrorOfItsSource) {
  RunningServer running(echo);
  Client client = running.client();
  BodySource source = [](std::span<char>) -> Result<std::size_t> {
    return fail(ErrorKind::not_found, "no such context");
  };
  Result<Response> response = client.request("PUT", "/", {}, source);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, ErrorKind::not_found);
  EXPECT_THAT(response.error().message, HasSubstr("no such context"));
  EXPECT_EQ(must(must(client.request("GET", "/again")).read_whole(100)), "GET /again ");
}

TEST(Client, PrefersAnEarlyAnswerToItsBrokenUpload) {
  RunningServer running([](Exchange& exchange) { (void)exchange.respond(409, {}, "taken"); });
  Client client = running.client();
  int left = 100;
  BodySource source = [&](std::span<char> buffer) -> Result<std::size_t> {
    return left-- == 0 ? 0 : buffer.size();
  };
  Response response = must(client.request("PUT", "/", {}, source));
  EXPECT_EQ(response.status, 409);
  EXPECT_EQ(must(response.read_whole(100)), "taken");
}

TEST(Client, LeavesAnUnreadAnswerBehindAndStartsAfresh) {
  std::atomic<bool> hung_up = false;
  RunningServer running([&](Exchange& exchange) {
    if (exchange.request().path != "/stream") return echo(exchange);
    must(exchange.begin(200, {}));
    must(exchange.write("x"));
    pollfd polled{exchange.connection_descriptor(), POLLRDHUP, 0};
    hung_up = poll(&polled, 1, 10000) == 1;
  });
  Client client = running.client();
  {
    Response stream = must(client.request("GET", "/stream"));
    EXPECT_EQ(must(must(client.request("GET", "/x")).read_whole(100)), "GET /x ");
    char byte;
    EXPECT_EQ(must(stream.read(std::span(&byte, 1))), 1u);  // and the stream goes on beside it
  }
  while (!hung_up) usleep(1000);
}

TEST(Client, UpgradesWithHalfCloseAndLeftover) {
  RunningServer running([](Exchange& exchange) {
    HijackedConnection taken = must(exchange.hijack(101, {{"Connection", "Upgrade"}, {"Upgrade", "tcp"}}));
    must(write_all(taken.socket.get(), "hello "));
    must(write_all(taken.socket.get(), must(read_to_end(taken.socket.get(), 1000))));
  });
  Client client = running.client();
  auto answer = must(client.upgrade("POST", "/attach", "tcp"));
  ASSERT_TRUE(std::holds_alternative<Upgraded>(answer));
  Upgraded& upgraded = std::get<Upgraded>(answer);
  EXPECT_EQ(upgraded.status, 101);
  must(write_all(upgraded.socket.get(), "echo"));
  ::shutdown(upgraded.socket.get(), SHUT_WR);
  EXPECT_EQ(upgraded.leftover + must(read_to_end(upgraded.socket.get(), 100)), "hello echo");
}

TEST(Client, UpgradesOnAPlain200AndReportsARefusal) {
  ScriptedServer scripted({"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nraw",
                           "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"});
  Client client = scripted.client();
  auto taken = must(client.upgrade("POST", "/attach", "tcp"));
  ASSERT_TRUE(std::holds_alternative<Upgraded>(taken));
  Upgraded& upgraded = std::get<Upgraded>(taken);
  EXPECT_EQ(upgraded.leftover + must(read_to_end(upgraded.socket.get(), 100)), "raw");
  auto refused = must(client.upgrade("POST", "/attach", "tcp"));
  ASSERT_TRUE(std::holds_alternative<Response>(refused));
  EXPECT_EQ(must(std::get<Response>(refused).read_whole(100)), "no");
}

TEST(Client, ReadsBodiesThatEndWithTheConnectionAndSkipsInterimHeads) {
  ScriptedServer scripted({"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end"});
  Client client = scripted.client();
  EXPECT_EQ(must(must(client.request("GET", "/")).read_whole(100)), "to the end");
}

TEST(Client, FindsBrokenAnswers) {
  ScriptedServer scripted(
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "SSH-2.0-OpenSSH_9.2\r\n\r\n", ""});
  Client client = scripted.client();
  EXPECT_FALSE(must(client.request("GET", "/")).read_whole(100));
  EXPECT_FALSE(must(client.request("GET", "/")).read_whole(100));
  for (int i = 0; i < 3; ++i) {
    Result<Response> response = client.request("GET", "/");
    ASSERT_FALSE(response);
    EXPECT_THAT(response.error().message, HasSubstr(client.endpoint().text));
  }
}

TEST(Client, GivesUpOnAServerThatIsSilent) {
  RunningServer running([](Exchange& exchange) {
    pollfd polled{exchange.connection_descriptor(), POLLRDHUP, 0};
    poll(&polled, 1, 10000);
  });
  Client client = running.client();
  client.set_head_timeout(std::chrono::milliseconds(20));
  Result<Response> response = client.request("GET", "/");
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, ErrorKind::timeout);
}

// What is begun is stopped after a moment, and must end long before its own limits, which are of 30 s.
template <class Begin>
void expect_stop_to_end(const Begin& begin) {
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stop.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  const std::optional<ErrorKind> failure = begin(stop.get_token());
  EXPECT_EQ(failure, ErrorKind::cancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

std::optional<ErrorKind> kind_of(const Result<Response>& response) {
  return response ? std::nullopt : std::optional(response.error().kind);
}

TEST(Client, AStopEndsConnecting) {
  // A queue of one that is full: the kernel drops what else asks, which asks again and again.
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener.get(), 0), 0);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::uint16_t port = ntohs(address.sin_port);
  std::vector<Fd> queued;
  for (int i = 0; i < 4; ++i) {
    queued.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(queued.back().get(), reinterpret_cast<sockaddr*>(&address), size);
  }
  Client client(must(Endpoint::parse(fmt::format("http://127.0.0.1:{}", port))));
  expect_stop_to_end(
      [&](const std::stop_token& stop) { return kind_of(client.request("GET", "/", {}, {}, stop)); });
}

TEST(Client, AStopEndsATlsHandshakeAndAProxysAnswer) {
  const Listener silent = must(listen_tcp("127.0.0.1", 0));
  Endpoint endpoint = must(Endpoint::parse(fmt::format("https://127.0.0.1:{}", port_of(silent))));
  for (bool through_proxy : {false, true}) {
    if (through_proxy) endpoint.proxy = Proxy{.host = "127.0.0.1", .port = port_of(silent)};
    Client client(endpoint);
    expect_stop_to_end(
        [&](const std::stop_token& stop) { return kind_of(client.request("GET", "/", {}, {}, stop)); });
  }
}

TEST(Client, AStopEndsAReadOfTheBody) {
  for (const char* framing : {"Content-Length", "Connection"}) {  // whose end is told, and is the hang-up
    RunningServer running([&](Exchange& exchange) {
      (void)exchange.begin(200, {{framing, framing == std::string("Connection") ? "close" : "100"}});
      (void)exchange.write("x");
      while (!exchange.hung_up()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    });
    Client client = running.client();
    Response response = must(client.request("GET", "/"));
    char buffer[10];
    ASSERT_EQ(must(response.read(buffer)), 1u);
    expect_stop_to_end([&](const std::stop_token& stop) -> std::optional<ErrorKind> {
      Result<std::size_t> got = response.read(buffer, std::chrono::seconds(30), stop);
      return got ? std::nullopt : std::optional(got.error().kind);
    });
  }
}

TEST(Client, NamesTheEndpointThatIsNotThere) {
  Client client(must(Endpoint::parse("unix:///nonexistent/berth.sock")));
  Result<Response> response = client.request("GET", "/");
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, HasSubstr("unix:///nonexistent/berth.sock"));
}

TEST(Endpoint, ParsesWhatDockerHostMayHold) {
  Endpoint unix_one = must(Endpoint::parse("unix:///run/x.sock"));
  EXPECT_EQ(unix_one.unix_path, "/run/x.sock");
  Endpoint tcp = must(Endpoint::parse("tcp://[::1]:77/prefix/"));
  EXPECT_EQ(tcp.host, "::1");
  EXPECT_EQ(tcp.port, 77);
  EXPECT_EQ(tcp.base_path, "/prefix");
  EXPECT_FALSE(tcp.tls);
  EXPECT_EQ(must(Endpoint::parse("tcp://h")).port, 2375);
  EXPECT_EQ(must(Endpoint::parse("tcp://h", TlsClientSettings{})).port, 2376);
  EXPECT_TRUE(must(Endpoint::parse("https://h")).tls);
  EXPECT_EQ(must(Endpoint::parse("http://:80")).host, "127.0.0.1");
  for (const char* bad : {"/run/x.sock", "unix://", "tcp://h:99999", "tcp://h:0", "tcp://h:x", "tcp://[::1",
                          "tcp://[::1]x", "npipe:////./pipe/x", "://h", ""})
    EXPECT_FALSE(Endpoint::parse(bad)) << bad;
}

}  // namespace
}  // namespace berth::http
