// SPDX-License-Identifier: Apache-2.0
// The image configuration (image-spec, config.md) with Docker's extensions. Its bytes are the image's
// identity: the image id is their SHA-256. Keep the bytes that came; write new ones only for a new image.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "oci/platform.h"

namespace berth::oci {

struct HealthCheck {
  std::vector<std::string> test;              // {"NONE"}, {"CMD", ...}, {"CMD-SHELL", "..."}; empty inherits
  std::chrono::nanoseconds interval{};        // 0 inherits, or the default
  std::chrono::nanoseconds timeout{};         // likewise
  std::chrono::nanoseconds start_period{};    // likewise
  std::chrono::nanoseconds start_interval{};  // likewise
  std::int64_t retries = 0;
  bool operator==(const HealthCheck&) const = default;
};

// The defaults that an image gives to containers; also the Config of a container in Docker's API. Lists that
// mean something else when missing than when empty are optional.
struct ContainerConfig {
  std::string hostname;
  std::string domainname;
  std::string user;  // "user", "uid", "user:group", "uid:gid"; untrusted text
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  std::set<std::string> exposed_ports;  // "80/tcp"
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;
  std::vector<std::string> env;  // "NAME=value"
  std::optional<std::vector<std::string>> cmd;
  std::optional<HealthCheck> healthcheck;
  bool args_escaped = false;
  std::string image;
  std::set<std::string> volumes;  // paths inside the container; untrusted text
  std::string working_dir;
  std::optional<std::vector<std::string>> entrypoint;
  bool network_disabled = false;
  std::string mac_address;
  std::vector<std::string> on_build;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<std::int64_t> stop_timeout;  // seconds
  std::optional<std::vector<std::string>> shell;
  bool operator==(const ContainerConfig&) const = default;
};

struct History {
  Timestamp created;
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;
};

struct ImageConfig {
  Platform platform;
  Timestamp created;  // 0 where the document does not say
  std::string author;
  std::string comment;         // Docker's
  std::string docker_version;  // Docker's
  ContainerConfig config;
  std::vector<Digest> diff_ids;  // digests of the uncompressed layers, base first
  std::vector<History> history;  // as many entries without empty_layer as diff_ids, or none
};

// Members that it does not know are left out; wrong types, a rootfs that is not of type "layers", more than
// 500 layers, and more than kDocumentLimit bytes are errors.
Result<ImageConfig> parse_image_config(std::string_view text);
// A new document; the same struct always gives the same bytes.
std::string format_image_config(const ImageConfig& config);

// What the layers' contents stacked so far are called: Docker shows these ids where it deletes layers.
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

}  // namespace berth::oci
