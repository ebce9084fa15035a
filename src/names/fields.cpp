// SPDX-License-Identifier: Apache-2.0
#include "names/fields.h"

namespace berth::names {
namespace {

void append_number(std::string& bytes, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
}

std::uint64_t read_number(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

constexpr std::size_t kFieldHeader = 5;

}  // namespace

void FieldWriter::text(std::uint8_t tag, std::string_view value) {
  bytes_ += static_cast<char>(tag);
  append_number(bytes_, value.size(), 4);
  bytes_ += value;
}

void FieldWriter::number(std::uint8_t tag, std::uint64_t value) {
  std::string digits;
  append_number(digits, value, 8);
  text(tag, digits);
}

std::uint64_t Field::number() const { return value.size() == 8 ? read_number(value) : 0; }

std::optional<Field> FieldReader::next() {
  if (rest_.size() < kFieldHeader) return std::nullopt;
  const std::uint64_t size = read_number(rest_.substr(1, 4));
  if (rest_.size() - kFieldHeader < size) return std::nullopt;
  Field field{static_cast<std::uint8_t>(rest_[0]), rest_.substr(kFieldHeader, size)};
  rest_.remove_prefix(kFieldHeader + size);
  return field;
}

}  // namespace berth::names
