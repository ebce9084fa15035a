// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/common.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/create/security.h"
#include "cli/output/list_format.h"
#include "cli/output/pending_file.h"
#include "cli/stream/terminal.h"

namespace berth::cli {
namespace {

constexpr std::size_t kLineLimit = 16u << 20;
constexpr std::size_t kBuffer = 256u << 10;

}  // namespace

int exit_code_of_start(std::string_view message) {
  auto says = [&](std::string_view words) { return message.find(words) != message.npos; };
  if (says("executable file not found") || says("no such file or directory")) return 127;
  if (says("permission denied") || says("is a directory")) return 126;
  return 125;
}

Result<int> for_each_word(Invocation& invocation,
                          const std::function<Result<void>(Engine&, const std::string&)>& each, bool print) {
  Engine* engine = TRY(invocation.context.engine());
  std::string failures;
  for (const std::string& word : invocation.words) {
    Result<void> done = each(*engine, word);
    if (!done)
      failures += done.error().message + "\n";
    else if (print)
      print_out(word + "\n");
  }
  print_error(failures);
  return failures.empty() ? 0 : 1;
}

bool confirm(std::string_view question) {
  print_out(std::string(question) + " [y/N] ");
  std::string answer;
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') answer += c;
  answer = to_lower(trim(answer));
  return answer == "y" || answer == "yes";
}

const json::value& member_of(const json::value& object, std::string_view member) {
  static const json::value nothing;
  const json::object* found = object.if_object();
  const json::value* value = found ? found->if_contains(member) : nullptr;
  return value ? *value : nothing;
}

std::string text_of(const json::value& object, std::string_view member) {
  const json::string* text = member_of(object, member).if_string();
  return text ? std::string(*text) : std::string();
}

std::int64_t number_of(const json::value& object, std::string_view member) {
  const json::value& value = member_of(object, member);
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64()) return static_cast<std::int64_t>(value.get_uint64());
  if (value.is_double()) return static_cast<std::int64_t>(value.get_double());
  return 0;
}

bool flag_of(const json::value& object, std::string_view member) {
  const bool* value = member_of(object, member).if_bool();
  return value && *value;
}

std::string deleted_list(const json::value& answer, std::string_view member, std::string_view title) {
  const json::array* list = member_of(answer, member).if_array();
  if (!list || list->empty()) return {};
  std::string out = fmt::format("{}:\n", title);
  for (const json::value& item : *list) {
    if (item.is_string())
      out += std::string(item.get_string()) + "\n";
    else if (std::string untagged = text_of(item, "Untagged"); !untagged.empty())
      out += "untagged: " + untagged + "\n";
    else
      out += "deleted: " + text_of(item, "Deleted") + "\n";
  }
  return out + "\n";
}

void print_pruned(const std::string& deleted, std::int64_t reclaimed) {
  print_out(deleted + "Total reclaimed space: " + format_size_decimal(static_cast<double>(reclaimed)) + "\n");
}

Result<void> read_json_lines(http::Response& response,
                             const std::function<Result<bool>(const json::value&)>& each) {
  Buffer buffer(kBuffer);
  std::string pending;
  for (;;) {
    std::size_t got = TRY(response.read(buffer));
    pending.append(buffer.data(), got);
    std::size_t start = 0;
    for (std::size_t end;
         (end = pending.find('\n', start)) != pending.npos || (got == 0 && start < pending.size());) {
      std::string_view line =
          trim(std::string_view(pending).substr(start, end == pending.npos ? end : end - start));
      start = end == pending.npos ? pending.size() : end + 1;
      if (line.empty()) continue;
      json::value document = TRY(parse_json(line, "the engine's message"));
      bool more = TRY(each(document));
      if (!more) return {};
    }
    pending.erase(0, start);
    if (got == 0) return {};
    if (pending.size() > kLineLimit)
      return fail(ErrorKind::corrupt, "the engine sent a message of more than {} bytes", kLineLimit);
  }
}

Result<int> read_exit_code(http::Response& response) {
  json::value answer = TRY(read_json(response, "the engine's answer"));
  std::string message = text_of(member_of(answer, "Error"), "Message");
  if (!message.empty()) return fail(ErrorKind::system, "{}", message);
  return static_cast<int>(number_of(answer, "StatusCode"));
}

Result<std::string> timestamp_argument(const std::string& text) {
  Result<Timestamp> time = parse_time_or_ago(text, now());
  if (!time) return fail(ErrorKind::invalid, "invalid value for time: \"{}\"", text);
  constexpr std::int64_t second = 1'000'000'000;
  return fmt::format("{}.{:09}", time->nanoseconds / second, time->nanoseconds % second);
}

namespace {

Result<void> copy_body(http::Response& response, int to) {
  Buffer buffer(kBuffer);
  for (;;) {
    const std::size_t got = TRY(response.read(buffer));
    if (got == 0) return {};
    TRY(write_all(to, {buffer.data(), got}));
  }
}

Error error_of_opening(const std::string& path, const Error& error) {
  return {.kind = ErrorKind::invalid,
          .message = fmt::format("open {}: {}", path, words_of_errno(error.code))};
}

}  // namespace

Result<void> save_body(http::Response& response, const std::string& path) {
  if (path.empty()) return copy_body(response, STDOUT_FILENO);
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    const Result<Fd> opened = open_file(path, O_WRONLY);
    if (!opened) return std::unexpected(error_of_opening(path, opened.error()));
    return copy_body(response, opened->get());
  }
  Result<PendingFile> file = PendingFile::create(path, 0600);
  if (!file) return std::unexpected(error_of_opening(path, file.error()));
  TRY(copy_body(response, file->get()));
  return file->finish();
}

}  // namespace berth::cli
