// SPDX-License-Identifier: Apache-2.0
#include "runtime/users.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "sys/rooted_path.h"

namespace berth::runtime {
namespace {

constexpr std::size_t kMaximumFile = 4u << 20;
constexpr std::uint32_t kMaximumId = 0x7fffffff;

struct PasswdEntry {
  std::string_view name, home;
  std::uint32_t uid = 0, gid = 0;
};

struct GroupEntry {
  std::string_view name, members;
  std::uint32_t gid = 0;
};

// Calls `each(fields)` for every line with at least `count` fields, until it returns true.
template <class Function>
void for_each_line(std::string_view text, std::size_t count, Function each) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    std::vector<std::string_view> fields = split(line, ':');
    if (fields.size() >= count && each(fields)) return;
  }
}

std::optional<std::uint32_t> parse_id(std::string_view text) {
  auto id = parse_integer<std::uint32_t>(text);
  return id && *id <= kMaximumId ? id : std::nullopt;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

template <class Matches>
std::optional<PasswdEntry> find_user(std::string_view passwd, Matches matches) {
  std::optional<PasswdEntry> found;
  for_each_line(passwd, 4, [&](const std::vector<std::string_view>& fields) {
    auto uid = parse_id(fields[2]), gid = parse_id(fields[3]);
    if (!uid || !gid) return false;
    PasswdEntry entry{fields[0], fields.size() > 5 ? fields[5] : std::string_view{}, *uid, *gid};
    if (matches(entry)) found = entry;
    return found.has_value();
  });
  return found;
}

template <class Matches>
std::optional<GroupEntry> find_group(std::string_view group, Matches matches) {
  std::optional<GroupEntry> found;
  for_each_line(group, 3, [&](const std::vector<std::string_view>& fields) {
    auto gid = parse_id(fields[2]);
    if (!gid) return false;
    GroupEntry entry{fields[0], fields.size() > 3 ? fields[3] : std::string_view{}, *gid};
    if (matches(entry)) found = entry;
    return found.has_value();
  });
  return found;
}

Result<std::uint32_t> resolve_group(const AccountFiles& files, std::string_view text) {
  if (auto gid = parse_id(text)) return *gid;
  if (all_digits(text))
    return fail(ErrorKind::invalid, "the group id {} is out of range (0 to {})", text, kMaximumId);
  if (auto named = find_group(files.group, [&](const GroupEntry& entry) { return entry.name == text; }))
    return named->gid;
  return fail(ErrorKind::invalid, "unable to find group {}: no matching entries in group file", text);
}

void add_group(std::vector<std::uint32_t>& groups, std::uint32_t gid) {
  if (std::find(groups.begin(), groups.end(), gid) == groups.end()) groups.push_back(gid);
}

bool lists(const GroupEntry& entry, std::string_view user) {
  if (user.empty()) return false;  // or a user without a name would be in every group without members
  for (std::string_view member : split(entry.members, ','))
    if (member == user) return true;
  return false;
}

}  // namespace

AccountFiles read_account_files(int root) {
  AccountFiles files;
  if (auto text = sys::read_file_in_root(root, "/etc/passwd", kMaximumFile)) files.passwd = std::move(*text);
  if (auto text = sys::read_file_in_root(root, "/etc/group", kMaximumFile)) files.group = std::move(*text);
  return files;
}

Result<ResolvedUser> resolve_user(const AccountFiles& files, std::string_view text,
                                  const std::vector<std::string>& extra_groups) {
  auto [user_text, group_text] = split_once(text, ':');
  if (user_text.empty()) user_text = "0";
  ResolvedUser resolved;
  std::optional<PasswdEntry> entry;
  if (auto uid = parse_id(user_text)) {
    resolved.user.uid = *uid;
    entry = find_user(files.passwd, [&](const PasswdEntry& candidate) { return candidate.uid == *uid; });
  } else if (all_digits(user_text)) {
    return fail(ErrorKind::invalid, "the user id {} is out of range (0 to {})", user_text, kMaximumId);
  } else {
    entry =
        find_user(files.passwd, [&](const PasswdEntry& candidate) { return candidate.name == user_text; });
    if (!entry)
      return fail(ErrorKind::invalid, "unable to find user {}: no matching entries in passwd file",
                  user_text);
  }
  if (entry) {
    resolved.user.uid = entry->uid;
    resolved.user.gid = entry->gid;
    resolved.home = std::string(entry->home);
  }
  if (!group_text.empty()) resolved.user.gid = TRY(resolve_group(files, group_text));
  // The group is among the supplementary ones too: a set-group-id program would otherwise drop it, and get
  // around what a file's mode keeps from that group.
  add_group(resolved.user.additional_gids, resolved.user.gid);
  if (group_text.empty() && entry) {
    for_each_line(files.group, 4, [&](const std::vector<std::string_view>& fields) {
      auto gid = parse_id(fields[2]);
      if (gid && lists(GroupEntry{fields[0], fields[3], *gid}, entry->name))
        add_group(resolved.user.additional_gids, *gid);
      return false;
    });
  }
  for (const std::string& extra : extra_groups) {
    std::uint32_t gid = TRY(resolve_group(files, extra));
    add_group(resolved.user.additional_gids, gid);
  }
  if (resolved.home.empty() || resolved.home.front() != '/') resolved.home = "/";
  return resolved;
}

}  // namespace berth::runtime
