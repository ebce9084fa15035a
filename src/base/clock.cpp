// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <time.h>

#include <array>
#include <cmath>

#include "base/text.h"

namespace berth {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::string format_seconds(Timestamp time, tm& broken_down) {
  std::int64_t seconds = time.nanoseconds / kSecond;
  if (time.nanoseconds % kSecond < 0) --seconds;
  time_t whole = static_cast<time_t>(seconds);
  gmtime_r(&whole, &broken_down);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", broken_down.tm_year + 1900,
                     broken_down.tm_mon + 1, broken_down.tm_mday, broken_down.tm_hour, broken_down.tm_min,
                     broken_down.tm_sec);
}

std::int64_t fraction_of(Timestamp time) { return ((time.nanoseconds % kSecond) + kSecond) % kSecond; }

// Reads exactly `digits` decimal digits off the front.
bool take_number(std::string_view& text, std::size_t digits, int& value) {
  if (text.size() < digits) return false;
  value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

// ".123456789" as nanoseconds; more digits than nine are dropped.
bool take_fraction(std::string_view& text, std::int64_t& nanoseconds) {
  nanoseconds = 0;
  if (!take(text, '.')) return true;
  std::int64_t unit = kSecond / 10;
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    nanoseconds += unit * (text.front() - '0');
    unit /= 10;
    text.remove_prefix(1);
  }
  return true;
}

bool take_zone(std::string_view& text, std::int64_t& offset_seconds) {
  offset_seconds = 0;
  if (text.empty() || take(text, 'Z') || take(text, 'z')) return true;
  int sign = take(text, '+') ? 1 : take(text, '-') ? -1 : 0;
  int hours = 0, minutes = 0;
  if (sign == 0 || !take_number(text, 2, hours) || !take(text, ':') || !take_number(text, 2, minutes))
    return false;
  if (hours > 23 || minutes > 59) return false;
  offset_seconds = sign * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

Timestamp now() noexcept {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return {static_cast<std::int64_t>(time.tv_sec) * kSecond + time.tv_nsec};
}

std::string format_time(Timestamp time) {
  if (!time) return "0001-01-01T00:00:00Z";
  tm broken_down;
  std::string text = format_seconds(time, broken_down);
  if (std::int64_t fraction = fraction_of(time)) {
    text += fmt::format(".{:09}", fraction);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text += 'Z';
}

std::string format_time_fixed(Timestamp time) {
  tm broken_down;
  std::string text = format_seconds(time, broken_down);
  return text += fmt::format(".{:09}Z", fraction_of(time));
}

Result<Timestamp> parse_time(std::string_view text) {
  std::string_view rest = text;
  tm fields{};
  std::int64_t nanoseconds = 0, offset = 0;
  bool ok = take_number(rest, 4, fields.tm_year) && take(rest, '-') && take_number(rest, 2, fields.tm_mon) &&
            take(rest, '-') && take_number(rest, 2, fields.tm_mday);
  if (ok && !rest.empty()) {
    ok = (take(rest, 'T') || take(rest, 't') || take(rest, ' ')) && take_number(rest, 2, fields.tm_hour) &&
         take(rest, ':') && take_number(rest, 2, fields.tm_min);
    if (ok && take(rest, ':')) ok = take_number(rest, 2, fields.tm_sec) && take_fraction(rest, nanoseconds);
    ok = ok && take_zone(rest, offset) && rest.empty();
  }
  ok = ok && fields.tm_mon >= 1 && fields.tm_mon <= 12 && fields.tm_mday >= 1 && fields.tm_mday <= 31 &&
       fields.tm_hour <= 23 && fields.tm_min <= 59 && fields.tm_sec <= 60;
  if (!ok)
    return fail(ErrorKind::invalid, "'{}' is not a time: use RFC 3339 such as 2026-01-02T15:04:05Z", text);
  if (fields.tm_year <= 1) return Timestamp{};
  fields.tm_year -= 1900;
  fields.tm_mon -= 1;
  std::int64_t seconds = timegm(&fields) - offset;
  if (seconds > INT64_MAX / kSecond - 1 || seconds < INT64_MIN / kSecond + 1)
    return fail(ErrorKind::invalid, "the time '{}' is out of range", text);
  return Timestamp{seconds * kSecond + nanoseconds};
}

Result<Timestamp> parse_time_or_ago(std::string_view text, Timestamp reference) {
  std::string_view rest = text;
  std::string_view digits = rest.substr(0, rest.find('.'));
  if (auto seconds = parse_integer<std::int64_t>(digits)) {
    rest.remove_prefix(digits.size());
    std::int64_t nanoseconds = 0;
    if (take_fraction(rest, nanoseconds) && rest.empty() &&
        *seconds<INT64_MAX / kSecond&& * seconds> - kSecond)
      return Timestamp{*seconds * kSecond + nanoseconds};
  }
  if (auto ago = parse_duration(text)) return Timestamp{reference.nanoseconds - ago->count()};
  if (auto time = parse_time(text)) return *time;
  return fail(ErrorKind::invalid,
              "'{}' is neither a time (2026-01-02T15:04:05Z), nor seconds since 1970, nor a duration (10m)",
              text);
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  auto malformed = [&] {
    return fail(ErrorKind::invalid,
                "'{}' is not a duration: use a number with a unit, such as 300ms, 10s or 1h30m", text);
  };
  struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
  };
  static constexpr std::array<Unit, 8> units{{{"ns", 1},
                                              {"us", 1000},
                                              {"µs", 1000},
                                              {"ms", 1'000'000},
                                              {"s", kSecond},
                                              {"m", 60 * kSecond},
                                              {"h", 3600 * kSecond},
                                              {"d", 0}}};
  std::string_view rest = text;
  bool negative = take(rest, '-');
  if (!negative) take(rest, '+');
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) return malformed();
  long double total = 0;
  while (!rest.empty()) {
    std::size_t length = rest.find_first_not_of("0123456789.");
    if (length == 0 || length == std::string_view::npos) return malformed();
    auto number = parse_decimal(rest.substr(0, length));
    if (!number) return malformed();
    rest.remove_prefix(length);
    std::string_view name = rest.substr(0, std::min(rest.find_first_of("0123456789."), rest.size()));
    std::int64_t unit = 0;
    for (const Unit& candidate : units)
      if (candidate.name == name) unit = candidate.nanoseconds;
    if (unit == 0) return malformed();
    total += static_cast<long double>(*number) * static_cast<long double>(unit);
    rest.remove_prefix(name.size());
  }
  if (total > 9.2e18L) return fail(ErrorKind::invalid, "the duration '{}' is out of range", text);
  auto count = static_cast<std::int64_t>(std::round(total));
  return std::chrono::nanoseconds(negative ? -count : count);
}

std::string format_duration(std::chrono::nanoseconds duration) {
  std::int64_t count = duration.count();
  if (count == 0) return "0s";
  std::string text = count < 0 ? "-" : "";
  if (count < 0) count = -count;
  auto trimmed = [](double value, std::string_view unit) {
    std::string number = fmt::format("{:.9f}", value);
    number.erase(number.find_last_not_of('0') + 1);
    if (number.back() == '.') number.pop_back();
    return number + std::string(unit);
  };
  if (count < 1000) return text + trimmed(static_cast<double>(count), "ns");
  if (count < 1'000'000) return text + trimmed(static_cast<double>(count) / 1e3, "µs");
  if (count < kSecond) return text + trimmed(static_cast<double>(count) / 1e6, "ms");
  std::int64_t hours = count / (3600 * kSecond), minutes = count / (60 * kSecond) % 60;
  if (hours > 0) text += fmt::format("{}h", hours);
  if (hours > 0 || minutes > 0) text += fmt::format("{}m", minutes);
  return text + trimmed(static_cast<double>(count % (60 * kSecond)) / 1e9, "s");
}

}  // namespace berth
