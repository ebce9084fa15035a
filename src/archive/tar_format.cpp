// SPDX-License-Identifier: Apache-2.0
#include "archive/tar_format.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace berth::archive::tar_format {
namespace {

std::optional<std::int64_t> base256(std::string_view field) {
  // Two's complement, big-endian, over the field without its top bit.
  const auto first = static_cast<unsigned char>(field.front());
  const bool negative = (first & 0x40) != 0;
  std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = 0; i < field.size(); ++i) {
    auto byte = static_cast<unsigned char>(field[i]);
    if (i == 0) byte = negative ? byte | 0x80 : byte & 0x7f;
    const std::uint64_t lost = value >> 56;
    if (lost != (negative ? 0xff : 0)) return std::nullopt;
    value = value << 8 | byte;
  }
  const auto result = static_cast<std::int64_t>(value);
  if ((result < 0) != negative) return std::nullopt;
  return result;
}

std::optional<std::string_view> find_record(const PaxRecords& records, std::string_view key) {
  for (auto record = records.rbegin(); record != records.rend(); ++record)
    if (record->first == key && !record->second.empty()) return record->second;
  return std::nullopt;
}

std::unexpected<Error> bad_sparse_map() {
  return fail(ErrorKind::corrupt, "the archive has a sparse file with a map that makes no sense");
}

}  // namespace

std::optional<std::int64_t> number_in(std::string_view block, Field field) {
  std::string_view text = block.substr(field.offset, field.size);
  if ((static_cast<unsigned char>(text.front()) & 0x80) != 0) return base256(text);
  const std::size_t start = text.find_first_not_of(std::string_view(" \0", 2));
  if (start == std::string_view::npos) return 0;  // writers leave fields that do not matter empty
  text.remove_prefix(start);
  text = text.substr(0, text.find_first_of(std::string_view(" \0", 2)));
  std::optional<std::uint64_t> value = parse_integer<std::uint64_t>(text, 8);
  if (!value || *value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::uint32_t checksum_of(std::string_view block) {
  std::uint32_t sum = 0;
  for (unsigned char byte : block) sum += byte;
  for (unsigned char byte : block.substr(kChecksum.offset, kChecksum.size)) sum -= byte;
  return sum + kChecksum.size * ' ';
}

bool checksum_matches(std::string_view block) {
  std::optional<std::int64_t> written = number_in(block, kChecksum);
  if (!written) return false;
  if (*written == checksum_of(block)) return true;
  // Some old writers summed signed bytes.
  std::int64_t sum = static_cast<std::int64_t>(kChecksum.size) * ' ';
  for (std::size_t i = 0; i < block.size(); ++i)
    if (i < kChecksum.offset || i >= kChecksum.offset + kChecksum.size)
      sum += static_cast<signed char>(block[i]);
  return *written == sum;
}

Result<PaxRecords> parse_pax(std::string_view text) {
  auto malformed = [] { return fail(ErrorKind::corrupt, "the archive has a malformed pax header"); };
  PaxRecords records;
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    if (blank == std::string_view::npos || blank > 20) return malformed();
    std::optional<std::size_t> length = parse_integer<std::size_t>(text.substr(0, blank));
    if (!length || *length > text.size() || *length < blank + 3) return malformed();
    std::string_view record = text.substr(blank + 1, *length - blank - 1);
    if (record.back() != '\n') return malformed();
    record.remove_suffix(1);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return malformed();
    std::string_view key = record.substr(0, equals);
    if (key.find('\0') != std::string_view::npos) return malformed();
    records.emplace_back(key, record.substr(equals + 1));
    text.remove_prefix(*length);
  }
  return records;
}

std::string format_pax(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;  // blank, equals sign, newline
  std::size_t size = rest + 1;
  while (rest + std::to_string(size).size() != size) size = rest + std::to_string(size).size();
  std::string record = std::to_string(size);
  record.append(" ").append(key).append("=").append(value).append("\n");
  return record;
}

Timestamp time_of_seconds(std::int64_t seconds) {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int64_t>::max() / 1'000'000'000 - 1;
  return Timestamp{std::clamp(seconds, -kLimit, kLimit) * 1'000'000'000};
}

std::optional<Timestamp> parse_pax_time(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  auto [whole, fraction] = split_once(text, '.');
  std::optional<std::int64_t> seconds = parse_integer<std::int64_t>(whole);
  if (!seconds || *seconds < 0 || whole.front() == '-') return std::nullopt;
  std::int64_t nanoseconds = 0;
  std::int64_t unit = 100'000'000;
  for (char digit : fraction) {
    if (digit < '0' || digit > '9') return std::nullopt;
    nanoseconds += (digit - '0') * unit;
    unit /= 10;
  }
  const std::int64_t total = time_of_seconds(*seconds).nanoseconds + nanoseconds;
  return Timestamp{negative ? -total : total};
}

Result<void> check_sparse(const SparseFile& file, std::uint64_t stored) {
  std::uint64_t end = 0;
  std::uint64_t sum = 0;
  for (const Fragment& fragment : file.fragments) {
    if (fragment.offset < end || fragment.offset > file.real_size ||
        fragment.size > file.real_size - fragment.offset)
      return bad_sparse_map();
    end = fragment.offset + fragment.size;
    sum += fragment.size;  // cannot wrap: it stays below real_size
  }
  if (sum != stored) return bad_sparse_map();
  return {};
}

Result<std::optional<SparseFile>> sparse_in_records(const PaxRecords& records) {
  SparseFile file;
  std::optional<std::string_view> map = find_record(records, "GNU.sparse.map");
  if (map) {
    std::vector<std::string_view> numbers = split(*map, ',');
    if (numbers.size() % 2 != 0 || numbers.size() / 2 > kFragmentLimit) return bad_sparse_map();
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
      auto offset = parse_integer<std::uint64_t>(numbers[i]);
      auto size = parse_integer<std::uint64_t>(numbers[i + 1]);
      if (!offset || !size) return bad_sparse_map();
      file.fragments.push_back({*offset, *size});
    }
  } else {
    // 0.0 repeats a pair of keys, the one place where equal keys are a list.
    std::optional<std::uint64_t> offset;
    for (const auto& [key, value] : records) {
      if (key == "GNU.sparse.offset") {
        if (offset) return bad_sparse_map();
        offset = parse_integer<std::uint64_t>(value);
        if (!offset) return bad_sparse_map();
      } else if (key == "GNU.sparse.numbytes") {
        auto size = parse_integer<std::uint64_t>(value);
        if (!offset || !size || file.fragments.size() >= kFragmentLimit) return bad_sparse_map();
        file.fragments.push_back({*offset, *size});
        offset.reset();
      }
    }
    if (offset) return bad_sparse_map();
    if (file.fragments.empty() && !find_record(records, "GNU.sparse.numblocks")) return std::nullopt;
  }
  std::optional<std::uint64_t> size = sparse_real_size(records);
  if (!size) return bad_sparse_map();
  file.real_size = *size;
  return file;
}

bool is_sparse_1_0(const PaxRecords& records) {
  return find_record(records, "GNU.sparse.major") == "1" && find_record(records, "GNU.sparse.minor") == "0";
}

std::optional<std::string> sparse_name(const PaxRecords& records) {
  std::optional<std::string_view> name = find_record(records, "GNU.sparse.name");
  if (!name) return std::nullopt;
  return std::string(*name);
}

std::optional<std::uint64_t> sparse_real_size(const PaxRecords& records) {
  std::optional<std::string_view> text = find_record(records, "GNU.sparse.realsize");
  if (!text) text = find_record(records, "GNU.sparse.size");
  if (!text) return std::nullopt;
  auto size = parse_integer<std::uint64_t>(*text);
  if (!size || *size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return std::nullopt;
  return size;
}

Result<std::optional<std::vector<Fragment>>> parse_sparse_lines(std::string_view text) {
  auto number = [&]() -> Result<std::optional<std::uint64_t>> {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      if (text.size() > 20) return bad_sparse_map();
      return std::nullopt;
    }
    auto value = parse_integer<std::uint64_t>(text.substr(0, end));
    if (!value) return bad_sparse_map();
    text.remove_prefix(end + 1);
    return value;
  };
  std::optional<std::uint64_t> count = TRY(number());
  if (!count) return std::nullopt;
  if (*count > kFragmentLimit) return bad_sparse_map();
  std::vector<Fragment> fragments;
  for (std::uint64_t i = 0; i < *count; ++i) {
    std::optional<std::uint64_t> offset = TRY(number());
    if (!offset) return std::nullopt;
    std::optional<std::uint64_t> size = TRY(number());
    if (!size) return std::nullopt;
    fragments.push_back({*offset, *size});
  }
  return fragments;
}

Result<void> append_gnu_entries(std::string_view block, std::size_t offset, std::size_t count,
                                std::vector<Fragment>& fragments) {
  for (std::size_t i = 0; i < count; ++i, offset += 24) {
    if (block[offset] == '\0') break;
    std::optional<std::int64_t> start = number_in(block, {offset, 12});
    std::optional<std::int64_t> size = number_in(block, {offset + 12, 12});
    if (!start || !size || *start < 0 || *size < 0 || fragments.size() >= kFragmentLimit)
      return bad_sparse_map();
    fragments.push_back({static_cast<std::uint64_t>(*start), static_cast<std::uint64_t>(*size)});
  }
  return {};
}

}  // namespace berth::archive::tar_format
