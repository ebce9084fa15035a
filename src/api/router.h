// SPDX-License-Identifier: Apache-2.0
// From a request to the function that answers it, by method and path. Patterns are paths with names in braces
// for one segment each, "{name}", or for one and more, "{name...}" (image names have slashes).
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "http/server.h"

namespace berth::api {

// One request on its way through a handler.
bool is_true(std::string_view text);  // 1, true, True, TRUE: what a query's flags and filters say

struct Call {
  http::Exchange& exchange;
  engine::Engine& engine;
  std::map<std::string, std::string> path;  // what the pattern's names stand for, percent-decoded
  int version = 51;                         // the minor number of the client's API version

  const http::Request& request() const { return exchange.request(); }
  std::string_view parameter(std::string_view name) const { return request().query.get_or(name, ""); }
  bool flag(std::string_view name) const;
  Result<engine::ContainerPointer> container() const { return engine.containers().find(path.at("id")); }
};

// Answers through the exchange; a returned error becomes an error answer if nothing has been sent yet.
using Handler = std::function<Result<void>(Call&)>;

// Takes "/v1.44" off the path and gives 44. No version means the newest; one out of range is an error.
Result<int> take_version(std::string_view& path);

class Router {
 public:
  void add(std::string_view method, std::string_view pattern, Handler handler);

  // The route for a path without its version. Null when there is none, or none for this method: Docker does
  // not tell the two apart.
  const Handler* find(std::string_view method, std::string_view path,
                      std::map<std::string, std::string>& captured) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> pattern;
    Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace berth::api
