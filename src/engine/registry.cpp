// SPDX-License-Identifier: Apache-2.0
#include "engine/registry.h"

#include <algorithm>
#include <array>
#include <random>

#include "base/text.h"
#include "engine/records.h"

namespace berth::engine {
namespace {

constexpr std::array kQualities{
    "able",    "agile", "amber", "bold",  "brave", "brisk",  "calm",  "clear",  "coastal", "deep",
    "eager",   "early", "fair",  "fleet", "fresh", "gentle", "glad",  "golden", "grand",   "green",
    "hardy",   "keen",  "kind",  "level", "light", "lively", "lucky", "mellow", "merry",   "noble",
    "patient", "plain", "polar", "proud", "quick", "quiet",  "ready", "silver", "steady",  "sunny",
    "swift",   "tidal", "true",  "warm",  "wise",  "young"};
constexpr std::array kVessels{
    "barge",    "bark",    "brig",    "caravel", "catamaran", "clipper",  "coble",   "cog",     "coracle",
    "corvette", "cutter",  "dhow",    "dinghy",  "dory",      "ferry",    "felucca", "galleon", "galley",
    "gig",      "hoy",     "hulk",    "junk",    "kayak",     "ketch",    "launch",  "lugger",  "packet",
    "pilot",    "pinnace", "punt",    "raft",    "sampan",    "schooner", "skiff",   "sloop",   "smack",
    "tender",   "trawler", "trireme", "tug",     "wherry",    "whaler",   "xebec",   "yawl"};

constexpr std::string_view kNameBeginnings = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

}  // namespace

bool valid_container_name(std::string_view name) {
  return name.size() >= 2 && name.size() <= 253 && kNameBeginnings.find(name[0]) != std::string_view::npos &&
         name.find_first_not_of(kNameCharacters) == std::string_view::npos;
}

Result<std::vector<std::string>> Registry::load() {
  std::vector<std::string> damaged;
  std::vector<StoredContainer> stored = TRY(load_containers(database_, damaged));
  std::lock_guard lock(mutex_);
  for (StoredContainer& entry : stored) {
    auto container = std::make_shared<Container>(std::move(entry.record));
    container->state = std::move(entry.state);
    id_by_name_[container->record.name] = container->record.id;
    by_id_[container->record.id] = std::move(container);
  }
  return damaged;
}

Result<void> Registry::check_free(const std::string& name) const {
  auto taken = id_by_name_.find(name);
  if (taken == id_by_name_.end()) return {};
  return fail(
      ErrorKind::conflict,
      "Conflict. The container name \"/{}\" is already in use by container \"{}\". You have to remove (or "
      "rename) that container to be able to reuse that name.",
      name, taken->second);
}

std::string Registry::made_up_name() const {
  thread_local std::mt19937 random{std::random_device{}()};
  for (int attempt = 0;; ++attempt) {
    std::string name =
        fmt::format("{}_{}", kQualities[random() % kQualities.size()], kVessels[random() % kVessels.size()]);
    if (attempt > 3) name += std::to_string(random() % 100000);
    if (!id_by_name_.contains(name)) return name;
  }
}

Result<ContainerPointer> Registry::add(ContainerRecord record, image::Lease lease) {
  if (!record.name.empty() && !valid_container_name(record.name))
    return fail(ErrorKind::invalid, "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                record.name);
  ContainerPointer container;
  {
    // The name is taken under the lock; the slow durable write is not made under it.
    std::lock_guard lock(mutex_);
    if (record.name.empty()) record.name = made_up_name();
    TRY(check_free(record.name));
    container = std::make_shared<Container>(std::move(record));
    container->lease = std::move(lease);
    id_by_name_[container->record.name] = container->record.id;
  }
  Result<void> inserted = insert_container(database_, container->record, container->state);
  std::lock_guard lock(mutex_);
  if (!inserted) {
    id_by_name_.erase(container->record.name);
    return std::unexpected(std::move(inserted).error());
  }
  by_id_[container->record.id] = container;
  return container;
}

Result<ContainerPointer> Registry::find(std::string_view reference) const {
  std::string name(reference.starts_with('/') ? reference.substr(1) : reference);
  std::lock_guard lock(mutex_);
  // What does not change in a record may be read without its container's lock.
  auto shown = [&](auto found) { return found != by_id_.end() && !found->second->record.build_step; };
  if (auto exact = by_id_.find(name); shown(exact)) return exact->second;
  if (auto named = id_by_name_.find(name); named != id_by_name_.end())
    if (auto found = by_id_.find(named->second); shown(found)) return found->second;
  ContainerPointer only;
  for (auto found = by_id_.lower_bound(name);
       !name.empty() && found != by_id_.end() && found->first.starts_with(name); ++found) {
    if (!shown(found)) continue;
    if (only) return fail(ErrorKind::invalid, "multiple IDs found with provided prefix: {}", name);
    only = found->second;
  }
  if (only) return only;
  return fail(ErrorKind::not_found, "No such container: {}", name);
}

ContainerPointer Registry::find_by_id(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::vector<ContainerPointer> Registry::all() const {
  std::vector<ContainerPointer> list;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, container] : by_id_) list.push_back(container);
  }
  // `created` never changes, so it may be read without the containers' locks.
  std::stable_sort(list.begin(), list.end(), [](const ContainerPointer& a, const ContainerPointer& b) {
    return a->record.created > b->record.created;
  });
  return list;
}

std::vector<ContainerPointer> Registry::shown() const {
  std::vector<ContainerPointer> list = all();
  std::erase_if(list, [](const ContainerPointer& container) { return container->record.build_step; });
  return list;
}

Result<void> Registry::rename(const ContainerPointer& container, const std::string& name) {
  if (!valid_container_name(name))
    return fail(ErrorKind::invalid, "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                name);
  std::lock_guard lock(mutex_);
  TRY(check_free(name));
  std::string previous;
  {
    std::lock_guard state_lock(container->mutex);
    previous = std::exchange(container->record.name, name);
  }
  Result<void> saved = save(container, durability_of(container->record));
  std::lock_guard state_lock(container->mutex);
  if (!saved) {
    container->record.name = previous;
    return saved;
  }
  id_by_name_.erase(previous);
  id_by_name_[name] = container->record.id;
  return {};
}

Result<void> Registry::remove(const ContainerPointer& container) {
  TRY(reserve_.even_on_a_full_disk([&] { return delete_container(database_, container->record); }));
  std::lock_guard lock(mutex_);
  id_by_name_.erase(container->record.name);
  by_id_.erase(container->record.id);
  return {};
}

Result<void> Registry::save(const ContainerPointer& container, Durability durability) {
  ContainerRecord record;
  keeper::State state;
  {
    std::lock_guard lock(container->mutex);
    record = container->record;
    state = container->state;
  }
  return reserve_.even_on_a_full_disk([&] { return update_container(database_, record, state, durability); });
}

}  // namespace berth::engine
