// SPDX-License-Identifier: Apache-2.0
// build and builder prune.
#include "base/json.h"
#include "base/text.h"
#include "cli/build/caches.h"
#include "cli/build/call.h"
#include "cli/build/context.h"
#include "cli/build/flags.h"
#include "cli/build/outputs.h"
#include "cli/build/preamble.h"
#include "cli/build/show.h"
#include "cli/commands/common.h"
#include "cli/create/security.h"
#include "cli/credentials.h"
#include "cli/output/list_format.h"

namespace berth::cli {
namespace {

// What goes wrong with the context is this side's error, not one of the connection.
Result<http::Response> send_build(Context& context, const http::Query& query, http::Headers headers,
                                  std::unique_ptr<archive::Source> body) {
  std::optional<Error> failure;
  http::RequestBody sent;
  if (body)
    sent = http::BodySource([&](std::span<char> buffer) {
      Result<std::size_t> got = body->read(buffer);
      if (!got) failure = got.error();
      return got;
    });
  Engine* engine = TRY(context.engine());
  Result<http::Response> response =
      engine->call("POST", "/build", query, std::move(headers), std::move(sent));
  if (failure) return std::unexpected(std::move(*failure));
  return response;
}

// Not of an engine that is told of no directory.
bool wants_passing(const Flags& flags, const BuildContext& context, const BuildCaches& caches) {
  return (context.local && context.local->readable_elsewhere) || !flags.list("build-context").empty() ||
         !flags.list("ssh").empty() || caches.passes();
}

Result<int> print_call(const BuildCall& call, http::Response& response) {
  const json::value document = TRY(read_json(response, "the engine's answer"));
  print_out(call_text(call, document));
  return call_status(call, document);
}

// What is asked for, all of it checked before anything is sent.
struct Wishes {
  BuildCall call;
  ShowMode mode = ShowMode::plain;
  BuildCaches caches;
  BuildOutputs outputs;
  http::Query query;
};

// A call has no result that could be given to these.
Result<void> refuse_results_of(const BuildCall& call, const Flags& flags) {
  if (call.builds()) return {};
  for (const std::string_view flag : {"output", "cache-to", "iidfile", "metadata-file", "push"}) {
    const bool wanted = flag == "push" ? flags.on(flag) : flags.given(flag);
    if (wanted)
      return fail(ErrorKind::invalid, "--{} cannot be combined with --call {}, which builds nothing", flag,
                  call.name);
  }
  return {};
}

Result<Wishes> read_wishes(const Flags& flags) {
  Wishes wishes;
  wishes.call = TRY(chosen_call(flags));
  TRY(refuse_results_of(wishes.call, flags));
  wishes.mode = TRY(chosen_show(flags));
  wishes.caches = TRY(choose_caches(flags));
  wishes.outputs = TRY(choose_outputs(flags, wishes.caches.holds()));
  wishes.query = TRY(build_query(flags, wishes.outputs.names));
  TRY(check_destinations(wishes.outputs));
  return wishes;
}

// The first members of the preamble, and directories that they name.
json::object describe(const Wishes& wishes, bool ours, bool passing, std::vector<Fd>& descriptors) {
  json::object document;
  if (!wishes.call.builds()) document["call"] = wishes.call.name;
  if (ours) document["progress"] = "vertices";
  add_to_preamble(wishes.outputs, document);
  add_to_preamble(wishes.caches, passing, document, descriptors);
  return document;
}

Result<void> add_credentials(const Context& context, http::Headers& headers) {
  const std::string auths =
      TRY(all_auths_header(CredentialStore(context.configuration_directory()),
                           [](const Error& error) { print_error("WARNING: " + error.message + "\n"); }));
  if (!auths.empty()) headers.set("X-Registry-Config", auths);
  return {};
}

// Once it is built. Returns whether there is an image to tell of.
Result<bool> write_results(Context& context, const Wishes& wishes, const std::string& image,
                           int standard_output) {
  const BuildOutputs& outputs = wishes.outputs;
  Result<void> written =
      write_outputs(context, outputs, image, standard_output, wishes.mode == ShowMode::nothing);
  if (written) written = write_caches(context, wishes.caches, outputs.held_as);
  release_result(context, outputs);
  TRY(std::move(written));
  return outputs.describes_image();
}

Result<int> build(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  Wishes wishes = TRY(read_wishes(flags));
  BuildContext context = TRY(open_build_context(invocation.words[0], flags.text("file")));
  if (wishes.call.builds()) forget_descriptions(wishes.outputs);
  Engine* engine = TRY(invocation.context.engine());
  if (!engine->is_berth() && wishes.mode != ShowMode::nothing) wishes.mode = ShowMode::plain;
  const bool passing = wants_passing(flags, context, wishes.caches) && TRY(engine->takes_descriptors());
  const bool passed = passing && context.local && context.local->readable_elsewhere;
  std::vector<Fd> directories;
  json::object document = describe(wishes, engine->is_berth(), passing, directories);
  Preamble preamble = TRY(build_preamble(flags, std::move(document), std::move(directories),
                                         passed ? &*context.local : nullptr, passing));
  if (!engine->is_berth() && !preamble.text.empty())
    return fail(ErrorKind::unsupported,
                "the engine at {} is not Berth's, and Docker's API has no place for secrets, agents, "
                "outputs, caches, "
                "calls and named contexts of builds",
                engine->endpoint().text);
  Fd result;
  if (wishes.outputs.to_standard_output()) result = TRY(take_standard_output());
  // A display blocks signals: before there are threads, and after an engine that is started has its own.
  BuildShow show(wishes.call.builds() ? wishes.mode : ShowMode::nothing, invocation.context.options().debug);
  if (context.local && !passed) TRY(send_local(context));
  if (!context.dockerfile.empty()) wishes.query.add("dockerfile", context.dockerfile);
  if (!context.remote.empty()) wishes.query.add("remote", context.remote);
  context.body = show.watched(std::move(context.body));
  http::Headers headers{
      {"Content-Type", preamble.text.empty() ? "application/x-tar" : std::string(kBuildType)}};
  if (!preamble.text.empty()) context.body = in_front_of(std::move(context.body), preamble.text);
  TRY(add_credentials(invocation.context, headers));
  engine->pass_with_next(std::move(preamble.descriptors));
  http::Response response =
      TRY(send_build(invocation.context, wishes.query, std::move(headers), std::move(context.body)));
  if (!wishes.call.builds()) return print_call(wishes.call, response);
  Result<std::string> built = show.follow(response);
  if (!built) release_result(invocation.context, wishes.outputs);
  const std::string image = TRY(std::move(built));
  const bool told = TRY(write_results(invocation.context, wishes, image, result.get()));
  if (told && wishes.mode == ShowMode::nothing) print_out(image + "\n");
  return 0;
}

Result<int> prune(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  const bool all = flags.on("all");
  const std::string_view question =
      all ? "WARNING! This will remove all build cache. Are you sure you want to continue?"
          : "WARNING! This will remove all dangling build cache. Are you sure you want to continue?";
  if (!flags.on("force") && !confirm(question)) return 0;
  http::Query query;
  if (all) query.add("all", "1");
  if (flags.given("keep-storage")) query.add("keep-storage", std::to_string(flags.bytes("keep-storage")));
  if (flags.given("filter")) query.add("filters", encode_filters(flags.list("filter")));
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("POST", "/build/prune", query));
  const json::value answer = TRY(read_json(response, "the engine's answer"));
  print_pruned(deleted_list(answer, "CachesDeleted", "Deleted build cache objects"),
               number_of(answer, "SpaceReclaimed"));
  return 0;
}

constexpr FlagSpec kPruneFlags[] = {
    {"all", 'a', "", "All that no build uses now, not only what no image has"},
    {"filter", 0, "filter", "Which (until=)"},
    {"force", 'f', "", "Do not ask"},
    {"keep-storage", 0, "bytes", "How much may stay"},
};
constexpr Command kCommands[] = {
    {"image build|build|builder build|buildx build", "[OPTIONS] PATH | URL | -",
     "Build an image from a Dockerfile", kBuildFlags, 1, 1, build},
    {"builder prune|buildx prune", "[OPTIONS]", "Remove what builds have cached", kPruneFlags, 0, 0, prune},
};

}  // namespace

std::span<const Command> build_commands() { return kCommands; }

}  // namespace berth::cli
