// SPDX-License-Identifier: Apache-2.0
// Who has a browser ask. An API on 127.0.0.1 that wants no token is within reach of every page that a browser
// on this machine shows: pages send requests to other origins without reading the answers, and read them too
// when the name of their own host is made to mean 127.0.0.1 (DNS rebinding). A browser says in Host which
// name it asked for, and in Origin and Sec-Fetch-Site which page did; pages cannot change those.
#pragma once
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace berth::proxy {

// ErrorKind::denied for a Host other than localhost, 127.0.0.1, [::1] and `address`, the one that is listened
// on, and for a change that another origin's page asks for. What is no browser has neither field.
Result<void> check_asked_from(const http::Request& request, std::string_view address);

}  // namespace berth::proxy
