// SPDX-License-Identifier: Apache-2.0
// What a Redis server may send: the same values however the bytes come, and an error or a wait, never more
// memory than was sent.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proxy/redis/redis_routes.h"
#include "proxy/redis/resp.h"

namespace {

using namespace berth::proxy;

struct Read {
  std::size_t values = 0, items = 0, text = 0;
  bool corrupt = false;
  bool operator==(const Read&) const = default;
};

void count(const RespValue& value, Read& read) {
  read.text += value.text.size();
  read.items += value.items.size();
  for (const RespValue& item : value.items) count(item, read);
}

Read read_in_parts(std::string_view bytes, std::size_t part) {
  RespReader reader;
  Read read;
  while (!bytes.empty() && !read.corrupt) {
    reader.add(bytes.substr(0, part));
    bytes.remove_prefix(std::min(part, bytes.size()));
    for (;;) {
      RespValue value;
      const berth::Result<bool> next = reader.next(value);
      read.corrupt = !next;
      if (!next || !*next) break;
      ++read.values;
      count(value, read);
      (void)parse_death(value.text);
    }
  }
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Read at_once = read_in_parts(bytes, size + 1);
  if (read_in_parts(bytes, 1) != at_once || at_once.text > size || at_once.items > size) std::abort();
  return 0;
}
