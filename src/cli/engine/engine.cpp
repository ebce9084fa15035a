// SPDX-License-Identifier: Apache-2.0
#include "cli/engine/engine.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/status_kind.h"

namespace berth::cli {
namespace {

constexpr std::size_t kDocumentLimit = 256u << 20;
constexpr std::size_t kErrorLimit = 1u << 20;

std::string message_of(std::string_view body, int status) {
  if (Result<json::value> document = parse_json(body, "the error"); document && document->is_object())
    if (const json::value* message = document->get_object().if_contains("message");
        message && message->is_string())
      return std::string(message->get_string());
  std::string_view text = trim(body);
  if (!text.empty()) return std::string(text);
  return fmt::format("{} {}", status, http::reason_phrase(status));
}

std::vector<unsigned> version_numbers(std::string_view text) {
  std::vector<unsigned> numbers;
  for (std::string_view part : split(text, '.')) numbers.push_back(parse_integer<unsigned>(part).value_or(0));
  return numbers;
}

}  // namespace

std::string segment(std::string_view name) { return percent_encode(name); }

std::string encode_filters(const std::vector<std::string>& filters) {
  if (filters.empty()) return {};
  json::object object;
  for (const std::string& filter : filters) {
    if (filter.empty()) continue;
    auto [name, value] = split_once(filter, '=');
    json::value& entry = object[name];
    if (!entry.is_object()) entry = json::object();
    entry.get_object()[value] = true;
  }
  return json::serialize(object);
}

Error Engine::translated(Error error) const {
  const std::string& host = client_.endpoint().text;
  if (!client_.endpoint().unix_path.empty() && error.kind == ErrorKind::denied)
    error.message = fmt::format("permission denied while trying to connect to the Berth engine at {}: {}",
                                host, error.message);
  else if (error.kind == ErrorKind::not_found || error.kind == ErrorKind::unavailable || error.code != 0)
    error.message = fmt::format("Cannot connect to the Berth engine at {}. Is berthd running?", host);
  if (error.kind == ErrorKind::not_found) error.kind = ErrorKind::unavailable;
  return error;
}

Result<void> Engine::negotiate() {
  Result<http::Response> answer = client_.request("HEAD", "/_ping", extra_headers_);
  if (!answer) return std::unexpected(translated(std::move(answer).error()));
  std::string offered(answer->headers.get_or("Api-Version", "1.24"));
  if (version_numbers(offered) < version_numbers(version_)) version_ = offered;
  is_berth_ = answer->headers.get_or("Server", "").starts_with("Berth/");
  return finish(std::move(*answer));
}

Result<bool> Engine::takes_descriptors() {
  if (endpoint().unix_path.empty()) return false;
  std::vector<Fd> some;
  some.push_back(TRY(open_file("/", O_PATH | O_DIRECTORY)));
  client_.pass_with_next(std::move(some));
  Result<http::Response> answer = client_.request("HEAD", "/_ping", extra_headers_);
  if (!answer) return std::unexpected(translated(std::move(answer).error()));
  const bool came = answer->headers.get_or("Berth-Passed", "") == "1";
  TRY(finish(std::move(*answer)));
  return came;
}

Engine Engine::another() const {
  Engine engine(client_.endpoint(), extra_headers_);
  engine.version_ = version_;
  engine.is_berth_ = is_berth_;
  return engine;
}

std::string Engine::target(std::string_view path, const http::Query& query) const {
  std::string target = "/v" + version_ + std::string(path);
  if (query.size() > 0) target += "?" + query.text();
  return target;
}

Result<http::Response> Engine::checked(Result<http::Response> response) {
  if (!response) return std::unexpected(translated(std::move(response).error()));
  if (response->status < 400) return response;
  Result<std::string> body = response->read_whole(kErrorLimit);
  return fail(kind_of_status(response->status), "Error response from daemon: {}",
              message_of(body ? *body : "", response->status));
}

Result<http::Response> Engine::call(std::string_view method, std::string_view path, const http::Query& query,
                                    http::Headers headers, http::RequestBody body) {
  for (const auto& [name, value] : extra_headers_) headers.set(name, value);
  return checked(client_.request(method, target(path, query), std::move(headers), std::move(body)));
}

Result<http::Response> Engine::post_json(std::string_view path, const http::Query& query,
                                         const json::object& body, http::Headers headers) {
  std::string text = json::serialize(body);
  headers.set("Content-Type", "application/json");
  return call("POST", path, query, std::move(headers), std::string_view(text));
}

Result<http::Upgraded> Engine::upgrade(std::string_view path, const http::Query& query,
                                       std::string_view body) {
  http::Headers headers = extra_headers_;
  if (!body.empty()) headers.set("Content-Type", "application/json");
  auto answer = client_.upgrade("POST", target(path, query), "tcp", std::move(headers), body);
  if (!answer) return std::unexpected(translated(std::move(answer).error()));
  if (auto* upgraded = std::get_if<http::Upgraded>(&*answer)) return std::move(*upgraded);
  Result<http::Response> refused = checked(std::move(std::get<http::Response>(*answer)));
  if (!refused) return std::unexpected(std::move(refused).error());
  return fail(ErrorKind::unsupported, "unable to upgrade to tcp, received {}", refused->status);
}

Result<std::string> Engine::get_text(std::string_view path, const http::Query& query) {
  http::Response response = TRY(call("GET", path, query));
  return response.read_whole(kDocumentLimit);
}

Result<json::value> Engine::get_json(std::string_view path, const http::Query& query) {
  http::Response response = TRY(call("GET", path, query));
  return read_json(response, path);
}

Result<void> Engine::finish(http::Response response) {
  TRY(response.read_whole(kDocumentLimit));
  return {};
}

Result<void> Engine::post(std::string_view path, const http::Query& query) {
  http::Response response = TRY(call("POST", path, query));
  return finish(std::move(response));
}

Result<void> Engine::remove(std::string_view path, const http::Query& query) {
  http::Response response = TRY(call("DELETE", path, query));
  return finish(std::move(response));
}

Result<json::value> read_json(http::Response& response, std::string_view what) {
  std::string text = TRY(response.read_whole(kDocumentLimit));
  return parse_json(text, what);
}

}  // namespace berth::cli
