// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/body_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace berth::proxy {

std::size_t BodyWriter::write(Connection& connection, std::string_view data) const {
  if (data.empty()) return 0;
  if (kind_ != Framing::Kind::chunked) return connection.write(data);
  if (!connection.has_room()) connection.flush();
  if (!connection.has_room()) return 0;
  std::string& out = connection.queued();
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", data.size());
  out.append(data).append("\r\n");
  return data.size();
}

void BodyWriter::end(Connection& connection, const Fields& trailers) const {
  if (kind_ != Framing::Kind::chunked) return;
  std::string& out = connection.queued();
  out.append("0\r\n");
  for (const Field& field : trailers) out.append(field.name).append(": ").append(field.value).append("\r\n");
  out.append("\r\n");
}

}  // namespace berth::proxy
