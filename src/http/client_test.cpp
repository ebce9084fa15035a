// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <gmock/gmock.h>
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
