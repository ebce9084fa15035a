// SPDX-License-Identifier: Apache-2.0
// The forms that answers and requests of the Docker Engine API share: JSON bodies, errors, filters, frames,
// streams of JSON lines.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/router.h"
#include "archive/stream.h"
#include "base/json.h"
#include "base/regular_expression.h"

namespace berth::api {

int status_of(ErrorKind kind);

Result<void> send_json(Call& call, int status, const json::value& body);
Result<void> send_empty(Call& call, int status);  // 204 and 304
void send_error(http::Exchange& exchange, int status, std::string_view message);

// The request's body as JSON. Empty is an empty object when `optional`.
Result<json::value> read_json(Call& call, bool optional = false);

// {"label":["a=b"]} and {"label":{"a=b":true}}.
using Filters = std::map<std::string, std::vector<std::string>>;
Result<Filters> read_filters(Call& call);
Result<Filters> parse_filters(std::string_view text);  // "" is none
Result<void> check_filter_names(const Filters& filters, std::initializer_list<std::string_view> known);
// Whether the labels have all of "name" and "name=value".
bool labels_match(const std::map<std::string, std::string>& labels, const std::vector<std::string>& wanted);

// The filter "name": regular expressions (base/regular_expression.h) one of which is found in the name, as
// with Docker: "web", "^web$", "^(web|db)-[0-9]+$". What is none finds just that name. Read once a request;
// not to be asked with a lock held, as clients decide how much it has to look for.
class NameFilter {
 public:
  static Result<NameFilter> take_out_of(Filters& filters);  // invalid: too much to look for
  bool matches(std::string_view name) const;                // everything, when nothing is asked for

 private:
  std::vector<std::string> names_;
  std::vector<std::string> parts_;  // of names_, those that are as plain as most are
  std::vector<RegularExpression> expressions_;
};

// Docker's frame of the multiplexed stream: 1 is stdout, 2 stderr.
void append_frame(std::string& out, int stream, std::string_view data);

// The request's body as a tar's source; the answer as a sink of a begun stream.
class BodySource final : public archive::Source {
 public:
  explicit BodySource(http::Exchange& exchange) : exchange_(exchange) {}
  Result<std::size_t> read(std::span<char> buffer) override { return exchange_.read_body(buffer); }

 private:
  http::Exchange& exchange_;
};
// Begins the answer with the first byte, so that an error before it is still a status.
class BodySink final : public archive::Sink {
 public:
  BodySink(http::Exchange& exchange, http::Headers headers)
      : exchange_(exchange), headers_(std::move(headers)) {}
  Result<void> write(std::string_view data) override;
  Result<void> finish() override;

 private:
  Result<void> flush();
  http::Exchange& exchange_;
  http::Headers headers_;
  std::string buffered_;
};

// Waits until one of `descriptors` is readable; false when the client has hung up or the server stops.
Result<bool> wait_readable(const http::Exchange& exchange, std::initializer_list<int> descriptors,
                           int timeout_milliseconds = -1);

// "2 minutes", "About an hour": as Docker says how long ago something was.
std::string human_duration(std::chrono::nanoseconds duration);

}  // namespace berth::api
