// SPDX-License-Identifier: Apache-2.0
// Sending bytes and descriptors over a unix stream socket (unix(7), SCM_RIGHTS).
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

#include "base/error.h"

namespace berth {

inline constexpr std::size_t kMostSentDescriptors = 253;  // the kernel's limit of one message

// All of the bytes; the descriptors go along with the first one. `flags` are send(2)'s. The error has its
// errno.
Result<void> send_with_descriptors(int socket, std::string_view bytes, std::span<const int> descriptors,
                                   int flags = 0);

}  // namespace berth
