// SPDX-License-Identifier: Apache-2.0
// Routes of the admin API as people read them: rows of a table, and where a request goes in words.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace berth::cli {

// With the field names that --format knows.
boost::json::object route_row(const boost::json::value& route);

// "balance=hash, health=/up, sticky": what a route has beside its backends, whatever it is.
std::string options_of_route(const boost::json::value& route);

// The answer of GET /v1/why about `url`.
std::string describe_why(std::string_view url, const boost::json::value& answer);

// What `route add` is given: "http://10.0.0.1:80", "10.0.0.1:80", "http://10.0.0.1:80=5" (a weight).
Result<boost::json::object> backend_of_word(std::string_view word);

}  // namespace berth::cli
