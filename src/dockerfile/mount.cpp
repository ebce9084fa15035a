// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/mount.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

using Type = Mount::Type;

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};
constexpr std::array<Named<Type>, 5> kTypes{{{"bind", Type::bind},
                                             {"cache", Type::cache},
                                             {"tmpfs", Type::tmpfs},
                                             {"secret", Type::secret},
                                             {"ssh", Type::ssh}}};
constexpr std::array<Named<Mount::Sharing>, 3> kSharings{{{"shared", Mount::Sharing::shared},
                                                          {"locked", Mount::Sharing::locked},
                                                          {"private", Mount::Sharing::exclusive}}};

template <class Table>
std::vector<std::string_view> names_of(const Table& table) {
  std::vector<std::string_view> names;
  for (const auto& entry : table) names.push_back(entry.name);
  return names;
}

std::string_view name_of(Type type) { return std::ranges::find(kTypes, type, &Named<Type>::value)->name; }

// Commas divide; a field that begins with a double quote ends at the next one, and "" is one inside of it
// (RFC 4180).
Result<std::vector<std::string>> fields_of(std::string_view text) {
  std::vector<std::string> fields;
  while (true) {
    std::string field;
    bool quoted = text.starts_with('"');
    std::size_t at = quoted ? 1 : 0;
    for (; at < text.size(); ++at) {
      if (quoted && text[at] == '"' && !text.substr(at + 1).starts_with('"')) break;
      if (!quoted && text[at] == ',') break;
      if (quoted && text[at] == '"') ++at;
      field += text[at];
    }
    if (quoted && (at == text.size() || (at + 1 < text.size() && text[at + 1] != ',')))
      return fail(ErrorKind::invalid, "a quote around a field does not end with it: {}", shown(text));
    fields.push_back(std::move(field));
    if (quoted) ++at;
    if (at >= text.size()) return fields;
    text.remove_prefix(at + 1);
  }
}

class MountReader {
 public:
  // Without `expansion` values are taken as they are.
  MountReader(const Expansion* expansion, bool variables_are_unknown)
      : expansion_(expansion), variables_are_unknown_(variables_are_unknown) {}

  Result<Mount> read(std::string_view text) {
    std::vector<Field> fields = TRY(fields_in(text));
    // The type decides what the other keys may be, wherever it stands.
    for (const Field& field : fields)
      if (field.key == "type") TRY(set_type(field));
    for (const Field& field : fields)
      if (field.key != "type") TRY(set(field));
    if (!type_is_unknown_) TRY(complete());
    return std::move(mount_);
  }

 private:
  struct Field {
    std::string text, key, value;
    bool has_value = false;
    bool unknown = false;  // its value depends on variables
  };

  Result<std::vector<Field>> fields_in(std::string_view text) {
    std::vector<std::string> parts = TRY(fields_of(text));
    std::vector<Field> fields;
    for (const std::string& part : parts) {
      Field field{.text = part};
      auto [key, value] = split_once(part, '=');
      field.key = canonical(to_lower(key));
      field.value = value;
      field.has_value = key.size() < part.size();
      bool variables = value.find('$') != std::string_view::npos;
      if (field.key == "from" && variables && (expansion_ || variables_are_unknown_))
        return fail(ErrorKind::invalid,
                    "'from' doesn't support variable expansion, define alias stage instead");
      field.unknown = variables && variables_are_unknown_;
      if (expansion_ && field.has_value) field.value = TRY(expand_word(value, *expansion_));
      fields.push_back(std::move(field));
    }
    return fields;
  }

  static std::string canonical(std::string key) {
    if (key == "src") return "source";
    if (key == "dst" || key == "destination") return "target";
    if (key == "ro") return "readonly";
    if (key == "rw") return "readwrite";
    return key;
  }

  Result<void> set_type(const Field& field) {
    type_is_unknown_ = type_is_unknown_ || field.unknown;
    if (field.unknown) return {};
    std::string name = to_lower(field.value);
    auto type = std::ranges::find(kTypes, name, &Named<Type>::name);
    if (type == kTypes.end())
      return fail(ErrorKind::invalid, "unsupported mount type \"{}\"{}", shown(field.value),
                  did_you_mean(name, names_of(kTypes)));
    mount_.type = type->value;
    return {};
  }

  Result<void> set(const Field& field) {
    const std::string& key = field.key;
    bool is_switch = key == "readonly" || key == "readwrite" || key == "required";
    static constexpr std::array<std::string_view, 18> keys{
        "type", "from", "source", "src", "target",  "dst",  "destination", "readonly", "ro",
        "rw",   "id",   "mode",   "uid", "sharing", "size", "required",    "env",      "gid"};
    bool known = is_switch || std::ranges::find(keys, key) != keys.end();
    if (!field.has_value && !is_switch && known)
      return fail(ErrorKind::invalid, "invalid field '{}' must be a key=value pair", shown(field.text));
    if (!known)
      return fail(ErrorKind::invalid, "unexpected key '{}' in '{}'{}", shown(key), shown(field.text),
                  did_you_mean(key, keys));
    TRY(check_allowed(key));
    if (field.unknown) return {};
    if (is_switch) return set_switch(field);
    if (key == "mode") return set_number(field, 8, mount_.mode);
    if (key == "uid") return set_number(field, 10, mount_.uid);
    if (key == "gid") return set_number(field, 10, mount_.gid);
    if (key == "sharing") return set_sharing(field);
    if (key == "size") return set_size(field);
    if (key == "env") {
      mount_.environment = field.value;
    } else {
      (key == "from"     ? mount_.from
       : key == "source" ? mount_.source
       : key == "id"     ? mount_.id
                         : mount_.target) = field.value;
    }
    return {};
  }

  // Keys that say nothing for a type are refused, but for those that Docker lets pass: id, source, a from.
  Result<void> check_allowed(std::string_view key) {
    if (type_is_unknown_) return {};
    Type type = mount_.type;
    bool file = type == Type::secret || type == Type::ssh;
    bool refused = (key == "required" && !file) || (key == "sharing" && type != Type::cache) ||
                   (key == "size" && type != Type::tmpfs) || (key == "env" && type != Type::secret) ||
                   (key == "from" && type == Type::secret);
    if (refused)
      return fail(ErrorKind::invalid, "unexpected key '{}' for mount type '{}'", key, name_of(type));
    bool has_owner = file || type == Type::cache;
    if (!has_owner && (key == "mode" || key == "uid" || key == "gid"))
      return fail(ErrorKind::invalid, "{} not allowed for \"{}\" type mounts", key, name_of(type));
    return {};
  }

  Result<void> set_switch(const Field& field) {
    std::string lower = to_lower(field.value);
    bool yes = !field.has_value || lower == "true" || lower == "1" || lower == "t";
    if (!yes && lower != "false" && lower != "0" && lower != "f")
      return fail(ErrorKind::invalid, "invalid value for {}: {}", field.key, shown(field.value));
    if (field.key == "required") {
      mount_.required = yes;
    } else {
      read_only_ = field.key == "readonly" ? yes : !yes;
    }
    return {};
  }

  static Result<void> set_number(const Field& field, int base, std::optional<std::uint32_t>& out) {
    out = parse_integer<std::uint32_t>(field.value, base);
    if (!out) return fail(ErrorKind::invalid, "invalid value {} for {}", shown(field.value), field.key);
    return {};
  }

  Result<void> set_sharing(const Field& field) {
    std::string name = to_lower(field.value);
    auto sharing = std::ranges::find(kSharings, name, &Named<Mount::Sharing>::name);
    if (sharing == kSharings.end())
      return fail(ErrorKind::invalid, "unsupported sharing value \"{}\"{}", shown(field.value),
                  did_you_mean(name, names_of(kSharings)));
    mount_.sharing = sharing->value;
    return {};
  }

  Result<void> set_size(const Field& field) {
    Result<std::int64_t> size = parse_size(field.value);
    if (!size) return fail(ErrorKind::invalid, "invalid value {} for size", shown(field.value));
    mount_.size = *size;
    return {};
  }

  // What follows from all of them together.
  Result<void> complete() {
    bool written = mount_.type == Type::cache || mount_.type == Type::tmpfs;
    mount_.read_only = read_only_.value_or(!written);
    if (mount_.type == Type::ssh && mount_.id.empty()) mount_.id = "default";
    if (mount_.type != Type::secret || variables_are_unknown_) return {};
    if (!mount_.source.empty() && !mount_.id.empty())
      return fail(ErrorKind::invalid, "both source and id can't be set");
    if (mount_.id.empty()) mount_.id = std::exchange(mount_.source, {});
    if (mount_.id.empty()) mount_.id = mount_.target.substr(mount_.target.rfind('/') + 1);
    if (mount_.id.empty())
      return fail(ErrorKind::invalid, "invalid secret mount. one of source, target required");
    return {};
  }

  const Expansion* expansion_;
  bool variables_are_unknown_;
  bool type_is_unknown_ = false;
  std::optional<bool> read_only_;
  Mount mount_;
};

}  // namespace

Result<Mount> parse_mount(std::string_view text) { return MountReader(nullptr, false).read(text); }

Result<Mount> parse_mount(std::string_view text, const Expansion& expansion) {
  return MountReader(&expansion, false).read(text);
}

Result<void> check_mount(std::string_view text) {
  bool variables = text.find('$') != std::string_view::npos;
  TRY(MountReader(nullptr, variables).read(text));
  return {};
}

Result<std::string> origin_of_mount(std::string_view text) {
  const Mount mount = TRY(MountReader(nullptr, true).read(text));
  return mount.from;
}

}  // namespace berth::dockerfile
