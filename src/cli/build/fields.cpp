// SPDX-License-Identifier: Apache-2.0
#include "cli/build/fields.h"

#include "base/text.h"
#include "cli/create/mount.h"

namespace berth::cli {

Result<Fields> Fields::parse(std::string_view option, const std::string& text) {
  Fields fields(option, text);
  for (const std::string& field : TRY_AS(fmt::format("invalid {} \"{}\"", option, text), parse_csv(text))) {
    const auto [key, value] = split_once(field, '=');
    if (field.find('=') == field.npos || key.empty())
      return fail(ErrorKind::invalid, "invalid {} \"{}\": \"{}\" must be a key=value pair", option, text,
                  field);
    fields.values_[to_lower(key)] = value;
  }
  return fields;
}

std::string Fields::take(const std::string& key, std::string otherwise) {
  auto node = values_.extract(key);
  return node ? node.mapped() : otherwise;
}

Result<bool> Fields::take_switch(const std::string& key, bool otherwise) {
  const std::string value = to_lower(take(key, otherwise ? "true" : "false"));
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return fail(ErrorKind::invalid, "invalid {} \"{}\": {}={} must be true or false", option_, text_, key,
              value);
}

void Fields::pass_over(std::initializer_list<const char*> keys) {
  for (const char* key : keys) values_.erase(key);
}

Result<void> Fields::finish(std::string_view type) const {
  if (values_.empty()) return {};
  return fail(ErrorKind::unsupported, "{} \"{}\": type={} has no {} in this version", option_, text_, type,
              values_.begin()->first);
}

}  // namespace berth::cli
