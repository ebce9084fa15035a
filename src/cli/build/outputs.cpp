// SPDX-License-Identifier: Apache-2.0
#include "cli/build/outputs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/description_file.h"
#include "cli/build/fields.h"
#include "cli/create/security.h"
#include "cli/stream/terminal.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

using Kind = BuildOutput::Kind;

// Docker's client takes whatever is one field and no type for a directory.
bool is_short_form(std::string_view text) {
  if (text.find_first_of(",\"") != text.npos) return false;
  for (const std::string_view key : {"type=", "dest=", "name=", "push=", "tar="})
    if (text.starts_with(key)) return false;
  return true;
}

// A directory, or "-" for a tar.
BuildOutput short_form(const std::string& text) {
  return {.kind = Kind::tree, .directory = text != "-", .destination = text};
}

Result<void> need_destination(const BuildOutput& output, const std::string& text, std::string_view type) {
  if (output.destination.empty())
    return fail(ErrorKind::invalid, "--output \"{}\": type={} needs a dest={}", text, type,
                output.directory ? "DIRECTORY" : "FILE");
  if (output.directory && output.destination == "-")
    return fail(ErrorKind::invalid, "--output \"{}\": a directory cannot go to standard output", text);
  return {};
}

Result<void> read_archive_form(Fields& fields, BuildOutput& output) {
  output.destination = fields.take("dest");
  const bool tar = TRY(fields.take_switch("tar", true));
  output.directory = !tar;
  return {};
}

Result<BuildOutput> by_type(const std::string& type, Fields& fields, const std::string& text,
                            std::vector<std::string>& names) {
  BuildOutput output;
  if (type == "local" || type == "tar") {
    output.kind = Kind::tree;
    output.directory = type == "local";
    output.destination = fields.take("dest");
    fields.pass_over({"platform-split"});
    TRY(need_destination(output, text, type));
    return output;
  }
  if (type != "docker" && type != "oci" && type != "image" && type != "registry")
    return fail(ErrorKind::invalid,
                "--output \"{}\": the type \"{}\" is none of docker, image, registry, oci, tar and local",
                text, type);
  const std::string list = fields.take("name");
  for (const std::string_view name : split(list, ','))
    if (!name.empty()) names.emplace_back(name);
  fields.pass_over({"oci-mediatypes", "unpack", "store", "buildinfo", "rewrite-timestamp", "context"});
  if (type == "image" || type == "registry") {
    output.push = TRY(fields.take_switch("push", type == "registry"));
    fields.pass_over({"compression-level", "force-compression"});
    if (const std::string compression = fields.take("compression", "gzip"); compression != "gzip")
      return fail(ErrorKind::unsupported, "--output \"{}\": layers are pushed with compression=gzip", text);
    return output;
  }
  TRY(read_archive_form(fields, output));
  if (type == "docker" && output.destination.empty() && !output.directory) return output;
  output.kind = type == "docker" ? Kind::docker_archive : Kind::oci_archive;
  if (fields.take("compression", "uncompressed") != "uncompressed")
    return fail(ErrorKind::unsupported, "--output \"{}\": layers are written with compression=uncompressed",
                text);
  TRY(need_destination(output, text, type));
  return output;
}

std::string words_of(const BuildOutput& output) {
  return output.kind == Kind::tree ? output.directory ? "local" : "tar" : "docker and oci";
}

// --push: every image goes to its registry; without an --output it is one.
Result<void> apply_push(BuildOutputs& outputs) {
  bool any = false;
  for (BuildOutput& output : outputs.list) {
    if (output.kind != Kind::image)
      return fail(ErrorKind::invalid, "--push and --output of the type {} do not go together",
                  words_of(output));
    output.push = any = true;
  }
  if (!any) outputs.list.push_back({.kind = Kind::image, .push = true});
  return {};
}

void apply_load(BuildOutputs& outputs) {
  const bool there =
      std::ranges::any_of(outputs.list, [](const BuildOutput& output) { return output.kind == Kind::image; });
  if (!there) outputs.list.push_back({.kind = Kind::image});
}

Result<void> check_names(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Result<oci::Reference> reference = oci::Reference::parse(name);
    if (!reference)
      return fail(ErrorKind::invalid, "--output: invalid name \"{}\": {}", name, reference.error().message);
    if (reference->digest())
      return fail(ErrorKind::invalid, "--output: the name \"{}\" has a digest, which cannot be chosen", name);
  }
  return {};
}

Result<void> check_as_a_whole(const BuildOutputs& outputs) {
  const auto standard = std::ranges::count(outputs.list, "-", &BuildOutput::destination);
  if (standard > 1) return fail(ErrorKind::invalid, "--output: one result alone can go to standard output");
  if (standard == 1 && is_terminal(STDOUT_FILENO))
    return fail(ErrorKind::invalid, "--output: dest=- does not write to a terminal: redirect it");
  const bool pushes = std::ranges::any_of(outputs.list, &BuildOutput::push);
  if (pushes && outputs.names.empty())
    return fail(ErrorKind::invalid, "a push needs a name: --tag, or name= of --output");
  return {};
}

// What there is of the path, for a directory that is still to be made.
std::string nearest_existing(std::string path) {
  struct stat info;
  while (::stat(path.c_str(), &info) != 0 && errno == ENOENT) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == path.npos) return ".";
    path.resize(std::max<std::size_t>(slash, 1));
    if (path == "/") break;
  }
  return path;
}

Result<void> check_destination(const BuildOutput& output) {
  const std::string& path = output.destination;
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  if (there && output.directory && !S_ISDIR(info.st_mode))
    return fail(ErrorKind::invalid, "--output: {} is no directory", path);
  if (there && !output.directory && S_ISDIR(info.st_mode))
    return fail(ErrorKind::invalid, "--output: {} is a directory", path);
  std::string written = path;
  if (output.directory)
    written = nearest_existing(path);
  else if (!there || S_ISREG(info.st_mode))  // it is replaced: the directory has to be writable
    written = path.find('/') == path.npos ? "." : path.substr(0, path.find_last_of('/') + 1);
  const bool is_directory = output.directory || written != path;
  if (::access(written.c_str(), is_directory ? W_OK | X_OK : W_OK) != 0)
    return fail(kind_of_errno(errno), "--output: cannot write to {}: {}", path, words_of_errno(errno));
  return {};
}

}  // namespace

bool BuildOutputs::records() const {
  return std::ranges::any_of(list, [](const BuildOutput& output) { return output.kind == Kind::image; });
}

bool BuildOutputs::describes_image() const {
  return std::ranges::any_of(list, [](const BuildOutput& output) { return output.kind != Kind::tree; });
}

bool BuildOutputs::to_standard_output() const {
  return std::ranges::any_of(list, [](const BuildOutput& output) { return output.destination == "-"; });
}

Result<BuildOutput> parse_output(const std::string& text, std::vector<std::string>& names) {
  if (text.empty()) return fail(ErrorKind::invalid, "--output: it is empty");
  if (is_short_form(text)) return short_form(text);
  Fields fields = TRY(Fields::parse("--output", text));
  const std::string type = fields.take("type");
  if (type.empty()) return fail(ErrorKind::invalid, "--output \"{}\": it has no type=", text);
  BuildOutput output = TRY(by_type(type, fields, text, names));
  TRY(fields.finish(type));
  return output;
}

Result<BuildOutputs> choose_outputs(const Flags& flags, bool held) {
  BuildOutputs outputs;
  for (const std::string& text : flags.list("output")) {
    BuildOutput output = TRY(parse_output(text, outputs.names));
    outputs.list.push_back(std::move(output));
  }
  TRY(check_names(outputs.names));
  // As with buildx, names of --tag win over those of --output.
  if (!flags.list("tag").empty()) outputs.names = flags.list("tag");
  if (flags.on("push")) TRY(apply_push(outputs));
  if (flags.on("load") || outputs.list.empty()) apply_load(outputs);
  outputs.held = held || std::ranges::any_of(outputs.list, [](const BuildOutput& output) {
                   return output.kind != Kind::image;
                 });
  if (outputs.held) outputs.held_as = random_identifier();
  outputs.metadata_file = flags.text("metadata-file");
  outputs.id_file = flags.text("iidfile");
  TRY(check_as_a_whole(outputs));
  return outputs;
}

Result<void> check_destinations(const BuildOutputs& outputs) {
  for (const BuildOutput& output : outputs.list)
    if (output.kind != Kind::image && output.destination != "-") TRY(check_destination(output));
  TRY(check_description_file("--metadata-file", outputs.metadata_file));
  return check_description_file("--iidfile", outputs.id_file);
}

void forget_descriptions(const BuildOutputs& outputs) {
  forget_description(outputs.metadata_file);
  forget_description(outputs.id_file);
}

void add_to_preamble(const BuildOutputs& outputs, json::object& preamble) {
  if (!outputs.records()) preamble["image"] = false;
  if (outputs.held) preamble["result"] = outputs.held_as;
}

Result<Fd> take_standard_output() {
  Fd taken(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!taken) return fail_errno(errno, "standard output");
  if (::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return fail_errno(errno, "standard output");
  return taken;
}

}  // namespace berth::cli
