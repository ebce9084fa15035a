// SPDX-License-Identifier: Apache-2.0
// cp and export.
#include <fcntl.h>
#include <unistd.h>

#include "archive/pack.h"
#include "archive/unpack.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/copy_paths.h"
#include "cli/output/list_format.h"
#include "cli/stream/terminal.h"

namespace berth::cli {
namespace {

constexpr std::uint64_t kGoDirectory = 1u << 31;  // bits of Go's file modes, as the API has them
constexpr std::uint64_t kGoLink = 1u << 27;

struct PathStat {
  std::string link_target;
  bool directory = false;
  bool link = false;
};

std::string archive_path(const std::string& container) {
  return "/containers/" + segment(container) + "/archive";
}

Result<PathStat> decode_stat(const http::Response& response) {
  std::optional<std::string> text = from_base64(response.headers.get_or("X-Docker-Container-Path-Stat", ""));
  if (!text) return fail(ErrorKind::corrupt, "the engine's answer has no X-Docker-Container-Path-Stat");
  json::value document = TRY(parse_json(*text, "X-Docker-Container-Path-Stat"));
  auto mode = static_cast<std::uint64_t>(number_of(document, "mode"));
  return PathStat{text_of(document, "linkTarget"), (mode & kGoDirectory) != 0, (mode & kGoLink) != 0};
}

Result<PathStat> stat_in_container(Engine& engine, const CopyArgument& at) {
  http::Query query;
  query.add("path", at.path);
  http::Response response = TRY(engine.call("HEAD", archive_path(at.container), query));
  return decode_stat(response);
}

// A link's target as a path of the container.
std::string link_target(const std::string& link, const std::string& target) {
  if (target.starts_with('/')) return target;
  std::string directory = split_directory_entry(link).directory;
  return directory + (directory.ends_with('/') ? "" : "/") + target;
}

// "old/x" as "new/x"; false for an entry that is not below `old`.
bool rename_top(std::string& name, const std::string& old_top, const std::string& new_top) {
  std::string_view rest = name;
  if (old_top == "/") {
    while (rest.starts_with('/')) rest.remove_prefix(1);
    name = new_top + "/" + std::string(rest);
    return true;
  }
  if (!rest.starts_with(old_top)) return false;
  rest.remove_prefix(old_top.size());
  if (!rest.empty() && !rest.starts_with('/')) return false;
  name = new_top + std::string(rest);
  return true;
}

Result<void> unpack_here(http::Response& response, const CopyPlan& plan) {
  Fd root = TRY(open_file(plan.directory, O_PATH | O_DIRECTORY));
  archive::FunctionSource source([&](std::span<char> buffer) { return response.read(buffer); });
  archive::UnpackOptions options;
  options.keep_owner = false;
  options.keep_directory_kind = true;
  options.filter = [&](archive::TarEntry& entry) -> Result<bool> {
    // The container's devices and set-id programs mean nothing good on the host.
    if (entry.type == archive::TarType::character_device || entry.type == archive::TarType::block_device)
      return false;
    entry.mode &= 01777;
    if (!plan.to) return true;
    if (!rename_top(entry.name, plan.from, *plan.to))
      return fail(ErrorKind::corrupt, "the engine's archive holds \"{}\", which was not asked for",
                  entry.name);
    if (entry.type == archive::TarType::hard_link) rename_top(entry.link_target, plan.from, *plan.to);
    return true;
  };
  TRY(archive::unpack(source, root.get(), options));
  return {};
}

Result<void> stream_out(http::Response& response) {
  Buffer buffer(256u << 10);
  for (;;) {
    std::size_t got = TRY(response.read(buffer));
    if (got == 0) return {};
    TRY(write_all(STDOUT_FILENO, {buffer.data(), got}));
  }
}

Result<void> copy_from_container(Engine& engine, CopyArgument from, const std::string& to, bool follow) {
  std::optional<CopyDestination> destination;
  if (to != "-") destination = TRY(look_at_destination(absolute_keeping_end(to)));
  std::string rebase;
  if (follow) {
    Result<PathStat> status = stat_in_container(engine, from);
    if (status && status->link) {
      std::string asked = split_directory_entry(from.path).base;
      from.path = link_target(from.path, status->link_target);
      if (asked != split_directory_entry(from.path).base) rebase = asked;
    }
  }
  http::Query query;
  query.add("path", from.path);
  http::Response response = TRY(engine.call("GET", archive_path(from.container), query));
  if (!destination) return stream_out(response);
  PathStat status = TRY(decode_stat(response));
  CopySource source{from.path, status.directory, {}};
  CopyPlan plan = TRY(plan_copy(source, *destination));
  if (!rebase.empty() && !plan.to) plan.to = rebase;
  return unpack_here(response, plan);
}

Result<CopyDestination> look_into_container(Engine& engine, CopyArgument at) {
  CopyDestination destination{at.path, false, false};
  Result<PathStat> status = stat_in_container(engine, at);
  if (status && status->link) {
    at.path = link_target(at.path, status->link_target);
    destination.path = at.path;
    status = stat_in_container(engine, at);
  }
  destination.exists = status.has_value();
  destination.directory = status && status->directory;
  return destination;  // what is wrong with it, the engine says when it gets the archive
}

Result<void> send_archive(Engine& engine, const std::string& container, const std::string& directory,
                          bool keep_owner, http::BodySource body) {
  http::Query query;
  query.add("path", directory);
  query.add("noOverwriteDirNonDir", "true");
  if (keep_owner) query.add("copyUIDGID", "true");
  http::Headers headers{{"Content-Type", "application/x-tar"}};
  http::Response response = TRY(engine.call("PUT", archive_path(container), query, headers, std::move(body)));
  return engine.finish(std::move(response));
}

Result<void> copy_to_container(Engine& engine, const std::string& from, const CopyArgument& to,
                               const Flags& flags) {
  bool keep_owner = flags.on("archive");
  if (from == "-") {
    CopyDestination destination = TRY(look_into_container(engine, to));
    if (!destination.directory)
      return fail(ErrorKind::invalid, "destination \"{}:{}\" must be a directory", to.container, to.path);
    return send_archive(engine, to.container, destination.path, keep_owner,
                        [](std::span<char> buffer) { return read_some(STDIN_FILENO, buffer); });
  }
  CopyDestination destination = TRY(look_into_container(engine, to));
  CopySource source = TRY(look_at_source(absolute_keeping_end(from), flags.on("follow-link")));
  CopyPlan plan = TRY(plan_copy(source, destination));
  SplitPath split = split_directory_entry(source.path);
  Fd parent = TRY(open_file(split.directory, O_PATH | O_DIRECTORY));
  archive::ProducedSource tar([&](archive::Sink& sink) -> Result<void> {
    archive::PackOptions options;
    options.prefix = plan.to.value_or(plan.from);
    TRY(archive::pack(parent.get(), split.base == "/" ? "." : split.base, sink, options));
    return sink.finish();
  });
  return send_archive(engine, to.container, plan.directory, keep_owner,
                      [&](std::span<char> buffer) { return tar.read(buffer); });
}

Result<int> copy(Invocation& invocation) {
  CopyArgument from = parse_copy_argument(invocation.words[0]), to = parse_copy_argument(invocation.words[1]);
  if (from.path.empty() && from.container.empty()) return fail(ErrorKind::invalid, "source can not be empty");
  if (to.path.empty() && to.container.empty())
    return fail(ErrorKind::invalid, "destination can not be empty");
  if (!from.container.empty() && !to.container.empty())
    return fail(ErrorKind::invalid, "copying between containers is not supported");
  if (from.container.empty() && to.container.empty())
    return fail(ErrorKind::invalid, "must specify at least one container source");
  Engine* engine = TRY(invocation.context.engine());
  Result<void> done;
  if (!from.container.empty())
    done = copy_from_container(*engine, from, to.path, invocation.flags.on("follow-link"));
  else
    done = copy_to_container(*engine, from.path, to, invocation.flags);
  if (!done && done.error().code == EPIPE) return 141;
  if (!done) return std::unexpected(std::move(done).error());
  bool quiet = invocation.flags.on("quiet") || !is_terminal(STDERR_FILENO) || to.path == "-";
  if (!quiet) print_error(fmt::format("Successfully copied to {}\n", invocation.words[1]));
  return 0;
}

Result<int> export_tree(Invocation& invocation) {
  std::string output = invocation.flags.text("output");
  if (output.empty() && is_terminal(STDOUT_FILENO))
    return fail(ErrorKind::invalid, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
  Engine* engine = TRY(invocation.context.engine());
  http::Response response =
      TRY(engine->call("GET", "/containers/" + segment(invocation.words[0]) + "/export"));
  Result<void> saved = save_body(response, output);
  if (!saved && saved.error().code == EPIPE) return 141;
  if (!saved) return std::unexpected(std::move(saved).error());
  return 0;
}

constexpr FlagSpec kCopyFlags[] = {
    {"archive", 'a', "", "Keep owners and groups"},
    {"follow-link", 'L', "", "Copy what a link in the source points to"},
    {"quiet", 'q', "", "Do not say what was copied"},
};
constexpr FlagSpec kExportFlags[] = {{"output", 'o', "string", "Write to a file instead of standard output"}};
constexpr Command kCommands[] = {
    {"container cp|cp",
     "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tberth cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
     "Copy files between a container and this machine\n\n\"-\" stands for a tar archive on standard input or "
     "output.",
     kCopyFlags, 2, 2, copy},
    {"container export|export", "[OPTIONS] CONTAINER", "Write a container's file system as a tar archive",
     kExportFlags, 1, 1, export_tree},
};

}  // namespace

std::span<const Command> archive_commands() { return kCommands; }

}  // namespace berth::cli
