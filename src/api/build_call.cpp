// SPDX-License-Identifier: Apache-2.0
#include "api/build_call.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "build/plan.h"

namespace berth::api {
namespace {

enum class Purpose { tell, build };

// As it is here. A build asks a registry for another one where it does not fit (stage.cpp), so that nothing
// is known of what it takes then.
std::optional<dockerfile::BaseImage> known_image(const build::BuildRequest& request,
                                                 const image::ImageStore& images, std::string_view name,
                                                 const std::optional<oci::Platform>& platform,
                                                 Purpose purpose) {
  const auto named = request.named_contexts.find(build::context_name(name));
  const Result<image::Image> known =
      images.resolve(named == request.named_contexts.end() ? std::string(name) : named->second.image);
  if (!known) return std::nullopt;
  const std::optional<oci::Platform>& wanted = platform ? platform : request.platform;
  const bool taken = !wanted || oci::runs_on(known->config.platform, *wanted);
  if (purpose == Purpose::build && !taken) return std::nullopt;
  return dockerfile::BaseImage{known->config.config.env, known->config.platform};
}

Result<dockerfile::CheckReport> check(const dockerfile::Dockerfile& file, const build::BuildRequest& request,
                                      const image::ImageStore& images, Purpose purpose) {
  dockerfile::CheckOptions options;
  options.arguments = request.arguments;
  options.platform = request.platform.value_or(oci::host_platform());
  if (request.context) options.ignore = &request.context->ignore;
  options.image_of = [&](std::string_view name, const std::optional<oci::Platform>& platform) {
    return known_image(request, images, name, platform, purpose);
  };
  return dockerfile::check(file, options);
}

json::object to_json(const dockerfile::Warning& warning) {
  const json::object start{{"line", warning.at.line}, {"character", warning.at.column}};
  const json::object end{{"line", std::max(warning.last_line, warning.at.line)}, {"character", 0}};
  return {{"ruleName", warning.rule},
          {"description", warning.text},
          {"detail", warning.text},
          {"location", json::object{{"sourceIndex", 0},
                                    {"ranges", json::array{json::object{{"start", start}, {"end", end}}}}}}};
}

json::array to_json(const std::vector<dockerfile::Outline::Needed>& all) {
  json::array list;
  for (const dockerfile::Outline::Needed& one : all) {
    json::object item{{"name", one.id}};
    if (one.required) item["required"] = true;
    list.push_back(std::move(item));
  }
  return list;
}

void add_text(json::object& object, std::string_view name, std::string_view text) {
  if (!text.empty()) object[name] = text;
}

json::object outline_document(const dockerfile::Outline& outline) {
  json::object document;
  add_text(document, "name", outline.target);
  add_text(document, "description", outline.description);
  json::array arguments, caches;
  for (const dockerfile::Outline::Argument& one : outline.arguments) {
    json::object item{{"name", one.name}};
    add_text(item, "description", one.description);
    add_text(item, "value", one.value);
    arguments.push_back(std::move(item));
  }
  for (const std::string& id : outline.cache_mounts) caches.push_back(json::object{{"ID", id}});
  if (!arguments.empty()) document["args"] = std::move(arguments);
  if (!outline.secrets.empty()) document["secrets"] = to_json(outline.secrets);
  if (!outline.ssh.empty()) document["ssh"] = to_json(outline.ssh);
  if (!caches.empty()) document["cache"] = std::move(caches);
  return document;
}

json::object targets_document(const dockerfile::Dockerfile& file) {
  json::array list;
  for (const dockerfile::TargetLine& target : dockerfile::targets(file)) {
    json::object item{{"name", target.name}};
    if (target.is_default) item["default"] = true;
    add_text(item, "description", target.description);
    list.push_back(std::move(item));
  }
  return {{"targets", std::move(list)}};
}

}  // namespace

bool is_build_call(std::string_view name) {
  return name == "check" || name == "outline" || name == "targets";
}

json::object check_document(const dockerfile::CheckReport& report, const build::BuildRequest& request) {
  json::array warnings;
  for (const dockerfile::Warning& warning : report.warnings) warnings.push_back(to_json(warning));
  json::array sources;
  if (!warnings.empty())
    sources.push_back(json::object{{"fileName", request.dockerfile_name},
                                   {"language", "Dockerfile"},
                                   {"data", to_base64(request.dockerfile)}});
  return {{"warnings", std::move(warnings)}, {"sources", std::move(sources)}};
}

Result<json::object> answer_build_call(std::string_view call, const build::BuildRequest& request,
                                       const image::ImageStore& images) {
  const dockerfile::Dockerfile file =
      TRY(dockerfile::parse_dockerfile(request.dockerfile, request.dockerfile_name));
  if (call == "targets") return targets_document(file);
  if (call == "outline") {
    const dockerfile::Outline outline = TRY(dockerfile::outline(file, request.target, request.arguments));
    return outline_document(outline);
  }
  const dockerfile::CheckReport report = TRY(check(file, request, images, Purpose::tell));
  return check_document(report, request);
}

Result<json::object> check_before_build(const build::BuildRequest& request, const image::ImageStore& images) {
  const dockerfile::Dockerfile file =
      TRY(dockerfile::parse_dockerfile(request.dockerfile, request.dockerfile_name));
  const dockerfile::CheckReport report = TRY(check(file, request, images, Purpose::build));
  if (!report.are_errors || report.warnings.empty()) return check_document(report, request);
  std::set<std::string> rules;
  for (const dockerfile::Warning& warning : report.warnings) rules.insert(warning.rule);
  const dockerfile::Warning& first = report.warnings.front();
  Error error{ErrorKind::invalid, 0,
              fmt::format("lint violation found for rules: {}; the first is {}: {}",
                          join(std::vector(rules.begin(), rules.end()), ", "), first.rule, first.text)};
  return std::unexpected(dockerfile::located(file, first.at, first.last_line, std::move(error)));
}

}  // namespace berth::api
