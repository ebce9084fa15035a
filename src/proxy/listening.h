// SPDX-License-Identifier: Apache-2.0
// The sockets that clients come in by: one a worker for each address, so that workers share no queue; and
// their way from one program to the next (SIGUSR2). A socket that is handed over keeps the connections that
// wait in it: none is refused, and none is lost.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "proxy/settings.h"
#include "proxy/worker/worker.h"

namespace berth::proxy {

// Of the program before this one. Taken once, at the start, before others are opened.
struct Inherited {
  std::vector<ListeningSocket> sockets;
  Fd admin;                 // listening
  std::string admin_place;  // where: place_of() of that program's settings
  Fd ready;                 // written to when this program serves
};
Inherited take_inherited();

// For each worker its sockets. Inherited ones are used first; an address where another program listens is a
// conflict.
Result<std::vector<std::vector<ListeningSocket>>> open_listening(const Settings& settings,
                                                                 Inherited& inherited);

// Starts this program's file anew, with its own command line and these sockets, and waits for it to serve. An
// error leaves everything as it was.
// `admin` may be -1: there is none.
Result<pid_t> hand_over(char* const* arguments, const std::vector<ListeningSocket>& sockets, int admin,
                        const std::string& admin_place);

std::string place_of(const AdminSettings& admin);

}  // namespace berth::proxy
