// SPDX-License-Identifier: Apache-2.0
// A pull-through cache in front of an upstream that each test makes misbehave. Patience that is not the
// test's subject is of minutes, so that whatever else ends a wait shows.
#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "http/client.h"
#include "http/server.h"
#include "oci/manifest.h"
#include "registryd/registry.h"

namespace berth::registryd {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Got {
  int status = 0;
  http::Headers headers;
  std::optional<std::string> body;  // nothing: it was cut
};

class CacheTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = TemporaryDirectory::create("berth-cache").value();
    std::vector<http::Listener> listeners;
    listeners.push_back(http::listen_tcp("127.0.0.1", 0).value());
    settings_.proxy = {.remote_url = fmt::format("http://127.0.0.1:{}", http::port_of(listeners.front())),
                       .patience = {.silence = 10min, .document = 10min, .window = 10min}};
    ASSERT_TRUE(upstream_.start(std::move(listeners), [this](http::Exchange& exchange) {
      {
        std::lock_guard lock(mutex_);
        asked_.push_back(exchange.request().method + " " + exchange.request().path);
      }
      answer_(exchange);
    }));
    settings_.root_directory = directory_->path() + "/data";
    settings_.address = "127.0.0.1:0";
    settings_.access_log = false;
    settings_.drain_timeout = 1s;
  }
  void TearDown() override { over_ = true; }

  void start() {
    registry_.reset();
    registry_ = Registry::open(settings_).value();
    Result<void> started = registry_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  http::Client client() const {
    return http::Client(http::Endpoint::parse(fmt::format("http://127.0.0.1:{}", registry_->port())).value());
  }
  Got ask(std::string_view method, const std::string& target, http::Headers headers = {}) {
    http::Client client = this->client();
    Result<http::Response> response = client.request(method, target, std::move(headers));
    if (!response) return {0, {}, response.error().message};
    Result<std::string> text = response->read_whole(64 << 20);
    return {response->status, response->headers, text ? std::optional(*text) : std::nullopt};
  }
  // Asks in the background and leaves at the end of the returned.
  std::jthread ask_and_wait(const std::string& target) {
    return std::jthread([this, target](const std::stop_token& stop) {
      http::Client client = this->client();
      Result<http::Response> response = client.request("GET", target, {}, {}, stop);
      char buffer[100];
      while (response && response->read(buffer, 10min, stop).value_or(0) > 0) {
      }
    });
  }
  std::vector<std::string> asked() {
    std::lock_guard lock(mutex_);
    return asked_;
  }
  // Says nothing until the other side goes.
  void be_silent(http::Exchange& exchange) {
    ++silent_;
    while (!over_ && !exchange.hung_up()) std::this_thread::sleep_for(10ms);
    --silent_;
  }
  void drip(http::Exchange& exchange, std::string_view size) {
    ++silent_;
    if (exchange.begin(200, {{"Content-Length", std::string(size)}}))
      while (!over_ && exchange.write("x")) std::this_thread::sleep_for(20ms);
    --silent_;
  }
  template <class Condition>
  static bool eventually(const Condition& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  bool is_waiting() const { return silent_ > 0; }

  static std::string blob_of(std::string_view text) { return "/v2/a/blobs/" + sha256_of(text).text(); }
  static std::string manifest() {
    return fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{}","size":2}},"layers":[]}})",
        oci::media_type::kManifest, sha256_of("{}").text());
  }

  std::optional<TemporaryDirectory> directory_;
  Settings settings_;
  std::function<void(http::Exchange&)> answer_;
  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::atomic<int> silent_ = 0;
  std::atomic<bool> over_ = false;
  http::Server upstream_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(CacheTest, NamesThatAreNoTagsAreNotPassedOn) {
  answer_ = [](http::Exchange& exchange) {
    (void)exchange.respond(200, {}, R"({"tags":["a\r\nX-Evil: 1","b","c"]})");
  };
  start();
  const Got got = ask("GET", "/v2/a/tags/list?n=1");
  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(*got.body, HasSubstr(R"("tags":["b"])"));
  EXPECT_FALSE(got.headers.has("X-Evil"));
}

TEST_F(CacheTest, ManifestsAndTagsThatDripAreGivenUp) {
  settings_.proxy->patience.document = 300ms;
  answer_ = [this](http::Exchange& exchange) { drip(exchange, "1000000"); };
  start();
  EXPECT_EQ(ask("GET", "/v2/a/manifests/1").status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/tags/list").status, 404);
  EXPECT_TRUE(eventually([&] { return !is_waiting(); }));
}

TEST_F(CacheTest, ClientsThatLeaveAreNotAskedFor) {
  answer_ = [this](http::Exchange& exchange) {
    if (exchange.request().path.ends_with("/drip")) return drip(exchange, "1000000");
    be_silent(exchange);
  };
  start();
  for (const char* target : {"/v2/a/manifests/1", "/v2/a/manifests/drip", "/v2/a/tags/list"}) {
    std::jthread client = ask_and_wait(target);
    ASSERT_TRUE(eventually([&] { return is_waiting(); })) << target;
    client.request_stop();
    EXPECT_TRUE(eventually([&] { return !is_waiting(); })) << target;
  }
}

TEST_F(CacheTest, AStopDoesNotWaitForTheUpstream) {
  answer_ = [this](http::Exchange& exchange) {
    if (exchange.request().path.ends_with("/drip")) return drip(exchange, "1000000");
    be_silent(exchange);
  };
  for (const std::string& target : {std::string("/v2/a/manifests/1"), std::string("/v2/a/manifests/drip"),
                                    std::string("/v2/a/tags/list"), blob_of("x")}) {
    start();
    std::jthread client = ask_and_wait(target);
    ASSERT_TRUE(eventually([&] { return is_waiting(); })) << target;
    const auto begun = std::chrono::steady_clock::now();
    registry_->stop();
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s) << target;
    EXPECT_TRUE(eventually([&] { return !is_waiting(); })) << target;
  }
}

TEST_F(CacheTest, ABlobThatDripsIsGivenUp) {
  settings_.proxy->patience.window = 400ms;
  answer_ = [this](http::Exchange& exchange) { drip(exchange, "1000000"); };
  start();
  {
    std::jthread client = ask_and_wait(blob_of("x"));
    ASSERT_TRUE(eventually([&] { return is_waiting(); }));
  }
  EXPECT_TRUE(eventually([&] { return !is_waiting(); })) << "a fetch that nobody waits for goes on for ever";
}

TEST_F(CacheTest, AnEmptyAnswerIsNoBlob) {
  answer_ = [](http::Exchange& exchange) { (void)exchange.respond(200, {}, ""); };
  start();
  const Got wrong = ask("GET", blob_of("x"));
  EXPECT_GE(wrong.status, 500);
  EXPECT_FALSE(wrong.headers.has("ETag"));
  const Got right = ask("GET", blob_of(""));
  EXPECT_EQ(right.status, 200);
  EXPECT_EQ(right.body, "");
}

TEST_F(CacheTest, APartOfWrongBytesIsCutOffLikeTheWhole) {
  const std::string good(100'000, 'g'), bad(100'000, 'b');
  // With a pause before the end, so that answers have begun by then.
  answer_ = [&](http::Exchange& exchange) {
    (void)exchange.begin(200, {{"Content-Length", std::to_string(bad.size())}});
    (void)exchange.write(std::string_view(bad).substr(1));
    std::this_thread::sleep_for(200ms);
    (void)exchange.write("b");
  };
  start();
  for (const char* range : {"bytes=0-99", "bytes=5-5", "bytes=50000-", "bytes=-1", ""}) {
    const Got got = ask("GET", blob_of(good), {{"Range", range}});
    if (got.status >= 500) continue;  // on a slow machine
    EXPECT_EQ(got.body, std::nullopt) << range << got.status;
    EXPECT_EQ(got.headers.get_or("Cache-Control", ""), "no-store");
  }
}

TEST_F(CacheTest, APartOfRightBytesComes) {
  const std::string good(100'000, 'g');
  answer_ = [&](http::Exchange& exchange) { (void)exchange.respond(200, {}, good); };
  for (const char* range : {"bytes=0-99", "bytes=5-5", "bytes=50000-", "bytes=-1"}) {
    ASSERT_TRUE(remove_tree(settings_.root_directory));
    start();
    const Got got = ask("GET", blob_of(good), {{"Range", range}});
    EXPECT_EQ(got.status, 206) << range;
    ASSERT_TRUE(got.body) << range;
    EXPECT_EQ(std::to_string(got.body->size()), got.headers.get_or("Content-Length", "")) << range;
  }
  EXPECT_EQ(ask("GET", blob_of(good)).headers.get_or("Cache-Control", ""), "max-age=31536000");
}

TEST_F(CacheTest, WhetherThereIsABlobIsAskedAndNotFetched) {
  answer_ = [](http::Exchange& exchange) {
    if (exchange.request().path != blob_of("there")) return (void)exchange.respond(404, {}, "");
    (void)exchange.respond(200, {}, "there");
  };
  start();
  const Got head = ask("HEAD", blob_of("there"));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.get_or("Content-Length", ""), "5");
  EXPECT_EQ(ask("HEAD", blob_of("missing")).status, 404);
  const std::string tag = "\"" + sha256_of("there").text() + "\"";
  EXPECT_EQ(ask("GET", blob_of("there"), {{"If-None-Match", tag}}).status, 304);
  EXPECT_THAT(asked(), Not(Contains(HasSubstr("GET"))));
}

TEST_F(CacheTest, AHeadThatAnObjectStoreRefusesSaysThatThereIsABlob) {
  answer_ = [](http::Exchange& exchange) {
    if (exchange.request().path == "/signed") return (void)exchange.respond(403, {}, "only GET is signed");
    (void)exchange.respond(307, {{"Location", "/signed"}}, "");
  };
  start();
  const Got head = ask("HEAD", blob_of("there"));
  EXPECT_EQ(head.status, 200);
  EXPECT_FALSE(head.headers.has("Content-Length"));
}

TEST_F(CacheTest, WhatAKilledProcessWasFetchingIsSweptAtTheStart) {
  answer_ = [](http::Exchange& exchange) { (void)exchange.respond(404, {}, ""); };
  const std::string ingest = settings_.root_directory + "/blobs/ingest";
  start();
  registry_.reset();
  std::ofstream(ingest + "/proxy-" + sha256_of("x").hex() + "-0123456789ab.part") << "part";
  std::ofstream(ingest + "/0123456789abcdef.part") << "a client's";
  start();
  EXPECT_THAT(list_directory(ingest).value(), ElementsAre("0123456789abcdef.part"));
}

TEST_F(CacheTest, AnUpstreamThatKeptOneWaitingIsNotWaitedForAgainAtOnce) {
  std::atomic<bool> away = false;
  answer_ = [&](http::Exchange& exchange) {
    if (away) return be_silent(exchange);
    (void)exchange.respond(200, {{"Content-Type", std::string(oci::media_type::kManifest)}}, manifest());
  };
  settings_.proxy->patience = {.silence = 400ms, .slow = 200ms, .away = 10min};
  start();
  ASSERT_EQ(ask("GET", "/v2/a/manifests/1").status, 200);
  away = true;
  EXPECT_EQ(ask("GET", "/v2/a/manifests/1").body, manifest());
  const std::size_t before = asked().size();
  EXPECT_EQ(ask("GET", "/v2/a/manifests/1").body, manifest());
  EXPECT_THAT(*ask("GET", "/v2/a/tags/list").body, HasSubstr(R"("tags":["1"])"));
  EXPECT_EQ(asked().size(), before);
  away = false;  // what is not here is worth asking for, and an answer tells that it is back
  EXPECT_EQ(ask("GET", "/v2/a/manifests/2").status, 200);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/1").status, 200);
  EXPECT_EQ(asked().size(), before + 2);
}

}  // namespace
}  // namespace berth::registryd
