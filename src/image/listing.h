// SPDX-License-Identifier: Apache-2.0
// Which images a client's filters mean, and the lines of its lists.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "image/image.h"
#include "image/records.h"
#include "oci/image_config.h"

namespace berth::image {

struct LabelFilter {
  std::string name;
  std::optional<std::string> value;  // nullopt: any
};

// Filters, checked and with times and images looked up.
struct Selection {
  std::optional<bool> dangling;
  std::optional<Timestamp> before;  // created earlier than this
  std::optional<Timestamp> since;   // created later than this
  std::vector<std::string> references;
  std::vector<LabelFilter> labels;
  std::vector<LabelFilter> without_labels;
};

// Those of `allowed` alone; another is ErrorKind::invalid, "invalid filter 'x'".
Result<Selection> parse_filters(db::Transaction& transaction, const Filters& filters,
                                const std::set<std::string>& allowed);
bool selects(const Selection& selection, const oci::ImageConfig& config);  // by times and labels

}  // namespace berth::image
