// SPDX-License-Identifier: Apache-2.0
// How a stage comes by a layer: the cache's, one that another build is making, or its own.
#include <fcntl.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "build/selection.h"
#include "build/stage.h"
#include "layers/overlay.h"

namespace berth::build {
namespace {

constexpr int kMostTries = 5;

}  // namespace

PartsDigest StageBuilder::key_of(std::string_view kind, bool on_nothing) const {
  PartsDigest digest;
  digest.add("1").add(kind).add(on_nothing ? "" : chain_digest(config_.diff_ids).text());
  digest.add_number(static_cast<std::uint64_t>(solve_.epoch ? solve_.epoch->nanoseconds : -1));
  return digest;
}

bool StageBuilder::may_use_cache() const {
  auto is_this = [&](const std::string& name) {
    return name == std::to_string(planned_.index) || (!name.empty() && to_lower(name) == stage_.name);
  };
  return !solve_.request.no_cache && std::ranges::none_of(solve_.request.no_cache_stages, is_this);
}

Result<StageBuilder::Made> StageBuilder::layer_of(const Digest& key, const Step& step, std::string history,
                                                  const std::function<Result<layers::Layer>()>& make,
                                                  bool from_live) {
  ResultCache& cache = solve_.services.cache;
  if (may_use_cache()) {
    std::optional<CachedResult> known = cache.find(key);
    // Not within in_flight: that gives what it has to other builds, which have not named this cache.
    if (!known) known = TRY(imported_result(key, step));
    if (known) return Made{std::move(known), true, std::move(history)};
  }
  auto work = [&]() -> Result<CachedResult> {
    const layers::Layer layer = TRY(make());
    announce(layer.diff_id);
    const Timestamp time = solve_.epoch.value_or(now());
    CachedResult result{key, layer.diff_id, time, now(), 0, static_cast<std::int64_t>(layer.size), step.text};
    TRY(cache.add(result));
    return result;
  };
  // A build that wants nothing from the cache does not want what another one is making either.
  if (!may_use_cache()) {
    CachedResult result = TRY(work());
    return Made{std::move(result), false, std::move(history)};
  }
  bool waited = false;
  const auto failure = from_live ? Failure::own : Failure::shared;
  CachedResult result = TRY(solve_.services.in_flight.once(key, solve_.stop, work, failure, &waited));
  return Made{std::move(result), waited, std::move(history)};
}

void StageBuilder::announce(const Digest& diff_id) {
  std::lock_guard lock(solve_.mutex);
  solve_.adding.added(diff_id);
}

// The layer, from where the cache is unless it is here.
Result<layers::Layer> StageBuilder::fetch_imported(const ImportedResult& imported) {
  if (imported.blob) {
    auto read = [&](archive::Sink& sink, const std::stop_token& stop) {
      return imported.cache->read(*imported.blob, sink, stop);
    };
    TRY(solve_.services.options.images->fetch_layer(
        {.blob = *imported.blob, .diff_id = imported.diff_id, .read = read, .stop = solve_.stop}));
  }
  layers::Layer layer = TRY(solve_.services.options.layers->get(imported.diff_id));
  announce(layer.diff_id);
  return layer;
}

// What a cache that this build has named gives for the key. One that lies, or is gone, is no reason to fail:
// the step is done here. The layer stays for the next build that names the same cache, under a key that no
// step can have.
Result<std::optional<CachedResult>> StageBuilder::imported_result(const Digest& key, const Step& step) {
  for (const ImportedResult& imported : solve_.imported.find(key)) {
    const std::string& from = imported.cache->description;
    const Result<layers::Layer> layer = fetch_imported(imported);
    if (!layer && solve_.stop.stop_requested()) return std::unexpected(layer.error());
    if (!layer) {
      solve_.imported.failed(imported, layer.error());
      solve_.progress.warning(fmt::format("the cache {} does not give \"{}\", which is done here: {}", from,
                                          step.text, layer.error().message));
      continue;
    }
    CachedResult result{
        key, layer->diff_id, imported.created, now(), 0, static_cast<std::int64_t>(layer->size), step.text};
    CachedResult kept = result;
    kept.key = PartsDigest().add("imported").add(from).add(key.text()).finish();
    if (TRY(solve_.services.cache.keep(std::move(kept)))) {
      const std::lock_guard lock(solve_.mutex);
      ++solve_.made;
    }
    return std::optional(std::move(result));
  }
  return std::optional<CachedResult>();
}

Result<StageBuilder::Made> StageBuilder::layer_by_writing(const Digest& key, const Step& step,
                                                          std::string history, const Writing& writing) {
  return layer_of(
      key, step, std::move(history), [&] { return write_layer(writing); }, writing.from_live);
}

// What is remembered of files has misled the key, or they change just now: it is all read again.
Result<void> StageBuilder::check_copied(const Digest& expected, const Digest& copied) {
  if (expected == copied) return {};
  solve_.services.files.forget();
  return fail(ErrorKind::cancelled, "the build context has changed while it was copied");
}

// Such a change is `cancelled`, so that nobody else who waits for the result takes the error.
Result<StageBuilder::Made> StageBuilder::while_it_changes(const std::function<Result<Made>()>& work) const {
  for (int tries = 1;; ++tries) {
    Result<Made> made = work();
    if (made || made.error().kind != ErrorKind::cancelled || solve_.stop.stop_requested()) return made;
    if (tries == kMostTries)
      return fail(
          ErrorKind::conflict,
          "files of the build context keep changing while they are copied: stop what writes to them, or "
          "name it in .dockerignore");
  }
}

// In memory if it is little: an upper directory lives for a moment.
Result<layers::Layer> StageBuilder::write_layer(const Writing& writing) {
  const Workspace work = TRY(Workspace::create(solve_.services.options.directory + "/steps"));
  if (writing.amount) {
    const std::string place = work.path() + "/memory";
    if (const auto memory = solve_.services.memory.take(place, *writing.amount)) {
      Result<layers::Layer> layer = write_layer_in(place, writing);
      if (layer || layer.error().kind != ErrorKind::exhausted) return layer;
    }
  }
  return write_layer_in(work.path(), writing);
}

// Over an overlay of what is there, so that links and directories are seen as a container would see them. Its
// upper directory is the layer.
Result<layers::Layer> StageBuilder::write_layer_in(const std::string& place, const Writing& writing) {
  const std::vector<Digest> below = writing.on_nothing ? std::vector<Digest>() : config_.diff_ids;
  layers::OverlaySpec spec = file_system_of(solve_, below);
  {
    Fd like = TRY(open_file_system(solve_, below));
    spec.upper = TRY(layers::prepare_upper(place, like.get()));
  }
  spec.volatile_upper = true;  // the layer's own bytes are synced
  {
    Fd root = TRY(layers::mount_detached(*solve_.services.options.layers, spec));
    TRY(writing.write(root.get()));
  }
  Fd upper = TRY(open_file(spec.upper->upper, O_RDONLY | O_DIRECTORY));
  return layer_from_upper(upper.get());
}

Result<layers::Layer> StageBuilder::layer_from_upper(int upper) {
  layers::AddOptions options;
  options.stop = solve_.stop;
  options.latest = solve_.epoch;
  options.describe_root = true;
  return solve_.services.options.layers->add_from_upper(upper, options);
}

}  // namespace berth::build
