// SPDX-License-Identifier: Apache-2.0
#include "proxy/redis/redis_connection.h"

#include <poll.h>

#include <cerrno>

#include "base/buffer.h"
#include "http/client.h"

namespace berth::proxy {
namespace {

constexpr int kPatience = 10'000;  // milliseconds for an answer
constexpr std::size_t kBuffer = 64u << 10;

std::unexpected<Error> refused(const RespValue& answer) {
  return fail(ErrorKind::unavailable, "Redis answered: {}", answer.text);
}

}  // namespace

Result<RedisConnection> RedisConnection::open(const RedisSettings& settings) {
  Fd socket = settings.unix_path.empty() ? TRY(http::connect_tcp(settings.host, settings.port))
                                         : TRY(http::connect_unix(settings.unix_path));
  RedisConnection connection(std::move(socket));
  TRY(connection.greet(settings));
  return connection;
}

Result<void> RedisConnection::greet(const RedisSettings& settings) {
  if (!settings.password.empty()) {
    const RespValue answer = TRY(ask({"AUTH", settings.password}));
    if (answer.type == RespValue::Type::error) return refused(answer);
  }
  if (settings.database != 0) {
    const RespValue answer = TRY(ask({"SELECT", std::to_string(settings.database)}));
    if (answer.type == RespValue::Type::error) return refused(answer);
  }
  version3_ = TRY(ask({"HELLO", "3"})).type != RespValue::Type::error;
  return {};
}

void RedisConnection::add(std::initializer_list<std::string_view> parts) {
  append_command(batch_, parts);
  ++expected_;
}

Result<std::vector<RespValue>> RedisConnection::send() {
  const std::string batch = std::exchange(batch_, {});
  const std::size_t expected = std::exchange(expected_, 0);
  TRY_AS("write to Redis", write_all(socket_.get(), batch));
  std::vector<RespValue> answers;
  answers.reserve(expected);
  while (answers.size() < expected) answers.push_back(TRY(next_answer()));
  return answers;
}

Result<RespValue> RedisConnection::ask(std::initializer_list<std::string_view> parts) {
  add(parts);
  std::vector<RespValue> answers = TRY(send());
  return std::move(answers.front());
}

Result<void> RedisConnection::subscribe(std::string_view channel) {
  std::string command;
  append_command(command, {"SUBSCRIBE", channel});
  TRY_AS("write to Redis", write_all(socket_.get(), command));
  return {};
}

Result<RespValue> RedisConnection::next_answer() {
  for (;;) {
    RespValue value;
    if (!TRY(reader_.next(value))) {
      TRY(receive(kPatience));
      continue;
    }
    if (value.type != RespValue::Type::push) return value;
    if (pushed_) pushed_(value);
  }
}

Result<void> RedisConnection::read_pushes() {
  TRY(receive(0));
  for (;;) {
    RespValue value;
    if (!TRY(reader_.next(value))) return {};
    if (value.type != RespValue::Type::push)
      return fail(ErrorKind::corrupt, "Redis sent an answer to nothing");
    if (pushed_) pushed_(value);
  }
}

Result<void> RedisConnection::receive(int milliseconds) {
  pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  const int ready = poll(&waiting, 1, milliseconds);
  if (ready == 0 && milliseconds == 0) return {};
  if (ready == 0) return fail(ErrorKind::timeout, "Redis does not answer");
  if (ready < 0) return errno == EINTR ? Result<void>() : fail_errno(errno, "wait for Redis");
  Buffer buffer(kBuffer);
  const std::size_t count = TRY_AS("read from Redis", read_some(socket_.get(), buffer));
  if (count == 0) return fail(ErrorKind::unavailable, "Redis has closed the connection");
  reader_.add({buffer.data(), count});
  return {};
}

}  // namespace berth::proxy
