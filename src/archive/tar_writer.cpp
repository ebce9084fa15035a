// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "archive/tar.h"
#include "archive/tar_format.h"

namespace berth::archive {
namespace {

using namespace tar_format;

using Block = std::array<char, kTarBlock>;

char flag_of(TarType type) {
  switch (type) {
    case TarType::regular:
      return '0';
    case TarType::hard_link:
      return '1';
    case TarType::symbolic_link:
      return '2';
    case TarType::character_device:
      return '3';
    case TarType::block_device:
      return '4';
    case TarType::directory:
      return '5';
    case TarType::fifo:
      return '6';
  }
  return '0';
}

bool fits(std::uint64_t value, Field field) { return value < (std::uint64_t{1} << (3 * (field.size - 1))); }

void put_text(Block& block, Field field, std::string_view text) {
  std::memcpy(block.data() + field.offset, text.data(), std::min(text.size(), field.size));
}

// Octal digits and a NUL. What does not fit stands in a pax record, and 0 here.
void put_number(Block& block, Field field, std::uint64_t value) {
  if (!fits(value, field)) value = 0;
  for (std::size_t i = field.size - 1; i-- > 0; value >>= 3)
    block[field.offset + i] = static_cast<char>('0' + (value & 7));
}

void put_checksum(Block& block) {
  std::uint32_t sum = checksum_of({block.data(), block.size()});
  put_number(block, {kChecksum.offset, 7}, sum);
  block[kChecksum.offset + 7] = ' ';
}

bool plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char byte) { return static_cast<unsigned char>(byte) < 0x80; });
}

// A name of at most 100 bytes, or one that splits at a slash into a prefix of 155 and 100: the length of the
// prefix, 0 without one, or npos when it takes a pax record.
std::size_t prefix_size(std::string_view name) {
  if (!plain_ascii(name)) return std::string_view::npos;
  if (name.size() <= kName.size) return 0;
  if (name.size() > kName.size + kPrefix.size + 1) return std::string_view::npos;
  const std::size_t slash = name.find('/', name.size() - kName.size - 1);
  if (slash == std::string_view::npos || slash == 0 || slash > kPrefix.size || slash == name.size() - 1)
    return std::string_view::npos;
  return slash;
}

std::string decimal_time(Timestamp time) {
  std::int64_t seconds = time.nanoseconds / 1'000'000'000;
  std::int64_t rest = time.nanoseconds % 1'000'000'000;
  const bool negative = time.nanoseconds < 0;
  std::string text = fmt::format("{}{}", negative ? "-" : "", negative ? -seconds : seconds);
  if (rest == 0) return text;
  std::string fraction = fmt::format(".{:09}", negative ? -rest : rest);
  while (fraction.back() == '0') fraction.pop_back();
  return text + fraction;
}

std::string records_of(const TarEntry& entry, bool subsecond_times) {
  std::string records;
  auto add = [&](std::string_view key, std::string_view value) { records += format_pax(key, value); };
  if (prefix_size(entry.name) == std::string_view::npos) add("path", entry.name);
  if (entry.link_target.size() > kLinkName.size || !plain_ascii(entry.link_target))
    add("linkpath", entry.link_target);
  if (!fits(entry.size, kSize)) add("size", std::to_string(entry.size));
  if (!fits(entry.uid, kUid)) add("uid", std::to_string(entry.uid));
  if (!fits(entry.gid, kGid)) add("gid", std::to_string(entry.gid));
  if (entry.mtime.nanoseconds < 0 || (subsecond_times && entry.mtime.nanoseconds % 1'000'000'000 != 0) ||
      !fits(static_cast<std::uint64_t>(entry.mtime.nanoseconds / 1'000'000'000), kMtime))
    add("mtime", decimal_time(entry.mtime));
  for (const auto& [name, value] : entry.xattrs) add("SCHILY.xattr." + name, value);
  return records;
}

Block block_of(const TarEntry& entry) {
  Block block{};
  const std::size_t prefix = prefix_size(entry.name);
  if (prefix == std::string_view::npos || prefix == 0) {
    put_text(block, kName, entry.name);
  } else {
    put_text(block, kPrefix, std::string_view(entry.name).substr(0, prefix));
    put_text(block, kName, std::string_view(entry.name).substr(prefix + 1));
  }
  put_text(block, kLinkName, entry.link_target);
  put_number(block, kMode, entry.mode & 07777);
  put_number(block, kUid, entry.uid);
  put_number(block, kGid, entry.gid);
  put_number(block, kSize, entry.size);
  put_number(
      block, kMtime,
      entry.mtime.nanoseconds < 0 ? 0 : static_cast<std::uint64_t>(entry.mtime.nanoseconds / 1'000'000'000));
  block[kType] = flag_of(entry.type);
  put_text(block, kMagic, kPosixMagic);
  put_text(block, kUserName, std::string_view(entry.user_name).substr(0, kUserName.size - 1));
  put_text(block, kGroupName, std::string_view(entry.group_name).substr(0, kGroupName.size - 1));
  put_number(block, kDeviceMajor, entry.device_major);
  put_number(block, kDeviceMinor, entry.device_minor);
  put_checksum(block);
  return block;
}

// The header of a pax header is an entry of its own; its name shows only in readers that know no pax.
Block pax_block(std::size_t size) {
  TarEntry header;
  header.name = "pax";
  header.mode = 0644;
  header.size = size;
  Block block = block_of(header);
  block[kType] = 'x';
  put_checksum(block);
  return block;
}

Result<void> check(const TarEntry& entry) {
  if (entry.name.empty() || entry.name.size() > kTarNameLimit || entry.link_target.size() > kTarNameLimit)
    return fail(ErrorKind::invalid, "a name of {} bytes does not fit an archive", entry.name.size());
  const bool device = entry.type == TarType::character_device || entry.type == TarType::block_device;
  if (device && (!fits(entry.device_major, kDeviceMajor) || !fits(entry.device_minor, kDeviceMinor)))
    return fail(ErrorKind::invalid, "the device number of {} does not fit an archive", entry.name);
  if (entry.type != TarType::regular && entry.size != 0)
    return fail(ErrorKind::invalid, "{} is not a file and cannot have contents in an archive", entry.name);
  return {};
}

constexpr char kZeros[2 * kTarBlock] = {};

}  // namespace

TarWriter::TarWriter(Sink& sink, bool subsecond_times) : sink_(sink), subsecond_times_(subsecond_times) {}

Result<void> TarWriter::add(const TarEntry& entry) {
  TRY(end_entry());
  TRY(check(entry));
  const std::string records = records_of(entry, subsecond_times_);
  if (records.size() > kTarPaxLimit)
    return fail(ErrorKind::invalid, "the extended attributes of {} do not fit an archive", entry.name);
  if (!records.empty()) {
    const Block header = pax_block(records.size());
    TRY(sink_.write({header.data(), header.size()}));
    TRY(sink_.write(records));
    TRY(sink_.write({kZeros, (kTarBlock - records.size() % kTarBlock) % kTarBlock}));
  }
  const Block block = block_of(entry);
  TRY(sink_.write({block.data(), block.size()}));
  remaining_ = entry.size;
  padding_ = static_cast<std::uint32_t>((kTarBlock - entry.size % kTarBlock) % kTarBlock);
  return {};
}

Result<void> TarWriter::write(std::string_view data) {
  if (data.size() > remaining_)
    return fail(ErrorKind::invalid, "more contents than the archive's header announced");
  remaining_ -= data.size();
  return sink_.write(data);
}

Result<void> TarWriter::end_entry() {
  if (remaining_ > 0)
    return fail(ErrorKind::invalid, "{} bytes of contents are missing behind an archive's header",
                remaining_);
  return sink_.write({kZeros, std::exchange(padding_, 0)});
}

Result<void> TarWriter::finish() {
  TRY(end_entry());
  return sink_.write({kZeros, sizeof kZeros});
}

}  // namespace berth::archive
