// SPDX-License-Identifier: Apache-2.0
// Archives of images: round trips, and what hostile ones try.
#include <fcntl.h>
#include <unistd.h>

#include "base/process.h"
#include "image/staging.h"
#include "image/test_store.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LoadTest : public ImageTest {
 protected:
  // A docker-archive with one image of one layer, and a chance to spoil it.
  struct Parts {
    std::string layer = make_tar({{"hello", "hi"}});
    std::string config;
    std::string config_name;
    std::string layer_name = "layer.tar";
    std::string tags = R"(["box:1"])";
    Files more = {};
    Parts() : config(config_with({sha256_of(layer)})), config_name(sha256_of(config).hex() + ".json") {}
    std::string manifest() const {
      return R"([{"Config":")" + config_name + R"(","RepoTags":)" + tags + R"(,"Layers":[")" + layer_name +
             R"("]}])";
    }
    std::string archive() const {
      Files files = {{config_name, config}, {layer_name, layer}, {"manifest.json", manifest()}};
      files.insert(files.end(), more.begin(), more.end());
      return make_tar(files);
    }
  };

  void expect_refused(const std::string& archive, const std::string& why) {
    Result<std::vector<Loaded>> loaded = store_.load(archive);
    ASSERT_FALSE(loaded) << why;
    EXPECT_THAT(loaded.error().message, HasSubstr(why));
    EXPECT_LT(loaded.error().message.size(), 1000u);
    store_.expect_empty();
  }
};

TEST_F(LoadTest, AnImageThatIsNotOnRecordIsWrittenAsOneThatIs) {
  const Digest id = store_.import({{"a", "1"}}, "one:1");
  const Image image = *store_->get(id);
  const UnrecordedImage same{.config_bytes = image.config_bytes,
                             .diff_ids = image.diff_ids,
                             .names = {*oci::Reference::parse("one:1")}};
  archive::StringSink docker, layout;
  std::optional<Digest> told;
  const Digest manifest =
      *store_->save(same, ArchiveForm::docker_and_oci, docker, [&](const Digest& digest) { told = digest; });
  EXPECT_EQ(told, manifest);
  EXPECT_EQ(docker.text(), store_.save({"one:1"}));
  ASSERT_TRUE(store_->save(same, ArchiveForm::oci, layout));
  EXPECT_THAT(layout.text(), HasSubstr(manifest.hex()));
  EXPECT_THAT(layout.text(), testing::Not(HasSubstr("manifest.json")));
  TestStore fresh(directory_.path() + "/fresh");
  EXPECT_EQ(fresh.load(layout.text())->at(0).id, id);
}

TEST_F(LoadTest, WhatIsSavedLoadsInAFreshStoreWithTheSameIds) {
  Digest one =
      store_.import({{"a", "1"}, {"dir/file", std::string(70'000, 'x')}}, "one:1", {.changes = {"CMD top"}});
  Digest two = store_.import({{"b", "2"}}, "host.x:5000/two:2");
  ASSERT_TRUE(store_->tag("one:1", *oci::Reference::parse("one:also")));
  std::string archive = store_.save({"one", "host.x:5000/two:2"});
  EXPECT_EQ(store_.save({"one", "host.x:5000/two:2"}), archive) << "the same bytes each time";

  TemporaryDirectory directory = *TemporaryDirectory::create("image-test");
  TestStore fresh(directory.path());
  std::vector<Loaded> loaded = fresh.load(archive).value_or(std::vector<Loaded>());
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_EQ(loaded[0].id, one);
  EXPECT_THAT(loaded[0].names, ElementsAre("one:1", "one:also"));
  EXPECT_EQ(loaded[1].id, two);
  EXPECT_EQ(fresh->get(one)->config_bytes, store_->get(one)->config_bytes);
  EXPECT_EQ(fresh.save({"one", "host.x:5000/two:2"}), archive);
  EXPECT_THAT(*fresh->check(), IsEmpty());
  EXPECT_THAT(fresh.events, ElementsAre("load", "load", "save", "save"));
}

TEST_F(LoadTest, AnIdIsSavedWithoutAName) {
  Digest id = store_.import({{"a", "1"}}, "box");
  std::string archive = store_.save({id.short_hex()});
  ASSERT_TRUE(store_->remove("box", false, false, {}));
  std::vector<Loaded> loaded = *store_.load(archive);
  EXPECT_EQ(loaded[0].id, id);
  EXPECT_THAT(loaded[0].names, IsEmpty());
}

TEST_F(LoadTest, SavingWhatIsNotThereWritesNothing) {
  store_.import({{"a", "1"}}, "box");
  archive::StringSink sink;
  std::string names[] = {"box", "nobody"};
  EXPECT_EQ(store_->save(names, sink).error().message, "No such image: nobody:latest");
  EXPECT_EQ(sink.text(), "");
}

TEST_F(LoadTest, CompressedArchivesLoad) {
  std::string archive = Parts().archive();
  for (const char* program : {"gzip", "xz", "zstd"}) {
    Result<Output> packed = run_program({program, "-c"}, archive);
    ASSERT_TRUE(store_.load(packed->standard_output)) << program;
  }
}

TEST_F(LoadTest, ALayerMayBeALinkToAnother) {
  Parts parts;
  archive::StringSink sink;
  archive::TarWriter writer(sink);
  auto file = [&](const std::string& name, const std::string& text) {
    ASSERT_TRUE(writer.add({.name = name, .mode = 0644, .size = text.size()}));
    ASSERT_TRUE(writer.write(text));
  };
  file("aaa/layer.tar", parts.layer);
  ASSERT_TRUE(writer.add(
      {.type = archive::TarType::symbolic_link, .name = "bbb/layer.tar", .link_target = "../aaa/layer.tar"}));
  file(parts.config_name, parts.config);
  parts.layer_name = "bbb/layer.tar";
  file("manifest.json", parts.manifest());
  ASSERT_TRUE(writer.finish());
  EXPECT_TRUE(store_.load(sink.text()));
}

TEST_F(LoadTest, ANameThatMovesIsReported) {
  Digest before = store_.import({{"a", "1"}}, "box:1");
  std::vector<Loaded> loaded = *store_.load(Parts().archive());
  ASSERT_EQ(loaded[0].moved.size(), 1u);
  EXPECT_EQ(loaded[0].moved[0], std::pair(std::string("box:1"), before));
}

TEST_F(LoadTest, ALayoutOfSeveralPlatformsGivesTheHosts) {
  std::string layer = make_tar({{"hello", "hi"}});
  Files files = {{"oci-layout", R"({"imageLayoutVersion":"1.0.0"})"}};
  auto blob = [&](const std::string& text, std::string_view type, std::string_view more = "") {
    files.emplace_back("blobs/sha256/" + sha256_of(text).hex(), text);
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}{}}})", type, sha256_of(text).text(),
                       text.size(), more);
  };
  std::string layer_descriptor = blob(layer, "application/vnd.oci.image.layer.v1.tar");
  std::string manifests;
  for (std::string platform : {"riscv64", "amd64", "arm64"}) {
    std::string config = config_with({sha256_of(layer)}, platform);
    std::string manifest = R"({"schemaVersion":2,"config":)" +
                           blob(config, "application/vnd.oci.image.config.v1+json") + R"(,"layers":[)" +
                           layer_descriptor + "]}";
    manifests += (manifests.empty() ? "" : ",") +
                 blob(manifest, "application/vnd.oci.image.manifest.v1+json",
                      R"(,"platform":{"os":"linux","architecture":")" + platform + "\"}");
  }
  std::string index = blob(
      R"({"schemaVersion":2,"manifests":[)" + manifests + "]}", "application/vnd.oci.image.index.v1+json",
      R"(,"annotations":{"org.opencontainers.image.ref.name":"docker.io/library/multi:1"})");
  files.insert(files.begin(), {"index.json", R"({"schemaVersion":2,"manifests":[)" + index + "]}"});
  Result<std::vector<Loaded>> loaded = store_.load(make_tar(files));
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_THAT(loaded->front().names, ElementsAre("multi:1"));
  EXPECT_EQ(store_->get(loaded->front().id)->config.config.labels.at("l"), oci::host_platform().architecture);
  std::string archive = make_tar(files);
  archive::StringSource source(archive);
  EXPECT_EQ(
      store_->load(source, {.platform = oci::Platform{.os = "linux", .architecture = "s390x"}}).error().kind,
      ErrorKind::not_found);
}

TEST_F(LoadTest, RefusesPathsOutOfTheArchive) {
  Parts parts;
  parts.layer_name = "../../../../etc/passwd";
  expect_refused(parts.archive(), "the name \"../../../../etc/passwd\"");
  Parts only_manifest;
  std::string manifest = only_manifest.manifest();
  for (std::string name : {"../../../../../../etc/passwd", "/etc/passwd", "layer.tar/../../x"}) {
    Parts spoilt;
    spoilt.layer_name = name;
    expect_refused(make_tar({{spoilt.config_name, spoilt.config},
                             {"layer.tar", spoilt.layer},
                             {"manifest.json", spoilt.manifest()}}),
                   "outside of it");
    spoilt = Parts();
    spoilt.config_name = name;
    expect_refused(make_tar({{"manifest.json", spoilt.manifest()}, {"layer.tar", spoilt.layer}}),
                   "outside of it");
  }
}

TEST_F(LoadTest, RefusesLinksOutOfTheArchive) {
  for (std::string target : {"/etc/passwd", "../etc/passwd", "../../etc/passwd"}) {
    archive::StringSink sink;
    archive::TarWriter writer(sink);
    ASSERT_TRUE(writer.add(
        {.type = archive::TarType::symbolic_link, .name = "manifest.json", .link_target = target}));
    ASSERT_TRUE(writer.finish());
    expect_refused(sink.text(), "link to the outside");
  }
  archive::StringSink sink;
  archive::TarWriter writer(sink);
  ASSERT_TRUE(writer.add(
      {.type = archive::TarType::symbolic_link, .name = "manifest.json", .link_target = "manifest.json"}));
  ASSERT_TRUE(writer.finish());
  expect_refused(sink.text(), "link to a link");
}

TEST_F(LoadTest, RefusesContentsThatAreNotWhatTheirNamesPromise) {
  Parts config;
  config.config_name = std::string(64, 'a') + ".json";
  expect_refused(config.archive(), "has the digest");
  Parts blob;
  blob.layer_name = "blobs/sha256/" + std::string(64, 'a');
  expect_refused(blob.archive(), "has the digest");
  Parts layer;
  layer.layer = make_tar({{"hello", "other"}});
  expect_refused(layer.archive(), "but the image config says");
}

TEST_F(LoadTest, ABlobThatOnlyPretendsToBeALayerWeHaveIsRefused) {
  Parts parts;
  parts.layer_name = "blobs/sha256/" + sha256_of(parts.layer).hex();
  ASSERT_TRUE(store_.load(parts.archive()));
  parts.layer = make_tar({{"hello", "other"}});
  EXPECT_FALSE(store_.load(parts.archive()));
}

TEST_F(LoadTest, RefusesBrokenArchives) {
  Parts parts;
  std::string archive = parts.archive();
  for (std::size_t size :
       {std::size_t{0}, std::size_t{100}, std::size_t{512}, archive.size() / 2, archive.size() - 1500})
    expect_refused(archive.substr(0, size), "");
  expect_refused(make_tar({{"hello", "hi"}}), "holds no image");
  expect_refused(make_tar({{"repositories", "{}"}}), "Docker 1.9");
  expect_refused(make_tar({{"manifest.json", "{"}}), "not valid JSON");
  expect_refused(make_tar({{"manifest.json", "{}"}}), "not a list");
  expect_refused(make_tar({{"manifest.json", "[{}]"}}), "");
  expect_refused(make_tar({{"manifest.json", "[" + std::string(5u << 20, ' ') + "]"}}), "the limit is");
  expect_refused(make_tar({{"index.json", R"({"schemaVersion":2,"manifests":[],"layers":[]})"}}),
                 "both layers and manifests");
  parts.more = {{"manifest.json", "[]"}};
  expect_refused(parts.archive(), "twice");
  parts = Parts();
  parts.layer = "not a tar at all, " + std::string(3000, 'x');
  expect_refused(parts.archive(), "the layer layer.tar");
}

TEST_F(LoadTest, RefusesNamesThatAreNone) {
  for (std::string tags : {R"(["Bad Name:1"])", R"(["box"])", R"(["../x:1"])", R"([":1"])",
                           R"(["box:1@sha256:x"])", R"("box:1")"}) {
    Parts parts;
    parts.tags = tags;
    expect_refused(parts.archive(), "");
  }
  Parts many;
  many.tags = "[\"box:0\"";
  for (int i = 1; i <= 10'000; ++i) many.tags += fmt::format(",\"box:{}\"", i);
  many.tags += "]";
  expect_refused(many.archive(), "the limit is 10000");
}

TEST_F(LoadTest, TenThousandNamesAreSlowForNobody) {
  Parts many;
  many.tags = "[\"box:0\"";
  for (int i = 1; i < 10'000; ++i) many.tags += fmt::format(",\"box:{}\"", i);
  many.tags += "]";
  EXPECT_EQ(store_.load(many.archive())->front().names.size(), 10'000u);
}

TEST_F(LoadTest, AllImagesOfAnArchiveOrNone) {
  Parts good;
  std::string manifest = good.manifest();
  manifest.pop_back();
  manifest += R"(,{"Config":"missing.json","Layers":[]}])";
  expect_refused(
      make_tar({{good.config_name, good.config}, {good.layer_name, good.layer}, {"manifest.json", manifest}}),
      "not in it");
}

TEST_F(LoadTest, CancelledItLeavesNothing) {
  std::stop_source stop;
  std::string archive = Parts().archive();
  archive::StringSource source(archive);
  stop.request_stop();
  EXPECT_EQ(store_->load(source, {.stop = stop.get_token()}).error().kind, ErrorKind::cancelled);
  store_.expect_empty();
}

TEST(EntryNames, AreCleaned) {
  EXPECT_EQ(clean_entry_name("./a//b/./c"), "a/b/c");
  for (std::string_view name : {"", ".", "/", "/a", "..", "a/../b", "a/.."})
    EXPECT_EQ(clean_entry_name(name), std::nullopt) << name;
}

// ---- the real ones

// BERTH_TEST_DOCKER names the engine to compare with, as Docker's command line takes it in -H.
Output docker(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"docker", "-H", getenv("BERTH_TEST_DOCKER")});
  return run_program(arguments).value_or(Output{.exit_code = -1});
}

TEST_F(LoadTest, DockerReadsWhatIsSavedHereAndTheReverse) {
  if (!getenv("BERTH_TEST_DOCKER")) GTEST_SKIP() << "BERTH_TEST_DOCKER names no Docker to compare with";
  std::string name = "berth-image-test:" + std::to_string(getpid());
  Digest id = store_.import({{"hello", "hi"}}, name, {.changes = {"CMD [\"/hello\"]", "ENV A=b"}});
  std::string path = directory_.path() + "/saved.tar";
  {
    Fd file = *open_file(path, O_WRONLY | O_CREAT, 0644);
    ASSERT_TRUE(write_all(file.get(), store_.save({name})));
  }
  Output loaded = docker({"load", "-i", path});
  EXPECT_THAT(loaded.standard_output, HasSubstr("Loaded image: " + name)) << loaded.standard_error;
  EXPECT_THAT(docker({"image", "inspect", "-f", "{{.Id}}", name}).standard_output, HasSubstr(id.text()));
  Output saved = docker({"save", name});
  docker({"rmi", name});

  TemporaryDirectory directory = *TemporaryDirectory::create("image-test");
  TestStore fresh(directory.path());
  Result<std::vector<Loaded>> back = fresh.load(saved.standard_output);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->front().id, id);
  EXPECT_THAT(back->front().names, ElementsAre(name));
}

}  // namespace
}  // namespace berth::image
