// SPDX-License-Identifier: Apache-2.0
// How long a download puts up with a registry that plays for time.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "http/server.h"
#include "registry/session.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;

class Patience : public testing::Test {
 protected:
  static constexpr std::int64_t kSize = 1 << 20;
  const std::string contents_ = std::string(kSize, 'x');

  // Answers every request for a blob by `blob`.
  void serve(std::function<void(http::Exchange&, std::uint64_t from)> blob) {
    std::vector<http::Listener> listeners;
    listeners.push_back(http::listen_tcp("127.0.0.1", 0).value());
    host_ = fmt::format("127.0.0.1:{}", http::port_of(listeners.front()));
    auto handle = [this, blob = std::move(blob)](http::Exchange& exchange) {
      if (exchange.request().path == "/v2/") return (void)exchange.respond(200, {}, "{}");
      ++requests_;
      std::string_view range = exchange.request().headers.get("Range").value_or("bytes=0-");
      range.remove_prefix(6);
      blob(exchange, std::stoull(std::string(range)));
    };
    ASSERT_TRUE(server_.start(std::move(listeners), handle));
  }

  // A part from `from` on that ends after `size` bytes, though it promised all.
  void begin_part(http::Exchange& exchange, std::uint64_t from, std::size_t size) {
    http::Headers headers{{"Content-Length", std::to_string(kSize - static_cast<std::int64_t>(from))}};
    if (from > 0) headers.add("Content-Range", fmt::format("bytes {}-{}/{}", from, kSize - 1, kSize));
    if (exchange.begin(from > 0 ? 206 : 200, headers))
      (void)exchange.write(std::string_view(contents_).substr(from, size));
  }

  Result<void> fetch(const std::stop_token& stop = {}) {
    Settings settings;
    settings.patience = 300ms;
    settings.attempts = 3;
    const Endpoint endpoint{
        .host = host_, .base_path = {}, .repository = "r", .scheme = "http", .insecure = true};
    auto session = TRY(Session::open(endpoint, settings, {}, "pull"));
    archive::StringSink sink;
    TRY(session->blob({.media_type = {}, .digest = sha256_of(contents_), .size = kSize}, 0, sink, stop));
    EXPECT_EQ(sink.text(), contents_);
    return {};
  }

  static std::chrono::milliseconds since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  }

  std::string host_;
  std::atomic<int> requests_ = 0;
  http::Server server_;
};

TEST_F(Patience, PartsThatAreCutAreProgressHoweverManyThereAre) {
  serve([&](http::Exchange& exchange, std::uint64_t from) { begin_part(exchange, from, kSize / 8 + 1); });
  const Result<void> fetched = fetch();
  EXPECT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(requests_, 8);
}

TEST_F(Patience, AFewBytesAndSilenceAreNoProgress) {
  serve([&](http::Exchange& exchange, std::uint64_t from) {
    begin_part(exchange, from, 10);
    for (int i = 0; i < 200 && !exchange.hung_up(); ++i) std::this_thread::sleep_for(10ms);
  });
  const Result<void> fetched = fetch();
  ASSERT_FALSE(fetched);
  EXPECT_EQ(requests_, 3) << "an attempt that brought ten bytes counted as progress";
}

TEST_F(Patience, ACancelledDownloadDoesNotWaitUntilItIsWelcome) {
  serve([&](http::Exchange& exchange, std::uint64_t) {
    (void)exchange.respond(503, {{"Retry-After", "20"}}, "");
  });
  std::stop_source stop;
  std::thread canceller([&] {
    while (requests_ == 0) std::this_thread::sleep_for(10ms);
    std::this_thread::sleep_for(200ms);
    stop.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(fetch(stop.get_token()));
  EXPECT_LT(since(begin), 10s);
  canceller.join();
}

}  // namespace
}  // namespace berth::registry
