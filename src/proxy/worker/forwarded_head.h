// SPDX-License-Identifier: Apache-2.0
// The heads that this proxy writes: the request's for a backend, and the answer's for a client.
#pragma once
#include <string>
#include <string_view>

#include "proxy/http1/head.h"
#include "proxy/routes/route.h"
#include "proxy/worker/downstream.h"

namespace berth::proxy {

struct RequestForm {
  bool keep_alive = true;
  std::string_view user;  // who has said this proxy's password
};

// Whether the target, with one reading or another, leads out of the path that it is put behind: a backend's
// prefix, or what is left of it where the route's own path is cut.
bool leaves_prefix(const Route& route, const Backend& backend, std::string_view target);

// Those that may go on to a backend: what a head must not say of who asks is not said behind a body either.
Fields passed_trailers(const Fields& trailers, const Route& route);

// The Host is kept. Fields of this hop are left out. Who asked is said by X-Forwarded-For, -Proto, -Port and
// X-Real-IP: those that came are replaced, unless they came from somebody trusted. What the route's policy
// changes is changed.
void append_request_head(std::string& out, const RequestHead& head, const Client& client, const Route& route,
                         const Backend& backend, const RequestForm& form);

struct AnswerForm {
  Framing::Kind framing = Framing::Kind::none;  // how the body goes to the client
  int minor_version = 1;                        // the client's
  bool keep_alive = true;
  bool is_head = false;
};
void append_answer_head(std::string& out, const AnswerHead& head, const AnswerForm& form);

}  // namespace berth::proxy
