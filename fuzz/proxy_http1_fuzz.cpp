// SPDX-License-Identifier: Apache-2.0
// The load balancer's parser, fed with any bytes. It must find the same however they come, take only what the
// next one in line reads the same way, and write heads that it takes itself. The next one in line is a second
// parser, which shares nothing with it: Debian's http-parser.
#include <http_parser.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http1/body_reader.h"
#include "proxy/http1/head.h"
#include "proxy/worker/forwarded_head.h"

namespace {

using namespace berth::proxy;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Message {
  std::string method, target, body;
  bool whole = false;
};

// One request at the start of `bytes`, which come in parts of `part`.
struct Taken {
  Message message;
  std::size_t head = 0, end = 0;  // bytes
  int refused = 0;
};

Taken take(std::string_view bytes, std::size_t part) {
  const HeadLimits limits;
  Taken taken;
  HeadSearch search;
  for (std::size_t have = 0; taken.head == 0; have = std::min(have + part, bytes.size())) {
    const Parsed<std::size_t> length = search.find(bytes.substr(0, have), limits);
    if (!length) return taken.refused = length.error().status, taken;
    taken.head = *length;
    if (have == bytes.size() && taken.head == 0) return taken;
  }
  const std::string head_text(bytes.substr(0, taken.head));
  RequestHead head;
  if (const Parsed<void> parsed = parse_request_head(head_text, limits, head); !parsed)
    return taken.refused = parsed.error().status, taken;
  taken.message.method = head.method;
  taken.message.target = head.target;
  BodyReader body;
  body.begin(head.framing);
  std::size_t used = taken.head, have = taken.head;
  for (;;) {
    const Parsed<BodyReader::Piece> piece = body.next(bytes.substr(used, have - used), limits);
    if (!piece) return taken.refused = piece.error().status, taken;
    used += piece->used_before;
    if (piece->ended) break;
    taken.message.body += piece->data;
    used += piece->data.size();
    body.took(piece->data.size());
    if (!piece->data.empty()) continue;
    if (have == bytes.size()) return taken;
    have = std::min(have + part, bytes.size());
  }
  taken.message.whole = true;
  taken.end = used;
  return taken;
}

// The same, as http-parser reads it.
Message take_with_other(std::string_view bytes, std::size_t& end) {
  Message message;
  http_parser parser;
  http_parser_init(&parser, HTTP_REQUEST);
  parser.data = &message;
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_url = [](http_parser* p, const char* at, std::size_t size) {
    static_cast<Message*>(p->data)->target.append(at, size);
    return 0;
  };
  settings.on_body = [](http_parser* p, const char* at, std::size_t size) {
    static_cast<Message*>(p->data)->body.append(at, size);
    return 0;
  };
  settings.on_message_complete = [](http_parser* p) {
    static_cast<Message*>(p->data)->whole = true;
    http_parser_pause(p, 1);
    return 0;
  };
  end = http_parser_execute(&parser, &settings, bytes.data(), bytes.size());
  if (parser.upgrade) message.whole = false;  // to it what follows is no HTTP any more
  message.method = http_method_str(static_cast<http_method>(parser.method));
  // It stops at the last byte of a message, and does not count that one.
  if (HTTP_PARSER_ERRNO(&parser) == HPE_PAUSED) ++end;
  return message;
}

void compare(std::string_view bytes, const Taken& taken) {
  std::size_t end = 0;
  const Message other = take_with_other(bytes.substr(0, taken.end), end);
  // It knows few methods, and refuses more targets; what it takes it must frame as we do.
  if (!other.whole || other.method != taken.message.method) return;
  require(other.body == taken.message.body);
}

// The head that goes to the backend is one that both take, with the same framing.
void forward(std::string_view bytes, const Taken& taken) {
  RequestHead head, again;
  const std::string text(bytes.substr(0, taken.head));
  require(parse_request_head(text, {}, head).has_value());
  Backend backend;
  backend.prefix = "/p";
  std::string out;
  if (leaves_prefix({}, backend, head.target)) return;  // it goes nowhere
  append_request_head(out, head, {.address = "192.0.2.1", .port = 80}, {}, backend, {.keep_alive = true});
  HeadSearch search;
  const HeadLimits roomy{.bytes = 128u << 10, .fields = 200, .target = 16u << 10};
  const Parsed<std::size_t> length = search.find(out, roomy);
  require(length && *length == out.size());
  require(parse_request_head(out, roomy, again).has_value());
  require(again.framing.kind == head.framing.kind && again.framing.length == head.framing.length);
  require(again.host == head.host && again.method == head.method);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Taken at_once = take(bytes, size + 1);
  for (const std::size_t part : {1u, 2u, 7u}) {
    const Taken in_parts = take(bytes, part);
    require(in_parts.refused == at_once.refused);
    require(in_parts.end == at_once.end && in_parts.message.body == at_once.message.body);
  }
  if (!at_once.message.whole) return 0;
  compare(bytes, at_once);
  forward(bytes, at_once);
  return 0;
}
