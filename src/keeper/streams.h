// SPDX-License-Identifier: Apache-2.0
// The standard streams of one process (a container's first, or an exec's): what it writes goes to the log and
// to every attached client, what clients send goes to its standard input.
//
// Lifecycle: construct, attach clients (also before the process exists, so that they miss nothing), adopt the
// process's ends, and once it has exited drain() and release_clients(). The object may go when idle() is
// true.
//
// A client that does not read holds at most kClientBuffer bytes; past that the process's output waits, as it
// would on a full pipe. Nothing is dropped and memory stays flat.
#pragma once
#include <functional>
#include <list>
#include <string>

#include "base/event_loop.h"
#include "base/fd.h"
#include "keeper/log_writer.h"
#include "keeper/protocol.h"

namespace berth::keeper {

inline constexpr std::size_t kClientBuffer = 1u << 20;

// Our ends of a process's streams. With a terminal, `output` is its master side and the others are empty.
struct ProcessEnds {
  Fd input;
  Fd output;
  Fd errors;
  bool terminal = false;
};

class Streams {
 public:
  // `log` may be null; it outlives this object. `close_input_at_end`: the end of a client's input ends the
  // process's. `changed` is called when a client has gone or an output has ended.
  Streams(EventLoop& loop, LogWriter* log, bool close_input_at_end, std::function<void()> changed);
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  void attach(Fd client, const Attach& options);
  Result<void> adopt(ProcessEnds ends);
  Result<void> resize(std::uint16_t rows, std::uint16_t columns);

  // The process has exited: reads what it left in its pipes, without waiting for others that hold them open,
  // and ends the log's last line.
  void drain();
  // Lets every client go once it has everything. After the exit is made known, so that a client that sees the
  // end of its stream and asks finds it.
  void release_clients();
  bool idle() const { return clients_.empty(); }

  bool wants_input() const { return static_cast<bool>(ends_.input) || ends_.terminal; }

 private:
  struct Client {
    Fd socket;
    Attach options;
    std::string outgoing;  // not yet taken by the client
    std::size_t sent = 0;  // of `outgoing`
    bool input_ended = false;
    bool closing = false;          // goes when `outgoing` is empty
    std::size_t matched_keys = 0;  // of the detach sequence, held back so far
    std::uint32_t watched = 0;
  };
  using ClientPosition = std::list<Client>::iterator;

  void on_output(Stream stream, std::uint32_t events);
  bool pump_output(Stream stream);  // one read; false when there is nothing more for now
  void end_output(Stream stream);
  void deliver(Stream stream, std::string_view data);
  void send_to(Client& client, std::string_view head, std::string_view data);
  void on_client(ClientPosition client, std::uint32_t events);
  void receive_from(ClientPosition client);
  void take_from_client(Client& client, std::string_view data);
  void flush(Client& client);
  void remove(ClientPosition client);
  void take_input(std::string_view data);
  void write_input();
  void end_input();
  void refresh_watches();
  bool clogged() const;
  Fd& output_of(Stream stream) { return stream == Stream::errors ? ends_.errors : ends_.output; }
  int input_descriptor() const { return ends_.terminal ? ends_.output.get() : ends_.input.get(); }

  EventLoop& loop_;
  LogWriter* log_;
  bool close_input_at_end_;
  std::function<void()> changed_;
  ProcessEnds ends_;
  std::list<Client> clients_;
  std::string pending_input_;  // taken from clients, not yet by the process
  bool input_end_requested_ = false;
  bool adopted_ = false;
  bool drained_ = false;
  bool released_ = false;
  std::uint32_t watched_output_ = 0, watched_errors_ = 0, watched_input_ = 0;
};

}  // namespace berth::keeper
