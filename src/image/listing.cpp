// SPDX-License-Identifier: Apache-2.0
#include "image/listing.h"

#include <algorithm>

#include "base/text.h"
#include "image/image_store.h"
#include "image/store_core.h"

namespace berth::image {
namespace {

Result<bool> parse_flag(std::string_view name, std::string_view text) {
  if (text == "1" || text == "true" || text == "True" || text == "t") return true;
  if (text == "0" || text == "false" || text == "False" || text == "f") return false;
  return fail(ErrorKind::invalid, "invalid filter '{}={}'", name, text);
}

LabelFilter parse_label(std::string_view text) {
  auto [name, value] = split_once(text, '=');
  bool has_value = text.find('=') != std::string_view::npos;
  return {.name = std::string(name), .value = has_value ? std::optional<std::string>(value) : std::nullopt};
}

bool has_label(const oci::ImageConfig& config, const LabelFilter& filter) {
  auto label = config.config.labels.find(filter.name);
  return label != config.config.labels.end() && (!filter.value || *filter.value == label->second);
}

Result<Timestamp> creation_time(db::Transaction& transaction, std::string_view image) {
  Digest id = TRY(find_id(transaction, image));
  std::optional<ImageRecord> record = TRY(find_image(transaction, id));
  return record->created;
}

void narrow_before(Selection& selection, Timestamp time) {
  selection.before = selection.before ? std::min(*selection.before, time) : time;
}
void narrow_since(Selection& selection, Timestamp time) {
  selection.since = selection.since ? std::max(*selection.since, time) : time;
}

Result<void> add_filter(db::Transaction& transaction, Selection& selection, const std::string& name,
                        const std::string& value) {
  if (name == "dangling") {
    selection.dangling = TRY(parse_flag(name, value));
  } else if (name == "label") {
    selection.labels.push_back(parse_label(value));
  } else if (name == "label!") {
    selection.without_labels.push_back(parse_label(value));
  } else if (name == "reference") {
    selection.references.push_back(value);
  } else if (name == "before") {
    Timestamp time = TRY(creation_time(transaction, value));
    narrow_before(selection, time);
  } else if (name == "since") {
    Timestamp time = TRY(creation_time(transaction, value));
    narrow_since(selection, time);
  } else if (name == "until") {
    Timestamp time = TRY(parse_time_or_ago(value, now()));
    narrow_before(selection, time);
  }
  return {};
}

Result<bool> matches_any(const oci::Reference& name, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns)
    if (TRY(oci::matches_pattern(name, pattern))) return true;
  return patterns.empty();
}

// The line of one image, or nothing where the filters or `all` leave it out.
Result<std::optional<Summary>> summarize(db::Transaction& transaction, const ImageRecord& record, bool all,
                                         const Selection& selection) {
  // A damaged record stays visible, so that it can be removed.
  oci::ImageConfig config = oci::parse_image_config(record.config_bytes).value_or(oci::ImageConfig{});
  if (!selects(selection, config)) return std::nullopt;
  Summary summary{.id = record.id, .parent = record.parent, .created = record.created, .size = record.size};
  std::vector<oci::Reference> names = TRY(names_of(transaction, record.id));
  for (const oci::Reference& name : names) {
    if (!TRY(matches_any(name, selection.references))) continue;
    (name.digest() ? summary.digests : summary.tags).push_back(name.familiar());
  }
  bool named = !summary.tags.empty() || !summary.digests.empty();
  if (!named) {
    if (selection.dangling == false || !selection.references.empty()) return std::nullopt;
    bool parent_only = TRY(has_children(transaction, record.id));
    if (parent_only && (!all || selection.dangling == true)) return std::nullopt;
  } else if (selection.dangling == true && !summary.tags.empty()) {
    return std::nullopt;
  }
  summary.labels = std::move(config.config.labels);
  return summary;
}

Result<std::int64_t> shared_size(db::Transaction& transaction, const Digest& id) {
  db::Statement select =
      TRY(transaction.prepare("SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT diff_id, size FROM "
                              "image_layers WHERE image = ?1) AS mine "
                              "WHERE EXISTS (SELECT 1 FROM image_layers AS other WHERE other.diff_id = "
                              "mine.diff_id AND other.image <> ?1)"));
  TRY(select.bind(id));
  TRY(select.step());
  return select.integer(0);
}

}  // namespace

Result<Selection> parse_filters(db::Transaction& transaction, const Filters& filters,
                                const std::set<std::string>& allowed) {
  Selection selection;
  for (const auto& [name, values] : filters) {
    if (!allowed.contains(name)) return fail(ErrorKind::invalid, "invalid filter '{}'", name);
    for (const std::string& value : values) TRY(add_filter(transaction, selection, name, value));
  }
  return selection;
}

bool selects(const Selection& selection, const oci::ImageConfig& config) {
  auto has = [&](const LabelFilter& filter) { return has_label(config, filter); };
  if (selection.before && config.created >= *selection.before) return false;
  if (selection.since && config.created <= *selection.since) return false;
  return std::ranges::all_of(selection.labels, has) && std::ranges::none_of(selection.without_labels, has);
}

Result<std::vector<Summary>> ImageStore::list(bool all, const Filters& filters, bool with_shared_size) const {
  db::Transaction transaction = TRY(core_->database().read());
  Selection selection = TRY(parse_filters(
      transaction, filters, {"dangling", "label", "label!", "before", "since", "until", "reference"}));
  std::vector<ImageRecord> records = TRY(all_images(transaction));
  std::vector<Summary> summaries;
  for (const ImageRecord& record : records) {
    std::optional<Summary> summary = TRY(summarize(transaction, record, all, selection));
    if (!summary) continue;
    if (with_shared_size) summary->shared_size = TRY(shared_size(transaction, record.id));
    summaries.push_back(std::move(*summary));
  }
  return summaries;
}

Result<std::vector<HistoryLine>> ImageStore::history(std::string_view name) const {
  db::Transaction transaction = TRY(core_->database().read());
  Digest id = TRY(find_id(transaction, name));
  Image image = TRY(read_image(transaction, id));
  std::vector<LayerRecord> layers = TRY(layers_of(transaction, id));
  std::vector<HistoryLine> lines;
  std::size_t layer = 0;
  for (const oci::History& entry : image.config.history) {
    HistoryLine line{.created = entry.created, .created_by = entry.created_by, .comment = entry.comment};
    if (!entry.empty_layer) {
      if (layer >= layers.size())
        return fail(ErrorKind::corrupt, "the history of {} has more layers than the image", id.text());
      line.size = layers[layer++].size;
    }
    lines.push_back(std::move(line));
  }
  std::ranges::reverse(lines);
  // The newest lines are images of their own, as far as parents are known.
  std::optional<Digest> line_id = id;
  for (HistoryLine& line : lines) {
    if (!line_id) break;
    std::optional<ImageRecord> record = TRY(find_image(transaction, *line_id));
    if (!record) break;
    line.id = line_id;
    std::vector<oci::Reference> names = TRY(names_of(transaction, *line_id));
    for (const oci::Reference& tag : names)
      if (tag.tag()) line.tags.push_back(tag.familiar());
    line_id = record->parent;
  }
  return lines;
}

Result<DiskUsage> ImageStore::disk_usage() const {
  DiskUsage usage;
  usage.images = TRY(list(false, {}, true));
  std::vector<layers::Layer> all = TRY(core_->layers().list());
  for (const layers::Layer& layer : all) usage.layers_size += static_cast<std::int64_t>(layer.size);
  return usage;
}

Result<std::set<Digest>> ImageStore::layers_of_images() const {
  std::set<Digest> layers;
  db::Transaction transaction = TRY(core_->database().read());
  db::Statement select = TRY(transaction.prepare("SELECT DISTINCT diff_id FROM image_layers"));
  while (TRY(select.step())) layers.insert(TRY(select.digest(0)));
  return layers;
}

}  // namespace berth::image
