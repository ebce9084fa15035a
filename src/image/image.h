// SPDX-License-Identifier: Apache-2.0
// What the image room hands out: plain values, detached from the store.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "oci/image_config.h"
#include "oci/reference.h"

namespace berth::image {

struct Image {
  Digest id;  // SHA-256 of config_bytes
  oci::ImageConfig config;
  std::string config_bytes;          // verbatim, as it came
  std::vector<std::string> tags;     // familiar: "bb:latest"; sorted
  std::vector<std::string> digests;  // familiar: "bb@sha256:..."; sorted
  std::vector<Digest> diff_ids;      // base first
  Timestamp created;                 // as the config says
  Timestamp last_tagged;             // 0: never
  std::int64_t size = 0;             // bytes of all layers, uncompressed
  std::optional<Digest> parent;      // the image it was committed or built from here, if that is still known
  std::string author;
  std::string comment;
};

// A line of `docker images`.
struct Summary {
  Digest id;
  std::optional<Digest> parent;
  std::vector<std::string> tags;
  std::vector<std::string> digests;
  Timestamp created;
  std::int64_t size = 0;
  std::int64_t shared_size = -1;  // bytes of layers that other images have too; -1: not asked for
  std::map<std::string, std::string> labels;
};

// A line of `docker history`, newest first.
struct HistoryLine {
  std::optional<Digest> id;  // nullopt: "<missing>"
  Timestamp created;
  std::string created_by;
  std::string comment;
  std::vector<std::string> tags;
  std::int64_t size = 0;
};

// Docker's filters: {"label": {"a=b"}, "dangling": {"true"}}.
using Filters = std::map<std::string, std::vector<std::string>>;

// Something that happened to an image, in Docker's words: "tag", "untag", "delete", "import", "load",
// "save", "pull", "push".
struct Event {
  std::string action;
  Digest id;
  std::string name;  // the familiar reference, or the id where there is none
  std::map<std::string, std::string> labels;
};

// A container that uses an image.
struct ImageUser {
  std::string container_id;
  bool running = false;
};
using UsersOf = std::function<std::vector<ImageUser>(const Digest& image)>;

// One line of the answer to a removal: {"Untagged": text} or {"Deleted": text}.
struct Removal {
  enum class Kind { untagged, deleted };
  Kind kind;
  std::string text;
};

struct PruneResult {
  std::vector<Removal> removals;
  std::int64_t reclaimed = 0;  // bytes of layers that are gone
};

struct Loaded {
  Digest id;
  std::vector<std::string> names;  // familiar; empty: "Loaded image ID: <id>"
  // Names that another image had before: that image lost them.
  std::vector<std::pair<std::string, Digest>> moved;
};

// How far a load, an import or a save is. `layer` is the short diffID or a blob's short digest.
struct Progress {
  std::string layer;
  std::int64_t current = 0;
  std::int64_t total = 0;  // 0: unknown
};
using OnProgress = std::function<void(const Progress&)>;

struct DiskUsage {
  std::int64_t layers_size = 0;  // bytes of every layer on the disk, once each
  std::vector<Summary> images;   // with shared_size
};

// What check() found wrong.
struct Finding {
  enum class Kind { missing_layer, damaged_layer, damaged_blob, damaged_config, unused_layer, database };
  Kind kind;
  std::string image;            // a name or an id; empty where no image is concerned
  std::optional<Digest> layer;  // or blob
  std::string text;             // one sentence
};

}  // namespace berth::image
