// SPDX-License-Identifier: Apache-2.0
#include "http/client_watch.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>

namespace berth::http {
namespace {

void watch(int connection, int end, std::stop_source gone) {
  pollfd polled[] = {{connection, POLLRDHUP, 0}, {end, POLLIN, 0}};
  while (poll(polled, 2, -1) < 0)
    if (errno != EINTR) return;
  if (polled[1].revents == 0) gone.request_stop();
}

}  // namespace

Result<ClientWatch> ClientWatch::begin(const Exchange& exchange) {
  Fd end(eventfd(0, EFD_CLOEXEC));
  if (!end) return fail_errno(errno, "make an event descriptor");
  return ClientWatch(std::move(end), exchange.connection_descriptor());
}

ClientWatch::ClientWatch(Fd end, int connection)
    : end_(std::move(end)), thread_(watch, connection, end_.get(), gone_) {}

ClientWatch::~ClientWatch() {
  if (end_) eventfd_write(end_.get(), 1);
}

}  // namespace berth::http
