// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "base/error.h"

namespace berth::proxy {

Result<void> check_user(const std::string& user, const std::string& group);  // that they are there

// For good, with the user's own groups alone. Empty names, or being somebody else than root already, change
// nothing.
Result<void> become_user(const std::string& user, const std::string& group);

}  // namespace berth::proxy
