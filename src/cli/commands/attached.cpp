// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/attached.h"

#include <string.h>
#include <unistd.h>

#include <csignal>

namespace berth::cli {

constexpr std::string_view kDefaultDetachKeys = "ctrl-p,ctrl-q";

Attachment::Attachment(Engine& engine, AttachedProcess process)
    : process_(std::move(process)), control_(engine.another()) {
  bool proxies = process_.proxy_signals && !process_.terminal;
  if (proxies)
    signals_ = std::make_unique<SignalWatch>(SignalWatch::Which::all);
  else if (process_.terminal)
    signals_ = std::make_unique<SignalWatch>(SignalWatch::Which::ends_only);
}

Attachment::~Attachment() = default;

void Attachment::resize() {
  ConsoleSize size = console_size(STDOUT_FILENO);
  if (size.rows == 0 || size.columns == 0) return;
  http::Query query;
  query.add("h", std::to_string(size.rows));
  query.add("w", std::to_string(size.columns));
  (void)control_.post(process_.resource + "/resize", query);  // the process may have ended: nothing to resize
}

void Attachment::on_signal(int signal) {
  if (signal == SIGWINCH) {
    if (process_.terminal) resize();
    return;
  }
  if (process_.proxy_signals && !process_.terminal) {
    const char* name = ::sigabbrev_np(signal);
    http::Query query;
    query.add("signal", name ? name : std::to_string(signal));
    (void)control_.post(process_.resource + "/kill", query);
    return;
  }
  if (raw_) raw_->restore();
  ::_exit(128 + signal);
}

Result<SessionEnd> Attachment::relay(http::Upgraded& connection) {
  if (process_.terminal && process_.input && is_terminal(STDIN_FILENO))
    raw_ = TRY(RawTerminal::enter(STDIN_FILENO));
  if (process_.terminal) resize();
  if (signals_) signals_->start([this](int signal) { on_signal(signal); });
  SessionOptions options;
  options.input = process_.input;
  options.terminal = process_.terminal;
  options.detach_keys = process_.detach_keys;
  Result<SessionEnd> end = run_session(connection, options);
  raw_.reset();
  return end;
}

Result<std::string> detach_keys_of(const Flags& flags, Context& context) {
  std::string text = flags.text("detach-keys");
  if (text.empty()) text = context.configuration().detach_keys;
  return parse_detach_keys(text.empty() ? kDefaultDetachKeys : std::string_view(text));
}

Result<void> check_terminal(bool attach_input, bool terminal) {
  if (attach_input && terminal && !is_terminal(STDIN_FILENO))
    return fail(ErrorKind::invalid, "the input device is not a TTY");
  return {};
}

}  // namespace berth::cli
