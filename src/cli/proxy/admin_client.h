// SPDX-License-Identifier: Apache-2.0
// The admin API of a berth-proxy (docs/proxy.md), as the commands on routes speak it. Errors are whole
// sentences for the user.
#pragma once
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/client.h"

namespace boost::json {
class array;
class object;
class value;
}  // namespace boost::json

namespace berth::cli {

class AdminClient {
 public:
  // "unix:///run/berth-proxy/admin.sock", "http://127.0.0.1:8081". An empty token is not sent. Connects at
  // the first request.
  static Result<AdminClient> open(const std::string& address, std::string token);

  Result<boost::json::array> get_list(std::string_view path, const http::Query& query = {});
  Result<boost::json::object> get_object(std::string_view path, const http::Query& query = {});
  Result<void> put(std::string_view path, std::string_view document);
  Result<void> remove(std::string_view path);

 private:
  AdminClient(http::Endpoint endpoint, std::string token)
      : client_(std::move(endpoint)), token_(std::move(token)) {}
  Result<std::string> call(std::string_view method, const std::string& target, http::RequestBody body = {});
  Result<boost::json::value> get(std::string_view path, const http::Query& query);
  std::unexpected<Error> no_api() const;
  Error unreachable(Error error) const;
  Error refused(int status, std::string_view body) const;

  http::Client client_;
  std::string token_;
};

std::string path_of_route(std::string_view host);

}  // namespace berth::cli
