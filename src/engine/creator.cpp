// SPDX-License-Identifier: Apache-2.0
#include "engine/creator.h"

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "engine/links.h"
#include "engine/modes.h"
#include "engine/port_mapping.h"
#include "engine/validation.h"

namespace berth::engine {
namespace {

std::string_view name_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

void merge_health_check(std::optional<oci::HealthCheck>& mine,
                        const std::optional<oci::HealthCheck>& theirs) {
  if (!theirs) return;
  if (!mine) {
    mine = theirs;
    return;
  }
  if (mine->test.empty()) mine->test = theirs->test;
  if (mine->interval.count() == 0) mine->interval = theirs->interval;
  if (mine->timeout.count() == 0) mine->timeout = theirs->timeout;
  if (mine->start_period.count() == 0) mine->start_period = theirs->start_period;
  if (mine->start_interval.count() == 0) mine->start_interval = theirs->start_interval;
  if (mine->retries == 0) mine->retries = theirs->retries;
}

Result<std::vector<std::string>> command_line(const oci::ContainerConfig& config) {
  std::vector<std::string> arguments;
  if (config.entrypoint) arguments = *config.entrypoint;
  if (config.cmd) arguments.insert(arguments.end(), config.cmd->begin(), config.cmd->end());
  if (arguments.empty()) return fail(ErrorKind::invalid, "no command specified");
  return arguments;
}

}  // namespace

void merge_image_defaults(oci::ContainerConfig& config, const oci::ContainerConfig& image) {
  if (config.user.empty()) config.user = image.user;
  config.exposed_ports.insert(image.exposed_ports.begin(), image.exposed_ports.end());
  for (const std::string& entry : image.env) {
    const bool overridden = std::any_of(config.env.begin(), config.env.end(), [&](const std::string& own) {
      return name_of(own) == name_of(entry);
    });
    if (!overridden) config.env.push_back(entry);
  }
  config.labels.insert(image.labels.begin(), image.labels.end());
  const bool own_entrypoint = config.entrypoint && !config.entrypoint->empty();
  if (!own_entrypoint) {
    if (!config.cmd || config.cmd->empty()) {
      config.cmd = image.cmd;
      config.args_escaped = image.args_escaped;
    }
    if (!config.entrypoint) config.entrypoint = image.entrypoint;
  }
  // [""] is how clients say "no entrypoint".
  if (config.entrypoint && config.entrypoint->size() == 1 && config.entrypoint->front().empty())
    config.entrypoint.reset();
  merge_health_check(config.healthcheck, image.healthcheck);
  if (config.working_dir.empty()) config.working_dir = image.working_dir;
  config.volumes.insert(image.volumes.begin(), image.volumes.end());
  if (config.stop_signal.empty()) config.stop_signal = image.stop_signal;
}

Result<std::vector<MountPoint>> Creator::collect_mounts(const oci::ContainerConfig& config,
                                                        const HostConfig& host) const {
  std::vector<MountPoint> lent = TRY(mounts_of_others(host));
  std::vector<MountPoint> mounts = TRY(parse_mounts(config, host, std::move(lent)));
  for (const MountPoint& mount : mounts)
    if (mount.type == "bind" && !mount.create_source && !exists(mount.source))
      return fail(ErrorKind::invalid,
                  "invalid mount config for type \"bind\": bind source path does not exist: {}",
                  mount.source);
  return mounts;
}

// --volumes-from.
Result<std::vector<MountPoint>> Creator::mounts_of_others(const HostConfig& host) const {
  std::vector<MountPoint> mounts;
  for (const std::string& from : host.volumes_from) {
    auto [name, mode] = split_once(from, ':');
    const bool read_only = TRY(lends_read_only(mode));
    ContainerPointer other = TRY(registry_.find(name));
    std::lock_guard lock(other->mutex);
    for (MountPoint mount : other->record.mounts) {
      mount.read_only = mount.read_only || read_only;
      mount.copy_up = false;
      mount.lent = true;
      mounts.push_back(std::move(mount));
    }
  }
  return mounts;
}

Result<CreatedContainer> Creator::create(NewContainer request) {
  if (request.config.image.empty()) return fail(ErrorKind::invalid, "no image specified");
  image::LeasedImage leased = TRY(images_.acquire(request.config.image));
  merge_image_defaults(request.config, leased.image.config.config);
  TRY(validate(settings_, request.config, request.host_config));
  TRY(bind_links(registry_, request.host_config));
  ContainerRecord record;
  record.id = random_identifier();
  record.name = request.name.starts_with('/') ? request.name.substr(1) : request.name;
  record.created = now();
  record.arguments = TRY(command_line(request.config));
  record.config = std::move(request.config);
  record.host_config = std::move(request.host_config);
  record.image_id = leased.image.id;
  record.diff_ids = leased.image.diff_ids;
  record.mac_address = record.config.mac_address;
  record.attachments = TRY(networks_.plan(record.host_config, std::move(request.endpoints)));
  TRY(wanted_ports(record.config, record.host_config));
  if (record.host_config.log_driver.empty()) record.host_config.log_driver = settings_.log_driver;
  if (record.host_config.shm_size == 0) record.host_config.shm_size = settings_.default_shm_size;
  record.mounts = TRY(collect_mounts(record.config, record.host_config));
  if (record.config.hostname.empty() && network_kind(record.host_config.network_mode) != NetworkKind::host &&
      network_kind(record.host_config.network_mode) != NetworkKind::container)
    record.config.hostname = record.id.substr(0, 12);

  TRY(volumes_.refer(record.id, record.mounts, record.host_config.auto_remove));

  const std::string directory = settings_.container_directory(record.id);
  auto make = [&]() -> Result<ContainerPointer> {
    TRY(make_directories(directory, 0710));
    TRY(roots_.prepare(record));
    return registry_.add(record, std::move(leased.lease));
  };
  Result<ContainerPointer> container = make();
  if (!container) {
    (void)remove_tree(directory);
    volumes_.forget(record, true);
    return std::unexpected(std::move(container).error());
  }
  lifecycle_.publish(**container, "create");
  return CreatedContainer{record.id, {}};
}

}  // namespace berth::engine
