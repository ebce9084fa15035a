// SPDX-License-Identifier: Apache-2.0
// Commands on images: rmi, tag, save, load, import, prune.
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/pull.h"
#include "cli/create/security.h"
#include "cli/output/list_format.h"
#include "cli/stream/terminal.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

Result<int> remove(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  http::Query query;
  if (flags.on("force")) query.add("force", "1");
  if (flags.on("no-prune")) query.add("noprune", "1");
  auto one = [&](Engine& engine, const std::string& name) -> Result<void> {
    http::Response response = TRY(engine.call("DELETE", "/images/" + segment(name), query));
    json::value removed = TRY(read_json(response, "the engine's answer"));
    std::string out;
    if (const json::array* list = removed.if_array())
      for (const json::value& item : *list) {
        std::string deleted = text_of(item, "Deleted");
        out +=
            deleted.empty() ? "Untagged: " + text_of(item, "Untagged") + "\n" : "Deleted: " + deleted + "\n";
      }
    print_out(out);
    return {};
  };
  // With --force a missing image is no failure.
  bool force = flags.on("force");
  Engine* engine = TRY(invocation.context.engine());
  std::string failures;
  bool failed = false;
  for (const std::string& name : invocation.words) {
    Result<void> done = one(*engine, name);
    if (done) continue;
    failures += done.error().message + "\n";
    failed = failed || !(force && done.error().kind == ErrorKind::not_found);
  }
  print_error(failures);
  return failed ? 1 : 0;
}

Result<int> tag(Invocation& invocation) {
  Result<oci::Reference> target = oci::Reference::parse_with_default_tag(invocation.words[1]);
  if (!target || target->digest())
    return fail(ErrorKind::invalid, "Error parsing reference: \"{}\" is not a valid repository/tag: {}",
                invocation.words[1], target ? "a digest cannot be a tag" : target.error().message);
  http::Query query;
  query.add("repo", target->familiar_repository());
  query.add("tag", target->tag().value_or("latest"));
  Engine* engine = TRY(invocation.context.engine());
  TRY(engine->post("/images/" + segment(invocation.words[0]) + "/tag", query));
  return 0;
}

Result<int> save(Invocation& invocation) {
  std::string output = invocation.flags.text("output");
  if (output.empty() && is_terminal(STDOUT_FILENO))
    return fail(ErrorKind::invalid, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
  http::Query query;
  for (const std::string& name : invocation.words) query.add("names", name);
  if (invocation.flags.given("platform")) query.add("platform", invocation.flags.text("platform"));
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("GET", "/images/get", query));
  Result<void> saved = save_body(response, output);
  if (!saved && saved.error().code == EPIPE) return 141;
  if (!saved) return std::unexpected(std::move(saved).error());
  return 0;
}

// Standard input, or a file, as the body of a request.
Result<Fd> open_input(const std::string& path) {
  Result<Fd> file = open_file(path, O_RDONLY);
  if (!file) return fail(ErrorKind::invalid, "open {}: {}", path, words_of_errno(file.error().code));
  return file;
}

http::BodySource body_from(int descriptor) {
  return [descriptor](std::span<char> buffer) { return read_some(descriptor, buffer); };
}

Result<int> load(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  Fd file;
  if (flags.given("input") && flags.text("input") != "-")
    file = TRY(open_input(flags.text("input")));
  else if (is_terminal(STDIN_FILENO))
    return fail(ErrorKind::invalid, "requested load from stdin, but stdin is empty");
  http::Query query;
  query.add("quiet", flags.on("quiet") || !is_terminal(STDOUT_FILENO) ? "1" : "0");
  if (flags.given("platform")) query.add("platform", flags.text("platform"));
  Engine* engine = TRY(invocation.context.engine());
  http::Headers headers{{"Content-Type", "application/x-tar"}};
  http::Response response =
      TRY(engine->call("POST", "/images/load", query, headers, body_from(file ? file.get() : STDIN_FILENO)));
  if (response.headers.get_or("Content-Type", "") == "application/json") {
    TRY(show_progress(response, STDOUT_FILENO, false));
  } else {
    TRY(save_body(response, ""));
  }
  return 0;
}

Result<int> import(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  const std::string& source = invocation.words[0];
  bool remote = source.starts_with("http://") || source.starts_with("https://");
  Fd file;
  if (!remote && source != "-") file = TRY(open_input(source));
  http::Query query;
  query.add("fromSrc", remote ? source : "-");
  if (invocation.words.size() > 1) {
    Result<oci::Reference> reference = oci::Reference::parse(invocation.words[1]);
    if (!reference)
      return fail(ErrorKind::invalid, "invalid reference format: {}", reference.error().message);
    query.add("repo", invocation.words[1]);
  }
  for (const std::string& change : flags.list("change")) query.add("changes", change);
  if (flags.given("message")) query.add("message", flags.text("message"));
  if (flags.given("platform")) query.add("platform", flags.text("platform"));
  Engine* engine = TRY(invocation.context.engine());
  http::RequestBody body;
  if (!remote) body = body_from(file ? file.get() : STDIN_FILENO);
  http::Response response = TRY(engine->call("POST", "/images/create", query, {}, std::move(body)));
  TRY(show_progress(response, STDOUT_FILENO, false));
  return 0;
}

Result<int> prune(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  bool all = flags.on("all");
  std::string_view question =
      all ? "WARNING! This will remove all images without at least one container associated to them.\nAre "
            "you sure you want to continue?"
          : "WARNING! This will remove all dangling images.\nAre you sure you want to continue?";
  if (!flags.on("force") && !confirm(question)) return 0;
  std::vector<std::string> filters = flags.list("filter");
  filters.push_back(all ? "dangling=false" : "dangling=true");
  http::Query query;
  query.add("filters", encode_filters(filters));
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("POST", "/images/prune", query));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  print_pruned(deleted_list(answer, "ImagesDeleted", "Deleted Images"), number_of(answer, "SpaceReclaimed"));
  return 0;
}

constexpr FlagSpec kRemoveFlags[] = {
    {"force", 'f', "", "Remove it even if it is used"},
    {"no-prune", 0, "", "Keep parents without names"},
    {"platform", 0, "strings", "Accepted for compatibility"},
};
constexpr FlagSpec kSaveFlags[] = {
    {"output", 'o', "string", "Write to a file instead of standard output"},
    {"platform", 0, "string", "Only this platform (os[/arch[/variant]])"},
};
constexpr FlagSpec kLoadFlags[] = {
    {"input", 'i', "string", "Read from a file instead of standard input"},
    {"platform", 0, "string", "Only this platform (os[/arch[/variant]])"},
    {"quiet", 'q', "", "Do not show how it goes"},
};
constexpr FlagSpec kImportFlags[] = {
    {"change", 'c', "list", "Apply an instruction of a Dockerfile"},
    {"message", 'm', "string", "What it is"},
    {"platform", 0, "string", "Platform of the image (os[/arch[/variant]])"},
};
constexpr FlagSpec kPruneFlags[] = {
    {"all", 'a', "", "All that no container uses, not only those without names"},
    {"filter", 0, "filter", "Which ones (until=, label=)"},
    {"force", 'f', "", "Do not ask"},
};
constexpr Command kCommands[] = {
    {"image rm|image remove|rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", kRemoveFlags, 1,
     kAnyNumber, remove},
    {"image tag|tag", "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Give an image another name", {}, 2, 2, tag},
    {"image save|save", "[OPTIONS] IMAGE [IMAGE...]", "Save images as a tar archive", kSaveFlags, 1,
     kAnyNumber, save},
    {"image load|load", "[OPTIONS]", "Load images from a tar archive", kLoadFlags, 0, 0, load},
    {"image import|import", "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
     "Make an image of a tar archive of files", kImportFlags, 1, 2, import},
    {"image prune", "[OPTIONS]", "Remove unused images", kPruneFlags, 0, 0, prune},
};

}  // namespace

std::span<const Command> image_commands() { return kCommands; }

}  // namespace berth::cli
