// SPDX-License-Identifier: Apache-2.0
// The heads that this proxy writes: the request's for a backend, and the answer's for a client.
#pragma once
#include <string>
#include <string_view>

#include "proxy/http1/head.h"
#include "proxy/routes/route.h"
#include "proxy/worker/downstream.h"

namespace berth::proxy {

// The Host is kept. Fields of this hop are left out. Who asked is said by X-Forwarded-For, -Proto, -Port and
// X-Real-IP: those that came are replaced, unless they came from somebody trusted.
void append_request_head(std::string& out, const RequestHead& head, const Client& client,
                         const Backend& backend, bool keep_alive);

struct AnswerForm {
  Framing::Kind framing = Framing::Kind::none;  // how the body goes to the client
  int minor_version = 1;                        // the client's
  bool keep_alive = true;
  bool is_head = false;
};
void append_answer_head(std::string& out, const AnswerHead& head, const AnswerForm& form);

}  // namespace berth::proxy
