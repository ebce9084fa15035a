// SPDX-License-Identifier: Apache-2.0
// The server as a client sees it, on a loopback port of the kernel's choice. tests/registry_e2e.sh has the
// rest.
#include "registryd/registry.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "http/client.h"
#include "registryd/manifest_cache.h"
#include "registryd/manifest_facts.h"

namespace berth::registryd {
namespace {

using testing::HasSubstr;

struct Got {
  int status = 0;
  http::Headers headers;
  std::string body;
};

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = TemporaryDirectory::create("berth-registryd").value();
    settings_.root_directory = directory_->path() + "/data";
    settings_.address = "127.0.0.1:0";
    settings_.allow_delete = true;
    settings_.access_log = false;
    restart();
  }
  void restart() {
    registry_.reset();
    Result<std::unique_ptr<Registry>> opened = Registry::open(settings_);
    ASSERT_TRUE(opened) << opened.error().message;
    registry_ = std::move(*opened);
    Result<void> started = registry_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  Got ask(std::string_view method, const std::string& target, std::string_view body = {},
          http::Headers headers = {}) {
    http::Client client(http::Endpoint::parse(fmt::format("http://127.0.0.1:{}", registry_->port())).value());
    Result<http::Response> response = client.request(method, target, std::move(headers), body);
    if (!response) return {0, {}, response.error().message};
    std::string text = response->read_whole(64 << 20).value_or("(cut)");
    return {response->status, response->headers, std::move(text)};
  }
  Got push_blob(const std::string& repository, std::string_view text) {
    return ask("POST", fmt::format("/v2/{}/blobs/uploads/?digest={}", repository, sha256_of(text).text()),
               text);
  }
  static std::string manifest(std::string_view config) {
    return fmt::format(
        R"({{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}})",
        sha256_of(config).text(), config.size());
  }
  Got push(const std::string& repository, const std::string& reference, std::string_view config) {
    push_blob(repository, config);
    return ask("PUT", fmt::format("/v2/{}/manifests/{}", repository, reference), manifest(config),
               {{"Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"}});
  }
  std::string blob_file(std::string_view text) const {
    return settings_.root_directory + "/blobs/sha256/" + sha256_of(text).hex();
  }

  std::optional<TemporaryDirectory> directory_;
  Settings settings_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, PushesPullsAndForgetsNothing) {
  EXPECT_EQ(push("a/b", "v1", "{}").status, 201);
  for (int round = 0; round < 2; ++round) {
    Got got = ask("GET", "/v2/a/b/manifests/v1");
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, manifest("{}"));
    EXPECT_EQ(got.headers.get("Docker-Content-Digest"), sha256_of(got.body).text());
    EXPECT_EQ(got.headers.get("Content-Type"), "application/vnd.oci.image.manifest.v1+json");
    restart();
  }
}

TEST_F(RegistryTest, ATagMovesForReadersAtOnce) {
  push("a", "t", "{}");
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t").body, manifest("{}"));
  push("a", "t", "{\"n\":1}");
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t").body, manifest("{\"n\":1}"));
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/t").status, 202);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t").status, 404);
}

TEST_F(RegistryTest, DamagedContentIsNotServedAndHealsByAPush) {
  push("a", "t", "{}");
  const std::string text = manifest("{}");
  std::ofstream(blob_file(text)) << text.substr(1) << " ";
  restart();  // nothing cached
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t").status, 404);
  EXPECT_EQ(push("a", "t", "{}").status, 201);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t").body, text);
  std::ofstream(blob_file("{}")) << "{";
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + sha256_of("{}").text()).status, 404);
  EXPECT_EQ(push_blob("a", "{}").status, 201);
  EXPECT_EQ(ask("GET", "/v2/a/blobs/" + sha256_of("{}").text()).body, "{}");
}

TEST_F(RegistryTest, AnUploadThatBreaksOffIsGoneOnFromThere) {
  Got begun = ask("POST", "/v2/a/blobs/uploads/");
  const std::string url(begun.headers.get("Location").value());
  {
    Fd socket = http::connect_tcp("127.0.0.1", registry_->port()).value();
    ASSERT_TRUE(
        write_all(socket.get(), "PATCH " + url + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello"));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  Got state = ask("GET", url);
  EXPECT_EQ(state.status, 204);
  EXPECT_EQ(state.headers.get("Range"), "0-4");
  EXPECT_EQ(ask("PATCH", url, "world", {{"Content-Range", "5-9"}}).status, 202);
  EXPECT_EQ(ask("PUT", url + "?digest=" + sha256_of("helloworld").text()).status, 201);
}

TEST_F(RegistryTest, GarbageGoesThroughTheServerThatRuns) {
  push("a", "t", "{}");
  ask("DELETE", "/v2/a/manifests/" + sha256_of(manifest("{}")).text());
  std::vector<std::string> said;
  Result<void> done = collect_garbage(settings_, {}, [&](std::string_view line) { said.emplace_back(line); });
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_FALSE(said.empty());
  EXPECT_THAT(said.back(), HasSubstr("removed 2 blobs"));
  EXPECT_FALSE(exists(blob_file("{}")));
}

TEST_F(RegistryTest, ABlobThatWasVouchedForStays) {
  push("a", "t", "{}");
  ask("DELETE", "/v2/a/manifests/" + sha256_of(manifest("{}")).text());
  EXPECT_EQ(ask("HEAD", "/v2/a/blobs/" + sha256_of("{}").text()).status, 200);
  ASSERT_TRUE(collect_garbage(settings_, {}, [](std::string_view) {}));
  EXPECT_EQ(ask("PUT", "/v2/a/manifests/t", manifest("{}")).status, 201);
}

TEST_F(RegistryTest, ReadOnlyAndWithoutDeletion) {
  push("a", "t", "{}");
  settings_.allow_delete = false;
  restart();
  EXPECT_EQ(ask("DELETE", "/v2/a/manifests/t").status, 405);
  EXPECT_EQ(push_blob("a", "x").status, 201);
  settings_.read_only = true;
  restart();
  EXPECT_EQ(push_blob("a", "y").status, 405);
  EXPECT_EQ(ask("GET", "/v2/a/manifests/t").status, 200);
}

TEST_F(RegistryTest, EverythingOnAPageIsEscaped) {
  push_blob("a", "{}");
  const std::string text = fmt::format(
      R"({{"schemaVersion":2,"artifactType":"<script>","config":{{"mediaType":"\"><script>alert(1)</script>","digest":"{}","size":2}},"layers":[]}})",
      sha256_of("{}").text());
  ASSERT_EQ(ask("PUT", "/v2/a/manifests/t", text, {{"Content-Type", std::string(oci::media_type::kManifest)}})
                .status,
            201);
  Got page = ask("GET", "/ui/a?ref=t");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page.body, Not(HasSubstr("<script")));
}

TEST_F(RegistryTest, ManyClientsAtOnce) {
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 8; ++c)
    clients.emplace_back([&, c] {
      for (int i = 0; i < 10; ++i) {
        const std::string config = fmt::format("{{\"c\":{},\"i\":{}}}", c, i),
                          name = "r" + std::to_string(i % 3);
        if (push(name, fmt::format("t{}-{}", c, i), config).status != 201) ++wrong;
        if (ask("GET", fmt::format("/v2/{}/manifests/t{}-{}", name, c, i)).body != manifest(config)) ++wrong;
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ManifestCache, KeepsTheRecentAndDropsTheWritten) {
  ManifestCache cache(8000);
  auto make = [](const std::string& text) { return std::make_shared<const CachedManifest>("d", "m", text); };
  cache.keep(cache.start(), "a", "1", make("one"));
  cache.keep(cache.start(), "b", "1", make("two"));
  EXPECT_EQ(cache.find("a", "1")->bytes, "one");
  EXPECT_EQ(cache.find("a", "2"), nullptr);
  cache.drop("a");
  EXPECT_EQ(cache.find("a", "1"), nullptr);
  EXPECT_EQ(cache.find("b", "1")->bytes, "two");
  const std::uint64_t before = cache.start();
  cache.drop("c");
  cache.keep(before, "a", "1", make("stale"));
  EXPECT_EQ(cache.find("a", "1"), nullptr);
  for (int i = 0; i < 100; ++i) {
    cache.keep(cache.start(), "x", std::to_string(i), make(std::string(500, 'x')));
    EXPECT_NE(cache.find("b", "1"), nullptr) << i;  // in use all the time
  }
  EXPECT_EQ(cache.find("x", "0"), nullptr);
  EXPECT_NE(cache.find("x", "99"), nullptr);
}

TEST(ManifestFacts, ForeignLayersNeedNotBeThere) {
  const std::string digest = sha256_of("x").text(), other = sha256_of("y").text();
  const std::string text = fmt::format(
      R"({{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{0}","size":1}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{1}","size":1,"urls":["http://x"]}},{{"mediaType":"a/c","digest":"{0}","size":1}}]}})",
      digest, other);
  ManifestFacts facts = read_manifest_facts(text, "").value();
  ASSERT_EQ(facts.children.size(), 1u);
  EXPECT_EQ(facts.children[0].digest.text(), digest);
  EXPECT_EQ(facts.artifact_type, "a/b");
  EXPECT_EQ(facts.media_type, oci::media_type::kManifest);
  EXPECT_FALSE(read_manifest_facts(text, oci::media_type::kIndex));
  EXPECT_FALSE(read_manifest_facts(text, "text/plain"));
  EXPECT_FALSE(read_manifest_facts("[]", ""));
}

}  // namespace
}  // namespace berth::registryd
