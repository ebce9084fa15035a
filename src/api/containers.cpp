// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/container_documents.h"
#include "api/network_documents.h"
#include "api/respond.h"
#include "api/routes.h"
#include "base/text.h"
#include "engine/host_config_json.h"
#include "engine/modes.h"
#include "engine/statistics.h"
#include "oci/config_json.h"
#include "oci/reference.h"

namespace berth::api {
namespace {

using engine::Container;
using engine::ContainerPointer;

Result<void> create(Call& call) {
  json::value body = TRY(read_json(call));
  engine::NewContainer request;
  request.name = call.parameter("name");
  request.platform = call.parameter("platform");
  ObjectReader in(body, "");
  oci::read_container_config(in, request.config);
  in.read_object("HostConfig",
                 [&](ObjectReader& host) { engine::read_host_config(host, request.host_config); });
  in.read_object("NetworkingConfig", [&](ObjectReader& networking) {
    networking.read_object("EndpointsConfig", [&](ObjectReader& endpoints) {
      endpoints.each_object([&](std::string_view name, ObjectReader& endpoint) {
        read_endpoint_settings(endpoint, request.endpoints[std::string(name)]);
      });
    });
  });
  TRY(in.finish());
  Result<engine::CreatedContainer> created = call.engine.creator().create(std::move(request));
  if (!created) {
    // Clients pull an image when its absence is a 404, and nothing else may look like that.
    const bool no_image = created.error().message.starts_with("No such image");
    const int status =
        created.error().kind == ErrorKind::not_found && !no_image ? 400 : status_of(created.error().kind);
    send_error(call.exchange, status, created.error().message);
    return {};
  }
  json::array warnings;
  for (const std::string& warning : created->warnings) warnings.emplace_back(warning);
  return send_json(call, 201, json::object{{"Id", created->id}, {"Warnings", std::move(warnings)}});
}

Result<void> inspect(Call& call) {
  ContainerPointer container = TRY(call.container());
  std::optional<Sizes> sizes;
  if (call.flag("size")) sizes = measure(call.engine, container);
  return send_json(call, 200, container_document(call.engine, container, sizes));
}

// A filter as a predicate over one container, with its mutex held.
bool matches_one(const std::string& filter, const std::string& value, const Container& container) {
  const engine::ContainerRecord& record = container.record;
  if (filter == "id") return record.id.starts_with(value);
  if (filter == "label") return labels_match(record.config.labels, {value});
  if (filter == "status") return status_word(container) == value;
  if (filter == "exited")
    return container.ever_started() && !container.alive() &&
           std::to_string(container.state.exit_code) == value;
  if (filter == "health") return to_text(container.health.status) == value;
  if (filter == "network")
    return std::any_of(
        record.attachments.begin(), record.attachments.end(), [&](const engine::Attachment& one) {
          return one.network_name == value || (value.size() >= 2 && one.network.starts_with(value));
        });
  if (filter == "volume")
    return std::any_of(record.mounts.begin(), record.mounts.end(), [&](const engine::MountPoint& mount) {
      return mount.name == value || mount.destination == value || mount.source == value;
    });
  if (filter == "publish") {
    auto [port, protocol] = split_once(value, '/');
    return std::any_of(record.ports.begin(), record.ports.end(), [&](const network::PublishedPort& one) {
      return std::to_string(one.host_port) == port && (protocol.empty() || protocol == one.protocol);
    });
  }
  if (filter == "expose")
    return record.config.exposed_ports.contains(value.find('/') == std::string::npos ? value + "/tcp"
                                                                                     : value);
  return true;
}

bool matches(const Filters& filters, const Container& container) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& filter) {
    const auto& [name, values] = filter;
    if (name == "label") return labels_match(container.record.config.labels, values);  // all of them
    return values.empty() ||
           std::any_of(values.begin(), values.end(), [&, &key = name](const std::string& value) {
             return matches_one(key, value, container);
           });
  });
}

// Filters that name other things become plain sets first.
struct ListQuery {
  Filters filters;
  NameFilter names;
  bool all = false;
  std::size_t limit = 0;
  std::optional<Timestamp> before, since;
  std::vector<Digest> ancestors;
  bool by_ancestor = false;
};

Result<ListQuery> read_list_query(Call& call) {
  ListQuery query;
  query.filters = TRY(read_filters(call));
  TRY(check_filter_names(query.filters,
                         {"id", "name", "label", "status", "exited", "ancestor", "before", "since", "volume",
                          "network", "publish", "expose", "health", "is-task", "isolation"}));
  query.names = TRY(NameFilter::take_out_of(query.filters));
  query.all = call.flag("all") || query.filters.contains("status") || query.filters.contains("exited");
  if (std::string_view text = call.parameter("limit"); !text.empty()) {
    auto limit = parse_integer<int>(text);
    if (!limit) return fail(ErrorKind::invalid, "invalid limit '{}': must be a number", text);
    if (*limit > 0) {
      query.limit = static_cast<std::size_t>(*limit);
      query.all = true;
    }
  }
  for (const std::string& status : query.filters["status"])
    if (std::string_view(" created restarting running removing paused exited dead ")
            .find(" " + status + " ") == std::string_view::npos)
      return fail(ErrorKind::invalid, "invalid filter 'status={}'", status);
  for (const std::string& code : query.filters["exited"])
    if (!parse_integer<int>(code)) return fail(ErrorKind::invalid, "invalid filter 'exited={}'", code);
  for (const std::string& name : query.filters["before"])
    query.before = TRY(call.engine.containers().find(name))->record.created;
  for (const std::string& name : query.filters["since"])
    query.since = TRY(call.engine.containers().find(name))->record.created;
  for (const std::string& name : query.filters["ancestor"]) {
    query.by_ancestor = true;
    if (Result<Digest> id = call.engine.images().resolve_id(name)) query.ancestors.push_back(*id);
  }
  for (const char* done : {"before", "since", "ancestor", "is-task", "isolation"}) query.filters.erase(done);
  return query;
}

bool wanted(const ListQuery& query, const Container& container) {
  if (!query.all && !container.alive()) return false;
  if (query.before && container.record.created >= *query.before) return false;
  if (query.since && container.record.created <= *query.since) return false;
  if (query.by_ancestor &&
      (!container.record.image_id || std::find(query.ancestors.begin(), query.ancestors.end(),
                                               *container.record.image_id) == query.ancestors.end()))
    return false;
  return matches(query.filters, container);
}

Result<void> list(Call& call) {
  ListQuery query = TRY(read_list_query(call));
  json::array result;
  for (const ContainerPointer& container : call.engine.containers().shown()) {
    std::string name;
    {
      std::lock_guard lock(container->mutex);
      if (!wanted(query, *container)) continue;
      name = container->record.name;
    }
    // Clients write it with the slash and without.
    if (!query.names.matches(name) && !query.names.matches("/" + name)) continue;
    std::optional<Sizes> sizes;
    if (call.flag("size")) sizes = measure(call.engine, container);
    result.push_back(container_summary(call.engine, container, sizes));
    if (query.limit > 0 && result.size() >= query.limit) break;
  }
  return send_json(call, 200, result);
}

Result<void> start(Call& call) {
  ContainerPointer container = TRY(call.container());
  Result<void> started = call.engine.lifecycle().start(container);
  if (started) return send_empty(call, 204);
  // Only a missing container is a 404 here; a missing program is the client's mistake.
  const ErrorKind kind = started.error().kind;
  const int status = kind == ErrorKind::not_found || kind == ErrorKind::denied ? 400 : status_of(kind);
  send_error(call.exchange, status, started.error().message);
  return {};
}

Result<engine::StopOptions> read_stop_options(Call& call) {
  engine::StopOptions options;
  options.signal = call.parameter("signal");
  std::string_view timeout = call.parameter("t");
  if (timeout.empty()) return options;
  options.timeout_seconds = parse_integer<std::int64_t>(timeout);
  if (!options.timeout_seconds)
    return fail(ErrorKind::invalid, "invalid timeout '{}': must be a number of seconds", timeout);
  return options;
}

Result<void> stop(Call& call) {
  ContainerPointer container = TRY(call.container());
  engine::StopOptions options = TRY(read_stop_options(call));
  TRY(call.engine.lifecycle().stop(container, options));
  return send_empty(call, 204);
}

Result<void> restart(Call& call) {
  ContainerPointer container = TRY(call.container());
  engine::StopOptions options = TRY(read_stop_options(call));
  TRY(call.engine.lifecycle().restart(container, options));
  return send_empty(call, 204);
}

Result<void> kill(Call& call) {
  ContainerPointer container = TRY(call.container());
  TRY(call.engine.lifecycle().kill(container, call.parameter("signal")));
  return send_empty(call, 204);
}

Result<void> pause(Call& call) {
  ContainerPointer container = TRY(call.container());
  TRY(call.engine.lifecycle().pause(container));
  return send_empty(call, 204);
}

Result<void> unpause(Call& call) {
  ContainerPointer container = TRY(call.container());
  TRY(call.engine.lifecycle().unpause(container));
  return send_empty(call, 204);
}

Result<void> rename(Call& call) {
  ContainerPointer container = TRY(call.container());
  TRY(call.engine.lifecycle().rename(container, std::string(call.parameter("name"))));
  return send_empty(call, 204);
}

Result<void> update(Call& call) {
  ContainerPointer container = TRY(call.container());
  json::value body = TRY(read_json(call));
  engine::UpdateRequest request;
  ObjectReader in(body, "");
  engine::read_resource_limits(in, request.limits);
  in.read_object("RestartPolicy", [&](ObjectReader& policy) {
    std::string name;
    policy.read("Name", name);
    policy.read("MaximumRetryCount", request.restart_maximum);
    if (!name.empty()) request.restart_name = name;
  });
  TRY(in.finish());
  TRY(call.engine.lifecycle().update(container, request));
  return send_json(call, 200, json::object{{"Warnings", nullptr}});
}

Result<void> remove(Call& call) {
  ContainerPointer container = TRY(call.container());
  if (call.flag("link"))
    return fail(ErrorKind::unsupported,
                "a link is not removed by itself here: remove the container that has it");
  TRY(call.engine.lifecycle().remove(container, call.flag("force"), call.flag("v")));
  call.engine.execs().forget(container);
  return send_empty(call, 204);
}

Result<void> prune(Call& call) {
  Filters filters = TRY(read_filters(call));
  TRY(check_filter_names(filters, {"label", "label!", "until"}));
  std::optional<Timestamp> until;
  for (const std::string& text : filters["until"]) until = TRY(parse_time_or_ago(text, now()));
  json::array deleted;
  std::int64_t reclaimed = 0;
  for (const ContainerPointer& container : call.engine.containers().shown()) {
    {
      std::lock_guard lock(container->mutex);
      const auto& labels = container->record.config.labels;
      if (container->alive() || container->removing || (until && container->record.created > *until))
        continue;
      if (!labels_match(labels, filters["label"])) continue;
      if (!filters["label!"].empty() && labels_match(labels, filters["label!"])) continue;
    }
    const std::int64_t size = measure(call.engine, container).writable;
    if (!call.engine.lifecycle().remove(container, false, false)) continue;
    call.engine.execs().forget(container);
    reclaimed += size;
    deleted.emplace_back(container->record.id);
  }
  return send_json(call, 200,
                   json::object{{"ContainersDeleted", std::move(deleted)}, {"SpaceReclaimed", reclaimed}});
}

Result<void> top(Call& call) {
  ContainerPointer container = TRY(call.container());
  engine::ProcessTable table =
      TRY(engine::list_processes(call.engine.settings(), container, std::string(call.parameter("ps_args"))));
  json::array rows;
  for (const std::vector<std::string>& row : table.rows) rows.push_back(to_json(row));
  return send_json(call, 200,
                   json::object{{"Titles", to_json(table.titles)}, {"Processes", std::move(rows)}});
}

}  // namespace

void add_container_routes(Router& router) {
  router.add("GET", "/containers/json", list);
  router.add("POST", "/containers/create", create);
  router.add("POST", "/containers/prune", prune);
  router.add("GET", "/containers/{id}/json", inspect);
  router.add("GET", "/containers/{id}/top", top);
  router.add("POST", "/containers/{id}/start", start);
  router.add("POST", "/containers/{id}/stop", stop);
  router.add("POST", "/containers/{id}/restart", restart);
  router.add("POST", "/containers/{id}/kill", kill);
  router.add("POST", "/containers/{id}/pause", pause);
  router.add("POST", "/containers/{id}/unpause", unpause);
  router.add("POST", "/containers/{id}/rename", rename);
  router.add("POST", "/containers/{id}/update", update);
  router.add("DELETE", "/containers/{id}", remove);
}

}  // namespace berth::api
