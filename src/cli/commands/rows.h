// SPDX-License-Identifier: Apache-2.0
// Containers, images and networks of the Engine API as rows of a table, with the field names that --format
// knows.
#pragma once
#include <string>
#include <vector>

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace berth::cli {

// "a=b,c=d", sorted.
std::string labels_of(const boost::json::value& thing);

boost::json::object network_row(const boost::json::value& network, bool shortened);

boost::json::object container_row(const boost::json::value& container, bool shortened);

// One row a tag (and digest, when they are asked for); one without names for an image that has none.
std::vector<boost::json::object> image_rows(const boost::json::value& image, bool shortened, bool digests);

// "0.0.0.0:80->80/tcp, 90-92/udp": ports in a row are joined.
std::string display_ports(const boost::json::value& ports);

// Of an inspected container's NetworkSettings.Ports: "80/tcp -> 0.0.0.0:8080", and of one port's bindings
// "0.0.0.0:8080".
std::vector<std::string> published_ports(const boost::json::value& ports);
std::vector<std::string> published_addresses(const boost::json::value& bindings);

}  // namespace berth::cli
