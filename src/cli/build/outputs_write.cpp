// SPDX-License-Identifier: Apache-2.0
// What becomes of a build's result once it is there.
#include <fcntl.h>
#include <unistd.h>

#include "archive/unpack.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/build/description_file.h"
#include "cli/build/outputs.h"
#include "cli/commands/common.h"
#include "cli/commands/pull.h"
#include "cli/credentials.h"
#include "cli/output/list_format.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

using Kind = BuildOutput::Kind;

// The digest of the manifest that was written or pushed last; "" where there was none.
struct Written {
  std::string manifest;
};

Result<http::Response> fetch(Context& context, const BuildOutputs& outputs, const BuildOutput& output) {
  Engine* engine = TRY(context.engine());
  const std::string path = "/berth/builds/" + outputs.held_as;
  if (output.kind == Kind::tree) return engine->call("GET", path + "/tree");
  http::Query query;
  query.add("form", output.kind == Kind::oci_archive ? "oci" : "docker");
  return engine->call("GET", path + "/archive", query);
}

// Everything belongs to whoever builds, so nothing may have rights that were meant for another owner: no
// set-user-id, no capabilities. Devices are not ours to make. What the image or the directory has of links is
// followed inside the directory alone.
archive::UnpackOptions options_of_a_tree(std::vector<std::string>& left_out) {
  archive::UnpackOptions options;
  options.devices = false;
  options.keep_owner = false;
  options.xattrs = false;
  options.set_root_attributes = false;
  const bool root = ::geteuid() == 0;
  options.filter = [root, &left_out](archive::TarEntry& entry) -> Result<bool> {
    const bool device =
        entry.type == archive::TarType::character_device || entry.type == archive::TarType::block_device;
    if (device) {
      left_out.push_back(entry.name);
      return false;
    }
    entry.mode &= ~06000u;
    // What is in it has to be written, and removed one day.
    if (entry.type == archive::TarType::directory && !root) entry.mode |= 0700;
    return true;
  };
  return options;
}

Result<void> unpack(http::Response& response, const std::string& directory) {
  TRY(make_directories(directory, 0755));
  Fd root = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  archive::FunctionSource tar([&](std::span<char> buffer) { return response.read(buffer); });
  std::vector<std::string> left_out;
  TRY(archive::unpack(tar, root.get(), options_of_a_tree(left_out)));
  if (!left_out.empty())
    print_error(
        fmt::format("WARNING: {} devices were left out, among them {}\n", left_out.size(), left_out.front()));
  return {};
}

Result<void> copy_to(http::Response& response, int file) {
  archive::FunctionSource from([&](std::span<char> buffer) { return response.read(buffer); });
  archive::FdSink to(file);
  TRY(archive::copy_stream(from, to));
  return {};
}

Result<void> write_output(Context& context, const BuildOutputs& outputs, const BuildOutput& output,
                          int standard_output, Written& written) {
  http::Response response = TRY(fetch(context, outputs, output));
  if (output.kind != Kind::tree) written.manifest = response.headers.get_or("Docker-Content-Digest", "");
  if (output.directory) return unpack(response, output.destination);
  if (output.destination == "-") return copy_to(response, standard_output);
  return save_body(response, output.destination);
}

// The image that was built, whoever has taken its name meanwhile. Docker's engine goes by the name.
Result<void> push(Context& context, const std::string& text, const std::string& image, bool quiet,
                  Written& written) {
  const oci::Reference name = TRY(oci::Reference::parse_with_default_tag(text));
  http::Query query;
  query.add("tag", *name.tag());
  query.add("image", image);
  const CredentialStore store(context.configuration_directory());
  http::Headers headers{{"X-Registry-Auth", TRY(auth_header(store, name.familiar_repository()))}};
  Engine* engine = TRY(context.engine());
  http::Response response =
      TRY(engine->call("POST", "/images/" + segment(name.familiar_repository()) + "/push", query, headers));
  return read_json_lines(response, [&](const json::value& message) -> Result<bool> {
    if (const std::string error = text_of(message, "error"); !error.empty())
      return fail(ErrorKind::system, "push {}: {}", name.familiar(), error);
    if (std::string digest = text_of(member_of(message, "aux"), "Digest"); !digest.empty())
      written.manifest = std::move(digest);
    const json::value& detail = member_of(message, "progressDetail");
    const bool moves = detail.is_object() && !detail.get_object().empty();
    const std::string id = text_of(message, "id"), status = text_of(message, "status");
    if (!quiet && !moves && !status.empty()) print_error((id.empty() ? "" : id + ": ") + status + "\n");
    return true;
  });
}

Result<void> push_all(Context& context, const BuildOutputs& outputs, const std::string& image, bool quiet,
                      Written& written) {
  for (const std::string& name : outputs.names) TRY(push(context, name, image, quiet, written));
  return {};
}

Result<void> write_metadata(const BuildOutputs& outputs, const std::string& image, const Written& written) {
  if (outputs.metadata_file.empty()) return {};
  json::object document;
  if (outputs.describes_image()) {
    document["containerimage.config.digest"] = image;
    document["containerimage.digest"] = written.manifest.empty() ? image : written.manifest;
    std::vector<std::string> names;
    for (const std::string& text : outputs.names)
      names.push_back(TRY(oci::Reference::parse_with_default_tag(text)).text());
    if (!names.empty()) document["image.name"] = join(names, ",");
  }
  TRY_AS("--metadata-file", write_description(outputs.metadata_file, json::serialize(document) + "\n"));
  return {};
}

}  // namespace

Result<void> write_outputs(Context& context, const BuildOutputs& outputs, const std::string& image,
                           int standard_output, bool quiet) {
  Written written;
  bool pushed = false;
  for (const BuildOutput& output : outputs.list) {
    if (output.kind != Kind::image)
      TRY_AS("--output", write_output(context, outputs, output, standard_output, written));
    else if (output.push && !std::exchange(pushed, true))
      TRY(push_all(context, outputs, image, quiet, written));
  }
  if (outputs.describes_image())
    TRY_AS("--iidfile", write_description(outputs.id_file, image));
  else if (!outputs.id_file.empty())
    print_error("WARNING: --iidfile: no image was asked for, and so there is no id to write\n");
  return write_metadata(outputs, image, written);
}

void release_result(Context& context, const BuildOutputs& outputs) {
  if (!outputs.held) return;
  if (Result<Engine*> engine = context.engine())
    (void)engine.value()->another().remove("/berth/builds/" + outputs.held_as);
}

}  // namespace berth::cli
