// SPDX-License-Identifier: Apache-2.0
// Pull and push against a registry in this process, which keeps blobs in a map and can be told to misbehave.
#include "image/transfer.h"

#include <gmock/gmock.h>

#include <mutex>
#include <thread>

#include "archive/compression.h"
#include "base/json.h"
#include "base/text.h"
#include "http/listener.h"
#include "http/server.h"
#include "image/test_store.h"
#include "oci/manifest.h"

namespace berth::image {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// One repository's worth of the distribution specification, without checks: those are registryd's.
class MapRegistry {
 public:
  MapRegistry() {
    std::vector<http::Listener> listeners;
    listeners.push_back(http::listen_tcp("127.0.0.1", 0).value());
    host = fmt::format("127.0.0.1:{}", http::port_of(listeners.front()));
    EXPECT_TRUE(server_.start(std::move(listeners), [this](http::Exchange& exchange) { answer(exchange); }));
  }
  oci::Reference name(const std::string& rest) const { return *oci::Reference::parse(host + "/" + rest); }
  Digest put(const std::string& bytes) {
    Digest digest = sha256_of(bytes);
    std::lock_guard lock(mutex);
    blobs[digest.text()] = bytes;
    return digest;
  }
  std::vector<std::string> requests(const std::string& with) {
    std::lock_guard lock(mutex);
    std::vector<std::string> found;
    for (const std::string& one : seen)
      if (one.find(with) != std::string::npos) found.push_back(one);
    return found;
  }

  std::string host;
  std::mutex mutex;
  std::map<std::string, std::string> blobs;      // by digest, of all repositories
  std::map<std::string, std::string> manifests;  // by tag or digest
  std::map<std::string, int> cut;                // digest -> how many answers are cut in the middle
  std::vector<std::string> seen;

 private:
  void answer(http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    std::string body = exchange.read_body_whole(64 << 20).value_or("");
    std::lock_guard lock(mutex);
    seen.push_back(request.method + " " + request.path);
    const std::string last = request.path.substr(request.path.rfind('/') + 1);
    if (request.path == "/v2/") return (void)exchange.respond(200, {}, "{}");
    if (request.path.find("/manifests/") != std::string::npos) {
      if (request.method == "PUT") {
        manifests[last] = manifests[sha256_of(body).text()] = body;
        return (void)exchange.respond(201, {}, "");
      }
      auto found = manifests.find(last);
      if (found == manifests.end()) return (void)exchange.respond(404, {}, "{}");
      return (void)exchange.respond(200, {{"Content-Type", "application/json"}}, found->second);
    }
    if (request.method == "POST")
      return (void)exchange.respond(202, {{"Location", "/upload/" + random_identifier()}}, "");
    if (request.method == "PATCH") {
      uploads_[request.path] += body;
      return (void)exchange.respond(202, {{"Location", request.path}}, "");
    }
    if (request.method == "PUT") {
      blobs[std::string(request.query.get_or("digest", ""))] = uploads_[request.path];
      return (void)exchange.respond(201, {}, "");
    }
    auto found = blobs.find(last);
    if (found == blobs.end()) return (void)exchange.respond(404, {}, "{}");
    if (request.method == "GET" && cut[last] > 0) {
      --cut[last];
      (void)exchange.begin(200, {{"Content-Length", std::to_string(found->second.size())}});
      return (void)exchange.write(std::string_view(found->second).substr(0, found->second.size() / 2));
    }
    (void)exchange.respond(200, {}, found->second);
  }
  std::map<std::string, std::string> uploads_;
  http::Server server_;
};

class TransferTest : public testing::Test {
 protected:
  Result<Pulled> pull(TestStore& store, const std::string& name, std::optional<oci::Platform> platform = {}) {
    PullRequest request{.name = registry_.name(name), .platform = std::move(platform)};
    request.access.settings.attempts = 2;
    request.on_status = [this](const TransferStatus& status) -> Result<void> {
      if (status.total == 0) said_.push_back(status.text);
      return {};
    };
    return store->pull(request);
  }
  Result<Pushed> push(TestStore& store, const std::string& name) {
    PushRequest request{.name = registry_.name(name)};
    request.on_status = [this](const TransferStatus& status) -> Result<void> {
      said_.push_back(status.text);
      return {};
    };
    return store->push(request);
  }

  // An image that never was here, made at the registry; returns the digest of its layer's blob.
  Digest publish(const std::string& tag, const std::string& label,
                 const std::string& contents = "published") {
    const std::string tar = make_tar({{"file", contents}});
    archive::StringSink packed;
    std::unique_ptr<archive::Sink> gzip = *archive::compress(packed, archive::Compression::gzip);
    EXPECT_TRUE(gzip->write(tar) && gzip->finish());
    const Digest layer = registry_.put(packed.text());
    const std::string config = config_with({sha256_of(tar)}, label);
    oci::Manifest manifest{.media_type = std::string(oci::media_type::kManifest),
                           .config = {.media_type = std::string(oci::media_type::kConfig),
                                      .digest = registry_.put(config),
                                      .size = static_cast<std::int64_t>(config.size())}};
    manifest.layers.push_back({.media_type = std::string(oci::media_type::kLayerGzip),
                               .digest = layer,
                               .size = static_cast<std::int64_t>(packed.text().size())});
    const std::string bytes = oci::format_manifest(manifest);
    std::lock_guard lock(registry_.mutex);
    registry_.manifests[tag] = registry_.manifests[sha256_of(bytes).text()] = bytes;
    return layer;
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("transfer");
  MapRegistry registry_;
  TestStore store_{directory_.path() + "/a"};
  std::vector<std::string> said_;
};

TEST_F(TransferTest, WhatIsPushedComesBackTheSame) {
  const Digest id = store_.import({{"a", "1"}, {"b", "2"}}, registry_.host + "/t/box:1");
  Result<Pushed> pushed = push(store_, "t/box:1");
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_THAT(store_->get(id)->digests, ElementsAre(registry_.host + "/t/box@" + pushed->digest.text()));
  TestStore other(directory_.path() + "/b");
  Result<Pulled> pulled = pull(other, "t/box:1");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(pulled->id, id);
  EXPECT_EQ(pulled->digest, pushed->digest);
  EXPECT_TRUE(pulled->newer);
  EXPECT_THAT(*other->check(), IsEmpty());
  EXPECT_FALSE(pull(other, "t/box:1")->newer);
  EXPECT_THAT(other.events, Contains("pull"));
}

TEST_F(TransferTest, APulledImageKeepsItsDigestWhenItIsPushedOn) {
  const Digest layer = publish("1", "x");
  ASSERT_TRUE(pull(store_, "t/box:1"));
  const std::string before = registry_.manifests["1"];
  ASSERT_TRUE(store_->tag(registry_.host + "/t/box:1", registry_.name("other/box:2")));
  {
    std::lock_guard lock(registry_.mutex);
    registry_.blobs.erase(layer.text());
  }
  Result<Pushed> pushed = push(store_, "other/box:2");
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(pushed->digest, sha256_of(before));
  EXPECT_EQ(registry_.manifests["2"], before);
  EXPECT_TRUE(registry_.blobs.contains(layer.text()));
}

TEST_F(TransferTest, WhatIsThereIsNotSentAgain) {
  store_.import({{"a", "1"}}, registry_.host + "/t/box:1");
  ASSERT_TRUE(push(store_, "t/box:1"));
  said_.clear();
  registry_.seen.clear();
  ASSERT_TRUE(push(store_, "t/box:1"));
  EXPECT_THAT(said_, Contains("Layer already exists"));
  EXPECT_THAT(registry_.requests("PATCH"), IsEmpty());
}

TEST_F(TransferTest, LayersThatAreHereAreNotFetched) {
  const Digest layer = publish("1", "first");
  publish("2", "second");
  ASSERT_TRUE(pull(store_, "t/box:1"));
  ASSERT_TRUE(pull(store_, "t/box:2"));
  EXPECT_THAT(registry_.requests("GET /v2/t/box/blobs/" + layer.text()), SizeIs(1));
  EXPECT_THAT(said_, Contains("Already exists"));
}

TEST_F(TransferTest, PullsOfOneImageAtOnceFetchItOnce) {
  const Digest layer = publish("1", "x", std::string(3 << 20, 'x'));
  std::vector<std::jthread> pullers;
  for (int i = 0; i < 6; ++i)
    pullers.emplace_back([&] {
      PullRequest request{.name = registry_.name("t/box:1")};
      Result<Pulled> pulled = store_->pull(request);
      EXPECT_TRUE(pulled) << pulled.error().message;
    });
  pullers.clear();
  EXPECT_THAT(registry_.requests("GET /v2/t/box/blobs/" + layer.text()), SizeIs(1));
  EXPECT_THAT(*store_->check(), IsEmpty());
}

TEST_F(TransferTest, ABlobThatAMirrorHasLostComesFromTheRegistry) {
  const Digest layer = publish("m", "mirrored");
  MapRegistry mirror;
  mirror.manifests = registry_.manifests;
  mirror.blobs = registry_.blobs;
  mirror.blobs.erase(layer.text());
  TestStore store(directory_.path() + "/mirrored");
  PullRequest request{.name = registry_.name("t/bb:m")};
  request.access.settings.attempts = 2;
  request.access.settings.rules = {{.prefix = registry_.host, .mirrors = {"http://" + mirror.host}}};
  Result<Pulled> pulled = store->pull(request);
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_THAT(mirror.requests("blobs/" + layer.text()), SizeIs(1));
  EXPECT_THAT(registry_.requests("blobs/"), ElementsAre("GET /v2/t/bb/blobs/" + layer.text()));
  EXPECT_THAT(registry_.requests("manifests/"), IsEmpty());
}

std::string noise_of(std::size_t size) {
  std::string noise(size, 0);
  unsigned state = 7;
  for (char& byte : noise) byte = static_cast<char>((state = state * 1103515245 + 12345) >> 16);
  return noise;
}

// A mirror that has what the registry has, and changes one byte of the layer.
class LyingMirror : public TransferTest {
 protected:
  void SetUp() override {
    layer_ = publish("m", "mirrored", noise_of(2 << 20));
    mirror_.manifests = registry_.manifests;
    mirror_.blobs = registry_.blobs;
    std::string& bytes = mirror_.blobs[layer_->text()];
    bytes[100'000] = static_cast<char>(bytes[100'000] ^ 1);
  }
  Result<Pulled> pull_mirrored() {
    PullRequest request{.name = registry_.name("t/bb:m")};
    request.access.settings.attempts = 2;
    request.access.settings.rules = {{.prefix = registry_.host, .mirrors = {"http://" + mirror_.host}}};
    return store_->pull(request);
  }
  std::vector<std::string> partial() const { return *list_directory(directory_.path() + "/a/blobs/ingest"); }
  MapRegistry mirror_;
  std::optional<Digest> layer_;
};

TEST_F(LyingMirror, DoesNotKeepTheRegistryFromGivingTheLayer) {
  Result<Pulled> pulled = pull_mirrored();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_THAT(mirror_.requests("blobs/" + layer_->text()), SizeIs(1));
  EXPECT_THAT(registry_.requests("blobs/" + layer_->text()), SizeIs(1));
  EXPECT_THAT(*store_->check(), IsEmpty());
}

TEST_F(LyingMirror, ThatBreaksOffIsNotGoneOnWith) {
  mirror_.cut[layer_->text()] = 1000;
  Result<Pulled> pulled = pull_mirrored();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_THAT(registry_.requests("blobs/" + layer_->text()), SizeIs(2));  // the rest, and then all of it
  EXPECT_THAT(*store_->check(), IsEmpty());
}

TEST_F(LyingMirror, LeavesNothingThatTheNextPullFailsBy) {
  mirror_.cut[layer_->text()] = registry_.cut[layer_->text()] = 1000;
  std::string good = std::exchange(registry_.blobs[layer_->text()], mirror_.blobs[layer_->text()]);
  ASSERT_FALSE(pull_mirrored());
  ASSERT_THAT(partial(), SizeIs(1));
  mirror_.cut.clear();
  registry_.cut.clear();
  mirror_.blobs[layer_->text()] = registry_.blobs[layer_->text()] = good;
  Result<Pulled> pulled = pull_mirrored();
  EXPECT_TRUE(pulled) << pulled.error().message;
}

TEST_F(LyingMirror, WithARegistryThatLiesAsWellIsNamedWithTheDigest) {
  registry_.blobs[layer_->text()] = mirror_.blobs[layer_->text()];
  Result<Pulled> pulled = pull_mirrored();
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().kind, ErrorKind::corrupt);
  EXPECT_THAT(pulled.error().message, HasSubstr(layer_->text() + " from " + registry_.host));
  EXPECT_THAT(partial(), IsEmpty());
}

TEST_F(TransferTest, AnImageThatContradictsItselfIsFetchedOnce) {
  const Digest layer = publish("1", "x");
  MapRegistry mirror;
  {
    // The blob is the one that the manifest names; the config's diffID is of another tar.
    oci::Manifest manifest = *oci::parse_manifest(registry_.manifests["1"]);
    const std::string config = config_with({sha256_of("another")}, "x");
    manifest.config.digest = registry_.put(config);
    manifest.config.size = static_cast<std::int64_t>(config.size());
    registry_.manifests["1"] = oci::format_manifest(manifest);
    mirror.manifests = registry_.manifests;
    mirror.blobs = registry_.blobs;
  }
  PullRequest request{.name = registry_.name("t/bb:1")};
  request.access.settings.rules = {{.prefix = registry_.host, .mirrors = {"http://" + mirror.host}}};
  EXPECT_FALSE(store_->pull(request));
  EXPECT_THAT(mirror.requests("blobs/" + layer.text()), SizeIs(1));
  EXPECT_THAT(registry_.requests("blobs/" + layer.text()), IsEmpty());
}

TEST_F(TransferTest, ADownloadThatWasCutGoesOnAfterARestart) {
  const std::string noise = noise_of(2 << 20);
  const Digest layer = publish("1", "x", noise);
  registry_.cut[layer.text()] = 1000;
  Result<Pulled> failed = pull(store_, "t/box:1");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("layer " + layer.short_hex()));
  EXPECT_THAT(*store_->list(true, {}), IsEmpty());
  store_.reopen();
  ASSERT_TRUE(store_->sweep());
  const std::string partial = directory_.path() + "/a/blobs/ingest/layer-" + layer.hex() + ".part";
  EXPECT_TRUE(exists(partial));
  registry_.cut.clear();
  registry_.seen.clear();
  ASSERT_TRUE(pull(store_, "t/box:1"));
  EXPECT_FALSE(exists(partial));
  EXPECT_THAT(*store_->check(), IsEmpty());
}

TEST_F(TransferTest, BytesThatAreOthersAreRefusedAndForgotten) {
  const Digest layer = publish("1", "x");
  const std::string good = registry_.blobs[layer.text()];
  std::string bad = good;
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  registry_.blobs[layer.text()] = bad;
  Result<Pulled> failed = pull(store_, "t/box:1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::corrupt);
  EXPECT_THAT(*list_directory(directory_.path() + "/a/blobs/ingest"), IsEmpty());
  EXPECT_THAT(*store_.layers().list(), IsEmpty());
  registry_.blobs[layer.text()] = good;
  EXPECT_TRUE(pull(store_, "t/box:1"));
}

TEST_F(TransferTest, AnIndexGivesTheImageOfThisMachineAndSaysWhatElseThereIs) {
  publish("1", "x");
  const std::string manifest = registry_.manifests["1"];
  oci::Index index{.media_type = std::string(oci::media_type::kIndex)};
  for (const char* architecture : {"riscv64", "amd64"})
    index.manifests.push_back({.media_type = std::string(oci::media_type::kManifest),
                               .digest = sha256_of(manifest),
                               .size = static_cast<std::int64_t>(manifest.size()),
                               .platform = oci::Platform{.os = "linux", .architecture = architecture}});
  registry_.manifests["multi"] = oci::format_index(index);
  Result<Pulled> pulled = pull(store_, "t/box:multi", oci::Platform{.os = "linux", .architecture = "amd64"});
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(pulled->digest, sha256_of(registry_.manifests["multi"]));
  Result<Pulled> foreign = pull(store_, "t/box:multi", oci::Platform{.os = "linux", .architecture = "s390x"});
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("linux/amd64, linux/riscv64"));
}

TEST_F(TransferTest, BlobsGoWithTheirImage) {
  const Digest layer = publish("1", "x");
  ASSERT_TRUE(pull(store_, "t/box:1"));
  const std::string blobs = directory_.path() + "/a/blobs/sha256";
  EXPECT_THAT(*list_directory(blobs), Contains(layer.hex()));
  ASSERT_TRUE(store_->remove(registry_.host + "/t/box:1", false, false, {}));
  EXPECT_THAT(*list_directory(blobs), Not(Contains(layer.hex())));
}

TEST_F(TransferTest, ADamagedLayerIsSetAsideAndPulledAgain) {
  const Digest layer = publish("1", "x");
  ASSERT_TRUE(pull(store_, "t/box:1"));
  const Digest diff_id = store_->resolve(registry_.host + "/t/box:1")->diff_ids[0];
  const std::string tar = directory_.path() + "/a/layers/" + diff_id.hex();
  ASSERT_TRUE(exists(tar + "/fs/file"));
  ASSERT_TRUE(write_existing(tar + "/fs/file", "damaged!!"));
  std::vector<Finding> findings = *store_->check({.set_aside = true});
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, Finding::Kind::damaged_layer);
  EXPECT_THAT(findings[0].text, HasSubstr("pull the image"));
  EXPECT_EQ(store_->check()->at(0).kind, Finding::Kind::missing_layer);
  ASSERT_TRUE(pull(store_, "t/box:1"));
  EXPECT_THAT(*store_->check(), IsEmpty());
}

TEST_F(TransferTest, AListenerThatIsGoneCancels) {
  publish("1", "x");
  PullRequest request{.name = registry_.name("t/box:1")};
  request.on_status = [](const TransferStatus&) -> Result<void> {
    return fail(ErrorKind::cancelled, "gone");
  };
  Result<Pulled> pulled = store_->pull(request);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().kind, ErrorKind::cancelled);
  EXPECT_THAT(*store_->list(true, {}), IsEmpty());
}

}  // namespace
}  // namespace berth::image
