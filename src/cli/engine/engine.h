// SPDX-License-Identifier: Apache-2.0
// The Docker Engine API as the commands speak it: versioned paths, JSON bodies, and errors in the words that
// users know ("Error response from daemon: ...").
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "http/client.h"

namespace boost::json {
class value;
class object;
}  // namespace boost::json

namespace berth::cli {

inline constexpr std::string_view kApiVersion = "1.51";

class Engine {
 public:
  Engine(http::Endpoint endpoint, http::Headers extra_headers)
      : client_(std::move(endpoint)), extra_headers_(std::move(extra_headers)) {}

  // Asks for the newest version that both sides speak. The error of an engine that is not there has the kind
  // unavailable.
  Result<void> negotiate();

  // It speaks Docker's API and more: true after negotiate() with an engine of this project.
  bool is_berth() const { return is_berth_; }

  // Whether open descriptors that are passed along with a request arrive at the engine: it is ours, of this
  // machine, and nobody stands between. Asks it.
  Result<bool> takes_descriptors();
  // They go along with the next request, to an engine at a unix socket.
  void pass_with_next(std::vector<Fd> descriptors) { client_.pass_with_next(std::move(descriptors)); }

  const std::string& version() const { return version_; }
  const http::Endpoint& endpoint() const { return client_.endpoint(); }

  // Another connection to the same engine, for requests in parallel.
  Engine another() const;

  // Statuses of 400 and more are errors. 304 is a response.
  Result<http::Response> call(std::string_view method, std::string_view path, const http::Query& query = {},
                              http::Headers headers = {}, http::RequestBody body = {});
  Result<http::Response> post_json(std::string_view path, const http::Query& query,
                                   const boost::json::object& body, http::Headers headers = {});
  Result<http::Upgraded> upgrade(std::string_view path, const http::Query& query, std::string_view body = {});

  Result<std::string> get_text(std::string_view path, const http::Query& query = {});
  Result<boost::json::value> get_json(std::string_view path, const http::Query& query = {});
  // For answers that nobody reads: takes the connection back.
  Result<void> finish(http::Response response);
  Result<void> post(std::string_view path, const http::Query& query = {});
  Result<void> remove(std::string_view path, const http::Query& query = {});

 private:
  Result<http::Response> checked(Result<http::Response> response);
  std::string target(std::string_view path, const http::Query& query) const;
  Error translated(Error error) const;

  http::Client client_;
  http::Headers extra_headers_;
  std::string version_{kApiVersion};
  bool is_berth_ = false;
};

// The document in a response of at most 256 MiB.
Result<boost::json::value> read_json(http::Response& response, std::string_view what);

// {"name":["value",...]} from flags of type "filter"; "" when there are none.
std::string encode_filters(const std::vector<std::string>& filters);

// An id or a name as one component of a path.
std::string segment(std::string_view name);

}  // namespace berth::cli
