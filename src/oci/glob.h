// SPDX-License-Identifier: Apache-2.0
// Shell patterns as Go's path.Match reads them, since Docker's filters are specified by it: "*" and "?" do
// not match "/", [a-z] and [^a-z] are sets, a backslash makes the next character ordinary.
#pragma once
#include <string_view>

#include "base/error.h"

namespace berth::oci {

// Takes at most |pattern| * |text| steps, whatever the pattern is. A malformed one is ErrorKind::invalid.
Result<bool> matches_glob(std::string_view pattern, std::string_view text);

}  // namespace berth::oci
