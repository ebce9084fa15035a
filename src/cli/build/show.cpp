// SPDX-License-Identifier: Apache-2.0
#include "cli/build/show.h"

#include <unistd.h>

#include <cstdlib>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/call.h"
#include "cli/build/clean_text.h"
#include "cli/build/live.h"
#include "cli/build/plain.h"
#include "cli/build/raw_json.h"
#include "cli/commands/common.h"
#include "cli/output/list_format.h"
#include "cli/stream/terminal.h"

namespace berth::cli {
namespace {

constexpr std::size_t kKeptText = 256u << 10;  // of a quiet build, for when it fails
constexpr std::chrono::milliseconds kBetweenStatuses{100};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool can_draw() { return is_terminal(STDERR_FILENO) && environment("TERM") != "dumb"; }

// -q: of a build that fails, what the failed step said.
class QuietProgress final : public ProgressView {
 public:
  void show(const Event& event, Moment now) override { (void)apply(state_, event, now); }
  void finish(bool failed, Moment) override {
    if (failed) print_error(failure_excerpt(state_));
  }

 private:
  BuildState state_;
};

std::unique_ptr<ProgressView> view_of(ShowMode mode, std::chrono::steady_clock::time_point began) {
  auto write = [](std::string_view text) { print_error(text); };
  switch (mode) {
    case ShowMode::plain:
      return std::make_unique<PlainProgress>(write);
    case ShowMode::live:
      return std::make_unique<LiveProgress>(STDERR_FILENO, environment("NO_COLOR").empty(), began);
    case ShowMode::raw:
      return std::make_unique<RawJsonProgress>(write);
    case ShowMode::nothing:
      break;
  }
  return std::make_unique<QuietProgress>();
}

WarningEvent warning_of(const std::string& text) {
  return {.shown = fmt::format("[Warning] {}\n", text), .list = {{.text = text}}};
}

WarningEvent unused_arguments(const json::value& list) {
  std::vector<std::string> names;
  for (const json::value& name : list.as_array())
    if (name.is_string()) names.push_back(clean_line(name.get_string()));
  return warning_of(fmt::format("One or more build-args [{}] were not consumed", join(names, " ")));
}

}  // namespace

Result<ShowMode> chosen_show(const Flags& flags) {
  const std::string preset = environment("BUILDKIT_PROGRESS");
  const std::string mode = flags.given("progress") || preset.empty() ? flags.text("progress") : preset;
  if (mode != "auto" && mode != "plain" && mode != "tty" && mode != "rawjson" && mode != "quiet")
    return fail(ErrorKind::invalid,
                "invalid --progress \"{}\": it must be auto, plain, tty, rawjson or quiet", mode);
  if (flags.on("quiet") || mode == "quiet") return ShowMode::nothing;
  if (mode == "rawjson") return ShowMode::raw;
  // Without a terminal there is nothing to draw on, whatever was asked for.
  const bool draws = mode == "tty" ? is_terminal(STDERR_FILENO) : mode == "auto" && can_draw();
  return draws ? ShowMode::live : ShowMode::plain;
}

class BuildShow::WatchedSource final : public archive::Source {
 public:
  WatchedSource(BuildShow& show, std::unique_ptr<archive::Source> body)
      : show_(show), body_(std::move(body)) {
    vertex_.id = kContextVertex;
    vertex_.name = "[internal] load build context";
    vertex_.started = berth::now();
    show_.show(vertex_);
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    Result<std::size_t> got = body_->read(buffer);
    if (got && *got > 0) {
      size_ += *got;
      // What is drawn is the latest; lines are told now and then.
      const bool due = show_.mode_ == ShowMode::raw && show_.now() - told_ >= kBetweenStatuses;
      if (show_.mode_ == ShowMode::live || due) tell("");
    } else if (!vertex_.completed) {
      tell(got ? "done" : "");
      vertex_.completed = berth::now();
      if (!got) vertex_.error = got.error().message;
      show_.show(vertex_);
    }
    return got;
  }

 private:
  void tell(std::string_view text) {
    told_ = show_.now();
    const std::string size = format_size_decimal(static_cast<double>(size_));
    StatusEvent status;
    status.vertex = kContextVertex;
    status.id = show_.mode_ == ShowMode::plain ? fmt::format("transferring context: {}", size)
                                               : "transferring context:";
    status.text = show_.mode_ == ShowMode::plain ? text : size;
    status.time = berth::now();
    show_.show(status);
  }

  BuildShow& show_;
  std::unique_ptr<archive::Source> body_;
  VertexEvent vertex_;
  std::uint64_t size_ = 0;
  Moment told_{};
};

BuildShow::BuildShow(ShowMode mode, bool debug)
    : mode_(mode), debug_(debug), began_(std::chrono::steady_clock::now()), view_(view_of(mode, began_)) {}

BuildShow::~BuildShow() {
  if (view_) view_->finish(true, now());
}

Moment BuildShow::now() const { return std::chrono::steady_clock::now() - began_; }

void BuildShow::show(const Event& event) {
  if (view_) view_->show(event, now());
}

std::unique_ptr<archive::Source> BuildShow::watched(std::unique_ptr<archive::Source> body) {
  if (!body || mode_ == ShowMode::nothing) return body;
  return std::make_unique<WatchedSource>(*this, std::move(body));
}

// In place of events, from an engine that is not ours.
void BuildShow::tell(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    if (mode_ == ShowMode::plain)
      print_error(line + "\n");
    else
      kept_ += line + "\n";
  }
  if (kept_.size() > 2 * kKeptText) kept_.erase(0, kept_.size() - kKeptText);
}

Result<void> BuildShow::read(http::Response& response, std::string& image) {
  return read_json_lines(response, [&](const json::value& message) -> Result<bool> {
    if (std::optional<Event> event = TRY(read_event(message))) show(*event);
    if (const json::value& document = member_of(message, "check"); document.is_object())
      if (const WarningEvent event = warnings_of(document, debug_); !event.list.empty()) show(event);
    if (const json::value& names = member_of(message, "unused"); names.is_array())
      show(unused_arguments(names));
    if (std::string text = text_of(message, "warning"); !text.empty()) show(warning_of(clean_text(text)));
    tell(stream_.take(text_of(message, "stream")));
    if (std::string id = text_of(member_of(message, "aux"), "ID"); !id.empty()) image = clean_line(id);
    if (std::string error = text_of(message, "error"); !error.empty())
      return fail(ErrorKind::system, "{}", clean_text(error));
    return true;
  });
}

Result<std::string> BuildShow::follow(http::Response& response) {
  std::string image;
  const Result<void> done = read(response, image);
  tell(stream_.finish());
  if (!done) print_error(kept_);
  if (view_) view_->finish(!done, now());
  view_.reset();
  if (!done) return std::unexpected(done.error());
  if (image.empty()) return fail(ErrorKind::corrupt, "the engine's answer ended without an image");
  return image;
}

}  // namespace berth::cli
