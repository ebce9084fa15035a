// SPDX-License-Identifier: Apache-2.0
// Stops what is done for a client that has gone, also while there is nothing to tell it: another server that
// is asked on its behalf, and neither reads nor answers, would hold the request until its time has run out.
#pragma once
#include <stop_token>
#include <thread>

#include "base/fd.h"
#include "http/server.h"

namespace berth::http {

// From construction to destruction, which must come before the exchange is answered by hijack() and before it
// goes. Costs a thread, so it is for work that can take long.
class ClientWatch {
 public:
  static Result<ClientWatch> begin(const Exchange& exchange);
  ClientWatch(ClientWatch&&) = default;
  ClientWatch& operator=(ClientWatch&&) = delete;
  ~ClientWatch();

  std::stop_token gone() const { return gone_.get_token(); }  // the client hung up, or the server stops

 private:
  ClientWatch(Fd end, int connection);
  Fd end_;  // an eventfd; empty in what was moved from
  std::stop_source gone_;
  std::jthread thread_;
};

}  // namespace berth::http
