// SPDX-License-Identifier: Apache-2.0
#include "keeper/protocol.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "base/json.h"
#include "base/send_descriptors.h"
#include "base/text.h"

namespace berth::keeper {
namespace {

struct Header {
  std::uint32_t length;
  std::uint16_t kind;
  std::uint16_t descriptors;
  std::uint64_t request;
};

}  // namespace

Result<void> send_message(int socket, MessageKind kind, std::uint64_t request, std::string_view body,
                          std::span<const int> descriptors, int flags) {
  Header header{static_cast<std::uint32_t>(body.size()), static_cast<std::uint16_t>(kind),
                static_cast<std::uint16_t>(descriptors.size()), request};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(body);

  if (descriptors.size() > kMaximumDescriptors)
    return fail(ErrorKind::invalid, "too many descriptors in a message");
  TRY_AS("the keeper's connection", send_with_descriptors(socket, bytes, descriptors, flags));
  return {};
}

Result<bool> MessageReader::receive(int socket, int flags, std::size_t limit) {
  std::array<char, 16384> buffer;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaximumDescriptors)];
  for (;;) {
    iovec part{buffer.data(), std::min(buffer.size(), limit)};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return true;
      if (errno == ECONNRESET) return false;
      return fail_errno(errno, "receive from the keeper's connection");
    }
    for (cmsghdr* item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
      if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
      std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int number;
        std::memcpy(&number, CMSG_DATA(item) + i * sizeof(int), sizeof number);
        descriptors_.emplace_back(number);
      }
    }
    if (got == 0) return false;
    buffered_.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
  }
}

Result<std::optional<Message>> MessageReader::next() {
  Header header;
  if (buffered_.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, buffered_.data(), sizeof header);
  if (header.length > kMaximumBody)
    return fail(ErrorKind::invalid, "a message of {} bytes is too long", header.length);
  if (buffered_.size() < sizeof header + header.length) return std::nullopt;
  if (descriptors_.size() < header.descriptors)
    return fail(ErrorKind::invalid, "a message came without its descriptors");
  Message message{static_cast<MessageKind>(header.kind),
                  header.request,
                  buffered_.substr(sizeof header, header.length),
                  {}};
  buffered_.erase(0, sizeof header + header.length);
  if (buffered_.empty()) buffered_.shrink_to_fit();
  // Descriptors may come along with bytes of an earlier message, never later than the first byte of their
  // own.
  auto end = descriptors_.begin() + header.descriptors;
  std::move(descriptors_.begin(), end, std::back_inserter(message.descriptors));
  descriptors_.erase(descriptors_.begin(), end);
  return message;
}

std::size_t MessageReader::missing() const {
  Header header;
  if (buffered_.size() < sizeof header) return sizeof header - buffered_.size();
  std::memcpy(&header, buffered_.data(), sizeof header);
  return sizeof header + header.length - std::min(buffered_.size(), sizeof header + header.length);
}

Result<std::optional<Message>> receive_message(int socket) {
  MessageReader reader;
  for (;;) {
    std::optional<Message> message = TRY(reader.next());
    if (message) return message;
    const bool open = TRY(reader.receive(socket, 0, reader.missing()));
    if (!open) return std::nullopt;
  }
}

namespace {

json::object to_object(const Attach& attach) {
  return {{"execId", attach.exec_id},
          {"input", attach.input},
          {"output", attach.output},
          {"errors", attach.errors},
          {"framed", attach.framed},
          {"detachKeys", to_base64(attach.detach_keys)},
          {"initialInput", to_base64(attach.initial_input)}};
}

void read_attach(ObjectReader& in, Attach& attach) {
  std::string keys, initial;
  in.read("execId", attach.exec_id);
  in.read("input", attach.input);
  in.read("output", attach.output);
  in.read("errors", attach.errors);
  in.read("framed", attach.framed);
  in.read("detachKeys", keys);
  in.read("initialInput", initial);
  attach.detach_keys = from_base64(keys).value_or("");
  attach.initial_input = from_base64(initial).value_or("");
}

// Parses a body and hands its reader to `fill`.
template <class T, class Function>
Result<T> decode(std::string_view body, Function fill) {
  json::value document = TRY(parse_json(body, "a message"));
  ObjectReader in(document, "message");
  T value;
  fill(in, value);
  TRY(in.finish());
  return value;
}

}  // namespace

std::string encode(const Attach& attach) { return json::serialize(to_object(attach)); }

std::string encode(const Resize& resize) {
  return json::serialize(
      json::object{{"execId", resize.exec_id}, {"rows", resize.rows}, {"columns", resize.columns}});
}

std::string encode(const Signal& signal) {
  return json::serialize(json::object{{"number", signal.number}, {"stopIntended", signal.stop_intended}});
}

std::string encode(const Exec& exec) {
  json::object document{{"id", exec.id}, {"process", exec.process}, {"openStdin", exec.open_stdin}};
  if (exec.attach) document["attach"] = to_object(*exec.attach);
  return json::serialize(document);
}

std::string encode(const RestartPolicy& policy) {
  return json::serialize(
      json::object{{"condition", to_text(policy.condition)}, {"maximumRetries", policy.maximum_retries}});
}

std::string encode(const Reply& reply) {
  json::object document{{"pid", reply.pid}};
  if (reply.error)
    document["error"] = json::object{{"kind", static_cast<int>(reply.error->kind)},
                                     {"code", reply.error->code},
                                     {"message", reply.error->message}};
  return json::serialize(document);
}

std::string encode(const ExecExited& exited) {
  return json::serialize(json::object{{"id", exited.id}, {"exitCode", exited.exit_code}});
}

Result<Attach> decode_attach(std::string_view body) { return decode<Attach>(body, read_attach); }

Result<Resize> decode_resize(std::string_view body) {
  return decode<Resize>(body, [](ObjectReader& in, Resize& resize) {
    std::uint32_t rows = 0, columns = 0;
    in.read("execId", resize.exec_id);
    in.read("rows", rows);
    in.read("columns", columns);
    resize.rows = static_cast<std::uint16_t>(std::min(rows, 65535u));
    resize.columns = static_cast<std::uint16_t>(std::min(columns, 65535u));
  });
}

Result<Signal> decode_signal(std::string_view body) {
  return decode<Signal>(body, [](ObjectReader& in, Signal& signal) {
    in.read("number", signal.number);
    in.read("stopIntended", signal.stop_intended);
  });
}

Result<Exec> decode_exec(std::string_view body) {
  return decode<Exec>(body, [](ObjectReader& in, Exec& exec) {
    in.read("id", exec.id);
    in.read("process", exec.process);
    in.read("openStdin", exec.open_stdin);
    in.read_object("attach", [&](ObjectReader& attach) { read_attach(attach, exec.attach.emplace()); });
  });
}

Result<RestartPolicy> decode_restart_policy(std::string_view body) {
  std::string condition;
  RestartPolicy policy = TRY(decode<RestartPolicy>(body, [&](ObjectReader& in, RestartPolicy& out) {
    in.read("condition", condition);
    in.read("maximumRetries", out.maximum_retries);
  }));
  policy.condition = TRY(parse_restart_condition(condition));
  return policy;
}

Result<Reply> decode_reply(std::string_view body) {
  return decode<Reply>(body, [](ObjectReader& in, Reply& reply) {
    in.read("pid", reply.pid);
    in.read_object("error", [&](ObjectReader& error) {
      int kind = 0;
      reply.error.emplace();
      error.read("kind", kind);
      error.read("code", reply.error->code);
      error.read("message", reply.error->message);
      reply.error->kind = kind >= 0 && kind <= static_cast<int>(ErrorKind::system)
                              ? static_cast<ErrorKind>(kind)
                              : ErrorKind::system;
    });
  });
}

Result<ExecExited> decode_exec_exited(std::string_view body) {
  return decode<ExecExited>(body, [](ObjectReader& in, ExecExited& exited) {
    in.read("id", exited.id);
    in.read("exitCode", exited.exit_code);
  });
}

}  // namespace berth::keeper
