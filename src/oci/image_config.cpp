// SPDX-License-Identifier: Apache-2.0
#include "oci/image_config.h"

#include "oci/config_json.h"
#include "oci/manifest.h"

namespace berth::oci {
namespace {

constexpr std::size_t kLayers = 500;  // far above what overlayfs mounts

void read_time(ObjectReader& in, std::string_view name, Timestamp& out) {
  std::string text;
  in.read(name, text);
  if (text.empty()) return;
  Result<Timestamp> time = parse_time(text);
  if (!time) return in.refuse(name, "a time as RFC 3339 has it");
  out = *time;
}

void read_root_filesystem(ObjectReader& in, std::vector<Digest>& diff_ids) {
  std::string type;
  std::vector<std::string> digests;
  in.read("type", type);
  in.read("diff_ids", digests);
  if (type != "layers") in.refuse("type", "\"layers\"");
  if (digests.size() > kLayers) in.refuse("diff_ids", fmt::format("a list of at most {} digests", kLayers));
  for (const std::string& text : digests) {
    Result<Digest> digest = Digest::parse(text);
    if (!digest) return in.refuse("diff_ids", "a list of sha256 digests");
    diff_ids.push_back(std::move(*digest));
  }
}

json::object history_to_json(const History& history) {
  json::object object;
  if (history.created) object["created"] = format_time(history.created);
  if (!history.author.empty()) object["author"] = history.author;
  if (!history.created_by.empty()) object["created_by"] = history.created_by;
  if (!history.comment.empty()) object["comment"] = history.comment;
  if (history.empty_layer) object["empty_layer"] = true;
  return object;
}

}  // namespace

Result<ImageConfig> parse_image_config(std::string_view text) {
  if (text.size() > kDocumentLimit)
    return fail(ErrorKind::invalid, "the image config has {} bytes; the limit is {}", text.size(),
                kDocumentLimit);
  json::value document = TRY(parse_json(text, "the image config"));
  if (!document.is_object()) return fail(ErrorKind::invalid, "the image config is not a JSON object");
  ObjectReader in(document, "the image config");
  ImageConfig config;
  in.read("os", config.platform.os);
  in.read("architecture", config.platform.architecture);
  in.read("variant", config.platform.variant);
  in.read("os.version", config.platform.os_version);
  in.read("os.features", config.platform.os_features);
  read_time(in, "created", config.created);
  in.read("author", config.author);
  in.read("comment", config.comment);
  in.read("docker_version", config.docker_version);
  in.read_object("config", [&](ObjectReader& inner) { read_container_config(inner, config.config); });
  if (!in.find("rootfs")) in.refuse("rootfs", "there");
  in.read_object("rootfs", [&](ObjectReader& inner) { read_root_filesystem(inner, config.diff_ids); });
  in.read_objects("history", [&](ObjectReader& inner) {
    History& entry = config.history.emplace_back();
    read_time(inner, "created", entry.created);
    inner.read("created_by", entry.created_by);
    inner.read("author", entry.author);
    inner.read("comment", entry.comment);
    inner.read("empty_layer", entry.empty_layer);
  });
  TRY(in.finish());
  return config;
}

std::string format_image_config(const ImageConfig& config) {
  json::object object = to_json(config.platform);
  if (!config.author.empty()) object["author"] = config.author;
  if (!config.comment.empty()) object["comment"] = config.comment;
  object["config"] = to_json(config.config, ConfigForm::image);
  if (config.created) object["created"] = format_time(config.created);
  if (!config.docker_version.empty()) object["docker_version"] = config.docker_version;
  json::array history;
  for (const History& entry : config.history) history.push_back(history_to_json(entry));
  object["history"] = std::move(history);
  json::array diff_ids;
  for (const Digest& digest : config.diff_ids) diff_ids.push_back(json::string(digest.text()));
  object["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
  return json::serialize(object);
}

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> chain;
  for (const Digest& diff_id : diff_ids)
    chain.push_back(chain.empty() ? diff_id : sha256_of(chain.back().text() + " " + diff_id.text()));
  return chain;
}

}  // namespace berth::oci
