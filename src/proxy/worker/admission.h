// SPDX-License-Identifier: Apache-2.0
// Whether a request may go on to a backend, by the policy of its route.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "proxy/http1/head.h"
#include "proxy/routes/route.h"
#include "proxy/worker/core.h"
#include "proxy/worker/downstream.h"

namespace berth::proxy {

struct Verdict {
  int status = 0;                     // 0: it may go on
  std::string lines;                  // of the answer: "Name: value\r\n"...
  const std::string* page = nullptr;  // the answer's body; null: that of the status
};

// Everything but the password: addresses, HTTPS, maintenance, how often and how much.
Verdict admit(const Route& route, const RequestHead& head, const Client& client, const Core& core);

// RFC 7617, section 2. Views into `head`'s bytes cannot be had: it is encoded there.
struct Credentials {
  std::string user, password;
};
std::optional<Credentials> credentials_of(const RequestHead& head);
Verdict ask_for_password(const BasicAuthentication& authentication);

// Who asks, where trusted proxies stand in between: the last address of X-Forwarded-For that is none of
// theirs. Nothing when what stands there is no address: nobody whom a list could name.
std::optional<AddressBytes> address_behind_proxies(const RequestHead& head, const Client& client,
                                                   const Settings& settings);

}  // namespace berth::proxy
