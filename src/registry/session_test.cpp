// SPDX-License-Identifier: Apache-2.0
// Against real servers on loopback that say what each test wants them to.
#include "registry/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "base/text.h"
#include "http/listener.h"
#include "http/server.h"
#include "registry/lookup.h"

namespace berth::registry {
namespace {

using testing::HasSubstr;

class FakeRegistry {
 public:
  using Answer = std::function<void(http::Exchange&)>;
  explicit FakeRegistry(Answer answer) : answer_(std::move(answer)) {
    http::Listener listener = std::move(*http::listen_tcp("127.0.0.1", 0, nullptr));
    host = fmt::format("127.0.0.1:{}", http::port_of(listener));
    std::vector<http::Listener> listeners;
    listeners.push_back(std::move(listener));
    Result<void> started = server_.start(std::move(listeners), [this](http::Exchange& exchange) {
      {
        std::lock_guard lock(mutex_);
        seen.push_back(exchange.request().method + " " + exchange.request().path);
        authorizations.emplace_back(exchange.request().headers.get_or("Authorization", ""));
      }
      if (exchange.request().path == "/v2/" && !guards_ping) return (void)exchange.respond(200, {}, "{}");
      answer_(exchange);
    });
    EXPECT_TRUE(started);
  }
  Endpoint endpoint() const {
    return {.host = host, .repository = "t/bb", .scheme = "http", .insecure = true};
  }
  std::string host;
  bool guards_ping = false;
  std::vector<std::string> seen;
  std::vector<std::string> authorizations;

 private:
  Answer answer_;
  std::mutex mutex_;
  http::Server server_;
};

Settings quick() {
  Settings settings;
  settings.patience = std::chrono::milliseconds(1500);
  settings.attempts = 3;
  return settings;
}

std::unique_ptr<Session> open(const FakeRegistry& registry, const Credentials& credentials = {}) {
  Result<std::unique_ptr<Session>> session = Session::open(registry.endpoint(), quick(), credentials, "pull");
  if (!session) throw std::runtime_error(session.error().message);
  return *std::move(session);
}

oci::Descriptor descriptor_of(const std::string& bytes) {
  return {.media_type = "x", .digest = sha256_of(bytes), .size = static_cast<std::int64_t>(bytes.size())};
}

std::string random_bytes(std::size_t size) {
  std::string bytes(size, 0);
  unsigned state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1103515245 + 12345) >> 16);
  return bytes;
}

// Promises the whole and hangs up after `count` bytes.
void send_cut(http::Exchange& exchange, const std::string& bytes, std::size_t count) {
  (void)exchange.begin(200, {{"Content-Length", std::to_string(bytes.size())}});
  (void)exchange.write(std::string_view(bytes).substr(0, count));
}

TEST(Session, ACutDownloadGoesOnWhereItWas) {
  const std::string bytes = random_bytes(1 << 20);
  int requests = 0;
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (++requests == 1) return send_cut(exchange, bytes, 300'000);
    EXPECT_EQ(exchange.request().headers.get_or("Range", "").substr(0, 6), "bytes=");
    const auto from = parse_integer<std::size_t>(
        split_once(exchange.request().headers.get_or("Range", "").substr(6), '-').first);
    (void)exchange.respond(
        206, {{"Content-Range", fmt::format("bytes {}-{}/{}", *from, bytes.size() - 1, bytes.size())}},
        bytes.substr(*from));
  });
  archive::StringSink sink;
  ASSERT_TRUE(open(registry)->blob(descriptor_of(bytes), 0, sink, {}));
  EXPECT_TRUE(sink.text() == bytes);
  EXPECT_EQ(requests, 2);
}

TEST(Session, AServerWithoutRangesIsReadAgainFromTheStart) {
  const std::string bytes = random_bytes(1 << 20);
  int requests = 0;
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (++requests == 1) return send_cut(exchange, bytes, 300'000);
    (void)exchange.respond(200, {}, bytes);
  });
  archive::StringSink sink;
  ASSERT_TRUE(open(registry)->blob(descriptor_of(bytes), 0, sink, {}));
  EXPECT_TRUE(sink.text() == bytes);
}

TEST(Session, AnotherPartThanTheOneAskedForIsRefused) {
  const std::string bytes = random_bytes(1 << 16);
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.respond(206, {{"Content-Range", "bytes 60000-65535/65536"}}, bytes.substr(60000));
  });
  archive::StringSink sink;
  Result<void> got = open(registry)->blob(descriptor_of(bytes), 100, sink, {});
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("another part"));
}

TEST(Session, DownloadsThatNeverGetFurtherEnd) {
  const std::string bytes = random_bytes(1 << 16);
  FakeRegistry registry([&](http::Exchange& exchange) { send_cut(exchange, bytes, 0); });
  archive::StringSink sink;
  Result<void> got = open(registry)->blob(descriptor_of(bytes), 0, sink, {});
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("download sha256:"));
  EXPECT_EQ(registry.seen.size(), 4u);  // the ping and three attempts
}

TEST(Session, MoreBytesThanPromisedAreRefused) {
  const std::string bytes = random_bytes(1 << 16);
  FakeRegistry registry([&](http::Exchange& exchange) { (void)exchange.respond(200, {}, bytes + "more"); });
  archive::StringSink sink;
  Result<void> got = open(registry)->blob(descriptor_of(bytes), 0, sink, {});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::corrupt);
}

TEST(Session, SilenceIsGivenUpAfterAWhile) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.begin(200, {{"Content-Length", "100"}});
    (void)exchange.write("x");
    std::this_thread::sleep_for(std::chrono::seconds(2));
  });
  Settings settings = quick();
  settings.patience = std::chrono::milliseconds(300);
  settings.attempts = 1;
  auto session = *Session::open(registry.endpoint(), settings, {}, "pull");
  archive::StringSink sink;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(session->blob(descriptor_of(std::string(100, 'x')), 1, sink, {}));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(Session, AStopIsNoticedWhileNothingComes) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.begin(200, {{"Content-Length", "100"}});
    (void)exchange.write("x");
    std::this_thread::sleep_for(std::chrono::seconds(1));
  });
  auto session = open(registry);
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop.request_stop();
  });
  archive::StringSink sink;
  Result<void> got = session->blob(descriptor_of(std::string(100, 'x')), 0, sink, stop.get_token());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::cancelled);
}

// A registry that answers /v2/, if at all, and then never to the end.
TEST(Session, AStopEndsWhateverIsAsked) {
  std::string silent_at;
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (exchange.request().path == "/v2/" && silent_at != "/v2/")
      return (void)exchange.respond(200, {}, "{}");
    if (silent_at == "body") {
      (void)exchange.begin(200, {{"Content-Length", "100"}});
      (void)exchange.write(" ");
    }
    while (!exchange.hung_up()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  });
  registry.guards_ping = true;
  Settings settings = quick();
  settings.patience = std::chrono::minutes(10);  // it is not this that ends it
  const oci::Descriptor descriptor = descriptor_of(std::string(100, 'x'));
  const oci::Reference name = *oci::Reference::parse(registry.host + "/t/bb:1");
  using Question = std::function<Result<void>(const std::stop_token&)>;
  const auto open_first = [&](auto ask) -> Question {
    return [&, ask](const std::stop_token& stop) -> Result<void> {
      auto session = TRY(Session::open(registry.endpoint(), settings, {}, "pull", stop));
      TRY(ask(*session, stop));
      return {};
    };
  };
  const std::vector<Question> questions = {
      open_first([](Session& session, const std::stop_token& stop) { return session.manifest("1", stop); }),
      open_first([](Session& session, const std::stop_token& stop) { return session.tags(stop); }),
      open_first(
          [&](Session& session, const std::stop_token& stop) { return session.document(descriptor, stop); }),
      [&](const std::stop_token& stop) -> Result<void> {
        TRY(list_tags(name, settings, {}, stop));
        return {};
      },
      [&](const std::stop_token& stop) -> Result<void> {
        TRY(describe(name, settings, {}, stop));
        return {};
      },
  };
  for (const char* where : {"/v2/", "head", "body"}) {
    silent_at = where;
    for (std::size_t i = 0; i < questions.size(); ++i) {
      std::stop_source stop;
      std::jthread stopper([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        stop.request_stop();
      });
      const auto begin = std::chrono::steady_clock::now();
      const Result<void> answered = questions[i](stop.get_token());
      ASSERT_FALSE(answered);
      EXPECT_EQ(answered.error().kind, ErrorKind::cancelled) << where << i << answered.error().message;
      EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << where << i;
    }
  }
}

TEST(Session, BurstsOfServerErrorsAreOutlasted) {
  const std::string manifest = R"({"schemaVersion":2})";
  int requests = 0;
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (++requests < 3) return (void)exchange.respond(503, {{"Retry-After", "0"}}, "");
    (void)exchange.respond(200, {{"Content-Type", "application/json"}}, manifest);
  });
  Result<FetchedDocument> got = open(registry)->manifest("1");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->bytes, manifest);
}

TEST(Session, RefusalsAreInTheRegistrysWords) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.respond(404, {},
                           R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})");
  });
  Result<FetchedDocument> got = open(registry)->manifest("nope");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::not_found);
  EXPECT_THAT(got.error().message, HasSubstr("t/bb:nope: manifest unknown"));
  EXPECT_EQ(registry.seen.size(), 2u) << "a refusal is not asked again";
}

TEST(Session, WhereALoginIsNeededIsSaidHowToLogIn) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.respond(401, {{"WWW-Authenticate", "Basic realm=\"x\""}},
                           R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})");
  });
  Result<FetchedDocument> got = open(registry)->manifest("1");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::unauthenticated);
  EXPECT_THAT(got.error().message,
              HasSubstr("authentication required; log in with: berth login " + registry.host));
  Upload upload{.open = {}, .digest = {}, .size = 1};
  Result<Uploaded> sent = open(registry)->upload(upload, {});
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().message, HasSubstr("log in with: berth login " + registry.host));
  got = open(registry, {.username = "u", .password = "wrong"})->manifest("1");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("not accepted; log in anew with: berth login " + registry.host));
}

TEST(Session, ARegistryOfPlainHttpIsToBeNamedInsecure) {
  FakeRegistry registry([&](http::Exchange&) {});
  Endpoint endpoint = registry.endpoint();
  endpoint.scheme = "https";
  endpoint.insecure = false;
  Result<std::unique_ptr<Session>> session = Session::open(endpoint, quick(), {}, "pull");
  ASSERT_FALSE(session);
  EXPECT_THAT(session.error().message,
              HasSubstr("name " + registry.host + " in \"insecure-registries\" of daemon.json"));
}

TEST(Session, AListOfTagsThatGoesOnElsewhereIsRefused) {
  FakeRegistry elsewhere(
      [&](http::Exchange& exchange) { (void)exchange.respond(200, {}, R"({"tags":["b"]})"); });
  FakeRegistry registry([&](http::Exchange& exchange) {
    const std::string link =
        fmt::format("<http://{}/v2/t/bb/tags/list?last=a>; rel=\"next\"", elsewhere.host);
    (void)exchange.respond(200, {{"Link", link}}, R"({"tags":["a"]})");
  });
  Result<std::vector<std::string>> tags = open(registry)->tags();
  ASSERT_FALSE(tags);
  EXPECT_THAT(tags.error().message, HasSubstr("another server: not followed"));
  EXPECT_TRUE(elsewhere.seen.empty());
}

TEST(Session, AManifestMustHaveTheDigestAskedFor) {
  FakeRegistry registry([&](http::Exchange& exchange) { (void)exchange.respond(200, {}, "{}"); });
  EXPECT_FALSE(open(registry)->manifest(sha256_of("other").text()));
  EXPECT_TRUE(open(registry)->manifest(sha256_of("{}").text()));
}

TEST(Session, AnEndlessManifestIsCutOff) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.begin(200, {});
    const std::string block(1 << 16, ' ');
    while (exchange.write(block)) {
    }
  });
  Result<FetchedDocument> got = open(registry)->manifest("1");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("longer than"));
}

TEST(Session, CredentialsDoNotFollowARedirectToAnotherHost) {
  FakeRegistry elsewhere([&](http::Exchange& exchange) { (void)exchange.respond(200, {}, "blob"); });
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (exchange.request().headers.get_or("Authorization", "").empty())
      return (void)exchange.respond(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, "");
    if (exchange.request().path == "/v2/") return (void)exchange.respond(200, {}, "");
    (void)exchange.respond(307, {{"Location", "http://" + elsewhere.host + "/blob"}}, "");
  });
  registry.guards_ping = true;
  archive::StringSink sink;
  Result<void> got =
      open(registry, {.username = "alice", .password = "secret"})->blob(descriptor_of("blob"), 0, sink, {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(registry.authorizations, testing::Contains(HasSubstr("Basic ")));
  EXPECT_THAT(elsewhere.authorizations, testing::ElementsAre(""));
}

TEST(Session, RedirectsInALoopEnd) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.respond(302, {{"Location", exchange.request().path}}, "");
  });
  archive::StringSink sink;
  Settings settings = quick();
  settings.attempts = 1;
  Result<void> got =
      (*Session::open(registry.endpoint(), settings, {}, "pull"))->blob(descriptor_of("x"), 0, sink, {});
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("redirects in a loop"));
}

TEST(Session, TokensAreFetchedWithTheScopeAndSent) {
  FakeRegistry* self = nullptr;
  FakeRegistry registry([&](http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    if (request.path == "/token") {
      EXPECT_EQ(request.query.get_or("scope", ""), "repository:t/bb:pull");
      EXPECT_EQ(request.query.get_or("service", ""), "reg");
      EXPECT_EQ(request.headers.get_or("Authorization", ""), "Basic " + to_base64("alice:secret"));
      return (void)exchange.respond(200, {}, R"({"token":"T0"})");
    }
    if (request.headers.get_or("Authorization", "") != "Bearer T0")
      return (void)exchange.respond(
          401, {{"WWW-Authenticate", "Bearer realm=\"http://" + self->host + "/token\",service=\"reg\""}},
          "");
    (void)exchange.respond(200, {}, "{}");
  });
  self = &registry;
  registry.guards_ping = true;
  EXPECT_TRUE(open(registry, {.username = "alice", .password = "secret"})->manifest("1"));
}

TEST(Session, ATokenServerWithoutTlsIsNotTrustedByASecureRegistry) {
  // The challenge would send the password in the clear.
  FakeRegistry* self = nullptr;
  FakeRegistry registry([&](http::Exchange& exchange) {
    (void)exchange.respond(401, {{"WWW-Authenticate", "Bearer realm=\"http://" + self->host + "/token\""}},
                           "");
  });
  self = &registry;
  registry.guards_ping = true;
  Endpoint endpoint = registry.endpoint();
  endpoint.insecure = false;
  auto session = Session::open(endpoint, quick(), {.username = "alice", .password = "secret"}, "pull");
  ASSERT_TRUE(session);
  Result<FetchedDocument> got = (*session)->manifest("1");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("without TLS"));
  EXPECT_THAT(registry.seen, testing::Not(testing::Contains("GET /token")));
}

TEST(Session, PagesOfTagsAreFollowedAndLoopsEnd) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (exchange.request().query.get_or("last", "").empty())
      return (void)exchange.respond(200, {{"Link", "</v2/t/bb/tags/list?n=1&last=b>; rel=\"next\""}},
                                    R"({"name":"t/bb","tags":["b"]})");
    (void)exchange.respond(200, {}, R"({"name":"t/bb","tags":["a"]})");
  });
  EXPECT_THAT(*open(registry)->tags(), testing::ElementsAre("a", "b"));
  FakeRegistry looping([&](http::Exchange& exchange) {
    (void)exchange.respond(200, {{"Link", "</v2/t/bb/tags/list?n=1000>; rel=\"next\""}}, R"({"tags":["b"]})");
  });
  EXPECT_FALSE(open(looping)->tags());
}

// A registry that takes uploads, and loses the connection once.
class Uploads {
 public:
  void answer(http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    if (request.method == "HEAD") return (void)exchange.respond(404, {}, "");
    if (request.method == "POST") return (void)exchange.respond(202, {{"Location", "/upload"}}, "");
    if (request.method == "GET")
      return (void)exchange.respond(
          204, {{"Location", "/upload"}, {"Range", fmt::format("0-{}", received.size() - 1)}}, "");
    if (request.method == "PATCH") {
      std::string part;
      char buffer[4096];
      for (;;) {
        Result<std::size_t> got = exchange.read_body(buffer);
        if (!got || *got == 0) break;
        part.append(buffer, *got);
        if (part.size() > 100'000 && !lost) {
          lost = true;
          received += part;
          return (void)exchange.respond(500, {{"Connection", "close"}}, "");
        }
      }
      received += part;
      return (void)exchange.respond(202, {{"Location", "/upload"}}, "");
    }
    put = request.query.get_or("digest", "");
    (void)exchange.respond(201, {}, "");
  }
  std::string received, put;
  bool lost = false;
};

TEST(Session, AnUploadThatWasCutGoesOnWhereItWas) {
  for (bool size_is_known : {true, false}) {
    const std::string bytes = random_bytes(1 << 20);
    Uploads uploads;
    FakeRegistry registry([&](http::Exchange& exchange) { uploads.answer(exchange); });
    int opened = 0;
    Upload upload;
    upload.open = [&]() -> Result<std::unique_ptr<archive::Source>> {
      ++opened;
      return std::make_unique<archive::StringSource>(bytes);
    };
    if (size_is_known) upload.size = bytes.size();
    Result<Uploaded> done = open(registry)->upload(upload, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->digest, sha256_of(bytes));
    EXPECT_EQ(uploads.put, done->digest.text());
    EXPECT_TRUE(uploads.received == bytes) << uploads.received.size();
    EXPECT_EQ(opened, 2);
  }
}

// Takes uploads and reads nothing of them, until it is let go of.
struct DeafRegistry {
  std::atomic<bool> asked = false, over = false;
  FakeRegistry registry{[this](http::Exchange& exchange) {
    const std::string& method = exchange.request().method;
    if (method == "POST") return (void)exchange.respond(202, {{"Location", "/upload/1"}}, "");
    if (method != "PATCH") return (void)exchange.respond(404, {}, "");
    asked = true;
    while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }};
  ~DeafRegistry() { over = true; }
};

Upload large_upload(const std::string& bytes) {
  return {.open = [&bytes]() -> Result<std::unique_ptr<archive::Source>> {
            return std::make_unique<archive::StringSource>(bytes);
          },
          .size = bytes.size()};
}

TEST(Session, AnUploadToARegistryThatStopsReadingEnds) {
  const std::string bytes = random_bytes(32 << 20);
  DeafRegistry deaf;
  Result<Uploaded> done = open(deaf.registry)->upload(large_upload(bytes), {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::timeout);
  EXPECT_THAT(done.error().message, HasSubstr("took no more within the time allowed"));
}

TEST(Session, ACancelledUploadDoesNotWaitForARegistryThatStopsReading) {
  const std::string bytes = random_bytes(32 << 20);
  DeafRegistry deaf;
  Settings settings = quick();
  settings.patience = std::chrono::minutes(10);  // it is not this that ends it
  Result<std::unique_ptr<Session>> session =
      Session::open(deaf.registry.endpoint(), settings, {}, "pull,push");
  ASSERT_TRUE(session);
  std::stop_source stop;
  std::thread canceller([&] {
    while (!deaf.asked) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the buffers are full by then
    stop.request_stop();
  });
  Result<Uploaded> done = (*session)->upload(large_upload(bytes), stop.get_token());
  canceller.join();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::cancelled);
}

TEST(Session, WhatTheRegistryHasIsNotSent) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (exchange.request().method == "HEAD") return (void)exchange.respond(404, {}, "");
    EXPECT_EQ(exchange.request().query.get_or("from", ""), "other/bb");
    (void)exchange.respond(201, {}, "");
  });
  Upload upload{.open = {}, .digest = sha256_of("x"), .size = 1, .mount_from = "other/bb"};
  EXPECT_EQ(open(registry)->upload(upload, {})->how, Uploaded::How::mounted);
  FakeRegistry has([&](http::Exchange& exchange) { (void)exchange.respond(200, {}, ""); });
  EXPECT_EQ(open(has)->upload(upload, {})->how, Uploaded::How::present);
}

TEST(Login, WrongCredentialsAreRefused) {
  FakeRegistry registry([&](http::Exchange& exchange) {
    if (exchange.request().headers.get_or("Authorization", "") == "Basic " + to_base64("alice:secret"))
      return (void)exchange.respond(200, {}, "");
    (void)exchange.respond(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, "");
  });
  registry.guards_ping = true;
  EXPECT_TRUE(log_in(registry.host, quick(), {.username = "alice", .password = "secret"}));
  Result<void> wrong =
      log_in("http://" + registry.host + "/v2/", quick(), {.username = "alice", .password = "no"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, ErrorKind::unauthenticated);
  EXPECT_FALSE(log_in("not a host", quick(), {}));
}

}  // namespace
}  // namespace berth::registry
