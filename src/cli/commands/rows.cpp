// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/rows.h"

#include <algorithm>
#include <tuple>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/output/natural_order.h"
#include "cli/output/units.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

struct Port {
  std::int64_t inside = 0;
  std::string address;
  std::int64_t outside = 0;
  std::string protocol;
  auto order() const { return std::tie(inside, address, outside, protocol); }
};

std::string with_address(const std::string& address, const std::string& port) {
  return address.find(':') == address.npos ? address + ":" + port : "[" + address + "]:" + port;
}

// Ports in a row that are published under their own numbers on one address, or not at all.
struct PortRun {
  std::string address;
  std::string protocol;
  std::int64_t first = 0;
  std::int64_t last = 0;

  std::string text() const {
    std::string range = first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
    if (!address.empty()) range = with_address(address, range) + "->" + range;
    return range + "/" + protocol;
  }
};

std::string image_of(const json::value& container, bool shortened) {
  std::string image = text_of(container, "Image");
  if (image.empty()) return "<no image>";
  if (!shortened) return image;
  std::string id = short_id(text_of(container, "ImageID"));
  if (!id.empty() && id == short_id(image)) return id;
  Result<oci::Reference> reference = oci::Reference::parse(image);
  if (!reference || !reference->digest()) return image;
  if (reference->tag()) return reference->familiar_repository() + ":" + *reference->tag();
  return reference->familiar_repository();
}

std::string names_of_container(const json::value& container, bool shortened) {
  std::vector<std::string> names;
  if (const json::array* list = member_of(container, "Names").if_array())
    for (const json::value& item : *list) {
      std::string_view name = item.is_string() ? std::string_view(item.get_string()) : "";
      if (name.starts_with('/')) name.remove_prefix(1);
      if (shortened && name.find('/') != name.npos) continue;  // a link's
      names.emplace_back(name);
    }
  return join(names, ",");
}

std::string mounts_of(const json::value& container, bool shortened, std::int64_t& local_volumes) {
  std::vector<std::string> mounts;
  if (const json::array* list = member_of(container, "Mounts").if_array())
    for (const json::value& mount : *list) {
      if (text_of(mount, "Driver") == "local") ++local_volumes;
      std::string name = text_of(mount, "Name");
      if (name.empty()) name = text_of(mount, "Source");
      mounts.push_back(shortened ? shorten(name, 15) : name);
    }
  return join(mounts, ",");
}

std::string networks_of(const json::value& container) {
  std::vector<std::string> networks;
  if (const json::object* map = member_of(member_of(container, "NetworkSettings"), "Networks").if_object())
    for (const auto& network : *map) networks.emplace_back(network.key());
  std::ranges::sort(networks);
  return join(networks, ",");
}

std::string size_of(const json::value& container) {
  std::string own = format_size_decimal(static_cast<double>(number_of(container, "SizeRw")), 3);
  std::int64_t all = number_of(container, "SizeRootFs");
  if (all <= 0) return own;
  return fmt::format("{} (virtual {})", own, format_size_decimal(static_cast<double>(all), 3));
}

struct ImageName {
  std::string repository;
  std::vector<std::string> tags;
  std::vector<std::string> digests;
};

// By repository, in the order they come.
std::vector<ImageName> names_of_image(const json::value& image) {
  std::vector<ImageName> names;
  auto entry = [&](const std::string& repository) -> ImageName& {
    auto found = std::ranges::find(names, repository, &ImageName::repository);
    if (found != names.end()) return *found;
    return names.emplace_back(ImageName{repository, {}, {}});
  };
  for (std::string_view member : {"RepoTags", "RepoDigests"}) {
    const json::array* list = member_of(image, member).if_array();
    if (!list) continue;
    for (const json::value& item : *list) {
      std::string text = item.is_string() ? std::string(item.get_string()) : "";
      bool digest = member == "RepoDigests";
      std::size_t at = digest ? text.find('@') : text.rfind(':');
      if (at == text.npos || text.starts_with("<none>")) continue;
      ImageName& name = entry(text.substr(0, at));
      (digest ? name.digests : name.tags).push_back(text.substr(at + 1));
    }
  }
  return names;
}

json::object image_row(const json::value& image, bool shortened, const std::string& repository,
                       const std::string& tag, const std::string& digest) {
  std::int64_t created = number_of(image, "Created");
  std::string id = text_of(image, "Id");
  auto size = [&](std::string_view member) {
    std::int64_t bytes = number_of(image, member);
    return bytes == -1 ? std::string("N/A") : format_size_decimal(static_cast<double>(bytes));
  };
  std::int64_t containers = number_of(image, "Containers");
  std::string shared = size("SharedSize");
  std::string unique = "N/A";
  if (shared != "N/A")
    unique =
        format_size_decimal(static_cast<double>(number_of(image, "Size") - number_of(image, "SharedSize")));
  return {{"Containers", containers == -1 ? "N/A" : std::to_string(containers)},
          {"CreatedAt", created > 0 ? local_time(created) : "N/A"},
          {"CreatedSince", created > 0 ? ago(Timestamp{created * 1'000'000'000}) : "N/A"},
          {"Digest", digest},
          {"ID", shortened ? short_id(id) : id},
          {"Repository", repository},
          {"SharedSize", shared},
          {"Size", format_size_decimal(static_cast<double>(number_of(image, "Size")), 3)},
          {"Tag", tag},
          {"UniqueSize", unique},
          {"VirtualSize", format_size_decimal(static_cast<double>(number_of(image, "Size")))}};
}

}  // namespace

std::string labels_of(const json::value& thing) {
  std::vector<std::string> labels;
  if (const json::object* map = member_of(thing, "Labels").if_object())
    for (const auto& label : *map)
      labels.push_back(std::string(label.key()) + "=" +
                       (label.value().is_string() ? std::string(label.value().get_string()) : ""));
  std::ranges::sort(labels);
  return join(labels, ",");
}

std::vector<std::string> published_addresses(const json::value& bindings) {
  std::vector<std::string> addresses;
  if (const json::array* all = bindings.if_array())
    for (const json::value& binding : *all)
      addresses.push_back(with_address(text_of(binding, "HostIp"), text_of(binding, "HostPort")));
  std::ranges::sort(addresses, natural_less);
  return addresses;
}

std::vector<std::string> published_ports(const json::value& ports) {
  std::vector<std::string> lines;
  if (const json::object* all = ports.if_object())
    for (const auto& port : *all)
      for (const std::string& address : published_addresses(port.value()))
        lines.push_back(std::string(port.key()) + " -> " + address);
  std::ranges::sort(lines, natural_less);
  return lines;
}

json::object network_row(const json::value& network, bool shortened) {
  auto boolean = [&](std::string_view member) { return flag_of(network, member) ? "true" : "false"; };
  std::string id = text_of(network, "Id");
  return {{"CreatedAt", go_time(text_of(network, "Created"))},
          {"Driver", text_of(network, "Driver")},
          {"ID", shortened ? short_id(id) : id},
          {"IPv4", boolean("EnableIPv4")},
          {"IPv6", boolean("EnableIPv6")},
          {"Internal", boolean("Internal")},
          {"Labels", labels_of(network)},
          {"Name", text_of(network, "Name")},
          {"Scope", text_of(network, "Scope")}};
}

std::string display_ports(const json::value& list) {
  std::vector<Port> ports;
  if (const json::array* all = list.if_array())
    for (const json::value& item : *all)
      ports.push_back({number_of(item, "PrivatePort"), text_of(item, "IP"), number_of(item, "PublicPort"),
                       text_of(item, "Type")});
  std::ranges::sort(ports, [](const Port& a, const Port& b) { return a.order() < b.order(); });
  std::vector<std::string> closed, mapped;
  std::vector<PortRun> open;
  for (const Port& port : ports) {
    if (!port.address.empty() && port.outside != port.inside) {
      mapped.push_back(fmt::format("{}->{}/{}", with_address(port.address, std::to_string(port.outside)),
                                   port.inside, port.protocol));
      continue;
    }
    auto run = std::ranges::find_if(open, [&](const PortRun& known) {
      return known.address == port.address && known.protocol == port.protocol;
    });
    if (run == open.end()) {
      open.push_back({port.address, port.protocol, port.inside, port.inside});
    } else if (port.inside == run->last + 1) {
      run->last = port.inside;
    } else {
      closed.push_back(run->text());
      run->first = run->last = port.inside;
    }
  }
  for (const PortRun& run : open) closed.push_back(run.text());
  closed.insert(closed.end(), mapped.begin(), mapped.end());
  return join(closed, ", ");
}

json::object container_row(const json::value& container, bool shortened) {
  std::int64_t local_volumes = 0;
  std::string mounts = mounts_of(container, shortened, local_volumes);
  std::string id = text_of(container, "Id"), command = text_of(container, "Command");
  std::int64_t created = number_of(container, "Created");
  return {{"Command", in_quotes(shortened ? shorten(command, 20) : command)},
          {"CreatedAt", local_time(created)},
          {"ID", shortened ? short_id(id) : id},
          {"Image", image_of(container, shortened)},
          {"Labels", labels_of(container)},
          {"LocalVolumes", std::to_string(local_volumes)},
          {"Mounts", mounts},
          {"Names", names_of_container(container, shortened)},
          {"Networks", networks_of(container)},
          {"Platform", nullptr},
          {"Ports", display_ports(member_of(container, "Ports"))},
          {"RunningFor", ago(Timestamp{created * 1'000'000'000})},
          {"Size", size_of(container)},
          {"State", text_of(container, "State")},
          {"Status", text_of(container, "Status")}};
}

std::vector<json::object> image_rows(const json::value& image, bool shortened, bool digests) {
  std::vector<json::object> rows;
  for (const ImageName& name : names_of_image(image)) {
    std::vector<std::string> shown = name.digests;
    if (shown.empty() || !digests) shown = {"<none>"};
    std::vector<std::string> tags = name.tags;
    if (tags.empty()) tags = {"<none>"};
    for (const std::string& tag : tags)
      for (const std::string& digest : shown)
        rows.push_back(image_row(image, shortened, name.repository, tag, digest));
  }
  if (rows.empty()) rows.push_back(image_row(image, shortened, "<none>", "<none>", "<none>"));
  return rows;
}

}  // namespace berth::cli
