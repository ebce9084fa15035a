// SPDX-License-Identifier: Apache-2.0
#include "engine/host_facts.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/file.h"
#include "base/text.h"
#include "engine/validation.h"
#include "sys/capabilities.h"

namespace berth::engine {
namespace {

constexpr int kMaximumDepth = 8;

std::optional<oci::Device> describe(const struct stat& info, std::string path_inside) {
  if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) return std::nullopt;
  return oci::Device{.path = std::move(path_inside),
                     .type = S_ISCHR(info.st_mode) ? "c" : "b",
                     .major = major(info.st_rdev),
                     .minor = minor(info.st_rdev),
                     .file_mode = info.st_mode & 0777,
                     .uid = info.st_uid,
                     .gid = info.st_gid};
}

template <class Skip>
void collect_devices(const std::string& on_host, const std::string& inside, int depth, Skip skip,
                     std::vector<oci::Device>& found) {
  Result<std::vector<std::string>> names = list_directory(on_host);
  if (!names || depth > kMaximumDepth) return;
  for (const std::string& name : *names) {
    const std::string path = on_host + "/" + name;
    struct stat info;
    if (skip(path) || lstat(path.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode))
      collect_devices(path, inside + "/" + name, depth + 1, skip, found);
    else if (auto device = describe(info, inside + "/" + name))
      found.push_back(std::move(*device));
  }
}

bool is_loopback(std::string_view server) { return server.starts_with("127.") || server == "::1"; }

}  // namespace

Result<std::vector<oci::Device>> lookup_device(const DeviceMapping& mapping) {
  const std::string inside =
      mapping.path_in_container.empty() ? mapping.path_on_host : mapping.path_in_container;
  struct stat info;
  if (stat(mapping.path_on_host.c_str(), &info) != 0)
    return fail_errno(errno, "error gathering device information while adding custom device \"{}\"",
                      mapping.path_on_host);
  if (auto device = describe(info, inside)) return std::vector{std::move(*device)};
  std::vector<oci::Device> found;
  if (S_ISDIR(info.st_mode))
    collect_devices(
        mapping.path_on_host, inside, 0, [](const std::string&) { return false; }, found);
  if (found.empty())
    return fail(ErrorKind::invalid,
                "error gathering device information while adding custom device \"{}\": not a device node",
                mapping.path_on_host);
  return found;
}

std::vector<oci::Device> all_host_devices() {
  static constexpr std::array skipped{"/dev/pts",  "/dev/shm",         "/dev/mqueue",
                                      "/dev/fd",   "/dev/console",     "/dev/ptmx",
                                      "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev"};
  std::vector<oci::Device> found;
  collect_devices(
      "/dev", "/dev", 0,
      [](const std::string& path) {
        return std::find(skipped.begin(), skipped.end(), path) != skipped.end();
      },
      found);
  return found;
}

Result<std::pair<std::int64_t, std::int64_t>> lookup_block_device(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return fail_errno(errno, "block device {}", path);
  if (!S_ISBLK(info.st_mode)) return fail(ErrorKind::invalid, "{} is not a block device", path);
  return std::pair<std::int64_t, std::int64_t>{major(info.st_rdev), minor(info.st_rdev)};
}

std::string make_resolv_conf(const std::string& host_text, const ResolverSettings& settings,
                             bool own_network) {
  std::vector<std::string> servers = settings.servers, search = settings.search, options = settings.options;
  for (std::string_view line : split(host_text, '\n')) {
    auto [word, rest] = split_once(trim(line), ' ');
    rest = trim(rest);
    if (word == "nameserver" && settings.servers.empty() && !(own_network && is_loopback(rest)))
      servers.emplace_back(rest);
    if (word == "search" && settings.search.empty()) search = {std::string(rest)};
    if (word == "options" && settings.options.empty()) options = {std::string(rest)};
  }
  if (settings.search.size() == 1 && settings.search[0] == ".") search.clear();  // Docker: no search at all
  std::string text;
  for (const std::string& server : servers) text += "nameserver " + server + "\n";
  if (!search.empty()) text += "search " + join(search, " ") + "\n";
  if (!options.empty()) text += "options " + join(options, " ") + "\n";
  return text;
}

std::string host_resolv_conf() {
  std::string text = read_file("/etc/resolv.conf", 64 * 1024).value_or("");
  // The stub at 127.0.0.53 answers on the host alone; resolved keeps the real servers here.
  if (text.find("127.0.0.53") != std::string::npos)
    if (auto real = read_file("/run/systemd/resolve/resolv.conf", 64 * 1024)) return *real;
  return text;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::int64_t host_memory() {
  struct sysinfo info;
  return sysinfo(&info) == 0 ? static_cast<std::int64_t>(info.totalram) * info.mem_unit : 0;
}

std::vector<std::string> machine_capabilities() { return sys::capability_names(sys::current_bounding_set()); }

std::string kernel_version() {
  utsname names;
  return uname(&names) == 0 ? names.release : "";
}

std::string operating_system() {
  const std::string text = read_file("/etc/os-release", 64 * 1024).value_or("");
  for (std::string_view line : split(text, '\n')) {
    constexpr std::string_view key = "PRETTY_NAME=";
    if (!line.starts_with(key)) continue;
    std::string_view value = line.substr(key.size());
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return "Linux";
}

}  // namespace berth::engine
