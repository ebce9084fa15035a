// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/http2_fields.h"

#include "proxy/http1/characters.h"
#include "proxy/http1/known_fields.h"

namespace berth::proxy {
namespace {

template <class Function>
void for_each_line(std::string_view lines, Function each) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos) each(line.substr(0, colon), line.substr(colon + 2));
    lines.remove_prefix(std::min(lines.size(), line.size() + 2));
  }
}

std::string_view take_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

}  // namespace

void FieldList::add(std::string_view name, std::string_view value) {
  texts_.emplace_back(name, value);
  for (char& c : texts_.back().first) c = lower(c);
}

void FieldList::add_all(const Fields& fields, bool without_length) {
  for (const Field& field : fields)
    if (!is_of_hop(field) && !(without_length && field.known == KnownField::content_length))
      add(field.name, field.value);
}

void FieldList::add_lines(std::string_view lines) {
  for_each_line(lines, [&](std::string_view name, std::string_view value) { add(name, value); });
}

void FieldList::add_request(std::string_view head, std::string_view scheme, bool takes_trailers) {
  std::string_view line = head.substr(0, head.find("\r\n"));
  const std::string_view lines = head.substr(std::min(head.size(), line.size() + 2));
  add(":method", take_word(line));
  add(":scheme", scheme);
  for_each_line(lines, [&](std::string_view name, std::string_view value) {
    if (known_field(name) == KnownField::host) add(":authority", value);
  });
  add(":path", take_word(line));
  for_each_line(lines, [&](std::string_view name, std::string_view value) {
    const Field field{.name = name, .value = value, .known = known_field(name)};
    if (field.known != KnownField::host && field.known != KnownField::te && !is_of_hop(field))
      add(name, value);
  });
  if (takes_trailers) add("te", "trailers");
}

const std::vector<nghttp2_nv>& FieldList::finish() {
  for (auto& [name, value] : texts_)
    list_.push_back({.name = reinterpret_cast<std::uint8_t*>(name.data()),
                     .value = reinterpret_cast<std::uint8_t*>(value.data()),
                     .namelen = name.size(),
                     .valuelen = value.size(),
                     .flags = NGHTTP2_NV_FLAG_NONE});
  return list_;
}

}  // namespace berth::proxy
