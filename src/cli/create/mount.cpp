// SPDX-License-Identifier: Apache-2.0
#include "cli/create/mount.h"

#include <filesystem>

#include "base/json.h"
#include "base/text.h"
#include "cli/flags/flags.h"

namespace berth::cli {
namespace {

struct Mount {
  std::string type = "volume", source, target, consistency;
  bool read_only = false;
  std::string propagation;  // bind
  bool non_recursive = false, read_only_non_recursive = false, read_only_force = false, create = false;
  bool no_copy = false;  // volume
  std::string driver, subpath;
  std::map<std::string, std::string> labels, options;
  std::int64_t tmpfs_size = 0;  // tmpfs
  std::uint32_t tmpfs_mode = 0;
  std::string image_subpath;  // image
  bool has_bind = false, has_volume = false, has_tmpfs = false, has_image = false;
};

std::string absolute(std::string path) {
  if (path != "." && path != ".." && !path.starts_with("./") && !path.starts_with("../")) return path;
  std::error_code ignored;
  std::string full = (std::filesystem::current_path(ignored) / path).lexically_normal().string();
  while (full.size() > 1 && full.ends_with('/')) full.pop_back();
  return full;
}

Result<bool> boolean(const std::string& key, const std::string& value) {
  Result<bool> parsed = parse_boolean(value);
  if (parsed) return parsed;
  return fail(ErrorKind::invalid, "invalid value for {}: {}", key, value);
}

Result<void> set_recursion(Mount& mount, const std::string& value) {
  if (value == "enabled") return {};
  if (value == "disabled")
    mount.non_recursive = true;
  else if (value == "writable")
    mount.read_only_non_recursive = true;
  else if (value == "readonly")
    mount.read_only_force = true;
  else
    return fail(ErrorKind::invalid,
                "invalid value for bind-recursive: {} (must be \"enabled\", \"disabled\", \"writable\", or "
                "\"readonly\")",
                value);
  return {};
}

Result<void> set_option(Mount& mount, const std::string& key, const std::string& value,
                        std::string_view field) {
  if (key == "type")
    mount.type = to_lower(value);
  else if (key == "source" || key == "src")
    mount.source = absolute(value);
  else if (key == "target" || key == "dst" || key == "destination")
    mount.target = value;
  else if (key == "readonly" || key == "ro")
    mount.read_only = TRY(boolean(key, value));
  else if (key == "consistency")
    mount.consistency = to_lower(value);
  else if (key == "bind-propagation")
    mount.propagation = to_lower(value), mount.has_bind = true;
  else if (key == "bind-nonrecursive")
    mount.non_recursive = TRY(boolean(key, value)), mount.has_bind = true;
  else if (key == "bind-recursive") {
    mount.has_bind = true;
    return set_recursion(mount, value);
  } else if (key == "bind-create-src")
    mount.create = TRY(boolean(key, value)), mount.has_bind = true;
  else if (key == "volume-subpath")
    mount.subpath = value, mount.has_volume = true;
  else if (key == "volume-nocopy")
    mount.no_copy = TRY(boolean(key, value)), mount.has_volume = true;
  else if (key == "volume-driver")
    mount.driver = value, mount.has_volume = true;
  else if (key == "volume-label" || key == "volume-opt") {
    auto [name, setting] = split_once(value, '=');
    (key == "volume-label" ? mount.labels : mount.options)[std::string(name)] = setting;
    mount.has_volume = true;
  } else if (key == "image-subpath")
    mount.image_subpath = value, mount.has_image = true;
  else if (key == "tmpfs-size") {
    Result<std::int64_t> size = parse_size(value);
    if (!size) return fail(ErrorKind::invalid, "invalid value for {}: {}", key, value);
    mount.tmpfs_size = *size, mount.has_tmpfs = true;
  } else if (key == "tmpfs-mode") {
    auto mode = parse_integer<std::uint32_t>(value, 8);
    if (!mode) return fail(ErrorKind::invalid, "invalid value for {}: {}", key, value);
    mount.tmpfs_mode = *mode, mount.has_tmpfs = true;
  } else
    return fail(ErrorKind::invalid, "unexpected key '{}' in '{}'", key, field);
  return {};
}

Result<void> check(const Mount& mount) {
  auto mixed = [&](std::string_view family) {
    return fail(ErrorKind::invalid, "cannot mix '{}-*' options with mount type '{}'", family, mount.type);
  };
  if (mount.target.empty()) return fail(ErrorKind::invalid, "target is required");
  if (mount.has_volume && mount.type != "volume") return mixed("volume");
  if (mount.has_bind && mount.type != "bind") return mixed("bind");
  if (mount.has_tmpfs && mount.type != "tmpfs") return mixed("tmpfs");
  if (mount.has_image && mount.type != "image") return mixed("image");
  if (mount.read_only_non_recursive && !mount.read_only)
    return fail(ErrorKind::invalid,
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  if (mount.read_only_force && !mount.read_only)
    return fail(ErrorKind::invalid,
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
  if (mount.read_only_force && mount.propagation != "rprivate")
    return fail(ErrorKind::invalid,
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in "
                "conjunction");
  return {};
}

void put(json::object& object, std::string_view name, const std::string& value) {
  if (!value.empty()) object[name] = value;
}
void put(json::object& object, std::string_view name, bool value) {
  if (value) object[name] = true;
}

json::object volume_options(const Mount& mount) {
  json::object options;
  put(options, "NoCopy", mount.no_copy);
  if (!mount.labels.empty()) options["Labels"] = to_json(mount.labels);
  put(options, "Subpath", mount.subpath);
  if (!mount.driver.empty() || !mount.options.empty()) {
    json::object driver;
    put(driver, "Name", mount.driver);
    if (!mount.options.empty()) driver["Options"] = to_json(mount.options);
    options["DriverConfig"] = std::move(driver);
  }
  return options;
}

// Only what was given, as the API's clients send it.
json::object encode(const Mount& mount) {
  json::object object;
  put(object, "Type", mount.type);
  put(object, "Source", mount.source);
  put(object, "Target", mount.target);
  put(object, "ReadOnly", mount.read_only);
  put(object, "Consistency", mount.consistency);
  if (mount.has_bind) {
    json::object options;
    put(options, "Propagation", mount.propagation);
    put(options, "NonRecursive", mount.non_recursive);
    put(options, "CreateMountpoint", mount.create);
    put(options, "ReadOnlyNonRecursive", mount.read_only_non_recursive);
    put(options, "ReadOnlyForceRecursive", mount.read_only_force);
    object["BindOptions"] = std::move(options);
  }
  if (mount.has_volume) object["VolumeOptions"] = volume_options(mount);
  if (mount.has_image) object["ImageOptions"] = json::object{{"Subpath", mount.image_subpath}};
  if (mount.has_tmpfs) {
    json::object options;
    if (mount.tmpfs_size) options["SizeBytes"] = mount.tmpfs_size;
    if (mount.tmpfs_mode) options["Mode"] = mount.tmpfs_mode;
    object["TmpfsOptions"] = std::move(options);
  }
  return object;
}

}  // namespace

Result<std::vector<std::string>> parse_csv(std::string_view line) {
  std::vector<std::string> fields{""};
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (line[at] == ',') {
      fields.emplace_back();
    } else if (line[at] == '"') {
      if (!fields.back().empty())
        return fail(ErrorKind::invalid, "parse error on line 1, column {}: bare \" in non-quoted field",
                    at + 1);
      for (++at;; ++at) {
        if (at >= line.size())
          return fail(ErrorKind::invalid,
                      "parse error on line 1, column {}: extraneous or missing \" in quoted-field", at + 1);
        if (line[at] != '"')
          fields.back() += line[at];
        else if (at + 1 < line.size() && line[at + 1] == '"')
          fields.back() += line[at++];
        else
          break;
      }
      if (at + 1 < line.size() && line[at + 1] != ',')
        return fail(ErrorKind::invalid,
                    "parse error on line 1, column {}: extraneous or missing \" in quoted-field", at + 1);
    } else {
      fields.back() += line[at];
    }
  }
  return fields;
}

Result<json::object> parse_mount(std::string_view text) {
  if (trim(text).empty()) return fail(ErrorKind::invalid, "value is empty");
  Mount mount;
  std::vector<std::string> fields = TRY(parse_csv(text));
  for (const std::string& field : fields) {
    if (field.empty()) return fail(ErrorKind::invalid, "invalid field '{}' must be a key=value pair", field);
    std::size_t equals = field.find('=');
    std::string key = to_lower(std::string_view(field).substr(0, equals));
    std::string value = equals == field.npos ? "" : field.substr(equals + 1);
    bool flag = key == "readonly" || key == "ro" || key == "volume-nocopy" || key == "bind-nonrecursive";
    if (equals == field.npos) {
      if (!flag) return fail(ErrorKind::invalid, "invalid field '{}' must be a key=value pair", field);
      value = "true";
    }
    TRY(set_option(mount, key, value, field));
  }
  TRY(check(mount));
  return encode(mount);
}

Result<std::string> check_mount(std::string_view text) {
  TRY(parse_mount(text));
  return std::string(text);
}

}  // namespace berth::cli
