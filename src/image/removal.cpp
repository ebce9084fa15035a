// SPDX-License-Identifier: Apache-2.0
// `docker rmi` and `docker image prune`. What may go and what each refusal says is Docker's: clients print it
// and some parse it.
#include <algorithm>
#include <set>

#include "image/image_store.h"
#include "image/listing.h"
#include "image/store_core.h"

namespace berth::image {
namespace {

using Users = std::map<Digest, std::vector<ImageUser>>;

// One tag, or digests of one repository, or one tag and digests of its repository: then removing by id may
// take the names along.
bool is_single_reference(const std::vector<oci::Reference>& names) {
  if (names.size() <= 1) return true;
  const oci::Reference* single = nullptr;
  std::set<std::string> digest_repositories;
  for (const oci::Reference& name : names) {
    if (name.digest()) {
      digest_repositories.insert(name.repository());
    } else if (!single) {
      single = &name;
    } else {
      return false;
    }
  }
  if (!single) single = &names.front();
  return digest_repositories.size() == 1 && digest_repositories.contains(single->repository());
}

bool is_id_prefix(const Digest& id, std::string_view text) {
  return !text.empty() && (id.text().starts_with(text) || id.hex().starts_with(text));
}

std::string short_id(std::string_view id) { return std::string(id.substr(0, 12)); }

const ImageUser* first_user(const std::vector<ImageUser>& users, bool running) {
  auto user = std::ranges::find(users, running, &ImageUser::running);
  return user == users.end() ? nullptr : &*user;
}

// One removal inside one transaction. Events are collected and emitted after the commit.
class Remover {
 public:
  Remover(db::Transaction& transaction, const Users& users, const std::map<Digest, int>& leased)
      : transaction_(transaction), users_(users), leased_(leased) {}

  Result<void> remove(const Digest& id, std::string_view text, bool force, bool prune) {
    std::vector<oci::Reference> names = TRY(names_of(transaction_, id));
    if (is_id_prefix(id, text)) return remove_by_id(id, names, force, prune);
    oci::Reference name = TRY(oci::Reference::parse_with_default_tag(text));
    if (name.digest()) name = name.with_digest(*name.digest());
    if (!force && is_single_reference(names) && !users_of(id).empty())
      return fail(
          ErrorKind::conflict,
          "conflict: unable to remove repository reference \"{}\" (must force) - container {} is using its "
          "referenced image {}",
          text, short_id(users_of(id).front().container_id), id.short_hex());
    TRY(untag(id, name));
    TRY(untag_lonely_digests(id, name));
    std::vector<oci::Reference> left = TRY(names_of(transaction_, id));
    if (!left.empty()) return {};
    return remove_image(id, force, prune, true);
  }

  std::vector<Removal> removals;
  std::vector<std::pair<std::string, Digest>> events;
  std::vector<Digest> orphans;  // layers that may be garbage now

 private:
  struct Conflict {
    bool hard;
    std::string reason;
  };

  const std::vector<ImageUser>& users_of(const Digest& id) const {
    static const std::vector<ImageUser> none;
    auto found = users_.find(id);
    return found == users_.end() ? none : found->second;
  }

  Result<void> remove_by_id(const Digest& id, const std::vector<oci::Reference>& names, bool force,
                            bool prune) {
    if (is_single_reference(names)) {
      TRY(refuse_conflict(id, force, false));
      for (const oci::Reference& name : names) TRY(untag(id, name));
    }
    return remove_image(id, force, prune, false);
  }

  Result<void> untag(const Digest& id, const oci::Reference& name) {
    TRY(remove_name(transaction_, name));
    removals.push_back({Removal::Kind::untagged, name.familiar()});
    events.emplace_back("untag", id);
    return {};
  }

  // Digests that came with a tag of a repository go with its last tag.
  Result<void> untag_lonely_digests(const Digest& id, const oci::Reference& removed) {
    if (removed.digest()) return {};
    std::vector<oci::Reference> names = TRY(names_of(transaction_, id));
    std::erase_if(names,
                  [&](const oci::Reference& name) { return name.repository() != removed.repository(); });
    if (std::ranges::any_of(names, [](const oci::Reference& name) { return name.tag().has_value(); }))
      return {};
    for (const oci::Reference& name : names) TRY(untag(id, name));
    return {};
  }

  Result<std::optional<Conflict>> find_conflict(const Digest& id, bool force, bool count_names) {
    if (TRY(has_children(transaction_, id))) return Conflict{true, "image has dependent child images"};
    if (const ImageUser* user = first_user(users_of(id), true))
      return Conflict{true, "image is being used by running container " + short_id(user->container_id)};
    if (force) return std::nullopt;
    std::vector<oci::Reference> names = TRY(names_of(transaction_, id));
    if (count_names && !names.empty()) return Conflict{false, "image is referenced in multiple repositories"};
    if (const ImageUser* user = first_user(users_of(id), false))
      return Conflict{false, "image is being used by stopped container " + short_id(user->container_id)};
    return std::nullopt;
  }

  Result<void> refuse_conflict(const Digest& id, bool force, bool count_names) {
    std::optional<Conflict> conflict = TRY(find_conflict(id, force, count_names));
    if (!conflict) return {};
    return fail(ErrorKind::conflict, "conflict: unable to delete {} ({}) - {}", id.short_hex(),
                conflict->hard ? "cannot be forced" : "must be forced", conflict->reason);
  }

  // The image, then its nameless ancestors. `quiet`: a conflict ends the removal instead of failing it, since
  // a name was removed already, or nobody asked for this image by name.
  Result<void> remove_image(const Digest& id, bool force, bool prune, bool quiet) {
    if (quiet) {
      if (TRY(find_conflict(id, force, true))) return {};
    } else {
      TRY(refuse_conflict(id, force, true));
    }
    std::optional<ImageRecord> record = TRY(find_image(transaction_, id));
    if (!record) return {};
    std::vector<oci::Reference> names = TRY(names_of(transaction_, id));
    for (const oci::Reference& name : names) TRY(untag(id, name));
    std::vector<LayerRecord> layers = TRY(layers_of(transaction_, id));
    TRY(delete_image(transaction_, id));
    removals.push_back({Removal::Kind::deleted, id.text()});
    events.emplace_back("delete", id);
    TRY(report_layers(layers));
    if (!prune || !record->parent) return {};
    return remove_image(*record->parent, false, true, true);
  }

  // Top first, by their chain ids as Docker shows them.
  Result<void> report_layers(const std::vector<LayerRecord>& layers) {
    std::vector<Digest> diff_ids;
    for (const LayerRecord& layer : layers) diff_ids.push_back(layer.diff_id);
    std::vector<Digest> chain = oci::chain_ids(diff_ids);
    for (std::size_t i = diff_ids.size(); i-- > 0;) {
      if (TRY(layer_is_used(transaction_, diff_ids[i]))) continue;
      orphans.push_back(diff_ids[i]);
      if (!leased_.contains(diff_ids[i])) removals.push_back({Removal::Kind::deleted, chain[i].text()});
    }
    return {};
  }

  db::Transaction& transaction_;
  const Users& users_;
  const std::map<Digest, int>& leased_;
};

struct Outcome {
  std::vector<Removal> removals;
  std::int64_t freed = 0;
};

// The image that `text` means and all its ancestors, with the containers that use them.
Result<Users> users_of_lineage(db::Database& database, std::string_view text, const UsersOf& users_of) {
  std::vector<Digest> lineage;
  {
    db::Transaction transaction = TRY(database.read());
    std::optional<Digest> id = TRY(find_id(transaction, text));
    while (id && std::ranges::find(lineage, *id) == lineage.end()) {
      lineage.push_back(*id);
      std::optional<ImageRecord> record = TRY(find_image(transaction, *id));
      id = record ? record->parent : std::nullopt;
    }
  }
  Users users;
  for (const Digest& id : lineage) users[id] = users_of ? users_of(id) : std::vector<ImageUser>();
  return users;
}

Result<Outcome> remove_one(ImageStore::Core& core, std::string_view text, bool force, bool prune,
                           const UsersOf& users_of) {
  Outcome outcome;
  std::vector<std::pair<std::string, Digest>> events;
  // The name may move to another image between asking for its users and removing it: then ask again.
  for (int attempt = 0;; ++attempt) {
    Users users = TRY(users_of_lineage(core.database(), text, users_of));
    std::lock_guard lock(core.mutex);
    db::Transaction transaction = TRY(core.database().begin(Durability::durable));
    Digest id = TRY(find_id(transaction, text));
    if (!users.contains(id) && attempt < 10) continue;
    Remover remover(transaction, users, core.leased);
    TRY(remover.remove(id, text, force, prune));
    TRY(transaction.commit());
    core.candidates.insert(remover.orphans.begin(), remover.orphans.end());
    outcome.removals = std::move(remover.removals);
    outcome.freed = core.collect();
    events = std::move(remover.events);
    break;
  }
  for (const auto& [action, id] : events) core.emit(action, id);
  return outcome;
}

// What prune starts from: the images that the filters select, parents of others left out.
struct Candidate {
  Digest id;
  std::vector<oci::Reference> names;
};
Result<std::vector<Candidate>> prune_candidates(db::Database& database, const Selection& selection) {
  std::vector<Candidate> candidates;
  db::Transaction transaction = TRY(database.read());
  std::vector<ImageRecord> records = TRY(all_images(transaction));
  for (const ImageRecord& record : records) {
    oci::ImageConfig config = oci::parse_image_config(record.config_bytes).value_or(oci::ImageConfig{});
    if (!selects(selection, config)) continue;
    std::vector<oci::Reference> names = TRY(names_of(transaction, record.id));
    bool parent_only = names.empty() && TRY(has_children(transaction, record.id));
    if (!parent_only) candidates.push_back({record.id, std::move(names)});
  }
  return candidates;
}

bool has_tag(const std::vector<oci::Reference>& names) {
  return std::ranges::any_of(names, [](const oci::Reference& name) { return name.tag().has_value(); });
}

}  // namespace

Result<std::vector<Removal>> ImageStore::remove(std::string_view text, bool force, bool no_prune,
                                                const UsersOf& users) {
  Outcome outcome = TRY(remove_one(*core_, text, force, !no_prune, users));
  const bool deleted = std::ranges::any_of(
      outcome.removals, [](const Removal& removal) { return removal.kind == Removal::Kind::deleted; });
  if (deleted) core_->collect_blobs();
  return std::move(outcome.removals);
}

Result<PruneResult> ImageStore::prune(bool all, Filters filters, const UsersOf& users) {
  Selection selection;
  {
    db::Transaction transaction = TRY(core_->database().read());
    selection = TRY(parse_filters(transaction, filters, {"dangling", "label", "label!", "until"}));
  }
  if (selection.dangling) all = !*selection.dangling;
  std::vector<Candidate> candidates = TRY(prune_candidates(core_->database(), selection));
  PruneResult result;
  for (const Candidate& candidate : candidates) {
    if (has_tag(candidate.names) && !all) continue;
    if (users && !users(candidate.id).empty()) continue;
    std::vector<std::string> texts;
    for (const oci::Reference& name : candidate.names) texts.push_back(name.familiar());
    if (texts.empty()) texts.push_back(candidate.id.text());
    for (const std::string& text : texts) {
      Result<Outcome> outcome = remove_one(*core_, text, false, true, users);
      // In use since, or gone already, perhaps with the name before it: the rest goes on.
      if (!outcome) {
        if (outcome.error().kind == ErrorKind::conflict || outcome.error().kind == ErrorKind::not_found)
          continue;
        return std::unexpected(std::move(outcome).error());
      }
      result.reclaimed += outcome->freed;
      std::ranges::move(outcome->removals, std::back_inserter(result.removals));
    }
  }
  std::int64_t unknown = TRY(core_->collect_unknown());
  result.reclaimed += unknown;
  core_->collect_blobs(true);
  TRY(core_->set_keep_unknown_layers(false));
  return result;
}

}  // namespace berth::image
