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
