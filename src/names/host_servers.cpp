// SPDX-License-Identifier: Apache-2.0
#include "names/host_servers.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "names/records.h"

namespace berth::names {
namespace {

constexpr std::size_t kLargestResolvConf = 65'536;

std::vector<Server> servers_in(const std::string& path) {
  Result<std::string> text = read_file(path, kLargestResolvConf);
  return text ? parse_resolv_conf(*text) : std::vector<Server>();
}

}  // namespace

std::vector<Server> parse_resolv_conf(std::string_view text) {
  std::vector<Server> servers;
  for (std::string_view line : split(text, '\n')) {
    constexpr std::string_view keyword = "nameserver";
    if (!line.starts_with(keyword)) continue;
    std::string_view value = line.substr(keyword.size());
    if (value.empty() || (value[0] != ' ' && value[0] != '\t')) continue;
    value = trim(value);
    value = value.substr(0, value.find_first_of(" \t#;"));
    // The file has no ports, and no brackets.
    std::optional<Server> server = Server::parse(value);
    if (server && server->port == 53 && servers.size() < kMostServers) servers.push_back(*std::move(server));
  }
  return servers;
}

HostServers::Mark HostServers::Mark::of(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim};
}

bool HostServers::Mark::operator==(const Mark& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         modified.tv_sec == other.modified.tv_sec && modified.tv_nsec == other.modified.tv_nsec;
}

const std::vector<Server>& HostServers::current(std::chrono::steady_clock::time_point time) {
  if (!ever_ || time - looked_ >= std::chrono::seconds(1)) {
    looked_ = time;
    read_again();
  }
  return read_;
}

void HostServers::read_again() {
  const Mark own = Mark::of(paths_.own), systemd = Mark::of(paths_.systemd);
  if (ever_ && own == own_ && systemd == systemd_) return;
  ever_ = true;
  own_ = own;
  systemd_ = systemd;
  read_ = servers_in(paths_.own);
  if (read_.size() == 1 && read_[0] == Server::parse("127.0.0.53"))
    if (std::vector<Server> real = servers_in(paths_.systemd); !real.empty()) read_ = std::move(real);
  log_info("names", "the host's resolv.conf names {} DNS servers", read_.size());
}

}  // namespace berth::names
