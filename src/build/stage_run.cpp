// SPDX-License-Identifier: Apache-2.0
// RUN.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "build/cdi.h"
#include "build/selection.h"
#include "build/stage.h"
#include "layers/overlay.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

constexpr const char* kScriptDirectory =
    "/dev/pipes/";  // on the step's own /dev: nothing of it gets into a layer

constexpr const char* kAgentPlace = "/run/buildkit/ssh_agent.";

constexpr std::size_t kMostMounts = 256;  // of a step

void add_owner(PartsDigest& key, const dockerfile::Mount& mount) {
  for (const std::optional<std::uint32_t>& one : {mount.mode, mount.uid, mount.gid})
    key.add_number(one.has_value()).add_number(one.value_or(0));
}

// What a step can see of them. Hosts above all: by whose name something else answers makes another result,
// and one client's is not to be another's.
void add_settings(PartsDigest& key, const StepSettings& settings) {
  key.add_list(settings.extra_hosts).add_list(settings.security_options);
  key.add_number(static_cast<std::uint64_t>(settings.shm_size)).add_number(settings.limits.size());
  for (const Limit& limit : settings.limits)
    key.add(limit.name)
        .add_number(static_cast<std::uint64_t>(limit.soft))
        .add_number(static_cast<std::uint64_t>(limit.hard));
}

// A script that says by what it is run is a program of its own.
bool has_interpreter(const dockerfile::Command& command, std::string_view text) {
  return command.script && text.starts_with("#!");
}

}  // namespace

std::vector<std::string> StageBuilder::argument_list() const {
  std::vector<std::string> list;
  for (const auto& [name, value] : arguments_) {
    const bool overridden = std::ranges::any_of(
        config_.config.env, [&](const std::string& entry) { return split_once(entry, '=').first == name; });
    if (!overridden) list.push_back(name + "=" + value);
  }
  return list;
}

std::vector<std::string> StageBuilder::environment() const {
  std::vector<std::string> environment = argument_list();
  environment.insert(environment.end(), config_.config.env.begin(), config_.config.env.end());
  for (const auto& [name, value] : solve_.request.arguments)
    if (is_proxy_argument(name) && !arguments_.contains(name)) environment.push_back(name + "=" + value);
  return environment;
}

// "" is the working directory.
Result<std::string> StageBuilder::place_of(const dockerfile::Mount& mount) const {
  std::string place = in_working_directory(mount.target);
  if (place.size() > 1 && place.ends_with('/')) place.pop_back();
  if (place == "/")
    return fail(ErrorKind::invalid, "nothing can be mounted over /: give the mount a target below it");
  return place;
}

Result<void> StageBuilder::add_secret(const dockerfile::Mount& mount, Mounts& mounts) {
  const std::string id = mount.id.empty() ? sys::clean_relative(mount.target) : mount.id;
  mounts.digest.add("secret").add(id).add(mount.target).add(mount.environment.value_or(""));
  add_owner(mounts.digest, mount);
  const auto secret = solve_.request.secrets.find(id);
  if (secret == solve_.request.secrets.end()) {
    if (mount.required)
      return fail(ErrorKind::not_found, "the secret {} is required and was not given: add --secret id={}", id,
                  id);
    return {};
  }
  if (mount.environment) {
    if (secret->second.find('\0') != std::string::npos)
      return fail(ErrorKind::invalid, "the secret {} has a NUL byte: it cannot be a variable", id);
    mounts.environment.push_back(*mount.environment + "=" + secret->second);
  }
  if (!mount.environment || !mount.target.empty()) {
    const std::string target =
        mount.target.empty() ? "/run/secrets/" + id.substr(id.find_last_of('/') + 1) : mount.target;
    mounts.files.push_back(
        {target, secret->second, mount.mode.value_or(0400), mount.uid.value_or(0), mount.gid.value_or(0)});
  }
  return {};
}

// The client's SSH agent. The first that there is becomes the variable by which programs find theirs.
Result<void> StageBuilder::add_agent(dockerfile::Mount mount, Mounts& mounts) {
  if (mount.target.empty()) mount.target = fmt::format("{}{}", kAgentPlace, mounts.agents.size());
  mounts.digest.add("ssh").add(mount.id).add(mount.target);
  add_owner(mounts.digest, mount);
  const auto agent = solve_.request.agents.find(mount.id);
  if (agent == solve_.request.agents.end()) {
    if (mount.required)
      return fail(ErrorKind::not_found, "the SSH agent {} is required and was not given: add --ssh {}",
                  mount.id, mount.id);
    return {};
  }
  if (mounts.agents.empty()) mounts.environment.push_back("SSH_AUTH_SOCK=" + mount.target);
  mounts.agents.push_back({&agent->second,
                           mount.target,
                           {mount.mode.value_or(0600), mount.uid.value_or(0), mount.gid.value_or(0)}});
  return {};
}

// What a step depends on that has it mounted: of a stage or an image all of it, by its layers.
Result<Digest> StageBuilder::contents_of(const SourceTree& from, const Source& source) {
  if (from.layers) return chain_digest(*from.layers);
  const SelectionDigest selection =
      TRY(digest_selection(*from.tree, {&source, 1}, {}, &solve_.services.files, solve_.stop));
  return selection.contents;
}

Result<void> StageBuilder::add_bind(const dockerfile::Mount& mount, const Step& step, Mounts& mounts) {
  SourceTree from = TRY(source_tree(mount.from, step));
  MountedSource bind{std::move(from), {}, {}, mount.target, mount.read_only};
  if (!bind.from.tree)
    return fail(ErrorKind::invalid, "there is no build context to mount at {}", mount.target);
  bind.source = TRY(find_source(*bind.from.tree, mount.source));
  mounts.digest.add("bind").add(mount.target).add(bind.source.path).add_number(mount.read_only);
  bind.contents = TRY(contents_of(bind.from, bind.source));
  mounts.digest.add(bind.contents->text());
  mounts.binds.push_back(std::move(bind));
  return {};
}

// What it is filled with is looked up now, and waited for if need be: not when a step is under way for which
// others wait.
Result<void> StageBuilder::add_cache(const dockerfile::Mount& mount, const Step& step, Mounts& mounts) {
  mounts.digest.add("cache").add(mount.target).add(mount.id).add(mount.source).add_number(mount.read_only);
  add_owner(mounts.digest, mount);
  MountedCache cache{.mount = mount, .from = {}, .source = {}};
  if (!mount.from.empty()) {
    cache.from = TRY(source_tree(mount.from, step));
    cache.source = TRY(find_source(*cache.from.tree, mount.source));
    mounts.digest.add(TRY(contents_of(cache.from, cache.source)).text());
  }
  mounts.caches.push_back(std::move(cache));
  return {};
}

Result<StageBuilder::Mounts> StageBuilder::read_mounts(const dockerfile::RunInstruction& instruction,
                                                       const Step& step) {
  using Type = dockerfile::Mount::Type;
  Mounts mounts;
  if (instruction.mounts.size() > kMostMounts)
    return fail(ErrorKind::exhausted, "a step has more than {} mounts", kMostMounts);
  for (const dockerfile::MountFlag& flag : instruction.mounts) {
    dockerfile::Mount mount = TRY(dockerfile::parse_mount(flag.text.text, expansion()));
    const bool placed = (mount.type != Type::secret && mount.type != Type::ssh) || !mount.target.empty();
    if (placed) mount.target = TRY(place_of(mount));
    switch (mount.type) {
      case Type::bind:
        TRY(add_bind(mount, step, mounts));
        break;
      case Type::secret:
        TRY(add_secret(mount, mounts));
        break;
      case Type::tmpfs:
        mounts.digest.add("tmpfs").add(mount.target).add_number(static_cast<std::uint64_t>(mount.size));
        mounts.temporary.push_back(std::move(mount));
        break;
      case Type::cache:
        TRY(add_cache(mount, step, mounts));
        break;
      case Type::ssh:
        TRY(add_agent(std::move(mount), mounts));
        break;
    }
  }
  return mounts;
}

// A context is copied: only what is not ignored is seen, and nothing that the step does reaches the client's
// files. A stage's or an image's file system is mounted.
Result<StepMount> StageBuilder::open_bind(const MountedSource& source, const std::string& directory,
                                          std::vector<Attached>& attached) {
  const std::string path = directory + "/tree";
  TRY(make_directories(path, 0755));
  StepMount mount{.source = path,
                  .target = source.target,
                  .is_file = !source.source.is_directory,
                  .read_only = source.read_only};
  if (!source.from.layers || source.from.layers->empty()) {
    Fd root = TRY(open_file(path, O_RDONLY | O_DIRECTORY));
    CopyTarget target{
        .root = root.get(), .destination = mount.is_file ? "/file" : "/", .owner = {}, .mode = {}};
    const bool live = source.from.tree->live;
    SourceDigest copied(*source.from.tree, source.source);
    TRY(copy_source(*source.from.tree, source.source, {}, target, solve_.stop, live ? &copied : nullptr));
    SourceDigests all;
    all.add(copied.finish());
    if (live) TRY(check_copied(*source.contents, all.finish()));
    if (mount.is_file) mount.source += "/file";
    return mount;
  }
  layers::OverlaySpec spec = file_system_of(solve_, *source.from.layers);
  spec.read_only = source.read_only;
  if (!source.read_only) {
    spec.upper = TRY(layers::prepare_upper(directory, source.from.tree->root.get()));
    spec.volatile_upper = true;
  }
  Fd root = TRY(layers::mount_detached(*solve_.services.options.layers, spec));
  // No link is left in the path, and nobody else writes to this mount.
  const std::string below = TRY(sys::resolve_in_root(root.get(), source.source.path));
  TRY(layers::attach(root.get(), path));
  attached.emplace_back(path);
  mount.source += below;
  return mount;
}

// In memory: what a secret is does not touch the disk.
Result<void> StageBuilder::open_files(const std::vector<MountedFile>& files, const std::string& directory,
                                      std::vector<Attached>& attached, StepRequest& request) {
  if (files.empty()) return {};
  TRY(make_directories(directory, 0700));
  if (mount("tmpfs", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=16m") != 0)
    return fail_errno(errno, "mount a place for secrets");
  attached.emplace_back(directory);
  for (const MountedFile& file : files) {
    const std::string name = fmt::format("{}/{}", directory, request.mounts.size());
    Fd made = TRY(open_file(name, O_WRONLY | O_CREAT | O_EXCL, 0600));
    TRY(write_all(made.get(), file.content));
    if (fchown(made.get(), file.uid, file.gid) != 0 || fchmod(made.get(), file.mode) != 0)
      return fail_errno(errno, "own the file for {}", file.target);
    request.mounts.push_back({StepMount::Kind::bind, name, file.target, true, true, 0});
  }
  return {};
}

Result<void> StageBuilder::open_agents(const std::vector<MountedAgent>& agents, const std::string& directory,
                                       OpenMounts& open, StepRequest& request) {
  if (agents.empty()) return {};
  TRY(make_directories(directory, 0700));
  for (const MountedAgent& one : agents) {
    const std::string path = fmt::format("{}/{}", directory, request.mounts.size());
    std::unique_ptr<SshForward> forward = TRY(SshForward::start(path, *one.agent, one.owner));
    open.agents.push_back(std::move(forward));
    request.mounts.push_back({StepMount::Kind::bind, path, one.target, true, true, 0});
  }
  return {};
}

// In one order everywhere, and each but once: two steps that wait for each other's would wait for ever.
Result<void> StageBuilder::open_caches(const std::vector<MountedCache>& caches, OpenMounts& open,
                                       StepRequest& request) {
  std::map<std::string, std::vector<const MountedCache*>> by_id;
  for (const MountedCache& cache : caches) by_id[CacheMounts::id_of(cache.mount)].push_back(&cache);
  for (const auto& [id, same] : by_id) {
    const MountedCache& first = *same.front();
    auto fill = [&](int data) -> Result<void> {
      if (!first.from.tree) return {};
      const CopyTarget target{.root = data, .destination = "/", .owner = {}, .mode = {}};
      return copy_source(*first.from.tree, first.source, {}, target, solve_.stop);
    };
    std::unique_ptr<CacheMountUse> use = TRY(solve_.services.mounts.use(first.mount, fill, solve_.stop));
    for (const MountedCache* cache : same)
      request.mounts.push_back(
          {StepMount::Kind::bind, use->path(), cache->mount.target, false, cache->mount.read_only, 0});
    open.caches.push_back(std::move(use));
  }
  return {};
}

// Makes what is to be mounted below `directory`, which only this step uses.
Result<void> StageBuilder::open_mounts(const Mounts& mounts, const std::string& directory, OpenMounts& open,
                                       StepRequest& request) {
  for (const MountedSource& bind : mounts.binds) {
    StepMount one =
        TRY(open_bind(bind, fmt::format("{}/bind-{}", directory, request.mounts.size()), open.attached));
    request.mounts.push_back(std::move(one));
  }
  TRY(open_caches(mounts.caches, open, request));
  for (const dockerfile::Mount& one : mounts.temporary)
    request.mounts.push_back({StepMount::Kind::tmpfs, "", one.target, false, false, one.size});
  TRY(open_agents(mounts.agents, directory + "/agents", open, request));
  return open_files(mounts.files, directory + "/files", open.attached, request);
}

// Which of two steps have one result. Secrets are not looked at, as they are nothing that a result should
// depend on.
Digest StageBuilder::run_key(const StepRequest& request, std::string_view script,
                             const Digest& mounts) const {
  PartsDigest key = key_of("run");
  key.add_list(request.arguments).add(script).add_list(argument_list()).add_list(config_.config.env);
  key.add(request.user).add(request.working_directory).add(request.settings.network);
  key.add_number(request.settings.insecure).add(mounts.text());
  add_settings(key, request.settings);
  return key.finish();
}

std::string StageBuilder::run_history(const StepRequest& request) const {
  const std::vector<std::string> declared = argument_list();
  std::string history = "RUN ";
  if (!declared.empty()) history += fmt::format("|{} {} ", declared.size(), join(declared, " "));
  return history + join(request.arguments, " ");
}

Result<layers::Layer> StageBuilder::run_step(StepRequest request, const Mounts& mounts, const Step& step) {
  const Workspace work = TRY(Workspace::create(solve_.services.options.directory + "/steps"));
  OpenMounts open;  // closed before the directory goes
  TRY(open_mounts(mounts, work.path(), open, request));
  request.environment.insert(request.environment.end(), mounts.environment.begin(), mounts.environment.end());
  std::optional<layers::Layer> layer;
  auto changed = [&](int upper) -> Result<void> {
    layer = TRY(layer_from_upper(upper));
    return {};
  };
  auto output = [&](OutputStream stream, std::string_view data) {
    solve_.progress.output(step, stream, data);
  };
  const int code = TRY(solve_.services.options.runner->run(request, output, changed, solve_.stop));
  if (code != 0)
    return fail(ErrorKind::conflict, "The command '{}' returned a non-zero code: {}",
                join(request.arguments, " "), code);
  return std::move(*layer);
}

// A Dockerfile may take a step away from the network, but not give it the host's: that is the client's to
// say.
Result<void> StageBuilder::choose_network(const std::string& wanted, StepSettings& settings) const {
  if (wanted == "default") return {};
  if (wanted == "host" && settings.network != "host" && !solve_.request.entitlements.contains("network.host"))
    return fail(ErrorKind::denied,
                "RUN --network=host is not allowed: a build that may use the host's network is begun with "
                "--allow network.host or --network host");
  settings.network = wanted;
  return {};
}

Result<void> StageBuilder::add_devices(const dockerfile::RunInstruction& instruction, StepRequest& request,
                                       Mounts& mounts) const {
  if (instruction.devices.empty()) return {};
  const std::vector<CdiDevice> known = list_cdi_devices(solve_.services.options.cdi_directories);
  for (const dockerfile::Word& word : instruction.devices) {
    const std::string text = TRY(dockerfile::expand_word(word.text, expansion()));
    const DeviceRequest wanted = TRY(parse_device_request(text));
    const std::vector<CdiDevice> chosen = TRY(choose_devices(known, wanted, solve_.request.entitlements));
    for (const CdiDevice& device : chosen) {
      mounts.digest.add("device").add(device.qualified());
      request.devices.insert(request.devices.end(), device.nodes.begin(), device.nodes.end());
      mounts.environment.insert(mounts.environment.end(), device.environment.begin(),
                                device.environment.end());
    }
  }
  return {};
}

Result<StageBuilder::Made> StageBuilder::run_command(const dockerfile::RunInstruction& instruction,
                                                     const Step& step) {
  return while_it_changes([&] { return run_once(instruction, step); });
}

Result<StageBuilder::Made> StageBuilder::run_once(const dockerfile::RunInstruction& instruction,
                                                  const Step& step) {
  const dockerfile::Command& command = instruction.command;
  StepRequest request;
  request.layers = config_.diff_ids;
  request.environment = environment();
  request.user = config_.config.user;
  request.working_directory = config_.config.working_dir.empty() ? "/" : config_.config.working_dir;
  request.settings = solve_.request.settings;
  if (!instruction.network.empty()) TRY(choose_network(instruction.network, request.settings));
  request.settings.insecure = instruction.security == "insecure";
  if (request.settings.insecure && !solve_.request.entitlements.contains("security.insecure"))
    return fail(ErrorKind::denied,
                "RUN --security=insecure is not allowed: a build that may have such steps is begun with "
                "--allow security.insecure");

  const std::string text = command.exec ? "" : dockerfile::shell_text(command);
  const dockerfile::Command plain{
      .exec = command.exec, .words = command.exec ? command.words : std::vector{text}, .heredocs = {}};
  request.arguments = dockerfile::command_words(plain, config_.config);
  Mounts mounts = TRY(read_mounts(instruction, step));
  TRY(add_devices(instruction, request, mounts));
  if (has_interpreter(command, text)) {
    request.arguments = {kScriptDirectory + command.heredocs.front().name};
    mounts.files.push_back({request.arguments.front(), text, 0555, 0, 0});
  }
  const Digest key = run_key(request, has_interpreter(command, text) ? text : "", mounts.digest.finish());
  const bool from_live =
      std::ranges::any_of(mounts.binds, [](const MountedSource& bind) { return bind.from.tree->live; });
  return layer_of(
      key, step, run_history(request), [&] { return run_step(request, mounts, step); }, from_live);
}

}  // namespace berth::build
