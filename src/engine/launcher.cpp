// SPDX-License-Identifier: Apache-2.0
#include "engine/launcher.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/host_facts.h"
#include "engine/links.h"
#include "engine/modes.h"
#include "keeper/paths.h"
#include "sys/seccomp.h"

namespace berth::engine {
namespace {

constexpr std::size_t kLongestHosts = 1 << 20;

// Undoes something unless told that all went well.
template <class Function>
class Undo {
 public:
  explicit Undo(Function undo) : undo_(std::move(undo)) {}
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    if (armed_) undo_();
  }
  void disarm() { armed_ = false; }

 private:
  Function undo_;
  bool armed_ = true;
};

// In place: the container may have the file mounted, and a new one under the same name would not be seen
// there.
Result<void> write_in_place(const std::string& path, std::string_view text) {
  Fd file = TRY(open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  TRY_AS("write " + path, write_all(file.get(), text));
  return {};
}

bool on_users_network(const ContainerRecord& record) {
  return std::any_of(record.attachments.begin(), record.attachments.end(),
                     [](const Attachment& one) { return one.network_name != "bridge"; });
}

std::string shown_hostname(const ContainerRecord& record) {
  const HostConfig& host = record.host_config;
  const bool hosts_name = record.config.hostname.empty() &&
                          (host.uts_mode == "host" || network_kind(host.network_mode) == NetworkKind::host);
  return hosts_name ? host_name() : hostname_of(record);
}

// Of a hosts file: the container itself, at each of its addresses.
std::string own_lines(const ContainerRecord& record) {
  std::string names = shown_hostname(record);
  if (!record.config.domainname.empty()) names = names + "." + record.config.domainname + " " + names;
  std::string text;
  for (const Attachment& attachment : record.attachments)
    if (attachment.endpoint) {
      text += attachment.endpoint->address.text() + "\t" + names + "\n";
      if (const auto& ipv6 = attachment.endpoint->ipv6) text += ipv6->address.text() + "\t" + names + "\n";
    }
  return text;
}

std::string make_hosts(const ContainerRecord& record, const std::string& gateway) {
  std::string text =
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n"
      "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
  for (const std::string& entry : record.host_config.extra_hosts) {
    const std::size_t separator = entry.find_first_of(":=");
    std::string address = entry.substr(separator + 1);
    if (address == "host-gateway") address = gateway;
    text += address + "\t" + entry.substr(0, separator) + "\n";
  }
  return text + own_lines(record);
}

}  // namespace

Launcher::Launcher(const Settings& settings, Registry& registry, const RootFileSystems& roots,
                   Volumes& volumes, KeeperWatch& watch, Networks& networks)
    : settings_(settings),
      registry_(registry),
      roots_(roots),
      volumes_(volumes),
      watch_(watch),
      networks_(networks),
      keepers_(settings.keeper_program, settings.run_directory(random_identifier()).size()),
      capabilities_(machine_capabilities()) {}

Result<void> Launcher::launch(const ContainerPointer& container) {
  ContainerRecord record;
  {
    std::lock_guard lock(container->mutex);
    record = container->record;
  }
  TRY(prepare_sources(record));
  Undo unuse([&] { volumes_.release(record); });
  StartFacts facts = TRY(gather(record));
  oci::RuntimeSpec spec = TRY(make_runtime_config(settings_, record, facts));
  const RootFileSystems::Lower lower = TRY(roots_.lower_of(record));
  std::optional<network::Sandbox> sandbox = TRY(attach_network(*container, record));
  Undo undo([&] {
    release_network(*container);
    (void)remove_tree(settings_.run_directory(record.id));
  });
  // Before it runs: an engine that is killed now must not give its address to another.
  TRY(registry_.save(container, Durability::visible));
  TRY(write_network_files(record, facts));
  TRY(write_bundle(record, spec, lower));
  TRY(roots_.allow_another_mount(record));
  TRY(start_keeper(container, sandbox ? sandbox->descriptor() : -1, lower));
  undo.disarm();
  unuse.disarm();
  tell_linking(record);
  return {};
}

// Mount sources that are made on demand, and volumes, mounted and filled.
Result<void> Launcher::prepare_sources(const ContainerRecord& record) {
  for (const MountPoint& mount : record.mounts) {
    if (mount.type == "bind" && !exists(mount.source)) {
      if (!mount.create_source)
        return fail(ErrorKind::invalid,
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mount.source);
      TRY_AS("error while creating mount source path '" + mount.source + "'",
             make_directories(mount.source, 0755));
    }
  }
  return volumes_.use(record, [&] { return roots_.open_read_only(record); });
}

Result<StartFacts> Launcher::gather(const ContainerRecord& record) const {
  const HostConfig& host = record.host_config;
  StartFacts facts;
  facts.container_directory = settings_.container_directory(record.id);
  facts.all_capabilities = capabilities_;
  facts.host_memory = host_memory();
  runtime::AccountFiles accounts = TRY(roots_.account_files(record));
  facts.user = TRY(runtime::resolve_user(accounts, record.config.user, host.group_add));
  facts.resolved_hostname = shown_hostname(record);
  facts.network_by_descriptor = has_own_network(host.network_mode);
  TRY(share_namespaces(record, facts));
  TRY(choose_seccomp(record, facts));
  facts.link_environment = engine::link_environment(record.name, TRY(linked_containers(registry_, record)));
  for (const DeviceMapping& mapping : host.resources.devices) {
    std::vector<oci::Device> found = TRY(lookup_device(mapping));
    facts.devices.insert(facts.devices.end(), found.begin(), found.end());
    facts.device_permissions.resize(facts.devices.size(), mapping.permissions);
  }
  if (host.privileged) facts.host_devices = all_host_devices();
  for (const auto* list : {&host.resources.blkio_device_read_bps, &host.resources.blkio_device_write_bps,
                           &host.resources.blkio_device_read_iops, &host.resources.blkio_device_write_iops})
    for (const ThrottleDevice& device : *list)
      facts.block_devices[device.path] = TRY(lookup_block_device(device.path));
  for (const WeightDevice& device : host.resources.blkio_weight_device)
    facts.block_devices[device.path] = TRY(lookup_block_device(device.path));
  if (host.init.value_or(settings_.init_by_default)) {
    facts.init_program = settings_.init_program;
    if (!exists(facts.init_program))
      return fail(ErrorKind::not_found, "--init needs berth-init, which is not at {}: set --init-path",
                  facts.init_program);
  }
  return facts;
}

Result<void> Launcher::share_namespaces(const ContainerRecord& record, StartFacts& facts) const {
  const HostConfig& host = record.host_config;
  struct Shared {
    const std::string& mode;
    std::string type, link;
  };
  for (const Shared& shared : {Shared{host.network_mode, "network", "net"},
                               Shared{host.ipc_mode, "ipc", "ipc"}, Shared{host.pid_mode, "pid", "pid"}}) {
    std::optional<std::string> name = container_of_mode(shared.mode);
    if (!name) continue;
    ContainerPointer other = TRY(registry_.find(*name));
    std::lock_guard lock(other->mutex);
    if (other->record.id == record.id)
      return fail(ErrorKind::invalid, "a container cannot join its own {} namespace", shared.type);
    if (!other->running())
      return fail(ErrorKind::conflict, "cannot join {} of a non running container: {}", shared.type,
                  other->record.id);
    facts.shared_namespaces[shared.type] = fmt::format("/proc/{}/ns/{}", other->state.pid, shared.link);
    if (shared.type == "ipc") facts.shared_shm = fmt::format("/proc/{}/root/dev/shm", other->state.pid);
    if (shared.type == "network") {
      // Names and resolver belong to the network, so they are the other container's files.
      facts.container_directory = settings_.container_directory(other->record.id);
      if (record.config.hostname.empty()) facts.resolved_hostname = hostname_of(other->record);
    }
  }
  return {};
}

Result<void> Launcher::choose_seccomp(const ContainerRecord& record, StartFacts& facts) const {
  SeccompChoice choice = TRY(check_security_options(record.host_config.security_options));
  // A privileged container has no filter but the one that was asked for by name.
  if (record.host_config.privileged && choice.kind != SeccompChoice::Kind::custom) return {};
  if (choice.kind == SeccompChoice::Kind::unconfined) return {};
  std::vector<std::string> capabilities = TRY(effective_capabilities(record.host_config, capabilities_));
  if (choice.kind == SeccompChoice::Kind::custom) {
    facts.seccomp = TRY_AS("seccomp profile", sys::read_seccomp_profile(choice.profile, capabilities));
  } else if (settings_.seccomp_profile == "unconfined") {
    return {};
  } else if (!settings_.seccomp_profile.empty()) {
    std::string text = TRY(read_file(settings_.seccomp_profile));
    facts.seccomp = TRY_AS(settings_.seccomp_profile, sys::read_seccomp_profile(text, capabilities));
  } else {
    facts.seccomp = sys::default_seccomp(capabilities);
  }
  return {};
}

// What was taken is in the container's record at once: whoever lists it sees it, and its end gives it back.
Result<std::optional<network::Sandbox>> Launcher::attach_network(Container& container,
                                                                 ContainerRecord& record) {
  if (!has_own_network(record.host_config.network_mode)) return std::optional<network::Sandbox>();
  network::Sandbox sandbox = TRY(networks_.attach(record));
  std::lock_guard lock(container.mutex);
  container.record.attachments = record.attachments;
  container.record.ports = record.ports;
  container.record.named_by_resolver = record.named_by_resolver;
  return std::optional(std::move(sandbox));
}

void Launcher::release_network(Container& container) {
  ContainerRecord record;
  {
    std::lock_guard lock(container.mutex);
    record = container.record;
    for (Attachment& attachment : container.record.attachments) attachment.endpoint.reset();
    container.record.ports.clear();
    container.record.named_by_resolver = false;
  }
  networks_.release(record);
  tell_linking(record);
}

std::vector<std::string> Launcher::link_environment(const ContainerRecord& record) const {
  Result<std::vector<LinkedContainer>> linked = linked_containers(registry_, record);
  return linked ? engine::link_environment(record.name, *linked) : std::vector<std::string>();
}

// The file is the container's to write as well: what it holds is read as far as a hosts file could be long.
void Launcher::follow_links(const ContainerRecord& record) {
  if (!has_links(record) || !has_own_network(record.host_config.network_mode)) return;
  const std::string path = settings_.container_directory(record.id) + "/hosts";
  std::lock_guard lock(hosts_);
  auto follow = [&]() -> Result<void> {
    const std::string before = TRY(read_file(path, kLongestHosts));
    std::string text = before;
    for (const HostsEntry& entry : hosts_entries(registry_, record)) text = with_hosts_entry(text, entry);
    if (text == before) return {};
    return write_in_place(path, text);
  };
  if (Result<void> followed = follow(); !followed)
    log_warning("engine", "container {}: its links are not up to date: {}", record.name,
                followed.error().message);
}

void Launcher::follow_places(const ContainerRecord& before, const ContainerRecord& now) {
  if (!has_own_network(now.host_config.network_mode)) return;
  const std::string path = settings_.container_directory(now.id) + "/hosts";
  auto follow = [&]() -> Result<void> {
    std::lock_guard lock(hosts_);
    const std::string text = TRY(read_file(path, kLongestHosts));
    return write_in_place(path, with_lines_replaced(text, own_lines(before), own_lines(now)));
  };
  if (Result<void> followed = follow(); !followed)
    log_warning("engine", "container {}: its hosts file is not up to date: {}", now.name,
                followed.error().message);
  follow_links(now);
}

// A container has come or gone: those that link to it see that. One whose places are not taken yet looks for
// itself when it writes its hosts file.
void Launcher::tell_linking(const ContainerRecord& changed) {
  for (const ContainerPointer& container : registry_.all()) {
    ContainerRecord record;
    {
      std::lock_guard lock(container->mutex);
      const bool attached =
          std::any_of(container->record.attachments.begin(), container->record.attachments.end(),
                      [](const Attachment& one) { return one.endpoint.has_value(); });
      if (!attached || container->record.id == changed.id || !has_links(container->record)) continue;
      record = container->record;
    }
    follow_links(record);
  }
}

Result<void> Launcher::write_network_files(const ContainerRecord& record, const StartFacts& facts) const {
  const HostConfig& host = record.host_config;
  const NetworkKind kind = network_kind(host.network_mode);
  if (kind == NetworkKind::container) return {};
  const std::string& directory = facts.container_directory;
  TRY(write_in_place(directory + "/hostname", facts.resolved_hostname + "\n"));
  TRY(write_hosts(record, facts));
  ResolverSettings resolver{host.dns.empty() ? settings_.dns : host.dns,
                            host.dns_search.empty() ? settings_.dns_search : host.dns_search,
                            host.dns_options.empty() ? settings_.dns_options : host.dns_options};
  if (record.named_by_resolver) {
    resolver.servers = {names::kListeningAddress};  // which knows the others
    // On networks that users make every name may be a container's, so it is asked for as it is first.
    // Elsewhere names of the search domains matter more: musl does not look there for names with as many dots
    // as that.
    if (resolver.options.empty() && on_users_network(record)) resolver.options = {"ndots:0"};
  }
  return write_in_place(directory + "/resolv.conf",
                        make_resolv_conf(host_resolv_conf(), resolver, kind != NetworkKind::host));
}

Result<void> Launcher::write_hosts(const ContainerRecord& record, const StartFacts& facts) const {
  const HostConfig& host = record.host_config;
  std::lock_guard lock(hosts_);
  std::string text = network_kind(host.network_mode) == NetworkKind::host && host.extra_hosts.empty()
                         ? read_file("/etc/hosts", kLongestHosts).value_or("127.0.0.1\tlocalhost\n")
                         : make_hosts(record, networks_.host_gateway(record));
  for (const HostsEntry& entry : hosts_entries(registry_, record)) text = with_hosts_entry(text, entry);
  return write_in_place(facts.container_directory + "/hosts", text);
}

Result<void> Launcher::write_bundle(const ContainerRecord& record, const oci::RuntimeSpec& spec,
                                    const RootFileSystems::Lower& lower) const {
  const std::string directory = settings_.run_directory(record.id);
  TRY(remove_tree(directory));
  TRY(make_directories(directory, 0700));
  keeper::Settings settings;
  settings.id = record.id;
  settings.terminal = record.config.tty;
  settings.open_stdin = record.config.open_stdin;
  settings.stdin_once = record.config.stdin_once;
  settings.restart.condition = TRY(keeper::parse_restart_condition(record.host_config.restart_name));
  settings.restart.maximum_retries = record.host_config.restart_maximum;
  settings.log = TRY(resolve_log_settings(settings_, record.host_config, settings_.log_path(record.id)));
  keeper::OverlaySettings& overlay = settings.overlay.emplace();
  overlay.lower = lower.directories;
  overlay.upper = roots_.upper_path(record);
  overlay.work = roots_.work_path(record);
  overlay.is_volatile = record.host_config.auto_remove || record.build_step;
  Fd opened = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  TRY(write_file_atomically(opened.get(), keeper::kConfigFile, oci::to_text(spec), 0600,
                            Durability::visible));
  return write_file_atomically(opened.get(), keeper::kSettingsFile, keeper::encode(settings), 0600,
                               Durability::visible);
}

Result<void> Launcher::start_keeper(const ContainerPointer& container, int network,
                                    const RootFileSystems::Lower& lower) {
  const std::string& id = container->record.id;
  std::vector<int> layers;
  for (const auto& mount : lower.mounts) layers.push_back(mount->get());
  std::shared_ptr<KeeperLink> link = TRY(keepers_.take(id, settings_.run_directory(id), network, layers));
  std::vector<WaitingClient> clients;
  {
    std::lock_guard lock(container->mutex);
    container->keeper = link;
    container->paused = false;
    container->state = keeper::State{};
    clients = std::exchange(container->waiting_clients, {});
  }
  TRY(watch_.add(link));
  for (const WaitingClient& client : clients) TRY(link->hand_over(client.socket, client.options));
  TRY(link->ask(keeper::MessageKind::start, "{}"));
  return {};
}

}  // namespace berth::engine
