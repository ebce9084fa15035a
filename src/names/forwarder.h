// SPDX-License-Identifier: Apache-2.0
// Asks other servers what is not ours, on behalf of containers.
//
// A query goes to its servers in order, to the next when one has not answered in time, refuses the
// connection, or answers that it failed; after the last, to the first again, until the time is up. Every
// attempt has a socket, a port and an id of its own that the kernel chose at random, and is connected: an
// answer counts when it comes from the server, to that port, with that id and that question (RFC 5452, 9). An
// attempt that is late is listened to until the query is over.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "names/answer.h"

namespace berth::names {

struct ForwardLimits {
  std::chrono::milliseconds attempt{2000};  // until the next server is asked
  std::chrono::milliseconds total{8000};    // until the client is told that it failed
  std::size_t in_flight = 4096;
  std::size_t in_flight_of_sandbox = 256;
  // Of a sandbox: as many pass the bound of all, which a few others can fill.
  std::size_t in_flight_in_any_case = 8;
  // A server that did not answer this often in a row, nor anybody else meanwhile, is asked last for a while.
  unsigned silences = 3;
  std::chrono::milliseconds out_of_favour{10'000};
};

class Forwarder {
 public:
  // Gets the answer under the client's own id, as it came; nothing when there was none.
  using Deliver = std::function<void(std::optional<std::vector<unsigned char>> answer)>;

  Forwarder(EventLoop& loop, ForwardLimits limits);
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;
  ~Forwarder();

  // False: too many are in flight, or there is no server; `deliver` is not called then. Otherwise it is
  // called once, but never before this returns, unless the sandbox is dropped first.
  bool forward(const std::string& sandbox, Bytes message, const Query& query, Transport transport,
               std::vector<Server> servers, Deliver deliver);
  void drop(const std::string& sandbox);
  std::size_t in_flight() const { return pending_.size(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Attempt;
  struct Pending;
  struct Favour {
    unsigned silences = 0;
    Clock::time_point answered{};  // last, and whomever
    Clock::time_point asked_last_until{};
  };

  void order_by_favour(std::vector<Server>& servers) const;
  void next_attempt(Pending& pending);
  bool start_attempt(Pending& pending, const Server& server);
  Favour& favour_of(const Server& server);
  void count_silence(const Attempt& attempt);
  void on_datagram(std::uint64_t number, Attempt& attempt);
  void on_stream(std::uint64_t number, Attempt& attempt, std::uint32_t events);
  void take_answer(Pending& pending, Attempt& attempt, std::vector<unsigned char> answer);
  void attempt_failed(Pending& pending, Attempt& attempt);
  void finish(Pending& pending, std::optional<std::vector<unsigned char>> answer);
  void schedule(Pending& pending, Clock::time_point when);
  void arm();
  void run_due();
  void close(Attempt& attempt);
  std::unique_ptr<Pending> take_out(std::uint64_t number);

  EventLoop& loop_;
  const ForwardLimits limits_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Pending>> pending_;
  std::unordered_map<std::string, std::set<std::uint64_t>> of_sandbox_;
  std::set<std::pair<Clock::time_point, std::uint64_t>> due_;
  std::optional<std::pair<Clock::time_point, EventLoop::Timer>> timer_;
  std::map<std::string, Favour> favours_;  // by the server's text
  std::uint64_t last_number_ = 0;
};

}  // namespace berth::names
