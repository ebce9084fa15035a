// SPDX-License-Identifier: Apache-2.0
#include "cli/output/units.h"

#include <fmt/format.h>

#include <ctime>

namespace berth::cli {

std::string human_duration(std::chrono::nanoseconds duration) {
  using namespace std::chrono;
  auto seconds = duration_cast<std::chrono::seconds>(duration).count();
  auto minutes = duration_cast<std::chrono::minutes>(duration).count();
  auto hours = static_cast<std::int64_t>(
      duration_cast<std::chrono::duration<double, std::ratio<3600>>>(duration).count() + 0.5);
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", duration_cast<std::chrono::hours>(duration).count() / 24 / 365);
}

std::string ago(Timestamp time) {
  return human_duration(std::chrono::nanoseconds(now().nanoseconds - time.nanoseconds)) + " ago";
}

std::string local_time(std::int64_t seconds) {
  std::time_t time = seconds;
  std::tm parts{};
  ::localtime_r(&time, &parts);
  char text[64];
  std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z %Z", &parts);
  return {text, length};
}

std::string local_rfc3339(Timestamp time, bool nanoseconds) {
  constexpr std::int64_t second = 1'000'000'000;
  std::int64_t whole = time.nanoseconds / second;
  std::time_t seconds = whole;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[64];
  std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string out(text, length);
  if (nanoseconds) out += fmt::format(".{:09}", time.nanoseconds - whole * second);
  if (parts.tm_gmtoff == 0) return out + "Z";
  long minutes = std::abs(parts.tm_gmtoff) / 60;
  return out + fmt::format("{}{:02}:{:02}", parts.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

std::string shorten(std::string_view text, std::size_t width) {
  std::size_t count = 0, last = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) == 0x80) continue;
    if (++count == width) last = i;
    if (count > width) return std::string(text.substr(0, last)) + "…";
  }
  return std::string(text);
}

std::string short_id(std::string_view id) {
  if (std::size_t colon = id.find(':'); colon != id.npos) id.remove_prefix(colon + 1);
  return std::string(id.substr(0, 12));
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out.append("\\").append(1, c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (code < 0x20 || code == 0x7f)
      out += fmt::format("\\x{:02x}", code);
    else
      out += c;
  }
  return out + "\"";
}

std::string go_time(const std::string& rfc3339) {
  constexpr std::size_t length_of_date = 10;
  if (rfc3339.size() < 20 || rfc3339[length_of_date] != 'T') return rfc3339;
  std::string date = rfc3339.substr(0, length_of_date), clock = rfc3339.substr(length_of_date + 1);
  if (clock.ends_with('Z')) return date + " " + clock.substr(0, clock.size() - 1) + " +0000 UTC";
  std::size_t sign = clock.find_first_of("+-");
  if (sign == clock.npos) return rfc3339;
  std::string offset = clock.substr(sign);
  std::erase(offset, ':');
  return fmt::format("{} {} {} {}", date, clock.substr(0, sign), offset, offset);
}

}  // namespace berth::cli
