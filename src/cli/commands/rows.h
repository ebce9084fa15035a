// SPDX-License-Identifier: Apache-2.0
// Containers and images of the Engine API as rows of a table, with the field names that --format knows.
#pragma once
#include <string>
#include <vector>

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace berth::cli {

boost::json::object container_row(const boost::json::value& container, bool shortened);

// One row a tag (and digest, when they are asked for); one without names for an image that has none.
std::vector<boost::json::object> image_rows(const boost::json::value& image, bool shortened, bool digests);

// "0.0.0.0:80->80/tcp, 90-92/udp": ports in a row are joined.
std::string display_ports(const boost::json::value& ports);

}  // namespace berth::cli
