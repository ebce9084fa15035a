// SPDX-License-Identifier: Apache-2.0
// What `info` prints for people.
#pragma once
#include <string>

namespace boost::json {
class value;
}

namespace berth::cli {

std::string client_block(const boost::json::value& client);
std::string server_block(const boost::json::value& info);
std::string info_warnings(const boost::json::value& info);  // for standard error

}  // namespace berth::cli
