// SPDX-License-Identifier: Apache-2.0
#include "keeper/streams.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace berth::keeper {
namespace {

constexpr std::size_t kChunk = 64 * 1024;
constexpr std::size_t kInputBuffer = 64 * 1024;  // read from clients ahead of the process

// Docker's frame header: stream, three zeros, length in network order.
std::array<char, 8> frame_header(Stream stream, std::size_t length) {
  return {static_cast<char>(stream),
          0,
          0,
          0,
          static_cast<char>(length >> 24),
          static_cast<char>(length >> 16),
          static_cast<char>(length >> 8),
          static_cast<char>(length)};
}

void set_nonblocking(const Fd& descriptor) {
  if (descriptor) fcntl(descriptor.get(), F_SETFL, fcntl(descriptor.get(), F_GETFL) | O_NONBLOCK);
}

}  // namespace

Streams::Streams(EventLoop& loop, LogWriter* log, bool close_input_at_end, std::function<void()> changed)
    : loop_(loop), log_(log), close_input_at_end_(close_input_at_end), changed_(std::move(changed)) {}

Streams::~Streams() {
  if (watched_output_) loop_.forget(ends_.output.get());
  if (watched_errors_) loop_.forget(ends_.errors.get());
  if (watched_input_) loop_.forget(ends_.input.get());
  for (Client& client : clients_)
    if (client.watched) loop_.forget(client.socket.get());
}

void Streams::attach(Fd socket, const Attach& options) {
  ClientPosition client = clients_.emplace(clients_.end());
  client->socket = std::move(socket);
  client->options = options;
  client->input_ended = !options.input;
  if (options.input) take_from_client(*client, options.initial_input);
  if (released_) client->closing = true;
  refresh_watches();
  if (client->closing && client->outgoing.empty()) remove(client);
}

Result<void> Streams::adopt(ProcessEnds ends) {
  ends_ = std::move(ends);
  set_nonblocking(ends_.input);
  set_nonblocking(ends_.output);
  set_nonblocking(ends_.errors);
  adopted_ = true;
  drained_ = false;
  released_ = false;
  write_input();
  refresh_watches();
  return {};
}

Result<void> Streams::resize(std::uint16_t rows, std::uint16_t columns) {
  if (!ends_.terminal) return fail(ErrorKind::conflict, "the process has no terminal");
  winsize size{rows, columns, 0, 0};
  if (ioctl(ends_.output.get(), TIOCSWINSZ, &size) != 0) return fail_errno(errno, "resize the terminal");
  return {};
}

void Streams::drain() {
  if (drained_) return;
  drained_ = true;
  // Bounded: another process may hold the other end and write for ever.
  for (Stream stream : {Stream::output, Stream::errors})
    for (int chunks = 0; chunks < 64 && output_of(stream) && pump_output(stream); ++chunks) {
    }
  for (Stream stream : {Stream::output, Stream::errors})
    if (output_of(stream)) end_output(stream);
  end_input();
  pending_input_.clear();
  if (log_) log_->finish(now());
  adopted_ = false;
  refresh_watches();
}

void Streams::release_clients() {
  released_ = true;
  for (ClientPosition client = clients_.begin(); client != clients_.end();) {
    ClientPosition current = client++;
    current->closing = true;
    if (current->outgoing.empty()) remove(current);
  }
}

void Streams::on_output(Stream stream, std::uint32_t) {
  pump_output(stream);
  refresh_watches();
}

bool Streams::pump_output(Stream stream) {
  std::array<char, kChunk> buffer;
  ssize_t got = ::read(output_of(stream).get(), buffer.data(), buffer.size());
  if (got > 0) {
    std::string_view data(buffer.data(), static_cast<std::size_t>(got));
    if (log_) log_->append(stream, data, now());
    deliver(stream, data);
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  // A terminal whose other side is closed reads as EIO. While the container runs somebody may open it again.
  end_output(stream);
  return false;
}

void Streams::end_output(Stream stream) {
  std::uint32_t& watched = stream == Stream::errors ? watched_errors_ : watched_output_;
  Fd& output = output_of(stream);
  if (watched) loop_.forget(output.get());
  watched = 0;
  output.reset();
  if (stream == Stream::output) ends_.terminal = false;
  changed_();
}

void Streams::deliver(Stream stream, std::string_view data) {
  const std::array<char, 8> header = frame_header(stream, data.size());
  for (ClientPosition client = clients_.begin(); client != clients_.end();) {
    ClientPosition current = client++;
    const bool wanted = stream == Stream::errors ? current->options.errors : current->options.output;
    if (!wanted || current->closing) continue;
    send_to(*current,
            current->options.framed ? std::string_view(header.data(), header.size()) : std::string_view{},
            data);
    if (current->closing && current->outgoing.empty()) remove(current);
  }
}

void Streams::send_to(Client& client, std::string_view head, std::string_view data) {
  if (client.outgoing.empty()) {
    iovec parts[2] = {{const_cast<char*>(head.data()), head.size()},
                      {const_cast<char*>(data.data()), data.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    ssize_t sent = sendmsg(client.socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      client.closing = true;  // the client is gone
      return;
    }
    auto taken = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
    std::size_t of_head = std::min(taken, head.size());
    head.remove_prefix(of_head);
    data.remove_prefix(taken - of_head);
  }
  client.outgoing.append(head).append(data);
}

void Streams::flush(Client& client) {
  while (client.sent < client.outgoing.size()) {
    ssize_t sent = send(client.socket.get(), client.outgoing.data() + client.sent,
                        client.outgoing.size() - client.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      client.closing = true;
      break;
    }
    client.sent += static_cast<std::size_t>(sent);
  }
  client.sent = 0;
  client.outgoing.clear();
  client.outgoing.shrink_to_fit();
}

void Streams::on_client(ClientPosition client, std::uint32_t events) {
  if (events & EPOLLOUT) flush(*client);
  if (events & (EPOLLHUP | EPOLLERR)) {
    for (int chunks = 0; chunks < 32 && !client->input_ended; ++chunks)
      receive_from(client);  // sent before it hung up
    client->closing = true;
    client->outgoing.clear();
  } else if (events & EPOLLIN) {
    receive_from(client);
  }
  if (client->closing && client->outgoing.empty()) remove(client);
  refresh_watches();
}

void Streams::receive_from(ClientPosition client) {
  std::array<char, kInputBuffer> buffer;
  ssize_t got = recv(client->socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    client->input_ended = true;
    if (got < 0) client->closing = true;
    if (close_input_at_end_) {
      input_end_requested_ = true;
      write_input();
    }
    return;
  }
  take_from_client(*client, {buffer.data(), static_cast<std::size_t>(got)});
}

void Streams::take_from_client(Client& client, std::string_view data) {
  const std::string& keys = client.options.detach_keys;
  if (keys.empty()) return take_input(data);
  // Keys that may begin the detach sequence are held back until the next one decides.
  std::string passed;
  for (char key : data) {
    if (key == keys[client.matched_keys]) {
      if (++client.matched_keys < keys.size()) continue;
      client.closing = true;
      break;
    }
    passed.append(keys, 0, client.matched_keys);
    client.matched_keys = key == keys[0] ? 1 : 0;
    if (client.matched_keys == 0) passed += key;
  }
  take_input(passed);
}

void Streams::remove(ClientPosition client) {
  if (client->watched) loop_.forget(client->socket.get());
  clients_.erase(client);
  changed_();
}

void Streams::take_input(std::string_view data) {
  if (drained_ || (adopted_ && input_descriptor() < 0)) return;  // nobody reads it
  pending_input_.append(data);
  write_input();
}

void Streams::write_input() {
  if (!adopted_) return;
  while (!pending_input_.empty()) {
    int descriptor = input_descriptor();
    ssize_t put = descriptor < 0 ? -1 : ::write(descriptor, pending_input_.data(), pending_input_.size());
    if (put < 0) {
      if (descriptor >= 0 && (errno == EAGAIN || errno == EINTR)) return;
      pending_input_.clear();  // the process has closed its end
      end_input();
      return;
    }
    pending_input_.erase(0, static_cast<std::size_t>(put));
  }
  if (pending_input_.capacity() > 4096) pending_input_.shrink_to_fit();
  if (input_end_requested_) end_input();
}

void Streams::end_input() {
  if (watched_input_) loop_.forget(ends_.input.get());
  watched_input_ = 0;
  ends_.input.reset();
}

bool Streams::clogged() const {
  for (const Client& client : clients_)
    if (client.outgoing.size() - client.sent > kClientBuffer) return true;
  return false;
}

// Every descriptor is watched for just what can make progress now.
void Streams::refresh_watches() {
  auto set = [&](int descriptor, std::uint32_t& current, std::uint32_t wanted, EventLoop::Callback callback) {
    if (descriptor < 0 || wanted == current) return;
    if (wanted == 0)
      loop_.forget(descriptor);
    else if (current == 0)
      (void)loop_.watch(descriptor, wanted, std::move(callback));
    else
      loop_.change(descriptor, wanted);
    current = wanted;
  };
  const bool readable = adopted_ && !clogged();
  const bool input_waits = adopted_ && !pending_input_.empty();
  constexpr std::uint32_t nothing = 0, in = EPOLLIN, out = EPOLLOUT, gone = EPOLLERR;
  const std::uint32_t terminal_writable = ends_.terminal && input_waits ? out : nothing;
  set(ends_.output.get(), watched_output_, (readable ? in : nothing) | terminal_writable,
      [this](std::uint32_t events) {
        if (events & EPOLLOUT) write_input();
        // Room for input says nothing about output: reading on would fill the buffers of clients that don't
        // read.
        if (events & ~static_cast<std::uint32_t>(EPOLLOUT))
          on_output(Stream::output, events);
        else
          refresh_watches();
      });
  set(ends_.errors.get(), watched_errors_, readable ? in : nothing,
      [this](std::uint32_t events) { on_output(Stream::errors, events); });
  set(ends_.input.get(), watched_input_, input_waits ? out : nothing, [this](std::uint32_t) {
    write_input();
    refresh_watches();
  });
  const bool takes_input = pending_input_.size() < kInputBuffer;
  for (ClientPosition client = clients_.begin(); client != clients_.end(); ++client) {
    // An ended input stays readable for ever: only its hang-up matters then, which epoll reports unasked.
    std::uint32_t wanted = gone;
    if (!client->input_ended && takes_input) wanted |= in;
    if (!client->outgoing.empty()) wanted |= out;
    set(client->socket.get(), client->watched, wanted,
        [this, client](std::uint32_t events) { on_client(client, events); });
  }
}

}  // namespace berth::keeper
