// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/git_reference.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace berth::dockerfile {
namespace {

constexpr std::size_t kLongestReference = 4096;
constexpr std::array<std::string_view, 4> kSchemes{"http", "https", "ssh", "git"};
constexpr std::string_view kShorthand = "github.com/";

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view others) {
  return std::ranges::all_of(
      text, [&](char c) { return is_letter_or_digit(c) || others.find(c) != std::string_view::npos; });
}

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }

bool has_blank(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return c == ' ' || is_control(c); });
}

// What may stand where a program expects a host's or a user's name: never an option.
bool is_name(std::string_view text) {
  return !text.empty() && text.front() != '-' && consists_of(text, "._-+");
}

bool is_host(std::string_view text) {
  if (text.starts_with('['))
    return text.ends_with(']') && text.size() > 2 && consists_of(text.substr(1, text.size() - 2), ":.");
  return is_name(text);
}

// What people see of a wrong one. A password, if there is one, stands in front of an "@".
std::string shown(std::string_view text) {
  std::string clean(text);
  const std::size_t at = text.find('@');
  const std::size_t scheme = text.find("://");
  if (at != text.npos && scheme != text.npos && scheme < at)
    clean = std::string(text.substr(0, scheme + 3)) + "***" + std::string(text.substr(at));
  std::ranges::replace_if(clean, is_control, '?');
  if (clean.size() > 200) clean = clean.substr(0, 200) + "...";
  if (!valid_utf8(clean))
    for (char& c : clean)
      if (static_cast<unsigned char>(c) > 0x7f) c = '?';
  return clean;
}

struct Parts {
  std::string_view address, query, fragment;
};

Parts take_apart(std::string_view text) {
  const auto [front, fragment] = split_once(text, '#');
  const auto [address, query] = split_once(front, '?');
  return {address, query, fragment};
}

// "user@host:path", as scp has it.
struct ScpParts {
  std::string_view user, host, path;
};
std::optional<ScpParts> scp_parts(std::string_view address) {
  const auto [user, rest] = split_once(address, '@');
  const auto [host, path] = split_once(rest, ':');
  if (address.find("://") != address.npos || !is_name(user) || !is_name(host) || path.empty())
    return std::nullopt;
  return ScpParts{user, host, path};
}

std::string_view scheme_of(std::string_view address) {
  const std::size_t end = address.find("://");
  return end == address.npos ? std::string_view() : address.substr(0, end);
}

// As it is decoded somewhere on the way, and then is a line or an option of its own.
Result<void> check_path(std::string_view path) {
  const std::optional<std::string> decoded = percent_decode(path, false);
  if (!decoded || std::ranges::any_of(*decoded, is_control))
    return fail(ErrorKind::invalid, "its path has a character that no path should have");
  std::string_view name = *decoded;
  while (name.starts_with('/')) name.remove_prefix(1);
  if (name.empty()) return fail(ErrorKind::invalid, "it names no repository on its host");
  if (name.starts_with('-')) return fail(ErrorKind::invalid, "its path begins with \"-\"");
  return {};
}

Result<void> read_authority(std::string_view scheme, std::string_view authority, GitReference& reference) {
  const bool web = scheme == "http" || scheme == "https";
  const std::size_t at = authority.find_last_of('@');
  const std::string_view user = at == authority.npos ? std::string_view() : authority.substr(0, at);
  std::string_view host = at == authority.npos ? authority : authority.substr(at + 1);
  if (at != authority.npos && web) {
    std::optional<std::string> decoded = percent_decode(user, false);
    if (!decoded || std::ranges::any_of(*decoded, is_control))
      return fail(ErrorKind::invalid, "its user's name is malformed");
    reference.user = std::move(*decoded);
  } else if (at != authority.npos && (scheme != "ssh" || !is_name(user))) {
    return fail(ErrorKind::invalid, "what is in front of its \"@\" is no user's name");
  }
  const std::size_t colon = host.find_last_of(':');
  if (colon != host.npos && !host.ends_with(']')) {
    const std::optional<std::uint16_t> port = parse_integer<std::uint16_t>(host.substr(colon + 1));
    if (!port || *port == 0) return fail(ErrorKind::invalid, "its port is none");
    host = host.substr(0, colon);
  }
  if (!is_host(host)) return fail(ErrorKind::invalid, "its host is none");
  return {};
}

Result<void> read_address(std::string_view address, GitReference& reference) {
  if (const std::optional<ScpParts> scp = scp_parts(address)) {
    TRY(check_path(scp->path));
    reference.url = address;
    return {};
  }
  const std::string_view scheme = scheme_of(address);
  if (std::ranges::find(kSchemes, scheme) == kSchemes.end())
    return fail(ErrorKind::invalid, "a repository is reached over https, http, ssh or git");
  const std::string_view rest = address.substr(scheme.size() + 3);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view authority = rest.substr(0, slash), path = rest.substr(slash);
  TRY(read_authority(scheme, authority, reference));
  TRY(check_path(path));
  const bool web = scheme == "http" || scheme == "https";
  const std::string_view host = web ? authority.substr(authority.find_last_of('@') + 1) : authority;
  reference.url = fmt::format("{}://{}{}", scheme, host, path);
  if (web) reference.origin = fmt::format("{}://{}/", scheme, host);
  return {};
}

// git-check-ref-format(1).
Result<void> check_ref(std::string_view ref) {
  if (ref.empty()) return {};
  bool good = ref.front() != '-' && ref.front() != '/' && ref.back() != '/' && ref.back() != '.' &&
              ref != "@" && ref.find_first_of("~^:?*[\\") == ref.npos && ref.find("..") == ref.npos &&
              ref.find("@{") == ref.npos && !has_blank(ref);
  for (const std::string_view component : split(ref, '/'))
    good = good && !component.empty() && component.front() != '.' && !component.ends_with(".lock");
  if (good) return {};
  return fail(ErrorKind::invalid, "\"{}\" is no name of a branch, a tag or a commit", shown(ref));
}

Result<std::string> clean_subdirectory(std::string_view text) {
  std::string clean;
  if (std::ranges::any_of(text, is_control))
    return fail(ErrorKind::invalid, "its subdirectory has a control character");
  for (const std::string_view component : split(text, '/')) {
    if (component.empty() || component == ".") continue;
    if (component == "..")
      return fail(ErrorKind::invalid, "its subdirectory \"{}\" has a \"..\" in it", shown(text));
    clean += clean.empty() ? "" : "/";
    clean += component;
  }
  return clean;
}

Result<void> take_ref(std::string_view ref, GitReference& reference) {
  if (!reference.ref.empty() && reference.ref != ref)
    return fail(ErrorKind::invalid, "it has two refs: \"{}\" and \"{}\"", shown(reference.ref), shown(ref));
  TRY(check_ref(ref));
  reference.ref = ref;
  return {};
}

Result<void> take_subdirectory(std::string_view text, GitReference& reference) {
  std::string clean = TRY(clean_subdirectory(text));
  if (!reference.subdirectory.empty() && reference.subdirectory != clean)
    return fail(ErrorKind::invalid, "it has two subdirectories");
  reference.subdirectory = std::move(clean);
  return {};
}

Result<void> read_fragment(std::string_view fragment, GitReference& reference) {
  const std::optional<std::string> decoded = percent_decode(fragment, false);
  if (!decoded) return fail(ErrorKind::invalid, "its fragment is malformed");
  const auto [ref, subdirectory] = split_once(*decoded, ':');
  if (!ref.empty()) TRY(take_ref(ref, reference));
  if (!subdirectory.empty()) TRY(take_subdirectory(subdirectory, reference));
  return {};
}

Result<bool> read_switch(std::string_view key, std::string_view value) {
  if (value.empty() || value == "1" || value == "true") return true;
  if (value == "0" || value == "false") return false;
  return fail(ErrorKind::invalid, "{} is true or false", key);
}

Result<void> read_member(std::string_view key, std::string_view value, GitReference& reference) {
  if (key == "ref") return take_ref(value, reference);
  if (key == "branch") return take_ref("refs/heads/" + std::string(value), reference);
  if (key == "tag") return take_ref("refs/tags/" + std::string(value), reference);
  if (key == "subdir") return take_subdirectory(value, reference);
  if (key == "checksum" || key == "commit") {
    TRY(check_git_checksum(value));
    reference.checksum = value;
    return {};
  }
  if (key == "keep-git-dir") {
    reference.keep_git_directory = TRY(read_switch(key, value));
    return {};
  }
  if (key == "submodules") {
    reference.submodules = TRY(read_switch(key, value));
    return {};
  }
  return fail(ErrorKind::invalid, "\"{}\" is nothing that a git reference can have in its query", shown(key));
}

Result<void> read_query(std::string_view query, GitReference& reference) {
  for (const std::string_view member : split(query, '&')) {
    if (member.empty()) continue;
    const auto [key, value] = split_once(member, '=');
    const std::optional<std::string> decoded = percent_decode(value, true);
    if (!decoded) return fail(ErrorKind::invalid, "its query is malformed");
    TRY(read_member(key, *decoded, reference));
  }
  return {};
}

Result<GitReference> parse(std::string_view text) {
  if (text.size() > kLongestReference)
    return fail(ErrorKind::invalid, "it is longer than {} bytes", kLongestReference);
  if (has_blank(text)) return fail(ErrorKind::invalid, "it has a blank or a control character");
  const Parts parts = take_apart(text);
  GitReference reference;
  TRY(read_address(parts.address, reference));
  TRY(read_query(parts.query, reference));
  TRY(read_fragment(parts.fragment, reference));
  return reference;
}

}  // namespace

bool is_git_reference(std::string_view text) {
  const Parts parts = take_apart(text);
  const std::string_view scheme = scheme_of(parts.address);
  if (scheme == "git" || scheme == "ssh" || text.starts_with("git@")) return true;
  if (scheme == "http" || scheme == "https") return parts.address.ends_with(".git");
  return text.starts_with(kShorthand) || scp_parts(parts.address).has_value();
}

Result<GitReference> parse_git_reference(std::string_view text) {
  std::string whole(text);
  if (text.starts_with(kShorthand)) whole.insert(0, "https://");
  return TRY_AS(fmt::format("the git reference {}", shown(text)), parse(whole));
}

bool is_git_commit(std::string_view ref) noexcept {
  return (ref.size() == 40 || ref.size() == 64) && ref.find_first_not_of("0123456789abcdef") == ref.npos;
}

Result<void> check_git_checksum(std::string_view checksum) {
  if (checksum.size() >= 7 && checksum.size() <= 64 &&
      checksum.find_first_not_of("0123456789abcdef") == checksum.npos)
    return {};
  return fail(ErrorKind::invalid,
              "the checksum of a git reference is a commit, 7 hexadecimal digits or more: {}",
              shown(checksum));
}

Result<GitReference> submodule_reference(const GitReference& parent, std::string_view address) {
  const bool relative = address.starts_with("./") || address.starts_with("../");
  std::string whole(address);
  if (relative) {
    // Host and path have a ":" or a "/" between them, beyond which nothing goes up.
    const bool scp = parent.url.find("://") == std::string::npos;
    const std::size_t root =
        scp ? parent.url.find(':') + 1 : parent.url.find('/', parent.url.find("://") + 3) + 1;
    std::vector<std::string> components;
    for (const std::string_view component : split(std::string_view(parent.url).substr(root), '/'))
      if (!component.empty()) components.emplace_back(component);
    for (const std::string_view component : split(address, '/')) {
      if (component.empty() || component == ".") continue;
      if (component != "..") {
        components.emplace_back(component);
      } else if (components.empty()) {
        return fail(ErrorKind::invalid, "\"{}\" leads out of {}", shown(address), shown(parent.url));
      } else {
        components.pop_back();
      }
    }
    whole = parent.url.substr(0, root) + join(components, "/");
  }
  GitReference reference = TRY(parse_git_reference(whole));
  const bool plain = whole.find('#') == std::string::npos && whole.find('?') == std::string::npos;
  if (!plain) return fail(ErrorKind::invalid, "\"{}\" has more than an address", shown(address));
  return reference;
}

}  // namespace berth::dockerfile
