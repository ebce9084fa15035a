// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/pull.h"

#include <unistd.h>

#include <map>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/credentials.h"
#include "cli/stream/terminal.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

class Progress {
 public:
  explicit Progress(int output) : output_(output), terminal_(is_terminal(output)) {}

  void show(const json::value& message) {
    std::string id = text_of(message, "id"), status = text_of(message, "status"),
                stream = text_of(message, "stream");
    const json::value& detail = member_of(message, "progressDetail");
    bool moves = detail.is_object() && !detail.get_object().empty();
    if (!stream.empty()) return write(stream);
    if (status.empty()) return;
    if (!terminal_) {
      if (moves) return;  // only what is final
      return write((id.empty() ? "" : id + ": ") + status + "\n");
    }
    std::string text = (id.empty() ? "" : id + ": ") + status + (moves ? " " + bar(detail) : "");
    if (id.empty() || !has_place(id)) return write(text + "\n");
    std::size_t up = rows_.size() - rows_[id];
    write(fmt::format("\x1b[{}A\x1b[2K\r{}\r\x1b[{}B", up, text, up));
  }

 private:
  // Gives the id a line of its own the first time.
  bool has_place(const std::string& id) {
    bool known = rows_.contains(id);
    if (!known) rows_.emplace(id, rows_.size());
    return known;
  }

  static std::string bar(const json::value& detail) {
    double current = static_cast<double>(number_of(detail, "current"));
    double total = static_cast<double>(number_of(detail, "total"));
    if (total <= 0) return current > 0 ? format_size_decimal(current) : "";
    auto filled = static_cast<std::size_t>(std::min(current / total, 1.0) * 50);
    std::string drawn(filled, '=');
    if (filled < 50) drawn += '>';
    drawn.resize(50, ' ');
    return fmt::format("[{}]  {}/{}", drawn, format_size_decimal(current), format_size_decimal(total));
  }

  void write(const std::string& text) { (void)write_all(output_, text); }

  int output_;
  bool terminal_;
  std::map<std::string, std::size_t> rows_;
};

}  // namespace

std::string familiar_name(const std::string& image) {
  Result<oci::Reference> reference = oci::Reference::parse_with_default_tag(image);
  return reference ? reference->familiar() : image;
}

Result<void> show_progress(http::Response& response, int output, bool quiet, std::string* last_aux_id) {
  Progress progress(output);
  return read_json_lines(response, [&](const json::value& message) -> Result<bool> {
    std::string error = text_of(member_of(message, "errorDetail"), "message");
    if (error.empty()) error = text_of(message, "error");
    if (!error.empty()) return fail(ErrorKind::system, "{}", error);
    if (last_aux_id)
      if (std::string id = text_of(member_of(message, "aux"), "ID"); !id.empty()) *last_aux_id = id;
    if (!quiet) progress.show(message);
    return true;
  });
}

Result<void> pull_image(Context& context, const oci::Reference& name, const PullOptions& options) {
  http::Query query;
  query.add("fromImage", name.repository());
  if (!options.all_tags)
    query.add("tag", name.digest() ? name.digest()->text() : name.tag().value_or("latest"));
  if (!options.platform.empty()) query.add("platform", options.platform);
  const CredentialStore store(context.configuration_directory());
  http::Headers headers{{"X-Registry-Auth", TRY(auth_header(store, name.familiar_repository()))}};
  Engine* engine = TRY(context.engine());
  http::Response response = TRY(engine->call("POST", "/images/create", query, headers));
  return show_progress(response, options.output, options.quiet);
}

}  // namespace berth::cli
