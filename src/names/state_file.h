// SPDX-License-Identifier: Apache-2.0
// What a resolver that was killed finds again: networks, views and upstream servers, not sockets. Written
// whole and replaced in one step; visible to the next process, not synced, for nothing in it survives a
// reboot.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "names/directory.h"

namespace berth::names {

struct State {
  Directory directory;
  std::vector<Server> upstreams;
};

Result<void> write_state(const std::string& path, const Directory& directory,
                         const std::vector<Server>& upstreams);
// Without a file: an empty state. An error when it is damaged.
Result<State> read_state(const std::string& path);
// The two halves of it.
std::string encode_state(const Directory& directory, const std::vector<Server>& upstreams);
Result<State> decode_state(std::string_view bytes);

}  // namespace berth::names
