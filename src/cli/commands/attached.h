// SPDX-License-Identifier: Apache-2.0
// A process whose streams are attached here: `run`, `start -a`, `attach` and `exec` are variations of it.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/engine/engine.h"
#include "cli/stream/session.h"
#include "cli/stream/signals.h"
#include "cli/stream/terminal.h"

namespace berth::cli {

struct AttachedProcess {
  std::string resource;  // "/containers/ID" or "/exec/ID": what is resized, and signalled if a container
  bool input = false;
  bool terminal = false;
  bool proxy_signals = false;
  std::string detach_keys;  // bytes
};

// Holds signals and the terminal's mode from before the process starts until its streams end.
class Attachment {
 public:
  // Blocks signals; call it before the attaching request.
  Attachment(Engine& engine, AttachedProcess process);
  ~Attachment();

  // Starts to forward signals and sizes, relays the streams to their end.
  Result<SessionEnd> relay(http::Upgraded& connection);

 private:
  void on_signal(int signal);
  void resize();
  AttachedProcess process_;
  Engine control_;  // for signals and sizes, used by the signals' thread alone
  std::unique_ptr<RawTerminal> raw_;
  std::unique_ptr<SignalWatch> signals_;
};

// The bytes of --detach-keys, of the configuration, or the default.
Result<std::string> detach_keys_of(const Flags& flags, Context& context);

// Refuses -t with a standard input that is attached and no terminal.
Result<void> check_terminal(bool attach_input, bool terminal);

}  // namespace berth::cli
