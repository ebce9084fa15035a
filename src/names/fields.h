// SPDX-License-Identifier: Apache-2.0
// The form in which messages hold data: a list of fields, each a number that says what it is (one byte), a
// length (four bytes, little end first), and that many bytes; a field may hold such a list. Readers pass over
// fields that they don't know, so an engine and a resolver of different versions understand each other.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::names {

class FieldWriter {
 public:
  void text(std::uint8_t tag, std::string_view value);
  void number(std::uint8_t tag, std::uint64_t value);
  void list(std::uint8_t tag, const FieldWriter& fields) { text(tag, fields.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

struct Field {
  std::uint8_t tag = 0;
  std::string_view value;
  std::string text() const { return std::string(value); }
  std::uint64_t number() const;  // 0 when it is none
};

class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}
  std::optional<Field> next();                       // nothing at the end and at what is malformed
  bool malformed() const { return !rest_.empty(); }  // after next() gave nothing

 private:
  std::string_view rest_;
};

}  // namespace berth::names
