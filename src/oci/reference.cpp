// SPDX-License-Identifier: Apache-2.0
#include "oci/reference.h"

#include <algorithm>

#include "base/text.h"
#include "oci/glob.h"

namespace berth::oci {
namespace {

constexpr std::size_t kNameLimit = 255;
constexpr std::size_t kTagLimit = 128;
constexpr std::size_t kTextLimit = 1024;  // a name, a tag and a digest are far below

// Not <cctype>: names are ASCII, whatever the locale says.
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_lower(c) || is_digit(c); }
bool is_alphanumeric(char c) { return is_name_char(c) || is_upper(c); }

std::unexpected<Error> malformed(std::string_view) {
  return fail(ErrorKind::invalid, "invalid reference format");
}

// alphanumerics and dashes, no dash at either end
bool valid_domain_component(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '-'; });
}

bool valid_port(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); }

bool valid_domain(std::string_view text) {
  if (text.starts_with('[')) {  // an IPv6 address
    std::size_t end = text.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    std::string_view address = text.substr(1, end - 1);
    bool plain = std::ranges::all_of(address, [](char c) {
      return is_digit(c) || c == ':' || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    });
    std::string_view rest = text.substr(end + 1);
    return plain && (rest.empty() || (rest.front() == ':' && valid_port(rest.substr(1))));
  }
  std::string_view host = text;
  if (std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    if (!valid_port(text.substr(colon + 1))) return false;
  }
  return std::ranges::all_of(split(host, '.'), valid_domain_component);
}

// Lower-case letters and digits in groups; between two groups one ".", one or two "_", or any number of "-".
bool valid_path_component(std::string_view text) {
  std::size_t at = 0;
  while (true) {
    std::size_t group = at;
    while (at < text.size() && is_name_char(text[at])) ++at;
    if (at == group) return false;
    if (at == text.size()) return true;
    char separator = text[at];
    std::size_t start = at;
    while (at < text.size() && text[at] == separator) ++at;
    std::size_t length = at - start;
    if (separator == '.' ? length != 1 : separator == '_' ? length > 2 : separator != '-') return false;
  }
}

bool valid_path(std::string_view text) { return std::ranges::all_of(split(text, '/'), valid_path_component); }

bool looks_like_id(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

// The first component is a domain if it could not be a Docker Hub user: it has a dot, a port or a capital
// letter, or is "localhost".
std::pair<std::string, std::string> split_domain(std::string_view name) {
  std::size_t slash = name.find('/');
  std::string_view first = slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
  bool domain = !first.empty() && (first.find_first_of(".:") != std::string_view::npos ||
                                   first == "localhost" || std::ranges::any_of(first, is_upper));
  std::string host(domain ? first : kDefaultDomain);
  std::string path(domain ? name.substr(slash + 1) : name);
  if (host == "index.docker.io") host = kDefaultDomain;
  if (host == kDefaultDomain && path.find('/') == std::string::npos) path.insert(0, "library/");
  return {std::move(host), std::move(path)};
}

}  // namespace

bool valid_tag(std::string_view text) noexcept {
  auto word = [](char c) { return is_alphanumeric(c) || c == '_'; };
  return !text.empty() && text.size() <= kTagLimit && word(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return word(c) || c == '.' || c == '-'; });
}

Result<Reference> Reference::parse(std::string_view text) {
  if (text.empty() || text.size() > kTextLimit) return malformed(text);
  if (looks_like_id(text))
    return fail(ErrorKind::invalid,
                "invalid repository name ({}), cannot specify 64-byte hexadecimal strings", text);
  Reference reference;
  std::string_view name = text;
  if (std::size_t at = name.find('@'); at != std::string_view::npos) {
    Result<Digest> digest = Digest::parse(name.substr(at + 1));
    if (!digest) return malformed(text);
    reference.digest_ = std::move(*digest);
    name = name.substr(0, at);
  }
  // A colon behind the last slash begins a tag; one before it, a port.
  std::size_t slash = name.rfind('/');
  std::size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    std::string_view tag = name.substr(colon + 1);
    if (!valid_tag(tag)) return malformed(text);
    reference.tag_ = tag;
    name = name.substr(0, colon);
  }
  std::tie(reference.domain_, reference.path_) = split_domain(name);
  if (std::ranges::any_of(reference.path_, is_upper) && valid_path(to_lower(reference.path_)))
    return fail(ErrorKind::invalid, "invalid reference format: repository name ({}) must be lowercase",
                reference.path_);
  if (!valid_domain(reference.domain_) || !valid_path(reference.path_)) return malformed(text);
  if (reference.domain_.size() + 1 + reference.path_.size() > kNameLimit)
    return fail(ErrorKind::invalid, "repository name must not be more than {} characters", kNameLimit);
  return reference;
}

Result<Reference> Reference::parse_with_default_tag(std::string_view text) {
  Reference reference = TRY(parse(text));
  return reference.with_default_tag();
}

std::string Reference::text() const {
  std::string text = repository();
  if (tag_) text += ":" + *tag_;
  if (digest_) text += "@" + digest_->text();
  return text;
}

std::string Reference::familiar_repository() const {
  if (domain_ != kDefaultDomain) return repository();
  constexpr std::string_view library = "library/";
  // "library/a/b" keeps its first part: "a/b" would mean something else.
  bool short_name = path_.starts_with(library) && path_.find('/', library.size()) == std::string::npos;
  return short_name ? path_.substr(library.size()) : path_;
}

std::string Reference::familiar() const {
  std::string text = familiar_repository();
  if (tag_) text += ":" + *tag_;
  if (digest_) text += "@" + digest_->text();
  return text;
}

Result<Reference> Reference::with_tag(std::string_view tag) const {
  if (!valid_tag(tag)) return fail(ErrorKind::invalid, "invalid tag format");
  Reference copy = *this;
  copy.tag_ = tag;
  copy.digest_.reset();
  return copy;
}

Reference Reference::with_digest(const Digest& digest) const {
  Reference copy = *this;
  copy.tag_.reset();
  copy.digest_ = digest;
  return copy;
}

Reference Reference::with_default_tag() const {
  Reference copy = *this;
  if (name_only()) copy.tag_ = kDefaultTag;
  return copy;
}

Result<bool> matches_pattern(const Reference& reference, std::string_view pattern) {
  if (TRY(matches_glob(pattern, reference.familiar()))) return true;
  return matches_glob(pattern, reference.familiar_repository());
}

}  // namespace berth::oci
