// SPDX-License-Identifier: Apache-2.0
#include "build/builder.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "build/cache_import.h"
#include "build/deliver.h"
#include "build/selection.h"
#include "build/solve.h"
#include "build/stage.h"
#include "build/workspace.h"

namespace berth::build {
namespace {

constexpr std::size_t kStagesAtOnce = 16;

Result<std::optional<Timestamp>> source_date_epoch(const BuildRequest& request) {
  const auto given = request.arguments.find("SOURCE_DATE_EPOCH");
  if (given == request.arguments.end() || given->second.empty()) return std::optional<Timestamp>();
  const std::optional<std::int64_t> seconds = parse_integer<std::int64_t>(given->second);
  if (!seconds || *seconds < 0 || *seconds > 253'402'300'799)
    return fail(ErrorKind::invalid, "SOURCE_DATE_EPOCH must be a number of seconds since 1970: {}",
                given->second);
  return std::optional(Timestamp{*seconds * 1'000'000'000});
}

Result<Plan> plan_request(const dockerfile::Dockerfile& file, const BuildRequest& request) {
  PlanInput input;
  input.arguments = request.arguments;
  for (const auto& [name, context] : request.named_contexts) input.contexts.insert(name);
  input.target = request.target;
  input.platform = request.platform.value_or(oci::host_platform());
  return make_plan(file, input);
}

// Whatever happens in there, others wait for its result, and the engine goes on.
Result<StageResult> build_stage(Solve& solve, const PlannedStage& planned) {
  try {
    return StageBuilder(solve, planned).run();
  } catch (const std::exception& error) {
    return fail(ErrorKind::exhausted, "a stage came to nothing: {}", error.what());
  }
}

// Stages in the order of the file: each waits only for such as have been begun before it.
Result<void> solve_stages(Solve& solve, std::stop_source& stop) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::optional<Error> failure;
  auto work = [&] {
    for (std::size_t number = next++; number < solve.plan.stages.size(); number = next++) {
      const PlannedStage& planned = solve.plan.stages[number];
      Result<StageResult> result = build_stage(solve, planned);
      if (!result) {
        std::lock_guard lock(mutex);
        // The first is the reason; what it stopped is not.
        if (!failure || failure->kind == ErrorKind::cancelled) failure = result.error();
        stop.request_stop();
      }
      solve.board.put(planned.index, std::move(result));
    }
  };
  std::vector<std::jthread> threads;
  try {
    for (std::size_t count = 1; count < std::min(kStagesAtOnce, solve.plan.stages.size()); ++count)
      threads.emplace_back(work);
  } catch (const std::system_error& error) {
    // No more threads to be had: with fewer, then, if it must be with this one alone.
    log_warning("build", "fewer stages run at once: {}", error.what());
  }
  work();
  threads.clear();
  if (failure) return std::unexpected(std::move(*failure));
  return {};
}

void warn_of_unknown_stages(const Solve& solve) {
  const dockerfile::Dockerfile& file = solve.file;
  for (const std::string& name : solve.request.no_cache_stages)
    if (!dockerfile::find_stage(file, name, file.stages.size()))
      solve.progress.warning(
          fmt::format("--no-cache-filter {}: no stage of {} is called so", name, file.name));
}

void finish_config(oci::ImageConfig& config, const BuildRequest& request,
                   const std::optional<Timestamp>& epoch) {
  for (const auto& [name, value] : request.labels) config.config.labels[name] = value;
  if (epoch) config.created = *epoch;
  if (!config.created) config.created = now();
  config.comment.clear();
  config.docker_version.clear();
  config.config.image.clear();
  config.config.hostname.clear();
}

// Tells of no image and no name that is not recorded.
Result<Digest> deliver_and_tell(Solve& solve, const oci::ImageConfig& config) {
  Progress& progress = solve.progress;
  const bool record = solve.request.record;
  progress.delivery_begun(record ? "exporting to image" : "exporting the result");
  Result<Digest> id = deliver(solve, config);
  if (id && record) {
    progress.delivered("writing image " + id->text());
    for (const oci::Reference& name : solve.request.names) progress.delivered("naming to " + name.text());
  }
  progress.delivery_done(id ? nullptr : &id.error());
  return id;
}

}  // namespace

StageBoard::StageBoard(std::size_t stages, const Plan& plan) : results_(stages), planned_(stages) {
  for (const PlannedStage& stage : plan.stages) planned_[stage.index] = true;
}

void StageBoard::put(std::size_t index, Result<StageResult> result) {
  std::lock_guard lock(mutex_);
  results_[index] = std::move(result);
  changed_.notify_all();
}

Result<StageResult> StageBoard::wait(std::size_t index, const std::stop_token& stop) {
  // Only what a base image triggers can ask for such a one: the plan has not seen it.
  if (!planned_[index])
    return fail(ErrorKind::invalid,
                "stage {} is not part of this build: ONBUILD of a base image cannot take from it", index);
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return results_[index].has_value(); }))
    return fail(ErrorKind::cancelled, "the build was cancelled");
  if (!*results_[index]) return fail(ErrorKind::cancelled, "a stage that this one needs has failed");
  return *results_[index];
}

layers::OverlaySpec file_system_of(const layers::LayerStore& store, const std::vector<Digest>& diff_ids) {
  layers::OverlaySpec spec;
  spec.lower.assign(diff_ids.rbegin(), diff_ids.rend());
  if (diff_ids.empty()) spec.below = {store.empty_path()};
  return spec;
}

layers::OverlaySpec file_system_of(const Solve& solve, const std::vector<Digest>& diff_ids) {
  return file_system_of(*solve.services.options.layers, diff_ids);
}

Result<Fd> open_file_system(const layers::LayerStore& store, const std::vector<Digest>& diff_ids) {
  if (diff_ids.empty()) return open_file(store.empty_path(), O_RDONLY | O_DIRECTORY);
  layers::OverlaySpec spec = file_system_of(store, diff_ids);
  spec.read_only = true;
  return layers::mount_detached(store, spec);
}

Result<Fd> open_file_system(const Solve& solve, const std::vector<Digest>& diff_ids) {
  return open_file_system(*solve.services.options.layers, diff_ids);
}

Result<std::shared_ptr<const Tree>> mount_tree(const Solve& solve, const std::vector<Digest>& diff_ids) {
  auto tree = std::make_shared<Tree>();
  tree->root = TRY(open_file_system(solve, diff_ids));
  tree->keeps_owners = true;
  tree->stable = true;
  return tree;
}

Result<image::Image> base_image(Solve& solve, const std::string& name,
                                const std::optional<oci::Platform>& platform, const Step& step) {
  image::ImageStore& images = *solve.services.options.images;
  const std::optional<oci::Platform> wanted = platform ? platform : solve.request.platform;
  if (!solve.request.pull) {
    Result<image::Image> local = images.resolve(name);
    const bool fits = local && (!wanted || oci::runs_on(local->config.platform, *wanted));
    if (fits) return local;
    if (!local && local.error().kind != ErrorKind::not_found) return local;
  }
  image::PullRequest pull{.name = TRY(oci::Reference::parse_with_default_tag(name)),
                          .platform = wanted,
                          .access = {},
                          .on_status = {},
                          .stop = solve.stop};
  pull.access = {.settings = solve.request.registries,
                 .credentials = credentials_for(solve.request, pull.name)};
  pull.on_status = [&](const image::TransferStatus& status) -> Result<void> {
    solve.progress.transfer(step, status);
    return {};
  };
  const image::Pulled pulled = TRY(images.pull(pull));
  return images.get(pulled.id);
}

Digest chain_digest(const std::vector<Digest>& diff_ids) {
  PartsDigest digest;
  for (const Digest& diff_id : diff_ids) digest.add(diff_id.text());
  return digest.finish();
}

Builder::Builder(BuilderOptions options) {
  const std::string mounts = options.directory + "/cache-mounts";
  services_ =
      std::unique_ptr<Services>(new Services{.options = options,
                                             .cache = {*options.database, *options.images, *options.layers},
                                             .mounts = CacheMounts(mounts),
                                             .files = {},
                                             .memory = MemoryRooms(),
                                             .in_flight = {},
                                             .held = HeldResults()});
}

Builder::~Builder() = default;

Result<void> Builder::load() {
  const std::string& directory = services_->options.directory;
  TRY(clear_workspaces(directory + "/steps"));
  TRY(clear_workspaces(directory + "/contexts"));
  TRY(services_->mounts.load());
  return services_->cache.load();
}

HeldResults& Builder::held() { return services_->held; }

Result<Fd> Builder::open_tree(const BuildResult& result) const {
  return open_file_system(*services_->options.layers, result.image.diff_ids);
}

Result<Workspace> Builder::workspace() const {
  return Workspace::create(services_->options.directory + "/contexts");
}

Result<BuildOutcome> Builder::build(const BuildRequest& request, Progress& progress) {
  const dockerfile::Dockerfile file =
      TRY(dockerfile::parse_dockerfile(request.dockerfile, request.dockerfile_name));
  const Plan plan = TRY(plan_request(file, request));
  const std::optional<Timestamp> epoch = TRY(source_date_epoch(request));
  image::ImageStore& images = *services_->options.images;
  std::stop_source stop;
  std::stop_callback forward(request.stop, [&] { stop.request_stop(); });
  image::ImageStore::Adding adding(images);
  const ImportedCaches imported = import_caches(
      request, images, [&](const std::string& text) { progress.warning(text); }, request.stop);
  Solve solve{.services = *services_,
              .request = request,
              .file = file,
              .plan = plan,
              .progress = progress,
              .epoch = epoch,
              .stop = stop.get_token(),
              .adding = adding,
              .imported = imported,
              .remotes = RemoteContexts(services_->options.directory + "/contexts"),
              .board = StageBoard(file.stages.size(), plan),
              .mutex = {},
              .used_arguments = plan.used_arguments,
              .cached = 0,
              .made = 0,
              .results = {}};
  std::vector<std::size_t> stages;
  for (const PlannedStage& stage : plan.stages) stages.push_back(stage.index);
  progress.planned(stages);
  warn_of_unknown_stages(solve);
  Result<void> solved = solve_stages(solve, stop);
  if (Result<void> saved = services_->cache.save_uses(); !saved)
    log_warning("build", "{}", saved.error().message);
  if (!solved) return std::unexpected(std::move(solved).error());

  StageResult result = TRY(solve.board.wait(plan.target, {}));
  finish_config(result.config, request, epoch);
  const Digest id = TRY(deliver_and_tell(solve, result.config));
  BuildOutcome outcome{.image = id, .steps = plan.steps, .cached = solve.cached, .unused_arguments = {}};
  for (const auto& [name, value] : request.arguments)
    if (!solve.used_arguments.contains(name) && !is_proxy_argument(name) && name != "SOURCE_DATE_EPOCH")
      outcome.unused_arguments.push_back(name);
  // Sizes of cache mounts are looked up for it: not when nothing has grown.
  if (services_->options.cache_budget > 0 && solve.made > 0)
    (void)prune({.all = false, .keep_bytes = services_->options.cache_budget, .unused_since = {}});
  return outcome;
}

// A layer that an image has as well takes no space of the cache's. One that is the result of several keys, or
// came from several caches, takes it once: with the one that was used last, which is pruned last.
Result<std::vector<CacheLine>> Builder::usage() const {
  const std::set<Digest> of_images = TRY(services_->options.images->layers_of_images());
  std::vector<CacheLine> lines;
  std::set<Digest> counted;
  for (const CachedResult& result : services_->cache.list())
    lines.push_back({.id = result.key.hex(),
                     .kind = "regular",
                     .description = result.description,
                     .size = counted.insert(result.diff_id).second ? result.size : 0,
                     .created = result.created,
                     .last_used = result.last_used,
                     .uses = result.uses,
                     .shared = of_images.contains(result.diff_id)});
  for (const CacheMountInfo& mount : services_->mounts.list())
    lines.push_back({.id = mount.key,
                     .kind = "exec.cachemount",
                     .description = "cache mount " + mount.id,
                     .size = mount.size,
                     .created = mount.last_used,
                     .last_used = mount.last_used,
                     .in_use = mount.in_use});
  return lines;
}

Result<void> Builder::remove(const CacheLine& line) {
  if (line.kind == "exec.cachemount") return services_->mounts.remove(line.id);
  const Digest key = TRY(Digest::parse("sha256:" + line.id));
  return services_->cache.remove(key);
}

Result<PruneOutcome> Builder::prune(const PruneOptions& options) {
  services_->held.expire();
  std::vector<CacheLine> lines = TRY(usage());
  std::ranges::reverse(lines);
  std::ranges::stable_sort(lines, {}, [](const CacheLine& line) { return line.last_used.nanoseconds; });
  std::int64_t total = 0;
  for (const CacheLine& line : lines)
    if (!line.shared) total += line.size;
  PruneOutcome outcome;
  for (const CacheLine& line : lines) {
    if (options.keep_bytes > 0 && total <= options.keep_bytes) break;
    if (line.in_use || (line.shared && !options.all)) continue;
    if (options.unused_since && line.last_used > *options.unused_since) continue;
    if (!remove(line)) continue;  // somebody has begun to use it
    outcome.ids.push_back(line.id);
    if (line.shared) continue;
    total -= line.size;
    outcome.bytes += line.size;
  }
  return outcome;
}

}  // namespace berth::build
