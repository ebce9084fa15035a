// SPDX-License-Identifier: Apache-2.0
#include "cli/proxy/admin_client.h"

#include <chrono>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/clean_text.h"
#include "cli/status_kind.h"

namespace berth::cli {
namespace {

constexpr std::size_t kLargestAnswer = 1u << 30;  // a million routes in one list
constexpr std::chrono::seconds kPatience{60};

// Of the API's errors; anything else is of somebody else.
std::string message_in(std::string_view body) {
  const Result<json::value> document = parse_json(body, "the error");
  const json::object* object = document ? document->if_object() : nullptr;
  const json::value* message = object ? object->if_contains("message") : nullptr;
  return message && message->is_string() ? clean_line(std::string_view(message->get_string())) : "";
}

}  // namespace

std::string path_of_route(std::string_view host) { return "/v1/routes/" + percent_encode(host); }

Result<AdminClient> AdminClient::open(const std::string& address, std::string token) {
  if (!address.starts_with("unix://") && !address.starts_with("http://"))
    return fail(ErrorKind::invalid,
                "\"{}\" is no address of a proxy's admin API: unix:///path or http://host:port", address);
  for (const char c : token)
    if (static_cast<unsigned char>(c) < 0x21 || c == 0x7f)
      return fail(ErrorKind::invalid, "the token has a blank or a control character in it");
  AdminClient client(TRY(http::Endpoint::parse(address)), std::move(token));
  client.client_.set_head_timeout(kPatience);
  return client;
}

Error AdminClient::unreachable(Error error) const {
  const http::Endpoint& endpoint = client_.endpoint();
  if (error.kind == ErrorKind::denied)
    error.message =
        fmt::format("You may not talk to the proxy at {}: permission to open it is denied", endpoint.text);
  else if (error.kind == ErrorKind::not_found || error.kind == ErrorKind::unavailable || error.code != 0)
    error.message = fmt::format(
        "Cannot connect to a proxy at {}. Is berth-proxy running, and is that its admin address (--proxy, "
        "BERTH_PROXY)?",
        endpoint.text);
  return error;
}

Error AdminClient::refused(int status, std::string_view body) const {
  const std::string message = message_in(body);
  const ErrorKind kind = kind_of_status(status);
  if (status == 401)
    return {kind, 0,
            fmt::format("The proxy at {} wants {} token (BERTH_PROXY_TOKEN, --token-file)",
                        client_.endpoint().text, token_.empty() ? "a" : "another")};
  if (message.empty())
    return {kind, 0,
            fmt::format("What answers at {} is no proxy's admin API: {} {}", client_.endpoint().text, status,
                        http::reason_phrase(status))};
  return {kind, 0, message};
}

Result<std::string> AdminClient::call(std::string_view method, const std::string& target,
                                      http::RequestBody body) {
  http::Headers headers{{"User-Agent", "Berth-Client"}};
  if (!token_.empty()) headers.set("Authorization", "Bearer " + token_);
  if (body.index() != 0) headers.set("Content-Type", "application/json");
  Result<http::Response> response = client_.request(method, target, std::move(headers), std::move(body));
  if (!response) return std::unexpected(unreachable(std::move(response).error()));
  std::string text = TRY(response->read_whole(kLargestAnswer));
  if (response->status >= 300) return std::unexpected(refused(response->status, text));
  return text;
}

Result<json::value> AdminClient::get(std::string_view path, const http::Query& query) {
  std::string target(path);
  if (query.size() > 0) target += "?" + query.text();
  const std::string text = TRY(call("GET", target));
  Result<json::value> document = parse_json(text, "the proxy's answer");
  return document ? document : no_api();
}

std::unexpected<Error> AdminClient::no_api() const {
  return fail(ErrorKind::corrupt, "What answers at {} is no proxy's admin API", client_.endpoint().text);
}

Result<json::array> AdminClient::get_list(std::string_view path, const http::Query& query) {
  json::value document = TRY(get(path, query));
  if (!document.is_array()) return no_api();
  return std::move(document.get_array());
}

Result<json::object> AdminClient::get_object(std::string_view path, const http::Query& query) {
  json::value document = TRY(get(path, query));
  if (!document.is_object()) return no_api();
  return std::move(document.get_object());
}

Result<void> AdminClient::put(std::string_view path, std::string_view document) {
  TRY(call("PUT", std::string(path), document));
  return {};
}

Result<void> AdminClient::remove(std::string_view path) {
  TRY(call("DELETE", std::string(path)));
  return {};
}

}  // namespace berth::cli
