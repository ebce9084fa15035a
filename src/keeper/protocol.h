// SPDX-License-Identifier: Apache-2.0
// What engine and keeper say to each other, over a stream socket: a fixed header, a JSON body, and
// descriptors. Both sides ignore members they don't know and refuse kinds they don't know with an error
// reply, so an engine may be older or newer than the keepers it finds.
//
//   engine                                keeper
//   ------ serve  {..} + network, layers ->      (to one that was started ahead, see assignment.h)
//   ------ attach {..} + client fd ----->         (any time; before start, so that no output is missed)
//   ------ start  {}               ----->
//   <----- reply  {"pid": n}       ------         or {"error": ".."}
//   <----- state  {State}          ------         unasked, at every change
//   ------ exec   {Exec} + client  ----->
//   <----- reply  {"pid": n}       ------
//   <----- exec_exited {id, code}  ------         unasked
//
// A client descriptor is a connected socket of an API client: the keeper talks to it directly, in Docker's
// stream format, so attached clients outlive the engine.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/settings.h"

namespace berth::keeper {

enum class MessageKind : std::uint32_t {
  start = 1,          // {}                         -> reply {"pid"}
  attach = 2,         // Attach + client descriptor -> reply {}
  resize = 3,         // Resize                     -> reply {}
  signal = 4,         // Signal                     -> reply {}
  set_restart = 5,    // {"condition", "maximumRetries"} -> reply {}
  exec = 6,           // Exec (+ client descriptor) -> reply {"pid"}
  ping = 7,           // {}                         -> reply {}; what was said before it has been heard then
  serve = 8,          // Assignment + its descriptors -> nothing; the first message to a keeper that waits
  reply = 100,        // the answer to the request of the same number
  state = 101,        // State
  exec_exited = 102,  // {"id", "exitCode"}
};

struct Message {
  MessageKind kind = MessageKind::reply;
  std::uint64_t request = 0;  // chosen by the asker, repeated in the reply; 0 when none is expected
  std::string body;           // JSON
  std::vector<Fd> descriptors;
};

inline constexpr std::size_t kMaximumDescriptors = 240;  // of a message; the kernel takes 253
inline constexpr std::size_t kMaximumBody = 8u << 20;    // an exec's environment may be large

// Whole messages, blocking. `flags` go to sendmsg: MSG_DONTWAIT makes a full socket an error instead of a
// wait. A message is never sent in part: after an error the connection is of no more use.
Result<void> send_message(int socket, MessageKind kind, std::uint64_t request, std::string_view body,
                          std::span<const int> descriptors = {}, int flags = 0);

// Collects messages from a socket that may deliver them in pieces.
class MessageReader {
 public:
  // Reads what is there, `limit` bytes at most; false at the peer's end. Call next() until it gives nothing.
  Result<bool> receive(int socket, int flags, std::size_t limit = SIZE_MAX);
  Result<std::optional<Message>> next();
  // How many bytes the message that has begun lacks at least.
  std::size_t missing() const;

 private:
  std::string buffered_;
  std::vector<Fd> descriptors_;
};

// One message and no byte more, blocking; nothing at the peer's end.
Result<std::optional<Message>> receive_message(int socket);

struct Attach {
  std::string exec_id;  // empty: the container's own process
  bool input = false;
  bool output = false;
  bool errors = false;
  bool framed = false;        // Docker's multiplexed stream; never with a terminal
  std::string detach_keys;    // bytes that end the attachment when typed on a terminal; empty: none
  std::string initial_input;  // what the client had sent before it was handed over
};

struct Resize {
  std::string exec_id;
  std::uint16_t rows = 0;
  std::uint16_t columns = 0;
};

struct Signal {
  int number = 0;
  bool stop_intended = false;  // the exit that follows is wanted: the restart policy does not apply to it
};

struct Exec {
  std::string id;
  std::string process;  // OCI process object, JSON
  bool open_stdin = false;
  std::optional<Attach> attach;  // for the client descriptor that comes along
};

std::string encode(const Attach& attach);
std::string encode(const Resize& resize);
std::string encode(const Signal& signal);
std::string encode(const Exec& exec);
std::string encode(const RestartPolicy& policy);
Result<Attach> decode_attach(std::string_view body);
Result<Resize> decode_resize(std::string_view body);
Result<Signal> decode_signal(std::string_view body);
Result<Exec> decode_exec(std::string_view body);
Result<RestartPolicy> decode_restart_policy(std::string_view body);

// Bodies of replies.
struct Reply {
  pid_t pid = 0;
  std::optional<Error> error;
};
std::string encode(const Reply& reply);
Result<Reply> decode_reply(std::string_view body);

struct ExecExited {
  std::string id;
  int exit_code = 0;
};
std::string encode(const ExecExited& exited);
Result<ExecExited> decode_exec_exited(std::string_view body);

}  // namespace berth::keeper
