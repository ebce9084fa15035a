// SPDX-License-Identifier: Apache-2.0
#include "cli/flags/checks.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>

#include "base/clock.h"
#include "base/text.h"

namespace berth::cli {
namespace {

struct Magnitude {
  int base = 10;
  bool negative = false;
  std::string digits;
};

Magnitude split_number(std::string_view text) {
  Magnitude number;
  if (text.starts_with('-') || text.starts_with('+')) {
    number.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.size() > 1 && text[0] == '0') {
    char kind = static_cast<char>(std::tolower(static_cast<unsigned char>(text[1])));
    number.base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
    text.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
  }
  number.digits = text;
  return number;
}

std::unexpected<Error> not_a_number(std::string_view function, std::string_view text) {
  bool all_digits = !text.empty() && std::ranges::all_of(text.substr(text[0] == '-' ? 1 : 0),
                                                         [](char c) { return c >= '0' && c <= '9'; });
  return fail(ErrorKind::invalid, "strconv.{}: parsing \"{}\": {}", function, text,
              all_digits ? "value out of range" : "invalid syntax");
}

bool is_ip_address(const std::string& text) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

bool is_domain_label(std::string_view label) {
  auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return !label.empty() && alphanumeric(label.front()) && alphanumeric(label.back()) &&
         std::ranges::all_of(label, [&](char c) { return alphanumeric(c) || c == '-'; });
}

// "/dev/x:rest" with both parts; the path must be a device's.
Result<std::pair<std::string, std::string>> split_device(std::string_view text) {
  auto [path, rest] = split_once(text, ':');
  if (path.empty() || rest.empty()) return fail(ErrorKind::invalid, "bad format: {}", text);
  if (!path.starts_with("/dev/")) return fail(ErrorKind::invalid, "bad format for device path: {}", text);
  return std::pair{std::string(path), std::string(rest)};
}

}  // namespace

Result<std::int64_t> parse_go_integer(std::string_view text) {
  Magnitude number = split_number(text);
  auto value = parse_integer<std::uint64_t>(number.digits, number.base);
  constexpr auto limit = static_cast<std::uint64_t>(INT64_MAX);
  if (!value || *value > limit + (number.negative ? 1 : 0)) return not_a_number("ParseInt", text);
  return static_cast<std::int64_t>(number.negative ? 0 - *value : *value);
}

Result<void> check_uint16(std::string_view text) {
  Magnitude number = split_number(text);
  if (!number.negative && parse_integer<std::uint16_t>(number.digits, number.base)) return {};
  return not_a_number("ParseUint", text);
}

Result<void> check_duration(std::string_view text) {
  if (parse_duration(text)) return {};
  return fail(ErrorKind::invalid, "time: invalid duration \"{}\"", text);
}

Result<std::int64_t> parse_bytes(std::string_view text) {
  Result<std::int64_t> size = parse_size(text);
  if (size && *size >= 0) return size;
  return fail(ErrorKind::invalid, "invalid size: '{}'", text);
}

Result<std::int64_t> parse_bytes_or_unlimited(std::string_view text) {
  if (text == "-1") return -1;
  return parse_bytes(text);
}

Result<std::int64_t> parse_cpus(std::string_view text) {
  auto [whole, fraction] = split_once(text, '.');
  auto digits = [](std::string_view part) {
    return std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
  };
  if (text.empty() || text == "." || !digits(whole) || !digits(fraction) || whole.size() > 9)
    return fail(ErrorKind::invalid, "failed to parse {} as a rational number", text);
  std::string nano(fraction.substr(0, 9));
  if (fraction.size() > 9 && fraction.find_first_not_of('0', 9) != fraction.npos)
    return fail(ErrorKind::invalid, "value is too precise");
  nano.resize(9, '0');
  return parse_integer<std::int64_t>(whole).value_or(0) * 1'000'000'000 + *parse_integer<std::int64_t>(nano);
}

Result<std::string> check_filter(std::string_view text) {
  if (text.empty()) return std::string();
  std::size_t equals = text.find('=');
  if (equals == text.npos) return fail(ErrorKind::invalid, "bad format of filter (expected name=value)");
  return to_lower(trim(text.substr(0, equals))) + "=" + std::string(trim(text.substr(equals + 1)));
}

Result<std::string> check_environment(std::string_view text) {
  std::size_t equals = text.find('=');
  if (equals == 0 || text.empty()) return fail(ErrorKind::invalid, "invalid environment variable: {}", text);
  if (equals != text.npos) return std::string(text);
  const char* here = std::getenv(std::string(text).c_str());
  return here ? std::string(text) + "=" + here : std::string(text);
}

Result<std::string> check_label(std::string_view text) {
  if (trim(split_once(text, '=').first).empty())
    return fail(ErrorKind::invalid, "invalid label '{}': empty name", text);
  return std::string(text);
}

Result<std::string> check_attach(std::string_view text) {
  std::string stream = to_lower(text);
  if (stream == "stdin" || stream == "stdout" || stream == "stderr") return stream;
  return fail(ErrorKind::invalid, "valid streams are STDIN, STDOUT and STDERR");
}

Result<std::string> check_extra_host(std::string_view text) {
  std::size_t separator = text.find('=');
  if (separator == text.npos) separator = text.find(':');
  if (separator == text.npos || separator == 0)
    return fail(ErrorKind::invalid, "bad format for add-host: \"{}\"", text);
  std::string address(text.substr(separator + 1));
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  if (address != "host-gateway" && !is_ip_address(address))
    return fail(ErrorKind::invalid, "invalid IP address in add-host: \"{}\"", text.substr(separator + 1));
  return std::string(text.substr(0, separator)) + ":" + address;
}

Result<std::string> check_ip_address(std::string_view text) {
  std::string address(trim(text));
  if (is_ip_address(address)) return address;
  return fail(ErrorKind::invalid, "IP address is not correctly formatted: {}", text);
}

Result<std::string> check_dns_search(std::string_view text) {
  std::string_view domain = trim(text);
  if (domain == ".") return std::string(domain);
  if (domain.ends_with('.')) domain.remove_suffix(1);
  bool fine = domain.size() < 256 && std::ranges::all_of(split(domain, '.'), is_domain_label);
  if (!fine) return fail(ErrorKind::invalid, "{} is not a valid domain", text);
  return std::string(domain);
}

Result<std::string> check_sysctl(std::string_view text) {
  static constexpr std::string_view exact[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                               "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                               "kernel.shmmni", "kernel.shm_rmid_forced"};
  auto [name, value] = split_once(text, '=');
  bool known = std::ranges::find(exact, name) != std::end(exact) || name.starts_with("net.") ||
               name.starts_with("fs.mqueue.");
  if (text.find('=') == text.npos || !known)
    return fail(ErrorKind::invalid, "sysctl '{}' is not allowed", text);
  return std::string(text);
}

Result<std::string> check_annotation(std::string_view text) {
  if (trim(split_once(text, '=').first).empty())
    return fail(ErrorKind::invalid, "invalid annotation '{}': empty name", text);
  return std::string(text);
}

Result<std::string> check_ulimit(std::string_view text) {
  static constexpr std::string_view names[] = {
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  if (text.find('=') == text.npos) return fail(ErrorKind::invalid, "invalid ulimit argument: {}", text);
  auto [name, limits] = split_once(text, '=');
  if (std::ranges::find(names, name) == std::end(names))
    return fail(ErrorKind::invalid, "invalid ulimit type: {}", name);
  auto parts = split(limits, ':');
  if (parts.size() > 2)
    return fail(ErrorKind::invalid,
                "too many limit value arguments - {}, can only have up to two, `soft[:hard]`", limits);
  std::int64_t soft = TRY(parse_go_integer(parts[0]));
  std::int64_t hard = TRY(parse_go_integer(parts.back()));
  if (hard != -1 && (soft == -1 || soft > hard))
    return fail(ErrorKind::invalid, "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                soft, hard);
  return fmt::format("{}={}:{}", name, soft, hard);
}

Result<std::string> check_device_rule(std::string_view text) {
  auto parts = split(text, ' ');
  auto number = [](std::string_view part) {
    return part == "*" || parse_integer<std::uint32_t>(part).has_value();
  };
  bool fine = parts.size() == 3 && (parts[0] == "a" || parts[0] == "b" || parts[0] == "c") &&
              !parts[2].empty() && parts[2].size() <= 3 &&
              parts[2].find_first_not_of("rwm") == std::string_view::npos;
  if (fine) {
    auto [major, minor] = split_once(parts[1], ':');
    fine = number(major) && number(minor);
  }
  if (!fine) return fail(ErrorKind::invalid, "invalid device cgroup format '{}'", text);
  return std::string(text);
}

Result<std::string> check_weight_device(std::string_view text) {
  auto [path, weight] = TRY(split_device(text));
  auto value = parse_integer<std::uint16_t>(weight);
  if (!value || (*value > 0 && (*value < 10 || *value > 1000)))
    return fail(ErrorKind::invalid, "invalid weight for device: {}", text);
  return std::string(text);
}

Result<std::string> check_rate_bytes(std::string_view text) {
  auto [path, rate] = TRY(split_device(text));
  Result<std::int64_t> value = parse_size(rate);
  if (!value || *value < 0)
    return fail(
        ErrorKind::invalid,
        "invalid rate for device: {}. The correct format is <device-path>:<number>[<unit>]. Number must be a "
        "positive integer. Unit is optional and can be kb, mb, or gb",
        text);
  return std::string(text);
}

Result<std::string> check_rate_count(std::string_view text) {
  auto [path, rate] = TRY(split_device(text));
  if (!parse_integer<std::uint64_t>(rate))
    return fail(ErrorKind::invalid,
                "invalid rate for device: {}. The correct format is <device-path>:<number>. Number must be a "
                "positive "
                "integer",
                text);
  return std::string(text);
}

Result<std::string> check_link(std::string_view text) {
  if (text.empty()) return fail(ErrorKind::invalid, "empty string specified for links");
  if (split(text, ':').size() > 2) return fail(ErrorKind::invalid, "bad format for links: {}", text);
  return std::string(text);
}

Result<std::string> refuse_gpus(std::string_view) {
  return fail(ErrorKind::invalid, "GPUs are not supported: pass their device nodes with --device");
}

}  // namespace berth::cli
