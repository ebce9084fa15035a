// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/mirrored_request.h"

#include <algorithm>

namespace berth::proxy {
namespace {

constexpr std::size_t kMostMirrors = 256, kMostWaitingBody = 256u << 10;

// The head as it came: what is read from it again says the same.
std::string written(const RequestHead& head) {
  std::string text;
  text.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  for (const Field& field : head.fields)
    if (field.known != KnownField::expect)
      text.append(field.name).append(": ").append(field.value).append("\r\n");
  return text.append("\r\n");
}

}  // namespace

MirroredRequest::MirroredRequest(Core& core, Mirrors& mirrors, const RequestHead& head, const Client& client)
    : mirrors_(mirrors),
      limits_(core.settings.head),
      head_text_(written(head)),
      address_(client.address),
      client_(client),
      exchange_(core, *this) {
  client_.address = address_;
}

bool MirroredRequest::start(const RouteRef& route, std::string_view user) {
  if (!parse_request_head(head_text_, limits_, head_)) return false;
  exchange_.start_copy(route, head_, client_, user);
  if (exchange_.active()) exchange_.go_on();
  return exchange_.active();
}

void MirroredRequest::add_body(std::string_view data) {
  if (body_.size() - taken_ + data.size() > kMostWaitingBody) return abandon();
  body_.erase(0, std::exchange(taken_, 0));
  body_.append(data);
  exchange_.go_on();
  wake();
}

void MirroredRequest::end_body() {
  ended_ = true;
  exchange_.go_on();
  wake();
}

void MirroredRequest::abandon() {
  exchange_.client_gone();
  wake();
}

Parsed<BodyReader::Piece> MirroredRequest::body() {
  const std::string_view left = std::string_view(body_).substr(taken_);
  return BodyReader::Piece{.data = left, .ended = ended_ && left.empty()};
}

void MirroredRequest::body_took(std::size_t count) { taken_ += count; }

void MirroredRequest::wake() {
  if (!exchange_.active()) mirrors_.finished(*this);
}

std::uint64_t Mirrors::start(Core& core, const RouteRef& route, const RequestHead& head, const Client& client,
                             std::string_view user) {
  if (running_.size() >= kMostMirrors || head.websocket) return 0;
  const std::uint64_t number = ++last_;
  MirroredRequest& request =
      *(running_[number] = std::make_unique<MirroredRequest>(core, *this, head, client));
  if (request.start(route, user)) return number;
  finished(request);
  return 0;
}

MirroredRequest* Mirrors::find(std::uint64_t number) {
  const auto found = running_.find(number);
  return found == running_.end() ? nullptr : found->second.get();
}

void Mirrors::finished(MirroredRequest& request) {
  const auto found =
      std::ranges::find_if(running_, [&](const auto& one) { return one.second.get() == &request; });
  if (found == running_.end()) return;
  finished_.push_back(std::move(found->second));
  running_.erase(found);
}

}  // namespace berth::proxy
