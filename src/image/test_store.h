// SPDX-License-Identifier: Apache-2.0
// For this room's tests: a store in a directory of its own, and archives made in memory.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/file.h"
#include "content/blob_store.h"
#include "db/database.h"
#include "image/image_store.h"
#include "layers/layer_store.h"

namespace berth::image {

using Files = std::vector<std::pair<std::string, std::string>>;  // name, contents

inline std::string make_tar(const Files& files) {
  archive::StringSink sink;
  archive::TarWriter writer(sink);
  for (const auto& [name, text] : files) {
    EXPECT_TRUE(writer.add({.name = name, .mode = 0644, .size = text.size()}));
    EXPECT_TRUE(writer.write(text));
  }
  EXPECT_TRUE(writer.finish());
  return sink.take();
}

inline std::string config_with(const std::vector<Digest>& diff_ids, const std::string& label = "x") {
  oci::ImageConfig config;
  config.platform = {.os = "linux", .architecture = "amd64"};
  config.config.labels["l"] = label;
  config.diff_ids = diff_ids;
  for (const Digest& diff_id : diff_ids) config.history.push_back({.created_by = diff_id.text()});
  return oci::format_image_config(config);
}

// Everything that an engine opens, below one directory; reopen() is a restart.
class TestStore {
 public:
  explicit TestStore(const std::string& directory) : directory_(directory) { reopen(); }

  void close() {
    images_.reset();
    blobs_.reset();
    layers_.reset();
    database_.reset();
  }
  void reopen() {
    close();
    ASSERT_TRUE(make_directories(directory_, 0700));
    Result<std::unique_ptr<db::Database>> database =
        db::Database::open(directory_ + "/meta.db", migrations());
    ASSERT_TRUE(database) << database.error().message;
    database_ = std::move(*database);
    Result<layers::LayerStore> layers = layers::LayerStore::open(directory_ + "/layers");
    ASSERT_TRUE(layers) << layers.error().message;
    layers_ = std::make_unique<layers::LayerStore>(std::move(*layers));
    Result<std::unique_ptr<content::BlobStore>> blobs = content::BlobStore::open(directory_ + "/blobs");
    ASSERT_TRUE(blobs) << blobs.error().message;
    blobs_ = std::move(*blobs);
    Result<std::unique_ptr<ImageStore>> images =
        ImageStore::open({.database = database_.get(),
                          .layers = layers_.get(),
                          .blobs = blobs_.get(),
                          .staging = directory_ + "/staging",
                          .on_event = [this](const Event& event) { events.push_back(event.action); }});
    ASSERT_TRUE(images) << images.error().message;
    images_ = std::move(*images);
  }

  ImageStore* operator->() { return images_.get(); }
  ImageStore& images() { return *images_; }
  layers::LayerStore& layers() { return *layers_; }
  db::Database& database() { return *database_; }
  const std::string& directory() const { return directory_; }

  Digest import(const Files& files, const std::string& name = "", ImportRequest request = {}) {
    std::string tar = make_tar(files);
    archive::StringSource source(tar);
    if (!name.empty()) request.name = *oci::Reference::parse(name);
    Result<Digest> id = images_->import(source, request);
    EXPECT_TRUE(id) << id.error().message;
    return id ? *id : sha256_of("");
  }
  Result<std::vector<Loaded>> load(std::string_view archive) {
    archive::StringSource source(archive);
    return images_->load(source, {});
  }
  std::string save(std::vector<std::string> names) {
    archive::StringSink sink;
    Result<void> saved = images_->save(names, sink);
    EXPECT_TRUE(saved) << saved.error().message;
    return sink.take();
  }
  std::size_t layer_count() { return layers_->list()->size(); }
  std::size_t image_count() { return images_->list(true, {})->size(); }
  // Nothing of an operation that failed may stay.
  void expect_empty() {
    EXPECT_EQ(image_count(), 0u);
    EXPECT_EQ(layer_count(), 0u);
    EXPECT_TRUE(list_directory(directory_ + "/staging")->empty());
  }

  std::vector<std::string> events;

 private:
  std::string directory_;
  std::unique_ptr<db::Database> database_;
  std::unique_ptr<layers::LayerStore> layers_;
  std::unique_ptr<content::BlobStore> blobs_;
  std::unique_ptr<ImageStore> images_;
};

class ImageTest : public testing::Test {
 protected:
  TemporaryDirectory directory_ = *TemporaryDirectory::create("image-test");
  TestStore store_{directory_.path()};
};

}  // namespace berth::image
