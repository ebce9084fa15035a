// SPDX-License-Identifier: Apache-2.0
// A connection to a Redis server: commands in batches, answers in their order, and between them what the
// server tells unasked.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "proxy/redis/resp.h"
#include "proxy/settings.h"

namespace berth::proxy {

class RedisConnection {
 public:
  // Connected, with the password given, the database chosen, and RESP3 where the server has it.
  static Result<RedisConnection> open(const RedisSettings& settings);

  using Pushed = std::function<void(const RespValue& push)>;
  void on_push(Pushed pushed) { pushed_ = std::move(pushed); }

  // A command of the next batch.
  void add(std::initializer_list<std::string_view> parts);
  bool has_batch() const noexcept { return expected_ > 0; }
  // Sends the batch; its answers, of which each may be an error.
  Result<std::vector<RespValue>> send();
  Result<RespValue> ask(std::initializer_list<std::string_view> parts);

  // Answered by a push alone.
  Result<void> subscribe(std::string_view channel);
  // What has come without being asked for, if anything.
  Result<void> read_pushes();
  int descriptor() const noexcept { return socket_.get(); }
  bool has_tracking() const noexcept { return version3_; }

 private:
  explicit RedisConnection(Fd socket) : socket_(std::move(socket)) {}
  Result<void> greet(const RedisSettings& settings);
  Result<RespValue> next_answer();
  Result<void> receive(int milliseconds);

  Fd socket_;
  RespReader reader_;
  std::string batch_;
  std::size_t expected_ = 0;
  bool version3_ = false;
  Pushed pushed_;
};

}  // namespace berth::proxy
